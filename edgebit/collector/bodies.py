"""What comes in a request's body, as one JSON text a record, without line ends: ready to be written as JSON lines.

JSON stays as it was sent, to the digit: it is checked, cut at its values and not written anew. CBOR and cbor_rows are
converted; what JSON has no word for becomes the nearest: bytes become text (what isn't UTF-8 in it as ``\\udcXX``
escapes, from which the bytes can be had back), NaN and infinity null, other things their str().

Pure: bytes in, texts out. Whatever is wrong with a body is a ValueError that says so.
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

TAKEN = "JSON, JSON lines, CBOR and cbor_rows"
_JSON_TYPES = frozenset(("application/json", "application/x-ndjson", "application/ndjson", "application/jsonl",
    "application/x-jsonlines", "application/json-seq", "text/json"))  # fmt: skip
# What curl and simple clients send when nobody told them; taken if it looks like JSON.
_UNSAID = frozenset(("", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream"))
_CBOR_TYPES = frozenset(("application/cbor", "application/cbor-seq"))


class UnknownType(ValueError):
    """The content type is none that is taken."""


def lines(content_type: str, body: bytes) -> list[str]:
    """The records of a body of JSON or CBOR. Raises UnknownType, or ValueError for a body that is damaged."""
    media = content_type.partition(";")[0].strip().lower()
    if media in _JSON_TYPES or media.endswith("+json") or (media in _UNSAID and body.lstrip()[:1] in (b"{", b"[")):
        return json_lines(body)
    if media in _CBOR_TYPES:
        return cbor_lines(body)
    raise UnknownType(f'content type "{media}" is not taken; {TAKEN} are')


# -- JSON --------------------------------------------------------------------------------------------------------------


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_scan = json.JSONDecoder(parse_constant=_no_constant).scan_once  # type: ignore[attr-defined]  # not in typeshed: (text, index) -> (value, end), or StopIteration
_blank = re.compile(r"[ \t\n\r\x1e]*").match  # 1e: the record separator of RFC 7464
# A line end is never inside a string, so the blanks around it are insignificant.
_fold = re.compile(r"[ \t]*[\r\n][ \t\r\n]*").sub


def json_lines(body: bytes) -> list[str]:
    """The objects of an array, of one value after the other, or of both mixed. Raises ValueError."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    found: list[str] = []
    at, end = _skip(text, 0), len(text)
    while at < end:
        if text[at] == "[":
            at = _array(text, at, found)
        else:
            at = _object(text, at, found)
    return found


def _array(text: str, at: int, found: list[str]) -> int:
    """Read the array whose bracket is at `at`; the index behind it and the blanks that follow."""
    start, at = at, _skip(text, at + 1)
    if text[at : at + 1] == "]":
        return _skip(text, at + 1)
    while True:
        at = _object(text, at, found)
        sign = text[at : at + 1]
        if sign == "]":
            return _skip(text, at + 1)
        if sign != ",":
            raise ValueError(f"the array that begins at character {start} is not closed"
                             if not sign else f"no comma at character {at}")  # fmt: skip
        at = _skip(text, at + 1)


def _object(text: str, at: int, found: list[str]) -> int:
    """Read one object; the index behind it and the blanks that follow."""
    try:
        value, end = _scan(text, at)
    except StopIteration as error:
        raise ValueError(f"not JSON at character {error.value}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if type(value) is not dict:
        raise ValueError(f"record {len(found) + 1} is not an object")
    line = text[at:end]
    found.append(_fold("", line) if "\n" in line or "\r" in line else line)
    return _skip(text, end)


def _skip(text: str, at: int) -> int:
    found = _blank(text, at)
    assert found is not None  # it matches the empty string
    return found.end()


# -- CBOR --------------------------------------------------------------------------------------------------------------


def cbor_lines(body: bytes) -> list[str]:
    """The maps of an array, or of a sequence of maps and arrays (RFC 8742). Raises ValueError."""
    from io import BytesIO

    import cbor2

    stream = BytesIO(body)
    decoder = cbor2.CBORDecoder(stream)
    records: list[Any] = []
    try:
        while stream.tell() < len(body):
            value = decoder.decode()
            records += value if isinstance(value, list) else [value]
    except (cbor2.CBORError, ValueError, EOFError, RecursionError, ArithmeticError, TypeError, MemoryError) as error:
        raise ValueError(f"not CBOR: {error}") from None
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise ValueError(f"record {number} is not a map")
    return encode(records)


def encode(records: Iterable[dict[Any, Any]]) -> list[str]:
    """Records as JSON texts that can be written as UTF-8. Raises ValueError for what is nested too deeply."""
    try:
        return [_encode(record) for record in records]
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _encode(record: dict[Any, Any]) -> str:
    try:
        line = _compact(record)
    except (ValueError, TypeError):  # NaN, a circle, a key that isn't text
        line = _compact(_plain(record))
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(_plain(record), separators=(",", ":"))  # in ASCII, with escapes
    return line


def _other(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    """The same in JSON's terms."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _other(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value if value is None or isinstance(value, (str, int)) else _other(value)


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_other).encode
