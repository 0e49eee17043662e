"""The HTTP client against a scripted server on the same loop."""

from __future__ import annotations

import socket
import ssl

import pytest
import trustme

from edgebit.errors import SourceError
from edgebit.net.http_client import KEPT, MOST, HttpClient
from edgebit.net.stream import Stream
from fakes import FakeContext
from fakes.http_peer import CLOSE, HttpPeer, answer

HEADERS = [("Host", "example")]


class Talk:
    """A client, a peer, and what the client was told."""

    def __init__(self, *answers, tls=None, server_tls=None, **settings) -> None:
        self.ctx = FakeContext()
        self.peer = HttpPeer(self.ctx, *answers, tls=server_tls)
        self.client = HttpClient(self.ctx, "127.0.0.1", self.peer.port, tls=lambda: tls, **settings)
        self.told: list[tuple[int, dict[str, str], bytes, str]] = []

    def start(self, body: bytes = b"body", target: str = "/") -> None:
        self.client.request("POST", target, HEADERS, body, lambda *told: self.told.append(told))

    def ask(
        self, body: bytes = b"body", target: str = "/", seconds: float = 300.0
    ) -> tuple[int, dict[str, str], bytes, str]:
        count = len(self.told) + 1
        self.start(body, target)
        assert len(self.told) < count, "answered inside of request()"
        self.ctx.loop.run_until(lambda: len(self.told) >= count, seconds)
        assert len(self.told) == count
        return self.told[-1]

    def close(self) -> None:
        self.client.close()
        self.peer.close()
        self.ctx.loop.close()


@pytest.fixture
def talk():
    talks = []

    def start(*args, **kwargs):
        talks.append(Talk(*args, **kwargs))
        return talks[-1]

    yield start
    for one in talks:
        one.close()


def test_request_and_answer(talk):
    t = talk(answer(201, b"made", "X-Thing: yes"))
    status, headers, body, why = t.ask(b"payload", "/in?x=1")
    assert (status, headers["x-thing"], body, why) == (201, "yes", b"made", "")
    method, target, headers, body = t.peer.requests[0]
    assert (method, target, headers["host"], body) == ("POST", "/in?x=1", "example", b"payload")


def test_connection_is_kept(talk):
    t = talk()
    for _ in range(3):
        assert t.ask()[0] == 200
    assert t.client.connections == 1


def test_answer_a_byte_at_a_time(talk):
    def dribble(stream):
        for byte in answer(200, b"hello"):
            stream.write(bytes([byte]))
            t.ctx.loop.turn(0)

    t = talk(dribble)
    assert t.ask()[2] == b"hello"


def test_bytes_behind_an_answer_are_never_the_next_answer(talk):
    """A server that is out of step must not have its stray bytes taken as the answer to another batch."""
    t = talk(answer(200, b"one") + answer(200, b"stray"), answer(500, b"two"))
    assert t.ask()[2] == b"one"
    assert t.ask()[:3:2] == (500, b"two")
    assert t.client.connections == 2


@pytest.mark.parametrize("noise", [b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n", b"garbage"])
def test_bytes_while_idle_close_the_connection(talk, noise):
    t = talk()
    t.ask()
    t.peer.streams[0].write(noise)
    t.ctx.loop.run_for(0.01)
    assert t.ask()[0] == 200
    assert t.client.connections == 2


def test_informational_answers_are_skipped(talk):
    t = talk(b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(200, b"x"))
    assert t.ask()[2] == b"x"


def test_body_until_the_connection_ends(talk):
    def respond(stream):
        stream.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        stream.finish()

    t = talk(respond)
    assert t.ask()[:3:2] == (200, b"all of it")
    assert t.ask()[0] == 200
    assert t.client.connections == 2


def test_connection_closed_between_requests_is_made_again(talk):
    """Stale keep-alive, noticed before the next request."""
    t = talk()
    t.ask()
    t.peer.streams[0].close()
    t.ctx.loop.run_for(0.01)
    assert t.ask()[0] == 200
    assert t.client.connections == 2


def test_connection_closed_as_the_request_arrives_is_made_again(talk):
    """Stale keep-alive, not noticed before the next request was on its way."""
    t = talk(answer(), CLOSE, answer(200, b"second try"))
    t.ask()
    assert t.ask() == (200, {"content-length": "10"}, b"second try", "")
    assert t.client.connections == 2
    assert [body for *_, body in t.peer.requests] == [b"body"] * 3


def test_closed_again_is_a_failure(talk):
    t = talk(answer(), CLOSE, CLOSE)
    t.ask()
    status, _, _, why = t.ask()
    assert status == 0
    assert "closed by the peer" in why
    assert t.client.connections == 2


def test_new_connection_closed_without_an_answer_is_a_failure(talk):
    t = talk(CLOSE)
    assert t.ask()[0] == 0
    assert t.client.connections == 1


def test_closed_in_the_middle_of_an_answer_is_a_failure(talk):
    """A byte of the answer came, so the server has worked on the request: no second try behind the sender's back."""

    def half(stream):
        stream.write(answer(200, b"long answer")[:-5])
        stream.finish()

    t = talk(answer(), half)
    t.ask()
    status, _, _, why = t.ask()
    assert status == 0
    assert why.endswith("in the middle of the answer")
    assert len(t.peer.requests) == 2


def test_only_an_informational_answer_and_the_end(talk):
    def half(stream):
        stream.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        stream.finish()

    t = talk(half)
    assert t.ask(seconds=5)[3].endswith("in the middle of the answer")


def test_not_http(talk):
    t = talk(b"220 mail.example ESMTP\r\n\r\n")
    status, _, _, why = t.ask()
    assert status == 0
    assert "does not answer in HTTP" in why
    assert t.ask()[0] == 200


def test_endless_head_is_cut_off(talk):
    t = talk(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000)
    assert "does not answer in HTTP" in t.ask()[3]


def test_long_answer_is_kept_in_part(talk):
    t = talk(answer(500, b"x" * (KEPT + 1000)))
    assert len(t.ask()[2]) == KEPT
    t.ask()
    assert t.client.connections == 1


def test_endless_answer_costs_the_connection(talk):
    t = talk(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * (MOST + 100_000))
    status, _, body, _ = t.ask()
    assert (status, len(body)) == (200, KEPT)
    t.ask()
    assert t.client.connections == 2


def test_server_that_never_answers(talk):
    t = talk(None, response_timeout=60)
    before = t.ctx.clock.now
    assert t.ask()[3] == "no complete answer within 60 s"
    assert t.ctx.clock.now - before == pytest.approx(60)
    assert t.ask()[0] == 200


def test_server_that_answers_one_byte_a_second_for_ever(talk):
    """Bytes of the answer don't extend the time."""

    def dribble(stream, count=0):
        stream.write(b"HTTP/1.1 200 OK\r\nX: " if not count else b"x")
        if count < 100:
            t.ctx.call_later(1, lambda: dribble(stream, count + 1))

    t = talk(dribble, response_timeout=10)
    assert t.ask()[3] == "no complete answer within 10 s"


def test_server_that_stops_reading(talk):
    t = talk(response_timeout=20)
    t.start(b"x" * 16_000_000)
    t.ctx.loop.run_until(lambda: t.peer.streams)
    t.peer.streams[0].pause()
    t.ctx.loop.run_until(lambda: t.told, 1000)
    assert t.told[0][3] == "the server stopped reading for 20 s"


def test_slow_upload_is_not_a_timeout_while_it_moves(talk):
    t = talk(response_timeout=20)
    t.start(b"x" * 16_000_000)
    t.ctx.loop.run_until(lambda: t.peer.streams)
    began, stream = t.ctx.clock.now, t.peer.streams[0]

    def sip(turns=100):  # of 64 KiB each, then a pause
        stream.resume() if turns else stream.pause()
        if not t.told:
            t.ctx.call_later(0 if turns else 15, lambda: sip(turns - 1 if turns else 100))

    sip()
    t.ctx.loop.run_until(lambda: t.told, 100_000)
    assert t.told[0][0] == 200
    assert t.ctx.clock.now - began > 25  # how much the kernels take at once differs


def test_what_the_kernel_is_still_sending_is_progress(talk, monkeypatch):
    """As over a slow link; here the socket's queue is empty at once."""
    left = iter((900, 500, 100))
    monkeypatch.setattr(Stream, "unacknowledged", lambda stream: next(left, 0))
    t = talk(None, response_timeout=20)
    began = t.ctx.clock.now
    assert t.ask()[3] == "no complete answer within 20 s"
    assert 80 <= t.ctx.clock.now - began < 82


def test_answer_before_the_request_was_sent(talk):
    """A server may refuse at the head of a big body; the rest then goes nowhere, so the connection isn't used again."""
    t = talk()
    t.start(b"x" * 16_000_000)
    t.ctx.loop.run_until(lambda: t.peer.streams)
    stream = t.peer.streams[0]
    stream.pause()
    t.ctx.loop.turn(0)
    stream.write(answer(413, b"too big"))
    t.ctx.loop.run_until(lambda: t.told)
    assert t.told[0][:3:2] == (413, b"too big")
    assert t.ask()[0] == 200
    assert t.client.connections == 2


def test_unused_connection_is_closed(talk):
    t = talk(idle_timeout=30)
    t.ask()
    t.ctx.loop.run_for(29)
    assert not t.peer.streams[0].closed
    t.ctx.loop.run_for(2)
    assert t.peer.streams[0].closed
    assert t.ask()[0] == 200
    assert len(t.told) == 2


def test_nobody_listens(talk):
    t = talk()
    t.peer.listener.close()
    assert "connection refused" in t.ask()[3]


def test_name_without_an_address():
    ctx = FakeContext()
    client = HttpClient(ctx, "no.such.host.invalid", 80)
    told = []
    client.request("POST", "/", HEADERS, b"", lambda *t: told.append(t))
    ctx.loop.run_until(lambda: told)
    assert told[0][3].startswith("cannot look up no.such.host.invalid")
    client.close()
    ctx.loop.close()


def test_connect_timeout(talk):
    """A TLS handshake that never comes; the port is open, but nobody accepts."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        t = talk(tls=ssl.create_default_context(), connect_timeout=5)
        t.client.port = silent.getsockname()[1]
        before = t.ctx.clock.now
        assert "within 5 s" in t.ask()[3]
        assert t.ctx.clock.now - before == pytest.approx(5)


def test_closed_while_waiting_answers_nothing(talk):
    t = talk(None)
    t.start()
    t.ctx.loop.run_until(lambda: t.peer.requests)
    t.client.close()
    t.ctx.loop.run_for(100)
    assert t.told == []


def test_closed_while_connecting_answers_nothing(talk):
    t = talk()
    t.start()
    t.client.close()
    t.ctx.loop.run_for(100)
    assert t.told == []
    assert t.peer.requests == []


def test_next_request_from_inside_the_answer(talk):
    t = talk()
    t.client.request("POST", "/", HEADERS, b"1", lambda *told: t.start(b"2"))
    t.ctx.loop.run_until(lambda: t.told)
    assert [body for *_, body in t.peer.requests] == [b"1", b"2"]
    assert t.client.connections == 1


def test_header_that_http_cannot_carry(talk):
    t = talk()
    with pytest.raises(ValueError, match="header"):
        t.client.request("POST", "/", [*HEADERS, ("X", "a\r\nb")], b"", lambda *told: None)


def test_missing_certificate_file_is_a_failure():
    ctx = FakeContext()

    def missing():
        raise SourceError("tls.ca_file ca.pem: No such file or directory")

    client = HttpClient(ctx, "127.0.0.1", 9, tls=missing)
    told = []
    client.request("POST", "/", HEADERS, b"", lambda *t: told.append(t))
    assert not told
    ctx.loop.run_until(lambda: told)
    assert told == [(0, {}, b"", "tls.ca_file ca.pem: No such file or directory")]
    client.close()
    ctx.loop.close()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def contexts(authority, name="127.0.0.1"):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client


def test_tls(talk, authority):
    server, client = contexts(authority)
    t = talk(answer(200, b"secret"), CLOSE, tls=client, server_tls=server)
    assert t.ask(b"x" * 500_000)[2] == b"secret"
    assert len(t.peer.requests[0][3]) == 500_000
    assert t.ask()[0] == 200, "stale keep-alive with TLS"


def test_tls_with_a_certificate_for_another_host(talk, authority):
    server, client = contexts(authority, "other.example")
    t = talk(tls=client, server_tls=server)
    assert "certificate verify failed" in t.ask()[3]


def test_tls_to_a_server_without_tls(talk, authority):
    def garbage(sock, peer):
        sock.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        sock.close()

    _, client = contexts(authority)
    t = talk(tls=client)
    t.peer.listener._on_accept = garbage
    assert t.ask()[3]
