"""Records of a log that are settled out of turn: dropped, expired or damaged and told, or delivered before older ones.

Nobody hands them out again, and nobody misses them. Records are counted as they were written into the directory; a span is
(records before it, records up to its end). Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Span = tuple[int, int]


class Holes:
    """Spans that neither touch nor overlap, oldest first."""

    __slots__ = ("spans",)

    def __init__(self, spans: tuple[Span, ...] = ()) -> None:
        self.spans = spans

    def __len__(self) -> int:
        """How many records are in them."""
        return sum(stop - start for start, stop in self.spans)

    @property
    def end(self) -> int:
        return self.spans[-1][1] if self.spans else 0

    def add(self, start: int, stop: int) -> None:
        apart = []
        if start == stop:
            return
        for span in self.spans:
            if span[0] <= stop and start <= span[1]:
                start, stop = min(start, span[0]), max(stop, span[1])
            else:
                apart.append(span)
        self.spans = tuple(sorted([*apart, (start, stop)]))

    def cover(self, start: int, stop: int) -> bool:
        return any(span[0] <= start and stop <= span[1] for span in self.spans)

    def between(self, start: int, stop: int) -> list[Span]:
        """What of this span is in none."""
        found = []
        for hole_start, hole_stop in self.spans:
            if start < min(hole_start, stop):
                found.append((start, min(hole_start, stop)))
            start = max(start, hole_stop)
        if start < stop:
            found.append((start, stop))
        return found

    def pass_over(self, at: int) -> int:
        """The end of the span that this is in or at, or itself."""
        return next((stop for start, stop in self.spans if start <= at < stop), at)

    def pass_by(self, acked: int) -> int:
        """So many records are acknowledged, and with them what is settled right behind: the new count. Those holes are
        forgotten."""
        while self.spans and self.spans[0][0] <= acked:
            acked = max(acked, self.spans[0][1])
            self.spans = self.spans[1:]
        return acked

    def cut_off(self, end: int) -> None:
        """The log ends here; what comes from now on has nothing to do with what was behind it."""
        self.spans = tuple((start, min(stop, end)) for start, stop in self.spans if start < end)
