"""Prints records to standard output and lets them go on: ``[n] tag: [seconds.nanoseconds, {metadata}, {fields}]``.

For looking at what arrives between two filters. The form is Fluent Bit's: n counts within the batch, text stands between
quotes as it is. Records are not held up by that; while the reader of standard output is slow, the input waits.
"""

from __future__ import annotations

from edgebit.formats.cells import cell, utf8
from edgebit.formats.dates import seconds_text
from edgebit.plugin import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.record import Record


class Stdout(Filter):
    """Prints records to standard output and lets them go on."""

    NAME = "stdout"
    emits = True
    parts = False

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        lines = []
        for i, (time_ns, shape, values) in enumerate(records):
            fields = ", ".join([f"{cell(name)}=>{cell(value)}" for name, value in zip(shape.names, values)])
            lines.append(f"[{i}] {tag}: [{seconds_text(time_ns)}, {cell(shape.metadata)}, {{{fields}}}]\n")
        self.ctx.print(utf8("".join(lines)))
        return records

    @property
    def idle(self) -> bool:
        return self.ctx.printed
