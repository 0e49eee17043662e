"""Bytes over a connected socket, plain or TLS, without blocking and with bounded memory.

What TLS adds to a non-blocking socket, and what is done about it: (a) reading may have to wait until the socket is
writable and writing until it is readable, so each direction notes what it waits for and the interest is computed from
that in one place; (b) bytes that OpenSSL has already taken out of the socket don't wake the selector, so ``pending()``
is asked before going back to sleep. The ssl module is not imported for a plain socket.
"""

from __future__ import annotations

import socket
from collections import deque
from fcntl import ioctl
from sys import byteorder
from termios import TIOCOUTQ  # the same number as SIOCOUTQ, which Python has no name for

from edgebit.net.tls import explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.loop import Timer
    from edgebit.plugin import Context

WRITE_BUDGET = 262144  # the same for writing; a small processor encrypts about this much in 10 ms
WRITE_LIMIT = 4 << 20  # unsent bytes above which a further write fails the connection instead of filling the memory
LINGER = 2.0  # seconds a finished stream waits for the peer's close


class Stream:
    """Bytes over a connected non-blocking socket, which it owns from now on; reading starts at once.

    on_data(data)   what arrived: bytes, never empty, at most `ctx.read_size` at a time
    on_closed(why)  the connection ended, once: "closed by the peer", the system's words, or "" after `finish`.
                    Never called out of `write`, and not at all after `close`.
    on_sent()       optional attribute: what `write` had to leave over is with the kernel now; not called out of `write`
    on_eof()        optional attribute: the peer of a plain socket sends no more, but may still read what it is sent. Then
                    `on_closed` is for errors only, and `error` has to be asked for them while nothing is sent.
    limit           bytes; who goes on writing while more than this is unsent loses the connection, not the memory.
                    Look at `pending` before. One write of any size into an empty buffer is taken: its bytes exist.
    """

    on_sent: Callable[[], object] | None = None
    on_eof: Callable[[], object] | None = None

    def __init__(self, ctx: Context, sock: socket.socket, on_data: Callable[[bytes], object],
                 on_closed: Callable[[str], object], limit: int = WRITE_LIMIT) -> None:  # fmt: skip
        self._ctx, self._sock, self._limit = ctx, sock, limit
        self._on_data, self._on_closed = on_data, on_closed
        self._wants_read: Any = BlockingIOError  # what recv and send raise when they would block
        self._wants_write: Any = BlockingIOError
        self._tls = hasattr(sock, "pending")
        if self._tls:
            import ssl

            self._wants_read, self._wants_write = ssl.SSLWantReadError, ssl.SSLWantWriteError
        sock.setblocking(False)
        self._unsent: deque[memoryview] = deque()
        self.pending = 0  # bytes written here and not yet taken by the kernel
        self.sent = 0  # bytes taken by the kernel so far
        self.closed = False
        self._unacknowledged = 0  # at the end
        self._paused = False
        self._read_needs_write = self._write_needs_read = False  # TLS only
        self._finishing: Timer | None = None
        self._again: Timer | None = None  # reads what OpenSSL holds, when the budget of a turn is spent
        self._watch = ctx.watch(sock.fileno(), self._readable, self._writable)
        self._update()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send it now as far as the kernel takes it, the rest when it can. The data must not be changed afterwards.
        Ignored once the stream is closed."""
        if self.closed or self._finishing is not None or not data:
            return
        if self.pending > self._limit:
            self._fail_soon(f"the peer does not read: {self.pending} bytes unsent")
            return
        self._unsent.append(memoryview(data))
        self.pending += len(data)
        if len(self._unsent) == 1:
            why = self._flush()
            if why:
                self._fail_soon(why)
            self._update()

    def pause(self) -> None:
        """Stop reading: the peer has to wait. A hang-up is noticed after `resume` only."""
        self._paused = True
        self._update()

    def resume(self) -> None:
        self._paused = False
        if not self.closed and self._tls and self._sock.pending():  # type: ignore[attr-defined]  # an SSLSocket
            self._read_again()
        self._update()

    def finish(self) -> None:
        """Send what is pending, say that no more comes, wait LINGER seconds for the peer's close, then `on_closed("")`.

        Closing at once could destroy the answer that was just sent: the kernel resets a connection that is closed
        with unread bytes in it. What still arrives is thrown away.
        """
        if self.closed or self._finishing is not None:
            return
        self._paused = False
        self._finishing = self._ctx.call_later(LINGER, lambda: self._end(""))
        if not self.pending:
            self._shut()
        self._update()

    def close(self) -> None:
        """Give everything back at once, sent or not; nothing is called any more. May be called more than once."""
        if self.closed:
            return
        self._unacknowledged = self.unacknowledged()
        self.closed = True
        for timer in (self._finishing, self._again):
            if timer is not None:
                timer.cancel()
        self._watch.close()
        if self._tls and not self.pending:
            self._say_goodbye()
        self._sock.close()
        self._unsent.clear()

    def unacknowledged(self) -> int:
        """Bytes that the peer's kernel has not confirmed to have: those in our hands and the socket's (tcp(7), SIOCOUTQ;
        over a unix socket: that the peer has not read). Of a closed stream, as it was at the end."""
        if self.closed:
            return self._unacknowledged
        return self.pending + int.from_bytes(ioctl(self._sock, TIOCOUTQ, bytes(4)), byteorder)

    def error(self) -> str:
        """What the kernel has found wrong with the socket since the last time, or ""."""
        if self.closed:
            return ""
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return explain(OSError(code, "")) if code else ""

    # -- inside ------------------------------------------------------------------------------------------------------

    def _update(self) -> None:
        """The interest, computed from the state, in the only place that sets it."""
        if self.closed:
            return
        reads, writes = not self._paused, bool(self._unsent)
        self._watch.want(
            read=(reads and not self._read_needs_write) or (writes and self._write_needs_read),
            write=(writes and not self._write_needs_read) or (reads and self._read_needs_write),
        )

    def _readable(self) -> None:
        before, why = self.pending, ""
        if self._write_needs_read:
            self._write_needs_read = False
            why = self._flush()
        self._after(before, why or self._read())

    def _writable(self) -> None:
        before, why = self.pending, ""
        if self._read_needs_write:
            self._read_needs_write = False
            why = self._read()
        why = why or self._flush()
        self._after(before, self._last_words(why) if why else "")

    def _after(self, before: int, why: str) -> None:
        if why:
            self._end(why)
        elif before and not self.pending and not self.closed:
            if self._finishing is not None:
                self._shut()
            elif self.on_sent is not None:
                self.on_sent()
        self._update()

    def _read(self) -> str:
        """Hand over what is there, up to the budget. Why the connection is over, or ""."""
        budget = self._ctx.read_size
        while not self._paused and not self.closed:
            try:
                data = self._sock.recv(budget)
            except self._wants_read:
                break
            except self._wants_write:
                self._read_needs_write = True
                break
            except OSError as error:
                data, why = b"", explain(error)
            else:
                why = "closed by the peer"
            if self._finishing is None and data:
                self._on_data(data)
            elif not data:
                if self._finishing is None:
                    if self.on_eof is not None and why == "closed by the peer" and not self._tls:
                        self._paused = True
                        self.on_eof()
                        return ""
                    return why
                self._end("")  # however it ended: this is what we were waiting for
                break
            budget -= len(data)
            if not self._tls:
                break  # one recv took all there was or all of the budget
            if budget <= 0:
                if not self.closed and self._sock.pending():  # type: ignore[attr-defined]  # an SSLSocket
                    self._read_again()
                break
        return ""

    def _read_again(self) -> None:
        if self._again is None or self._again.call is None:
            self._again = self._ctx.call_later(0, self._readable)

    def _flush(self) -> str:
        """Send what the kernel takes, up to the budget. Why the connection is over, or ""."""
        if not self._unsent or self.closed:
            return ""
        budget = WRITE_BUDGET
        while self._unsent and budget > 0:
            piece = self._unsent[0]
            try:
                sent = self._sock.send(piece)
            except self._wants_write:
                break
            except self._wants_read:
                self._write_needs_read = True
                break
            except OSError as error:
                return explain(error)
            budget -= sent
            self.pending -= sent
            self.sent += sent
            if sent == len(piece):
                self._unsent.popleft()
            else:
                self._unsent[0] = piece[sent:]
        return ""

    def _shut(self) -> None:
        try:
            if self._tls:
                self._say_goodbye()
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer was quicker; the read that follows tells

    def _say_goodbye(self) -> None:
        try:
            self._sock.unwrap()  # type: ignore[attr-defined]  # an SSLSocket; sends close_notify (RFC 8446, 6.1)
        except (OSError, ValueError):
            pass  # it would wait for the peer's, or the connection is broken: either way it was a courtesy

    def _fail_soon(self, why: str) -> None:
        # Out of `write` nobody expects to be called back; the next turn is early enough.
        self._ctx.call_later(0, lambda: self._end(self._last_words(why)))

    def _last_words(self, why: str) -> str:
        # Writing fails because the peer has closed, and it may have said why: a TLS alert, an HTTP 413, an MQTT
        # DISCONNECT. That lies unread in the socket and tells more than "broken pipe".
        return self._read() or why

    def _end(self, why: str) -> None:
        if not self.closed:
            self.close()
            self._on_closed(why)
