"""An HTTP server that does what a script says, on the test's own loop; and what a client needs to talk by hand."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable

from edgebit.net.listen import Listener, tcp
from edgebit.net.stream import Stream
from fakes.context import FakeContext

CLOSE = b"close"  # in an answer's place: close the connection without a word


def answer(status: int = 200, body: bytes = b"", *headers: str) -> bytes:
    """A response as bytes."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class HttpPeer:
    """Answers the n-th request with the n-th of `answers`, and 200 when they are used up.

    An answer is bytes, CLOSE, None (never), or a function that is given the connection's Stream. `requests` has
    (method, target, headers in lower case, body) of each.
    """

    def __init__(self, ctx: FakeContext, *answers: bytes | Callable[[Stream], object] | None, tls=None) -> None:
        self.ctx, self.tls = ctx, tls
        self.answers = deque(answers)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.streams: list[Stream] = []
        bound = tcp("127.0.0.1", 0)
        self.port = bound.sock.getsockname()[1]
        self.listener = Listener(ctx, bound, self._accept, lambda: True)

    def close(self) -> None:
        self.listener.close()
        for stream in self.streams:
            stream.close()

    def _accept(self, sock: socket.socket, peer: str) -> None:
        if self.tls is not None:
            sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        held = bytearray()
        stream = Stream(self.ctx, sock, lambda data: self._on_data(stream, held, data), lambda why: None)
        self.streams.append(stream)

    def _on_data(self, stream: Stream, held: bytearray, data: bytes) -> None:
        held += data
        head, found, rest = bytes(held).partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        if len(rest) < length:
            return
        del held[: len(head) + 4 + length]
        method, target, _ = first.split(" ")
        self.requests.append((method, target, headers, rest[:length]))
        what = self.answers.popleft() if self.answers else answer()
        if what is CLOSE:
            stream.close()
        elif isinstance(what, bytes):
            stream.write(what)
        elif what is not None:
            what(stream)


class HttpTalker:
    """The client side by hand: bytes out, parsed responses in."""

    def __init__(self, ctx: FakeContext, port: int) -> None:
        self.ctx = ctx
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setblocking(False)
        self.held = b""
        self.ended = False

    def send(self, data: bytes, pieces: int = 0) -> None:
        """All at once, or in pieces of so many bytes with turns of the loop in between."""
        for at in range(0, len(data), pieces or len(data)):
            left = data[at : at + (pieces or len(data))]
            while left:
                try:
                    left = left[self.sock.send(left) :]
                except BlockingIOError:
                    pass
                except OSError:
                    return  # the server has cut us off; what it said is still to be read
                self.ctx.loop.turn(0)

    def receive(self) -> tuple[int, dict[str, str], bytes]:
        """The next response."""
        self.ctx.loop.run_until(self._complete)
        head, _, rest = self.held.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        self.held = rest[length:]
        return int(first.split(" ")[1]), headers, rest[:length]

    def at_end(self) -> bool:
        """The server has closed the connection, and nothing is left to read."""
        self._pull()
        return self.ended and not self.held

    def close(self) -> None:
        self.sock.close()

    def _pull(self) -> None:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.ended = self.ended or not data
        self.held += data

    def _complete(self) -> bool:
        self._pull()
        head, found, rest = self.held.partition(b"\r\n\r\n")
        if not found:
            assert not self.ended, f"the server closed after {self.held!r}"
            return False
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        return len(rest) >= length
