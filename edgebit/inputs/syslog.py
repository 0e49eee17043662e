"""Input syslog: messages over UDP, TCP and unix sockets.

A message that its parser doesn't take is kept whole as ``{"message": text}`` and counted in `unparsed`; one over the
size limit is cut and counted in `truncated`; neither ends a connection. Over TCP and unix streams each frame tells by
its start how it is framed (RFC 6587), and what a connection leaves unterminated when it ends is a message too.

Datagrams that the kernel drops because nobody read them in time are counted in `kernel_dropped`, and said.
"""

from __future__ import annotations

import socket
from itertools import repeat

from edgebit.errors import ConfigError
from edgebit.log import Trouble
from edgebit.net import listen
from edgebit.net.stream import Stream
from edgebit.options import BadValue, Option, duration, integer, plugin_ref, size, string
from edgebit.plugin import READ_SIZE, Input
from edgebit.record import Shape
from edgebit.wire.framing import LineSplitter, SyslogSplitter, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from edgebit.loop import Timer
    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record
    from edgebit.wire.framing import Splitter

MESSAGE = Shape.of(("message",))  # what the parser didn't take
_EVERY = 10.0  # seconds between looks at what the kernel has dropped and at who is silent
_CALM = 6  # such looks without a drop until the trouble is said to be over
_LAST_READS = 64  # when stopping: reads of what the kernel has, for each socket
_SOURCES = 1024  # datagram senders whose names are kept as text; then they are made anew


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


class Syslog(Input):
    """Syslog messages from the network or from local programs.

    Paused, it reads nothing and accepts no connections. Senders over TCP and unix sockets wait. Over UDP the kernel
    keeps what fits into the receive buffer, drops the rest, and the drops are counted.
    """

    NAME = "syslog"
    OPTIONS = (
        Option("mode", ("udp", "tcp", "tcp+udp", "unix_udp", "unix_tcp"), "udp", "where messages come from; the unix"
               " modes are datagram and stream sockets"),
        Option("listen", listen.address, "0.0.0.0", "address to listen on; 0.0.0.0: all of IPv4, ::: all of both"),
        Option("port", integer, 5140, "port to listen on, the standard one is 514; 0: any free one",
               minimum=0, maximum=65535),
        Option("path", string, "", "path of the unix socket"),
        Option("unix_perm", permissions, 0o644, 'permissions of the unix socket; "0666" lets every user log'),
        Option("parser", plugin_ref, "syslog", "turns each message into fields; what it doesn't take is kept whole"),
        Option("format", ("auto", "newline", "octet_counting"), "auto", "framing of streams; auto: told frame by frame"),
        Option("buffer_max_size", size, 65536, "bytes of the longest message; longer ones are cut",
               minimum=256, maximum=16 << 20),
        Option("buffer_chunk_size", size, READ_SIZE, "accepted for Fluent Bit's configurations; changes nothing here:"
               " as much is read as there is, up to 64 KiB"),
        Option("receive_buffer_size", size, 0, "bytes the kernel keeps of what is not yet read; 0: its default",
               maximum=1 << 30),
        Option("raw_message_key", string, "", "field for the message as it came"),
        Option("source_address_key", string, "", "field for the sender, such as udp://192.0.2.1:514"),
        Option("max_connections", integer, 256, "connections at a time; more are closed and counted", minimum=1),
        Option("idle_timeout", duration, 0.0, "time after which a silent connection is closed, give or take 10 s; 0: never"),
    )  # fmt: skip

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        if opt.mode.startswith("unix") and not opt.path:
            raise ConfigError(f"mode {opt.mode} needs the path of the socket", key="path")
        self._added = tuple(key for key in (opt.raw_message_key, opt.source_address_key) if key)
        self._longer: dict[Shape, Shape] = {}  # a shape, and the one with the added keys
        self._sources: dict[Any, str] = {}
        self._listener: listen.Listener | None = None
        self._datagrams: listen.Datagrams | None = None
        self._connections: set[_Connection] = set()
        self._timer: Timer | None = None
        self._dropped = self._calm = 0
        self._dropping = Trouble(ctx.log, ctx.clock.monotonic)
        self.paused = False
        ctx.stats.gauge("connections", lambda: len(self._connections))

    # -- life ----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        self.paused = False
        opt = self.opt
        try:
            if opt.mode == "unix_tcp":
                self._open_stream(listen.unix(opt.path, socket.SOCK_STREAM, opt.unix_perm))
            elif opt.mode == "unix_udp":
                self._open_datagrams(listen.unix(opt.path, socket.SOCK_DGRAM, opt.unix_perm))
            else:
                port = opt.port
                if "tcp" in opt.mode:
                    bound = listen.tcp(opt.listen, port, opt.receive_buffer_size)
                    port = bound.sock.getsockname()[1]  # if any would do, it is the same one for UDP
                    self._open_stream(bound)
                if "udp" in opt.mode:
                    bound = listen.udp(opt.listen, port, opt.receive_buffer_size)
                    self._open_datagrams(bound)
                self._check_receive_buffer(bound)
        except BaseException:
            self.close()  # of two sockets the first may be open
            raise
        self._timer = self.ctx.call_later(_EVERY, self._tick)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._datagrams is not None:
            self._look_for_drops()
            self._datagrams.close()
            self._datagrams = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.close()

    def pause(self) -> None:
        self.paused = True
        if self._listener is not None:
            self._listener.pause()
        if self._datagrams is not None:
            self._datagrams.pause()
        for connection in self._connections:
            connection.stream.pause()

    def resume(self) -> None:
        self.paused = False
        if self._listener is not None:
            self._listener.resume()
        if self._datagrams is not None:
            self._datagrams.resume()
        for connection in self._connections:
            connection.last = self.ctx.clock.monotonic()  # it was us who didn't read
            connection.stream.resume()

    def stop(self) -> None:
        """Senders take what the kernel has for delivered, so it is read, as far as there is room for it."""
        for _ in range(_LAST_READS):
            if self._datagrams is None or self.paused or not self._datagrams.read():
                break
        if self._listener is not None:
            self._listener.accept()
        for connection in list(self._connections):
            connection.drain()

    # -- sockets -------------------------------------------------------------------------------------------------------

    def _open_stream(self, bound: listen.Bound) -> None:
        self._listener = listen.Listener(
            self.ctx, bound, self._accept, lambda: len(self._connections) < self.opt.max_connections
        )
        self.ctx.log.info(f"listening on {bound.label}")

    def _open_datagrams(self, bound: listen.Bound) -> None:
        peers = bool(self.opt.source_address_key)
        longest = min(self.opt.buffer_max_size, 65536) + 1  # one more than is allowed shows that it was more
        self._datagrams = listen.Datagrams(self.ctx, bound, self._receive_from if peers else self._receive,
                                           peers=peers, longest=longest)  # fmt: skip
        self._dropped = 0
        self.ctx.log.info(f"listening on {bound.label}")

    def _check_receive_buffer(self, bound: listen.Bound) -> None:
        granted, asked = listen.granted_receive_buffer(bound.sock), self.opt.receive_buffer_size
        if granted < asked:
            self.ctx.log.warn(
                f"the kernel gives a receive buffer of {granted} bytes, not {asked}; to allow more, raise net.core.rmem_max"
            )

    def _accept(self, sock: socket.socket, peer: str) -> None:
        source = f"tcp://{peer}" if peer else f"unix://{self.opt.path}"
        limit = self.opt.buffer_max_size
        splitter: Splitter = (
            LineSplitter(limit, nul=True)
            if self.opt.format == "newline"
            else SyslogSplitter(limit, counted=self.opt.format == "octet_counting")
        )
        self._connections.add(_Connection(self, sock, splitter, source))

    def forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def _receive(self, batch: list[bytes]) -> None:
        lines, cut = messages(batch, self.opt.buffer_max_size)
        self.take(lines, repeat(""), sum(map(len, batch)), cut)

    def _receive_from(self, batch: list[tuple[bytes, Any]]) -> None:
        datagrams = [data for data, _ in batch]
        lines, cut = messages(datagrams, self.opt.buffer_max_size)
        self.take(lines, [self._source(peer) for _, peer in batch], sum(map(len, datagrams)), cut)

    def _source(self, peer: Any) -> str:
        found = self._sources.get(peer)
        if found is None:
            name = listen.peer_name(peer)
            found = f"udp://{name}" if name else f"unix://{self.opt.path}"
            if len(self._sources) >= _SOURCES:
                self._sources.clear()
            self._sources[peer] = found
        return found

    # -- messages ------------------------------------------------------------------------------------------------------

    def take(self, lines: list[str], sources: Iterable[str], raw: int, cut: int) -> None:
        """Hand messages over: a batch of them, who sent each, the bytes they came in, how many of them were cut."""
        if cut:
            self.ctx.stats.add("truncated", cut)
        if "" in lines:
            pairs = [(line, source) for line, source in zip(lines, sources) if line]
            lines, sources = [line for line, _ in pairs], [source for _, source in pairs]
        if not lines:
            return
        records, misses = self.opt.parser.parse_lines(lines, self.ctx.clock.wall_ns(), MESSAGE)
        if misses:
            self.ctx.stats.add("unparsed", misses)
        if self._added:
            records = self._with_added(records, lines, sources)
        self.ctx.emit(self.ctx.tag, records, raw)

    def _with_added(self, records: list[Record], lines: list[str], sources: Iterable[str]) -> list[Record]:
        columns: Iterable[tuple[str, ...]]
        if len(self._added) == 2:
            columns = zip(lines, sources)
        else:
            columns = zip(lines if self.opt.raw_message_key else sources)
        longer = self._longer
        return [
            (time_ns, longer.get(shape) or self._lengthen(shape), values + added)
            for (time_ns, shape, values), added in zip(records, columns)
        ]

    def _lengthen(self, shape: Shape) -> Shape:
        longer = Shape.of(shape.names + self._added)
        if shape.interned:  # there is a bounded number of those
            self._longer[shape] = longer
        return longer

    # -- now and then --------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timer = self.ctx.call_later(_EVERY, self._tick)
        if self._datagrams is not None:
            self._look_for_drops()
        if self.opt.idle_timeout and not self.paused:
            before = self.ctx.clock.monotonic() - self.opt.idle_timeout
            for connection in [c for c in self._connections if c.last <= before]:
                self.ctx.log.debug(f"closing {connection.source}: silent for {self.opt.idle_timeout:g} s")
                connection.close()

    def _look_for_drops(self) -> None:
        assert self._datagrams is not None
        dropped = self._datagrams.dropped()
        new, self._dropped = (dropped - self._dropped) % 2**32, dropped
        if new:
            self._calm = 0
            self.ctx.stats.add("kernel_dropped", new)
            if self.paused:
                why, advice = "edgebit's buffers are full", "see the outputs, or give them larger buffers"
            else:
                why, advice = "its receive buffer was full", "raise receive_buffer_size, and net.core.rmem_max with it"
            self._dropping.begin(f"the kernel drops messages: {why}", f"they are counted; {advice}")
        elif self._dropping:
            self._calm += 1
            if self._calm >= _CALM:
                self._dropping.end("the kernel has stopped dropping messages")


class _Connection:
    """A sender on a stream socket. `last`: when something came from it, monotonic."""

    __slots__ = ("_input", "_sock", "_splitter", "_truncated", "last", "source", "stream")

    def __init__(self, input: Syslog, sock: socket.socket, splitter: Splitter, source: str) -> None:
        self._input, self._sock, self._splitter, self.source = input, sock, splitter, source
        self._truncated = 0
        self.last = input.ctx.clock.monotonic()
        self.stream = Stream(input.ctx, sock, self._on_data, self._on_closed)

    def _on_data(self, data: bytes) -> None:
        self.last = self._input.ctx.clock.monotonic()
        self._take(self._splitter.feed(data), len(data))

    def _take(self, lines: list[str], raw: int) -> None:
        cut, self._truncated = self._splitter.truncated - self._truncated, self._splitter.truncated
        self._input.take(lines, repeat(self.source), raw, cut)

    def _on_closed(self, why: str) -> None:
        self._input.ctx.log.debug(f"{self.source}: {why}")
        self.close()

    def close(self) -> None:
        """Close it; the unterminated rest is a message."""
        self.stream.close()
        self._input.forget(self)
        self._take(self._splitter.finish(), 0)

    def drain(self) -> None:
        """Read what the kernel has, unless paused meanwhile; then the unterminated rest is a message."""
        for _ in range(_LAST_READS):
            if self._input.paused:
                break
            try:
                data = self._sock.recv(READ_SIZE)
            except OSError:  # there is no more, as a rule
                break
            if not data:
                break
            self._on_data(data)
        self._take(self._splitter.finish(), 0)
