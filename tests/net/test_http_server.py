"""The HTTP server, talked to by hand over loopback."""

from __future__ import annotations

import gzip
import zlib

import pytest

from edgebit.net.http_server import MAX_HEAD, HttpServer, Request, Response
from edgebit.net.listen import tcp
from fakes import FakeContext
from fakes.http_peer import HttpTalker


class Serve:
    """A server whose handler keeps the requests and answers what `answers` says, else with the body in upper case."""

    def __init__(self, **settings) -> None:
        self.ctx = FakeContext()
        self.requests: list[Request] = []
        self.answers: list[Response | Exception | None] = []
        self.server = HttpServer(self.ctx, self._handle, **settings)
        bound = tcp("127.0.0.1", 0)
        self.port = bound.sock.getsockname()[1]
        self.server.open(bound)
        self.talkers: list[HttpTalker] = []

    def _handle(self, request: Request) -> Response | None:
        self.requests.append(request)
        what = self.answers.pop(0) if self.answers else Response(200, request.body.upper())
        if isinstance(what, Exception):
            raise what
        return what

    def talker(self) -> HttpTalker:
        self.talkers.append(HttpTalker(self.ctx, self.port))
        return self.talkers[-1]

    def close(self) -> None:
        self.server.close()
        assert self.server.held == 0, "bodies are accounted for to the end"
        assert not self.server.connections
        for talker in self.talkers:
            talker.close()
        self.ctx.loop.close()


@pytest.fixture
def serve():
    made = []

    def start(**settings):
        made.append(Serve(**settings))
        return made[-1]

    yield start
    for one in made:
        one.close()


def post(body: bytes = b"hello", *headers: str, target: str = "/in", method: str = "POST") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*pieces: bytes) -> bytes:
    head = b"POST /in HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


@pytest.mark.parametrize("pieces", [0, 1, 7])
@pytest.mark.parametrize(
    "request_bytes", [post(), chunked(b"he", b"llo"), post(gzip.compress(b"hello"), "Content-Encoding: gzip")]
)
def test_request_in_pieces(serve, request_bytes, pieces):
    s = serve()
    talker = s.talker()
    talker.send(request_bytes, pieces)
    status, headers, body = talker.receive()
    assert (status, body) == (200, b"HELLO")
    assert headers["content-length"] == "5"
    assert s.requests[0].body == b"hello"


def test_what_a_request_has(serve):
    s = serve()
    talker = s.talker()
    talker.send(post(b"", "X-Two: a", "X-Two: b", target="/a%20b?x=1&y", method="PUT"))
    talker.receive()
    request = s.requests[0]
    assert (request.method, request.path, request.query) == ("PUT", "/a%20b", "x=1&y")
    assert request.header("X-Two") == "a, b"
    assert request.header("x-three", "none") == "none"
    assert request.peer.startswith("127.0.0.1:")


def test_absolute_target(serve):
    s = serve()
    talker = s.talker()
    talker.send(post(target="http://here/a/b?c"))
    talker.receive()
    assert (s.requests[0].path, s.requests[0].query) == ("/a/b", "c")


def test_keep_alive_and_its_end(serve):
    s = serve()
    talker = s.talker()
    for _ in range(3):
        talker.send(post())
        assert talker.receive()[0] == 200
    talker.send(post(b"last", "Connection: close"))
    assert talker.receive()[2] == b"LAST"
    s.ctx.loop.run_until(talker.at_end)
    assert talker.at_end()


def test_http_1_0_is_answered_and_closed(serve):
    s = serve()
    talker = s.talker()
    talker.send(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nok")
    assert talker.receive()[2] == b"OK"
    s.ctx.loop.run_until(talker.at_end)
    assert talker.at_end()


@pytest.mark.parametrize("count", [3, 1000])
def test_requests_sent_ahead_are_answered_in_order(serve, count):
    """Also many of them: no recursion."""
    s = serve()
    talker = s.talker()
    talker.send(b"".join(post(b"n%d" % n) for n in range(count)))
    assert [talker.receive()[2] for _ in range(count)] == [b"N%d" % n for n in range(count)]


def test_deferred_answer_holds_the_next_request_back(serve):
    s = serve()
    s.answers = [None]
    talker = s.talker()
    talker.send(post(b"one") + post(b"two"))
    s.ctx.loop.run_for(200)  # more than the idle time-out: the handler's time is not the client's fault
    assert len(s.requests) == 1
    s.requests[0].respond(Response(202, "later"))
    assert talker.receive()[::2] == (202, b"later")
    assert talker.receive()[::2] == (200, b"TWO")


def test_deferred_answer_from_inside_the_handler(serve):
    s = serve()
    s.server.handler = lambda request: request.respond(Response(200, "now"))
    talker = s.talker()
    talker.send(post() * 500)
    for _ in range(500):
        assert talker.receive()[2] == b"now"


def test_deferred_answer_to_a_client_that_left(serve):
    s = serve()
    s.answers = [None]
    talker = s.talker()
    talker.send(post())
    talker.close()
    s.ctx.loop.run_for(1)
    s.requests[0].respond(Response(200))
    s.requests[0].respond(Response(200))
    s.ctx.loop.run_for(1)
    assert not s.server.connections


def test_head_has_no_body(serve):
    s = serve()
    s.answers = [Response(200, "four"), Response(204)]
    talker = s.talker()
    talker.send(b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n" + post())
    s.ctx.loop.run_until(lambda: len(s.requests) == 2)
    s.ctx.loop.run_for(0.1)
    raw = talker.sock.recv(65536)
    assert raw.count(b"HTTP/1.1 ") == 2
    assert b"content-length: 4\r\n" in raw.lower()
    assert b"four" not in raw
    assert raw.endswith(b"\r\n\r\n")
    assert raw.lower().count(b"content-length") == 1, "204 has none"


def test_date_is_in_every_answer(serve):
    """Retry-After of the client is measured against it."""
    talker = serve().talker()
    talker.send(post())
    assert talker.receive()[1]["date"] == "Thu, 01 Jan 2026 00:00:00 GMT"


def test_expect_100_continue(serve):
    s = serve()
    talker = s.talker()
    whole = post(b"hello", "Expect: 100-continue")
    talker.send(whole[:-5])
    assert talker.receive()[0] == 100
    assert not s.requests
    talker.send(whole[-5:])
    assert talker.receive()[::2] == (200, b"HELLO")


def test_expect_100_continue_for_too_much(serve):
    """The refusal comes instead of the 100, before the body is sent."""
    s = serve(max_body=4)
    talker = s.talker()
    talker.send(post(b"hello", "Expect: 100-continue")[:-5])
    assert talker.receive()[0] == 413


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"x" * 101),
        chunked(b"x" * 60, b"y" * 41),
        post(gzip.compress(b"\0" * 10_000_000), "Content-Encoding: gzip")[:],
        post(zlib.compress(b"\0" * 101), "Content-Encoding: deflate"),
    ],
    ids=["length", "chunked", "bomb", "one over"],
)
def test_body_too_big(serve, request_bytes):
    s = serve(max_body=100 if len(request_bytes) < 1000 else 50_000)
    talker = s.talker()
    talker.send(request_bytes)
    status, headers, body = talker.receive()
    assert status == 413
    assert headers["connection"] == "close"
    assert b"at most" in body
    assert not s.requests
    s.ctx.loop.run_until(talker.at_end)
    assert talker.at_end()


def test_zip_bomb_is_never_unpacked(serve):
    """9.8 KB that unpack to 10 MB: refused with no more than the limit in memory."""
    s = serve(max_body=2_000_000)
    most = 0
    talker = s.talker()
    data = post(gzip.compress(b"\0" * 10_000_000), "Content-Encoding: gzip")
    for at in range(0, len(data), 100):
        talker.send(data[at : at + 100])
        most = max(most, s.server.held)
    assert talker.receive()[0] == 413
    assert 0 < most <= 2_000_000


def test_body_of_just_the_limit(serve):
    s = serve(max_body=100)
    talker = s.talker()
    for request_bytes in (post(b"x" * 100), post(gzip.compress(b"x" * 100), "Content-Encoding: gzip")):
        talker.send(request_bytes)
        assert talker.receive()[::2] == (200, b"X" * 100)


def test_refusal_reaches_a_client_that_goes_on_sending(serve):
    """The connection isn't reset under the answer while the rest of a big body is on its way."""
    s = serve(max_body=1000)
    talker = s.talker()
    talker.send(post(b"x" * 5_000_000))
    assert talker.receive()[0] == 413


@pytest.mark.parametrize("data", [b"not packed", gzip.compress(b"hello" * 100)[:-10], b""])
def test_packed_body_is_damaged(serve, data):
    s = serve()
    talker = s.talker()
    talker.send(post(data, "Content-Encoding: gzip"))
    status, _, body = talker.receive()
    assert status == 400
    assert b"cannot be unpacked" in body
    assert not s.requests


def test_content_encoding_that_is_not_known(serve):
    s = serve()
    talker = s.talker()
    talker.send(post(b"?", "Content-Encoding: br"))
    status, _, body = talker.receive()
    assert (status, s.requests) == (415, [])
    assert b'"br"' in body


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01 hello TLS\r\n\r\n", b"GET /\r\n\r\n", post(b"x", "Content-Length: 5"), b"POST / HTTP/1.1\r\n\r\n"],
)
def test_not_http(serve, garbage):
    s = serve()
    talker = s.talker()
    talker.send(garbage)
    assert talker.receive()[0] == 400
    assert not s.requests
    s.ctx.loop.run_until(talker.at_end)
    assert talker.at_end()


def test_endless_head(serve):
    s = serve()
    talker = s.talker()
    talker.send(b"POST / HTTP/1.1\r\nX: " + b"y" * (MAX_HEAD + 5000))
    assert talker.receive()[0] == 431


def test_all_bodies_together_are_bounded(serve):
    s = serve(max_body=1000, max_held=1500)
    talkers = [s.talker() for _ in range(2)]
    for talker in talkers:
        talker.send(post(b"x" * 1000)[:-1])
    statuses = [talkers[1].receive()[:2]]
    assert statuses[0][0] == 503
    assert statuses[0][1]["retry-after"] == "1"
    talkers[0].send(b"x")
    assert talkers[0].receive()[0] == 200


def test_too_many_connections(serve):
    s = serve(max_connections=2)
    talkers = [s.talker() for _ in range(3)]
    s.ctx.loop.run_until(lambda: s.ctx.stats.get("rejected_connections"))
    s.ctx.loop.run_until(talkers[2].at_end)
    assert talkers[2].at_end()
    talkers[0].send(post())
    assert talkers[0].receive()[0] == 200


def test_idle_connection_is_closed(serve):
    s = serve(idle_timeout=60)
    talker = s.talker()
    talker.send(post())
    talker.receive()
    s.ctx.loop.run_for(59)
    assert not talker.at_end()
    s.ctx.loop.run_for(2)
    assert talker.at_end()


def test_head_that_dribbles_is_cut_off(serve):
    """A byte now and then doesn't extend the time for the head."""
    s = serve(idle_timeout=60)
    talker = s.talker()
    for byte in b"POST / HT":
        talker.send(bytes([byte]))
        s.ctx.loop.run_for(10)
    assert talker.receive()[0] == 408
    s.ctx.loop.run_until(talker.at_end)
    assert talker.at_end()


def test_body_may_come_slowly_while_it_moves(serve):
    s = serve(idle_timeout=60)
    talker = s.talker()
    whole = post(b"slowly")
    talker.send(whole[:-6])
    for byte in b"slowl":
        s.ctx.loop.run_for(50)
        talker.send(bytes([byte]))
    s.ctx.loop.run_for(50)
    talker.send(b"y")
    assert talker.receive()[2] == b"SLOWLY"


def test_body_that_stops(serve):
    s = serve(idle_timeout=60)
    talker = s.talker()
    talker.send(post()[:-1])
    s.ctx.loop.run_for(61)
    assert talker.receive()[0] == 408


def test_client_that_never_reads_is_cut_off(serve):
    s = serve(idle_timeout=60)
    s.answers = [Response(200, b"x" * 20_000_000)]
    talker = s.talker()
    talker.send(post())
    s.ctx.loop.run_for(61)
    assert not s.server.connections


def test_client_that_leaves_in_the_middle(serve):
    s = serve()
    talker = s.talker()
    talker.send(post(b"x" * 1000)[:-10])
    s.ctx.loop.run_until(lambda: s.server.held, 1)
    assert s.server.held == 990
    talker.close()
    s.ctx.loop.run_for(1)
    assert not s.server.connections
    assert s.server.held == 0


def test_handler_with_a_bug(serve):
    s = serve()
    s.answers = [KeyError("oops")]
    talker = s.talker()
    talker.send(post() + post())
    assert talker.receive()[0] == 500
    assert talker.receive()[0] == 200
    assert any("oops" in line for line in s.ctx.lines)
