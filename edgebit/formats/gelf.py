"""Format gelf: Graylog's Extended Log Format 1.1, an object a line, as Fluent Bit makes it of a record.

Five fields have a meaning of their own and are taken from the keys that the options name; every other one becomes
``_name``. Maps are flattened (``_map_key``), lists become one text, booleans text, and null is left out, since GELF
knows text and numbers only (docs.graylog.org, "GELF Payload Specification"). Characters that a name must not have become
"_"; ``id`` is left out because ``_id`` is forbidden.

Where Fluent Bit drops a whole batch, nothing is lost here: a record without the short message gets one made of its
``log`` or ``message`` field, else of all of it as JSON; a level that is no level goes into ``_level``.
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring_ascii

from edgebit.formats.json import clean_ascii, writer
from edgebit.formats.syslog import SEVERITIES
from edgebit.options import Option, string
from edgebit.plugin import Format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.options import Options
    from edgebit.record import Chunk, Shape

_NOT_IN_NAMES = re.compile(rb"[^A-Za-z0-9_.-]")  # each byte is replaced
_OWN = ("host", "short_message", "timestamp", "level", "full_message")
_json = writer(encode_basestring_ascii)


def _name(text: str) -> str:
    return _NOT_IN_NAMES.sub(b"_", text.encode("utf-8", "surrogatepass")).decode("ascii")


def _plain(value: Any) -> str:
    """A value within a list: not quoted on its own."""
    if isinstance(value, str):
        return encode_basestring_ascii(value)[1:-1]
    if isinstance(value, dict):
        return " ".join([f"{_name(str(key))}={_plain(one)}" for key, one in _flat("", value)])
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    if value is None:
        return "null"
    return _scalar(value).strip('"')


def _flat(prefix: str, value: dict[Any, Any]) -> list[tuple[str, Any]]:
    """The leaves of nested maps with the names on the way to them."""
    out: list[tuple[str, Any]] = []
    for key, one in value.items():
        name = f"{prefix}_{key}" if prefix else str(key)
        if isinstance(one, dict):
            out += _flat(name, one)
        else:
            out.append((name, one))
    return out


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        # GELF has no word for these either; as text they survive.
        return f"{value:f}" if value - value == 0 else f'"{value:f}"'
    return encode_basestring_ascii(value if isinstance(value, str) else str(value))


def field(name: str, value: Any) -> str:
    """``, "name":value``, nothing for null, several for a map. `name` is clean already."""
    if value is None:
        return ""
    if isinstance(value, dict):
        parts = [f', "{name}_{_name(key)}":{"null" if one is None else _value(one)}' for key, one in _flat("", value)]
        return "".join(parts)
    return f', "{name}":{_value(value)}'


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f'"{_plain(value)}"'
    return _scalar(value)


def level(value: Any) -> int | None:
    """A number of RFC 5424's severities, or None."""
    if isinstance(value, str):
        if len(value) == 1 and value in "01234567":
            return int(value)
        return SEVERITIES.get(value.lower())
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 7 else None


class Gelf(Format):
    """GELF 1.1, an object a line."""

    NAME = "gelf"
    OPTIONS = (
        Option("gelf_timestamp_key", string, "timestamp", "field with the time, used as it is; else the record's own"),
        Option("gelf_host_key", string, "host", "field with the host's name"),
        Option("gelf_short_message_key", string, "short_message", "field with the message"),
        Option("gelf_full_message_key", string, "full_message", "field with the long form of the message"),
        Option("gelf_level_key", string, "level", "field with the level: 0 to 7 or a name of syslog's severities"),
    )
    content_type = "application/json"
    stream = True

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        keys = (opt.gelf_host_key, opt.gelf_short_message_key, opt.gelf_timestamp_key, opt.gelf_level_key,
                opt.gelf_full_message_key)  # fmt: skip
        self._own = dict(zip(reversed(keys), reversed(_OWN)))  # of equal keys the first one counts
        self._key = (Gelf, keys)

    def encode(self, chunk: Chunk) -> bytes:
        return b"".join(self.encode_each(chunk))

    def encode_each(self, chunk: Chunk) -> list[bytes]:
        out = []
        for time_ns, shape, values in chunk.records:
            names, stamped, told = self._names(shape)
            parts = ['{"version":"1.1"']
            for name, value in zip(names, values):
                if type(value) is str and name and name != "level":
                    parts.append(f', "{name}":{encode_basestring_ascii(value)}')
                elif name == "level":
                    number = level(value)
                    parts.append(field("_level", value) if number is None else f', "level":{number}')
                elif name:
                    own = isinstance(value, dict) and name[0] != "_"  # a map can't stand for one of GELF's own
                    parts.append(field("_" + name if own else name, value))
            if not stamped:
                ms = time_ns // 10**6
                parts.append(f', "timestamp":{ms // 1000}.{ms % 1000:03d}')
            if not told or values[told - 1] is None or isinstance(values[told - 1], dict):
                parts.append(f', "short_message":{self._message(shape, values)}')
            text = "".join(parts) + "}\n"
            out.append(clean_ascii(text).encode("ascii"))
        return out

    def _names(self, shape: Shape) -> tuple[list[str], bool, int]:
        """The names in GELF ("" for what is left out), whether a time is among them, and where the message is, from 1."""
        known: tuple[list[str], bool, int] | None = shape.cache.get(self._key)
        if known is None:
            names: list[str] = []
            for name in shape.names:
                own = self._own.get(name, "")
                if own:
                    names.append("" if own in names else own)
                else:
                    names.append("" if name == "id" else "_" + _name(name))
            told = names.index("short_message") + 1 if "short_message" in names else 0
            known = names, "timestamp" in names, told
            if shape.interned:
                shape.cache[self._key] = known
        return known

    def _message(self, shape: Shape, values: tuple[Any, ...]) -> str:
        for name in ("log", "message"):
            at = shape.index.get(name, -1)
            if at >= 0 and isinstance(values[at], str):
                return encode_basestring_ascii(values[at])
        return encode_basestring_ascii(_json(dict(zip(shape.names, values))))
