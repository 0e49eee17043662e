"""An HTTP/1.1 server (RFC 9110, 9112) on h11, `Listener` and `Stream`: for the collector, the http input, the status page.

It promises: one request at a time on a connection (further ones wait in the kernel), everything bounded: connections,
head, body as sent, body as unpacked, bodies of all connections together, time. A peer that is too slow, too big or not
HTTP gets an answer that says so where that is possible, and is then cut off; it can't hold the loop or the memory.
"""

from __future__ import annotations

import time

import h11

from edgebit.errors import reason
from edgebit.net.listen import Listener
from edgebit.net.stream import Stream
from edgebit.wire.inflate import Inflate

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from edgebit.loop import Timer
    from edgebit.net.listen import Bound
    from edgebit.plugin import Context

MAX_HEAD = 16384  # bytes of request line and headers; nginx takes 8 KiB a line, Apache 8190 bytes a line
MAX_BODY = 8 << 20  # bytes of a body, as sent and as unpacked
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


class Response:
    """What to answer. `headers` are added to Date, Content-Type and Content-Length."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(self, status: int = 200, body: bytes | str = b"", content_type: str = TEXT,
                 headers: Iterable[tuple[str, str]] = ()) -> None:  # fmt: skip
        self.status, self.content_type, self.headers = status, content_type, tuple(headers)
        self.body = body.encode("utf-8", "replace") if isinstance(body, str) else body


class Request:
    """A complete request; the body is unpacked already.

    method   "GET", "POST", …
    path     of the target, as sent: percent-encoding is not undone
    query    what follows "?", or ""
    headers  names in lower case; of equal names the values joined by ", "
    peer     the client's address as people write it
    """

    __slots__ = ("_connection", "body", "headers", "method", "path", "peer", "query")

    def __init__(self, connection: _Connection, event: h11.Request, peer: str) -> None:
        self._connection, self.peer = connection, peer
        self.method = event.method.decode("ascii")
        target = event.target.decode("latin-1")
        if not target.startswith("/"):  # absolute form, "http://host/path", which every server must take
            target = "/" + target.partition("://")[2].partition("/")[2]
        self.path, _, self.query = target.partition("?")
        self.headers: dict[str, str] = {}
        for raw_name, raw_value in event.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self.body = b""

    def header(self, name: str, default: str = "") -> str:
        return self.headers.get(name.lower(), default)

    def respond(self, response: Response) -> None:
        """Answer now what the handler left open by returning None. Harmless when the client has gone."""
        self._connection.respond(self, response)


class HttpServer:
    """Hands each request to ``handler(request)``, which returns a Response, or None and calls `respond` later.

    max_body         bytes of one body, as sent and as unpacked: beyond is 413
    max_held         bytes of the bodies of all connections together: beyond is 503
    max_connections  more are closed at once
    idle_timeout     seconds: for the whole head, between two pieces of a body, between two requests, for a client that
                     does not read its answer
    """

    def __init__(self, ctx: Context, handler: Callable[[Request], Response | None], *, max_body: int = MAX_BODY,
                 max_held: int = 8 * MAX_BODY, max_connections: int = 64,
                 idle_timeout: float = 60.0) -> None:  # fmt: skip
        self.ctx, self.handler = ctx, handler
        self.max_body, self.max_held, self.max_connections = max_body, max_held, max_connections
        self.idle_timeout = idle_timeout
        self.refusing = ""  # while it is not empty, requests are answered 503 with this text, their bodies not read
        self.held = 0  # bytes of bodies in memory
        self.connections: set[_Connection] = set()
        self._listener: Listener | None = None

    def open(self, bound: Bound) -> None:
        """Serve whoever connects to this socket (listen.tcp or listen.unix)."""
        self._listener = Listener(self.ctx, bound, self.accept, lambda: len(self.connections) < self.max_connections)

    def accept(self, sock: socket.socket, peer: str) -> None:
        """Serve a connected socket."""
        self.connections.add(_Connection(self, sock, peer))

    def close(self) -> None:
        """Stop listening and cut all connections off. May be called more than once."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self.connections):
            connection.drop()


class _Refused(Exception):
    """The request gets this answer instead of being handled, and the connection ends."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Connection:
    def __init__(self, server: HttpServer, sock: socket.socket, peer: str) -> None:
        self._server, self._peer = server, peer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._request: Request | None = None  # from its head until it is answered
        self._unpack: Inflate | None = None
        self._body = bytearray()
        self._handling = False  # complete and with the handler
        self._turning = False  # inside _advance
        self._over = False  # the last answer is on its way, or the client has gone
        self._timer: Timer | None = None
        self._touch()
        self._stream = Stream(server.ctx, sock, self._on_data, self._on_closed)
        self._expire()

    def drop(self) -> None:
        """Give everything back."""
        self._end()
        self._stream.close()
        self._release()
        self._server.connections.discard(self)

    def respond(self, request: Request, response: Response) -> None:
        if self._over or request is not self._request:
            return  # the client has gone
        self._send(response)
        if not self._over:
            self._stream.resume()
            self._advance()

    # -- reading ---------------------------------------------------------------------------------------------------

    def _on_data(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._advance()

    def _on_closed(self, why: str) -> None:
        self.drop()

    def _advance(self) -> None:
        """Take from h11 what is complete. Answers given at once don't come through here again: no recursion."""
        if self._turning:
            return
        self._turning = True
        try:
            while not self._over and self._step():
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, f"not valid HTTP: {error}")
        except _Refused as refused:
            self._refuse(refused.status, str(refused))
        except ValueError as error:  # of Inflate
            self._refuse(400, f"the body cannot be unpacked: {error}")
        finally:
            self._turning = False

    def _step(self) -> bool:
        """One event; False if there is nothing to do until more bytes or the answer come."""
        event = self._http.next_event()
        if isinstance(event, h11.Data):
            self._take(event.data)
        elif isinstance(event, h11.Request):
            self._start(Request(self, event, self._peer))
        elif isinstance(event, h11.EndOfMessage):
            self._handle()
        else:  # NEED_DATA, PAUSED or ConnectionClosed
            if event is h11.NEED_DATA and self._http.they_are_waiting_for_100_continue:
                self._stream.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            return False
        return True

    def _start(self, request: Request) -> None:
        self._request = request
        self._touch()
        if self._server.refusing:
            raise _Refused(503, self._server.refusing)
        length = request.header("content-length")  # h11 has made sure that it is a number, if there is one
        if length and int(length) > self._server.max_body:
            raise _Refused(413, f"the body has {length} bytes, at most {self._server.max_body} are taken")
        coding = request.header("content-encoding", "identity").strip().lower()
        if coding in ("gzip", "x-gzip", "deflate"):
            self._unpack = Inflate(self._server.max_body)
        elif coding != "identity":
            raise _Refused(415, f'content encoding "{coding}" is not known here; gzip and deflate are')

    def _take(self, data: bytes | bytearray) -> None:
        self._touch()
        piece = self._unpack.feed(data) if self._unpack is not None else data
        if len(self._body) + len(piece) > self._server.max_body:
            raise _Refused(413, f"the body is too big, at most {self._server.max_body} bytes are taken")
        self._body += piece
        self._server.held += len(piece)
        if self._server.held > self._server.max_held:
            raise _Refused(503, "too many requests at once")

    def _handle(self) -> None:
        request = self._request
        assert request is not None
        if self._unpack is not None:
            self._unpack.finish()
        request.body = bytes(self._body)
        self._handling = True
        try:
            response = self._server.handler(request)
        except Exception as error:  # noqa: BLE001 - a bug in one handler must cost neither the answer nor the loop
            self._server.ctx.log.error(f"{request.method} {request.path}: {reason(error)}")
            response = Response(500, "internal error\n")
        if response is not None:
            self._send(response)
        elif request is self._request:
            self._stream.pause()  # until `respond`

    # -- answering -------------------------------------------------------------------------------------------------

    def _send(self, response: Response, last: bool = False) -> None:
        http, stream = self._http, self._stream
        now = time.gmtime(self._server.ctx.clock.wall_ns() // 10**9)
        headers = [("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", now)), *response.headers]
        if response.status not in (204, 304):
            headers += [("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))]
        if last:
            headers.append(("Connection", "close"))
        out = http.send(h11.Response(status_code=response.status, headers=headers)) or b""
        if self._request is None or self._request.method != "HEAD":
            out += http.send(h11.Data(data=response.body)) or b""
        out += http.send(h11.EndOfMessage()) or b""
        self._release()
        self._touch()
        stream.write(out)
        if http.our_state is http.their_state is h11.DONE:
            http.start_next_cycle()
        else:
            self._end()
            stream.finish()  # calls _on_closed

    def _refuse(self, status: int, text: str) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            retry = [("Retry-After", "1")] if status == 503 else []
            self._send(Response(status, text + "\n", headers=retry), last=True)
        else:
            self.drop()

    def _release(self) -> None:
        self._server.held -= len(self._body)
        self._request, self._unpack, self._body, self._handling = None, None, bytearray(), False

    def _end(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    # -- time ------------------------------------------------------------------------------------------------------

    def _touch(self) -> None:
        self._deadline = self._server.ctx.clock.monotonic() + self._server.idle_timeout

    def _expire(self) -> None:
        """One timer a connection, which looks at the deadline when it is due: moving that costs nothing."""
        if self._handling:
            self._touch()  # the handler's time is not the client's fault
        left = self._deadline - self._server.ctx.clock.monotonic()
        if left > 0:
            self._timer = self._server.ctx.call_later(left, self._expire)
        elif self._request is not None or self._http.trailing_data[0]:
            self._refuse(408, "the request did not come in time")
        else:
            self.drop()
