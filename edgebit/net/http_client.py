"""An HTTP/1.1 client (RFC 9110, 9112) for one server: one kept-alive connection, one request at a time, never blocking.

h11 holds the protocol, `Connector` makes the connection, `Stream` carries the bytes; this file only puts the three
together and keeps the time. It promises: each request is answered exactly once and in a later turn; what is kept of a
response is bounded; a server that stops reading or answering costs a time-out, never the loop.
"""

from __future__ import annotations

import h11

from edgebit.net.connect import Stream
from edgebit.net.link import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from edgebit.plugin import Context

    Headers = list[tuple[str, str]]
    # done(status, headers, body, why): the status with the headers in lower case, or 0 and why there was no answer
    Done = Callable[[int, dict[str, str], bytes, str], object]

KEPT = 65536  # bytes kept of a response's body; the rest is read and thrown away
MOST = 1 << 20  # bytes read of it; a longer one costs the connection, which is cheaper than reading on
MAX_HEAD = 65536  # bytes of status line and headers
_ONE_WRITE = 16384  # bodies up to this size are copied behind the head, so that both leave in one packet


class HttpClient(Link):
    """Requests to one server.

    host, port        as for Connector
    tls               called for each connection: an ssl.SSLContext or None; may raise SourceError
    server_name       the name to verify with TLS, if it is not `host`
    connect_timeout   seconds for look-up, TCP and TLS together
    response_timeout  seconds without progress: while the request leaves, each byte that the kernel takes counts; then
                      the whole response has to come within it
    idle_timeout      seconds after which an unused connection is closed; negative: after each request
    """

    def __init__(self, ctx: Context, host: str, port: int, *,
                 tls: Callable[[], ssl.SSLContext | None] = lambda: None, server_name: str = "",
                 connect_timeout: float = 10.0, response_timeout: float = 60.0,
                 idle_timeout: float = 30.0) -> None:  # fmt: skip
        super().__init__(ctx, host, port, tls, server_name, connect_timeout)
        self._response_timeout, self._idle_timeout = response_timeout, idle_timeout
        self.connections = 0  # made so far
        self._http = h11.Connection(h11.CLIENT)
        self._exchange: _Exchange | None = None

    def request(self, method: str, target: str, headers: Headers, body: bytes, done: Done) -> None:
        """Send a request; `headers` has Host and whatever else, framing and length are added here.

        Raises ValueError for what HTTP can't carry (a line end in a header).
        """
        assert self._exchange is None, "one request at a time"
        try:
            head = h11.Request(method=method, target=target, headers=[*headers, ("Content-Length", str(len(body)))])
        except h11.LocalProtocolError as error:
            raise ValueError(str(error)) from None
        self._exchange = _Exchange(head, body, done)
        if self._stream is None:
            self._connect()
        else:
            self._exchange.reused = True
            self._send()

    def close(self) -> None:
        """Give everything back; a request that is under way is not answered any more."""
        self._exchange = None
        super().close()

    # -- the states of one exchange, in order --------------------------------------------------------------------------

    def _on_connected(self, sock: socket.socket) -> None:
        self.connections += 1
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._stream = Stream(self._ctx, sock, self._on_data, self._on_closed)
        self._send()

    def _send(self) -> None:
        exchange, stream = self._exchange, self._stream
        assert exchange is not None
        assert stream is not None
        head = self._http.send(exchange.head) or b""
        self._http.send(h11.Data(data=exchange.body))  # for its count; the bytes are the body itself
        self._http.send(h11.EndOfMessage())
        if len(exchange.body) <= _ONE_WRITE:
            stream.write(head + exchange.body)
        else:
            stream.write(head)
            stream.write(exchange.body)
        self._await(stream.unacknowledged())

    def _await(self, unsent: int) -> None:
        self._set_timer(self._response_timeout, lambda: self._no_progress(unsent))

    def _no_progress(self, unsent: int) -> None:
        stream = self._stream
        left = stream.unacknowledged() if stream is not None else 0
        if left < unsent:  # what the kernel has taken may be minutes on its way over a slow link
            self._await(left)
            return
        what = f"the server stopped reading for {self._response_timeout:g} s" if left \
            else f"no complete answer within {self._response_timeout:g} s"  # fmt: skip
        self._disconnect()
        self._fail(what)

    def _on_data(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self._disconnect()  # nobody asked: a time-out notice (408) or a broken server; neither may be an answer
            return
        exchange.answered = True
        self._receive(exchange, data)

    def _on_closed(self, why: str) -> None:
        self._stream = None
        exchange = self._exchange
        if exchange is None:
            self._disconnect()  # a server may close an idle connection whenever it likes
        elif exchange.reused and not exchange.answered:
            # The server closed while our request was on its way. This is the normal end of keep-alive, not a failure,
            # and the next connection can't be `reused`, so it happens once at most.
            exchange.reused = False
            self._disconnect()
            self._connect()
        elif exchange.answered:
            self._receive(exchange, b"")  # the end of the connection may be the end of the body
            if exchange is self._exchange:
                self._disconnect()
                self._fail(f"{why} in the middle of the answer")
        else:
            self._disconnect()
            self._fail(why)

    def _receive(self, exchange: _Exchange, data: bytes) -> None:
        http = self._http
        try:
            http.receive_data(data)
            while exchange is self._exchange:
                event = http.next_event()
                if isinstance(event, h11.Response):
                    exchange.status = event.status_code
                    exchange.headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in event.headers}
                elif isinstance(event, h11.Data):
                    exchange.take(event.data)
                    if exchange.length > MOST:
                        self._finish(exchange)
                elif isinstance(event, h11.EndOfMessage):
                    self._finish(exchange)
                elif not isinstance(event, h11.InformationalResponse):
                    return  # NEED_DATA
        except h11.RemoteProtocolError as error:
            if data:  # else _on_closed knows better
                self._disconnect()
                self._fail(f"the server does not answer in HTTP: {error}")

    def _finish(self, exchange: _Exchange) -> None:
        stream, http = self._stream, self._http
        # An answer that came before all of the request was sent (413) leaves a connection that nobody reads; one with
        # bytes behind it is out of step: they would be taken for the next answer.
        clean = http.our_state is http.their_state is h11.DONE and not http.trailing_data[0] and self._idle_timeout >= 0
        if stream is not None and not stream.pending and clean:
            http.start_next_cycle()
            self._set_timer(self._idle_timeout, self._disconnect)
        else:
            self._disconnect()
        self._exchange = None
        exchange.done(exchange.status, exchange.headers, bytes(exchange.kept), "")

    def _fail(self, why: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.done(0, {}, b"", why)


class _Exchange:
    """One request and what came of its answer."""

    __slots__ = ("answered", "body", "done", "head", "headers", "kept", "length", "reused", "status")

    def __init__(self, head: h11.Request, body: bytes, done: Done) -> None:
        self.head, self.body, self.done = head, body, done
        self.reused = False  # sent over a connection that had served before
        self.answered = False  # a byte of the answer has come
        self.status = 0
        self.headers: dict[str, str] = {}
        self.kept = bytearray()
        self.length = 0

    def take(self, data: bytes | bytearray) -> None:
        self.length += len(data)
        self.kept += data[: KEPT - len(self.kept)]
