"""tcp and udp: JSON and text over real sockets on loopback; what is broken, cut off, too long."""

from __future__ import annotations

import socket

import pytest

from edgebit.errors import ConfigError
from edgebit.inputs.payload import kilobytes
from edgebit.inputs.tcp import Tcp
from edgebit.inputs.udp import Udp
from edgebit.options import Setting, read
from edgebit.parsers.logfmt import Logfmt
from fakes import FakeContext


class Running:
    def __init__(self, cls: type[Tcp] | type[Udp], **settings: object) -> None:
        self.ctx = FakeContext()
        given = {"listen": "127.0.0.1", "port": 0, **settings}
        opt = read(cls.OPTIONS, [Setting(*item) for item in given.items()], "input")
        if opt.parser:
            opt.parser = Logfmt("logfmt", read(Logfmt.OPTIONS, [], "parser"))
        self.input = cls(opt, self.ctx)
        self.input.open()
        part = self.input._listener or self.input._datagrams
        self.sock = socket.socket(type=socket.SOCK_DGRAM if cls is Udp else socket.SOCK_STREAM)
        self.sock.connect(part._bound.sock.getsockname())

    def send(self, *pieces: bytes) -> list[dict[str, object]]:
        """Send the pieces, each in a turn of its own, then end; what has come of them."""
        for piece in pieces:
            self.sock.send(piece)
            for _ in range(3):
                self.ctx.loop.turn(longest=0)
        self.name = "{}:{}".format(*self.sock.getsockname())
        self.sock.close()
        if self.input._listener is not None:
            self.ctx.loop.run_until(lambda: not self.input._connections)
        return self.ctx.records


@pytest.fixture
def run():
    running = []

    def start(cls, **settings):
        running.append(Running(cls, **settings))
        return running[-1]

    yield start
    for one in running:
        one.sock.close()
        one.input.close()
        one.ctx.loop.close()


BOTH = pytest.mark.parametrize("cls", [Tcp, Udp])


def test_tcp_json_cut_anywhere(run):
    server = run(Tcp)
    assert server.send(b'{"a": 1}\n{"b": "x', b'y", "c": [1, 2]}{"d"', b': null}\n[1,{"e":2}]\n') == [
        {"a": 1},
        {"b": "xy", "c": [1, 2]},
        {"d": None},
        {"msg": [1, {"e": 2}]},
    ]


@BOTH
def test_one_bad_value_costs_nothing_but_itself(run, cls):
    server = run(cls)
    assert server.send(b'{"a":1}\n42\n{"b":,}\n{"c":3}\n', b'oops\n{"d":4}\n') == [
        {"a": 1}, {"log": "42"}, {"log": '{"b":,}'}, {"c": 3}, {"log": "oops"}, {"d": 4}]  # fmt: skip
    assert server.ctx.stats.get("unparsed") == 3


def test_what_a_connection_leaves_unfinished_is_dropped_and_counted(run):
    for settings, rest in (({"format": "none"}, b"temp=2"), ({}, b'{"temp": 2'), ({}, b"temp")):
        server = run(Tcp, **settings)
        server.send(b"\n" + rest)
        assert server.ctx.records == []
        assert server.ctx.stats.get("partial_dropped") == 1
        assert server.ctx.misses == {"cut off by the end of a connection": 1}


def test_a_datagram_is_whole(run):
    server = run(Udp)
    assert server.send(b'{"n": 1}', b'{"n": 2}{"n": 3}\r\n', b'{"cut": ', b'{"n": 4}', b"\n") == [
        {"n": 1}, {"n": 2}, {"n": 3}, {"log": '{"cut":'}, {"n": 4}]  # fmt: skip


@pytest.mark.parametrize(
    ("separator", "data", "expected"),
    [
        (r"\n", b"alpha\r\n\nbeta\ngam|ma\n", ["alpha\r", "beta", "gamma"]),
        (r"\r\n", b"a\r|\nb\nc\r\n\r\nd\r\n", ["a", "b\nc", "d"]),
        (";", b"a;b\n;;|c;", ["a", "b\n", "c"]),
        (r"\x03", b"a\x03\xff\x03", ["a", "\udcff"]),
    ],
)
@BOTH
def test_text_up_to_a_separator(run, cls, separator, data, expected):
    server = run(cls, format="none", separator=separator)
    pieces = data.split(b"|") if cls is Tcp else [data.replace(b"|", b"")]
    assert [record["log"] for record in server.send(*pieces)] == expected
    assert server.ctx.stats.get("unparsed") == 0


def test_the_last_text_of_a_datagram_needs_no_separator(run):
    server = run(Udp, format="none")
    assert server.send(b"a", b"b\n", b"c\nd", b"\n", b"") == [{"log": text} for text in "abcd"]


@BOTH
def test_what_is_too_long_is_cut_and_counted(run, cls):
    server = run(cls, format="none", buffer_size=1)
    assert server.send(b"x" * 2000 + b"\nnext\n") == [{"log": "x" * 1024}, *([{"log": "next"}] if cls is Tcp else [])]
    assert server.ctx.stats.get("truncated") == 1


@BOTH
@pytest.mark.parametrize(
    ("settings", "data", "fields"),
    [
        ({}, b'{"a":1}\n[2]\noops\n', [{"a": 1}, {"msg": [2]}, {"log": "oops"}]),
        ({"format": "none"}, b"a\n\nb\n", [{"log": "a"}, {"log": "b"}]),
    ],
)
def test_the_sender_comes_last(run, cls, settings, data, fields):
    server = run(cls, source_address_key="from", **settings)
    found = server.send(data)
    source = f"{'udp' if cls is Udp else 'tcp'}://{server.name}"
    assert found == [{**f, "from": source} for f in fields]
    assert all(list(record)[-1] == "from" for record in found)


@BOTH
def test_with_a_parser_it_is_text(run, cls):
    server = run(cls, parser="logfmt")
    assert server.send(b"a=1 b=x\nc=2\n") == [{"a": "1", "b": "x"}, {"c": "2"}]


def test_paused_a_connection_waits(run):
    server = run(Tcp)
    server.ctx.loop.run_until(lambda: server.input._connections)
    server.input.pause()
    server.sock.send(b'{"a":1}\n')
    server.ctx.loop.run_for(5)
    assert server.ctx.records == []
    server.input.resume()
    server.ctx.loop.run_until(lambda: server.ctx.records)
    server.sock.send(b'{"b":2}\n{"c"')
    server.input.stop()
    assert server.ctx.records == [{"a": 1}, {"b": 2}]
    assert server.ctx.stats.get("partial_dropped") == 1


def test_sizes_are_in_kib_unless_said_otherwise():
    assert [kilobytes(v) for v in (32, "64", "10KB", "1MiB")] == [32768, 65536, 10_000, 1 << 20]


@pytest.mark.parametrize("settings", [{"separator": r"\q"}, {"separator": ""}, {"format": "xml"}, {"chunk_size": "x"}])
def test_wrong_values_are_refused(settings):
    with pytest.raises(ConfigError, match="must be"):
        read(Tcp.OPTIONS, [Setting(*item) for item in settings.items()], "input tcp")
