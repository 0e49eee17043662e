"""Input health: whether a TCP server takes connections.

At each interval it connects, sends nothing and closes. Fields as in Fluent Bit: alive, and if asked for hostname and port.
"""

from __future__ import annotations

from edgebit.inputs.sampling import INTERVAL, interval
from edgebit.net.connect import Connector
from edgebit.options import REQUIRED, Option, boolean, duration, integer, string
from edgebit.plugin import IntervalInput
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from edgebit.options import Options
    from edgebit.plugin import InputContext


class Health(IntervalInput):
    """Whether a TCP server can be connected to.

    Paused, it doesn't connect.
    """

    NAME = "health"
    OPTIONS = (
        *INTERVAL,
        Option("host", string, REQUIRED, "the server's name or address"),
        Option("port", integer, 80, "its port", minimum=1, maximum=65535),
        Option("alert", boolean, False, "a record only while it can't be reached"),
        Option("add_host", boolean, False, "with the field hostname"),
        Option("add_port", boolean, False, "with the field port"),
        Option("timeout", duration, 5.0, "how long connecting may take; samples that are due meanwhile are left out",
               minimum=0.01),
    )  # fmt: skip

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self.interval = interval(opt)
        self._connector: Connector | None = None
        self._shape = Shape.of(["alive", *(["hostname"] if opt.add_host else []), *(["port"] if opt.add_port else [])])

    def sample(self) -> None:
        if self._connector is None:
            self._connector = Connector(self.ctx, self.opt.host, self.opt.port, self._done, timeout=self.opt.timeout)
            self._connector.start()

    def close(self) -> None:
        super().close()
        if self._connector is not None:
            self._connector.cancel()
            self._connector = None

    def _done(self, sock: socket.socket | None, why: str) -> None:
        self._connector = None
        if sock is not None:
            sock.close()
            if self.opt.alert:
                return
        else:
            self.ctx.log.debug(why)
        values: tuple[object, ...] = (sock is not None,)
        if self.opt.add_host:
            values += (self.opt.host,)
        if self.opt.add_port:
            values += (self.opt.port,)
        self.ctx.emit(self.ctx.tag, [(self.ctx.clock.wall_ns(), self._shape, values)])
