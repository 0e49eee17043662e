"""The pipeline: from what an input hands over, through the filters, into the buffers of the matching outputs.

It owns tag routing and backpressure. A buffer that blocks takes only a part of a batch; the rest is parked here, with the
route that it is for, and the input it came from is paused, so at most one read per input is ever parked. When all that is
parked for an input has found its place and the buffer has room again, the input is resumed. A route that doesn't block
never holds up another one.

It must not know plugins' insides, files, sockets or time.
"""

from __future__ import annotations

from collections import deque

from edgebit.errors import reason
from edgebit.record import records_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from edgebit.buffer.queue import Buffer
    from edgebit.log import Log, Trouble
    from edgebit.plugin import Filter, Receipt
    from edgebit.record import Record
    from edgebit.sender import Sender
    from edgebit.stats import Counters, Stats

    class Source(Protocol):
        """An input as the pipeline sees it."""

        name: str
        stats: Counters

        def hold(self) -> None:
            """Stop reading."""
            ...

        def unhold(self) -> None:
            """Read again."""
            ...


_TAGS = 1024  # routes are remembered for so many tags; tags come from outside, so the table is bounded


class FilterStep:
    """A filter with the tags that it applies to."""

    def __init__(self, name: str, matches: Callable[[str], bool], filter: Filter, stats: Counters,
                 trouble: Trouble) -> None:  # fmt: skip
        self.name, self.matches, self.filter, self.stats, self.trouble = name, matches, filter, stats, trouble


class Route:
    """An output's way in: which tags, which buffer, and what is parked for it."""

    def __init__(self, name: str, matches: Callable[[str], bool], buffer: Buffer, sender: Sender) -> None:
        self.name, self.matches, self.buffer, self.sender = name, matches, buffer, sender
        self.open_buffer: Callable[[], Buffer] | None = None  # for one on disk, opened when the agent starts
        self.parked: deque[tuple[Source, str, list[Record], int, Receipt | None]] = deque()
        self.held: dict[str, Source] = {}  # inputs that wait for this route

    def offer(self, source: Source, tag: str, records: list[Record], size: int, receipt: Receipt | None) -> None:
        """Into the buffer, or what doesn't fit behind what is parked already."""
        if receipt is not None and receipt.again and receipt.mark is not None and self.buffer.holds(receipt.mark):
            return
        taken = 0 if self.parked else self.buffer.append(tag, records, size, receipt)
        if taken < len(records):
            rest = records[taken:] if taken else records
            if receipt is not None:
                receipt.hold()
            self.parked.append((source, tag, rest, size * len(rest) // len(records), receipt))
            if source.name not in self.held:
                self.held[source.name] = source
                source.hold()

    def unpark(self) -> bool:
        """Append what is parked, as far as there is room. True if something moved."""
        moved = False
        while self.parked:
            source, tag, records, size, receipt = self.parked[0]
            taken = self.buffer.append(tag, records, size, receipt)
            moved = moved or taken > 0
            if taken < len(records):
                rest = records[taken:]
                self.parked[0] = (source, tag, rest, size * len(rest) // len(records), receipt)
                break
            self.parked.popleft()
            if receipt is not None:
                receipt.release()
        return moved


class Pipeline:
    """See the module's docstring. `filters` in config order, `routes` one per output."""

    def __init__(self, filters: Sequence[FilterStep], routes: Sequence[Route], stats: Stats, log: Log) -> None:
        self.filters, self.routes, self.stats, self._log = filters, routes, stats, log
        self._plan: dict[str, tuple[list[FilterStep], list[Route]]] = {}
        self._unmatched: set[str] = set()

    def emit(
        self, source: Source, tag: str, records: list[Record], raw: int = 0, receipt: Receipt | None = None
    ) -> None:
        """Take a batch from an input: filter it and give it to each matching output's buffer."""
        count = len(records)
        source.stats.add("records", count)
        if raw:
            source.stats.add("bytes", raw)
        steps, routes = self._plan.get(tag) or self._make_plan(tag)
        for step in steps:
            before = len(records)
            step.stats.add("records", before)
            try:
                records = step.filter.process(tag, records)
            except Exception as error:  # noqa: BLE001 - a filter may raise anything; records are worth more than its work
                step.stats.add("errors")
                step.trouble.begin(f"failed on a batch of {tag}: {reason(error)}", "such batches pass unfiltered")
            if len(records) < before:
                step.stats.add("dropped", before - len(records))
        if records and routes:
            if len(records) < count:
                raw = raw * len(records) // count
            size = records_size(records, raw)
            for route in routes:
                route.offer(source, tag, records, size, receipt)
        elif records:
            source.stats.add("unmatched", len(records))
        if receipt is not None:
            receipt.release()

    def _make_plan(self, tag: str) -> tuple[list[FilterStep], list[Route]]:
        if len(self._plan) >= _TAGS:
            self._plan.clear()
        plan = ([f for f in self.filters if f.matches(tag)], [r for r in self.routes if r.matches(tag)])
        self._plan[tag] = plan
        if not plan[1] and tag not in self._unmatched and len(self._unmatched) < 100:
            self._unmatched.add(tag)
            self._log.warn(
                f'no output matches the tag "{tag}": its records go nowhere; add an output with match = "{tag}"'
            )
        return plan

    def recovered(self, tag: str, source: str) -> list[tuple[int, int]]:
        """See plugin.InputContext.recovered."""
        return [route.buffer.recovered(source) or (-1, 0) for route in self.routes if route.matches(tag)]

    # -- steps of the end of a turn, in the agent's order -------------------------------------------------------------

    def commit(self) -> float | None:
        """Let buffers on disk write and sync what is due; seconds until there is more of that to do, or None."""
        times = []
        for route in self.routes:
            route.buffer.commit()
            deadline = route.buffer.deadline
            if deadline is not None:
                times.append(deadline)
        return min(times) if times else None

    def pump(self) -> None:
        """Hand batches to outputs."""
        for route in self.routes:
            route.sender.pump()

    def unpark(self) -> None:
        """Give parked records the room that the outputs have made; resume inputs that nothing of theirs waits for."""
        for route in self.routes:
            if route.parked and route.unpark():
                route.sender.pump_soon()
            if route.held and not route.parked and route.buffer.used <= route.buffer.limit * 3 // 4:
                held, route.held = route.held, {}
                for name, source in held.items():
                    if not any(name in other.held for other in self.routes):
                        source.unhold()
            route.buffer.relax()

    @property
    def idle(self) -> bool:
        """Everything that was taken has been delivered."""
        return all(route.sender.empty and not route.parked for route in self.routes)
