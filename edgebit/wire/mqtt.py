"""MQTT 3.1.1 and 5.0 as a client that only publishes needs them: packets to bytes, and a broker's bytes to packets.

To the broker go CONNECT, PUBLISH of QoS 0 and 1, PINGREQ and DISCONNECT; from it come CONNACK, PUBACK, PINGRESP and, from
5.0 on, DISCONNECT. Nothing is subscribed to and no authentication beyond a password is offered, so that everything else
is an error of the broker's.

Pure, and bounded: a packet that says to be larger than the limit is an error before it is here. Strict: what the
standard calls malformed is an error, never a guess. Not so the codes of 5.0 that it doesn't define: from 0x80 on any is
a failure (2.4), and it can be passed on as one.

The sections are those of MQTT 5.0 (OASIS, 2019); those of MQTT 3.1.1 (2014) are named where they differ. "Level" is the
protocol version of CONNECT: 4 means 3.1.1, and 5 means 5.0.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Properties = dict[int, Any]

# The first byte of a packet: its type and flags (2.1). The flags of what a broker sends here are always 0.
CONNECT, CONNACK, PUBLISH, PUBACK, _PINGREQ, PINGRESP, DISCONNECT = 0x10, 0x20, 0x30, 0x40, 0xC0, 0xD0, 0xE0
_NAMES = ("a packet of type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
          "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH")  # fmt: skip
PINGREQ = bytes((_PINGREQ, 0))
MAX_SIZE = 268_435_455  # bytes that a remaining length can say (1.5.5): the largest packet, less its first five at most

# Properties that a client asks for or says (2.2.2.2).
CONTENT_TYPE, USER_PROPERTY = 0x03, 0x26
SERVER_KEEP_ALIVE, SERVER_REFERENCE, REASON_STRING = 0x13, 0x1C, 0x1F
RECEIVE_MAXIMUM, MAXIMUM_QOS, RETAIN_AVAILABLE, MAXIMUM_PACKET_SIZE = 0x21, 0x24, 0x25, 0x27

# Reason codes (2.4).
UNSPECIFIED, MALFORMED_PACKET, PROTOCOL_ERROR, PACKET_TOO_LARGE = 0x80, 0x81, 0x82, 0x95
_REASONS = {
    0x00: "success",
    0x10: "no matching subscribers",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep alive timeout",
    0x8E: "session taken over",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x92: "packet identifier not found",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "qos not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9E: "shared subscriptions not supported",
    0x9F: "connection rate exceeded",
    0xA0: "maximum connect time",
    0xA1: "subscription identifiers not supported",
    0xA2: "wildcard subscriptions not supported",
}
# The return codes of a CONNACK of 3.1.1 (there 3.2.2.3), as the reason codes of 5.0 that mean the same.
_RETURN_CODES = {0: 0x00, 1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}


class ProtocolError(Exception):
    """What the broker sent is not MQTT, or not now. `code` is the reason code to leave it with (4.13)."""

    def __init__(self, why: str, code: int = MALFORMED_PACKET) -> None:
        super().__init__(why)
        self.code = code


def reason(code: int) -> str:
    """The name of a reason code, in small letters."""
    return _REASONS.get(code) or f"reason code 0x{code:02X}"


# -- to the broker -----------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    """A UTF-8 encoded string (1.5.4). Raises ValueError for one that MQTT can't carry."""
    if "\0" in value:
        raise ValueError("a text with NUL in it")
    return binary(value.encode())  # a lone surrogate is a UnicodeEncodeError, which is a ValueError


def binary(data: bytes) -> bytes:
    """Binary data (1.5.6). Raises ValueError for more than 65535 bytes."""
    if len(data) > 65535:
        raise ValueError(f"a text of {len(data)} bytes, of 65535 that MQTT can carry")
    return len(data).to_bytes(2, "big") + data


def variable(number: int) -> bytes:
    """A variable byte integer (1.5.5; in 3.1.1 the remaining length, 2.2.3). Raises ValueError over MAX_SIZE."""
    if number < 0x80:
        return bytes((number,))
    if number > MAX_SIZE:
        raise ValueError(f"{number} bytes, of {MAX_SIZE} that MQTT can carry")
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def connect(level: int, client_id: str, *, keepalive: int, clean: bool, username: str = "", password: str = "",
            will: tuple[str, str] | None = None, will_qos: int = 0, maximum_packet_size: int) -> bytes:  # fmt: skip
    """CONNECT (3.1): keepalive in seconds; a will is topic and text and always retained; a password without a user name
    is left out, as 3.1.1 demands. `maximum_packet_size` is what the broker may send, in bytes; only 5.0 can say so.
    Raises ValueError for texts that MQTT can't carry."""
    flags = clean << 1
    if will is not None:
        flags |= 0x04 | will_qos << 3 | 0x20
    if username:
        flags |= 0x80 | bool(password) << 6
    v5 = level >= 5
    properties = bytes((MAXIMUM_PACKET_SIZE,)) + maximum_packet_size.to_bytes(4, "big")
    parts = [text("MQTT"), bytes((level, flags)), keepalive.to_bytes(2, "big")]
    parts += [variable(len(properties)), properties] if v5 else []
    parts.append(text(client_id))
    if will is not None:
        parts += [b"\0"] if v5 else []  # no will properties
        parts += map(text, will)
    if username:
        parts.append(text(username))
        parts += [text(password)] if password else []
    return _packet(CONNECT, *parts)


def publish(topic: bytes, body: bytes, *, qos: int, retain: bool, packet_id: int = 0, properties: bytes = b"") -> bytes:
    """PUBLISH (3.3), never a duplicate. `topic` is what `text` gave for it, `packet_id` 1 to 65535 with QoS 1, and
    `properties` what `publish_properties` gave: for 5.0 always. Raises ValueError for what is too long."""
    identifier = packet_id.to_bytes(2, "big") if qos else b""
    return _packet(PUBLISH | qos << 1 | retain, topic, identifier, properties, body)


def publish_properties(content_type: str = "", user: Iterable[tuple[str, str]] = ()) -> bytes:
    """The properties of a PUBLISH of 5.0 (3.3.2.3). Raises ValueError for texts that MQTT can't carry."""
    parts = [b"\x03", text(content_type)] if content_type else []
    for name, value in user:
        parts += (b"\x26", text(name), text(value))
    encoded = b"".join(parts)
    return variable(len(encoded)) + encoded


def disconnect(code: int = 0, why: str = "") -> bytes:
    """DISCONNECT (3.14). A code but 0 and a reason string, of less than 65 KiB, are for 5.0 only."""
    if not code:
        return bytes((DISCONNECT, 0))
    properties = bytes((REASON_STRING,)) + text(why) if why else b""
    return _packet(DISCONNECT, bytes((code,)), variable(len(properties)), properties)


def _packet(first: int, *parts: bytes) -> bytes:
    # One join: the body of a message, which may be long, is copied once.
    return b"".join((bytes((first,)), variable(sum(map(len, parts))), *parts))


# -- from the broker ---------------------------------------------------------------------------------------------------


class Packet:
    """kind        CONNACK, PUBACK, PINGRESP or DISCONNECT
    code        reason code, 0 if the packet has none; a return code of 3.1.1 is the reason code that means the same
    packet_id   of a PUBACK
    properties  of 5.0, by identifier: numbers, texts, bytes; of user properties, a list of pairs"""

    __slots__ = ("code", "kind", "packet_id", "properties")

    def __init__(self, kind: int, code: int = 0, packet_id: int = 0, properties: Properties | None = None) -> None:
        self.kind, self.code, self.packet_id, self.properties = kind, code, packet_id, properties or {}

    def __repr__(self) -> str:
        return f"<{_NAMES[self.kind >> 4]} 0x{self.code:02X} {self.packet_id} {self.properties}>"


class Decoder:
    """What a broker sends on one connection. `limit`: bytes of the largest packet that it may send."""

    def __init__(self, level: int, limit: int) -> None:
        self._v5, self._limit = level >= 5, limit
        self._held = bytearray()  # of a packet that isn't complete
        self._connected = False  # a CONNACK was seen

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that these bytes complete, one after the other. Raises ProtocolError behind the last good one;
        then nothing more can be read. Take them all, or none any more."""
        held = self._held
        held += data
        while held:
            begin, end = self._extent(held)
            if not begin or end > len(held):
                return
            first, content = held[0], bytes(held[begin:end])
            del held[:end]
            yield self._packet(first, content)

    def _extent(self, held: bytearray) -> tuple[int, int]:
        """Where the content of the first packet begins and ends (2.1); 0 and 0 while its length isn't all there."""
        first = held[0]
        name = _NAMES[first >> 4]
        if first not in (CONNACK, PUBACK, PINGRESP) and (first != DISCONNECT or not self._v5):
            flags = f" with flags {first & 15}" if first & 0xF0 in (CONNACK, PUBACK, PINGRESP, DISCONNECT) else ""
            raise ProtocolError(f"{name}{flags}", MALFORMED_PACKET if flags else PROTOCOL_ERROR)
        if (first == CONNACK) is self._connected:
            when = "a second time" if self._connected else "before CONNACK"
            raise ProtocolError(f"{name} {when}", PROTOCOL_ERROR)
        try:
            size, begin = _variable(held, 1, shortest=self._v5)
        except _TooShort:
            return 0, 0
        if begin + size > self._limit:
            raise ProtocolError(f"{name} of {begin + size} bytes", PACKET_TOO_LARGE)
        return begin, begin + size

    def _packet(self, first: int, content: bytes) -> Packet:
        try:
            if first == PUBACK:
                return self._puback(content)
            if first == CONNACK:
                return self._connack(content)
            if first == DISCONNECT:
                return self._disconnect(content)
        except _TooShort:
            raise ProtocolError(f"{_NAMES[first >> 4]} of {len(content)} bytes, which end in the middle") from None
        _nothing_from(PINGRESP, content, 0)
        return Packet(PINGRESP)

    def _connack(self, content: bytes) -> Packet:
        """3.2: acknowledge flags, a code, properties. The session present flag is not looked at: the session is empty,
        what was not acknowledged is published again as new."""
        (flags, code), at = _take(content, 0, 2)
        if flags > 1:
            raise ProtocolError(f"CONNACK with flags {flags}")
        properties: Properties = {}
        if self._v5:
            properties = _properties(content, at, _CONNACK_PROPERTIES)
            if 0 < code < 0x80:
                raise ProtocolError(f"CONNACK with code {code}", PROTOCOL_ERROR)
        else:
            _nothing_from(CONNACK, content, at)
            code = _RETURN_CODES.get(code, UNSPECIFIED)
        self._connected = True
        return Packet(CONNACK, code, properties=properties)

    def _puback(self, content: bytes) -> Packet:
        """3.4: packet identifier; in 5.0 a code and properties, if not 0 and none."""
        packet_id, at = _two(content, 0)
        if not packet_id:
            raise ProtocolError("PUBACK of packet 0")
        if not self._v5:
            _nothing_from(PUBACK, content, at)
        code, properties = _answer(content, at, _PUBACK_PROPERTIES)
        return Packet(PUBACK, code, packet_id, properties)

    def _disconnect(self, content: bytes) -> Packet:
        """3.14: a code and properties, if not 0 and none. 3.1.1 has none from a broker."""
        code, properties = _answer(content, 0, _DISCONNECT_PROPERTIES)
        return Packet(DISCONNECT, code, properties=properties)


class _TooShort(Exception):
    """The bytes end too early."""


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """So many bytes, and where they end."""
    end = at + size
    if end > len(data):
        raise _TooShort
    return data[at:end], end


def _nothing_from(kind: int, content: bytes, at: int) -> None:
    if at < len(content):
        raise ProtocolError(f"{_NAMES[kind >> 4]} of {len(content)} bytes, of {at}")


def _answer(content: bytes, at: int, allowed: frozenset[int]) -> tuple[int, Properties]:
    """A reason code, then properties; both may be left out from the end (3.4.2.1, 3.14.2.1)."""
    if at == len(content):
        return 0, {}
    code, at = content[at], at + 1
    return code, _properties(content, at, allowed) if at < len(content) else {}


def _variable(data: bytes | bytearray, at: int, shortest: bool) -> tuple[int, int]:
    """A variable byte integer and where it ends; `shortest`: 5.0 forbids to write one longer than it needs."""
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= len(data):
            raise _TooShort
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if shortest and shift and not byte:
                raise ProtocolError("a length that is longer than it needs to be")
            return value, at
    raise ProtocolError("a length of more than four bytes")


def _two(data: bytes, at: int) -> tuple[int, int]:
    taken, at = _take(data, at, 2)
    return int.from_bytes(taken, "big"), at


def _four(data: bytes, at: int) -> tuple[int, int]:
    taken, at = _take(data, at, 4)
    return int.from_bytes(taken, "big"), at


def _flag(data: bytes, at: int) -> tuple[int, int]:
    taken, at = _take(data, at, 1)
    if taken[0] > 1:
        raise ProtocolError(f"{taken[0]} where only 0 and 1 are allowed", PROTOCOL_ERROR)
    return taken[0], at


def _binary(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _two(data, at)
    return _take(data, at, size)


def _text(data: bytes, at: int) -> tuple[str, int]:
    taken, at = _binary(data, at)
    try:
        found = taken.decode()  # refuses surrogates and overlong forms, too
    except UnicodeDecodeError:
        raise ProtocolError("a text that is not UTF-8") from None
    if "\0" in found:
        raise ProtocolError("a text with NUL in it")
    return found, at


def _pair(data: bytes, at: int) -> tuple[tuple[str, str], int]:
    name, at = _text(data, at)
    value, at = _text(data, at)
    return (name, value), at


# The properties that a broker may send here (2.2.2.2), and what they consist of.
_PROPERTIES: dict[int, Callable[[bytes, int], tuple[Any, int]]] = {
    0x11: _four,  # session expiry interval
    0x12: _text,  # assigned client identifier
    SERVER_KEEP_ALIVE: _two,
    0x15: _text,  # authentication method
    0x16: _binary,  # authentication data
    0x1A: _text,  # response information
    SERVER_REFERENCE: _text,
    REASON_STRING: _text,
    RECEIVE_MAXIMUM: _two,
    0x22: _two,  # topic alias maximum
    MAXIMUM_QOS: _flag,
    RETAIN_AVAILABLE: _flag,
    USER_PROPERTY: _pair,
    MAXIMUM_PACKET_SIZE: _four,
    0x28: _flag,  # wildcard subscription available
    0x29: _flag,  # subscription identifiers available
    0x2A: _flag,  # shared subscription available
}
_NOT_ZERO = (RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE)
_CONNACK_PROPERTIES = frozenset(_PROPERTIES)  # 3.2.2.3
_PUBACK_PROPERTIES = frozenset((REASON_STRING, USER_PROPERTY))  # 3.4.2.2
_DISCONNECT_PROPERTIES = frozenset((SERVER_REFERENCE, REASON_STRING, USER_PROPERTY))  # 3.14.2.2, those of a server


def _properties(content: bytes, at: int, allowed: frozenset[int]) -> Properties:
    """All of a packet from `at` on: a length, then properties of that length (2.2.2)."""
    size, at = _variable(content, at, shortest=True)
    if size > len(content) - at:
        raise _TooShort
    if size < len(content) - at:
        raise ProtocolError(f"{size} bytes of properties, where there are {len(content) - at}")
    found: Properties = {}
    while at < len(content):
        kind = content[at]  # a variable byte integer, but none is defined that has two bytes
        if kind not in allowed:
            raise ProtocolError(f"property 0x{kind:02X}, which has no place there")
        value, at = _PROPERTIES[kind](content, at + 1)
        if kind == USER_PROPERTY:
            found.setdefault(kind, []).append(value)
            continue
        if kind in found:
            raise ProtocolError(f"property 0x{kind:02X} twice", PROTOCOL_ERROR)
        if not value and kind in _NOT_ZERO:
            raise ProtocolError(f"property 0x{kind:02X} is 0", PROTOCOL_ERROR)
        found[kind] = value
    return found
