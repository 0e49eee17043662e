"""Input disk: bytes read from and written to disks since the last sample.

Fields as in Fluent Bit, integers: read_size and write_size. Without `dev_name` the physical disks are summed and
nothing is counted twice: a partition, a loop device, a device-mapper or RAID volume and a compressed swap live on
disks or in memory. With it, the devices of that name (or that match the pattern), whatever they are; a partition is
left out when its disk is in the sum too.
"""

from __future__ import annotations

import os

from edgebit.inputs.sampling import INTERVAL, Sampled, rise
from edgebit.options import Option, string
from edgebit.plugin import SourceError
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

SHAPE = Shape.of(("read_size", "write_size"))


class Disk(Sampled):
    """Bytes read and written since the last sample, summed over disks.

    Paused, it takes no samples; the first one after that covers the whole time since the last.
    """

    NAME = "disk"
    WHAT = "the disk counters"
    OPTIONS = (*INTERVAL, Option("dev_name", string, None, 'only these devices: "sda", "mmcblk0p2" or "sd*"'))
    SYS = "/sys/class/block"  # where the kernel shows block devices; tests have their own

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._counters: dict[str, tuple[int, int]] = {}
        self._places: dict[str, tuple[str, bool]] = {}

    def baseline(self) -> None:
        self._places.clear()
        self._counters = self._read()

    def _place(self, name: str) -> tuple[str, bool]:
        """The disk that a partition is on, else ""; and whether it is a disk one can touch. Looked up once."""
        place = self._places.get(name)
        if place is None:
            link = f"{self.SYS}/{name.replace('/', '!')}"
            real = os.path.realpath(link)
            disk = os.path.basename(os.path.dirname(real)) if os.path.exists(f"{real}/partition") else ""
            physical = not disk and os.path.exists(real) and "/devices/virtual/block/" not in real
            place = self._places[name] = disk, physical
        return place

    def _chosen(self, names: Iterable[str]) -> list[str]:
        if self.opt.dev_name is None:
            return [name for name in names if self._place(name)[1]]
        from fnmatch import filter as matching

        found = matching(names, self.opt.dev_name)
        return [name for name in found if self._place(name)[0] not in found]

    def _read(self) -> dict[str, tuple[int, int]]:
        # psutil's own correction of wrapped counters is off: it keeps state for every device, and `rise` does.
        disks = self.psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
        chosen = self._chosen(disks)
        if not chosen:
            there = ", ".join(sorted(disks)) or "none"
            what = "there is no physical disk" if self.opt.dev_name is None else f"no disk is named {self.opt.dev_name}"
            raise SourceError(f"{what}; block devices here: {there}")
        return {name: (disks[name].read_bytes, disks[name].write_bytes) for name in chosen}

    def measure(self, elapsed: float) -> list[Record]:
        counters, before = self._read(), self._counters
        self._counters = counters
        read = written = 0
        for name in counters.keys() & before.keys():
            read += rise(counters[name][0], before[name][0])
            written += rise(counters[name][1], before[name][1])
        return [(self.ctx.clock.wall_ns(), SHAPE, (read, written))]
