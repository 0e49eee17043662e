"""A followed file that is compressed with gzip (RFC 1952): positions are those of its content.

It is decompressed as it is read, never more than a read needs, and may still grow. What was read is not kept: going
back, which only a restart does, means to decompress from the beginning again, a piece in each turn. The content of such
a file does not change, so its beginning is proof enough that it is the same.

When a rotated file is compressed, its content appears once more under a new name. `resume_behind` then skips what was
read of it already, if it is that.
"""

from __future__ import annotations

import os
import zlib

from edgebit.inputs.checkpoint import FINGERPRINT, Position, mark
from edgebit.inputs.tail_files import TailedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgebit.inputs.checkpoint import Mark
    from edgebit.inputs.tail_files import Identity

END = 1 << 62  # a position behind everything: the file is not read
_GZIP = 31  # window bits for a gzip member
_PIECE, _TURN = 1 << 16, 1 << 20  # bytes of content decompressed at a time, and in a turn while catching up


def is_gzip(path: str) -> bool:
    return path.endswith(".gz")


class GzipFile(TailedFile):
    """See the module's docstring. What stands before `_at` in the content is not in memory."""

    __slots__ = ("_at", "_expected", "_inflate", "_raw_at", "_saved", "_whole", "_window")

    def __init__(self, path: str, tag: str, fd: int, identity: Identity, offset: int,
                 moved: Callable[[], object], codec: str = "utf-8") -> None:  # fmt: skip
        self._expected: Mark | None = None
        self._start_over()
        super().__init__(path, tag, fd, identity, offset, moved, codec)

    def fits(self, position: Position) -> bool:
        """Whether it begins like the file of this position."""
        return mark(self.pread(position.head[0], 0)) == position.head

    def resume_behind(self, positions: Iterable[Position]) -> None:
        """Skip what was read before the file was compressed, when that turns out to be so."""
        for position in positions:
            if position.head[0] >= min(FINGERPRINT, position.offset) > 0 and self.fits(position):
                self.offset, self._expected = position.offset, position.tail
                self._remember()
                return

    def pread(self, size: int, at: int) -> bytes:
        if at == self._saved[0] and at < self._at:
            return self._saved[1][:size]
        if at < self._at:
            self._start_over()
        while self._at + len(self._window) < at + size and self._more():
            self._forget(at)
        return self._window[at - self._at :][:size] if at >= self._at else b""

    def size(self) -> int:
        """Of the content, as far as it has been decompressed."""
        return self._at + len(self._window)

    def tail_at(self, offset: int) -> bytes:
        return b""

    def read(self, size: int, limit: int) -> tuple[bytes, int]:
        if self.offset >= END:
            self.at_end = True
            return b"", 0
        begin = self.offset - (len(self.tail) or min(FINGERPRINT, self.offset))
        if not self.scanned:
            self._saved = (-1, b"")
        if not self.scanned and self.size() < self.offset:
            goal = min(self.size() + _TURN, self.offset)
            while self.size() < goal and self._more():
                self._forget(begin)
            if goal < self.offset and self.size() >= goal:
                self.at_end = False
                return b"", 0
        if self._expected is not None:
            if self.size() < self.offset and not self._whole:
                self.at_end = True  # it is being written just now
                return b"", 0
            expected, self._expected = self._expected, None
            if mark(self.pread(expected[0], self.offset - expected[0])) != expected:
                self.rewind()  # it only begins like the file that was read
        return super().read(size, limit)

    def is_stored(self, at: int, check: int, known: bool) -> bool:
        return known and at >= 0

    def close(self) -> None:
        super().close()
        self._start_over()

    def rewind(self) -> None:
        super().rewind()
        self._start_over()

    def _remember(self) -> None:
        self.head = self.pread(min(FINGERPRINT, self.offset), 0) if self.offset < END else b""
        self.tail = b""

    def _start_over(self) -> None:
        self._inflate, self._raw_at, self._at, self._window = zlib.decompressobj(_GZIP), 0, 0, b""
        self._saved, self._whole = (-1, b""), False

    def _forget(self, before: int) -> None:
        """Drop what stands before an offset; but keep the beginning of a long line until its end has been found."""
        if before <= self._at:
            return
        begin = self.offset - len(self.tail)
        if self._at <= begin < before and self._saved[0] != begin:
            self._saved = (begin, self._window[begin - self._at :])
        drop = min(before - self._at, len(self._window))
        self._window, self._at = self._window[drop:], self._at + drop

    def _more(self) -> bool:
        """Decompress a piece; False at the end."""
        if self.damage:
            return False
        held = self._inflate.unconsumed_tail
        packed = held or os.pread(self.fd, _PIECE // 4, self._raw_at)
        if self._whole and not packed.strip(b"\0"):  # gzip allows zeros behind the last member
            return False
        if not held:
            self._raw_at += len(packed)
        try:
            piece = self._inflate.decompress(packed, _PIECE)
        except zlib.error as error:
            self.damage = str(error)
            return False
        self._whole = self._inflate.eof
        if self._whole:  # a member; another may follow
            self._raw_at -= len(self._inflate.unused_data)
            self._inflate = zlib.decompressobj(_GZIP)
        self._window += piece
        return bool(packed or piece)


def fits(fd: int, position: Position) -> bool:
    """Whether a compressed file begins like the one of this position."""
    head = b""
    inflate = zlib.decompressobj(_GZIP)
    try:
        head = inflate.decompress(os.pread(fd, _PIECE // 4, 0), FINGERPRINT)
    except zlib.error:
        pass
    return mark(head[: position.head[0]]) == position.head
