"""What the text formats have in common: a template per shape, filled once per record.

A template is a %-format string with one directive for the time, one for the number of the record, and one for each
value, in this order; ``%.0s`` takes its argument and writes nothing. It is kept in the shape's cache, unless the shape
is not interned: then it is made, used, and forgotten, on the same path. Next to it is the function that writes the
values: one in C that knows text only, until a record of the shape has anything else in it; from then on the general
one. No code is generated, so any field name is safe.

Where many records of one shape follow each other, as they mostly do, they are written by columns: what stands between
the directives is laid out once for all of them, and each field's texts are put in between with one slice assignment. It
is looked at once a column, not once a value, whether there is anything to escape. No step of it is Python per record.
"""

from __future__ import annotations

import re
from itertools import groupby

from edgebit.formats.dates import FORMATS
from edgebit.options import BadValue, Option, string
from edgebit.plugin import Format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from edgebit.record import Record, Shape


def date_key(value: object) -> str:
    """A field name; false means none."""
    text = string(value) if not isinstance(value, bool) else ("date" if value else "")
    return "" if text.strip().lower() in ("false", "off", "no") else text


def delimiter(value: object) -> str:
    """One character that can't begin a value, or its name."""
    text = string(value)
    text = {"comma": ",", "tab": "\t", "\\t": "\t", "space": " "}.get(text.strip().lower(), text)
    if len(text) != 1 or text.isalnum() or text in '"+-.\r\n' or "\ud800" <= text <= "\udfff":
        raise BadValue('comma, tab, space or one other character (not a letter, digit, quote, ".", "+" or "-")')
    return text


RECORD_OPTIONS = (
    Option("json_date_key", date_key, "date", "field that the time of a record is written to, the first; false: none"),
    Option("json_date_format", tuple(FORMATS), "double",
           "double: seconds with a fraction; epoch, epoch_ms: whole seconds or ms; the others: text in UTC"),
    Option("sequence_key", string, "", "field for the record's number in its stream, which tells of gaps and repeats"),
)  # fmt: skip


_RUN = 16  # records of one shape from which on columns are quicker
_DIRECTIVE = re.compile(r"%(s|\.0s|%)")


class Lines(Format):
    """Base of formats that write a record with a template. Subclasses set, in __init__:

    text, value   functions from a value to its text; `text` raises TypeError for what is not a str
    stamp         from wall time in ns to its text
    key           everything that `template` depends on; the shape's cache is shared by all formats of the process
    """

    content_type = "text/plain"
    stream = True

    text: Callable[[Any], str]
    value: Callable[[Any], str]
    stamp: Callable[[int], str]
    key: tuple[Any, ...]

    def template(self, shape: Shape) -> str:
        """The %-format string for records of this shape; see the module's docstring."""
        raise NotImplementedError

    def bare(self, texts: str) -> bool:
        """Whether texts, here one after the other, are written as they are, in quotes."""
        return False

    def written(self, records: Sequence[Record], first: int, lead: str = "", tail: str = "\n") -> str:
        """The text of all records, each between `lead` and `tail`. They are numbered from `first` on."""
        if records and [shape for _, shape, _ in records].count(records[0][1]) == len(records):
            runs = [list(records)]
        else:
            runs = [list(run) for _, run in groupby(records, lambda record: record[1])]
        out: list[str] = []
        short: list[Record] = []  # runs that are too short, together
        for run in [*runs, []]:
            if run and len(run) < _RUN:
                short += run
                continue
            if short:
                out += [f"{lead}{row}{tail}" for row in self.rows(short, range(first, first + len(short)))]
                first += len(short)
                short = []
            if run:
                out.append(self._columns(run, first, lead, tail))
                first += len(run)
        return "".join(out)

    def _columns(self, records: list[Record], first: int, lead: str, tail: str) -> str:
        """The same for records of one shape."""
        template, shown = self._entry(records[0][1])[2:]
        between = template.copy()
        between[0] = lead + between[0]
        between[-1] += tail
        times = [time_ns for time_ns, _, _ in records]
        values = list(zip(*[values for _, _, values in records]))
        columns: list[Any] = []
        for at, which in enumerate(shown):
            if which == 0:
                stamps = {time_ns: self.stamp(time_ns) for time_ns in set(times)}
                columns.append([stamps[time_ns] for time_ns in times])
            elif which == 1:
                columns.append([str(number) for number in range(first, first + len(records))])
            else:
                column = values[which - 2]
                try:
                    bare = self.bare("".join(column))
                except TypeError:
                    columns.append([self.value(value) for value in column])
                    continue
                if bare:
                    between[at] += '"'
                    between[at + 1] = '"' + between[at + 1]
                    columns.append(column)
                else:
                    columns.append([self.text(text) for text in column])
        width = 2 * len(shown) + 1
        row = [""] * width
        row[::2] = between
        pieces = row * len(records)
        for at, texts in enumerate(columns):
            pieces[2 * at + 1 :: width] = texts
        return "".join(pieces)

    def rows(self, records: Sequence[Record], numbers: Iterable[object]) -> list[str]:
        """The text of each record; `numbers` has what the second directive of the template is for."""
        out: list[str] = []
        add, stamp = out.append, self.stamp
        last_shape = last_time = None
        for number, (time_ns, shape, values) in zip(numbers, records):
            if shape is not last_shape:
                entry = self._entry(shape)
                template, write = entry[:2]
                last_shape = shape
            if time_ns != last_time:  # lines that were read together often share their time
                when = stamp(time_ns)
                last_time = time_ns
            try:
                add(template % (when, number, *map(write, values)))
            except TypeError:
                if write is self.value:
                    raise
                write = entry[1] = self.value
                add(template % (when, number, *map(write, values)))
        return out

    def _entry(self, shape: Shape) -> list[Any]:
        entry: list[Any] | None = shape.cache.get(self.key)
        if entry is None:
            template = self.template(shape)
            entry = [template, self.text, *_parts(template)]
            if shape.interned:
                shape.cache[self.key] = entry
        return entry


def _parts(template: str) -> tuple[list[str], list[int]]:
    """What stands between the directives of a template that write something, and which these are, from 0."""
    between, shown, number, at = [""], [], 0, 0
    for found in _DIRECTIVE.finditer(template):
        between[-1] += template[at : found.start()]
        at = found.end()
        if found[1] == "%":
            between[-1] += "%"
            continue
        if found[1] == "s":
            shown.append(number)
            between.append("")
        number += 1
    between[-1] += template[at:]
    return between, shown


def literal(text: str) -> str:
    """Text that stands for itself in a template."""
    return text.replace("%", "%%")
