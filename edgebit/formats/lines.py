"""What the text formats have in common: a template per shape, filled once per record.

A template is a %-format string with one directive for the time, one for the number of the record, and one for each
value, in this order; ``%.0s`` takes its argument and writes nothing. It is kept in the shape's cache, unless the shape
is not interned: then it is made, used, and forgotten, on the same path. Next to it is the function that writes the
values: one in C that knows text only, until a record of the shape has anything else in it; from then on the general
one. No code is generated, so any field name is safe.
"""

from __future__ import annotations

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

    def rows(self, records: Sequence[Record], numbers: Iterable[object]) -> list[str]:
        """The text of each record; `numbers` has what the second directive of the template is for."""
        out: list[str] = []
        add, stamp = out.append, self.stamp
        last_shape = last_time = None
        for number, (time_ns, shape, values) in zip(numbers, records):
            if shape is not last_shape:
                entry = self._entry(shape)
                template, write = entry
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
            entry = [self.template(shape), self.text]
            if shape.interned:
                shape.cache[self.key] = entry
        return entry


def literal(text: str) -> str:
    """Text that stands for itself in a template."""
    return text.replace("%", "%%")
