"""The pipeline: from what an input hands over, through the filters, into the buffers of the matching outputs.

It owns tag routing and backpressure. A buffer that blocks takes only a part of a batch; the rest is parked here, with the
route that it is for, and the input it came from is paused, so at most one read per input is ever parked. When all that is
parked for an input has found its place and the buffer has room again, the input is resumed. A route that doesn't block
never holds up another one.

Filters may emit: send records of a batch through the filters again, under another tag. Those wait in a queue until the
batch has found its place, and stand under its receipt. As a filter doesn't emit what it has emitted before, there
is an end to it.

It must not know plugins' insides, files, sockets or time.
"""

from __future__ import annotations

from collections import deque

from edgebit.buffer import BLOCK
from edgebit.errors import reason
from edgebit.plugin import Origin, Receipt
from edgebit.record import records_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Protocol

    from edgebit.buffer.queue import Buffer
    from edgebit.buffer.restore import RestorableBuffer
    from edgebit.log import Log, Trouble
    from edgebit.plugin import Filter
    from edgebit.record import Record
    from edgebit.sender import Sender
    from edgebit.stats import Counters, Stats

    class Source(Protocol):
        """An input as the pipeline sees it."""

        name: str
        stats: Counters

        @property
        def patient(self) -> bool:
            """Holding it loses nothing."""
            ...

        def hold(self) -> None:
            """Stop reading."""
            ...

        def unhold(self) -> None:
            """Read again."""
            ...


_TAGS = 1024  # routes are remembered for so many tags; tags come from outside, so the table is bounded
_DEPTH = 8  # how often a record may be emitted by different filters: each may emit a copy, so it could become 2**8


class FilterStep:
    """A filter with the tags that it applies to."""

    def __init__(self, name: str, matches: Callable[[str], bool], filter: Filter, stats: Counters,
                 trouble: Trouble) -> None:  # fmt: skip
        self.name, self.matches, self.filter, self.stats, self.trouble = name, matches, filter, stats, trouble
        self.emits = filter.emits
        self.origin: Origin | None = None  # of the batch that the filter works on, if it emits
        self.waiting: dict[Source, None] = {}  # inputs that wait for this filter, in order
        self.patient = False
        self.held = False  # records of its own wait for room
        self._refused: set[str] = set()

    def may_emit(self, tag: str) -> bool:
        """Whether the batch that the filter works on may be emitted under this tag; says so once if not."""
        assert self.origin is not None
        path = self.origin.path
        if self not in path and len(path) < _DEPTH:
            return True
        self.stats.add("refused")
        why = "it has emitted them before" if self in path else f"they were emitted {_DEPTH} times already"
        if why not in self._refused:
            self._refused.add(why)
            self.trouble.begin(f"records are not emitted again as {tag}: {why}", "they go on under the tag that they have; "
                               "let match or the rules leave out the new tags")  # fmt: skip
        return False

    # A filter's own records have the step itself as their source.

    def hold(self) -> None:
        self.held = True

    def unhold(self) -> None:
        self.held = False


class Route:
    """An output's way in: which tags, which buffer, and what is parked for it."""

    def __init__(self, name: str, matches: Callable[[str], bool], buffer: Buffer, sender: Sender) -> None:
        self.name, self.matches, self.buffer, self.sender = name, matches, buffer, sender
        self.open_buffer: Callable[[], RestorableBuffer] | None = None  # for one on disk, opened when the agent starts
        self.parked: deque[tuple[Source, str, list[Record], int, Receipt | None]] = deque()
        self.held: dict[Source, None] = {}  # inputs (or filters) that wait for this route, in order
        self.yielding: dict[Source, None] = {}  # inputs that wait a moment for its output to catch up

    def offer(self, source: Source, tag: str, records: list[Record], size: int, receipt: Receipt | None) -> None:
        """Into the buffer, or what doesn't fit behind what is parked already."""
        if receipt is not None and receipt.again and receipt.mark is not None and self.buffer.holds(receipt.mark):
            return
        if receipt is not None and receipt.awaited:
            self.sender.flush()
        taken = 0 if self.parked else self.buffer.append(tag, records, size, receipt)
        if taken < len(records):
            rest = records[taken:] if taken else records
            if receipt is not None:
                receipt.hold()
            self.parked.append((source, tag, rest, size * len(rest) // len(records), receipt))
            if source not in self.held:
                self.held[source] = None
                source.hold()
        elif source.patient and self.buffer.overflow == BLOCK and self.buffer.behind:
            self._let_output_go_first(source)

    def _let_output_go_first(self, source: Source) -> None:
        """A source that is faster than this process would fill the buffer though the collector keeps up, and what waits in
        a full buffer costs: to be encoded, written, read, decoded. So who can wait does, while answers come quickly: as
        soon as a chunk waits behind one that is on its way, and before anything has to be encoded (queue.DECODED)."""
        if source not in self.yielding and self.sender.quick:
            self.yielding[source] = None
            source.hold()
            self.sender.pump_later()  # so that the end of quick answers is noticed

    def caught_up(self) -> bool:
        """Whether the inputs that wait for the output to catch up may go on."""
        return not self.buffer.behind or not self.sender.quick

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
        self._plan: dict[str, tuple[list[FilterStep], list[Route], bool]] = {}
        self._unmatched: set[str] = set()
        self._emitted: deque[tuple[Source, str, list[Record], int, Receipt | None, tuple[FilterStep, ...], bool]] = (
            deque()
        )

    def emit(
        self, source: Source, tag: str, records: list[Record], raw: int = 0, receipt: Receipt | None = None
    ) -> None:
        """Take a batch from an input: filter it and give it to each matching output's buffer."""
        source.stats.add("records", len(records))
        if raw:
            source.stats.add("bytes", raw)
        self._flow(source, tag, records, raw, receipt, ())
        if self._emitted:
            self._flow_emitted()
        if receipt is not None:
            receipt.release()

    def _flow(self, source: Source, tag: str, records: list[Record], raw: int, receipt: Receipt | None,
              path: tuple[FilterStep, ...], onward: bool = False) -> None:  # fmt: skip
        count = len(records)
        steps, routes, parting = self._plan.get(tag) or self._make_plan(tag)
        if onward:  # behind the last one of the path
            behind = self.filters.index(path[-1]) + 1
            steps = [step for step in self.filters[behind:] if step in steps]
        if parting and receipt is not None and receipt.mark is not None:
            # Records of the batch part ways, and chunks of different tags are not stored in the order of their coming: no
            # mark could say up to where all are stored. The receipt alone is true.
            receipt.hold()
            receipt = Receipt(receipt.release, awaited=receipt.awaited)
            parted = receipt
        else:
            parted = None
        for step in steps:
            before = len(records)
            step.stats.add("records", before)
            emits = step.emits
            if emits:
                step.origin = Origin(source, receipt, path, step in path)
            try:
                records = step.filter.process(tag, records)
            except Exception as error:  # noqa: BLE001 - a filter may raise anything; records are worth more than its work
                step.stats.add("errors")
                step.trouble.begin(f"failed on a batch of {tag}: {reason(error)}", "such batches pass unfiltered")
            if emits:
                step.origin = None
            elif len(records) < before:
                step.stats.add("dropped", before - len(records))
            if not records:
                break
        if records and routes:
            if len(records) < count:
                raw = raw * len(records) // count
            size = records_size(records, raw)
            for route in routes:
                route.offer(source, tag, records, size, receipt)
        elif records:
            source.stats.add("unmatched", len(records))
        if parted is not None:
            parted.release()

    def emit_again(self, step: FilterStep, tag: str, records: list[Record], kept: Sequence[Origin] = (),
                   onward: bool = False) -> bool:  # fmt: skip
        """See plugin.FilterContext.emit."""
        origin = step.origin
        if origin is not None:
            if not onward and not step.may_emit(tag):
                return False
            kept = (*kept, origin.keep())
        step.stats.add("emitted", len(records))
        receipts = [one.receipt for one in kept if one.receipt is not None]
        receipt = receipts[0] if len(receipts) == 1 else _joined(receipts) if receipts else None
        source = kept[-1].source if kept else step
        path = (*(kept[-1].path if kept else ()), step)
        # For the memory account, the text that they hold; a filter may have picked the longest of many.
        raw = sum([len(value) for record in records for value in record[2] if type(value) is str])
        self._emitted.append((source, tag, records, raw, receipt, path, onward))
        if origin is None:
            self._flow_emitted()
        return True

    def _flow_emitted(self) -> None:
        while self._emitted:
            source, tag, records, raw, receipt, path, onward = self._emitted.popleft()
            self._flow(source, tag, records, raw, receipt, path, onward)
            if receipt is not None:
                receipt.release()

    def _make_plan(self, tag: str) -> tuple[list[FilterStep], list[Route], bool]:
        if len(self._plan) >= _TAGS:
            self._plan.clear()
        steps = [step for step in self.filters if step.matches(tag)]
        routes = [route for route in self.routes if route.matches(tag)]
        plan = (steps, routes, any(step.emits and step.filter.parts for step in steps))
        self._plan[tag] = plan
        if not plan[1] and tag not in self._unmatched and len(self._unmatched) < 100:
            self._unmatched.add(tag)
            self._log.warn(
                f'no output matches the tag "{tag}": its records go nowhere; add an output with match = "{tag}"'
            )
        return plan

    def takers(self, tag: str) -> list[str]:
        """Names of the outputs that take this tag."""
        return [route.name for route in self.routes if route.matches(tag)]

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
                self._resume(held)
            if route.yielding and route.caught_up():
                held, route.yielding = route.yielding, {}
                self._resume(held)

    def hold_for(self, step: FilterStep) -> None:
        """The input of the batch that this filter works on shall wait until `resume_for`."""
        source = step.origin.source if step.origin is not None else None
        if source is not None and source not in step.waiting:
            step.waiting[source] = None
            source.hold()

    def resume_for(self, step: FilterStep) -> None:
        """Nothing waits for this filter any longer."""
        if step.waiting:
            held, step.waiting = step.waiting, {}
            self._resume(held)

    def _resume(self, held: Iterable[Source]) -> None:
        for source in held:
            if not any(source in route.held or source in route.yielding for route in self.routes) and not any(
                source in step.waiting for step in self.filters
            ):
                source.unhold()

    @property
    def idle(self) -> bool:
        """Everything that was taken has been delivered."""
        return all(route.sender.empty and not route.parked for route in self.routes) and all(
            step.filter.idle for step in self.filters
        )


def _joined(receipts: list[Receipt]) -> Receipt:
    """One receipt for several that are held already; it releases each once."""

    def safe() -> None:
        for receipt in receipts:
            receipt.release()

    return Receipt(safe)
