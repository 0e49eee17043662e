"""Reading a JSON object (RFC 8259) from text that may be anything; what the parser and the decoder of JSON share."""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_DEPTH = 100
_SURROGATE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value - value:  # infinite: the difference is not a number, which is true
        raise ValueError("no double holds it")
    return value


_read = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant).raw_decode


def read_object(text: str, alone: bool = False) -> dict[str, Any] | None:
    """The object at the start of a text, blanks aside; None if there is none, or another one follows, or (`alone`) anything
    does."""
    start = 0
    if text[:1] != "{":
        start = len(text) - len(text.lstrip(" \t\r\n"))
        if text[start : start + 1] != "{":
            return None
    if "\\ud" in text or "\\uD" in text:
        text = _SURROGATE.sub(lambda m: "\\ufffd" if m[1] else m[0], text)
    try:
        found, end = _read(text, start)
        if end < len(text) and (rest := text[end:].lstrip(" \t\r\n")) and (alone or rest.lstrip(" \t\r\n,")[:1] == "{"):
            return None
        if text.count("{") + text.count("[") > MAX_DEPTH and _depth(found) > MAX_DEPTH:
            return None
    except (ValueError, RecursionError):
        return None
    return found  # type: ignore[no-any-return]  # it begins with a brace


def _depth(value: dict[str, object]) -> int:
    """How many lists and dicts are within one another; counted up to one more than is allowed."""
    level: list[Any] = [value]
    depth = 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)
                 if isinstance(inner, (dict, list))]  # fmt: skip
    return depth
