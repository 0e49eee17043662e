"""Input udp: JSON or text from datagrams.

A datagram is whole: its last text needs no separator, and what one leaves unfinished can't be continued by the next. JSON
that isn't all there is kept as text and counted in `unparsed`. Datagrams that the kernel drops because nobody read them
in time are counted in `kernel_dropped`, and said.
"""

from __future__ import annotations

from edgebit.inputs import payload
from edgebit.inputs.receiver import LISTEN, RECEIVE_BUFFER, SOURCE, Receiver
from edgebit.net import listen

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
        *payload.OPTIONS,
        SOURCE,
        RECEIVE_BUFFER,
    )

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._payload = payload.Payload(opt, ctx)

    def bind(self) -> None:
        bound = listen.udp(self.opt.listen, self.opt.port, self.opt.receive_buffer_size)
        longest = min(self._payload.limit, 65536) + 1  # one more than is allowed shows that it was more
        self.take_datagrams(bound, longest)
        self.check_receive_buffer(bound)

    def take_batch(self, batch: list[bytes], sources: Iterable[str]) -> None:
        self._payload.take_datagrams(batch, sources)
