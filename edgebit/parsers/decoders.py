"""The options `decode_field_as` and `decode_field`: field values that are themselves written in a format.

    decode_field_as json log              the value is replaced by what it decodes to
    decode_field    json log              the decoded keys are added at the end of the record, the field stays
    decode_field_as escaped_utf8 log do_next

json decodes objects only. escaped knows C's escapes (another escaped character stands for itself), escaped_utf8 also JSON's
and numeric ones, mysql_quoted takes text in quotes. Steps of one field are done in order up to the first; an action lets
the next one follow: try_next if it fails, do_next always, with what it made. Only texts are decoded.
"""

from __future__ import annotations

import re

from edgebit.errors import nearest
from edgebit.options import BadValue
from edgebit.parsers.objects import read_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from edgebit.record import Record

    Step = tuple[str, str, str]  # decoder, field, action

_CHARS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_WIDE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?:u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|x([0-9a-fA-F]{1,2}))|([0-7]{1,3})|(.))",
    re.DOTALL,
)
_MYSQL = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "Z": "\x1a"}
ACTIONS = ("try_next", "do_next")


def _object(text: str) -> dict[str, Any] | None:
    return read_object(text, alone=True)


def escaped(text: str) -> str:
    """C's escapes replaced."""
    return _ESCAPE.sub(lambda m: _CHARS.get(m[1], m[1]), text) if "\\" in text else text


def _wide(found: re.Match[str]) -> str:
    high, low, four, eight, two, octal, char = found.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10 | int(low, 16) & 0x3FF))
    if char:
        return _CHARS.get(char, char)
    code = int(octal, 8) if octal else int(four or eight or two, 16)
    return "\ufffd" if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF else chr(code)


def escaped_utf8(text: str) -> str:
    r"""C's, JSON's and numeric escapes (\u00e9, \x41, \101) replaced; what is no character becomes U+FFFD."""
    return _WIDE.sub(_wide, text) if "\\" in text else text


def mysql_quoted(text: str) -> str | None:
    """The inside of single or double quotes with MySQL's escapes replaced; None if it isn't quoted."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        return None
    return _ESCAPE.sub(lambda m: _MYSQL.get(m[1], m[1]), text[1:-1])


DECODERS: dict[str, Callable[[str], Any]] = {
    "json": _object,
    "escaped": escaped,
    "escaped_utf8": escaped_utf8,
    "mysql_quoted": mysql_quoted,
}


def step(value: object) -> Step:
    """The type of the options: "DECODER FIELD [ACTION]". Raises BadValue."""
    words = (
        value.split() if isinstance(value, str) else [str(word) for word in value] if isinstance(value, list) else []
    )
    if len(words) not in (2, 3):
        raise BadValue('a decoder, a field and perhaps an action, such as "json log" or "escaped log do_next"')
    decoder, field, action = words[0].lower(), words[1], words[2].lower() if len(words) > 2 else ""
    for name, known in ((decoder, tuple(DECODERS)), (action, (*ACTIONS, ""))):
        if name not in known:
            near = nearest(name, list(known))
            hint = f' (did you mean "{near}"?)' if near else ""
            raise BadValue(
                f"a decoder ({', '.join(DECODERS)}), a field and perhaps an action ({', '.join(ACTIONS)}){hint}"
            )
    return decoder, field, action


class Decoders:
    """What is to be decoded in the records of one parser."""

    def __init__(self, adding: Iterable[Step], replacing: Iterable[Step]) -> None:
        self._fields: dict[str, list[tuple[Callable[[str], Any], bool, str]]] = {}
        for steps, replaces in ((replacing, True), (adding, False)):
            for decoder, field, action in steps:
                self._fields.setdefault(field, []).append((DECODERS[decoder], replaces, action))

    def apply(self, record: Record) -> Record:
        """The record with its fields decoded."""
        time_ns, shape, values = record
        added: dict[str, Any] = {}
        for field, steps in self._fields.items():
            at = shape.index.get(field, -1)
            if at < 0 or not isinstance(values[at], str):
                continue
            value = values[at]
            text: Any = value
            for decode, replaces, action in steps:
                decoded = decode(text)
                if decoded is not None:
                    text = decoded
                    if replaces:
                        value = decoded
                    elif isinstance(decoded, dict):
                        added |= decoded
                if not (action == "do_next" or (action == "try_next" and decoded is None)) or not isinstance(text, str):
                    break
            values = (*values[:at], value, *values[at + 1 :])
        if added:
            return (time_ns, shape.derive((*shape.names, *added)), (*values, *added.values()))
        return (time_ns, shape, values)
