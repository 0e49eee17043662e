"""What the inputs tcp and udp make of what they receive: JSON values, or text up to a separator, with or without a parser.

The fields are Fluent Bit's: an object is a record, an array becomes {"msg": [...]}, text {"log": "..."}. What is no JSON
where JSON was expected is kept as text and counted in `unparsed`. Empty text is left out.
"""

from __future__ import annotations

import re

from edgebit.inputs.added import Added
from edgebit.options import BadValue, Option, integer, plugin_ref, size, string
from edgebit.plugin import LOG
from edgebit.record import Shape, from_dict
from edgebit.wire.jsonstream import JsonStream
from edgebit.wire.separator import SeparatorSplitter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

MSG = Shape.of(("msg",))
_ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "\\": b"\\", "a": b"\a", "b": b"\b", "f": b"\f",
            "v": b"\v"}  # fmt: skip

_NO_TEXT = frozenset(("", "\n", "\r\n"))  # a line end is no text, whatever the separator is


def separator(value: object) -> bytes:
    r"""Text with the escapes \n \r \t \0 \\ \a \b \f \v and \x1f (any byte)."""
    what = r'text such as ";", "\r\n" or "\x03"'
    text = string(value)
    out = b""
    for plain, escape in re.findall(r"([^\\]+)|\\(x[0-9a-fA-F]{2}|.?)", text, re.DOTALL):
        if plain:
            out += plain.encode("utf-8", "surrogateescape")
        elif len(escape) == 3:
            out += bytes((int(escape[1:], 16),))
        elif escape in _ESCAPES:
            out += _ESCAPES[escape]
        else:
            raise BadValue(f"{what}, without the unknown escape \\{escape}")
    if not out:
        raise BadValue(what)
    return out


def kilobytes(value: object) -> int:
    """Bytes; a bare number counts as KiB, as in Fluent Bit."""
    text = str(value).strip()
    return size(f"{text}KiB") if text.isdecimal() else size(value)


OPTIONS = (
    Option("port", integer, 5170, "port to listen on; 0: any free one", minimum=0, maximum=65535),
    Option("format", ("json", "none"), "json", "json: objects one after the other; none: text up to the separator"),
    Option("separator", separator, b"\n", r'what ends a text, with escapes: ";", "\r\n", "\x03"',
           default_text=r"\n"),
    Option("buffer_size", kilobytes, 0, "the longest text or value; the rest of a longer one is cut off; a bare number is"
           " KiB", maximum=16 << 20, default_text="chunk_size"),
    Option("chunk_size", kilobytes, 32768, "the buffer_size, if that is not given", minimum=256, maximum=16 << 20,
           default_text="32 (KiB)"),
    Option("parser", plugin_ref, None, "the parser that texts go through; then format is none"),
    Option("workers", integer, 1, "without effect: one thread does it all"),
)  # fmt: skip


class Payload:
    """Splits what comes, makes records of it and hands them over."""

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        self._ctx, self._parser = ctx, opt.parser
        self._added = Added(opt.source_address_key) if opt.source_address_key else None
        self._json: bool = opt.format == "json" and opt.parser is None
        self._separator: bytes = opt.separator
        self.limit: int = opt.buffer_size or opt.chunk_size

    def splitter(self) -> JsonStream | SeparatorSplitter:
        """A new one: for a connection, or for one datagram."""
        if self._json:
            return JsonStream(self.limit, self._separator.decode("utf-8", "surrogateescape"))
        return SeparatorSplitter(self._separator, self.limit)

    def take_datagrams(self, batch: list[bytes], sources: Iterable[str]) -> None:
        """Datagrams, each of which is whole, and who sent each."""
        frames, counts, cut = self._datagrams(batch)
        each = (source for source, count in zip(sources, counts) for _ in range(count))
        self.take(frames, each, sum(map(len, batch)), cut)

    def take(self, frames: list[Any], sources: Iterable[str], raw: int, cut: int) -> None:
        """What a splitter has given, without empty texts; who sent each, the bytes they came in, how many were cut."""
        if cut:
            self._ctx.stats.add("truncated", cut)
        if not frames:
            return
        records = self._records(frames, self._ctx.clock.wall_ns())
        if self._added is not None:
            records = self._added(records, zip(sources))
        self._ctx.emit(self._ctx.tag, records, raw)

    def _datagrams(self, batch: list[bytes]) -> tuple[list[Any], list[int], int]:
        """The frames of datagrams; how many each has given, if that is asked for; how many were cut."""
        if not (self._json or self._added is not None) and len(self._separator) == 1:
            batch = [self._separator.join(batch)]  # the same texts, at a tenth of the cost
        frames: list[Any] = []
        counts = []
        splitter = self.splitter()
        for data in batch:
            found = splitter.whole(data)
            if not self._json and not _NO_TEXT.isdisjoint(found):
                found = [text for text in found if text not in _NO_TEXT]
            frames += found
            counts.append(len(found))
        return frames, counts, splitter.truncated

    def _records(self, frames: list[Any], now_ns: int) -> list[Record]:
        if self._parser is not None:
            records, misses = self._parser.parse_lines(frames, now_ns, LOG)
            if misses:
                self._ctx.stats.add("unparsed", misses)
            return records  # type: ignore[no-any-return]  # an option's value is Any
        if not self._json:
            return [(now_ns, LOG, (text,)) for text in frames]
        return [from_dict(now_ns, value) if type(value) is dict else self._other(value, now_ns) for value in frames]

    def _other(self, value: Any, now_ns: int) -> Record:
        if isinstance(value, list):
            return (now_ns, MSG, (value,))
        self._ctx.stats.add("unparsed")
        return (now_ns, LOG, (value,))
