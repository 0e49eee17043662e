"""Input cpu: how busy the processors are, in percent.

Fields as in Fluent Bit, all doubles from 0 to 100: cpu_p (user and system), user_p (with nice) and system_p as the
average over all cores, then cpuN.p_cpu, cpuN.p_user and cpuN.p_system for each core. Two things differ on purpose: the
time between samples is measured, and interrupts count as system time, because on a small device that serves a network
they are much of it. Waiting for disks (iowait) and what a hypervisor took (steal) are not work of this machine.
"""

from __future__ import annotations

from edgebit.inputs.sampling import INTERVAL, Sampled
from edgebit.options import Option, integer
from edgebit.plugin import SourceError
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

TOTALS = ("cpu_p", "user_p", "system_p")


def _shape(cores: int) -> Shape:
    return Shape.of((*TOTALS, *(f"cpu{n}.p_{kind}" for n in range(cores) for kind in ("cpu", "user", "system"))))


def percent(seconds: float, elapsed: float) -> float:
    """Never below 0 or above 100: the kernel counts in ticks of 10 ms, and some count backwards now and then."""
    return round(min(max(100 * seconds / elapsed, 0.0), 100.0), 2)


class Cpu(Sampled):
    """Processor use in percent, overall and for each core.

    Paused, it takes no samples; the first one after that covers the whole time since the last.
    """

    NAME = "cpu"
    WHAT = "the processor times"
    OPTIONS = (*INTERVAL, Option("pid", integer, None, "measure only this process, as a share of all cores", minimum=1))

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._process: Any = None
        self._times: list[tuple[float, float]] = []
        self._shape = Shape.of(TOTALS)

    def baseline(self) -> None:
        if self.opt.pid is not None:
            self._process = self.psutil.Process(self.opt.pid)
        self._times = self._read()

    def _read(self) -> list[tuple[float, float]]:
        """Seconds spent so far in user and in kernel mode, a pair a core, or one pair for the process."""
        if self._process is not None:
            if not self._process.is_running():  # also when the number belongs to another process by now
                raise SourceError(f"process {self.opt.pid} has ended")
            times = self._process.cpu_times()
            cores = self.psutil.cpu_count() or 1
            return [(times.user / cores, times.system / cores)]
        return [(t.user + t.nice, t.system + t.irq + t.softirq) for t in self.psutil.cpu_times(percpu=True)]

    def measure(self, elapsed: float) -> list[Record]:
        times, before = self._read(), self._times
        self._times = times
        if len(times) != len(before):  # a core was switched on or off: pairs don't belong together
            return []
        spent = [(now[0] - then[0], now[1] - then[1]) for now, then in zip(times, before)]
        user, system = sum(u for u, _ in spent) / len(spent), sum(s for _, s in spent) / len(spent)
        values = [percent(user + system, elapsed), percent(user, elapsed), percent(system, elapsed)]
        if self._process is None:
            for u, s in spent:
                values += percent(u + s, elapsed), percent(u, elapsed), percent(s, elapsed)
            if len(values) != len(self._shape.names):
                self._shape = _shape(len(spent))
        return [(self.ctx.clock.wall_ns(), self._shape, tuple(values))]
