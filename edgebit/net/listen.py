"""Sockets that others send to: TCP, UDP, unix stream and unix datagram, all non-blocking.

`tcp`, `udp` and `unix` bind and raise SourceError with what a person can do about it. `Listener` accepts connections
for its owner, who makes a `Stream` of each; `Datagrams` reads datagrams in batches. Both stop the kernel's reading side
when paused. Neither spins: accept() that fails for want of descriptors leaves the descriptor readable, so the listener
looks away for a second.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct

from edgebit.errors import SourceError, reason
from edgebit.log import Trouble
from edgebit.net.connect import tune, where
from edgebit.options import BadValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.plugin import Context

BACKLOG = 128  # connections that the kernel holds until they are accepted; the rest is refused
_ACCEPTS = 64  # a turn of the loop
_DATAGRAMS = 256  # a turn of the loop; their bytes are bounded by the receive buffer, since they come from there
_WAIT = 1.0  # seconds until accept() is tried again when it failed for want of descriptors or memory
_CALM = 60.0  # seconds without a connection turned away until the trouble is said to be over
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; may exceed net.core.rmem_max, needs CAP_NET_ADMIN
_SO_MEMINFO, _MEMINFO = 55, struct.Struct("=9I")  # the same, and linux/sock_diag.h; the ninth is the drops


def address(value: object) -> str:
    """An address to listen on: 127.0.0.1, 0.0.0.0 (all of IPv4), :: (all of both), ::1. Not a name: that could block.

    To be used as the type of an `Option`.
    """
    text = str(value).strip()
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        raise BadValue('a numeric address of this host such as "127.0.0.1", "0.0.0.0" or "::"') from None
    return text


class Bound:
    """A bound socket with its name for people; `close` also removes the path of a unix socket, if it is still ours."""

    def __init__(self, sock: socket.socket, label: str, path: str = "") -> None:
        self.sock, self.label, self.path = sock, label, path
        self._id = _identity(path) if path else None

    def close(self) -> None:
        """May be called more than once."""
        if self.path and self.sock.fileno() >= 0 and _identity(self.path) == self._id:
            try:
                os.unlink(self.path)
            except OSError:
                pass  # the directory may have become read-only; the next open replaces a stale socket anyway
        self.sock.close()


def tcp(host: str, port: int, receive_buffer: int = 0) -> Bound:
    """Listen on TCP; port 0 lets the kernel choose. `receive_buffer` in bytes holds for each connection."""
    sock = _inet(host, port, socket.SOCK_STREAM, receive_buffer)
    return Bound(sock, f"tcp {where(sock.getsockname())}")


def udp(host: str, port: int, receive_buffer: int = 0) -> Bound:
    """Bind a UDP port. No SO_REUSEADDR: on UDP it would let two processes take each other's datagrams."""
    sock = _inet(host, port, socket.SOCK_DGRAM, receive_buffer)
    return Bound(sock, f"udp {where(sock.getsockname())}")


def unix(path: str, kind: socket.SocketKind, mode: int) -> Bound:
    """Bind a unix socket (SOCK_STREAM or SOCK_DGRAM) with the permission bits `mode`.

    A socket that nobody listens on any more, left by a crash, is replaced; anything else at that path is not touched.
    """
    label = f"unix {path}"
    _remove_stale(path, kind, label)
    sock = socket.socket(socket.AF_UNIX, kind)
    # The umask and not chmod afterwards: there is no moment at which others may connect that must not.
    umask = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot(label, error) from None
    finally:
        os.umask(umask)
    sock.setblocking(False)
    return Bound(sock, label, path)


def granted_receive_buffer(sock: socket.socket) -> int:
    """Bytes. The kernel doubles what is asked for, to have room for its own bookkeeping, and says the doubled number;
    this is the number in the terms of who asked."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


class Listener:
    """Accepts connections on a bound stream socket, which it owns from now on.

    on_accept(sock, peer)  a new connection, and who it is as text ("127.0.0.1:35304"; "" on a unix socket)
    room()                 asked before each; while it is False connections are closed at once and counted in
                           `rejected_connections`, so that a peer knows instead of waiting in the backlog
    """

    def __init__(self, ctx: Context, bound: Bound, on_accept: Callable[[socket.socket, str], object],
                 room: Callable[[], bool]) -> None:  # fmt: skip
        self._ctx, self._bound = ctx, bound
        self._on_accept, self._room = on_accept, room
        self._paused = self._waiting = False
        self._trouble = Trouble(ctx.log, ctx.clock.monotonic)
        self._trouble_at = 0.0
        self._watch = ctx.watch(bound.sock.fileno(), self.accept)
        self._update()

    def pause(self) -> None:
        """Accept no more; the kernel holds up to BACKLOG connections meanwhile."""
        self._paused = True
        self._update()

    def resume(self) -> None:
        self._paused = False
        self._update()

    def close(self) -> None:
        """Stop listening. Connections already accepted are their owner's. May be called more than once."""
        self._watch.close()
        self._bound.close()

    def accept(self) -> None:
        """Take the connections that are waiting, a bounded number; the loop calls it, and who is about to close may."""
        for _ in range(_ACCEPTS):
            if self._watch.fd < 0 or self._paused:  # by what was accepted just now
                return
            try:
                sock, peer = self._bound.sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue  # the peer has given up
            except OSError as error:
                self._wait(error)
                return
            if not self._room():
                sock.close()
                self._ctx.stats.add("rejected_connections")
                self._begin(f"too many connections on {self._bound.label}", "new ones are closed until others end")
                continue
            if self._trouble and self._ctx.clock.monotonic() - self._trouble_at > _CALM:
                self._trouble.end(f"accepting all connections on {self._bound.label} again")
            tune(sock)
            self._on_accept(sock, peer_name(peer))

    def _update(self) -> None:
        self._watch.want(read=not (self._paused or self._waiting))

    def _wait(self, error: OSError) -> None:
        self._begin(f"cannot accept on {self._bound.label}: {reason(error)}", "trying again every second")
        self._waiting = True
        self._update()
        self._ctx.call_later(_WAIT, self._waited)

    def _waited(self) -> None:
        self._waiting = False
        self._update()

    def _begin(self, why: str, advice: str) -> None:
        self._trouble_at = self._ctx.clock.monotonic()
        self._trouble.begin(why, advice)


class Datagrams:
    """Reads datagrams from a bound socket, which it owns from now on.

    on_batch(batch)  the datagrams of one turn of the loop, at least one. Each is the bytes alone, or with `peers` the
                     pair (bytes, socket address), which costs 0.3 µs more.
    longest          bytes; the kernel cuts longer ones
    """

    def __init__(self, ctx: Context, bound: Bound, on_batch: Callable[[list[Any]], object], *,
                 peers: bool = False, longest: int = 65536) -> None:  # fmt: skip
        self._ctx, self._bound, self._on_batch, self._longest = ctx, bound, on_batch, longest
        self._receive: Callable[[int], Any] = bound.sock.recvfrom if peers else bound.sock.recv
        self._watch = ctx.watch(bound.sock.fileno(), self.read)
        self.resume()

    def pause(self) -> None:
        """Read no more; the kernel keeps what fits into the receive buffer and drops the rest, see `dropped`. On a unix
        socket the sender waits instead."""
        self._watch.want()

    def resume(self) -> None:
        self._watch.want(read=True)

    def close(self) -> None:
        """May be called more than once."""
        self._watch.close()
        self._bound.close()

    def read(self) -> bool:
        """Hand over a batch of what is there now, if anything is."""
        receive, longest = self._receive, self._longest
        batch: list[Any] = []
        why = ""
        try:
            for _ in range(_DATAGRAMS):
                batch.append(receive(longest))  # noqa: PERF401 - what came before the error counts
        except BlockingIOError:
            pass
        except OSError as error:
            why = f"cannot read from {self._bound.label}: {reason(error)}"
        if batch:
            self._on_batch(batch)
        if why:
            self._ctx.lost(why)
        return bool(batch)

    def dropped(self) -> int:
        """Datagrams that the kernel has dropped since the socket was opened, modulo 2**32; 0 if it can't tell (before
        Linux 4.12).

        One getsockopt of 0.4 µs when somebody asks. The other ways cost more: SO_RXQ_OVFL needs recvmsg, 0.5 µs more
        for every datagram, and /proc/net/udp is a table of all sockets of the host.
        """
        try:
            found = self._bound.sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return 0
        return int(_MEMINFO.unpack(found)[8]) if len(found) == _MEMINFO.size else 0


# -- inside ----------------------------------------------------------------------------------------------------------


def _inet(host: str, port: int, kind: socket.SocketKind, receive_buffer: int) -> socket.socket:
    label = f"{'tcp' if kind == socket.SOCK_STREAM else 'udp'} {where((host, port))}"
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    except OSError as error:  # no IPv6 in this kernel
        raise _cannot(label, error) from None
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if receive_buffer:
            _set_receive_buffer(sock, receive_buffer)
        if kind == socket.SOCK_STREAM:
            # A restart need not wait until the connections of the last run have left TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot(label, error, port) from None
    sock.setblocking(False)
    return sock


def _set_receive_buffer(sock: socket.socket, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except OSError:
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, size
        )  # the kernel silently gives less: see granted_receive_buffer


def _cannot(label: str, error: OSError, port: int = 0) -> SourceError:
    hint = ""
    if error.errno == errno.EACCES:
        hint = "ports below 1024 need CAP_NET_BIND_SERVICE" if port else "this user may not write to the directory"
    elif error.errno == errno.EADDRINUSE:
        hint = "another process has this port"
    elif error.errno == errno.EADDRNOTAVAIL:
        hint = "no interface of this host has the address"
    return SourceError(f"cannot listen on {label}: {reason(error)}" + (f" ({hint})" if hint else ""))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _remove_stale(path: str, kind: socket.SocketKind, label: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # not there, or bind will say why
    if not stat.S_ISSOCK(mode):
        raise SourceError(f"cannot listen on {label}: there is something that is not a socket, and it is not removed")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(path)
    if code in (0, errno.EAGAIN, errno.EPROTOTYPE):  # one that listens, is busy, or listens with another type
        raise SourceError(f"cannot listen on {label}: another process listens there")
    if code not in (errno.ECONNREFUSED, errno.ENOENT):
        raise _cannot(label, OSError(code, os.strerror(code)))
    try:
        os.unlink(path)
    except OSError as error:
        raise _cannot(label, error) from None


def peer_name(address: Any) -> str:
    if not address or isinstance(address, (str, bytes)):
        return ""  # a unix socket; the other end rarely has a name
    # A socket on :: shows IPv4 peers as ::ffff:192.0.2.1.
    return where((address[0].removeprefix("::ffff:"), address[1]))
