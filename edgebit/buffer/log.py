"""The log: chunks on disk, in segments that are allocated in advance and reused.

Promises
- It never takes more than `limit` bytes for segments; all of it is reserved when it is opened, so a file system that
  fills up later can't stop it. A chunk is one write, without a change of any metadata.
- What was written and synced is read back, in order, until `acknowledge` has passed it.
- A chunk that can't be read is counted, and the next one that can is found.

A position is (use, offset): the number of the segment's use and a place in it; positions grow. The cursor file says how
far the collector has acknowledged. It is a hint, written and synced now and then by the owner (`moved`, `cursor_synced`);
and here before a segment is begun, so that no start finds that the cursor's segment holds something else.

It must not know outputs, time-outs, memory limits or policies: queue.py does.
"""

from __future__ import annotations

from edgebit.buffer import format
from edgebit.buffer.format import Place
from edgebit.buffer.opening import Directory
from edgebit.buffer.segment import Segment, keep_copy
from edgebit.record import Chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.buffer.format import Header, Position

SMALLEST_DISK = 1 << 20
_POSITIONS = 1024  # sources whose position is remembered in the log


class SyncFailed(OSError):
    """What was written since the last good sync may not be on the medium, and never will be."""


class Log(Directory):
    """See the module's docstring, and Directory for what it is made with."""

    # -- writing -----------------------------------------------------------------------------------------------------

    @property
    def largest(self) -> int:
        """Bytes that header, tag, marks and payload of one chunk may take together."""
        return max((segment.size for segment in self._used + self._free), default=0)

    def write(self, tag: str, payload: bytes, count: int, seq: int, stream: bytes, moment: format.Moment,
              marks: dict[str, tuple[int, int]] | None = None, continues: bool = False) -> Place | None:  # fmt: skip
        """Append a chunk; None if there is no room. Raises OSError; then nothing was appended. Raises SyncFailed if a new
        segment had to be begun and what is in the old one couldn't be synced: a segment begins when all before is safe."""
        raw_tag = tag.encode("utf-8", "surrogateescape")[: format.MAX_TAG]
        active = self._active
        for fresh in (False, True):
            packed = self._marks(marks, whole=fresh or active is None or active.end == 0)
            length = format.packed_length(len(raw_tag), len(packed), len(payload))
            if active is not None and active.end + length <= active.size:
                break
            # The one that is free for the longest time; one that was cut off may be too short.
            active = next((segment for segment in reversed(self._free) if fresh or length <= segment.size), None)
            if fresh or active is None:
                return None
            active.end = 0
        assert active is not None
        new = active is not self._active
        use = self._next_use if new else active.use
        if new:
            if self.synced:
                self._sync_before()
            if stream == self.cursor.stream:
                self.cursor.next_seq = seq
            self._next_use, self.cursor.uses = use + 1, use
            self.save_cursor(sync=self.synced)
        data = format.pack(tag=raw_tag, payload=payload, count=count, seq=seq, stream=stream, use=use, before=self.written,
                           wall_ns=moment.wall_ns, boot_ns=moment.boot_ns, boot_id=moment.boot_id, marks=packed,
                           flags=self._flags(continues))  # fmt: skip
        active.forget_block()
        if new:
            self._free.remove(active)
            self._free.insert(0, active)  # if it fails, the next try takes another one
        active.file.pwrite(data, active.end)
        if new:
            self._free.remove(active)
            active.use, active.before = use, self.written
            self._used.append(active)
            self._active = active
            if len(self._used) == 1:
                # Nothing else is waiting: the cursor can as well stand here.
                self.cursor.use, self.cursor.offset = use, 0
                if self.read_at < (use, 0):
                    self.read_at = (use, 0)
        start = (active.use, active.end)
        active.end += len(data)
        self.written += count
        self._continues = continues
        if marks:
            for key, value in marks.items():
                before = self.positions.pop(key, None)
                self.positions[key] = value  # the newest last
                if self.synced:
                    self._durable_positions.setdefault(key, before)
            while len(self.positions) > min(_POSITIONS, self.largest // 1024):
                del self.positions[next(iter(self.positions))]
        if active not in self._unsynced:
            self._unsynced.append(active)
        self.bytes_written += len(data)
        self.payload_written += len(payload)
        return Place(start, (active.use, active.end), self.written)

    def _flags(self, continues: bool) -> int:
        synced = self._durable >= self.written or not self.synced
        return (format.CONTINUES if continues else 0) | (format.SYNCED if synced else 0)

    def fits(self, tag: str, payload: bytes, marks: dict[str, tuple[int, int]] | None) -> bool:
        """Whether such a chunk has a place in an empty segment."""
        marks_length = len(self._marks(marks, whole=True))
        return (
            format.packed_length(len(tag.encode("utf-8", "surrogateescape")), marks_length, len(payload))
            <= self.largest
        )

    def _marks(self, marks: dict[str, tuple[int, int]] | None, whole: bool) -> bytes:
        known = {**self.positions, **(marks or {})} if whole else marks
        if not known:
            return b""
        import cbor2

        return bytes(cbor2.dumps(known))

    def sync(self) -> None:
        """What was written is on the medium. Raises OSError; then what was written since the last time may not be."""
        while self._unsynced:
            self._unsynced[-1].file.sync()
            self._unsynced.pop()
            self.syncs += 1
        self._durable, self._durable_end = self.written, self.end
        self._durable_continues = self._continues
        self._durable_positions.clear()

    @property
    def unfinished(self) -> bool:
        """The newest chunk says that its batch goes on, and is not acknowledged: without another one behind it, it would
        be taken for not written at a start after a crash."""
        return self._continues and self.cursor.acked < self.written

    @property
    def durable(self) -> int:
        """Records written when the log was last synced."""
        return self._durable

    def _sync_before(self) -> None:
        try:
            self.sync()
        except OSError as error:
            raise SyncFailed(error.errno, error.strerror) from None

    def abandon_unsynced(self) -> None:
        """After a failed sync: what was written since the last good one counts as not written, and goes elsewhere when it
        is written again; the newest segment is left as it is."""
        use, offset = self._durable_end
        for segment in self._unsynced:
            segment.end = max(1, offset) if segment.use == use else 1
        self._active = None
        self._unsynced.clear()
        self.written = max(self._durable, self.cursor.acked)
        self._continues = self._durable_continues
        for key, value in self._durable_positions.items():
            self.positions.pop(key, None)
            if value is not None:
                self.positions[key] = value
        self._durable_positions.clear()
        self.cursor.holes.cut_off(self.written)

    def skip_active(self) -> None:
        """Writing to the newest segment fails again and again: go on in another one."""
        self._active = None

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, upto: Position | None = None, before: int | None = None) -> Chunk | None:
        """The chunk at `read_at`, which moves behind it; None at the end, or at `upto`, where the chunk is that was written
        after `before` records. What is missed on the way is counted."""
        while (found := self._next(upto)) is not None:
            segment, at, header = found
            settled = not header.count or self.cursor.holes.cover(header.before, header.after)
            twice = header.after <= self._passed  # written so, because the first time was not known to have succeeded
            payload = None if settled or twice else segment.payload(at, header)  # if that fails, it is read again
            self.read_at = (segment.use, at + header.length)
            if twice:
                continue
            self._miss(header.before, header)
            if not header.count:
                continue
            self._passed, self._last = header.after, (header.stream, header.last_seq)
            if settled:
                continue
            if payload is not None:
                return self._chunk(segment, at, header, payload)
            keep_copy(self.files, self.directory, segment, self._note)
            self._lose(header.before, header.after, header.seq, header.stream)
        if upto is not None:
            self.read_at = max(self.read_at, upto)  # also when nothing that can be read is left before it
        self._miss(self.written if before is None else before)
        return None

    def _next(self, upto: Position | None) -> tuple[Segment, int, Header] | None:
        """The next chunk whose header is whole, and where it is."""
        while (segment := self._segment_at(self.read_at[0])) is not None:
            if segment.use > self.read_at[0]:
                self.read_at = (segment.use, 0)
            at, header = self._next_header(segment, self.read_at[1])
            if upto is not None and (segment.use, at) >= upto:
                return None
            if header is not None and not self._written_again(segment, header):
                return segment, at, header
            if segment is self._used[-1]:
                break
            self.read_at = (segment.use + 1, 0)
        if upto is None:
            self.read_at = max(self.read_at, self.end)
        return None

    def _written_again(self, segment: Segment, header: Header) -> bool:
        """After a failed sync all that it should have synced is written once more, in new segments; of the first time
        anything may be missing, so it doesn't count."""
        following = self._used[self._used.index(segment) + 1 :]
        return bool(following) and header.after > following[0].before

    def _chunk(self, segment: Segment, at: int, header: Header, payload: bytes) -> Chunk:
        chunk = Chunk(header.tag.decode("utf-8", "surrogateescape"), None, 0, header.seq, payload=payload,
                      count=header.count, stream=header.stream.hex())  # fmt: skip
        chunk.place = Place((segment.use, at), (segment.use, at + header.length), header.after)
        chunk.moment = format.Moment(header.wall_ns, header.boot_ns, header.boot_id)
        return chunk

    def _segment_at(self, use: int) -> Segment | None:
        """The segment of this use, or else the next one."""
        for segment in self._used:
            if segment.use >= use:
                return segment
        return None

    def _next_header(self, segment: Segment, at: int) -> tuple[int, Header | None]:
        end = segment.end or segment.size  # 0 in a segment that was full before this start
        if at + format.HEADER_SIZE > end:
            return at, None
        try:
            header = segment.header(at)
        except format.UnknownVersion:
            header = None
        if header is not None and header.use == segment.use and at + header.length <= end:
            return at, header
        found = segment.next_good(at)
        return found if found is not None and found[0] < end else (at, None)

    def _miss(self, before: int, following: Header | None = None) -> None:
        """So many records were written before the next chunk (None at the end): those that neither turned up nor are
        settled are damaged."""
        self._lose_between(self._passed, before, self._last, following)
        self._passed = max(self._passed, before)

    def _lose_between(self, start: int, stop: int, last: tuple[bytes, int], following: Header | None) -> None:
        """What is not settled of these records is damaged. `last`: stream and sequence of the one before them."""
        for at, end in self.cursor.holes.between(start, stop):
            missing = end - at
            last_stream, last_seq = last[0], last[1] + at - start
            # What the next chunk's stream has before it is of that one, unless we know better; the rest is of the one
            # before.
            ahead = 0
            if following is not None and following.stream != last_stream and end == stop:
                ahead = min(missing, following.seq - 1)
            if not last_stream and (following is None or following.stream != self._earlier[0]):
                last_stream, last_seq = self._earlier[0], max(1, self._earlier[1] - missing + ahead) - 1
            last_stream = last_stream or bytes(8)  # nobody knows
            if missing > ahead:
                self._lose(at, end - ahead, last_seq + 1, last_stream)
            if ahead and following is not None:
                self._lose(end - ahead, end, following.seq - ahead, following.stream)

    def _lose(self, start: int, stop: int, seq: int, stream: bytes) -> None:
        self._lost("damaged on disk", stop - start, seq, stream)
        self.settle(start, stop)

    def settle(self, start: int, stop: int) -> None:
        """These records, counted as they were written, were told to be lost, or delivered out of turn: nobody reads them
        again, nor misses them."""
        self.cursor.holes.add(start, stop)
        self.moved = self.told = True
        self._pass_holes()

    def _pass_holes(self) -> None:
        """What is settled right behind what is acknowledged need not be waited for."""
        self.cursor.acked = self.cursor.holes.pass_by(self.cursor.acked)
        self._passed = max(self._passed, self.cursor.acked)

    # -- forgetting --------------------------------------------------------------------------------------------------

    def acknowledge(self, place: Place) -> None:
        """Everything up to this chunk is with the collector; whole segments before it become free."""
        if place.end <= (self.cursor.use, self.cursor.offset):
            return
        self.moved = True
        self.cursor.use, self.cursor.offset = place.end
        self.cursor.acked = max(self.cursor.acked, place.after)
        self._pass_holes()
        self.read_at = max(self.read_at, place.end)
        while self._used and self._used[0].use < place.end[0]:
            self._release(self._used.pop(0))
        if self.empty and self._used and self._used[0].end * 2 > self._used[0].size:
            # Nothing waits: the next chunk begins a new use, so that little is scanned at the next start.
            self._release(self._used.pop())
            self._active = None

    def _release(self, segment: Segment) -> None:
        """Nothing in it is waited for any more; the cursor says so already."""
        segment.end = 0
        segment.patient = False
        segment.forget_block()
        if segment in self._unsynced:
            self._unsynced.remove(segment)
        # The oldest free one is taken first, so that wear is spread over all of them.
        self._free.insert(0, segment)
        if self._total() > self.limit:
            try:
                self.save_cursor(sync=True)  # or a start after a crash would miss what was in it
            except OSError:
                return  # it is used again, or given up at the next start
            self._free.remove(segment)
            self._remove(segment)

    def drop_oldest(self, out: Position | None) -> list[tuple[bytes, int, int]] | None:
        """Free the oldest segment with nothing in it that is on its way (up to the position `out`); what was in it as
        (stream, first, count), or None if there is none to drop."""
        for i, segment in enumerate(self._used[:-1]):
            if out is not None and segment.use <= out[0]:
                continue
            first, stop = self.cursor.acked if i == 0 else segment.before, self._used[i + 1].before
            passed, last, dropped = first, self._last if i == 0 else (b"", 0), []
            end = segment.end or segment.size
            for at, header in segment.headers(self._begin(segment)):
                if at >= end or header.after > stop:
                    break  # left from another time, or written again in the next segment
                self._lose_between(passed, header.before, last, header)
                if header.after > passed and not self.cursor.holes.cover(header.before, header.after):
                    dropped.append((header.stream, header.seq, header.count))
                passed, last = max(passed, header.after), (header.stream, header.last_seq)
            self._lose_between(passed, stop, last, None)
            if self.read_at[0] == segment.use:
                self.read_at = (segment.use + 1, 0)
            del self._used[i]
            if i == 0:
                self.cursor.use, self.cursor.offset = self._used[0].use, 0
            self.settle(first, stop)
            self._release(segment)
            return dropped
        return None

    @property
    def empty(self) -> bool:
        """Nothing that is stored waits for an acknowledgement."""
        if not self._used:
            return True
        return len(self._used) == 1 and self._used[0] is self._active and self._active.end <= self.cursor.offset

    @property
    def disk_used(self) -> int:
        """Bytes of segments that hold something."""
        return sum(segment.size for segment in self._used)

    @property
    def waiting(self) -> int:
        """Records that are stored and not acknowledged."""
        return self.written - self.cursor.acked - len(self.cursor.holes)

    def skip_to(self, place: Place) -> None:
        """Read on behind this chunk."""
        if self.read_at < place.end:
            self.read_at, self._passed = place.end, max(self._passed, place.after)

    def give_up_unreadable(self) -> None:
        """Reading fails here again and again: what can't be read in this segment is damage from now on."""
        segment = self._segment_at(self.read_at[0])
        if segment is not None:
            segment.patient = True

    # -- the end -------------------------------------------------------------------------------------------------------

    def save_cursor(self, sync: bool = False, clean: bool | None = None) -> None:
        """Write the cursor if it says something new; sync it, too, if asked to. `clean`: by an orderly stop, or no more.
        Raises OSError."""
        if self.told:
            self._keep()
        self.cursor.written = self._durable
        if clean is not None:
            self.cursor.clean = clean
        syncs = self._cursor_file.syncs
        self.bytes_written += self._cursor_file.save(self.cursor, sync or self.told, not self.synced)
        self.syncs += self._cursor_file.syncs - syncs
        self.moved = self.told = False

    @property
    def cursor_synced(self) -> bool:
        """What was saved of the cursor is on the medium."""
        return self._cursor_file.synced

    @property
    def cursor_fails(self) -> bool:
        """The last try to save it failed."""
        return self._cursor_file.failures > 0

    def close(self) -> None:
        for segment in self._used + self._free:
            segment.file.close()
        self._cursor_file.close()
