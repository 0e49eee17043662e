"""Output tcp: batches over a TCP connection (or a unix stream socket), one after the other.

The peer answers nothing, so a batch counts as delivered when the peer's kernel has acknowledged all of it. What was there
but not yet read when the peer's program died is lost; an output with an answer (http, mqtt) has no such gap. After a
broken connection the whole batch is sent again, so a peer may see records twice and a torn one in between.
"""

from __future__ import annotations

from edgebit.net.sending import NET_OPTIONS, Pipe
from edgebit.net.tls import TLS_OPTIONS, ClientTLS
from edgebit.options import Option, integer, string
from edgebit.plugin import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import ClassVar

    from edgebit.options import Options
    from edgebit.plugin import Context, Delivery


class Tcp(Output):
    """Sends batches over TCP.

    A batch counts as delivered when the peer's kernel has acknowledged all of it.
    """

    NAME = "tcp"
    FORMATS = ("json_lines", "msgpack", "json", "json_stream", "csv", "ltsv", "plain", "gelf", "raw", "cbor")
    CLASSIC: ClassVar[dict[str, str]] = {"format": "msgpack"}
    OPTIONS = (
        Option("host", string, "127.0.0.1", "name or address of the peer, or the path of a unix socket"),
        Option("port", integer, 5170, "TCP port", minimum=1, maximum=65535),
        *NET_OPTIONS,
        *TLS_OPTIONS,
    )

    @classmethod
    def format_of(cls, wanted: str, given: Container[str]) -> str:
        return "raw" if "raw_message_key" in given else super().format_of(wanted, given)

    def __init__(self, opt: Options, ctx: Context) -> None:
        super().__init__(opt, ctx)
        self._pipe = Pipe(ctx, opt.host, opt.port, opt, ClientTLS(opt).context, opt.tls_vhost)

    def deliver(self, delivery: Delivery) -> None:
        self._pipe.deliver(delivery, delivery.body)

    def close(self) -> None:
        self._pipe.close()
