"""Output syslog: records as syslog messages to a server, over UDP, TCP, TLS or a unix socket.

Over UDP and unix datagrams each record is a datagram (RFC 5426); over streams a line, or counted (RFC 6587). What
"delivered" means is as for the outputs udp and tcp: syslog has no answers.
"""

from __future__ import annotations

from edgebit.errors import ConfigError
from edgebit.net.sending import NET_OPTIONS, Datagrams, Pipe
from edgebit.net.tls import TLS_OPTIONS, ClientTLS
from edgebit.options import Option, Options, integer, string
from edgebit.plugin import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.plugin import Context, Delivery


class Syslog(Output):
    """Sends records as syslog messages.

    Over streams a batch counts as delivered when the peer's kernel has acknowledged all of it, over datagrams when the own
    kernel has taken it: syslog has no answers.
    """

    NAME = "syslog"
    FORMATS = ("syslog",)
    OPTIONS = (
        Option("mode", ("udp", "tcp", "tls", "unix_udp", "unix_tcp"), "udp", "how messages travel; unix_udp and unix_tcp: "
               "to the socket unix_path"),
        Option("host", string, "127.0.0.1", "name or address of the server"),
        Option("port", integer, 514, "UDP or TCP port", minimum=1, maximum=65535),
        Option("unix_path", string, "/dev/log", "the socket of the modes unix_udp and unix_tcp"),
        Option("framing", ("lf", "octet_counting"), "lf",
               "how messages are told apart in a stream: by line ends, or by their length in front (RFC 6587)"),
        *NET_OPTIONS,
        *TLS_OPTIONS,
    )  # fmt: skip

    def __init__(self, opt: Options, ctx: Context) -> None:
        if opt.mode == "tls":
            opt = Options({**opt.__dict__, "tls": True})
        super().__init__(opt, ctx)
        unix = opt.mode.startswith("unix")
        if unix and not opt.unix_path.startswith("/"):
            raise ConfigError("must be the whole path of a socket", key="unix_path")
        if opt.tls and opt.mode not in ("tcp", "tls"):
            raise ConfigError(f"is not possible with mode {opt.mode}; use mode tls", key="tls")
        host = opt.unix_path if unix else opt.host
        self._counted = opt.framing == "octet_counting"
        self._datagrams: Datagrams | None = None
        self._pipe: Pipe | None = None
        if opt.mode.endswith("udp"):
            self._datagrams = Datagrams(ctx, host, opt.port)
        else:
            self._pipe = Pipe(ctx, host, opt.port, opt, ClientTLS(opt).context, opt.tls_vhost)
        self.each = self._datagrams is not None or self._counted

    def deliver(self, delivery: Delivery) -> None:
        if self._datagrams is not None:
            self._datagrams.deliver(delivery, delivery.bodies)
        elif self._pipe is not None:
            body = b"".join([b"%d %b" % (len(one), one) for one in delivery.bodies]) if self._counted else delivery.body
            self._pipe.deliver(delivery, body)

    def close(self) -> None:
        for way in (self._datagrams, self._pipe):
            if way is not None:
                way.close()
