"""Input dummy: the same record again and again, to try things with and to measure with.

With `sequence_key` each record also carries a number that goes up by one, so that a collector can prove that nothing
is missing. Any rate is kept exactly, by arithmetic rather than by a timer a record: at most 50 ticks a second, each
making all records that are due, and at most 10,000 at a time so that the rest of the agent gets its turn.
"""

from __future__ import annotations

from edgebit.errors import ConfigError
from edgebit.options import BadValue, Option, boolean, duration, integer, number, string
from edgebit.plugin import Input
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.loop import Timer
    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

TICK = 0.02  # seconds between ticks, at least
BATCH = 10_000  # records a tick, at most


def fields(value: object) -> dict[str, Any]:
    """A JSON object, or a TOML table of what JSON can say."""
    import json

    from edgebit.wire.jsontext import values

    try:
        found = values(json.dumps(value) if isinstance(value, dict) else str(value))
    except TypeError:  # TOML has dates
        found = []
    if len(found) != 1 or not isinstance(found[0], dict):
        raise BadValue('a JSON object such as {"message": "dummy"}')
    return found[0]


class Dummy(Input):
    """Makes the same record again and again.

    Paused, it makes none; what would have been made never existed, so the sequence has no gap.
    """

    NAME = "dummy"
    OPTIONS = (
        Option("dummy", fields, {"message": "dummy"}, "the record, a JSON object"),
        Option("metadata", fields, {}, "the metadata of the record, a JSON object"),
        Option("rate", number, 1.0, "samples a second", minimum=0.001, maximum=1e7),
        Option("interval_sec", integer, 0, "seconds between samples; takes the place of rate", minimum=0),
        Option("interval_nsec", integer, 0, "nanoseconds, added to interval_sec", minimum=0),
        Option("interval", duration, None, "time between samples; takes the place of rate and interval_sec"),
        Option("samples", integer, 0, "end after so many samples; 0 or -1 is never", minimum=-1),
        Option("copies", integer, 1, "records a sample", minimum=1, maximum=BATCH),
        Option("start_time_sec", integer, -1, "time of the first record, in seconds since the epoch; -1 is now"),
        Option("start_time_nsec", integer, -1, "nanoseconds, added to start_time_sec"),
        Option("flush_on_startup", boolean, False, "make the first sample at the start, not after the first interval"),
        Option("fixed_timestamp", boolean, False, "give every record the time of the first"),
        Option("sequence_key", string, "", "add a number from 0 up under this name"),
    )

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        seconds = opt.interval if opt.interval is not None else opt.interval_sec + opt.interval_nsec / 1e9
        if opt.interval is not None and not seconds:
            raise ConfigError("must be more than 0", key="interval")
        self._period = max(seconds or 1 / opt.rate, 1e-7)
        self._values = tuple(opt.dummy.values())
        self._shape = Shape.of((*opt.dummy, opt.sequence_key) if opt.sequence_key else opt.dummy, opt.metadata)
        self._timer: Timer | None = None
        self._next = 0.0  # when the next sample is due
        self._samples = max(opt.samples, 0)
        self._made = 0  # samples so far
        self._start_ns = -1  # time of the first record
        self._shift_ns = 0  # what to add to the wall clock so as to begin there

    def open(self) -> None:
        self._next = self.ctx.clock.monotonic() + (
            0.0 if self.opt.flush_on_startup and not self._made else self._period
        )
        self.resume()

    def resume(self) -> None:
        if self._timer is None and (not self._samples or self._made < self._samples):
            self._next = max(self._next, self.ctx.clock.monotonic())
            self._wait()

    def pause(self) -> None:
        self.close()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        """Until the next sample is due, but not less than a tick unless that would be late by more than one."""
        due = self._next - self.ctx.clock.monotonic()
        self._timer = self.ctx.call_later(max(due, TICK) if due > -TICK else 0.0, self._tick)

    def _tick(self) -> None:
        self._timer = None
        late = self.ctx.clock.monotonic() - self._next
        # A timer set for this moment may be a hair early in floating point: a thousandth of a period is forgiven.
        due = int(late / self._period + 1.001) if late > -self._period else 0
        due = min(due, max(BATCH // self.opt.copies, 1))
        if self._samples:
            due = min(due, self._samples - self._made)
        self._next += due * self._period
        ended = self._samples and self._made + due >= self._samples
        if not ended:
            self._wait()  # before the records are handed over: that may pause us
        if due > 0:
            records = self._records(due)
            self._made += due
            self.ctx.emit(self.ctx.tag, records)
        if ended:
            self.ctx.finished()

    def _records(self, samples: int) -> list[Record]:
        now_ns = self.ctx.clock.wall_ns()
        if self._start_ns < 0:
            sec, nsec = self.opt.start_time_sec, self.opt.start_time_nsec
            self._start_ns = now_ns if sec < 0 and nsec < 0 else max(sec, 0) * 10**9 + max(nsec, 0)
            self._shift_ns = self._start_ns - now_ns
        time_ns = self._start_ns if self.opt.fixed_timestamp else now_ns + self._shift_ns
        shape, values, copies = self._shape, self._values, self.opt.copies
        if not self.opt.sequence_key:
            return [(time_ns, shape, values)] * (samples * copies)  # a record is never changed, so one will do
        first = self._made * copies
        return [(time_ns, shape, (*values, n)) for n in range(first, first + samples * copies)]
