"""Input udp: JSON or text from datagrams.

A datagram is whole: its last text needs no separator, and what one leaves unfinished can't be continued by the next. JSON
that isn't all there is kept as text and counted in `unparsed`. Datagrams that the kernel drops because nobody read them
in time are counted in `kernel_dropped`, and said.
"""

from __future__ import annotations

from edgebit.inputs import payload
from edgebit.inputs.receiver import LISTEN, RECEIVE_BUFFER, SOURCE, Added, Receiver
from edgebit.net import listen
from edgebit.options import Option, integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgebit.options import Options
    from edgebit.plugin import InputContext


class Udp(Receiver):
    """JSON objects or text from UDP datagrams.

    Paused, it reads nothing. The kernel keeps what fits into the receive buffer, drops the rest, and the drops are
    counted.
    """

    NAME = "udp"
    OPTIONS = (
        LISTEN,
        Option("port", integer, 5170, "port to listen on; 0: any free one", minimum=0, maximum=65535),
        *payload.OPTIONS,
        SOURCE,
        RECEIVE_BUFFER,
    )

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._payload = payload.Payload(opt, ctx.stats)
        self._added = Added(opt.source_address_key) if opt.source_address_key else None

    def bind(self) -> None:
        bound = listen.udp(self.opt.listen, self.opt.port, self.opt.receive_buffer_size)
        self.take_datagrams(
            bound, min(self._payload.limit, 65536) + 1
        )  # one more than is allowed shows that it was more
        self.check_receive_buffer(bound)

    def take_batch(self, batch: list[bytes], sources: Iterable[str]) -> None:
        frames, counts, cut = self._payload.datagrams(batch, self._added is not None)
        if cut:
            self.ctx.stats.add("truncated", cut)
        if not frames:
            return
        records = self._payload.records(frames, self.ctx.clock.wall_ns())
        if self._added is not None:
            records = self._added(records, [(s,) for s, count in zip(sources, counts) for _ in range(count)])
        self.ctx.emit(self.ctx.tag, records, sum(map(len, batch)))
