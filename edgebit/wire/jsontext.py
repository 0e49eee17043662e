"""JSON in lines that may be anything: a sensor's output, a pipe, a boot message in between.

Pure. Nothing in a line makes it raise, and what it returns can be carried by every format: no text that has no UTF-8
form (a lone surrogate written as an escape), no nesting that later code could not walk, no NaN.
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BRACKETS = re.compile(r"[\[\]{}]")
MAX_NESTING = 64  # levels; formats and the size account recurse, and no honest device comes near


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity are Python's extension, not JSON (RFC 8259, section 6)


decode = json.JSONDecoder(parse_constant=_refuse).raw_decode  # (text, at) -> (value, where it ends)


def values(line: str) -> list[Any]:
    """The objects and arrays that the line consists of, in order; [] if there is anything else in it."""
    opened = line.count("[") + line.count("{")
    if not opened or (opened > MAX_NESTING and not shallow(line)):
        return []
    found = []
    at, end = 0, len(line)
    try:
        while True:
            while at < end and line[at] in " \t\r\n":
                at += 1
            if at == end:
                break
            if line[at] not in "{[":
                return []
            value, at = decode(line, at)
            found.append(value)
        if ("\\ud" in line or "\\uD" in line) and not encodable(found):
            return []
    except ValueError:  # JSONDecodeError is one
        return []
    return found


def encodable(value: Any) -> bool:
    """Whether all text in it has a UTF-8 form: no lone surrogate, which an escape can write."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def shallow(line: str) -> bool:
    """Whether the line is nested at most MAX_NESTING deep; text in quotes may only make it look deeper."""
    depth = 0
    for char in _BRACKETS.findall(line):
        if char in "[{":
            depth += 1
            if depth > MAX_NESTING:
                return False
        else:
            depth -= 1
    return True
