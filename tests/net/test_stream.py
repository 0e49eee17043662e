"""Bytes over a connected socket: bounded both ways, plain and TLS."""

from __future__ import annotations

import socket
import ssl

import pytest
import trustme

from edgebit.net import stream
from edgebit.net.stream import LINGER, WRITE_LIMIT, Stream
from edgebit.plugin import READ_SIZE
from fakes import FakeContext


@pytest.fixture(scope="module")
def contexts():
    ca = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.issue_cert("peer").configure_cert(server)
    ca.configure_trust(client)
    return server, client


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        other = server.accept()[0]
    for sock in (client, other):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, other


class Wire:
    """A stream and, as its peer, the bare socket of the other end (TLS or not), which is non-blocking too."""

    def __init__(self, contexts=None):
        self.ctx = FakeContext()
        self.loop = self.ctx.loop
        mine, self.peer = tcp_pair()
        if contexts is not None:
            server, client = contexts
            mine = client.wrap_socket(mine, server_hostname="peer", do_handshake_on_connect=False)
            self.peer = server.wrap_socket(self.peer, server_side=True, do_handshake_on_connect=False)
            done = set()
            while len(done) < 2:
                for sock in (mine, self.peer):
                    try:
                        sock.do_handshake()
                        done.add(sock)
                    except ssl.SSLWantReadError:
                        pass
        self.got, self.closed = [], []
        self.stream = Stream(self.ctx, mine, self.got.append, self.closed.append)

    @property
    def data(self):
        return b"".join(self.got)

    def until(self, condition, seconds=5.0):
        self.loop.run_until(condition, seconds)
        assert condition()

    def peer_reads(self, size):
        """What the peer gets while both sides have their turns."""
        out = b""
        for _ in range(100_000):
            try:
                data = self.peer.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                data = None
            if data == b"":
                break
            out += data or b""
            if len(out) >= size:
                break
            self.loop.turn(longest=0)
        return out

    def peer_sends(self, data):
        """Send all of it, as the stream reads."""
        view = memoryview(data)
        for _ in range(100_000):
            if not view:
                return
            try:
                view = view[self.peer.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self.loop.turn(longest=0)
        raise AssertionError("the stream doesn't read")


@pytest.fixture(params=["plain", "tls"])
def wire(request, contexts):
    wire = Wire(contexts if request.param == "tls" else None)
    yield wire
    wire.stream.close()
    wire.stream.close()
    wire.peer.close()
    wire.loop.run_for(10)
    assert not any(timer.call for _, _, timer in wire.loop._timers)
    wire.loop.close()


def is_tls(wire):
    return isinstance(wire.peer, ssl.SSLSocket)


BIG = bytes(range(256)) * 4096 * 6  # 6 MiB


def test_reads_and_writes(wire):
    wire.peer_sends(b"hello")
    wire.until(lambda: wire.got)
    assert wire.data == b"hello"
    wire.stream.write(b"world")
    assert wire.peer_reads(5) == b"world"


def test_much_arrives_whole_in_both_directions(wire):
    wire.peer_sends(BIG)
    wire.until(lambda: len(wire.data) == len(BIG))
    assert wire.data == BIG
    assert max(map(len, wire.got)) <= READ_SIZE
    wire.stream.write(BIG)
    assert wire.stream.pending > 0
    assert wire.peer_reads(len(BIG)) == BIG
    assert wire.stream.pending == 0


def test_a_byte_at_a_time(wire):
    for i in range(50):
        wire.peer_sends(bytes((i,)))
        wire.stream.write(bytes((i,)))
        wire.loop.turn(longest=0)
    wire.until(lambda: len(wire.data) == 50)
    assert wire.data == bytes(range(50)) == wire.peer_reads(50)


def test_a_turn_reads_no_more_than_its_budget(wire):
    wire.stream.pause()
    while True:
        try:
            wire.peer.send(b"x" * 16384)
        except (BlockingIOError, ssl.SSLWantWriteError):
            break
    wire.stream.resume()
    while not wire.got:
        wire.loop.turn(longest=0)
    assert len(wire.data) <= READ_SIZE + 16384  # a TLS record may be handed over by its rest in the same turn


@pytest.fixture
def small_budgets(monkeypatch):
    monkeypatch.setattr(FakeContext, "read_size", 1000)
    monkeypatch.setattr(stream, "WRITE_BUDGET", 30_000)


def test_bytes_that_openssl_holds_are_not_forgotten(contexts, small_budgets):
    """A record of 16 KiB, read by parts: after the first the socket is empty, and the selector silent."""
    wire = Wire(contexts)
    wire.peer_sends(b"x" * 16000)
    turns = wire.loop.turns
    wire.until(lambda: len(wire.data) == 16000, 1)
    assert max(map(len, wire.got)) <= 1000
    assert wire.loop.turns - turns >= 15  # a budget a turn
    wire.got.clear()

    def pause_once(data):
        wire.got.append(data)
        if len(wire.got) == 1:
            wire.stream.pause()
            wire.ctx.call_later(5, wire.stream.resume)

    wire.stream._on_data = pause_once
    wire.peer_sends(b"y" * 16000)
    wire.until(lambda: len(wire.data) == 16000, 10)
    wire.stream.close()
    wire.peer.close()
    wire.loop.close()


def test_a_turn_writes_no_more_than_its_budget(wire, small_budgets):
    for _ in range(10):
        wire.stream.write(b"x" * 10_000)
    wire.stream._watch.want(read=True)  # hold it back
    sent, send = [], wire.stream._sock.send
    wire.stream._sock = Takes(wire.stream._sock, lambda data: sent.append(len(data)) or send(data))
    wire.stream._unsent.extend(memoryview(b"y" * 10_000) for _ in range(10))
    wire.stream.pending += 100_000
    wire.stream._update()
    wire.loop.turn(longest=0)
    assert sum(sent) == 30_000
    assert len(wire.peer_reads(200_000)) == 200_000


class Takes:
    """A socket whose `send` is another."""

    def __init__(self, sock, send):
        self.sock, self.send = sock, send

    def __getattr__(self, name):
        return getattr(self.sock, name)


def test_paused_it_reads_nothing_until_resumed(wire):
    wire.stream.pause()
    wire.peer_sends(b"hello")
    wire.loop.run_for(1)
    assert not wire.got
    wire.stream.resume()
    wire.until(lambda: wire.data == b"hello")


def test_pausing_out_of_on_data_stops_the_reading(wire):
    wire.stream._on_data = lambda data: (wire.got.append(data), wire.stream.pause())
    wire.peer_sends(b"x" * 200_000)
    wire.loop.run_for(1)
    assert len(wire.got) == 1


def test_closing_out_of_on_data(wire):
    wire.stream._on_data = lambda data: (wire.got.append(data), wire.stream.close())
    wire.peer_sends(b"x" * 100_000)
    wire.loop.run_for(1)
    assert len(wire.got) == 1
    assert wire.closed == []


def test_the_peer_closes(wire):
    wire.peer_sends(b"last words")
    wire.peer.close()
    wire.until(lambda: wire.closed)
    assert wire.data == b"last words"
    assert wire.closed == ["closed by the peer"]
    wire.stream.write(b"too late")
    wire.loop.run_for(1)
    assert wire.closed == ["closed by the peer"]


def test_the_peer_resets(wire):
    wire.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wire.peer.close()
    wire.until(lambda: wire.closed)
    # Not every OpenSSL tells a reset from an end without a goodbye.
    assert wire.closed == ["connection reset by peer"] or (is_tls(wire) and wire.closed == ["closed by the peer"])


def test_writing_to_a_peer_that_is_gone_tells_later_not_inside_write(wire):
    wire.stream.pause()  # so that only the write can notice
    wire.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wire.peer.close()
    for _ in range(3):
        wire.stream.write(b"x" * 100)
        assert wire.closed == []
    wire.until(lambda: wire.closed)
    assert len(wire.closed) == 1
    assert wire.closed[0] in ("connection reset by peer", "broken pipe", "closed by the peer")


def test_the_last_words_of_a_peer_are_read_when_writing_fails(wire):
    wire.stream.write(b"request")
    wire.peer_sends(b"413 too large")
    wire.peer.close()  # with the request unread: it resets
    for _ in range(3):
        wire.stream.write(b"x" * 1000)
    wire.until(lambda: wire.closed)
    assert wire.data == b"413 too large"


def test_a_peer_that_does_not_read_costs_the_connection_not_the_memory(wire):
    for _ in range(400):
        wire.stream.write(b"x" * 65536)
    assert wire.stream.pending <= WRITE_LIMIT + 65536
    wire.until(lambda: wire.closed)
    assert wire.closed[0].startswith("the peer does not read: ")


def test_on_sent_tells_when_what_was_left_over_is_gone(wire):
    told = []
    wire.stream.on_sent = lambda: told.append(wire.stream.pending)
    wire.stream.write(b"small")
    assert wire.peer_reads(5) == b"small"
    assert told == []  # `pending` was 0 at once, the writer knew
    wire.stream.write(BIG)
    wire.peer_reads(len(BIG))
    assert told == [0]


def test_finish_sends_the_rest_and_waits_for_the_peer(wire):
    wire.peer_sends(b"unread request")
    wire.stream.write(BIG)
    wire.stream.finish()
    wire.stream.write(b"more")  # ignored
    got = wire.peer_reads(len(BIG) + 1)
    assert got == BIG
    assert wire.closed == []
    wire.peer.close()
    wire.until(lambda: wire.closed)
    assert wire.closed == [""]


def test_finish_does_not_wait_for_ever(wire):
    wire.stream.write(b"bye")
    wire.stream.finish()
    wire.loop.run_for(LINGER - 0.1)
    assert wire.closed == []
    wire.loop.run_for(0.2)
    assert wire.closed == [""]


def test_finish_throws_away_what_still_arrives(wire):
    wire.stream.finish()
    wire.peer_sends(b"x" * 10000)
    wire.loop.run_for(0.5)
    assert wire.got == []


def test_close_calls_nothing(wire):
    wire.stream.write(BIG)
    wire.stream.close()
    wire.loop.run_for(10)
    assert wire.closed == []
    assert wire.stream.closed


def test_idle_it_costs_no_turns(wire):
    """Nothing to read or write: the loop sleeps, it doesn't spin."""
    wire.peer_sends(b"x")
    wire.until(lambda: wire.got)
    turns = wire.loop.turns
    wire.loop.run_for(100)
    assert wire.loop.turns - turns <= 2


def test_a_clean_tls_close_says_goodbye(contexts):
    wire = Wire(contexts)
    wire.peer.suppress_ragged_eofs = False  # or an end without close_notify would look the same
    wire.stream.close()
    assert wire.peer.recv(10) == b""
    wire.peer.close()
    wire.loop.close()


class NeedsOtherDirection:
    """An SSLSocket in the middle of a renegotiation: reading wants to write, writing wants to read."""

    def __init__(self, sock):
        self.sock, self.read_wants_write, self.write_wants_read = sock, 1, 1

    def recv(self, size):
        if self.read_wants_write:
            self.read_wants_write -= 1
            raise ssl.SSLWantWriteError
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            raise ssl.SSLWantReadError from None

    def send(self, data):
        if self.write_wants_read:
            self.write_wants_read -= 1
            raise ssl.SSLWantReadError
        return self.sock.send(data)

    def pending(self):
        return 0

    def unwrap(self):
        raise ssl.SSLWantReadError

    def __getattr__(self, name):
        return getattr(self.sock, name)


def test_reading_that_has_to_write_and_writing_that_has_to_read():
    ctx = FakeContext()
    mine, peer = tcp_pair()
    got, closed = [], []
    stream = Stream(ctx, NeedsOtherDirection(mine), got.append, closed.append)
    peer.send(b"in")
    ctx.loop.run_until(lambda: got, 5)
    assert got == [b"in"]
    stream.write(b"out")
    assert stream.pending == 3
    ctx.loop.run_for(1)
    assert stream.pending == 3  # waits for the peer, without spinning
    peer.send(b"more")
    ctx.loop.run_until(lambda: not stream.pending, 5)
    assert peer.recv(10) == b"out"
    assert b"".join(got) == b"inmore"
    stream.close()
    peer.close()
    ctx.loop.close()
