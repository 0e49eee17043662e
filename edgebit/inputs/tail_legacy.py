"""Fluent Bit's older ways to join lines, `multiline` and `docker_mode`. Pure: no file, clock or log.

FirstLine: a line that `parser_firstline` takes begins a record with its fields. Lines that follow are appended to the last
of them that is text, with a newline between; one that parser_1 … parser_9 takes adds its fields instead. Lines before
any first line are records of their own, in their place.

DockerMode: docker's JSON lines, of which it cuts long ones into parts, are joined until `log` ends with a newline; with a
parser for first lines, until the next of these. The joined line has the other fields of its last part, and goes on to
`parser` or stands as text.

Both work as parsers.multiline.Joiner does. Different from Fluent Bit: a blank line is a part as any other, and text is
handed over when LIMIT is reached.
"""

from __future__ import annotations

import json

from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from edgebit.plugin import Parser
    from edgebit.record import Record

    Done = tuple[list[Record], list[Any]]

LIMIT = 2 << 20  # characters of a record
_MISS = Shape(("log",), interned=False)  # marks what a parser doesn't take


class _Timed:
    """What both have: one record that is not complete, its age, and what is complete."""

    def __init__(self, timeout: float, key: str) -> None:
        self._timeout, self._raw, self._key = timeout, Shape.of((key,)), key
        self._records: list[Record] = []
        self._starts: list[Any] = []
        self._at: Any = None
        self._touched = 0.0
        self._parts: list[str] = []
        self._size = 0

    @property
    def oldest(self) -> Any:
        return self._at

    @property
    def deadline(self) -> float | None:
        return self._touched + self._timeout if self._at is not None else None

    def flush(self, monotonic: float | None = None) -> Done:
        due = self.deadline
        if due is not None and (monotonic is None or monotonic >= due):
            self._finish()
        return self._done()

    def _finish(self) -> None:
        raise NotImplementedError

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text) + 1

    def _done(self) -> Done:
        done = self._records, self._starts
        self._records, self._starts = [], []
        return done


class FirstLine(_Timed):
    """See the module's docstring."""

    def __init__(self, first: Parser, others: Sequence[Parser], timeout: float, key: str) -> None:
        super().__init__(timeout, key)
        self._first, self._others = first, others
        self._time_ns = 0
        self._fields: list[tuple[str, Any]] = []

    def feed(self, lines: Sequence[str], now_ns: int, monotonic: float, at: Sequence[Any] | None = None) -> Done:
        firsts = self._first.parse_lines(lines, now_ns, _MISS)[0]
        for i, (line, (time_ns, shape, values)) in enumerate(zip(lines, firsts)):
            where = at[i] if at is not None else i
            if shape is not _MISS:
                self._finish()
                self._at, self._time_ns, self._fields = where, time_ns, list(zip(shape.names, values))
            elif self._at is None:
                self._records.append((now_ns, self._raw, (line,)))
                self._starts.append(where)
                continue
            elif (more := self._parse(line, now_ns)) is not None:
                self._close_text()
                self._fields += zip(more[1].names, more[2])
            else:
                self._append(line)
            self._touched = monotonic
            if self._size > LIMIT:
                self._finish()
        return self._done()

    def _parse(self, line: str, now_ns: int) -> Record | None:
        for parser in self._others:
            record: Record = parser.parse_lines((line,), now_ns, _MISS)[0][0]
            if record[1] is not _MISS:
                return record
        return None

    def _close_text(self) -> None:
        """Put the lines that were appended behind the last field that is text, or make a field of them."""
        if not self._parts:
            return
        fields = self._fields
        for i in range(len(fields) - 1, -1, -1):
            name, value = fields[i]
            if type(value) is str:
                fields[i] = (name, "\n".join((value, *self._parts)))
                break
        else:
            fields.append((self._key, "\n".join(self._parts)))
        self._parts, self._size = [], 0

    def _finish(self) -> None:
        if self._at is None:
            return
        self._close_text()
        names, values = zip(*self._fields) if self._fields else ((), ())
        if names:
            self._records.append((self._time_ns, Shape.of(names), tuple(values)))
            self._starts.append(self._at)
        self._fields, self._at = [], None


class DockerMode(_Timed):
    """See the module's docstring."""

    def __init__(self, timeout: float, first: Parser | None, parser: Parser | None, key: str) -> None:
        super().__init__(timeout, key)
        self._first, self._parser = first, parser
        self._fields: dict[str, Any] = {}
        self._now_ns = 0

    def feed(self, lines: Sequence[str], now_ns: int, monotonic: float, at: Sequence[Any] | None = None) -> Done:
        self._now_ns = now_ns
        for i, line in enumerate(lines):
            where = at[i] if at is not None else i
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):
                fields = None
            text = fields.get("log") if isinstance(fields, dict) else None
            if not isinstance(text, str):
                self._finish()
                self._hand_over(line, where)
                continue
            if self._first is not None and self._at is not None and self._begins(text):
                self._finish()
            if self._at is None:
                self._at = where
            self._append(text)
            self._fields, self._touched = fields, monotonic
            if (self._first is None and text.endswith("\n")) or self._size > LIMIT:
                self._finish()
        return self._done()

    def _begins(self, text: str) -> bool:
        """Whether it is a first line: only after a whole one, not in the middle of one that docker cut."""
        if self._first is None or not self._parts[-1].endswith("\n"):
            return False
        return self._first.parse(text.removesuffix("\n"), self._now_ns) is not None

    def _finish(self) -> None:
        if self._at is None:
            return
        fields = {**self._fields, "log": "".join(self._parts)}
        self._hand_over(json.dumps(fields, ensure_ascii=False, separators=(",", ":")), self._at)
        self._parts, self._size, self._fields, self._at = [], 0, {}, None

    def _hand_over(self, line: str, where: Any) -> None:
        if self._parser is None:
            self._records.append((self._now_ns, self._raw, (line,)))
        else:
            self._records += self._parser.parse_lines((line,), self._now_ns, self._raw)[0]
        self._starts.append(where)
