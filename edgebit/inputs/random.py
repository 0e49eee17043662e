"""Input random: a random number at each interval, 0 to 2**64 - 1, as in Fluent Bit."""

from __future__ import annotations

import os

from edgebit.inputs.sampling import INTERVAL, interval
from edgebit.options import Option, integer
from edgebit.plugin import IntervalInput
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Options
    from edgebit.plugin import InputContext

SHAPE = Shape.of(("rand_value",))


class Random(IntervalInput):
    """A random number at each interval.

    Paused, it makes none.
    """

    NAME = "random"
    OPTIONS = (*INTERVAL, Option("samples", integer, -1, "end after so many numbers; -1 is never", minimum=-1))

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self.interval = interval(opt)
        self._left: int = opt.samples or -1

    def sample(self) -> None:
        number = int.from_bytes(os.urandom(8), "big")
        self.ctx.emit(self.ctx.tag, [(self.ctx.clock.wall_ns(), SHAPE, (number,))])
        self._left -= 1
        if not self._left:
            self.close()
            self.ctx.finished()
