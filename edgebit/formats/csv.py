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
    from collections.abc import Sequence
    from typing import Any, ClassVar

    from edgebit.options import Options
    from edgebit.record import Chunk, Record, Shape


class Csv(Format):
    """A line a record: time, then its values, text in quotes."""

    NAME = "csv"
    OPTIONS = (
        Option("delimiter", delimiter, ",", "comma, tab, space or any other character between the values"),
        Option("csv_quote", ("rfc4180", "fluent-bit"), "rfc4180", "rfc4180: quotes in text are doubled; fluent-bit: not"),
        Option("csv_column_names", boolean, False, "a line of column names before the first record of a file or message"),
        Option("csv_column_names_again", boolean, True, "another line of them where the fields change"),
        Option("sequence_key", string, "", "column after the time for the record's number in its stream"),
    )  # fmt: skip
    CLASSIC: ClassVar[dict[str, str]] = {"csv_quote": "fluent-bit", "csv_column_names_again": "off"}
    content_type = "text/csv"
    stream = True

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        self.doubled = opt.csv_quote == "rfc4180"

    def encode(self, chunk: Chunk) -> bytes:
        opt = self.opt
        comma, header, numbered = opt.delimiter, opt.csv_column_names, opt.sequence_key
        again = opt.csv_column_names_again
        records = chunk.records
        if records and not numbered and [shape for _, shape, _ in records].count(records[0][1]) == len(records):
            text = self._all_text(records)
            if text:
                return utf8((self._header(records[0][1]) if header else "") + text)
        out: list[str] = []
        add = out.append
        last_shape = last_time = None
        for seq, (time_ns, shape, values) in enumerate(records, chunk.seq):
            if time_ns != last_time:  # lines that were read together often share their time
                when = seconds_text(time_ns)
                last_time = time_ns
            if shape is not last_shape:
                if header:
                    add(self._header(shape))
                    header = again
                last_shape = shape
            lead = f"{when}{comma}{seq}" if numbered else when
            add(comma.join((lead, *map(self._cell, values))) + "\n")
        return utf8("".join(out))

    def _all_text(self, records: Sequence[Record]) -> str:
        """Records of one shape if all values are text that needs no escaping, which is what most logs are; else "".

        No step of it is Python per record, but for their times where they differ.
        """
        width, comma = len(records[0][2]), self.opt.delimiter
        if not width:
            return ""
        try:
            lines = list(map(f'"{comma}"'.join, [values for _, _, values in records]))
        except TypeError:
            return ""
        times = [time_ns for time_ns, _, _ in records]
        leads = {time_ns: f'{seconds_text(time_ns)}{comma}"' for time_ns in set(times)}
        pieces = ['"\n'] * (3 * len(lines))
        pieces[::3] = [leads[time_ns] for time_ns in times]
        pieces[1::3] = lines
        text = "".join(pieces)
        return text if not self.doubled or text.count('"') == 2 * width * len(lines) else ""

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
        return comma.join([f'"time"{colon}%s%.0s', *pairs])

    def bare(self, texts: str) -> bool:
        return True

    def encode(self, chunk: Chunk) -> bytes:
        return utf8(self.written(chunk.records, chunk.seq))
