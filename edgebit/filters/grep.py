"""Keeps or drops records by the text of their fields.

A rule is "KEY PATTERN" or a table {KEY = PATTERN}; KEY is a field or a record accessor (``$pos['hall']``), PATTERN a regular
expression as in the regex parser, searched for in the field. A record without the field doesn't match.

Without `logical_op` (or with "legacy") a record is kept if all `regex` rules match and no `exclude` rule does. With "and"
or "or" all rules must be of one kind: kept, or with `exclude` dropped, if all or any of them match.

On purpose unlike Fluent Bit: there, without `logical_op`, the first `regex` rule decides and the rules after it are never
looked at; numbers, booleans and null match nothing, here they match by their JSON text (``21.5``, ``true``, ``null``);
and several blanks between KEY and PATTERN become part of the pattern, here they don't. Lists and maps match nothing.
"""

from __future__ import annotations

from edgebit.errors import ConfigError
from edgebit.filters.rules import Rules, rules
from edgebit.options import Option
from edgebit.plugin import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record


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
        # To drop what matches all exclude rules is to keep what satisfies one of them.
        self._rules = Rules(keep, drop, opt.logical_op == ("and" if drop else "or") and bool(keep or drop))

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        return self._rules.passing(records)
