"""How a connection comes about without blocking: look-up, TCP and TLS as one state machine with one time-out.

It ends with a connected non-blocking socket, or with a reason that a person can act on. What flows over the socket
then is `Stream`'s business (net/stream.py). The ssl module is not imported unless a TLS context was handed in.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque

from edgebit.net.stream import Stream as Stream  # who connects wants both
from edgebit.net.tls import explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any

    from edgebit.loop import Timer, Watch
    from edgebit.plugin import Context

# Dead peers are found after about two minutes instead of the kernel's two hours and more.
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class Connector:
    """Connects to host:port and calls ``done(sock, "")``, or ``done(None, why)``: exactly once, in a later turn, and
    never after `cancel`.

    host         a name, a numeric address, or the path of a unix socket (it starts with "/"; `port` is ignored)
    tls          an ssl.SSLContext for the client side, or None
    server_name  the name to ask for and to verify with TLS, if it is not `host`
    timeout      seconds for everything together. Of several addresses each gets an even share of what is left, so that
                 a dead first one (a broken IPv6 route) doesn't use up the time of the others.
    """

    def __init__(self, ctx: Context, host: str, port: int, done: Callable[[socket.socket | None, str], object], *,
                 tls: ssl.SSLContext | None = None, server_name: str = "", timeout: float = 10.0) -> None:  # fmt: skip
        self._ctx, self.host, self.port = ctx, host, port
        self._tls, self._server_name, self._timeout = tls, server_name, timeout
        self._done: Callable[[socket.socket | None, str], object] | None = done
        self._addresses: deque[Any] = deque()
        self._failures: list[str] = []
        self._sock: socket.socket | None = None
        self._watch: Watch | None = None
        self._timer: Timer | None = None  # for everything
        self._attempt: Timer | None = None  # for the TCP connect to one of several addresses
        self._deadline = 0.0
        self._what = "the name look-up"  # what a time-out would be waiting for

    def start(self) -> None:
        self._deadline = self._ctx.clock.monotonic() + self._timeout
        self._timer = self._ctx.call_later(self._timeout, self._expired)
        if self.host.startswith("/"):
            path = [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", self.host)]
            self._ctx.call_later(0, lambda: self._resolved(path, ""))
        else:
            self._ctx.resolve(self.host, self.port, self._resolved)

    def cancel(self) -> None:
        """Give everything back; `done` is not called any more. May be called at any time and more than once."""
        self._done = None
        for timer in (self._timer, self._attempt):
            if timer is not None:
                timer.cancel()
        self._drop_socket()

    # -- the states, in order ----------------------------------------------------------------------------------------

    def _resolved(self, addresses: list[Any], why: str) -> None:
        if self._done is None or self._addresses or self._sock is not None:
            return  # cancelled, or a second answer
        if not addresses:
            self._end(None, f"cannot look up {self.host}: {why or 'it has no address'}")
            return
        self._addresses.extend(addresses)
        self._connect_next()

    def _connect_next(self) -> None:
        while self._addresses:
            family, kind, proto, _, address = self._addresses.popleft()
            self._what = where(address)
            try:
                self._sock = sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, proto)
                code = sock.connect_ex(address)
            except (OSError, OverflowError) as error:  # no such address family here; a path that is too long
                self._failed_address(explain(error))
                continue
            if code not in (0, errno.EINPROGRESS):
                self._failed_address(os.strerror(code).lower())
                continue
            left = self._deadline - self._ctx.clock.monotonic()
            if self._addresses:
                self._attempt = self._ctx.call_later(left / (len(self._addresses) + 1), self._attempt_expired)
            self._watch = self._ctx.watch(sock.fileno(), None, self._connected)
            self._watch.want(write=True)
            return
        self._end(None, "; ".join(dict.fromkeys(self._failures[-3:])))

    def _connected(self) -> None:
        assert self._sock is not None
        assert self._watch is not None
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code and self._sock.family != socket.AF_UNIX and self._connected_to_itself():
            code = errno.ECONNREFUSED
        if code:
            self._failed_address(os.strerror(code).lower())
            self._connect_next()
            return
        if self._attempt is not None:
            self._attempt.cancel()
        tune(self._sock)
        if self._tls is None:
            self._end(self._sock, "")
            return
        name = self._server_name or self.host
        try:
            # wrap_socket does the same with text, but loses the descriptor when it fails. "idna" takes 300 KB.
            plain = name.isascii() and 0 < min(map(len, name.split("."))) <= max(map(len, name.split("."))) < 64
            encoded = name.encode("ascii" if plain else "idna")
            # wrap_socket takes the descriptor over, so the watch stays valid.
            self._sock = self._tls.wrap_socket(self._sock, server_hostname=encoded, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:  # the peer is gone already; a name that TLS can't carry
            self._end(None, f"no TLS with {name!r}: {explain(error)}")
            return
        self._watch.on_read = self._watch.on_write = self._handshake
        self._handshake()

    def _connected_to_itself(self) -> bool:
        # Nobody listens, and the kernel happened to give this end the very port it connects to: TCP's simultaneous
        # open with oneself. Seen when a local service that uses a high port is down and retried for a day.
        assert self._sock is not None
        try:
            return bool(self._sock.getsockname() == self._sock.getpeername())
        except OSError:
            return False  # reset in the meantime; the first read will say so

    def _handshake(self) -> None:
        import ssl

        assert isinstance(self._sock, ssl.SSLSocket)
        assert self._watch is not None
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._watch.want(read=True)
        except ssl.SSLWantWriteError:
            self._watch.want(write=True)
        except (OSError, ValueError) as error:
            why = explain(error)
            if why == "closed by the peer":
                why += " during the TLS handshake"
            self._end(None, f"{why} ({self._what})")
        else:
            self._end(self._sock, "")

    # -- ends --------------------------------------------------------------------------------------------------------

    def _failed_address(self, why: str) -> None:
        self._failures.append(f"{why} ({self._what})")
        if self._attempt is not None:
            self._attempt.cancel()
        self._drop_socket()

    def _attempt_expired(self) -> None:
        self._failed_address("no answer")
        self._connect_next()

    def _expired(self) -> None:
        if self._sock is None:
            why = f"cannot look up {self.host}: no answer within {self._timeout:g} s"
        elif hasattr(self._sock, "do_handshake"):
            why = f"no TLS answer within {self._timeout:g} s ({self._what}); is that a TLS port?"
        else:
            why = "; ".join([*self._failures[-2:], f"no answer within {self._timeout:g} s ({self._what})"])
        self._end(None, why)

    def _end(self, sock: socket.socket | None, why: str) -> None:
        done = self._done
        if sock is not None:
            self._sock = None  # it is the caller's now
            if self._watch is not None:
                self._watch.close()
        self.cancel()
        if done is not None:
            done(sock, why)

    def _drop_socket(self) -> None:
        if self._watch is not None:
            self._watch.close()  # before the socket, or another one gets its number
            self._watch = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def tune(sock: socket.socket) -> None:
    """What every connection wants: small packets at once, and dead peers found. Harmless on unix sockets."""
    if sock.family == socket.AF_UNIX:
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    except OSError:
        pass  # an improvement, not a condition; a connection reset just now refuses it


def where(address: Any) -> str:
    """A socket address as people write it."""
    if isinstance(address, str):
        return address
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
