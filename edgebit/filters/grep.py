"""Keeps or drops records by the text of their fields.

A rule is "KEY PATTERN" or a table {KEY = PATTERN}; KEY is a field or a record accessor (``$pos['hall']``), PATTERN a regular
expression as in the regex parser, searched for in the field. A record without the field doesn't match.

Without `logical_op` (or with "legacy") a record is kept if all `regex` rules match and no `exclude` rule does. With "and"
or "or" all rules must be of one kind: kept, or with `exclude` dropped, if all or any of them match.

On purpose unlike Fluent Bit: there, without `logical_op`, the first `regex` rule decides and the rules after it are never
looked at; numbers, booleans and null match nothing, here they match by their JSON text (``21.5``, ``true``, ``null``);
and several blanks between KEY and PATTERN become part of the pattern, here they don't. Lists and maps match nothing.

Worked out once for each shape; one rule costs some 0.2 µs a record, the search included.
"""

from __future__ import annotations

from edgebit.errors import ConfigError
from edgebit.onigmo import Pattern, compile_regex
from edgebit.options import BadValue, Option
from edgebit.plugin import Filter
from edgebit.record_accessor import MISSING, Accessor, descend, parse, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record, Shape

    # Index of the field (-1: the shape has none), steps below it, search, and whether it is an exclude rule.
    Test = tuple[int, tuple[str | int, ...], Callable[[str], object], bool]


def rules(value: object) -> list[tuple[Accessor, Pattern]]:
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


class Grep(Filter):
    """Keeps or drops records by the text of their fields."""

    NAME = "grep"
    OPTIONS = (
        Option("regex", rules, [], "keep records whose field matches: KEY PATTERN", multiple=True),
        Option("exclude", rules, [], "drop records whose field matches: KEY PATTERN", multiple=True),
        Option("logical_op", ("legacy", "and", "or"), "legacy", "how several rules are taken together"),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        keep = [rule for given in opt.regex for rule in given]
        drop = [rule for given in opt.exclude for rule in given]
        if opt.logical_op != "legacy" and keep and drop:
            raise ConfigError(
                f'is "{opt.logical_op}", which takes rules of one kind, regex or exclude', key="logical_op"
            )
        if opt.logical_op == "legacy" and len(keep) > 1:
            ctx.log.warn('several "regex" rules must all match; say logical_op = "and" if so, "or" if one is enough')
        self._rules = [(*rule, False) for rule in keep] + [(*rule, True) for rule in drop]
        # A rule is satisfied if it matches, an exclude rule if it doesn't. Either all rules have to be, or one: to drop
        # what matches all exclude rules is to keep what satisfies one of them.
        self._one_is_enough = opt.logical_op == ("and" if drop else "or") and bool(keep or drop)

    def process(self, tag: str, records: list[Record]) -> list[Record]:
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
                text = value if type(value) is str else _text(value)
                matches = text is not None and find(text) is not None
                if (matches is not excluding) is decisive:
                    keep = decisive
                    break
            if keep:
                kept.append(record)
        return kept

    def _tests(self, shape: Shape) -> list[Test]:
        tests = [(key.index(shape), key.path, pattern.find, excluding) for key, pattern, excluding in self._rules]
        if shape.interned:
            shape.cache[self] = tests
        return tests


def _text(value: Any) -> str | None:
    """What a rule sees of a value that is no text; None if it sees nothing."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, (int, float)) else None
