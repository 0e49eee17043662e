"""Input proc: whether a process runs, and what it holds.

Fields as in Fluent Bit: alive, proc_name, pid, then mem.VmPeak and the other sizes of /proc/PID/status (proc(5)), in the
thousands of bytes that "kB" there is taken for, and fd, the number of open files. The process is the first one whose
command's name is `proc_name`, without its directory. One that doesn't run has pid -1, and zeros (there: what the memory
held before).
"""

from __future__ import annotations

import os

from edgebit.inputs.sampling import INTERVAL, Sampled
from edgebit.options import REQUIRED, Option, boolean, string
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

SIZES = ("VmPeak", "VmSize", "VmLck", "VmHWM", "VmRSS", "VmData", "VmStk", "VmExe", "VmLib", "VmPTE", "VmSwap")


class Proc(Sampled):
    """Whether a process runs, its memory and its open files.

    Paused, it takes no samples.
    """

    NAME = "proc"
    WHAT = "the table of processes"
    PSUTIL = False
    OPTIONS = (
        *INTERVAL,
        Option("proc_name", string, REQUIRED, "the name of the command, without its directory"),
        Option("alert", boolean, False, "a record only while it doesn't run"),
        Option("mem", boolean, True, "with what memory it holds"),
        Option("fd", boolean, True, "with the number of its open files"),
    )
    PROC = "/proc"  # tests have their own

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        sizes = [f"mem.{name}" for name in SIZES] if opt.mem else []
        self._shape = Shape.of(["alive", "proc_name", "pid", *sizes, *(["fd"] if opt.fd else [])])
        self._name = os.fsencode(opt.proc_name)
        self._pid = ""  # where it was found the last time

    def measure(self, elapsed: float) -> list[Record]:
        pid = self._find()
        if pid and self.opt.alert:
            return []
        values: list[object] = [bool(pid), self.opt.proc_name, int(pid) if pid else -1]
        if self.opt.mem:
            values += self._sizes(pid)
        if self.opt.fd:
            values.append(self._files(pid))
        return [(self.ctx.clock.wall_ns(), self._shape, tuple(values))]

    def _find(self) -> str:
        """The number of the process, or ""."""
        if not (self._pid and self._is(self._pid)):  # as a rule it is still the same
            pids = sorted(filter(str.isdecimal, os.listdir(self.PROC)), key=int)
            self._pid = next(filter(self._is, pids), "")
        return self._pid

    def _is(self, pid: str) -> bool:
        try:
            with open(f"{self.PROC}/{pid}/cmdline", "rb") as file:
                command = file.read(4096).partition(b"\0")[0]
        except OSError:  # it has ended
            return False
        return command.rpartition(b"/")[2] == self._name

    def _sizes(self, pid: str) -> list[int]:
        found: dict[str, int] = {}
        if pid:
            try:
                with open(f"{self.PROC}/{pid}/status", encoding="utf-8", errors="replace") as file:
                    for line in file:
                        name, _, value = line.partition(":")
                        if name in SIZES:
                            found[name] = int(value.split()[0]) * 1000
            except (OSError, ValueError, IndexError):
                self.ctx.stats.add("unreadable")
        return [found.get(name, 0) for name in SIZES]

    def _files(self, pid: str) -> int:
        try:
            return len(os.listdir(f"{self.PROC}/{pid}/fd")) if pid else 0
        except OSError:  # another user's, which only root may look at
            self.ctx.stats.add("unreadable")
            return 0
