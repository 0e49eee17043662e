"""Format msgpack: events as Fluent Bit has them inside and sends them on, one after the other.

An event is ``[[time, metadata], {field: value, ...}]``. The time is the Forward protocol's EventTime: extension type 0
with seconds and nanoseconds, 32 bits each, big-endian (Fluentd's Forward Protocol Specification v1, "EventTime Ext
Format"). Numbers and lengths take the shortest form there is (the msgpack specification, "Serialization"). Text that was
not UTF-8 comes out as the bytes that it was.
"""

from __future__ import annotations

from struct import Struct

from edgebit.formats.cells import utf8
from edgebit.plugin import Format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.record import Chunk, Shape

_byte2 = Struct(">BB").pack
_byte3 = Struct(">BH").pack
_byte5 = Struct(">BI").pack
_byte9 = Struct(">BQ").pack
_signed2, _signed3, _signed5, _signed9 = (Struct(f">B{size}").pack for size in "bhiq")
_double = Struct(">Bd").pack
_event = Struct(">II").pack
_EVENT_TIME = b"\x92\x92\xd7\x00"  # two arrays of two, then fixext 8 of type 0
_FIXED = tuple(bytes([0xA0 | n]) if n < 32 else bytes([0xD9, n]) for n in range(256))  # heads of short texts


def pack(value: Any) -> bytes:
    """Any value of a record."""
    return _PACKERS.get(type(value), _other)(value)


def _text(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = utf8(value)
    size = len(data)
    if size < 256:
        return _FIXED[size] + data
    return (_byte3(0xDA, size) if size < 65536 else _byte5(0xDB, size)) + data


def _integer(value: int) -> bytes:
    if value >= 0:
        if value < 128:
            return bytes((value,))
        if value < 256:
            return _byte2(0xCC, value)
        if value < 65536:
            return _byte3(0xCD, value)
        if value < 1 << 32:
            return _byte5(0xCE, value)
        return _byte9(0xCF, value) if value < 1 << 64 else _double(0xCB, float(value))
    if value >= -32:
        return bytes((value & 0xFF,))
    if value >= -128:
        return _signed2(0xD0, value)
    if value >= -32768:
        return _signed3(0xD1, value)
    if value >= -(1 << 31):
        return _signed5(0xD2, value)
    return _signed9(0xD3, value) if value >= -(1 << 63) else _double(0xCB, float(value))


def _head(size: int, small: int, wide: int) -> bytes:
    """Of a map or an array: its type and length."""
    if size < 16:
        return bytes((small | size,))
    return _byte3(wide, size) if size < 65536 else _byte5(wide + 1, size)


def _mapping(value: dict[Any, Any]) -> bytes:
    return _head(len(value), 0x80, 0xDE) + b"".join([pack(k) + pack(v) for k, v in value.items()])


def _sequence(value: list[Any]) -> bytes:
    return _head(len(value), 0x90, 0xDC) + b"".join(map(pack, value))


def _binary(value: bytes) -> bytes:
    size = len(value)
    head = _byte2(0xC4, size) if size < 256 else _byte3(0xC5, size) if size < 65536 else _byte5(0xC6, size)
    return head + value


def _other(value: Any) -> bytes:
    for kind, one in _PACKERS.items():
        if isinstance(value, kind):
            return one(value)
    return _text(str(value))  # nothing of ours makes such a value; a plugin's record shall come out all the same


_PACKERS: dict[type, Callable[[Any], bytes]] = {
    str: _text,
    int: _integer,
    float: lambda value: _double(0xCB, value),
    bool: {True: b"\xc3", False: b"\xc2"}.__getitem__,
    type(None): lambda value: b"\xc0",
    dict: _mapping,
    list: _sequence,
    tuple: _sequence,
    bytes: _binary,
}


class Msgpack(Format):
    """Fluent Bit's own events in msgpack, with time and metadata."""

    NAME = "msgpack"
    content_type = "application/msgpack"
    stream = True

    def encode(self, chunk: Chunk) -> bytes:
        return b"".join(self.encode_each(chunk))

    def encode_each(self, chunk: Chunk) -> list[bytes]:
        out: list[bytes] = []
        add, packers = out.append, _PACKERS
        last = None
        for time_ns, shape, values in chunk.records:
            if shape is not last:
                head, keys = self._keys(shape)
                last = shape
            seconds, rest = divmod(time_ns, 10**9)
            parts = [_EVENT_TIME, _event(seconds & 0xFFFFFFFF, rest), head]
            for key, value in zip(keys, values):
                parts.append(key)
                parts.append(packers.get(type(value), _other)(value))
            add(b"".join(parts))
        return out

    def _keys(self, shape: Shape) -> tuple[bytes, list[bytes]]:
        """What stands before the first field (metadata and the map's head), and the names, encoded."""
        known: tuple[bytes, list[bytes]] | None = shape.cache.get(Msgpack)
        if known is None:
            known = (pack(shape.metadata) + _head(len(shape.names), 0x80, 0xDE), [_text(name) for name in shape.names])
            if shape.interned:
                shape.cache[Msgpack] = known
        return known
