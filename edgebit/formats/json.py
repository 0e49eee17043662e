"""Formats json, json_lines, json_stream, plain and out_file: JSON (RFC 8259) as Fluent Bit writes it.

No blanks; the date is the first field; of equal field names the last one is written, in its place; text is escaped to
ASCII unless json.escape_unicode is off. Floats have 16 significant digits, or are whole and end in ".0". What JSON has no
word for: NaN and infinities become null, each byte that was not UTF-8 becomes U+FFFD.
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring, encode_basestring_ascii

from edgebit.formats.dates import FORMATS, seconds_float, seconds_text
from edgebit.formats.lines import RECORD_OPTIONS, Lines, literal
from edgebit.options import Option, boolean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.options import Options
    from edgebit.record import Chunk, Shape

_ESCAPE = Option("json.escape_unicode", boolean, True, "write characters beyond ASCII as \\uXXXX")

_SURROGATE = re.compile("[\ud800-\udfff]")
# Escaped, a surrogate is right only as the second half of a pair. An escaped backslash is matched to be stepped over.
_LONE_ESCAPE = re.compile(r"(\\\\|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|\\ud[89a-f][0-9a-f]{2}")


def clean_ascii(text: str) -> str:
    """Escaped JSON text with U+FFFD in place of lone surrogates, which stand for bytes that were not UTF-8."""
    # Mostly there is no such escape at all, and finding that out is quick.
    return _LONE_ESCAPE.sub(lambda m: m[1] or "\\ufffd", text) if "\\ud" in text else text


def number(value: float) -> str:
    """A float in JSON: whole numbers that 64 bits hold with all their digits and ".0", the others with 16 digits."""
    if value.is_integer() and -(2.0**63) <= value < 2.0**63:
        return f"{value:.1f}"
    text = f"{value:.16g}"
    return text if text[-1].isdigit() else "null"


def seconds(time_ns: int) -> str:
    """The default date: `number` of seconds, by the shortest way since every record has one."""
    text = f"{time_ns / 10**9:.16g}"
    return text if "." in text else number(time_ns / 10**9)


def writer(quote: Callable[[str], str]) -> Callable[[Any], str]:
    """A function that writes any value as JSON, text with `quote`."""

    def write(value: Any) -> str:
        return table.get(type(value), other)(value)

    def mapping(value: dict[Any, Any]) -> str:
        return "{" + ",".join([f"{name(k)}:{write(v)}" for k, v in value.items()]) + "}"

    def sequence(value: list[Any]) -> str:
        return "[" + ",".join(map(write, value)) + "]"

    def name(value: Any) -> str:
        return quote(value if isinstance(value, str) else write(value))

    def other(value: Any) -> str:
        for kind, one in table.items():
            if isinstance(value, kind):
                return one(value)
        # Nothing of ours makes such a value; a plugin's record shall come out all the same.
        return quote(value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value))

    table: dict[type, Callable[[Any], str]] = {
        str: quote,
        int: int.__repr__,
        float: number,
        bool: {True: "true", False: "false"}.__getitem__,
        type(None): lambda value: "null",
        dict: mapping,
        list: sequence,
        tuple: sequence,
    }
    return write


_WRITERS = {True: (encode_basestring_ascii, writer(encode_basestring_ascii)),
            False: (encode_basestring, writer(encode_basestring))}  # fmt: skip


class Objects(Lines):
    """Base of the formats here: a record as a JSON object."""

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        self.ascii: bool = opt.json_escape_unicode
        self.text, self.value = _WRITERS[self.ascii]
        self.lead: tuple[str, str] = ("", "")  # names of the date and the sequence number, "" for none
        self.dated = False  # what belongs to the event, time and metadata, is written too
        self.key = (Objects, self.ascii, self.lead)

    def template(self, shape: Shape) -> str:
        keys = [self.clean(self.text(name)) for name in (*self.lead, *shape.names)]
        last = {key: i for i, key in enumerate(keys)}  # of equal names the last one counts
        parts, hidden = [], ""
        for i, key in enumerate(keys):
            if last[key] == i and (i > 1 or self.lead[i]):
                parts.append(f"{hidden}{literal(key)}:%s")
                hidden = ""
            else:
                hidden += "%.0s"
            if i == 1 and shape.metadata and self.dated:
                parts.append(
                    f'{hidden}"__internal__":{literal(self.clean(self.value({"log_metadata": shape.metadata})))}'
                )
                hidden = ""
        return "{" + ",".join(parts) + hidden + "}"

    def bare(self, texts: str) -> bool:
        return ('"' not in texts and "\\" not in texts and texts.isprintable()
                and (texts.isascii() if self.ascii else True))  # fmt: skip

    def clean(self, text: str) -> str:
        """The same for text that may not be escaped."""
        if self.ascii:
            return clean_ascii(text)
        return _SURROGATE.sub("\ufffd", text)

    def encoded(self, text: str) -> bytes:
        try:
            return self.clean(text).encode("ascii") if self.ascii else text.encode()
        except UnicodeEncodeError:
            return self.clean(text).encode()


class _Dated(Objects):
    OPTIONS = (*RECORD_OPTIONS, _ESCAPE)

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        self.lead = (opt.json_date_key, opt.sequence_key)
        self.dated = True
        self.key = (_Dated, self.ascii, self.lead)
        stamp = FORMATS[opt.json_date_format]
        self.stamp = seconds if stamp is seconds_float else lambda time_ns: self.value(stamp(time_ns))


class Json(_Dated):
    """One JSON array a batch."""

    NAME = "json"
    content_type = "application/json"
    stream = False

    def encode(self, chunk: Chunk) -> bytes:
        return self.encoded("[" + self.written(chunk.records, chunk.seq, tail=",")[:-1] + "]")


class JsonLines(_Dated):
    """One JSON object a line."""

    NAME = "json_lines"
    content_type = "application/x-ndjson"

    def encode(self, chunk: Chunk) -> bytes:
        return self.encoded(self.written(chunk.records, chunk.seq))


class JsonStream(_Dated):
    """JSON objects with nothing between them."""

    NAME = "json_stream"
    content_type = "application/json"

    def encode(self, chunk: Chunk) -> bytes:
        return self.encoded(self.written(chunk.records, chunk.seq, tail=""))


class Plain(Objects):
    """One JSON object a line, without the time."""

    NAME = "plain"
    OPTIONS = (_ESCAPE,)
    content_type = "application/x-ndjson"

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        self.stamp = lambda time_ns: ""

    def encode(self, chunk: Chunk) -> bytes:
        return self.encoded(self.written(chunk.records, chunk.seq))


class OutFile(Objects):
    """Fluent Bit's default for files: ``tag: [1700000000.123456789, {"k":"v"}]`` a line."""

    NAME = "out_file"
    OPTIONS = (_ESCAPE,)

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        self.stamp = seconds_text
        self.key = (OutFile, self.ascii)

    def template(self, shape: Shape) -> str:
        return "[%s, {" + super().template(shape).removeprefix("{%.0s") + "]"

    def encode(self, chunk: Chunk) -> bytes:
        head = chunk.tag.encode("utf-8", "replace").decode() + ": "
        return self.encoded(self.written(chunk.records, chunk.seq, lead=head))
