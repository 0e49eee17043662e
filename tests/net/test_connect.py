"""Connecting: every way it can fail has a reason for a person, comes in time, and is told once."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
import trustme

from edgebit.net.connect import Connector, explain, where
from fakes import FakeContext


class Peer:
    """A listening socket, whose connections the test accepts when it wants to."""

    def __init__(self, host="127.0.0.1", backlog=5):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.server = socket.create_server((host, 0), family=family, backlog=backlog)
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]

    def accept(self):
        return self.server.accept()[0]


@pytest.fixture
def ctx():
    ctx = FakeContext()
    yield ctx
    ctx.loop.close()


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    peer.server.close()


class Dial:
    """A connector and what it said."""

    def __init__(self, ctx, host="127.0.0.1", port=1, **more):
        self.ctx, self.answers = ctx, []
        self.connector = Connector(ctx, host, port, lambda sock, why: self.answers.append((sock, why)), **more)
        self.connector.start()
        assert self.answers == []  # never inside start()

    def wait(self, seconds=60.0):
        self.ctx.loop.run_until(lambda: self.answers, seconds)
        ((sock, why),) = self.answers
        return sock, why

    def fails(self, seconds=60.0):
        sock, why = self.wait(seconds)
        assert sock is None
        self.ctx.loop.run_for(100)
        assert len(self.answers) == 1
        return why


def with_addresses(ctx, *addresses):
    """Let every name have these addresses."""
    found = [(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
             for host, port in addresses]  # fmt: skip
    ctx.resolve = lambda host, port, done: ctx.call_later(0, lambda: done(found, ""))


# -- TCP ---------------------------------------------------------------------------------------------------------------


def test_a_connected_socket_is_handed_over_non_blocking_and_tuned(ctx, peer):
    sock, why = Dial(ctx, port=peer.port).wait()
    with sock, peer.accept():
        assert why == ""
        assert sock.getblocking() is False
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert len(ctx.loop.selector.get_map()) == 1  # the loop's own: the watch is given back


def test_refused(ctx, peer):
    peer.server.close()
    assert Dial(ctx, port=peer.port).fails() == f"connection refused (127.0.0.1:{peer.port})"


def test_a_name_that_cannot_be_looked_up(ctx):
    assert Dial(ctx, "no.such.invalid").fails().startswith("cannot look up no.such.invalid: ")


def test_a_look_up_that_never_answers(ctx):
    ctx.resolve = lambda host, port, done: None
    assert Dial(ctx, "broker", timeout=7).fails(8) == "cannot look up broker: no answer within 7 s"


def test_a_look_up_that_answers_after_the_time_out_is_ignored(ctx, peer):
    late = []
    ctx.resolve = lambda host, port, done: late.append(done)
    assert Dial(ctx, "broker", timeout=7).fails(8)
    late[0]([(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", peer.port))], "")
    ctx.loop.run_for(1)
    with pytest.raises(BlockingIOError):
        peer.accept()


def full_peer():
    """A peer whose kernel answers no further connection: its queue is full."""
    peer = Peer(backlog=0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", peer.port))
        fillers.append(filler)
    return peer, fillers


def test_no_answer_in_time(ctx):
    peer, fillers = full_peer()
    assert Dial(ctx, port=peer.port, timeout=3).fails(3.1) == f"no answer within 3 s (127.0.0.1:{peer.port})"
    for sock in (peer.server, *fillers):
        sock.close()


def test_the_addresses_are_tried_in_turn(ctx, peer):
    with_addresses(ctx, ("127.0.0.1", 1), ("127.0.0.1", peer.port))
    sock, _ = Dial(ctx, "broker").wait()
    assert sock.getpeername()[1] == peer.port
    sock.close()
    peer.accept().close()


def test_a_dead_first_address_leaves_time_for_the_second(ctx, peer):
    dead, fillers = full_peer()
    with_addresses(ctx, ("127.0.0.1", dead.port), ("127.0.0.1", peer.port))
    start = ctx.clock.now
    sock, _ = Dial(ctx, "broker", timeout=10).wait()
    assert sock.getpeername()[1] == peer.port
    assert ctx.clock.now - start == pytest.approx(5, abs=0.01)
    for open_one in (sock, peer.accept(), dead.server, *fillers):
        open_one.close()


def test_all_addresses_fail_and_each_is_named(ctx):
    with_addresses(ctx, ("127.0.0.1", 1), ("::1", 1))
    assert Dial(ctx, "broker").fails() == "connection refused (127.0.0.1:1); connection refused ([::1]:1)"


def test_cancel_at_every_point_leaves_nothing_behind(ctx, peer):
    for turns in range(5):
        dial = Dial(ctx, port=peer.port)
        for _ in range(turns):
            if not dial.answers:
                ctx.loop.turn(longest=0)
        if dial.answers:
            dial.answers[0][0].close()
            continue
        dial.connector.cancel()
        dial.connector.cancel()
        ctx.loop.run_for(100)
        assert dial.answers == []
    assert len(ctx.loop.selector.get_map()) == 1
    assert not any(timer.call for _, _, timer in ctx.loop._timers)


def test_a_connection_to_itself_is_no_connection(ctx):
    """A port of the ephemeral range on this machine, nobody listens: the kernel may connect a socket to itself."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.connect(sock.getsockname())
    dial = Dial(ctx)
    dial.connector._sock = sock
    assert dial.connector._connected_to_itself()
    dial.connector.cancel()


def test_unix_socket(ctx, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        sock, why = Dial(ctx, path).wait()
        assert why == ""
        sock.close()


def test_unix_socket_that_is_not_there(ctx, tmp_path):
    path = str(tmp_path / "s")
    assert Dial(ctx, path).fails() == f"no such file or directory ({path})"


def test_unix_socket_with_a_path_that_is_too_long(ctx):
    assert "too long" in Dial(ctx, "/" + "x" * 200).fails()


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


def server_context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def client_context(ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        ca.configure_trust(context)
    return context


def shake(ctx, peer, dial, context):
    """Do the server's side of the handshake on the same loop."""
    socks = []

    def accept():
        sock = context.wrap_socket(peer.accept(), server_side=True, do_handshake_on_connect=False)
        accepting.close()
        sock.setblocking(False)
        socks.append(sock)
        watch = ctx.watch(sock.fileno(), lambda: step(sock, watch))
        watch.want(read=True)

    def step(sock, watch):
        try:
            sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            pass
        watch.close()

    accepting = ctx.watch(peer.server.fileno(), accept)
    accepting.want(read=True)
    answer = dial.wait()
    ctx.loop.run_for(1)
    return answer, socks[0]


@pytest.mark.parametrize(("host", "server_name"), [("127.0.0.1", ""), ("127.0.0.1", "broker.example")])
def test_tls_with_a_certificate_that_fits(ctx, peer, ca, host, server_name):
    cert = ca.issue_cert(server_name or host)
    dial = Dial(ctx, host, peer.port, tls=client_context(ca), server_name=server_name)
    (sock, why), other = shake(ctx, peer, dial, server_context(cert))
    with sock, other:
        assert why == ""
        assert sock.version() == "TLSv1.3"
        assert sock.getblocking() is False


@pytest.mark.parametrize(
    ("name", "trusted", "says"),
    [
        ("127.0.0.1", False, "certificate verify failed: unable to get local issuer certificate (check tls.ca_file)"),
        ("broker.example", True, "certificate is not valid for '127.0.0.1' (check host and tls.vhost)"),
    ],
)
def test_tls_with_a_certificate_that_does_not_fit(ctx, peer, ca, name, trusted, says):
    context = server_context(ca.issue_cert(name))
    (sock, why), other = shake(
        ctx, peer, Dial(ctx, port=peer.port, tls=client_context(ca if trusted else None)), context
    )
    assert sock is None
    assert says in why
    other.close()


def test_tls_with_an_expired_certificate_asks_for_the_clock(ctx, peer, ca):
    import datetime

    old = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    context = server_context(ca.issue_cert("127.0.0.1", not_before=old, not_after=old + datetime.timedelta(days=1)))
    (_, why), other = shake(ctx, peer, Dial(ctx, port=peer.port, tls=client_context(ca)), context)
    assert "certificate has expired (is this device's clock right?)" in why
    other.close()


def test_tls_to_a_peer_that_is_silent(ctx, peer, ca):
    dial = Dial(ctx, port=peer.port, tls=client_context(ca), timeout=4)
    assert dial.fails(4.1) == f"no TLS answer within 4 s (127.0.0.1:{peer.port}); is that a TLS port?"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the peer does not speak TLS"),
        (b"", "closed by the peer during the TLS handshake"),
        (b"\x15\x03\x01\0\x02\x02\x28", "TLS: "),
    ],
)
def test_tls_to_a_peer_that_says_something_else(ctx, peer, ca, answer, says):
    dial = Dial(ctx, port=peer.port, tls=client_context(ca))
    ctx.loop.run_until(lambda: dial.connector._tls and hasattr(dial.connector._sock, "do_handshake"))
    with peer.accept() as other:
        other.recv(10000)
        other.sendall(answer)
        other.shutdown(socket.SHUT_WR)
        assert says in dial.fails()


def test_a_reset_during_the_handshake(ctx, peer, ca):
    dial = Dial(ctx, port=peer.port, tls=client_context(ca))
    ctx.loop.run_until(lambda: dial.connector._tls and hasattr(dial.connector._sock, "do_handshake"))
    peer.accept().close()  # with the client's hello unread
    assert dial.fails() == f"connection reset by peer (127.0.0.1:{peer.port})"


def test_a_name_that_tls_cannot_carry(ctx, peer, ca):
    dial = Dial(ctx, port=peer.port, tls=client_context(ca), server_name=".broker")
    assert dial.fails().startswith("no TLS with '.broker': ")


# -- words -------------------------------------------------------------------------------------------------------------


def test_addresses_as_people_write_them():
    assert where(("192.0.2.1", 80)) == "192.0.2.1:80"
    assert where(("2001:db8::1", 80, 0, 0)) == "[2001:db8::1]:80"
    assert where("/run/x.sock") == "/run/x.sock"


def test_errors_in_plain_words():
    assert explain(OSError(errno.EHOSTUNREACH, "x")) == "no route to host"
    assert explain(ValueError("odd")) == "odd"
    assert explain(ConnectionError()) == "ConnectionError"
