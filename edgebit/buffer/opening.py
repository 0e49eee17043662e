"""Opening a log: what is in its directory, where it begins and ends, and the space that is reserved for it.

It promises that `open` never fails because of what it finds in the files: torn, zeroed or damaged parts are stepped over
and counted, a format from the future is left alone. It fails (OSError) only when the directory can't be used at all.
"""

from __future__ import annotations

from errno import EIO

from edgebit.buffer import format
from edgebit.buffer.cursor import Cursor, CursorFile
from edgebit.buffer.segment import Segment, in_order, is_settled, keep_copy
from edgebit.errors import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgebit.buffer.files import Files
    from edgebit.buffer.format import Header, Position

_COPY = 256 * 1024  # bytes copied at once
_MANY = 1000  # uses that may have been given and are not known when the cursor is lost


def segment_size(limit: int) -> int:
    """A sixteenth of the limit, between 64 KiB and 16 MiB, in whole pages."""
    return max(64 * 1024, min(limit // 16, 16 << 20)) // 4096 * 4096


class Directory:
    """The segments and the cursor of a log.

    lost   called with (reason, count, first sequence, stream) for what is damaged
    keep   called before a cursor is written that knows of a loss which was told since the last one: the loss must last
           then, as nobody tells it again
    note   called with a line for the agent's log
    """

    def __init__(self, files: Files, directory: str, limit: int, *, lost: Callable[[str, int, int, bytes], object],
                 note: Callable[[str], object], keep: Callable[[], object] = lambda: None) -> None:  # fmt: skip
        self.files, self.directory, self.limit = files, directory, limit
        self._lost, self._note, self._keep = lost, note, keep
        self._used: list[Segment] = []  # with chunks from the cursor on, oldest first; the last one is written to
        self._free: list[Segment] = []
        self._cursor_file = CursorFile(files, f"{directory}/cursor", note)
        self.cursor = Cursor()
        self.moved = False  # the cursor says something new
        self.told = False  # of a loss, so that it must not be told again
        self._next_use = 1
        self._settled: list[
            tuple[int, bytes]
        ] = []  # of chunks that nobody waits for any more: records before, and marks
        self._active: Segment | None = None  # the last of _used, if it may be written to
        self._aside = 0  # bytes of segments that can't be used
        self._passed = 0  # records written up to the chunk that was read last
        self._last: tuple[bytes, int] = (b"", 0)  # stream and sequence of the record that was read last
        self._earlier: tuple[bytes, int] = (b"", 0)  # stream and next sequence of the life before this one
        self._unsynced: list[Segment] = []
        self.synced = True  # False: the owner doesn't sync and takes what was written for durable
        self._durable = 0  # records written when the log was last synced, and where that was
        self._durable_end: Position = (0, 0)
        self._continues = self._durable_continues = False  # the newest chunk was one whose batch goes on
        self.written = 0  # records that were ever written here
        self.read_at: Position = (0, 0)
        self.positions: dict[str, tuple[int, int]] = {}  # of sources, after the newest chunk
        # Those at the last sync, where they differ from that; None: there was none.
        self._durable_positions: dict[str, tuple[int, int] | None] = {}
        self.bytes_written = self.payload_written = self.syncs = 0

    def open(self) -> None:
        """Find what is there, reserve what is missing. Raises OSError if the directory can't be used."""
        self.files.makedirs(self.directory)
        self.files.sync_directory(self.directory)  # what a killed process has made there may not last yet
        found = self._cursor_file.open()
        self.cursor = found or Cursor()
        self._earlier = (self.cursor.stream, self.cursor.next_seq)
        highest = self._open_segments()
        # Of a segment that was just begun any part may have survived, and not be seen here: its use is not given again.
        self._next_use = max(highest, self.cursor.use, self.cursor.uses) + 1
        if found is None and highest:
            self._next_use += _MANY
        for segment in self._used + self._free:
            # A process that was killed may not have done so, neither with what it wrote nor with what it took back. What is
            # found now is relied upon.
            segment.file.sync()
        self._sort_out()
        self._wipe_lost()
        if found is None and self._used:
            # The oldest segment need not begin with the oldest records: after a failed sync they are written again.
            self.cursor.acked = min(segment.before for segment in self._used)
        self._find_end()
        self._read_positions()
        for segment in self._used + self._free:
            segment.patient = False
            if segment.unread:
                self._note(f"{segment.name} can't be read in places; what was there counts as damaged")
        self._resize()
        self._durable, self._durable_end = self.written, self.end
        self.rewind()

    def _open_segments(self) -> int:
        highest = 0
        for name in self.files.listdir(self.directory):
            if not name.endswith(".seg"):
                continue
            try:
                segment = Segment(name, self.files.open(f"{self.directory}/{name}"))
            except OSError as error:
                self._note(f"{name} can't be opened ({reason(error)}); it is left alone")
                continue
            if segment.size < format.HEADER_SIZE:
                self._remove(segment)  # cut off while it was made
                continue
            try:
                segment.file.pread(format.HEADER_SIZE, 0)
                segment.patient = True  # behind that a bad sector is damage like any other, and no reason not to start
                segment.first()
            except format.UnknownVersion as error:
                self._leave(segment, f"its format version {error} is not known here")
                continue
            except OSError as error:
                self._leave(segment, reason(error))
                continue
            highest = max(highest, segment.use)
            (self._used if segment.use else self._free).append(segment)
        return highest

    def _sort_out(self) -> None:
        """Segments before the cursor are free, and those that were dropped; the rest in the order in which they were
        written."""
        keep: list[Segment] = []
        for segment in self._used:
            if segment.use < self.cursor.use or is_settled(segment, self.cursor):
                if segment.use > self.cursor.use:
                    self._settled += [(header.before, header.marks) for _, header in segment.headers() if header.marks]
                segment.use = 0
                self._free.append(segment)
            else:
                keep.append(segment)
        in_order(keep)
        self._used = keep
        if keep and keep[0].use != self.cursor.use:
            # The cursor is lost, or its segment: begin with the oldest chunk there is.
            self.cursor.use, self.cursor.offset = keep[0].use, 0

    def _wipe_lost(self) -> None:
        """A segment was begun, and its first chunk is not on the medium: it is taken for what it was before, while others of
        its chunks may be there. Those would be found if its next first chunk is lost, too."""
        if self.cursor.clean:
            return  # the life that ended so had looked; all free segments have to be read
        newest = max((segment.use for segment in self._used), default=self.cursor.use - 1)
        for use in range(newest + 1, self.cursor.uses + 1):
            for segment in self._free[:]:
                segment.use = use
                try:
                    segment.wipe(0)
                except OSError as error:
                    self._free.remove(segment)
                    self._leave(segment, reason(error))
                segment.use = 0

    def _find_end(self) -> None:
        """Where the log ends: at the first gap in what was not yet synced, and not in the middle of a batch. What comes
        behind it was being written when the machine stopped, or its process died between two writes; its source goes on
        before it. A gap in what was synced is damage, and read over."""
        cursor = self.cursor
        i, at, written = self._last_synced()
        sure = (i, at)  # all before this place is on the medium
        durable = max(written, cursor.written)
        for place, start, header in self._whole_chunks(i, at):
            headless = place > i and start > 0  # then it is not known what its segment replaces
            if header.before > max(written, durable) or (headless and header.before >= durable):
                break
            i, at, written = place, start + header.length, max(written, header.after)
            if header.after <= cursor.written:
                sure = (i, at)
        self._miss_the_end(written)
        # Nobody gets the numbers of what had been there: a batch that went on there is not one without an end.
        written = cursor.holes.pass_over(max(written, cursor.written))
        i, at, self.written = self._end_of_batch(i, at, written)
        self._write_again(sure, (i, at))
        if self.written < max(cursor.acked, cursor.written, cursor.holes.end):
            # These numbers are given again. Nobody who comes after a crash may miss them then, or take them for settled.
            cursor.acked, cursor.written = min(cursor.acked, self.written), min(cursor.written, self.written)
            cursor.holes.cut_off(self.written)
            self._cursor_file.save(cursor, sync=True)
        self._cut_off(i, at)

    def _miss_the_end(self, written: int) -> None:
        """The cursor says that more was written and synced than was found."""
        missing = self.cursor.holes.between(max(written, self.cursor.acked), self.cursor.written)
        for start, stop in missing:
            seq = self.cursor.next_seq - (self.cursor.written - start)
            self._lost("damaged on disk", stop - start, max(1, seq), self.cursor.stream)
            self.cursor.holes.add(start, stop)
        if missing:
            self._keep()
            self._cursor_file.save(self.cursor, sync=True)
            if self._used:
                keep_copy(self.files, self.directory, self._used[-1], self._note)

    def _write_again(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """From one (index of a segment, place) to another: what a process found in the system's cache after another one
        was killed may never reach the medium if a sync has failed before, unless it is written once more."""
        for i in range(start[0], min(end[0] + 1, len(self._used))):
            file = self._used[i].file
            at, stop = start[1] if i == start[0] else 0, end[1] if i == end[0] else file.size
            while at < stop:
                size = min(_COPY, stop - at)
                try:
                    file.pwrite(file.pread(size, at), at)
                except OSError as error:
                    if error.errno != EIO:
                        raise
                    # A bad sector. What can't be read stays as it is, and what can't be written fails again when it matters.
                at += size
            file.sync()

    def _cut_off(self, i: int, end: int) -> None:
        """The log ends at this place of a segment. What is behind it must not be found again among what is written from now
        on: the numbers are the same. After a failed sync it may be in front of it, too, if nothing is left of the segment
        in which it was written again. The last goes first: each says that those before it had been there."""
        for j in reversed(range(len(self._used))):
            segment = self._used[j]
            if j >= i:
                segment.wipe(end if j == i else 0)
                continue
            behind = [(at, header) for at, header in segment.headers() if header.after > self.written]
            if end or not behind:
                break
            segment.wipe_headers(behind)
        while self._used[i + 1 if end else i :] or (not end and self._used and self._used[-1].before >= self.written):
            segment = self._used.pop()
            segment.use = segment.end = 0
            self._free.append(segment)
        if self._used and end:
            self._active = self._used[-1]
            self._active.end = end

    def _begin(self, segment: Segment) -> int:
        """Where in it what is not acknowledged begins."""
        return self.cursor.offset if segment.use == self.cursor.use else 0

    def _whole_chunks(self, begin: int, start: int) -> Iterator[tuple[int, int, Header]]:
        """(index of the segment, place, header) of the chunks that are whole, from a place in a segment on."""
        for i in range(begin, len(self._used)):
            for at, header, good in self._used[i].scan(start if i == begin else 0):
                if good:
                    yield i, at, header

    def _last_synced(self) -> tuple[int, int, int]:
        """The newest header that says that everything before it was synced, or else where the cursor stands: index of its
        segment, place, and records written before."""
        for i in reversed(range(len(self._used))):
            headers = list(self._used[i].headers(self._begin(self._used[i])))
            synced = [(at, header.before) for at, header in headers if header.flags & format.SYNCED]
            if synced:
                return i, *synced[-1]
        return 0, self._begin(self._used[0]) if self._used else 0, self.cursor.acked

    def _end_of_batch(self, i: int, end: int, written: int) -> tuple[int, int, int]:
        """The last place before this one that is not in the middle of a batch: index of its segment, place, and records
        written before."""
        while i < len(self._used):
            start = self._begin(self._used[i])
            found = self._used[i].scan(start)
            chunks = [(at, header) for at, header, good in found if good and at < end and header.after <= written]
            for at, header in reversed(chunks):
                if not header.flags & format.CONTINUES or header.after < written:  # its end was there, and is gone
                    return i, at + header.length, written
                end, written = at, header.before
            if i == 0 or start:
                return i, start, written
            i, end = i - 1, self._used[i - 1].size
        return i, end, written

    def _read_positions(self) -> None:
        """The newest segment begins with all positions and each chunk adds its own; if it has none yet, the one before.
        What was settled out of turn may have been newer."""
        newest = 0
        for segment in reversed(self._used):
            for _, header, good in segment.scan():
                if good:
                    self._take_marks(header.marks)
                    newest = max(newest, header.before)
            if self.positions:
                break
        for before, marks in sorted(self._settled):
            if before >= newest:
                self._take_marks(marks)
        self._settled.clear()

    def _take_marks(self, marks: bytes) -> None:
        if not marks:
            return
        import cbor2

        try:
            found = cbor2.loads(marks)
            self.positions.update({str(key): (int(at), int(check)) for key, (at, check) in found.items()})
        except (cbor2.CBORError, ValueError, AttributeError, TypeError):
            pass  # the checksum was right, so another version wrote them; without them lines are read again

    def _resize(self) -> None:
        """Make the segments that the limit allows; give up free ones beyond it. A full disk makes it smaller."""
        size = segment_size(self.limit)
        for segment in [segment for segment in self._free if segment.size != size]:
            self._free.remove(segment)
            self._remove(segment)
        while self._free and self._total() > self.limit:
            self._remove(self._free.pop())
        total = self._total()
        number = 0
        names = {segment.name for segment in self._used + self._free}
        while total + size <= self.limit:
            while (name := f"{number:06d}.seg") in names:
                number += 1
            try:
                file = self.files.create(f"{self.directory}/{name}", size)
            except FileExistsError:
                names.add(name)
                continue
            except OSError as error:
                self._note(f"only {total} of {self.limit} bytes of disk could be reserved: {reason(error)}")
                if not self._used and not self._free:
                    raise
                return
            names.add(name)
            total += size
            self._free.append(Segment(name, file))
        if not self._used and not self._free:
            self._note(f"there is no room on disk beside what is set aside: {total} of {self.limit} bytes; records wait in "
                       "memory only, until a version that knows it has read it, or disk is made larger")  # fmt: skip

    def _total(self) -> int:
        return self._aside + sum(segment.size for segment in self._used + self._free)

    def _remove(self, segment: Segment) -> None:
        segment.file.close()
        try:
            self.files.unlink(f"{self.directory}/{segment.name}")
        except OSError as error:
            self._note(f"{segment.name} can't be removed: {reason(error)}")

    def _leave(self, segment: Segment, why: str) -> None:
        """Don't touch a file that can't be understood; a newer program or a person may."""
        segment.file.close()
        self._aside += segment.size
        self._note(f"{segment.name} is set aside, not used and not changed: {why}")

    @property
    def end(self) -> Position:
        """Where the next chunk would go, or behind everything."""
        return (self._active.use, self._active.end) if self._active is not None else (self._next_use, 0)

    def rewind(self) -> None:
        """Read again from the cursor."""
        self.read_at = (self.cursor.use, self.cursor.offset)
        self._passed = self.cursor.acked
