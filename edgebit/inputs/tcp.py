"""Input tcp: JSON or lines from connections.

As in Fluent Bit, text that its connection leaves without a separator is no record: it was cut off, and "temp=2" of
"temp=21.4" looks like a value and is none. It is counted in `partial_dropped`. Unlike there, one bad value costs nothing
but itself, empty lines don't stop a connection, and a line that is too long is cut and counted in `truncated`.
"""

from __future__ import annotations

from edgebit.inputs import payload
from edgebit.inputs.receiver import CONNECTIONS, LISTEN, RECEIVE_BUFFER, SOURCE, Receiver
from edgebit.net import listen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from edgebit.inputs.receiver import Splitter
    from edgebit.options import Options
    from edgebit.plugin import InputContext


class Tcp(Receiver):
    """JSON objects or lines from TCP connections.

    Paused, it reads nothing and accepts no connections: senders wait.
    """

    NAME = "tcp"
    patient = True
    OPTIONS = (
        LISTEN,
        *payload.OPTIONS,
        SOURCE,
        RECEIVE_BUFFER,
        *CONNECTIONS,
    )

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._payload = payload.Payload(opt, ctx)

    def bind(self) -> None:
        bound = listen.tcp(self.opt.listen, self.opt.port, self.opt.receive_buffer_size)
        self.take_connections(bound)
        self.check_receive_buffer(bound)

    def splitter(self) -> Splitter:
        return self._payload.splitter()

    def unfinished(self, splitter: Splitter, source: str) -> list[Any]:
        if splitter.pending:
            self.ctx.stats.add("partial_dropped")
            self.ctx.missed("cut off by the end of a connection", 1)
            self.ctx.log.debug(f"{source}: left {splitter.pending} bytes without a separator; they are dropped")
        splitter.finish()
        return []

    def take(self, frames: list[Any], sources: Iterable[str], raw: int, cut: int) -> None:
        if "" in frames:
            frames = [frame for frame in frames if frame != ""]
        self._payload.take(frames, sources, raw, cut)
