"""Formats text and template: Fluent Bit's plain text forms, for eyes rather than for machines.

text is what its stdout output prints by default: ``[0] tag: [[1700000000.123456789, {}], {"k"=>"v", "n"=>5}]``. Text
stands between quotes as it is, nothing in it is escaped, and bytes that were not UTF-8 come out as those bytes.
"""

from __future__ import annotations

import re

from edgebit.formats.cells import cell, utf8
from edgebit.formats.dates import seconds_float, seconds_text
from edgebit.formats.lines import Lines, literal
from edgebit.options import Option, string
from edgebit.plugin import Format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Options
    from edgebit.record import Chunk, Shape


class Text(Lines):
    """A line a record as Fluent Bit prints it: number in the batch, tag, time and fields."""

    NAME = "text"
    key = (cell,)
    text = value = staticmethod(cell)
    stamp = staticmethod(seconds_text)

    def template(self, shape: Shape) -> str:
        fields = ", ".join([f'"{literal(name)}"=>%s' for name in shape.names])
        return f"[[%s%.0s, {literal(cell(shape.metadata))}], {{{fields}}}]\n"

    def encode(self, chunk: Chunk) -> bytes:
        rows = self.rows(chunk.records, range(chunk.count))
        return utf8("".join([f"[{i}] {chunk.tag}: {row}" for i, row in enumerate(rows)]))


_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


class Template(Format):
    """A line a record from a text with {field} and {time} in it; a field that a record lacks stays as it is written."""

    NAME = "template"
    OPTIONS = (Option("template", string, "{time} {message}", "the line; {time} is in seconds with six decimals"),)
    content_type = "text/plain"
    stream = True

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        self.parts = _PLACEHOLDER.split(opt.template)  # literal, field, literal, ..., literal

    def encode(self, chunk: Chunk) -> bytes:
        out = []
        for time_ns, shape, values in chunk.records:
            parts = self.parts.copy()
            for at in range(1, len(parts), 2):
                name = parts[at]
                index = shape.index.get(name)
                if name == "time":
                    parts[at] = f"{seconds_float(time_ns):f}"
                elif index is None:
                    parts[at] = f"{{{name}}}"
                else:
                    value = values[index]
                    parts[at] = value if isinstance(value, str) else cell(value)
            out.append("".join(parts) + "\n")
        return utf8("".join(out))
