"""Pipe and Datagrams against bare sockets of the kernel."""

from __future__ import annotations

import os
import socket
import ssl

import pytest
import trustme

from edgebit.net.sending import LONGEST, NET_OPTIONS, REOPEN, Datagrams, Pipe
from edgebit.options import Setting, read
from fakes import FakeContext
from fakes.delivery import FakeDelivery


def options(**settings):
    return read(NET_OPTIONS, [Setting(f"net.{key}", value) for key, value in settings.items()], "test")


class Ends:
    """A pipe and the listening socket that it is pointed at."""

    def __init__(self, tls=None, client=None, **settings):
        self.ctx = FakeContext()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.pipe = Pipe(self.ctx, "127.0.0.1", self.listener.getsockname()[1], options(**settings), lambda: client)
        self.socks = [self.listener]

    def send(self, data):
        delivery = FakeDelivery()
        self.pipe.deliver(delivery, data)
        assert delivery.answers == [], "not out of send"
        return delivery

    def accept(self):
        found = []

        def arrived():
            try:
                found.append(self.listener.accept()[0])
            except BlockingIOError:
                return False
            return True

        self.ctx.loop.run_until(arrived)
        found[0].setblocking(False)
        self.socks.append(found[0])
        return found[0]

    def read(self, sock, size):
        got = bytearray()

        def enough():
            try:
                got.extend(sock.recv(65536))
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            return len(got) >= size

        self.ctx.loop.run_until(enough, 300)
        return bytes(got)

    def answered(self, delivery):
        self.ctx.loop.run_until(lambda: delivery.answers, 300)
        return delivery.answer

    def close(self):
        self.pipe.close()
        for sock in self.socks:
            sock.close()
        self.ctx.loop.close()


@pytest.fixture
def ends():
    made = []

    def start(**kwargs):
        made.append(Ends(**kwargs))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_one_connection_serves_many_batches(ends):
    e = ends()
    first = e.send(b"one\n")
    peer = e.accept()
    assert e.answered(first) == "delivered"
    assert e.answered(e.send(b"two\n")) == "delivered"
    assert e.read(peer, 8) == b"one\ntwo\n"


def test_delivered_means_that_the_peers_kernel_has_all(ends):
    e = ends()
    body = os.urandom(8 << 20)  # more than both kernels hold
    delivery = e.send(body)
    peer = e.accept()
    e.ctx.loop.run_for(5)
    assert delivery.answers == []
    assert e.read(peer, len(body)) == body
    assert e.answered(delivery) == "delivered"


def test_peer_that_reads_nothing_costs_a_time_out(ends):
    e = ends(io_timeout=20)
    delivery = e.send(bytes(8 << 20))
    e.accept()
    start = e.ctx.clock.monotonic()
    assert e.answered(delivery) == "retry"
    assert "has taken nothing for 20 s" in delivery.why
    assert 20 <= e.ctx.clock.monotonic() - start < 25


def test_peer_that_closes_after_each_batch_has_them_all_once(ends):
    e = ends()
    for n in range(3):
        delivery = e.send(b"batch %d\n" % n)
        peer = e.accept()
        assert e.read(peer, 8) == b"batch %d\n" % n
        peer.close()
        assert e.answered(delivery) == "delivered"
        e.ctx.loop.run_for(0.1)  # the close is noticed: the next batch doesn't go into the dead connection


def test_peer_that_dies_with_the_batch_unread(ends):
    e = ends()
    delivery = e.send(bytes(8 << 20))
    e.accept().close()  # unread bytes make the kernel say so, with a reset
    assert e.answered(delivery) == "retry"
    again = e.send(b"again\n")
    assert e.read(e.accept(), 6) == b"again\n"
    assert e.answered(again) == "delivered"


def test_peer_that_never_speaks_and_says_so_gets_each_batch_once(ends):
    e = ends()
    for _ in range(2):
        body = os.urandom(1 << 20)
        delivery = e.send(body)
        peer = e.accept()
        peer.shutdown(socket.SHUT_WR)
        e.ctx.loop.run_for(1)
        assert delivery.answers == []
        assert e.read(peer, len(body)) == body
        assert e.answered(delivery) == "delivered"
        assert peer.recv(1) == b"", "the next batch gets a connection that is whole"


def test_peer_that_stops_in_the_middle_of_a_batch(ends):
    e = ends()
    delivery = e.send(bytes(8 << 20))
    peer = e.accept()
    peer.shutdown(socket.SHUT_WR)
    e.read(peer, 100_000)
    peer.close()
    start = e.ctx.clock.monotonic()
    assert e.answered(delivery) == "retry"
    assert e.ctx.clock.monotonic() - start < 5


def test_nobody_listens(ends):
    e = ends()
    e.listener.close()
    delivery = e.send(b"x")
    assert e.answered(delivery) == "retry"
    assert "connection refused" in delivery.why


@pytest.mark.parametrize(
    ("settings", "wait"), [({}, 31), ({"keepalive": False}, 0.1), ({"keepalive_idle_timeout": 3}, 4)]
)
def test_unused_connections_are_closed(ends, settings, wait):
    e = ends(**settings)
    delivery = e.send(b"x")
    peer = e.accept()
    assert e.answered(delivery) == "delivered"
    e.ctx.loop.run_for(wait)
    assert e.read(peer, 1) == b"x"
    assert peer.recv(10) == b""


def test_tls(ends):
    ca = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    ca.configure_trust(client)
    e = ends(client=client)
    delivery = e.send(b"secret\n")
    peer = server.wrap_socket(e.accept(), server_side=True, do_handshake_on_connect=False)
    e.socks.append(peer)

    def shaken():
        try:
            peer.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    e.ctx.loop.run_until(shaken)
    assert e.read(peer, 7) == b"secret\n"
    assert e.answered(delivery) == "delivered"


# -- datagrams ---------------------------------------------------------------------------------------------------------


class Mail:
    """Datagrams to a bound socket."""

    def __init__(self, family=socket.AF_INET, address=("127.0.0.1", 0)):
        self.ctx = FakeContext()
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.setblocking(False)
        host, port = (address, 0) if isinstance(address, str) else self.sock.getsockname()
        self.out = Datagrams(self.ctx, host, port)

    def send(self, *datagrams):
        delivery = FakeDelivery(count=len(datagrams))
        self.out.deliver(delivery, datagrams)
        self.ctx.loop.run_until(lambda: delivery.answers, 300)
        return delivery

    def got(self):
        found = []
        while True:
            try:
                found.append(self.sock.recv(70000))
            except BlockingIOError:
                return found

    def close(self):
        self.out.close()
        self.sock.close()
        self.ctx.loop.close()


@pytest.fixture
def mail():
    made = []

    def start(*args, **kwargs):
        made.append(Mail(*args, **kwargs))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_each_record_is_a_datagram(mail):
    m = mail()
    assert m.send(b"one", b"", b"x" * LONGEST).answer == "delivered"
    assert m.got() == [b"one", b"", b"x" * LONGEST]


def test_what_no_datagram_holds_is_rejected_before_anything_is_sent(mail):
    m = mail()
    delivery = m.send(b"one", b"x" * (LONGEST + 1))
    assert (delivery.answer, delivery.answers[0][2]) == ("reject", [1])
    assert m.got() == []


def test_port_that_nobody_has(mail):
    m = mail()
    m.sock.close()
    delivery = m.send(b"one", b"two")
    assert delivery.answer == "retry"
    assert "connection refused" in delivery.why


def test_names_are_looked_up_again_after_a_while(mail):
    m = mail()
    m.send(b"one")
    before = m.out._sock
    m.send(b"two")
    assert m.out._sock is before
    m.ctx.loop.run_for(REOPEN + 1)
    m.send(b"three")
    assert m.out._sock is not before
    assert m.got() == [b"one", b"two", b"three"]


def test_unix_datagrams_wait_for_a_slow_reader(mail, tmp_path):
    m = mail(socket.AF_UNIX, str(tmp_path / "log"))
    many = [b"%d" % n for n in range(2000)]  # more than a unix socket queues
    delivery = FakeDelivery(count=len(many))
    m.out.deliver(delivery, many)
    got = []
    m.ctx.loop.run_until(lambda: got.extend(m.got()) or delivery.answers)
    got += m.got()
    assert (delivery.answer, got) == ("delivered", many)


def test_unix_socket_that_is_not_there(mail, tmp_path):
    m = mail(socket.AF_UNIX, str(tmp_path / "log"))
    (tmp_path / "log").unlink()
    delivery = m.send(b"x")
    assert delivery.answer == "retry"
    assert "no such file" in delivery.why
