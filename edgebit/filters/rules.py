"""Rules on the text of fields, "KEY PATTERN": which records they let through. Shared by grep and log_to_metrics.

Worked out once for each shape; one rule costs some 0.2 µs a record, the search included.
"""

from __future__ import annotations

from edgebit.filters.layout import text_of
from edgebit.onigmo import Pattern, compile_regex
from edgebit.options import BadValue
from edgebit.record_accessor import MISSING, Accessor, descend, parse, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgebit.record import Record, Shape

    Rule = tuple[Accessor, Pattern]
    # Index of the field (-1: the shape has none), steps below it, search, and whether it is an exclude rule.
    Test = tuple[int, tuple[str | int, ...], Callable[[str], object], bool]


def rules(value: object) -> list[Rule]:
    """The type of the options: one "KEY PATTERN" text or a table of several. Raises BadValue."""
    if isinstance(value, dict):
        return [(parse(str(key)), compile_regex(pattern)) for key, pattern in value.items()]
    what = 'a text such as "level ^(error|warn)$" or a table such as {level = "^(error|warn)$"}'
    if not isinstance(value, str):
        raise BadValue(what)
    accessor, rest = split(value.strip())
    pattern = rest.strip()
    if not pattern or not rest[0].isspace():
        raise BadValue(what)
    return [(accessor, compile_regex(pattern))]


class Rules:
    """`keep` rules are satisfied by records that match, `drop` rules by those that don't. Records go through that satisfy
    all, or with `one_is_enough` at least one."""

    def __init__(self, keep: Iterable[Rule], drop: Iterable[Rule], one_is_enough: bool = False) -> None:
        self._rules = [(*rule, False) for rule in keep] + [(*rule, True) for rule in drop]
        self._one_is_enough = one_is_enough

    def passing(self, records: list[Record]) -> list[Record]:
        """The records that go through."""
        decisive = self._one_is_enough  # a rule that is (or isn't) satisfied settles it
        kept: list[Record] = []
        known: Shape | None = None  # records of one shape come in runs
        tests: list[Test] = []
        for record in records:
            shape = record[1]
            if shape is not known:
                known = shape
                tests = shape.cache.get(self) or self._tests(shape)
            keep = not decisive
            for index, path, find, excluding in tests:
                value = record[2][index] if index >= 0 else MISSING
                if path:
                    value = descend(value, path)
                text = value if type(value) is str else text_of(value)
                matches = text is not None and find(text) is not None
                if (matches is not excluding) is decisive:
                    keep = decisive
                    break
            if keep:
                kept.append(record)
        return kept if len(kept) < len(records) else records

    def _tests(self, shape: Shape) -> list[Test]:
        tests: list[Test] = [
            (key.index(shape), key.path, pattern.find, excluding) for key, pattern, excluding in self._rules
        ]
        if shape.interned:
            shape.cache[self] = tests
        return tests
