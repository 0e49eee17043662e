"""Opening a log: what is in its directory, where it begins and ends, and the space that is reserved for it.

It promises that `open` never fails because of what it finds in the files: torn, zeroed or damaged parts are stepped over
and counted, a format from the future is left alone. It fails (OSError) only when the directory can't be used at all.
"""

from __future__ import annotations

from edgebit.buffer import format
from edgebit.buffer.cursor import Cursor, CursorFile
from edgebit.buffer.segment import Segment, keep_copy
from edgebit.errors import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from edgebit.buffer.files import Files
    from edgebit.buffer.format import Position


def segment_size(limit: int) -> int:
    """A sixteenth of the limit, between 64 KiB and 16 MiB, in whole pages."""
    return max(64 * 1024, min(limit // 16, 16 << 20)) // 4096 * 4096


class Directory:
    """The segments and the cursor of a log.

    lost   called with (reason, count, first sequence, stream) for what is damaged
    note   called with a line for the agent's log
    """

    def __init__(self, files: Files, directory: str, limit: int, *, lost: Callable[[str, int, int, bytes], object],
                 note: Callable[[str], object]) -> None:  # fmt: skip
        self.files, self.directory, self.limit = files, directory, limit
        self._lost, self._note = lost, note
        self._used: list[Segment] = []  # with chunks from the cursor on, oldest first; the last one is written to
        self._free: list[Segment] = []
        self._cursor_file = CursorFile(files, f"{directory}/cursor", note)
        self.cursor = Cursor()
        self._next_use = 1
        self._active: Segment | None = None  # the last of _used, if it may be written to
        self._aside = 0  # bytes of segments that can't be used
        self._passed = 0  # records written up to the chunk that was read last
        self._told = 0  # records written up to here were delivered, or their loss was told
        self._last: tuple[bytes, int] = (b"", 0)  # stream and sequence of the record that was read last
        self._holes: list[tuple[int, int]] = []  # what was dropped ahead of the reader, counted as written
        self._unsynced: list[Segment] = []
        self._durable = 0  # records written when the log was last synced, and where that was
        self._durable_end: Position = (0, 0)
        self.written = 0  # records that were ever written here
        self.read_at: Position = (0, 0)
        self.positions: dict[str, tuple[int, int]] = {}  # of sources, after the newest chunk
        self.bytes_written = self.payload_written = self.syncs = 0

    def open(self) -> None:
        """Find what is there, reserve what is missing. Raises OSError if the directory can't be used."""
        self.files.makedirs(self.directory)
        self.cursor = self._cursor_file.open() or Cursor()
        highest = self._open_segments()
        self._next_use = max(highest, self.cursor.use) + 1
        self._sort_out()
        self._find_end()
        self._read_positions()
        self._resize()
        self._durable, self._durable_end = self.written, self.end
        self.rewind()
        self._told = self.cursor.acked

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
        """Segments before the cursor are free; the rest in the order in which they were written."""
        self._used.sort(key=lambda segment: segment.use)
        keep = []
        for segment in self._used:
            if segment.use < self.cursor.use:
                segment.use = 0
                self._free.append(segment)
            else:
                keep.append(segment)
        self._used = keep
        if keep and keep[0].use != self.cursor.use:
            # The cursor is lost, or its segment: begin with the oldest chunk there is.
            self.cursor.use, self.cursor.offset = keep[0].use, 0
            first = next((header for _, header, _ in keep[0].scan()), None)
            if first is not None and not self.cursor.clean:
                # It may be older than the segments. After a clean stop it isn't, and what is between is missing.
                self.cursor.acked = max(self.cursor.acked, first.before)

    def _find_end(self) -> None:
        """Where the newest segment ends, and what the cursor knows to be missing behind it."""
        written = acked = self.cursor.acked
        for segment in reversed(self._used):
            end = self.cursor.offset if segment.use == self.cursor.use else 0
            for at, header, good in segment.scan():
                if good:  # others at the end were torn while they were written, unless the cursor knows better
                    end, written = max(end, at + header.length), max(written, header.after)
            if self._active is None:
                self._active, segment.end = segment, end
            if written > acked:
                break
        missing = self.cursor.written - written
        if missing > 0:
            self._lost("damaged on disk", missing, max(1, self.cursor.next_seq - missing), self.cursor.stream)
            if self._used:
                keep_copy(self.files, self.directory, self._used[-1], self._note)
        self.written = written  # the missing ones' numbers are given again, so nobody misses them twice
        self._drop_unfinished()

    def _drop_unfinished(self) -> None:
        """Chunks at the end whose batch was not written to its end: the process died between two writes. Their source
        goes on before them."""
        start: tuple[int, int, int] | None = None  # index of the segment, place, records written before
        unfinished: list[tuple[Segment, int]] = []
        for i in range(len(self._used) - 1, -1, -1):
            segment = self._used[i]
            stop = segment.end or segment.size
            found = [(at, header) for at, header, good in segment.scan() if at < stop and good]
            while found and found[-1][1].flags & format.CONTINUES:
                at, header = found.pop()
                start = (i, at, header.before)
                unfinished.append((segment, at))
            if found:
                break
        if start is None or (self._used[start[0]].use, start[1]) < (self.cursor.use, self.cursor.offset):
            return
        for segment, at in unfinished:  # they must not be found again behind what is written from now on
            segment.file.pwrite(bytes(len(format.MAGIC)), at)
            segment.forget_block()
        for segment in {segment for segment, _ in unfinished}:
            segment.file.sync()
        i, at, self.written = start
        for segment in self._used[i + 1 :]:
            segment.use = 0
            self._free.append(segment)
        del self._used[i + 1 :]
        self._active = self._used[i]
        self._active.end = max(1, at)
        if at == 0:
            # Its first chunk would be the start of an empty segment: begin a new use instead.
            self._free.append(self._used.pop())
            self._active = None

    def _read_positions(self) -> None:
        """The newest segment begins with all positions and each chunk adds its own; if it has none yet, the one before."""
        for segment in reversed(self._used):
            for _, header, good in segment.scan():
                if good:
                    self._take_marks(header.marks)
            if self.positions:
                return

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
        if not self._used and not self._free:
            self._note(f"there is no room on disk beside what is set aside: {total} of {self.limit} bytes; records wait in "
                       "memory only, until a version that knows it has read it, or disk is made larger")  # fmt: skip
