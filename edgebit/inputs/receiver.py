"""What the inputs that others send to have in common: syslog, tcp and udp.

Connections and datagrams, pausing them, what is read at the end, what the kernel has dropped, who sent it. A subclass
says what to bind, how a stream is split, and what to make of what was split: a batch at a time, for that is the path on
which a cost counts.
"""

from __future__ import annotations

from itertools import repeat

from edgebit.log import Trouble
from edgebit.net import listen
from edgebit.net.stream import Stream
from edgebit.options import Option, duration, integer, size, string
from edgebit.plugin import READ_SIZE, Input

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from typing import Any, Protocol

    from edgebit.loop import Timer
    from edgebit.options import Options
    from edgebit.plugin import InputContext

    class Splitter(Protocol):
        """wire.framing.Splitter, whose frames may also be values."""

        @property
        def truncated(self) -> int: ...

        @property
        def pending(self) -> int: ...

        def feed(self, data: bytes) -> list[Any]: ...

        def finish(self) -> list[Any]: ...


LISTEN = Option("listen", listen.address, "0.0.0.0", "address to listen on; 0.0.0.0: all of IPv4, ::: all of both")
RECEIVE_BUFFER = Option(
    "receive_buffer_size", size, 0, "bytes the kernel keeps of what is not yet read; 0: its default", maximum=1 << 30
)
CONNECTIONS = (
    Option("max_connections", integer, 256, "connections at a time; more are closed and counted", minimum=1),
    Option(
        "idle_timeout", duration, 0.0, "time after which a silent connection is closed, give or take 10 s; 0: never"
    ),
)
SOURCE = Option("source_address_key", string, "", "field for the sender, such as udp://192.0.2.1:514")

_EVERY = 10.0  # seconds between looks at what the kernel has dropped and at who is silent
_CALM = 6  # such looks without a drop until the trouble is said to be over
_LAST_READS = 64  # when stopping: reads of what the kernel has, for each socket
_SOURCES = 1024  # datagram senders whose names are kept as text; then they are made anew


class Receiver(Input):
    """Subclasses have the options RECEIVE_BUFFER, SOURCE and, if they take connections, CONNECTIONS."""

    unix_path = ""  # of a unix socket, for the name of its senders

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._sources: dict[Any, str] = {}
        self._listener: listen.Listener | None = None
        self._datagrams: listen.Datagrams | None = None
        self._connections: set[_Connection] = set()
        self._timer: Timer | None = None
        self._dropped = self._calm = 0
        self._dropping = Trouble(ctx.log, ctx.clock.monotonic)
        self.paused = False
        ctx.stats.gauge("connections", lambda: len(self._connections))

    # -- what subclasses say -------------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Call `take_connections` and `take_datagrams` with bound sockets. Raises SourceError."""
        raise NotImplementedError

    def splitter(self) -> Splitter:
        """A new one, for a new connection."""
        raise NotImplementedError

    def take(self, frames: list[Any], sources: Iterable[str], raw: int, cut: int) -> None:
        """What came over a connection: a batch of frames, who sent each, the bytes they came in, how many were cut."""
        raise NotImplementedError

    def take_batch(self, batch: list[bytes], sources: Iterable[str]) -> None:
        """Datagrams, and who sent each."""
        raise NotImplementedError

    def unfinished(self, splitter: Splitter, source: str) -> list[Any]:
        """A connection has ended: the frames to make of what is left in its splitter."""
        return splitter.finish()

    # -- life ----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        self.paused = False
        try:
            self.bind()
        except BaseException:  # whatever it is goes on: of two sockets the first may be open
            self.close()
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

    def take_connections(self, bound: listen.Bound) -> None:
        """Listen for connections on this socket."""
        self._listener = listen.Listener(
            self.ctx, bound, self._accept, lambda: len(self._connections) < self.opt.max_connections
        )
        self.ctx.log.info(f"listening on {bound.label}")

    def take_datagrams(self, bound: listen.Bound, longest: int) -> None:
        """Read datagrams of up to so many bytes from this socket; the kernel cuts longer ones."""
        peers = bool(self.opt.source_address_key)
        self._datagrams = listen.Datagrams(self.ctx, bound, self._receive_from if peers else self._receive,
                                           peers=peers, longest=longest)  # fmt: skip
        self._dropped = 0
        self.ctx.log.info(f"listening on {bound.label}")

    def check_receive_buffer(self, bound: listen.Bound) -> None:
        """Say so if the kernel has given less than was asked for."""
        granted, asked = listen.granted_receive_buffer(bound.sock), self.opt.receive_buffer_size
        if granted < asked:
            self.ctx.log.warn(
                f"the kernel gives a receive buffer of {granted} bytes, not {asked}; to allow more, raise net.core.rmem_max"
            )

    def _accept(self, sock: socket.socket, peer: str) -> None:
        source = f"tcp://{peer}" if peer else f"unix://{self.unix_path}"
        self._connections.add(_Connection(self, sock, self.splitter(), source))

    def forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def _receive(self, batch: list[bytes]) -> None:
        self.take_batch(batch, repeat(""))

    def _receive_from(self, batch: list[tuple[bytes, Any]]) -> None:
        self.take_batch([data for data, _ in batch], [self._source(peer) for _, peer in batch])

    def _source(self, peer: Any) -> str:
        found = self._sources.get(peer)
        if found is None:
            name = listen.peer_name(peer)
            found = f"udp://{name}" if name else f"unix://{self.unix_path}"
            if len(self._sources) >= _SOURCES:
                self._sources.clear()
            self._sources[peer] = found
        return found

    # -- now and then --------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timer = self.ctx.call_later(_EVERY, self._tick)
        if self._datagrams is not None:
            self._look_for_drops()
        if self._listener is not None and self.opt.idle_timeout and not self.paused:
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
            self.ctx.missed("dropped by the kernel", new)
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

    def __init__(self, input: Receiver, sock: socket.socket, splitter: Splitter, source: str) -> None:
        self._input, self._sock, self._splitter, self.source = input, sock, splitter, source
        self._truncated = 0
        self.last = input.ctx.clock.monotonic()
        self.stream = Stream(input.ctx, sock, self._on_data, self._on_closed)

    def _on_data(self, data: bytes) -> None:
        self.last = self._input.ctx.clock.monotonic()
        self._take(self._splitter.feed(data), len(data))

    def _take(self, frames: list[Any], raw: int) -> None:
        cut, self._truncated = self._splitter.truncated - self._truncated, self._splitter.truncated
        self._input.take(frames, repeat(self.source), raw, cut)

    def _on_closed(self, why: str) -> None:
        self._input.ctx.log.debug(f"{self.source}: {why}")
        self.close()

    def close(self) -> None:
        """Close it and see to what is unfinished."""
        self.stream.close()
        self._input.forget(self)
        self._take(self._input.unfinished(self._splitter, self.source), 0)

    def drain(self) -> None:
        """Read what the kernel has, unless paused meanwhile, and see to what is unfinished."""
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
        self._take(self._input.unfinished(self._splitter, self.source), 0)
