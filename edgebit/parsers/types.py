"""The option `types`: which fields of a parsed line become numbers or booleans.

The conversions are Fluent Bit's (C's strtoll, atof, strtoull): leading blanks are skipped, the longest number at the
start of the text counts, the rest doesn't, and a text without one is 0. Two things are kept as text because no record
can hold them or the text says nothing: a float that is not finite and a bool that starts with neither true nor false.

Unlike Fluent Bit, which takes an unknown type or a comma silently for "string", an unknown name is an error, lists may
be separated by commas, and `int`, `number` and other usual spellings work.
"""

from __future__ import annotations

import re

from edgebit.errors import nearest
from edgebit.options import BadValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BLANK = r"[ \t-\r]*+"
_INTEGER = re.compile(_BLANK + r"([+-]?[0-9]++)")
_FLOAT = re.compile(_BLANK + r"([+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)")
_HEX = re.compile(_BLANK + r"(?:0[xX])?+([0-9a-fA-F]++)")
_DIGITS = 40  # more digits than any 64-bit number has; int() refuses texts beyond some thousand

_MIN, _MAX, _UMAX = -(2**63), 2**63 - 1, 2**64 - 1


def integer(text: str) -> int:
    """The whole number at the start of a text, limited to 64 bits with a sign; 0 if there is none."""
    if len(text) < 19 and text.isdigit() and text.isascii():
        return int(text)
    found = _INTEGER.match(text)
    if found is None:
        return 0
    digits = found[1]
    if len(digits) > _DIGITS:
        digits = digits[0] + digits[1:].lstrip("0")[:_DIGITS]
    return min(max(int(digits if digits not in "+-" else "0"), _MIN), _MAX)


def real(text: str) -> float | str:
    """The number at the start of a text; 0.0 if there is none, the text itself if a double can't hold it."""
    found = _FLOAT.match(text)
    if found is None:
        return 0.0
    value = float(found[1])
    return value if value - value == 0 else text


def hexadecimal(text: str) -> int:
    """The base-16 number at the start of a text, with or without 0x, limited to 64 bits; 0 if there is none."""
    found = _HEX.match(text)
    return min(int(found[1], 16), _UMAX) if found is not None else 0


def truth(text: str) -> bool | str:
    """True or False if the text starts so, in any case; otherwise the text itself."""
    start = text[:5].lower()
    return True if start.startswith("true") else False if start == "false" else text


CONVERTERS: dict[str, Callable[[str], Any] | None] = {
    "integer": integer,
    "float": real,
    "bool": truth,
    "hex": hexadecimal,
    "string": None,
}
_ALIASES = {"int": "integer", "long": "integer", "number": "float", "double": "float", "boolean": "bool",
            "str": "string", "text": "string"}  # fmt: skip


def type_table(value: object) -> dict[str, str]:
    """Field to type name: "a:integer b:float" (blanks or commas between), a list of such, or a table.

    Raises BadValue naming the known types.
    """
    if isinstance(value, dict):
        pairs = [(str(field), str(kind)) for field, kind in value.items()]
    else:
        texts = value if isinstance(value, list) else [value]
        words = [word for text in texts for word in str(text).replace(",", " ").split()]
        pairs = [(field, kind) for field, _, kind in (word.rpartition(":") for word in words)]
    table = {}
    for field, kind in pairs:
        name = kind.strip().lower()
        name = _ALIASES.get(name, name)
        if not field:
            raise BadValue('pairs such as "size:integer temp:float"')
        if name not in CONVERTERS:
            near = nearest(name, [*CONVERTERS, *_ALIASES])
            hint = f'; "{kind}" is none of them' + (f', did you mean "{near}"?' if near else "")
            raise BadValue(f"of the types {', '.join(CONVERTERS)}{hint}")
        table[field] = name
    return table
