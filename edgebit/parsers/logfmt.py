"""Lines of logfmt: ``key=value`` pairs with blanks between.

A value in double quotes may hold blanks and escapes (those of JSON; another escaped character stands for itself). A key
alone is true, or makes the line not match with `logfmt_no_bare_keys`; ``key=`` is an empty text like ``key=""`` (in
Fluent Bit it is true). A line without any key doesn't match. Options that convert or read a time don't change how
the other fields are read (in Fluent Bit they do).
"""

from __future__ import annotations

import re

from edgebit.options import Option, boolean
from edgebit.parsers.fields import FIELD_OPTIONS, TYPES_OPTION, FieldParser, of_other_formats
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.record import Record

_BARE = r"[^\x00-\x20=\"]"
# A key, what follows it from the "=" on, and what is in the quotes; the closing one is missing if the line was cut.
_PAIRS = re.compile(rf'({_BARE}++)(=(?:"([^"\\]*+(?:\\.?[^"\\]*+)*+)"?+|{_BARE}*+))?+', re.DOTALL).findall
_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}


def _character(found: re.Match[str]) -> str:
    high, low, four, char = found.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10 | int(low, 16) & 0x3FF))
    if four:
        code = int(four, 16)
        return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)  # half a pair is no text
    return _ESCAPED.get(char, char)


def _value(rest: str, quoted: str) -> str | bool:
    """The value of a key: the parts of a pair that `_PAIRS` finds behind it."""
    if rest[1:2] == '"':
        return _ESCAPE.sub(_character, quoted) if "\\" in quoted else quoted
    return rest[1:] if rest else True


class Logfmt(FieldParser):
    """Reads key=value pairs."""

    NAME = "logfmt"
    OPTIONS = (
        Option("logfmt_no_bare_keys", boolean, False, "a line with a key without a value doesn't match"),
        TYPES_OPTION,
        *FIELD_OPTIONS,
        *of_other_formats("regex", "skip_empty_values"),
    )

    def parse(self, line: str, now_ns: int) -> Record | None:
        pairs: list[tuple[str, str, str]] = _PAIRS(line)
        if not pairs:
            return None
        names, rests, quoted = zip(*pairs)
        if "" in rests and self.opt.logfmt_no_bare_keys:
            return None
        values: tuple[Any, ...] = tuple(map(_value, rests, quoted))
        shape = Shape.of(names)
        return (now_ns, shape, values) if self.plain else self.finish(now_ns, shape, values)
