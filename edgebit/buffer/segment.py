"""One segment: a file of fixed size that holds chunks one after the other, and how it is scanned."""

from __future__ import annotations

import zlib

from edgebit.buffer import format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgebit.buffer.cursor import Cursor
    from edgebit.buffer.files import File, Files
    from edgebit.buffer.format import Header

_SEARCH = 256 * 1024  # bytes searched for a header at once: a segment may be larger than a device can spare
_BLOCK = 64 * 1024  # bytes read at once when looking for headers: small chunks come many to a read
_PIECE = 4096  # bytes that are given up together when they can't be read
DAMAGED_COPIES = 2  # segments kept in `damaged/`


class Segment:
    """`use` is 0 while it is free. `end` is where the next chunk goes, known only of the newest segment. `before`: records
    written before its first chunk. `patient`: what can't be read is zeros, and with that damage, instead of an error;
    `unread` counts such bytes."""

    __slots__ = ("_block", "_block_at", "before", "end", "file", "name", "patient", "unread", "use")

    def __init__(self, name: str, file: File) -> None:
        self.name, self.file = name, file
        self.use = self.end = self.before = self.unread = 0
        self.patient = False
        self._block, self._block_at = b"", 0

    @property
    def size(self) -> int:
        return self.file.size

    def _pread(self, length: int, at: int) -> bytes:
        try:
            return self.file.pread(length, at)
        except OSError:
            if not self.patient:
                raise
        if length > _PIECE:
            end = min(at + length, self.size)
            return b"".join([self._pread(min(_PIECE, end - place), place) for place in range(at, end, _PIECE)])
        self.unread += length
        return bytes(length)

    def header(self, at: int) -> Header | None:
        """The header at `at`, or None. Raises UnknownVersion, OSError."""
        for fresh in (False, True):  # what was read before may be older than a chunk that was written since
            if fresh or not self._block_at <= at < self._block_at + len(self._block):
                self._block, self._block_at = self._pread(_BLOCK, at), at
            header = format.parse(self._block, at - self._block_at)
            if header is not None:
                return header
            if self._block_at == at:
                # Tags and marks may be longer than a block; their lengths are bounded by the file's.
                if len(self._block) == _BLOCK and self._block[:4] == format.MAGIC:
                    return format.parse(self._pread(self.size - at, at))
                return None
        return None

    def payload(self, at: int, header: Header) -> bytes | None:
        """The payload of the chunk at `at`, or None if it is damaged."""
        start = at + header.payload_at
        block_end = self._block_at + len(self._block)
        if self._block_at <= start and start + header.payload_length <= block_end:
            offset = start - self._block_at
            data = self._block[offset : offset + header.payload_length]
        else:
            data = self._pread(header.payload_length, start)
        return data if len(data) == header.payload_length and zlib.crc32(data) == header.crc else None

    def next_good(self, at: int) -> tuple[int, Header] | None:
        """The next chunk of this use whose header is whole, from `at` on; the whole rest of the segment is searched."""
        return self._search(at, self.use)

    def _search(self, at: int, use: int | None) -> tuple[int, Header] | None:
        while at < self.size:
            block = self._pread(_SEARCH, at)
            found = format.find(block, 0, use, self.size - at)
            if found is not None:
                return at + found[0], found[1]
            if at + len(block) >= self.size or len(block) < _SEARCH:
                return None
            at += _SEARCH // 2  # a header that the end of the block cuts off is found whole in the next one
        return None

    def first(self) -> Header | None:
        """Find out what this segment holds and set `use`; its first good header, or None for an empty one. Raises
        UnknownVersion if it was written by another version."""
        self.use = 0
        header = self.header(0)
        if header is None:
            # Never used, or its first chunk is damaged: only a search can tell. Space that was reserved and never
            # written is read as zeros without touching the medium.
            found = self._search(0, None)
            header = found[1] if found else None
        if header is not None:
            self.use, self.before = header.use, header.before
        return header

    def headers(self, at: int = 0) -> Iterator[tuple[int, Header]]:
        """(place, header) of every chunk of this use whose header is whole, from `at` on."""
        while at + format.HEADER_SIZE <= self.size:
            try:
                header = self.header(at)
            except format.UnknownVersion:
                header = None
            if header is None or header.use != self.use or at + header.length > self.size:
                found = self.next_good(at)
                if found is None:
                    return
                at, header = found
            yield at, header
            at += header.length

    def scan(self, at: int = 0) -> Iterator[tuple[int, Header, bool]]:
        """The same with whether the payload is good. Reads everything."""
        for place, header in self.headers(at):
            yield place, header, self.payload(place, header) is not None

    def wipe(self, at: int) -> None:
        """Zero all chunks of this use from `at` on, the last first: each says that those before it had been there. Then
        what may be a chunk without its first bytes, which no search finds: those are the same in all chunks, and a new one
        at its place of which nothing else reaches the medium would make it whole."""
        blocks = list(self._marked_blocks(at))
        if blocks:
            self.wipe_headers(list(self.headers(at)))
            for begin, end in blocks:
                self.file.pwrite(bytes(end - begin), begin)  # one write: nothing in between is worth keeping either
            self.file.sync()

    def wipe_headers(self, chunks: list[tuple[int, Header]]) -> None:
        """Zero these headers, given as (place, header), the last first."""
        for at, header in reversed(chunks):
            # All of it: of a write that is torn later, the first bytes alone would make an old one whole again.
            self.file.pwrite(bytes(format.HEADER_SIZE), at)
            if header.flags & format.SYNCED:
                self.file.sync()
        self.file.sync()
        self.forget_block()

    def _marked_blocks(self, at: int) -> Iterator[tuple[int, int]]:
        """(begin, end) from the first to the last place in each block of the file where a header may be that has this use,
        whole or not."""
        mark = self.use.to_bytes(8, "little")
        while at + format.HEADER_SIZE <= self.size:
            block = self._pread(_SEARCH, at)
            first = block.find(mark, format.USE_AT)
            if first >= 0:
                last = block.rfind(mark) - format.USE_AT + format.HEADER_SIZE
                yield at + first - format.USE_AT, min(at + last, self.size)
            if len(block) < _SEARCH:
                return
            at += _SEARCH - format.HEADER_SIZE

    def forget_block(self) -> None:
        """The file was written: what was read of it may be old."""
        self._block = b""


def in_order(segments: list[Segment]) -> None:
    """Sort them as they were written. Each begins where the earlier ones end: what they have from there on was written
    again. So none begins behind a later one's beginning, also if its first chunk is lost."""
    segments.sort(key=lambda segment: segment.use)
    for i in reversed(range(len(segments) - 1)):
        segments[i].before = min(segments[i].before, segments[i + 1].before)


def is_settled(segment: Segment, cursor: Cursor) -> bool:
    """It was dropped, or is left from a use that was, behind the start of one that is gone. It must not be taken for what
    was written last: its use may be higher than that of the segment which is written to now."""
    return segment.use > cursor.use and all(
        header.after <= cursor.acked or cursor.holes.cover(header.before, header.after)
        for _, header in segment.headers()
    )


def keep_copy(files: Files, directory: str, segment: Segment, note: Callable[[str], object]) -> None:
    """A copy of a damaged segment for the curious, if there is room for two; a few are kept."""
    damaged = f"{directory}/damaged"
    name = f"{segment.use:012d}-{segment.name}"
    try:
        kept = files.listdir(damaged)
        if name in kept or len(kept) >= DAMAGED_COPIES or files.free(directory) < 2 * segment.size:
            return
        files.makedirs(damaged)
        files.replace(f"{damaged}/{name}", segment.file.pread(segment.size, 0), sync=False)
        note(f"a copy of the damaged segment is kept as {damaged}/{name}")
    except OSError:
        pass  # it was for the curious only
