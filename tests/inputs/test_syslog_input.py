"""The syslog input: real sockets on loopback and in a temporary directory, and the real logger command."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess

import pytest

from edgebit import registry
from edgebit.errors import ConfigError, SourceError
from edgebit.inputs.syslog import Syslog
from edgebit.options import Setting, read
from edgebit.record import Shape
from fakes import FakeContext

STAMP = "2003-10-11T22:14:15Z"


class Running:
    """A syslog input that listens on loopback, with senders to it."""

    def __init__(self, **settings: object) -> None:
        settings = {"listen": "127.0.0.1", "port": 0, **settings}
        self.ctx = FakeContext()
        opt = read(Syslog.OPTIONS, [Setting(*item) for item in settings.items()], "input syslog")
        cls = registry.find("parser", opt.parser)
        opt.parser = cls(opt.parser, read(cls.OPTIONS, [Setting("time_zone", "utc")] if cls.OPTIONS else [], "parser"))
        self.opt = opt
        self.input = Syslog(opt, self.ctx)
        self.senders: list[socket.socket] = []

    def address(self) -> object:
        """Where it listens."""
        part = self.input._listener or self.input._datagrams
        return part._bound.sock.getsockname()

    def sender(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        address = self.address()
        sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, kind)
        self.senders.append(sock)
        sock.connect(address)
        return sock

    def messages(self, count: int) -> list[str]:
        """The texts of all messages, once there are so many."""
        self.ctx.loop.run_until(lambda: len(self.ctx.records) >= count)
        return [record.get("message") for record in self.ctx.records]

    def connected(self, count: int) -> None:
        self.ctx.loop.run_until(lambda: len(self.input._connections) == count)
        assert self.ctx.stats.snapshot()["connections"] == count

    def close(self) -> None:
        for sock in self.senders:
            sock.close()
        self.input.close()
        self.input.close()
        self.ctx.loop.close()


@pytest.fixture
def run():
    running = []

    def start(**settings):
        running.append(Running(**settings))
        running[-1].input.open()
        return running[-1]

    yield start
    for one in running:
        one.close()


# -- what comes in ---------------------------------------------------------------------------------------------------


def test_udp_messages_of_both_rfcs(run):
    server = run()
    sender = server.sender(socket.SOCK_DGRAM)
    sender.send(f"<34>1 {STAMP} host app 12 ID47 - text".encode())
    sender.send(b"<13>Oct 11 22:14:15 host su[1]: text\n")
    server.messages(2)

    assert server.ctx.records == [
        {
            "pri": "34", "time": STAMP, "host": "host", "ident": "app", "pid": "12", "msgid": "ID47", "extradata": "-",
            "message": "text",
        },
        {"pri": "13", "time": "Oct 11 22:14:15", "host": "host", "ident": "su", "pid": "1", "message": "text"},
    ]  # fmt: skip
    tag, records, raw = server.ctx.emitted[0]
    assert tag == "tag"
    assert records[0][0] == 1_065_910_455 * 10**9
    assert raw > 60


def test_what_one_turn_brings_is_one_batch(run):
    server = run()
    sender = server.sender(socket.SOCK_DGRAM)
    for i in range(20):
        sender.send(b"<13>m%d" % i)
    server.messages(20)

    assert len(server.ctx.emitted) == 1


def test_a_message_that_no_parser_takes_is_kept(run):
    server = run(parser="syslog-rfc5424")
    server.sender(socket.SOCK_DGRAM).send(b"hello \xff\n")
    server.messages(1)

    assert server.ctx.records == [{"message": "hello \udcff"}]
    assert server.ctx.stats.get("unparsed") == 1


def test_empty_messages_are_none(run):
    server = run(mode="tcp+udp", source_address_key="from")
    server.sender(socket.SOCK_DGRAM).send(b"")
    server.sender(socket.SOCK_DGRAM).send(b"\n")
    server.sender().sendall(b"\n\n\0<13>text\n\n")

    assert server.messages(1) == ["text"]
    server.ctx.loop.run_for(1)
    assert len(server.ctx.records) == 1


@pytest.mark.parametrize(
    ("format", "stream"),
    [
        ("auto", b"<13>a b\n<13>c\0<13>d\r\n"),
        ("auto", b"7 <13>a b5 <13>c<13>d\n"),
        ("newline", b"<13>a b\n<13>c\0<13>d\r\n"),
        ("octet_counting", b"7 <13>a b5 <13>c5 <13>d"),
    ],
)
@pytest.mark.parametrize("way", ["whole", "a byte at a time", "with bytes left over"])
def test_tcp_framing(run, format, stream, way):
    server = run(mode="tcp", format=format)
    sender = server.sender()
    if way == "a byte at a time":
        sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in stream:
            sender.sendall(bytes([byte]))
            server.ctx.loop.turn(longest=0)
    else:
        sender.sendall(stream + (b"5 <13>" if way == "with bytes left over" else b""))

    assert server.messages(3) == ["a b", "c", "d"]


def test_a_read_is_one_batch(run):
    server = run(mode="tcp")
    stream = b"<13>text\n" * 500
    server.sender().sendall(stream)
    server.messages(500)

    assert len(server.ctx.emitted) <= 2
    assert sum(raw for _, _, raw in server.ctx.emitted) == len(stream)


def test_the_rest_of_a_connection_that_ends_is_a_message(run):
    server = run(mode="tcp")
    sender = server.sender()
    sender.sendall(b"<13>one\n<13>two")
    assert server.messages(1) == ["one"]
    sender.close()

    assert server.messages(2) == ["one", "two"]
    server.connected(0)


def test_a_connection_that_breaks(run):
    """A reset, not an end."""
    server = run(mode="tcp")
    sender = server.sender()
    sender.sendall(b"<13>one\n<13>two")
    server.messages(1)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sender.close()

    assert server.messages(2) == ["one", "two"]
    server.connected(0)


@pytest.mark.parametrize("mode", ["tcp", "udp"])
def test_a_long_message_is_cut_and_the_next_one_is_whole(run, mode):
    server = run(mode=mode, buffer_max_size=256)
    sender = server.sender(socket.SOCK_STREAM if mode == "tcp" else socket.SOCK_DGRAM)
    sender.send(b"<13>" + b"x" * 1000 + b"\n")
    sender.send(b"<13>next\n")

    assert server.messages(2) == ["x" * 252, "next"]
    assert server.ctx.stats.get("truncated") == 1


def test_without_a_mode_a_path_makes_it_unix_udp(run, tmp_path):
    assert run(path=str(tmp_path / "socket")).address() == str(tmp_path / "socket")
    server = run()
    server.sender(socket.SOCK_DGRAM).send(b"<13>m")
    assert server.messages(1) == ["m"]


@pytest.mark.parametrize(("mode", "kind"), [("unix_udp", socket.SOCK_DGRAM), ("unix_tcp", socket.SOCK_STREAM)])
def test_unix_sockets(run, tmp_path, mode, kind):
    path = tmp_path / "log"
    server = run(mode=mode, path=str(path), unix_perm="0666", source_address_key="from")
    assert path.stat().st_mode & 0o777 == 0o666
    server.sender(kind).send(b"<13>Oct 11 22:14:15 su[1]: text\n")
    server.messages(1)

    assert server.ctx.records == [
        {"pri": "13", "time": "Oct 11 22:14:15", "ident": "su", "pid": "1", "message": "text", "from": f"unix://{path}"}
    ]
    server.input.close()
    assert not path.exists()


def test_both_protocols_on_one_port(run):
    server = run(mode="tcp+udp")
    server.sender(socket.SOCK_DGRAM).send(b"<13>datagram")
    server.sender().sendall(b"<13>stream\n")

    assert sorted(server.messages(2)) == ["datagram", "stream"]


@pytest.mark.parametrize("mode", ["tcp", "udp"])
def test_added_keys(run, mode):
    """Behind the parsed fields, the raw message first, as in Fluent Bit; also where the parser took nothing."""
    server = run(mode=mode, raw_message_key="raw", source_address_key="from")
    sender = server.sender(socket.SOCK_STREAM if mode == "tcp" else socket.SOCK_DGRAM)
    for message in (b"<13>a", b"?", b"<13>b"):
        sender.send(message + b"\n")
    server.messages(3)
    source = f"{mode}://127.0.0.1:{sender.getsockname()[1]}"

    assert [list(record.items()) for record in server.ctx.records] == [
        [("pri", "13"), ("message", "a"), ("raw", "<13>a"), ("from", source)],
        [("message", "?"), ("raw", "?"), ("from", source)],
        [("pri", "13"), ("message", "b"), ("raw", "<13>b"), ("from", source)],
    ]


def test_one_added_key(run):
    server = run(raw_message_key="raw")
    server.sender(socket.SOCK_DGRAM).send(b"<13>a")
    server.messages(1)

    assert server.ctx.records == [{"pri": "13", "message": "a", "raw": "<13>a"}]


def test_shapes_that_are_not_interned_are_not_remembered(run):
    server = run(raw_message_key="raw")
    plain = Shape(("a",), interned=False)

    assert server.input._added._lengthen(plain).names == ("a", "raw")
    assert plain not in server.input._added._longer


def test_names_of_senders_are_bounded(run):
    server = run(source_address_key="from")
    for port in range(5000):
        assert server.input._source(("192.0.2.1", port)) == f"udp://192.0.2.1:{port}"

    assert len(server.input._sources) <= 1024


# -- pause -----------------------------------------------------------------------------------------------------------


def fill(server: Running, sender: socket.socket, block: bytes) -> int:
    """Send until the kernel takes no more, with the loop turning; how many bytes it took."""
    sent = 0
    while sent < 100_000_000:
        try:
            sent += sender.send(block[sent % len(block) :])
        except BlockingIOError:
            return sent
        server.ctx.loop.turn(longest=0)
    raise AssertionError("the sender never had to wait")


@pytest.mark.parametrize("mode", ["tcp", "unix_tcp"])
def test_a_sender_on_a_stream_waits_while_paused(run, tmp_path, mode):
    server = run(mode=mode, path=str(tmp_path / "log"))
    sender = server.sender()
    sender.sendall(b"<13>first\n")
    server.messages(1)
    server.input.pause()
    sender.setblocking(False)
    message = b"<13>" + b"x" * 995 + b"\n"
    sent = fill(server, sender, message * 100)
    assert len(server.ctx.records) == 1

    server.input.resume()
    server.messages(1 + sent // len(message))  # nothing was lost


def test_a_paused_input_accepts_nobody(run):
    server = run(mode="tcp")
    server.input.pause()
    server.sender().sendall(b"<13>text\n")
    server.ctx.loop.run_for(1)
    server.connected(0)
    server.input.resume()

    assert server.messages(1) == ["text"]


def test_paused_by_what_it_hands_over(run):
    """The pipeline pauses an input from within emit; whatever else is readable in that turn is left alone."""
    server = run(mode="tcp+udp")
    senders = [server.sender(), server.sender()]
    server.connected(2)
    emit = server.ctx.emit
    server.ctx.emit = lambda *args, **kwargs: (emit(*args, **kwargs), server.input.pause())
    for sender in senders:
        sender.sendall(b"<13>a\n")
    server.sender(socket.SOCK_DGRAM).send(b"<13>a")
    server.ctx.loop.run_for(1)
    assert len(server.ctx.records) == 1

    server.ctx.emit = emit
    server.input.resume()
    assert server.messages(3) == ["a", "a", "a"]


def warnings(server: Running) -> list[str]:
    return [line for line in server.ctx.lines if "[ warn]" in line]


@pytest.mark.parametrize(
    ("paused", "reason"), [(False, "its receive buffer was full"), (True, "edgebit's buffers are full")]
)
def test_datagrams_that_the_kernel_drops_are_counted_and_said_once(run, paused, reason):
    server = run()
    sender = server.sender(socket.SOCK_DGRAM)
    if paused:
        server.input.pause()

    def flood() -> None:
        for _ in range(2000):
            sender.send(b"<13>" + b"x" * 400)

    flood()
    server.ctx.loop.run_for(11)
    flood()
    server.ctx.loop.run_for(11)

    dropped = server.ctx.stats.get("kernel_dropped")
    assert dropped > 0
    assert server.ctx.misses == {"dropped by the kernel": dropped}
    assert len(warnings(server)) == 1
    assert f"the kernel drops messages: {reason}" in warnings(server)[0]
    server.ctx.loop.run_for(100)
    assert "the kernel has stopped dropping messages" in server.ctx.lines[-1]
    if paused:
        server.input.resume()
    server.messages(4000 - dropped)  # what was not dropped has come, and no more
    server.ctx.loop.run_for(1)
    assert len(server.ctx.records) + dropped == 4000


def test_drops_since_the_last_look_are_counted_when_closed(run):
    server = run()
    sender = server.sender(socket.SOCK_DGRAM)
    for _ in range(2000):
        sender.send(b"<13>" + b"x" * 400)
    server.input.close()

    assert server.ctx.stats.get("kernel_dropped") > 0


def test_opened_again_it_counts_drops_from_zero(run):
    server = run()
    sender = server.sender(socket.SOCK_DGRAM)
    for _ in range(2000):
        sender.send(b"<13>" + b"x" * 400)
    server.input.close()
    before = server.ctx.stats.get("kernel_dropped")
    server.input.open()
    server.ctx.loop.run_for(30)

    assert server.ctx.stats.get("kernel_dropped") == before


# -- life ------------------------------------------------------------------------------------------------------------


def test_stopping_takes_what_the_kernel_has(run):
    """Its senders believe it delivered."""
    server = run(mode="tcp+udp")
    server.sender().sendall(b"<13>stream\n<13>rest")  # not even accepted yet
    for _ in range(3):
        server.sender(socket.SOCK_DGRAM).send(b"<13>datagram")
    server.input.stop()

    assert [r["message"] for r in server.ctx.records] == ["datagram"] * 3 + ["stream", "rest"]


def test_stopping_while_paused_takes_only_what_was_read(run):
    server = run(mode="tcp+udp")
    stream = server.sender()
    stream.sendall(b"<13>a\n<13>b")
    server.messages(1)
    server.input.pause()
    stream.sendall(b"c")
    server.sender(socket.SOCK_DGRAM).send(b"<13>datagram")
    server.input.stop()

    assert [r["message"] for r in server.ctx.records] == ["a", "b"]


def test_closing_hands_over_the_rest(run):
    server = run(mode="tcp")
    server.sender().sendall(b"<13>a\n<13>b")
    server.messages(1)
    server.input.close()

    assert [r["message"] for r in server.ctx.records] == ["a", "b"]


def test_a_closed_input_can_be_opened_again(run):
    server = run(mode="tcp+udp")
    server.input.close()
    server.input.open()
    server.sender().sendall(b"<13>text\n")

    assert server.messages(1) == ["text"]


def test_a_port_in_use_is_an_error_that_leaves_nothing_open(run):
    """With both protocols, TCP is open already when UDP turns out to be taken."""
    first = run(mode="udp")
    port = first.address()[1]
    with pytest.raises(SourceError, match=rf"cannot listen on udp 127.0.0.1:{port}: Address already in use"):
        run(mode="tcp+udp", port=port)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_more_connections_than_allowed(run):
    server = run(mode="tcp", max_connections=1)
    server.sender()
    server.connected(1)
    second = server.sender()
    server.ctx.loop.run_until(lambda: server.ctx.stats.get("rejected_connections") == 1)

    second.settimeout(5)
    assert second.recv(1) == b""


def test_a_silent_connection_is_closed_when_asked(run):
    server = run(mode="tcp", idle_timeout="30s")
    silent, lively = server.sender(), server.sender()
    silent.sendall(b"<13>rest")
    server.connected(2)
    for _ in range(10):
        lively.sendall(b"<13>x\n")
        server.ctx.loop.run_for(5)

    server.connected(1)
    assert "rest" in server.messages(1)


def test_nobody_is_silent_while_paused(run):
    server = run(mode="tcp", idle_timeout="30s")
    server.sender()
    server.connected(1)
    server.input.pause()
    server.ctx.loop.run_for(100)
    server.input.resume()
    server.ctx.loop.run_for(15)
    server.connected(1)
    server.ctx.loop.run_for(60)
    server.connected(0)


def test_a_receive_buffer_that_the_kernel_does_not_give(run, monkeypatch):
    monkeypatch.setattr("edgebit.net.listen.granted_receive_buffer", lambda sock: 212_992)
    server = run(receive_buffer_size="8MiB")

    assert "gives a receive buffer of 212992 bytes, not 8388608" in warnings(server)[0]
    assert "net.core.rmem_max" in warnings(server)[0]


@pytest.mark.parametrize("mode", ["unix_udp", "unix_tcp"])
def test_a_unix_mode_needs_a_path(mode):
    opt = read(Syslog.OPTIONS, [Setting("mode", mode)], "input syslog")
    ctx = FakeContext()
    with pytest.raises(ConfigError, match="needs the path of the socket"):
        Syslog(opt, ctx)
    ctx.loop.close()


@pytest.mark.parametrize("value", [644, 0o644, "rw-r--r--", "999", "1777", "-1", ""])
def test_permissions_are_octal_text(value):
    with pytest.raises(ConfigError, match="octal permissions in quotes"):
        read(Syslog.OPTIONS, [Setting("unix_perm", value)], "input syslog")


# -- the real thing --------------------------------------------------------------------------------------------------


def logger(*args: str) -> None:
    subprocess.run(["logger", *args], check=True, timeout=10, env={**os.environ, "TZ": "UTC"})


needs_logger = pytest.mark.skipif(shutil.which("logger") is None, reason="util-linux's logger is not installed")


@needs_logger
@pytest.mark.parametrize("rfc", ["--rfc3164", "--rfc5424"])
@pytest.mark.parametrize(
    ("mode", "args"), [("udp", ["--udp"]), ("tcp", ["--tcp"]), ("tcp", ["--tcp", "--octet-count"])]
)
def test_logger_over_the_network(run, mode, args, rfc):
    server = run(mode=mode)
    port = str(server.address()[1])
    logger(
        *args, rfc, "--server", "127.0.0.1", "--port", port, "--id=77", "-t", "app", "-p", "user.err", "grüße: [x] ]"
    )
    server.messages(1)

    record = server.ctx.records[0]
    assert (record["pri"], record["ident"], record["pid"]) == ("11", "app", "77")
    assert record["host"] == socket.gethostname().partition(".")[0] or rfc == "--rfc5424"
    assert record["message"] == "grüße: [x] ]"
    assert server.ctx.emitted[0][1][0][0] != server.ctx.clock.wall_ns()  # the message's own time, not the fake one
    assert not server.ctx.stats.get("unparsed")


@needs_logger
@pytest.mark.parametrize("mode", ["unix_udp", "unix_tcp"])
def test_logger_on_a_unix_socket(run, tmp_path, mode):
    server = run(mode=mode, path=str(tmp_path / "log"))
    logger("--socket", str(tmp_path / "log"), "--id=77", "-t", "app", "-p", "user.err", "text")
    server.messages(1)

    record = server.ctx.records[0]
    assert {k: record[k] for k in record if k != "time"} == {
        "pri": "11",
        "ident": "app",
        "pid": "77",
        "message": "text",
    }
