"""MQTT packets, byte for byte as the standards lay them out, and what a broker may not send.

The bytes here are written by hand from MQTT 5.0 and 3.1.1 (OASIS): a line a field, with the section that describes it.
"""

from __future__ import annotations

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgebit.wire import mqtt
from edgebit.wire.mqtt import CONNACK, DISCONNECT, PINGRESP, PUBACK, Decoder, ProtocolError

V3, V5 = 4, 5
LIMIT = 1024


def octets(lines: str) -> bytes:
    """Hex, with comments behind "|"."""
    return bytes.fromhex("".join(line.partition("|")[0] for line in lines.splitlines()))


# -- to the broker -----------------------------------------------------------------------------------------------------

CONNECT_3 = """
10              | CONNECT, flags 0 (3.1.1, 3.1.1)
36              | remaining length: 54
00 04 4D515454  | protocol name "MQTT" (3.1.2.1)
04              | protocol level 4 (3.1.2.2)
EE              | user name, password, will retain, will QoS 1, will flag, clean session (3.1.2.3)
00 3C           | keep alive: 60 s (3.1.2.10)
00 05 6465762D31            | client identifier "dev-1" (3.1.3.1)
00 08 612F737461747573      | will topic "a/status" (3.1.3.2)
00 07 6F66666C696E65        | will message "offline" (3.1.3.3)
00 05 70C3A97069            | user name "pépi", five bytes of UTF-8 (3.1.3.4)
00 09 726173706265727279    | password "raspberry" (3.1.3.5)
"""

CONNECT_5 = """
10              | CONNECT, flags 0 (3.1.1)
24              | remaining length: 36
00 04 4D515454  | protocol name "MQTT" (3.1.2.1)
05              | protocol version 5 (3.1.2.2)
24              | will retain, will QoS 0, will flag; no clean start (3.1.2.3)
FF FF           | keep alive: 65535 s (3.1.2.10)
05              | properties: 5 bytes (3.1.2.11.1)
27 00010000     | maximum packet size: 65536 (3.1.2.11.4)
00 05 6465762D31            | client identifier "dev-1" (3.1.3.1)
00              | will properties: none (3.1.3.2.1)
00 01 73        | will topic "s" (3.1.3.3)
00 07 6F66666C696E65        | will payload "offline" (3.1.3.4)
"""

PUBLISH_3 = """
33              | PUBLISH, no duplicate, QoS 1, retain (3.1.1, 3.3.1)
0B              | remaining length: 11
00 03 612F62    | topic name "a/b" (3.3.2.1)
01 00           | packet identifier 256 (3.3.2.2)
01020304        | payload (3.3.3)
"""

PUBLISH_3_0 = """
30              | PUBLISH, QoS 0, which has no packet identifier (3.1.1, 3.3.1)
06              | remaining length: 6
00 03 612F62    | topic name "a/b"
78              | payload "x"
"""

PUBLISH_5 = """
32              | PUBLISH, no duplicate, QoS 1 (3.3.1)
1D              | remaining length: 29
00 03 612F62    | topic name "a/b" (3.3.2.1)
FF FF           | packet identifier 65535 (3.3.2.2)
14              | properties: 20 bytes (3.3.2.3.1)
03 0003 782F79  | content type "x/y" (3.3.2.3.9)
26 0003 736571 0001 37      | user property "seq": "7" (3.3.2.3.7)
26 0000 0000    | user property "": ""
78              | payload "x"
"""


def test_connect_of_3_1_1_with_everything():
    packet = mqtt.connect(V3, "dev-1", keepalive=60, clean=True, username="pépi", password="raspberry",
                          will=("a/status", "offline"), will_qos=1, maximum_packet_size=65536)  # fmt: skip
    assert packet == octets(CONNECT_3)


def test_connect_of_5():
    packet = mqtt.connect(V5, "dev-1", keepalive=65535, clean=False, will=("s", "offline"), maximum_packet_size=65536)
    assert packet == octets(CONNECT_5)


def test_connect_of_3_1_1_with_nothing():
    packet = mqtt.connect(V3, "", keepalive=0, clean=False, maximum_packet_size=1)
    assert packet == octets("10 0C 0004 4D515454 04 00 0000 0000")


def test_a_password_needs_a_user():
    """3.1.1, 3.1.2.9: without a user name there is no password."""
    packet = mqtt.connect(V3, "", keepalive=0, clean=False, password="x", maximum_packet_size=1)
    assert packet == octets("10 0C 0004 4D515454 04 00 0000 0000")
    packet = mqtt.connect(V3, "", keepalive=0, clean=False, username="u", maximum_packet_size=1)
    assert packet == octets("10 0F 0004 4D515454 04 80 0000 0000 0001 75")


def test_publish_of_3_1_1():
    topic = mqtt.text("a/b")
    assert mqtt.publish(topic, b"\1\2\3\4", qos=1, retain=True, packet_id=256) == octets(PUBLISH_3)
    assert mqtt.publish(topic, b"x", qos=0, retain=False) == octets(PUBLISH_3_0)


def test_publish_of_5():
    properties = mqtt.publish_properties("x/y", [("seq", "7"), ("", "")])
    packet = mqtt.publish(mqtt.text("a/b"), b"x", qos=1, retain=False, packet_id=65535, properties=properties)
    assert packet == octets(PUBLISH_5)
    assert mqtt.publish_properties() == b"\0"  # a length, but none (2.2.2.1)


def test_ping_and_goodbye():
    assert octets("C0 00") == mqtt.PINGREQ  # 3.12
    assert mqtt.disconnect() == octets("E0 00")  # 3.14: of both versions
    assert mqtt.disconnect(0x82) == octets("E0 02 82 00")
    assert mqtt.disconnect(0x95, "big") == octets("E0 08 95 06 1F 0003 626967")  # reason string, 3.14.2.2.3


# The table of 1.5.5 (3.1.1: table 2.4): the first and the last number of each length.
VARIABLE = {0: "00", 127: "7F", 128: "8001", 16383: "FF7F", 16384: "808001", 2097151: "FFFF7F", 2097152: "80808001",
            268435455: "FFFFFF7F"}  # fmt: skip


@pytest.mark.parametrize(("number", "encoded"), VARIABLE.items())
def test_variable_byte_integers(number, encoded):
    assert mqtt.variable(number) == bytes.fromhex(encoded)


def test_what_mqtt_cannot_carry_is_an_error():
    with pytest.raises(ValueError, match="268435456 bytes"):
        mqtt.variable(268435456)
    with pytest.raises(ValueError, match="65536 bytes"):
        mqtt.text("x" * 65536)
    with pytest.raises(ValueError, match="NUL"):
        mqtt.text("a\0b")
    with pytest.raises(ValueError, match="surrogates"):
        mqtt.text("\udcff")
    assert len(mqtt.text("x" * 65535)) == 65537


# -- from the broker ---------------------------------------------------------------------------------------------------

CONNACK_5 = """
20              | CONNACK (3.2.1)
49              | remaining length: 73
01              | session present (3.2.2.1)
00              | success (3.2.2.2)
46              | properties: 70 bytes (3.2.2.3.1)
11 00000E10     | session expiry interval: 3600 s (3.2.2.3.2)
21 0014         | receive maximum: 20 (3.2.2.3.3)
24 01           | maximum QoS: 1 (3.2.2.3.4)
25 00           | retain available: no (3.2.2.3.5)
27 00100000     | maximum packet size: 1 MiB (3.2.2.3.6)
12 0002 6964    | assigned client identifier "id" (3.2.2.3.7)
22 000A         | topic alias maximum: 10 (3.2.2.3.8)
1F 0002 6F6B    | reason string "ok" (3.2.2.3.9)
26 0001 61 0001 62      | user property "a": "b" (3.2.2.3.10)
26 0001 61 0001 63      | user property "a": "c": the same name again is allowed
28 01           | wildcard subscription available (3.2.2.3.11)
29 00           | subscription identifiers available: no (3.2.2.3.12)
2A 01           | shared subscription available (3.2.2.3.13)
13 001E         | server keep alive: 30 s (3.2.2.3.14)
1A 0001 72      | response information "r" (3.2.2.3.15)
1C 0001 73      | server reference "s" (3.2.2.3.16)
15 0001 6D      | authentication method "m" (3.2.2.3.17)
16 0002 00FF    | authentication data (3.2.2.3.18)
"""
CONNACK_5_PROPERTIES = {
    0x11: 3600, 0x21: 20, 0x24: 1, 0x25: 0, 0x27: 1 << 20, 0x12: "id", 0x22: 10, 0x1F: "ok", 0x26: [("a", "b"), ("a", "c")],
    0x28: 1, 0x29: 0, 0x2A: 1, 0x13: 30, 0x1A: "r", 0x1C: "s", 0x15: "m", 0x16: b"\0\xff",
}  # fmt: skip

WELCOME = {V3: octets("20 02 00 00"), V5: octets("20 03 00 00 00")}

# Packets after a CONNACK: bytes, then kind, code, packet identifier and properties.
GOOD = {
    "PUBACK of 3.1.1 (3.4)": (V3, "40 02 1234", (PUBACK, 0, 0x1234, {})),
    "PUBACK, no code: success (3.4.2.1)": (V5, "40 02 0001", (PUBACK, 0, 1, {})),
    "PUBACK with a code": (V5, "40 03 0001 10", (PUBACK, 0x10, 1, {})),
    "PUBACK with a code and no properties": (V5, "40 04 0001 97 00", (PUBACK, 0x97, 1, {})),
    "PUBACK with a reason string": (V5, "40 09 0001 87 05 1F 0002 6E6F", (PUBACK, 0x87, 1, {0x1F: "no"})),
    "PUBACK with a user property": (V5, "40 0B 0001 00 07 26 0001 61 0001 62", (PUBACK, 0, 1, {0x26: [("a", "b")]})),
    "PUBACK with a code that isn't defined": (V5, "40 03 0001 EE", (PUBACK, 0xEE, 1, {})),
    "PINGRESP (3.13)": (V3, "D0 00", (PINGRESP, 0, 0, {})),
    "DISCONNECT of nothing: normal (3.14.2.1)": (V5, "E0 00", (DISCONNECT, 0, 0, {})),
    "DISCONNECT with a code": (V5, "E0 01 8E", (DISCONNECT, 0x8E, 0, {})),
    "DISCONNECT to another server": (V5, "E0 06 9C 04 1C 0001 73", (DISCONNECT, 0x9C, 0, {0x1C: "s"})),
    "a length that 3.1.1 doesn't forbid to pad": (V3, "40 8200 0001", (PUBACK, 0, 1, {})),
}


def fields(packet):
    return packet.kind, packet.code, packet.packet_id, packet.properties


def fed(level, *pieces):
    """What the pieces give; the decoder ends with nothing left over."""
    decoder = Decoder(level, LIMIT)
    found = [fields(packet) for piece in pieces for packet in decoder.feed(piece)]
    assert not decoder._held
    return found


@pytest.mark.parametrize(("level", "packet", "expected"), GOOD.values(), ids=GOOD)
def test_packets_whole_bytewise_and_with_more_behind(level, packet, expected):
    stream = WELCOME[level] + octets(packet)
    both = [(CONNACK, 0, 0, {}), expected]
    assert fed(level, stream) == both
    assert fed(level, *(stream[i : i + 1] for i in range(len(stream)))) == both
    decoder = Decoder(level, LIMIT)
    assert [fields(found) for found in decoder.feed(stream + b"\xd0")] == both
    assert [fields(found) for found in decoder.feed(b"\0")] == [(PINGRESP, 0, 0, {})]


def test_connack_of_5_with_every_property():
    assert fed(V5, octets(CONNACK_5)) == [(CONNACK, 0, 0, CONNACK_5_PROPERTIES)]


@pytest.mark.parametrize(
    ("code", "same_as"), [(0, 0), (1, 0x84), (2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87), (6, 0x80)]
)
def test_return_codes_of_3_1_1_are_reason_codes(code, same_as):
    assert fed(V3, bytes((0x20, 2, 0, code))) == [(CONNACK, same_as, 0, {})]


def test_reasons_have_names():
    assert mqtt.reason(0x87) == "not authorized"
    assert mqtt.reason(0xEE) == "reason code 0xEE"


# Without a CONNACK before them.
BAD_AT_FIRST = {
    "not MQTT": (V3, "48", "PUBACK with flags 8"),  # the "H" of HTTP
    "type 0": (V3, "00", "a packet of type 0"),
    "AUTH": (V5, "F0", "AUTH"),
    "PUBACK": (V3, "40 02 0001", "PUBACK before CONNACK"),
    "DISCONNECT": (V5, "E0 00", "DISCONNECT before CONNACK"),
    "reserved flags of the fixed header (2.1.3)": (V3, "21", "CONNACK with flags 1"),
    "reserved acknowledge flags (3.2.2.1)": (V3, "20 02 02 00", "CONNACK with flags 2"),
    "too short": (V3, "20 01 00", "CONNACK of 1 bytes, which end in the middle"),
    "too long": (V3, "20 03 00 00 00", "CONNACK of 3 bytes, of 2"),
    "no property length": (V5, "20 02 00 00", "CONNACK of 2 bytes, which end in the middle"),
    "neither accepted nor refused": (V5, "20 03 00 01 00", "CONNACK with code 1"),
    "a length of five bytes (1.5.5)": (V3, "20 FF FF FF FF", "a length of more than four bytes"),
    "a padded length (1.5.5)": (V5, "20 83 00", "a length that is longer than it needs to be"),
    "a padded property length": (V5, "20 04 00 00 8000", "a length that is longer than it needs to be"),
    "over the limit": (V5, "20 FE07", "CONNACK of 1025 bytes"),
    "properties that end too early": (V5, "20 04 00 00 00 00", "0 bytes of properties, where there are 1"),
    "properties that go on": (V5, "20 03 00 00 01", "which end in the middle"),
    "a property cut short": (V5, "20 05 00 00 02 2100", "which end in the middle"),
    "a text cut short": (V5, "20 07 00 00 04 1F 0002 61", "which end in the middle"),
    "an unknown property": (V5, "20 05 00 00 02 0100", "property 0x01, which has no place there"),
    "a property identifier of two bytes": (V5, "20 05 00 00 02 8101", "property 0x81, which has no place there"),
    "a property twice (2.2.2.2)": (V5, "20 07 00 00 04 2401 2401", "property 0x24 twice"),
    "a flag of 2 (3.2.2.3.4)": (V5, "20 05 00 00 02 2402", "2 where only 0 and 1 are allowed"),
    "receive maximum 0 (3.2.2.3.3)": (V5, "20 06 00 00 03 210000", "property 0x21 is 0"),
    "maximum packet size 0 (3.2.2.3.6)": (V5, "20 08 00 00 05 2700000000", "property 0x27 is 0"),
    "bytes that are not UTF-8 (1.5.4)": (V5, "20 08 00 00 05 1F 0002 C3 28", "not UTF-8"),
    "a surrogate in UTF-8 (1.5.4)": (V5, "20 09 00 00 06 1F 0003 EDA080", "not UTF-8"),
    "NUL in a text (1.5.4)": (V5, "20 07 00 00 04 1F 0001 00", "NUL"),
}
# After one.
BAD_LATER = {
    "a second CONNACK": (V3, "20 02 00 00", "CONNACK a second time"),
    "PUBLISH to one who hasn't subscribed": (V5, "30", "PUBLISH"),
    "SUBACK": (V3, "90", "SUBACK"),
    "PINGREQ, which is the client's": (V5, "C0", "PINGREQ"),
    "DISCONNECT, which 3.1.1 has from clients only": (V3, "E0", "DISCONNECT"),
    "PUBACK of packet 0 (2.2.1)": (V3, "40 02 0000", "PUBACK of packet 0"),
    "PUBACK of nothing": (V3, "40 00", "PUBACK of 0 bytes, which end in the middle"),
    "PUBACK with a code below 5": (V3, "40 03 0001 00", "PUBACK of 3 bytes, of 2"),
    "PUBACK with flags": (V5, "42", "PUBACK with flags 2"),
    "PUBACK with another packet's property": (V5, "40 07 0001 00 03 210014", "property 0x21, which has no place there"),
    "PINGRESP with content": (V5, "D0 01 00", "PINGRESP of 1 bytes, of 0"),
    "DISCONNECT with a client's property": (V5, "E0 07 00 05 11 00000000", "property 0x11, which has no place there"),
    "PUBACK of more than the limit": (V5, "40 FF7F", "PUBACK of 16386 bytes"),
}


@pytest.mark.parametrize(("level", "packet", "says"), BAD_AT_FIRST.values(), ids=BAD_AT_FIRST)
def test_a_bad_first_packet(level, packet, says):
    refused(level, b"", octets(packet), says)


@pytest.mark.parametrize(("level", "packet", "says"), BAD_LATER.values(), ids=BAD_LATER)
def test_a_bad_later_packet(level, packet, says):
    refused(level, WELCOME[level], octets(packet), says)


def refused(level, before, packet, says):
    """Whole, a byte at a time, and with bytes left over; what was good before it is given all the same."""
    for pieces in (
        [before + packet],
        [before, *(packet[i : i + 1] for i in range(len(packet)))],
        [before + packet + b"x"],
    ):
        found, error = until_error(Decoder(level, LIMIT), *pieces)
        assert error is not None
        assert says in str(error)
        assert error.code in (mqtt.MALFORMED_PACKET, mqtt.PROTOCOL_ERROR, mqtt.PACKET_TOO_LARGE)
        assert len(found) == (before != b"")


def until_error(decoder, *pieces):
    """The packets that the pieces give, and the error that ends them, or None."""
    found = []
    try:
        for piece in pieces:
            found.extend(decoder.feed(piece))
            assert len(decoder._held) <= LIMIT
    except ProtocolError as error:
        return found, error
    return found, None


def test_what_is_left_with_what_code():
    """4.13: malformed, or well formed but not allowed; and too large, 3.2.2.3.6."""
    for packet, code in (("48", 0x81), ("F0", 0x82), ("20 FE07", 0x95), ("20 07 00 00 04 2401 2401", 0x82)):
        with pytest.raises(ProtocolError) as caught:
            list(Decoder(V5, LIMIT).feed(octets(packet)))
        assert caught.value.code == code


@given(st.lists(st.sampled_from([octets(packet) for level, packet, _ in GOOD.values() if level == V5])), st.data())
def test_any_splits_give_the_same(packets, data):
    stream = octets(CONNACK_5) + b"".join(packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert fed(V5, *pieces) == fed(V5, stream)


@given(st.sampled_from([V3, V5]), st.lists(st.binary(max_size=40)))
def test_any_bytes_give_packets_or_a_protocol_error(level, pieces):
    found, error = until_error(Decoder(level, LIMIT), WELCOME[level], *pieces)
    assert {packet.kind for packet in found} <= {CONNACK, PUBACK, PINGRESP, DISCONNECT}
    assert error is None or str(error)


@given(
    st.sampled_from([octets(CONNACK_5), octets("40 09 0001 87 05 1F 0002 6E6F"), octets("E0 06 9C 04 1C 0001 73")]),
    st.data(),
)
def test_a_changed_byte_gives_packets_or_a_protocol_error(packet, data):
    changed = bytearray(packet)
    changed[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    _, error = until_error(Decoder(V5, LIMIT), b"" if packet[0] == CONNACK else WELCOME[V5], bytes(changed))
    assert error is None or str(error)


# -- against an independent codec ----------------------------------------------------------------------------------------


class _Recorder:
    """What paho takes for its socket."""

    def __init__(self):
        self.sent = b""

    def send(self, data):
        self.sent += data
        return len(data)

    def recv(self, size):
        raise BlockingIOError

    def fileno(self):
        return -1

    def setblocking(self, flag):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("level", [V3, V5])
@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("login", [("", ""), ("pi", ""), ("pi", "raspberry")])
@pytest.mark.parametrize("will_qos", [None, 0, 1])
def test_connect_and_publish_are_paho_s_too(level, clean, login, will_qos):
    recorder, v5 = _Recorder(), level == V5
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "dev-1", None if v5 else clean, protocol=level)
    client._create_socket = lambda: recorder
    client.on_socket_register_write = lambda *_: None
    if login[0]:
        client.username_pw_set(login[0], login[1] or None)
    if will_qos is not None:
        client.will_set("a/status", "offline", qos=will_qos, retain=True)
    properties = None
    if v5:
        properties = Properties(PacketTypes.CONNECT)
        properties.MaximumPacketSize = 65536
    client.connect_async("x", 1, 60, clean_start=clean, properties=properties)
    client.reconnect()
    client.loop_write()
    ours = mqtt.connect(level, "dev-1", keepalive=60, clean=clean, username=login[0], password=login[1],
                        will=None if will_qos is None else ("a/status", "offline"), will_qos=will_qos or 0,
                        maximum_packet_size=65536)  # fmt: skip
    assert ours == recorder.sent

    recorder.sent = b""
    properties, ours_too = None, b""
    if v5:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType, properties.UserProperty = "x/y", [("agent", "é"), ("seq", "7")]
        ours_too = mqtt.publish_properties("x/y", [("agent", "é"), ("seq", "7")])
    body = b"x" * 200
    client.publish("a/b", body, 1, True, properties)
    client.loop_write()
    ours = mqtt.publish(mqtt.text("a/b"), body, qos=1, retain=True, packet_id=1, properties=ours_too)
    assert len(ours) == len(recorder.sent)  # paho writes the properties in another order
    assert ours == recorder.sent or v5
