"""Input netif: what went through network interfaces since the last sample.

Fields as in Fluent Bit, integers, each with the interface's name in front: rx.bytes, rx.packets, rx.errors and the
same for tx. With `verbose` also the remaining columns of /proc/net/dev, in its order. They are differences, not rates.
The interface is matched by its exact name; without `interface` there is a record for each one but the loopback.
"""

from __future__ import annotations

from edgebit.inputs.sampling import INTERVAL, Sampled, rise
from edgebit.options import Option, boolean, string
from edgebit.plugin import SourceError
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

FIELDS = ("rx.bytes", "rx.packets", "rx.errors", "tx.bytes", "tx.packets", "tx.errors")
# The columns of /proc/net/dev (proc(5)). Fluent Bit writes the last one "tx.compressepd".
VERBOSE = ("rx.bytes", "rx.packets", "rx.errors", "rx.drop", "rx.fifo", "rx.frame", "rx.compressed", "rx.multicast",
           "tx.bytes", "tx.packets", "tx.errors", "tx.drop", "tx.fifo", "tx.collisions", "tx.carrier",
           "tx.compressed")  # fmt: skip


class Netif(Sampled):
    """Bytes, packets and errors of network interfaces since the last sample.

    Paused, it takes no samples; the first one after that covers the whole time since the last.
    """

    NAME = "netif"
    WHAT = "the network counters"
    OPTIONS = (
        *INTERVAL,
        Option("interface", string, None, "the interface's exact name; all but the loopback if not given"),
        Option("verbose", boolean, False, "also drops, FIFO and frame errors, compressed, multicast and the like"),
        Option("test_at_init", boolean, False, "without effect: a missing interface is always reported"),
    )

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._fields = VERBOSE if opt.verbose else FIELDS
        self._counters: dict[str, tuple[int, ...]] = {}
        self._shapes: dict[str, Shape] = {}

    def baseline(self) -> None:
        self._shapes.clear()
        self._counters = self._read()

    def _read(self) -> dict[str, tuple[int, ...]]:
        """The counters of each interface asked for, in the order of the fields."""
        found = self._columns() if self.opt.verbose else self._basics()
        wanted = self.opt.interface
        if wanted is None:
            found.pop("lo", None)
            return found
        if wanted not in found:
            raise SourceError(f"network interface {wanted} is not there; there are: {', '.join(sorted(found))}")
        return {wanted: found[wanted]}

    def _basics(self) -> dict[str, tuple[int, ...]]:
        # As for disks, psutil's memory of wrapped counters is off.
        return {
            name: (c.bytes_recv, c.packets_recv, c.errin, c.bytes_sent, c.packets_sent, c.errout)
            for name, c in (self.psutil.net_io_counters(pernic=True, nowrap=False) or {}).items()
        }

    def _columns(self) -> dict[str, tuple[int, ...]]:
        """All columns; psutil gives only half of them."""
        with open(f"{self.psutil.PROCFS_PATH}/net/dev", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()[2:]
        found = {}
        for line in lines:
            name, _, columns = line.rpartition(":")  # an alias has a colon in its name
            found[name.strip()] = tuple(map(int, columns.split()))
        return found

    def measure(self, elapsed: float) -> list[Record]:
        counters, before = self._read(), self._counters
        self._counters = counters
        self._shapes = {name: self._shapes.get(name) or self._shape(name) for name in counters}
        now_ns = self.ctx.clock.wall_ns()
        return [
            (now_ns, self._shapes[name], tuple(map(rise, values, before[name])))
            for name, values in counters.items()
            if name in before  # one that has just appeared is compared from the next sample on
        ]

    def _shape(self, name: str) -> Shape:
        return Shape.of(f"{name}.{field}" for field in self._fields)
