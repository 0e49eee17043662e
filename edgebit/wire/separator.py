"""Frames that end with any separator, such as ";" or ETX: the sibling of framing.LineSplitter, with the same promises.

Pure. Bounded: a frame over the limit is truncated, counted in `truncated`, and its rest skipped. The same frames come
out however the bytes were cut up, a separator of several bytes included.
"""

from __future__ import annotations

from edgebit.wire.framing import _cut, _text


class SeparatorSplitter:
    """`separator` ends a frame and is not part of it; `limit` is the longest frame in bytes."""

    __slots__ = ("_char", "_limit", "_rest", "_separator", "_skipping", "truncated")

    def __init__(self, separator: bytes, limit: int) -> None:
        self._separator, self._limit = separator, limit
        self._char = separator.decode() if len(separator) == 1 and separator.isascii() else ""
        self._rest = bytearray()
        self._skipping = False  # inside of a frame that was already given, truncated
        self.truncated = 0

    @property
    def pending(self) -> int:
        return 0 if self._skipping else len(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """The frames that these bytes complete, in order."""
        overlap = len(self._separator) - 1  # so much of a separator may have come with the last read
        start = max(0, len(self._rest) - overlap)
        self._rest += data
        frames: list[str] = []
        if self._rest.find(self._separator, start) >= 0:
            if self._char and not self._skipping:  # the usual case, a block at a time
                block, _, self._rest = self._rest.rpartition(self._separator)
                frames = _text(block).split(self._char)
                if len(block) > self._limit and max(map(len, frames)) * 4 > self._limit:
                    frames = [self._frame(frame) for frame in block.split(self._separator)]
            else:
                *whole, self._rest = self._rest.split(self._separator)
                if self._skipping:
                    self._skipping = False
                    del whole[0]
                frames = [self._frame(frame) for frame in whole]
        if len(self._rest) > self._limit + overlap and not self._skipping:  # too long even if a separator has begun
            frames.append(self._frame(self._rest))
            self._skipping = True
        if self._skipping:
            del self._rest[: max(0, len(self._rest) - overlap)]
        return frames

    def finish(self) -> list[str]:
        """The stream has ended: what is left of it as a frame, or nothing. Ready for a new stream afterwards."""
        rest, skipping = self._rest, self._skipping
        self._rest, self._skipping = bytearray(), False
        return [self._frame(rest)] if rest and not skipping else []

    def whole(self, data: bytes) -> list[str]:
        """What a stream of just these bytes gives, its end included. Not in the middle of another one."""
        return self.feed(data) + self.finish()

    def _frame(self, frame: bytearray) -> str:
        if len(frame) <= self._limit:
            return _text(frame)
        self.truncated += 1
        return _text(_cut(frame, self._limit))
