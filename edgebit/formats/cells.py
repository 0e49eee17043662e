"""Values as text for eyes: the form that the formats text, csv, ltsv and template share, as Fluent Bit prints it.

``"text"`` (nothing in it is escaped), ``5``, ``1.500000``, ``true``, ``nil``, ``{"k"=>[1, "x"]}``.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Surrogates that stand for no byte; text from JSON escapes may have them.
_NOT_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def utf8(text: str) -> bytes:
    """Bytes that were not UTF-8 on arrival as they were; never fails."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _NOT_BYTES.sub("\ufffd", text).encode("utf-8", "surrogateescape")


def cell(value: Any) -> str:
    """Any value in the form that text, csv and ltsv share: ``"text"``, ``1.500000``, ``nil``, ``{"k"=>[1, 2]}``."""
    return _CELLS.get(type(value), _other)(value)


def _mapping(value: dict[Any, Any]) -> str:
    return "{" + ", ".join([f"{cell(k)}=>{cell(v)}" for k, v in value.items()]) + "}"


def _sequence(value: list[Any]) -> str:
    return "[" + ", ".join(map(cell, value)) + "]"


def _other(value: Any) -> str:
    for kind, one in _CELLS.items():
        if isinstance(value, kind):
            return one(value)
    # Nothing of ours makes such a value; a plugin's record shall come out all the same.
    return f'"{value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value}"'


_CELLS: dict[type, Callable[[Any], str]] = {
    str: '"{}"'.format,
    int: int.__repr__,
    float: "{:f}".format,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda value: "nil",
    dict: _mapping,
    list: _sequence,
    tuple: _sequence,
}
