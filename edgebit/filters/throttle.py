"""Lets records through at a limited rate, by a sliding window; drops what is beyond, and counts it.

The window has `window` slots of `interval` each. A record is dropped while as many records as `rate` times `window` have
been let through within the window; so a burst may use up what a whole window allows. Other than in Fluent Bit a `rate`
below 1 and a `window` of 1 are taken as they are, and time is the monotonic clock's, so a step of the wall clock changes
nothing. The time is looked at once for a batch, not once for a record.
"""

from __future__ import annotations

from collections import deque
from math import ceil

from edgebit.options import Option, boolean, duration, integer, number
from edgebit.plugin import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record


class Throttle(Filter):
    """Lets records through at a limited rate."""

    NAME = "throttle"
    OPTIONS = (
        Option(
            "rate", number, 1.0, "records let through in an interval, on the average of the window", minimum=0.000001
        ),
        Option("window", integer, 5, "intervals in the window", minimum=1, maximum=100_000),
        Option("interval", duration, 1.0, "length of an interval", minimum=0.001),
        Option("print_status", boolean, False, "say in the log, once an interval, what the rate is"),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        self._allowed = ceil(round(opt.rate * opt.window, 6))
        self._slots: deque[int] = deque([0] * opt.window, maxlen=opt.window)  # the current one last
        self._total = 0
        self._start = ctx.clock.monotonic() if ctx is not None else 0.0  # of the current slot

    def open(self) -> None:
        self._start = self.ctx.clock.monotonic()
        if self.opt.print_status:
            self.ctx.call_later(self.opt.interval, self._status)

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        self._slide()
        room = max(0, self._allowed - self._total)
        if len(records) > room:
            records = records[:room]
        self._slots[-1] += len(records)
        self._total += len(records)
        return records

    def _slide(self) -> None:
        gone = int((self.ctx.clock.monotonic() - self._start) // self.opt.interval)
        if gone <= 0:
            return
        self._start += gone * self.opt.interval
        for _ in range(min(gone, self.opt.window)):
            self._total -= self._slots[0]
            self._slots.append(0)

    def _status(self) -> None:
        self.ctx.call_later(self.opt.interval, self._status)
        self._slide()
        self.ctx.log.info(f"limit is {self.opt.rate:.2f} per {self.opt.interval:g} s with a window of {self.opt.window}, "
                          f"the current rate is {self._total / self.opt.window:.2f} per interval")  # fmt: skip
