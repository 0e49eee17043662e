"""Splitters: bytes as they come from a stream in, complete lines or messages out.

They do no input or output, hold a bounded number of bytes, and give the same frames however the bytes were cut up.
Nothing that a peer sends makes them fail: a frame over the limit is truncated, counted in `truncated`, and its rest
skipped; the stream goes on behind it. Frames are text (UTF-8; bytes that aren't become surrogate escapes), without
their line end. Work is done a block at a time, one decode and one split a read, because a cost a line is what counts.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Splitter(Protocol):
        """What the splitters have in common."""

        truncated: int  # frames cut at the limit so far

        @property
        def pending(self) -> int:
            """Bytes held of a frame that isn't complete."""
            ...

        def feed(self, data: bytes) -> list[str]:
            """The frames that these bytes complete, in order."""
            ...

        def finish(self) -> list[str]:
            """The stream has ended: what is left of it as a frame, or nothing. Ready for a new stream afterwards."""
            ...


def _cut(data: bytes | bytearray, limit: int) -> bytes | bytearray:
    """The first `limit` bytes, or up to three fewer so as not to cut a character; there must be more than `limit`."""
    stop = limit
    while stop > max(limit - 3, 0) and data[stop] & 0xC0 == 0x80:
        stop -= 1
    return data[:stop]


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "surrogateescape")


class LineSplitter:
    """Lines that end with LF, or CR LF, or with NUL too if `nul`. Empty lines are lines.

    `limit` is the longest line in bytes; a CR before the LF counts.
    """

    __slots__ = ("_limit", "_nul", "_rest", "_skipping", "truncated")

    def __init__(self, limit: int, *, nul: bool = False) -> None:
        self._limit, self._nul = limit, nul
        self._rest = bytearray()
        self._skipping = False  # inside of a line that was already given, truncated
        self.truncated = 0

    @property
    def pending(self) -> int:
        return len(self._rest)

    def feed(self, data: bytes) -> list[str]:
        if self._nul and b"\0" in data:
            data = data.replace(b"\0", b"\n")
        end = data.rfind(b"\n")
        if end < 0:
            return self._hold(data)
        start = 0
        if self._skipping:
            self._skipping = False
            start = data.find(b"\n") + 1
            if start > end:
                return self._hold(data[start:])
        block: bytes | bytearray = data[start:end]
        if self._rest:
            block = self._rest + block
            self._rest = bytearray()
        lines = self._split(block)
        if end + 1 < len(data):
            lines += self._hold(data[end + 1 :])
        return lines

    def finish(self) -> list[str]:
        rest, self._rest, self._skipping = self._rest, bytearray(), False
        return self._split(rest) if rest else []

    def _split(self, block: bytes | bytearray) -> list[str]:
        text = _text(block)
        lines = text.split("\n")
        # A character is at most 4 bytes, so nothing needs measuring unless a line is near the limit.
        if len(block) > self._limit and max(map(len, lines)) * 4 > self._limit:
            lines = [_text(self._bounded(line)) for line in block.split(b"\n")]
        if "\r" in text:
            lines = [line.removesuffix("\r") for line in lines]
        return lines

    def _bounded(self, line: bytes | bytearray) -> bytes | bytearray:
        if len(line) <= self._limit:
            return line
        self.truncated += 1
        return _cut(line, self._limit)

    def _hold(self, data: bytes) -> list[str]:
        """Keep bytes without a line end; more than the limit of them is a line, truncated."""
        if self._skipping:
            return []
        self._rest += data
        if len(self._rest) <= self._limit:
            return []
        lines = self.finish()
        self._skipping = True
        return lines
