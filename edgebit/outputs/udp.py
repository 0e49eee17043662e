"""Output udp: each record as a datagram of its own.

UDP tells nothing: a record counts as delivered when the kernel has taken it. Where the peer's machine says that nobody
has the port (ICMP), the batch is sent again. A record that is too long for a datagram is rejected.
"""

from __future__ import annotations

from edgebit.net.sending import Datagrams
from edgebit.options import Option, integer, string
from edgebit.plugin import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import ClassVar

    from edgebit.options import Options
    from edgebit.plugin import Context, Delivery


class Udp(Output):
    """Sends each record as a UDP datagram.

    It counts as delivered when the kernel has taken it: UDP tells no more.
    """

    NAME = "udp"
    FORMATS = ("json_lines", "msgpack", "json", "json_stream", "csv", "ltsv", "plain", "gelf", "raw", "cbor")
    CLASSIC: ClassVar[dict[str, str]] = {"format": "msgpack"}
    OPTIONS = (
        Option("host", string, "127.0.0.1", "name or address of the peer, or the path of a unix datagram socket"),
        Option("port", integer, 5170, "UDP port", minimum=1, maximum=65535),
    )
    each = True

    @classmethod
    def format_of(cls, wanted: str, given: Container[str]) -> str:
        return "raw" if "raw_message_key" in given else super().format_of(wanted, given)

    def __init__(self, opt: Options, ctx: Context) -> None:
        super().__init__(opt, ctx)
        self._datagrams = Datagrams(ctx, opt.host, opt.port)
        bare = opt.format in ("json", "json_stream") and not hasattr(opt, "raw_message_key")
        self._end = b"\n" if bare else b""  # those have no line ends of their own

    def deliver(self, delivery: Delivery) -> None:
        self._datagrams.deliver(
            delivery, [body + self._end for body in delivery.bodies] if self._end else delivery.bodies
        )

    def close(self) -> None:
        self._datagrams.close()
