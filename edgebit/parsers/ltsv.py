"""Lines of LTSV (ltsv.org): ``label:value`` fields with tabs between.

A label has letters, digits and ``_ . -``; a value is any text without a tab, colons and blanks included, also none. Empty
fields (two tabs in a row) are skipped. A line with a field that isn't of this form doesn't match (Fluent Bit keeps the
fields before it and drops the rest). What follows a carriage return or newline doesn't count.
"""

from __future__ import annotations

import re

from edgebit.parsers.fields import FIELD_OPTIONS, TYPES_OPTION, FieldParser, of_other_formats
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.record import Record

_LABEL = re.compile(r"[0-9A-Za-z_.-]+").fullmatch
_LINE_END = re.compile(r"[\r\n]")


class Ltsv(FieldParser):
    """Reads tab-separated label:value fields."""

    NAME = "ltsv"
    OPTIONS = (TYPES_OPTION, *FIELD_OPTIONS, *of_other_formats("regex", "skip_empty_values", "logfmt_no_bare_keys"))

    def parse(self, line: str, now_ns: int) -> Record | None:
        if "\r" in line or "\n" in line:
            line = _LINE_END.split(line, maxsplit=1)[0]
        fields = [field.split(":", 1) for field in line.split("\t") if field]
        try:
            labels, values = zip(*fields, strict=True)
        except ValueError:  # no field at all, or one without a colon
            return None
        shape = Shape.of(labels)
        good = shape.cache.get(Ltsv)
        if good is None:
            good = all(map(_LABEL, labels))
            if shape.interned:
                shape.cache[Ltsv] = good
        if not good:
            return None
        return (now_ns, shape, values) if self.plain else self.finish(now_ns, shape, values)
