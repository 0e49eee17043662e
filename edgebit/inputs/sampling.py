"""What the inputs that sample the machine have in common: when to sample, psutil, and what to do when it fails.

Not an input itself. cpu, mem, disk, netif and thermal say only what they read; here is the rest: the interval options
of Fluent Bit with a native one beside them, psutil imported only when such an input is opened, and every error of a
reading turned into "not there" (SourceError at open, ctx.lost later), so that none of them holds retry logic.
"""

from __future__ import annotations

from edgebit.errors import ConfigError, reason
from edgebit.options import Option, duration, integer
from edgebit.plugin import IntervalInput, SourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

SHORTEST = 0.01  # seconds; the kernel's own clock tick, below which its counters say nothing

INTERVAL = (
    Option("interval_sec", integer, 1, "seconds between samples", minimum=0),
    Option("interval_nsec", integer, 0, "nanoseconds, added to interval_sec", minimum=0),
    Option("interval", duration, None, "time between samples; takes the place of interval_sec and interval_nsec"),
)


def interval(opt: Options) -> float:
    """Seconds between samples. Raises ConfigError."""
    if opt.interval is not None:
        seconds, key = float(opt.interval), "interval"
    else:  # both 0 means the default, as in Fluent Bit
        seconds, key = float(opt.interval_sec + opt.interval_nsec / 1e9) or 1.0, "interval_nsec"
    if seconds < SHORTEST:
        raise ConfigError(f"must be at least {SHORTEST * 1000:g} ms between samples", key=key)
    return seconds


def rise(now: int, before: int) -> int:
    """How much a counter has gone up; 0 if it went down, because then it was reset or has wrapped."""
    return now - before if now > before else 0


class Sampled(IntervalInput):
    """Subclasses give `measure`, and `baseline` if their values are differences.

    Both may raise SourceError, OSError and psutil's errors; anything else is a bug and left to the supervisor.
    """

    WHAT = ""  # what can't be read, for error messages
    PSUTIL = True

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self.interval = interval(opt)
        self.psutil: Any = None
        self._errors: tuple[type[Exception], ...] = (SourceError, OSError, NotImplementedError)  # the last is psutil's
        self._then = 0.0

    def baseline(self) -> None:
        """Read counters for the first time."""

    def measure(self, elapsed: float) -> list[Record]:
        """The records of one sample, `elapsed` seconds after the last one (really, not by configuration)."""
        raise NotImplementedError

    def start_sampling(self) -> None:
        if self.PSUTIL and self.psutil is None:
            try:
                from edgebit.inputs.lean import import_psutil

                import_psutil()
                import psutil
            except ImportError as error:
                raise SourceError(f"cannot import psutil ({error}); install it: pip install psutil") from None
            self.psutil = psutil
            self._errors += (psutil.Error,)
        self._then = self.ctx.clock.monotonic()
        try:
            self.baseline()
        except self._errors as error:
            raise SourceError(self._why(error)) from None

    def sample(self) -> None:
        now = self.ctx.clock.monotonic()
        elapsed, self._then = now - self._then, now
        if elapsed <= 0:
            return  # no time to speak of: resumed in the turn in which it was opened
        try:
            records = self.measure(elapsed)
        except self._errors as error:
            self.ctx.lost(self._why(error))
            return
        if records:
            self.ctx.emit(self.ctx.tag, records)

    def _why(self, error: Exception) -> str:
        return str(error) if isinstance(error, SourceError) else f"cannot read {self.WHAT}: {reason(error)}"
