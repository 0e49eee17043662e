"""Formats csv and ltsv: a line a record with the values in the order of its fields.

The layout is Fluent Bit's: ``1700000000.123456789,"text",5,1.500000,true,nil,{"k"=>1}``. With csv_quote rfc4180 (the
default) quotes within text are doubled and nested values are quoted like text, so that any CSV reader finds the columns
again (RFC 4180, section 2, but lines end in LF). With fluent-bit nothing is escaped and the bytes are the same as there.
Records with other fields have other columns: nothing is aligned. Bytes that were not UTF-8 come out as those bytes.
"""

from __future__ import annotations

from edgebit.formats.cells import cell, utf8
from edgebit.formats.dates import seconds_float, seconds_text
from edgebit.formats.lines import Lines, delimiter, literal
from edgebit.options import Option, boolean, string
from edgebit.plugin import Format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from edgebit.options import Options
    from edgebit.record import Chunk, Shape


class Csv(Format):
    """A line a record: time, then its values, text in quotes."""

    NAME = "csv"
    OPTIONS = (
        Option("delimiter", delimiter, ",", "comma, tab, space or any other character between the values"),
        Option("csv_quote", ("rfc4180", "fluent-bit"), "rfc4180", "rfc4180: quotes in text are doubled; fluent-bit: not"),
        Option("csv_column_names", boolean, False, "a line of column names before the first record of a file or message"
               " and where the fields change"),
        Option("sequence_key", string, "", "column after the time for the record's number in its stream"),
    )  # fmt: skip
    CLASSIC: ClassVar[dict[str, str]] = {"csv_quote": "fluent-bit"}
    content_type = "text/csv"
    stream = True

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        self.doubled = opt.csv_quote == "rfc4180"

    def encode(self, chunk: Chunk) -> bytes:
        opt, doubled = self.opt, self.doubled
        comma, header, numbered = opt.delimiter, opt.csv_column_names, opt.sequence_key
        join = f'"{comma}"'.join
        out: list[str] = []
        add = out.append
        mixed: set[Shape] = set()  # shapes whose records have other values than text, as far as seen in this batch
        last_shape = last_time = None
        for seq, (time_ns, shape, values) in enumerate(chunk.records, chunk.seq):
            if time_ns != last_time:  # lines that were read together often share their time
                when = seconds_text(time_ns)
                last_time = time_ns
            if shape is not last_shape:
                all_text = shape not in mixed
                if header:
                    add(self._header(shape))
                last_shape = shape
            lead = f"{when}{comma}{seq}" if numbered else when
            # Mostly all values are text without quotes, and then one join makes the line. It raises for anything else.
            line = ""
            if all_text:
                try:
                    line = join(values)
                except TypeError:
                    mixed.add(shape)
                    all_text = False
            if line and (not doubled or line.count('"') == 2 * len(values) - 2):
                add(f'{lead}{comma}"{line}"\n')
            else:
                add(comma.join((lead, *map(self._cell, values))) + "\n")
        return utf8("".join(out))

    def _cell(self, value: Any) -> str:
        text: str = value if isinstance(value, str) else cell(value)
        if text is not value and (not self.doubled or text[0] not in '"{['):
            return text
        if self.doubled:
            text = text.replace('"', '""')
        return f'"{text}"'

    def _header(self, shape: Shape) -> str:
        """Column names; always one line, whatever is in a name, so that a file knows it again."""
        names = [self._cell(" ".join(name.splitlines())) for name in shape.names]
        if self.opt.sequence_key:
            names.insert(0, self._cell(self.opt.sequence_key))
        comma: str = self.opt.delimiter
        return comma.join(("timestamp", *names)) + "\n"


class Ltsv(Lines):
    """A line a record of "label":value pairs, Fluent Bit's kind of LTSV: labels and text in quotes, nothing escaped."""

    NAME = "ltsv"
    OPTIONS = (
        Option("delimiter", delimiter, "\t", "comma, tab, space or any other character between the pairs"),
        Option("label_delimiter", delimiter, ":", "the same between label and value"),
    )
    text = value = staticmethod(cell)

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        self.key = (Ltsv, opt.delimiter, opt.label_delimiter)
        self.stamp = lambda time_ns: f"{seconds_float(time_ns):f}"

    def template(self, shape: Shape) -> str:
        colon, comma = literal(self.opt.label_delimiter), literal(self.opt.delimiter)
        pairs = [f'"{literal(name)}"{colon}%s' for name in shape.names]
        return comma.join([f'"time"{colon}%s%.0s', *pairs]) + "\n"

    def encode(self, chunk: Chunk) -> bytes:
        return utf8("".join(self.rows(chunk.records, range(chunk.count))))
