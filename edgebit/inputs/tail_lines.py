"""From a block of a file's bytes to records: tail's hot path. Pure: no file, clock or log.

Everything is done once a block where it can be: one decode, one split, one look for carriage returns, and tuples made
by zip rather than by a loop. Offsets are computed only for `offset_key`, because lines have to be measured for them in
bytes. Lines that belong together go another way, from `split` through tail_joining to `widened`.
"""

from __future__ import annotations

from itertools import accumulate, repeat

from edgebit.inputs.tail_charset import decode, sizes
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from edgebit.plugin import Parser
    from edgebit.record import Record


class Lines:
    """Makes records as `key`, `path_key`, `offset_key`, `skip_empty_lines` and `parser` ask for."""

    def __init__(self, key: str = "log", path_key: str = "", offset_key: str = "", skip_empty: bool = False,
                 parser: Parser | None = None) -> None:  # fmt: skip
        self._extra = tuple(name for name in (path_key, offset_key) if name)
        self._raw = Shape.of((*self._extra, key))
        self._unparsed = Shape((key,), interned=False)  # only to tell those records from parsed ones with that field
        self._wider: dict[Shape, Shape] = {}
        self._path, self._offset, self._skip_empty, self._parser = bool(path_key), bool(offset_key), skip_empty, parser

    def split(self, data: bytes, offset: int, codec: str, measure: bool) -> tuple[list[str], Iterable[int]]:
        """The lines of a block that starts at `offset`, and where each starts if they are to be measured.

        The last line may lack its line end. Bytes that are not UTF-8 become surrogate escapes.
        """
        text = data.decode("utf-8", "surrogateescape") if codec == "utf-8" else decode(data, codec, offset == 0)
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        if "\r" in text:
            lines = [line.removesuffix("\r") for line in lines]
        starts: Iterable[int] = ()
        if measure:
            starts = accumulate(sizes(data, codec), initial=offset)
        if self._skip_empty and "" in lines:
            if measure:
                starts = [start for start, line in zip(starts, lines) if line]
            lines = [line for line in lines if line]
        return lines, starts

    def records(self, data: bytes, path: str, offset: int, now_ns: int, codec: str) -> tuple[list[Record], int]:
        """The records of a block of lines, and how many of them the parser didn't match; see `split`."""
        lines, starts = self.split(data, offset, codec, self._offset)
        extra: list[Iterable[Any]] = []
        if self._path:
            extra.append(repeat(path))
        if self._offset:
            extra.append(starts)
        if self._parser is None:
            return list(zip(repeat(now_ns), repeat(self._raw), zip(*extra, lines))), 0
        if not extra:
            return self._parser.parse_lines(lines, now_ns, self._raw)
        records, misses = self._parser.parse_lines(lines, now_ns, self._unparsed)
        return self._widen(records, zip(*extra)), misses

    def widened(self, records: list[Record], path: str, starts: Iterable[int], raw_first: bool) -> list[Record]:
        """Joined records with path and offset: behind their fields, or as raw lines have them in front."""
        extra: list[Iterable[Any]] = []
        if self._path:
            extra.append(repeat(path))
        if self._offset:
            extra.append(starts)
        if not extra:
            return records
        if not raw_first:
            return self._widen(records, zip(*extra))
        return [(t, shape.derive(self._extra + shape.names), more + values)
                for (t, shape, values), more in zip(records, zip(*extra))]  # fmt: skip

    def _widen(self, records: list[Record], extra: Iterator[tuple[Any, ...]]) -> list[Record]:
        """As Fluent Bit has it: a parsed record has path and offset behind its fields, a raw line in front."""
        out: list[Record] = []
        for (time_ns, shape, values), more in zip(records, extra):
            if shape is self._unparsed:
                out.append((time_ns, self._raw, more + values))
            else:
                wider = self._wider.get(shape)
                if wider is None:
                    wider = shape.derive(shape.names + self._extra)
                    if shape.interned:  # so that the table stays as bounded as that of the shapes
                        self._wider[shape] = wider
                out.append((time_ns, wider, values + more))
        return out
