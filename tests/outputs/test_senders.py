"""The outputs tcp, udp and syslog, null and counter: what is theirs beside net/sending.py and the formats."""

from __future__ import annotations

import os
import socket

import pytest

from edgebit import tables
from edgebit.errors import ConfigError
from edgebit.options import Setting, read
from edgebit.outputs.counter import Counter
from edgebit.outputs.null import Null
from edgebit.outputs.syslog import Syslog
from edgebit.outputs.tcp import Tcp
from edgebit.outputs.udp import Udp
from fakes import FakeContext
from fakes.delivery import FakeDelivery


@pytest.fixture
def ctx():
    ctx = FakeContext()
    yield ctx
    ctx.loop.close()


def make(ctx, cls, **settings):
    table = (*cls.OPTIONS, *tables.format_option(cls))
    return cls(read(table, [Setting(k.replace("__", "."), v) for k, v in settings.items()], cls.NAME), ctx)


def deliver(ctx, output, body=b"", bodies=()):
    delivery = FakeDelivery(body, count=max(1, len(bodies)))
    delivery.bodies = list(bodies)
    output.open()
    output.deliver(delivery)
    ctx.loop.run_until(lambda: delivery.answers, 300)
    output.close()
    return delivery.answer


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def mailbox():
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


@pytest.mark.parametrize(("cls", "settings", "sent"), [
    (Tcp, {}, b"body\n"), (Syslog, {"mode": "tcp"}, b"body\n"),
    (Syslog, {"mode": "tcp", "framing": "octet_counting"}, b"3 one5 t\nwo\n"),
])  # fmt: skip
def test_streams(ctx, listener, cls, settings, sent):
    output = make(ctx, cls, host="127.0.0.1", port=listener.getsockname()[1], **settings)
    assert output.each == ("framing" in settings)
    assert deliver(ctx, output, b"body\n", [b"one", b"t\nwo\n"]) == "delivered"
    with listener.accept()[0] as peer:
        assert peer.recv(100) == sent


@pytest.mark.parametrize(("cls", "settings", "sent"), [
    (Udp, {}, b"one"), (Udp, {"format": "json"}, b"one\n"), (Udp, {"format": "msgpack"}, b"one"), (Syslog, {}, b"one"),
])  # fmt: skip
def test_datagrams(ctx, mailbox, cls, settings, sent):
    output = make(ctx, cls, host="127.0.0.1", port=mailbox.getsockname()[1], **settings)
    assert output.each
    assert deliver(ctx, output, bodies=[b"one", b"two"]) == "delivered"
    assert mailbox.recv(100) == sent


def test_unix_sockets(ctx, tmp_path):
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        assert deliver(ctx, make(ctx, Syslog, mode="unix_udp", unix_path=path), bodies=[b"one"]) == "delivered"
        assert sock.recv(100) == b"one"


@pytest.mark.parametrize(("settings", "match"), [
    ({"mode": "udp", "tls": True}, "not possible with mode udp"), ({"mode": "unix_udp", "unix_path": "log"}, "whole path"),
    ({"mode": "dtls"}, "must be one of udp, tcp, tls"),
])  # fmt: skip
def test_settings_that_do_not_go_together(ctx, settings, match):
    with pytest.raises(ConfigError, match=match):
        make(ctx, Syslog, **settings)


def test_mode_tls_turns_tls_on(ctx):
    assert make(ctx, Syslog, mode="tls").opt.tls is True


def test_raw_message_key_chooses_the_format():
    for cls in (Tcp, Udp):
        assert cls.format_of("msgpack", {"raw_message_key", "host"}) == "raw"
        assert cls.format_of("msgpack", {"host"}) == "msgpack"


def test_null(ctx):
    assert deliver(ctx, make(ctx, Null)) == "delivered"


def test_counter(ctx):
    read_end, write_end = os.pipe()
    output = make(ctx, Counter)
    output.fd = write_end
    for bodies in ([b"x"] * 3, [b"x"] * 2):
        assert deliver(ctx, output, bodies=bodies) == "delivered"
    now = f"{ctx.clock.wall_ns() / 1e9:.6f}"
    assert os.read(read_end, 1000).decode().splitlines() == [
        f'{{"ts":{now},"serialized_events":3,"log_records":3,"total":3}}',
        f'{{"ts":{now},"serialized_events":2,"log_records":2,"total":5}}',
    ]
    os.close(read_end)
    os.close(write_end)
