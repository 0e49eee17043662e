"""Listening sockets: real ones, on loopback and in a temporary directory."""

from __future__ import annotations

import errno
import os
import socket
import stat

import pytest

from edgebit.errors import SourceError
from edgebit.net import listen
from edgebit.options import BadValue
from fakes import FakeContext

STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


class Server:
    """A listener that keeps what it accepts, up to `most`."""

    def __init__(self, bound: listen.Bound, most: int = 10) -> None:
        self.ctx = FakeContext()
        self.bound = bound
        self.most = most
        self.accepted: list[tuple[socket.socket, str]] = []
        self.listener = listen.Listener(
            self.ctx, bound, lambda *new: self.accepted.append(new), lambda: len(self.accepted) < self.most
        )

    def wait(self, count: int) -> None:
        self.ctx.loop.run_until(lambda: len(self.accepted) >= count)

    def close(self) -> None:
        self.listener.close()
        for sock, _ in self.accepted:
            sock.close()
        self.ctx.loop.close()


@pytest.fixture
def serve():
    servers = []

    def start(*args, **kwargs):
        servers.append(Server(*args, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def warnings(ctx: FakeContext) -> list[str]:
    return [line for line in ctx.lines if "[ warn]" in line]


# -- stream sockets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "label"), [("127.0.0.1", "tcp 127.0.0.1:"), ("::1", "tcp [::1]:")])
def test_tcp_connections_are_accepted_and_named(serve, host, label):
    server = serve(listen.tcp(host, 0))
    assert server.bound.label.startswith(label)
    with socket.create_connection(server.bound.sock.getsockname()[:2]) as client:
        server.wait(1)
        sock, peer = server.accepted[0]
        assert peer == listen.where(client.getsockname())
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_all_addresses_of_both_families(serve):
    """A listener on :: takes IPv4 too, and names such a peer as people do."""
    server = serve(listen.tcp("::", 0))
    port = server.bound.sock.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        server.wait(1)
        assert server.accepted[0][1] == f"127.0.0.1:{client.getsockname()[1]}"


def test_a_port_in_use_says_so(serve):
    server = serve(listen.tcp("127.0.0.1", 0))
    port = server.bound.sock.getsockname()[1]
    with pytest.raises(SourceError) as caught:
        listen.tcp("127.0.0.1", port)

    assert str(caught.value) == (
        f"cannot listen on tcp 127.0.0.1:{port}: Address already in use (another process has this port)"
    )


def test_a_udp_port_is_not_shared():
    """With SO_REUSEADDR the second would silently take the datagrams of the first."""
    first = listen.udp("127.0.0.1", 0)
    with pytest.raises(SourceError, match="another process has this port"):
        listen.udp("127.0.0.1", first.sock.getsockname()[1])
    first.close()


def test_an_address_of_another_host():
    with pytest.raises(SourceError, match=r"no interface of this host has the address"):
        listen.udp("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("code", "port", "hint"),
    [
        (errno.EACCES, 514, "Permission denied (ports below 1024 need CAP_NET_BIND_SERVICE)"),
        (errno.EACCES, 0, "Permission denied (this user may not write to the directory)"),
        (errno.ENOENT, 0, "No such file or directory"),
    ],
)
def test_errors_name_who_must_act(code, port, hint):
    """Not provoked for real: the tests may run as root."""
    error = listen._cannot("udp 0.0.0.0:514", OSError(code, os.strerror(code)), port)

    assert str(error) == f"cannot listen on udp 0.0.0.0:514: {hint}"


def test_too_many_connections_are_closed_and_counted(serve):
    server = serve(listen.tcp("127.0.0.1", 0), most=1)
    address = server.bound.sock.getsockname()
    with socket.create_connection(address), socket.create_connection(address) as second:
        server.ctx.loop.run_until(lambda: server.ctx.stats.get("rejected_connections"))
        second.settimeout(5)
        assert second.recv(1) == b""
    assert len(warnings(server.ctx)) == 1
    server.ctx.clock.advance(100)
    server.most = 2
    with socket.create_connection(address):
        server.wait(2)

    assert "accepting all connections" in server.ctx.lines[-1]


def test_a_paused_listener_accepts_nothing(serve):
    """The peer is connected as far as the kernel goes; it is accepted on resume."""
    server = serve(listen.tcp("127.0.0.1", 0))
    server.listener.pause()
    with socket.create_connection(server.bound.sock.getsockname()):
        server.ctx.loop.run_for(1)
        assert not server.accepted
        server.listener.resume()
        server.wait(1)


class Exhausted(socket.socket):
    """A listening socket in a process that has used up its descriptors."""

    calls = 0
    broken = True

    def accept(self):
        self.calls += 1
        if self.broken:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


def test_no_descriptors_left(serve):
    """The descriptor stays readable: without a pause this would take all of the processor."""
    sock = Exhausted()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    sock.setblocking(False)
    server = serve(listen.Bound(sock, "tcp here"))
    with socket.create_connection(sock.getsockname()):
        server.ctx.loop.run_for(10)
        assert 5 <= sock.calls <= 11
        assert len(warnings(server.ctx)) == 1
        assert "cannot accept on tcp here: Too many open files" in server.ctx.lines[0]
        sock.broken = False
        server.wait(1)


def test_closed_by_what_was_accepted(serve):
    """The owner may close the listener from within on_accept, with more connections waiting."""
    server = serve(listen.tcp("127.0.0.1", 0))
    server.listener._on_accept = lambda sock, peer: (sock.close(), server.listener.close())
    address = server.bound.sock.getsockname()
    with socket.create_connection(address), socket.create_connection(address):
        server.ctx.loop.run_for(1)

    assert server.bound.sock.fileno() == -1


# -- unix sockets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [STREAM, DGRAM])
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_unix_socket_has_its_mode_and_goes_when_closed(tmp_path, kind, mode):
    path = tmp_path / "sock"
    before = os.umask(0o022)
    bound = listen.unix(str(path), kind, mode)

    assert stat.S_IMODE(path.lstat().st_mode) == mode
    assert os.umask(before) == 0o022  # left as it was
    bound.close()
    bound.close()
    assert not path.exists()


@pytest.mark.parametrize("kind", [STREAM, DGRAM])
def test_a_stale_socket_is_replaced(tmp_path, kind):
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX, kind) as crashed:
        crashed.bind(path)
    bound = listen.unix(path, kind, 0o600)
    with socket.socket(socket.AF_UNIX, kind) as client:
        client.connect(path)
    bound.close()


@pytest.mark.parametrize("kind", [STREAM, DGRAM])
@pytest.mark.parametrize("other", [STREAM, DGRAM])
def test_a_socket_in_use_is_left_alone(tmp_path, kind, other):
    path = str(tmp_path / "sock")
    bound = listen.unix(path, other, 0o600)
    with pytest.raises(SourceError, match="another process listens there"):
        listen.unix(path, kind, 0o600)
    assert os.path.exists(path)
    bound.close()


def test_a_file_that_is_not_a_socket_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(SourceError, match="not a socket, and it is not removed"):
        listen.unix(str(path), STREAM, 0o600)

    assert path.read_text() == "data"


def test_a_path_that_somebody_else_has_taken_over_is_not_removed(tmp_path):
    path = str(tmp_path / "sock")
    bound = listen.unix(path, DGRAM, 0o600)
    os.unlink(path)
    other = listen.unix(path, DGRAM, 0o600)
    bound.close()

    assert os.path.exists(path)
    other.close()


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match=r"cannot listen on unix .*/none/sock: No such file or directory"):
        listen.unix(str(tmp_path / "none" / "sock"), STREAM, 0o600)


def test_a_path_that_is_too_long(tmp_path):
    with pytest.raises(SourceError, match="too long"):
        listen.unix(str(tmp_path / ("x" * 200)), STREAM, 0o600)


def test_a_unix_stream_peer_has_no_name(serve, tmp_path):
    path = str(tmp_path / "sock")
    server = serve(listen.unix(path, STREAM, 0o600))
    with socket.socket(socket.AF_UNIX, STREAM) as client:
        client.connect(path)
        server.wait(1)
    assert server.accepted[0][1] == ""


# -- datagrams -------------------------------------------------------------------------------------------------------


@pytest.fixture
def udp():
    """(context, reader, batches, a sender connected to it)"""
    ctx = FakeContext()
    bound = listen.udp("127.0.0.1", 0)
    batches: list[list[bytes]] = []
    reader = listen.Datagrams(ctx, bound, batches.append)
    with socket.socket(socket.AF_INET, DGRAM) as sender:
        sender.connect(bound.sock.getsockname())
        yield ctx, reader, batches, sender
    reader.close()
    ctx.loop.close()


def test_what_has_come_is_one_batch(udp):
    ctx, _, batches, sender = udp
    for data in (b"one", b"", b"three"):
        sender.send(data)
    ctx.loop.turn()

    assert batches == [[b"one", b"", b"three"]]


def test_a_turn_takes_a_bounded_number(udp, monkeypatch):
    monkeypatch.setattr(listen, "_DATAGRAMS", 10)
    ctx, _, batches, sender = udp
    for _ in range(15):
        sender.send(b"x")
    ctx.loop.turn()
    ctx.loop.turn()

    assert [len(batch) for batch in batches] == [10, 5]


def test_a_paused_socket_fills_and_the_drops_are_told(udp):
    ctx, reader, batches, sender = udp
    reader.pause()
    assert reader.dropped() == 0
    for _ in range(5000):
        sender.send(b"x" * 100)
    ctx.loop.run_for(1)

    assert not batches
    dropped = reader.dropped()
    assert dropped > 0
    reader.resume()
    ctx.loop.run_for(1)
    assert sum(map(len, batches)) + dropped == 5000


def test_peers_come_with_their_datagrams():
    ctx = FakeContext()
    bound = listen.udp("127.0.0.1", 0)
    batches = []
    reader = listen.Datagrams(ctx, bound, batches.append, peers=True)
    with socket.socket(socket.AF_INET, DGRAM) as sender:
        sender.sendto(b"data", bound.sock.getsockname())
        ctx.loop.turn()
        assert batches == [[(b"data", ("127.0.0.1", sender.getsockname()[1]))]]
    reader.close()
    ctx.loop.close()


def test_the_receive_buffer_is_as_large_as_asked():
    bound = listen.udp("127.0.0.1", 0, 50_000)

    assert listen.granted_receive_buffer(bound.sock) == 50_000
    bound.close()


@pytest.mark.parametrize("text", ["0.0.0.0", "127.0.0.1", "::", "::1"])
def test_addresses_to_listen_on(text):
    assert listen.address(f" {text} ") == text


@pytest.mark.parametrize("value", ["localhost", "1.2.3", "127.0.0.1:514", "", None, "a\0b"])
def test_what_is_not_an_address(value):
    with pytest.raises(BadValue, match="numeric address"):
        listen.address(value)
