"""Input mem: memory and swap, in KiB.

Fields as in Fluent Bit, integers: Mem.total, Mem.used, Mem.free, Swap.total, Swap.used, Swap.free. Used is total minus
free, so what the kernel caches of files counts as used. With `pid`: proc_bytes (resident set, in bytes) and proc_hr
(the same for people, "12.3M").
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

NAMES = ("Mem.total", "Mem.used", "Mem.free", "Swap.total", "Swap.used", "Swap.free")


def readable(size: float) -> str:
    """Bytes for people, with binary units: 512b, 1.5K, 12.3M."""
    for unit in "bKMGT":
        if size < 1024 or unit == "T":
            break
        size /= 1024
    return f"{size:.0f}{unit}" if unit == "b" else f"{size:.1f}{unit}"


class Mem(Sampled):
    """Memory and swap in KiB, and with `pid` what one process holds.

    Paused, it takes no samples.
    """

    NAME = "mem"
    WHAT = "the memory figures"
    OPTIONS = (*INTERVAL, Option("pid", integer, None, "add proc_bytes and proc_hr of this process", minimum=1))

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._process: Any = None
        self._shape = Shape.of(NAMES if opt.pid is None else (*NAMES, "proc_bytes", "proc_hr"))

    def baseline(self) -> None:
        if self.opt.pid is not None:
            self._process = self.psutil.Process(self.opt.pid)

    def measure(self, elapsed: float) -> list[Record]:
        mem, swap = self.psutil.virtual_memory(), self.psutil.swap_memory()
        sizes = (mem.total, mem.total - mem.free, mem.free, swap.total, swap.total - swap.free, swap.free)
        values: tuple[int | str, ...] = tuple(size // 1024 for size in sizes)
        if self._process is not None:
            if not self._process.is_running():
                raise SourceError(f"process {self.opt.pid} has ended")
            held = self._process.memory_info().rss
            values += (held, readable(held))
        return [(self.ctx.clock.wall_ns(), self._shape, values)]
