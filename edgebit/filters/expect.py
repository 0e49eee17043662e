"""Checks what records look like: a test of a configuration, or a watch on a source.

The rules are tried in the order of the file, the first that doesn't hold decides; KEY may be a record accessor. `action`
says what then: warn logs the record (at most ten a minute, all are counted); exit stops the agent with status 255, after
delivering what it has; result_key writes the result of every record, true or false, into the field `result_key`, which
comes first. No record is dropped. `key_val_eq` compares as text, numbers as in JSON (in Fluent Bit a number equals
nothing).
"""

from __future__ import annotations

from edgebit.filters.layout import text_of
from edgebit.filters.words import first, rest_of
from edgebit.options import BadValue, Option, string
from edgebit.plugin import Filter
from edgebit.record import to_dict
from edgebit.record_accessor import MISSING, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record, Shape
    from edgebit.record_accessor import Accessor

    Rule = tuple[Accessor, str, Callable[[Any], str]]  # key, its text, and from a value to what is wrong with it

_LINES, _MINUTE = 10, 60.0


def _exists(value: Any) -> str:
    return "is not there" if value is MISSING else ""


def _not_exists(value: Any) -> str:
    return "" if value is MISSING else "is there"


def _is_null(value: Any) -> str:
    return _exists(value) or ("" if value is None else "is not null")


def _is_not_null(value: Any) -> str:
    return _exists(value) or ("is null" if value is None else "")


def rule(wrong: Callable[[Any], str]) -> Callable[[object], Rule]:
    """The type of the options that take a key."""

    def parsed(value: object) -> Rule:
        text = string(value).strip()
        return parse(text), text, wrong

    return parsed


def equals(value: object) -> Rule:
    """The type of `key_val_eq`: "KEY VALUE". Raises BadValue."""
    key, rest = first(string(value))
    if not key or not rest:
        raise BadValue('a key and a value such as "level info"')
    wanted = rest_of(rest)
    return parse(key), key, lambda found: _exists(found) or ("" if text_of(found) == wanted else f"is not {wanted}")


class Expect(Filter):
    """Checks what records look like."""

    NAME = "expect"
    OPTIONS = (
        Option("key_exists", rule(_exists), [], "field that must be there", multiple=True),
        Option("key_not_exists", rule(_not_exists), [], "field that must not be there", multiple=True),
        Option("key_val_is_null", rule(_is_null), [], "field that must be there and null", multiple=True),
        Option("key_val_is_not_null", rule(_is_not_null), [], "field that must be there and not null", multiple=True),
        Option("key_val_eq", equals, [], "KEY VALUE: field that must have this value", multiple=True),
        Option("action", ("warn", "exit", "result_key"), "warn", "what to do with a record that is not as expected"),
        Option("result_key", string, "matched", "field for the result, with action result_key"),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        self._rules: list[Rule] = [one for _, one in opt.in_order]
        if not self._rules:
            ctx.log.warn("expect has no rule, so it checks nothing")
        self._said, self._since = 0, 0.0
        self._exited = False

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        results = [self._wrong(record) for record in records]
        failed = len(results) - results.count("")
        if failed:
            self.ctx.stats.add("failed", failed)
        if self.opt.action == "result_key":
            return self._with_results(records, results)
        if failed:
            for record, wrong in zip(records, results):
                if wrong:
                    self._tell(tag, record, wrong)
                    if self.opt.action == "exit":
                        break
        return records

    def _wrong(self, record: Record) -> str:
        for accessor, key, check in self._rules:
            wrong = check(accessor.get(record))
            if wrong:
                return f"{key} {wrong}"
        return ""

    def _tell(self, tag: str, record: Record, wrong: str) -> None:
        if self.opt.action == "exit":
            if self._exited:
                return
            self._exited = True
            self.ctx.exit_agent(255)
        now = self.ctx.clock.monotonic()
        if now - self._since >= _MINUTE:
            self._since, self._said = now, 0
        self._said += 1
        if self._said <= _LINES:
            import json

            more = "; more of these are only counted for a minute" if self._said == _LINES else ""
            self.ctx.log.warn(f"a record of {tag} is not as expected: {wrong}: {json.dumps(to_dict(record))}{more}")

    def _with_results(self, records: list[Record], results: list[str]) -> list[Record]:
        key = self.opt.result_key
        out = []
        known: Shape | None = None  # records of one shape come in runs
        for (time_ns, shape, values), wrong in zip(records, results):
            if shape is not known:
                known = shape
                at = shape.index.get(key, -1)
                names = list(shape.names)
                if at >= 0:
                    del names[at]
                target = shape.derive([key, *names])
            rest = values if at < 0 else values[:at] + values[at + 1 :]
            out.append((time_ns, target, (not wrong, *rest)))
        return out
