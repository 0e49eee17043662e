"""An MQTT connection against a peer that may send anything: it ends with a reason, and nothing is raised."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.net.mqtt import MAX_INCOMING, Session
from edgebit.wire import mqtt as wire
from fakes import FakeContext

WELCOME = {"3.1.1": b"\x20\2\0\0", "5": b"\x20\3\0\0\0"}


class Line:
    """A session, its peer's end, and what it has told."""

    def __init__(self, protocol="5", **more):
        self.ctx = FakeContext()
        ours, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        self.ups, self.acks, self.downs = 0, [], []
        settings = {"client_id": "c", "keepalive": 60, "clean": True, "username": "", "password": "", "will": None,
                    "qos": 1, "timeout": 10.0, **more}  # fmt: skip
        self.session = Session(self.ctx, ours, protocol=protocol, on_up=self.up, on_ack=self.ack, on_sent=lambda: None,
                               on_down=self.downs.append, **settings)  # fmt: skip

    def up(self):
        self.ups += 1
        self.session.publish(wire.text("t"), b"x", qos=1, token="first")

    def ack(self, *answer):
        self.acks.append(answer)

    def give(self, *pieces):
        for piece in pieces:
            try:
                self.peer.send(piece)
            except OSError:
                return  # it has gone
            self.ctx.loop.turn(longest=0)

    def got(self):
        try:
            return self.peer.recv(65536)
        except BlockingIOError:
            return b""

    def close(self):
        self.session.leave()
        self.peer.close()
        self.ctx.loop.close()


@pytest.fixture
def line(request):
    line = Line()
    yield line
    line.close()


@given(st.sampled_from(list(WELCOME)), st.booleans(), st.lists(st.binary(min_size=1, max_size=30), max_size=5))
def test_any_bytes_end_it_with_a_reason_or_are_packets(protocol, welcome, pieces):
    line = Line(protocol)
    try:
        line.give(*([WELCOME[protocol]] if welcome else []), *pieces)
        assert len(line.downs) <= 1
        assert all(line.downs)
        assert line.session.closed is bool(line.downs)
        if not line.downs:
            line.peer.close()
            line.ctx.loop.turn(longest=0)
            assert len(line.downs) == 1
    finally:
        line.close()


def test_nonsense_is_answered_with_a_reason_code_by_mqtt_5(line):
    line.give(WELCOME["5"])
    line.got()
    line.give(b"\x40\2\0\0")
    assert line.downs == ["the broker sent something that is not MQTT 5 (PUBACK of packet 0)"]
    # DISCONNECT, malformed packet, 21 bytes of properties: a reason string of 18
    assert line.got() == b"\xe0\x17\x81\x15\x1f\0\x12PUBACK of packet 0"


def test_a_packet_over_the_limit_is_too_large(line):
    line.give(WELCOME["5"])
    line.got()
    line.give(b"\x40" + wire.variable(MAX_INCOMING))
    assert line.downs == [f"the broker sent something that is not MQTT 5 (PUBACK of {MAX_INCOMING + 4} bytes)"]
    assert line.got().startswith(b"\xe0\x1a\x95\x18\x1f\0\x15")  # DISCONNECT, packet too large


def test_nonsense_before_the_connack_is_another_protocol(line):
    line.give(b"SSH-2.0-OpenSSH\r\n")
    assert line.downs == ["no MQTT 5 answer from the peer: PUBREC (check port and protocol)"]  # 0x53, an "S"


def test_what_came_before_nonsense_counts(line):
    line.give(WELCOME["5"])
    line.give(b"\x40\2\0\1" + b"\x40\2\0\0")
    assert line.acks == [("first", 0, "")]
    assert len(line.downs) == 1


def test_a_session_left_in_a_call_back_hears_no_more(line):
    line.session._on_ack = lambda *answer: line.session.leave()
    line.give(WELCOME["5"])
    line.give(b"\x40\2\0\1" + b"\x40\2\0\0")
    assert line.downs == []
    assert line.session.closed


def test_a_connection_that_is_alive_but_acknowledges_nothing_stalls(line):
    """The pings and their answers don't hide it."""
    line.give(WELCOME["5"])
    for _ in range(20):
        line.ctx.loop.run_for(10)
        if b"\xc0\0" in line.got():
            line.give(b"\xd0\0")
    assert line.downs == ["the broker stalls: 1 messages not acknowledged, 0 bytes not taken for 120 s"]


@pytest.mark.parametrize(("code", "why"), [
    (b"\xe0\0", "closed by the peer"),
    (b"\xe0\1\0", "closed by the peer"),
    (b"\xe0\1\x8b", "the broker ends the connection: server shutting down"),
    (b"\xe0\x07\x9d\x05\x1c\0\2ab", "the broker ends the connection: server moved (set host to ab)"),
])  # fmt: skip
def test_the_broker_says_goodbye(line, code, why):
    line.give(WELCOME["5"])
    line.give(code)
    assert line.downs == [why]


def test_what_the_broker_is_told_at_the_end(line):
    line.give(WELCOME["5"])
    line.got()
    line.session.leave()
    assert line.got() == b"\xe0\0"
    assert line.downs == []
