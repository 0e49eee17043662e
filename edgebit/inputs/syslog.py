"""Input syslog: messages over UDP, TCP and unix sockets.

A message that its parser doesn't take is kept whole as ``{"message": text}`` and counted in `unparsed`; one over the
size limit is cut and counted in `truncated`; neither ends a connection. Over TCP and unix streams each frame tells by
its start how it is framed (RFC 6587), and what a connection leaves unterminated when it ends is a message too.

Datagrams that the kernel drops because nobody read them in time are counted in `kernel_dropped`, and said.
"""

from __future__ import annotations

import socket

from edgebit.errors import ConfigError
from edgebit.inputs.added import Added
from edgebit.inputs.receiver import CONNECTIONS, LISTEN, RECEIVE_BUFFER, SOURCE, Receiver
from edgebit.net import listen
from edgebit.options import BadValue, Option, integer, plugin_ref, size, string
from edgebit.plugin import READ_SIZE
from edgebit.record import Shape
from edgebit.wire.framing import LineSplitter, SyslogSplitter, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.wire.framing import Splitter

MESSAGE = Shape.of(("message",))  # what the parser didn't take


def permissions(value: object) -> int:
    """Permission bits as octal text: "0666"."""
    if isinstance(value, str):
        try:
            mode = int(value.strip(), 8)
        except ValueError:
            mode = -1
        if 0 <= mode <= 0o777:
            return mode
    raise BadValue('octal permissions in quotes, such as "0666"')


class Syslog(Receiver):
    """Syslog messages from the network or from local programs.

    Paused, it reads nothing and accepts no connections. Senders over TCP and unix sockets wait. Over UDP the kernel
    keeps what fits into the receive buffer, drops the rest, and the drops are counted.
    """

    NAME = "syslog"
    OPTIONS = (
        Option("mode", ("udp", "tcp", "tcp+udp", "unix_udp", "unix_tcp"), None, "where messages come from; the unix"
               " modes are datagram and stream sockets", default_text="udp, with path unix_udp"),
        LISTEN,
        Option("port", integer, 5140, "port to listen on, the standard one is 514; 0: any free one",
               minimum=0, maximum=65535),
        Option("path", string, "", "path of the unix socket"),
        Option("unix_perm", permissions, 0o644, 'permissions of the unix socket; "0666" lets every user log',
               default_text="0644"),
        Option("parser", plugin_ref, "syslog", "turns each message into fields; what it doesn't take is kept whole"),
        Option("format", ("auto", "newline", "octet_counting"), "auto", "framing of streams; auto: told frame by frame"),
        Option("buffer_max_size", size, 65536, "bytes of the longest message; longer ones are cut",
               minimum=256, maximum=16 << 20),
        Option("buffer_chunk_size", size, READ_SIZE, "without effect: as much is read as there is, up to 64 KiB"),
        RECEIVE_BUFFER,
        Option("raw_message_key", string, "", "field for the message as it came"),
        SOURCE,
        *CONNECTIONS,
    )  # fmt: skip

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        # In Fluent Bit it is unix_udp, which needs a path, so that there is no doubt about what is meant.
        self.mode: str = opt.mode or ("unix_udp" if opt.path else "udp")
        self.patient = self.mode in ("tcp", "unix_tcp")
        if self.mode.startswith("unix") and not opt.path:
            raise ConfigError(f"mode {self.mode} needs the path of the socket", key="path")
        self.unix_path = opt.path
        added = [key for key in (opt.raw_message_key, opt.source_address_key) if key]
        self._added = Added(*added) if added else None

    def bind(self) -> None:
        opt = self.opt
        longest = min(opt.buffer_max_size, 65536) + 1  # one more than is allowed shows that it was more
        if self.mode == "unix_tcp":
            self.take_connections(listen.unix(opt.path, socket.SOCK_STREAM, opt.unix_perm))
        elif self.mode == "unix_udp":
            self.take_datagrams(listen.unix(opt.path, socket.SOCK_DGRAM, opt.unix_perm), longest)
        else:
            port = opt.port
            if "tcp" in self.mode:
                bound = listen.tcp(opt.listen, port, opt.receive_buffer_size)
                port = bound.sock.getsockname()[1]  # if any would do, it is the same one for UDP
                self.take_connections(bound)
            if "udp" in self.mode:
                bound = listen.udp(opt.listen, port, opt.receive_buffer_size)
                self.take_datagrams(bound, longest)
            self.check_receive_buffer(bound)

    def splitter(self) -> Splitter:
        limit = self.opt.buffer_max_size
        if self.opt.format == "newline":
            return LineSplitter(limit, nul=True)
        return SyslogSplitter(limit, counted=self.opt.format == "octet_counting")

    def take_batch(self, batch: list[bytes], sources: Iterable[str]) -> None:
        lines, cut = messages(batch, self.opt.buffer_max_size)
        self.take(lines, sources, sum(map(len, batch)), cut)

    def take(self, frames: list[str], sources: Iterable[str], raw: int, cut: int) -> None:
        if cut:
            self.ctx.stats.add("truncated", cut)
        if "" in frames:
            pairs = [(line, source) for line, source in zip(frames, sources) if line]
            frames, sources = [line for line, _ in pairs], [source for _, source in pairs]
        if not frames:
            return
        records, misses = self.opt.parser.parse_lines(frames, self.ctx.clock.wall_ns(), MESSAGE)
        if misses:
            self.ctx.stats.add("unparsed", misses)
        if self._added is not None:
            raw_key, source_key = self.opt.raw_message_key, self.opt.source_address_key
            records = self._added(records, zip(*([frames] if raw_key else []), *([sources] if source_key else [])))
        self.ctx.emit(self.ctx.tag, records, raw)
