"""Output counter: a line for each batch on standard output that says how many records came, and throws them away.

    {"ts":1795378155.848181,"serialized_events":3,"log_records":3,"total":10}

`ts` is the time of writing, `total` what has come since the start. Fluent Bit's layout; an event is a record here.
"""

from __future__ import annotations

from edgebit.net.writing import StandardOutput
from edgebit.plugin import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Options
    from edgebit.plugin import Context, Delivery


class Counter(Output):
    """Prints how many records came."""

    NAME = "counter"
    local = True
    fd = 1

    def __init__(self, opt: Options, ctx: Context) -> None:
        super().__init__(opt, ctx)
        self._total = 0
        self._out: StandardOutput | None = None

    def open(self) -> None:
        self._out = StandardOutput(self.ctx, self.fd)

    def deliver(self, delivery: Delivery) -> None:
        assert self._out is not None
        count = delivery.chunk.count
        total = self._total + count
        line = (f'{{"ts":{self.ctx.clock.wall_ns() / 1e9:.6f},"serialized_events":{count},"log_records":{count},'
                f'"total":{total}}}\n')  # fmt: skip

        def done(why: str) -> None:
            if why:
                delivery.retry(f"cannot write to standard output: {why}")
            else:
                self._total = total
                delivery.delivered()

        self._out.write(line.encode(), done)

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None
