"""Bytes to a peer that never answers, for the outputs tcp, udp and syslog.

Over a stream "written to the socket" means little: what lies in the kernel when the connection breaks is lost. So `Pipe`
calls a piece sent when the peer's kernel has acknowledged all of it (SIOCOUTQ, tcp(7)); only what the peer's program had
not yet read when it died can be lost then. A datagram has no such thing: it is sent when the kernel has taken it.
"""

from __future__ import annotations

import errno
import os
import socket

from edgebit.net.connect import Stream
from edgebit.net.link import Link
from edgebit.net.tls import explain
from edgebit.options import Option, boolean, duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from typing import Any

    from edgebit.loop import Watch
    from edgebit.options import Options
    from edgebit.plugin import Context, Delivery

    Done = Callable[[str], object]  # "" when it is sent, else why it isn't

NET_OPTIONS = (
    Option("net.connect_timeout", duration, 10.0, "limit for name look-up, TCP and TLS together", minimum=0.1),
    Option("net.io_timeout", duration, 60.0, "limit without progress of what is sent; 0: none"),
    Option("net.keepalive", boolean, True, "use a connection for more than one batch"),
    Option("net.keepalive_idle_timeout", duration, 30.0, "an unused connection is closed after this"),
)
LONGEST = 65507  # bytes in a UDP datagram (RFC 768 over RFC 791: 65535 - 20 - 8)
REOPEN = 300.0  # seconds after which a name is looked up again for datagrams, which tell of no broken connection
_FIRST_LOOK, _LONGEST_LOOK = 0.001, 0.1  # seconds between looks at what the peer has acknowledged


class Pipe(Link):
    """A connection that is made when there is something to send, and again after it broke.

    host, port   as for Connector
    tls          called for each connection: an ssl.SSLContext or None; may raise SourceError
    opt          has NET_OPTIONS
    """

    def __init__(self, ctx: Context, host: str, port: int, opt: Options,
                 tls: Callable[[], ssl.SSLContext | None] = lambda: None, server_name: str = "") -> None:  # fmt: skip
        super().__init__(ctx, host, port, tls, server_name, opt.net_connect_timeout)
        self._opt = opt
        self._data: bytes = b""
        self._done: Done | None = None
        self._left, self._progress, self._pause = 0, 0.0, 0.0
        self._ended = False  # the peer sends no more: it may have closed, or only said that it has nothing to say

    def send(self, data: bytes, done: Done) -> None:
        """Send a piece; one at a time. `done` is called once, never out of here."""
        assert self._done is None, "one at a time"
        self._data, self._done = data, done
        if self._stream is not None:
            self._write()
        else:
            self._connect()

    def deliver(self, delivery: Delivery, data: bytes) -> None:
        """Send a batch and answer for it."""

        def done(why: str) -> None:
            if why:
                delivery.retry(f"{_shown(self.host, self.port)}: {why}")
            else:
                delivery.delivered()

        self.send(data, done)

    def close(self) -> None:
        """Give everything back; `done` isn't called any more."""
        self._done, self._data = None, b""
        super().close()

    def _on_connected(self, sock: socket.socket) -> None:
        self._stream = Stream(self._ctx, sock, lambda data: None, self._on_closed)
        self._stream.on_eof = self._on_eof
        self._ended = False
        self._write()

    def _write(self) -> None:
        stream = self._stream
        assert stream is not None
        data, self._data = self._data, b""
        stream.write(data)
        self._left, self._progress = stream.unacknowledged(), self._ctx.clock.monotonic()
        self._pause = _FIRST_LOOK
        self._set_timer(0 if not self._left else self._pause, self._look)

    def _look(self) -> None:
        stream = self._stream
        assert stream is not None
        left, now = stream.unacknowledged(), self._ctx.clock.monotonic()
        if not left:
            self._end("")
            return
        why = stream.error() if self._ended else ""
        if why:
            self._disconnect()
            self._end(why)
            return
        limit = self._opt.net_io_timeout
        if left < self._left:
            self._left, self._progress = left, now
        elif limit and now - self._progress >= limit:
            self._disconnect()
            self._end(f"the peer has taken nothing for {limit:g} s")
            return
        self._pause = min(2 * self._pause, _LONGEST_LOOK)
        self._set_timer(self._pause, self._look)

    def _on_eof(self) -> None:
        # If it has closed altogether, its kernel acknowledges nothing more and answers with a reset: wait for either.
        self._ended = True
        if self._done is None:
            self._disconnect()

    def _on_closed(self, why: str) -> None:
        stream = self._stream
        assert stream is not None
        left = stream.unacknowledged()
        self._disconnect()
        if self._done is not None:  # else nobody is waiting: the next piece gets a new connection
            self._end("" if why == "closed by the peer" and not left else why)

    def _fail(self, why: str) -> None:
        self._end(why)

    def _end(self, why: str) -> None:
        done, self._done, self._data = self._done, None, b""
        if self._stream is not None:
            if self._opt.net_keepalive and not self._ended:
                self._set_timer(self._opt.net_keepalive_idle_timeout, self._disconnect)
            else:
                self._disconnect()
        if done is not None:
            done(why)


class Datagrams:
    """A connected datagram socket (UDP, or the path of a unix socket), made when there is something to send.

    `send` hands over datagrams in order; `done` gets "" when the kernel has all of them, or why it hasn't, and which one
    it will never take (-1: none): one that is too long.
    """

    def __init__(self, ctx: Context, host: str, port: int) -> None:
        self._ctx, self.host, self.port = ctx, host, port
        self._sock: socket.socket | None = None
        self._watch: Watch | None = None
        self._opened = 0.0
        self._queue: Sequence[bytes] = ()
        self._at = 0
        self._done: Callable[[str, int], object] | None = None

    def send(self, datagrams: Sequence[bytes], done: Callable[[str, int], object]) -> None:
        """Send them; one list at a time. `done` is called once, never out of here."""
        assert self._done is None, "one at a time"
        self._queue, self._at, self._done = datagrams, 0, done
        if self._sock is not None and self._ctx.clock.monotonic() - self._opened < REOPEN:
            self._ctx.call_later(0, self._write)
            return
        self._drop()
        if self.host.startswith("/"):
            path = [(socket.AF_UNIX, socket.SOCK_DGRAM, 0, "", self.host)]
            self._ctx.call_later(0, lambda: self._resolved(path, ""))
        else:
            self._ctx.resolve(self.host, self.port, self._resolved)

    def deliver(self, delivery: Delivery, datagrams: Sequence[bytes]) -> None:
        """Send a batch and answer for it. What is too long for UDP is rejected before anything is sent."""
        where = _shown(self.host, self.port)
        long = [i for i, datagram in enumerate(datagrams) if len(datagram) > LONGEST and not self.host.startswith("/")]
        if long:
            delivery.reject(f"{where}: longer than the {LONGEST} bytes that a datagram holds", long)
            return

        def done(why: str, which: int) -> None:
            if which >= 0:
                delivery.reject(f"{where}: {why}", [which])
            elif why:
                delivery.retry(f"{where}: {why}")
            else:
                delivery.delivered()

        self.send(datagrams, done)

    def close(self) -> None:
        """Give everything back; `done` isn't called any more."""
        self._done, self._queue = None, ()
        self._drop()

    def _resolved(self, addresses: list[Any], why: str) -> None:
        if self._done is None or self._sock is not None:
            return  # closed in the meantime
        why = f"cannot look up {self.host}: {why or 'it has no address'}"
        for family, _, _, _, address in addresses:
            try:
                sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            except OSError as error:
                why = explain(error)
                continue
            try:
                sock.connect(address)
            except OSError as error:  # no route; for a unix socket: nobody is there
                sock.close()
                why = explain(error)
                continue
            self._sock, self._opened = sock, self._ctx.clock.monotonic()
            self._watch = self._ctx.watch(sock.fileno(), None, self._write)
            self._write()
            return
        self._end(why)

    def _write(self) -> None:
        sock, watch = self._sock, self._watch
        if sock is None or watch is None or self._done is None:
            return
        queue = self._queue
        try:
            while self._at < len(queue):
                sock.send(queue[self._at])
                self._at += 1
            # A port that nobody has is told by an ICMP message, here at once, over a network later: with the next batch.
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except BlockingIOError:
            watch.want(write=True)
            return
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                self._end(f"a datagram of {len(queue[self._at])} bytes is too long", self._at)
            else:
                self._drop()
                self._end(explain(error))
            return
        watch.want()
        if code:
            self._drop()
        self._end(os.strerror(code).lower() if code else "")

    def _end(self, why: str, which: int = -1) -> None:
        done, self._done, self._queue = self._done, None, ()
        if done is not None:
            done(why, which)

    def _drop(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _shown(host: str, port: int) -> str:
    return host if host.startswith("/") else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
