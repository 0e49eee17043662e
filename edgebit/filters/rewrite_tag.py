"""Sends records through the filters again, under another tag: "KEY REGEX NEW_TAG KEEP".

The first rule whose REGEX is found in the field KEY (a name or a record accessor) decides. NEW_TAG is text with ``$TAG``,
``$TAG[n]`` (a part of the tag between dots, from 0), ``$0`` to ``$9`` (what the groups of REGEX found) and fields as
``$name`` and ``$name['sub']``; a field's name ends at the next dot there, and what is missing adds nothing. KEEP says
whether the record goes on under its old tag, too.

The record goes through all filters from the first on. It is under the receipt of its batch, and waits with its input for
room: there is no emitter with a limit of its own as in Fluent Bit, so `emitter_*` is accepted and has no effect. A record
that this filter has emitted is not emitted by it again: it stays, with one line in the log. A record that the rule would
give an empty tag stays, too.
"""

from __future__ import annotations

import re

from edgebit.errors import ConfigError
from edgebit.filters.layout import text_of
from edgebit.filters.words import rest_of
from edgebit.onigmo import compile_regex
from edgebit.options import BadValue, Option, boolean, string, without_effect
from edgebit.plugin import Filter
from edgebit.record_accessor import MISSING, Accessor, descend, parse, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record, Shape

    Part = Callable[[str, re.Match[str], Record], str]

_PART = re.compile(
    r"""\$(?:TAG(?:\[([0-9]{1,3})\])?|([0-9])|([A-Za-z_](?:[^.\s,"'\[$]|\['(?:[^']|'')*+'\]|\[[0-9]{1,9}\])*+))"""
)
# What follows the key: a pattern, which may have blanks in it also without quotes, the tag and a word. In a tag they stand
# in quotes or in a field's name.
_REST = re.compile(r"""\s+(\S|\S.*?\S)\s+("[^"]*"|(?:\['(?:[^']|'')*+'\]|\S)+)\s+(\S+)""", re.DOTALL)


def _field_text(value: Any) -> str:
    if type(value) is float:
        return f"{value:f}"
    return text_of(value) or ""


def template(text: str) -> list[str | Part]:
    """A new tag's parts: literals, and functions of the tag, the match and the record. Raises BadValue."""
    parts: list[str | Part] = []
    at = 0
    for found in _PART.finditer(text):
        if found.start() > at:
            parts.append(text[at : found.start()])
        at = found.end()
        index, group, field = found.groups()
        if index is not None:
            parts.append(_tag_part(int(index)))
        elif group is not None:
            parts.append(_group(int(group)))
        elif field is not None:
            parts.append(_field(parse(f"${field}")))
        else:
            parts.append(lambda tag, match, record: tag)
    if at < len(text):
        parts.append(text[at:])
    return parts


def _tag_part(index: int) -> Part:
    def part(tag: str, match: re.Match[str], record: Record) -> str:
        parts = tag.split(".")
        return parts[index] if index < len(parts) else ""

    return part


def _group(number: int) -> Part:
    return lambda tag, match, record: (match[number] or "") if number <= match.re.groups else ""


def _field(accessor: Accessor) -> Part:
    def part(tag: str, match: re.Match[str], record: Record) -> str:
        value = accessor.get(record)
        return "" if value is MISSING else _field_text(value)

    return part


class Rule:
    """A rule; see the module's docstring."""

    def __init__(self, key: str, pattern: str, tag: str, keep: object) -> None:
        self.key, self.pattern = parse(key), compile_regex(pattern)
        self.parts, self.keep = template(tag), boolean(keep)
        if not tag:
            raise BadValue("a rule with a new tag")

    def tag(self, tag: str, match: re.Match[str], record: Record) -> str:
        """The new tag of a record."""
        return "".join([part if isinstance(part, str) else part(tag, match, record) for part in self.parts])


def rule(value: object) -> Rule:
    """The type of the option `rule`: "KEY REGEX NEW_TAG KEEP" or a table. Raises BadValue."""
    what = 'a rule such as "$level ^(error|warn)$ alarm.$1 false", or a table with key, regex, tag and keep'
    if isinstance(value, dict):
        if not {"key", "regex", "tag"} <= value.keys() <= {"key", "regex", "tag", "keep"}:
            raise BadValue(what)
        return Rule(string(value["key"]), string(value["regex"]), string(value["tag"]), value.get("keep", False))
    accessor, rest = split(string(value).strip())
    found = _REST.fullmatch(rest)
    if found is None:
        raise BadValue(what)
    pattern, tag, keep = found.groups()
    made = Rule("x", rest_of(pattern), rest_of(tag), keep)
    made.key = accessor
    return made


class RewriteTag(Filter):
    """Sends records through the filters again, under another tag."""

    NAME = "rewrite_tag"
    OPTIONS = (
        Option("rule", rule, [], "KEY REGEX NEW_TAG KEEP", multiple=True),
        *without_effect(
            "what it emits belongs to the batch of its input",
            "emitter_name",
            "emitter_storage.type",
            "emitter_mem_buf_limit",
        ),
    )
    emits = True

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        self._rules: list[Rule] = opt.rule
        if not self._rules:
            raise ConfigError('rewrite_tag needs the option "rule": KEY REGEX NEW_TAG KEEP')

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        moved: dict[str, list[int]] = {}  # new tag -> which records
        kept: set[int] = set()
        known: Shape | None = None  # records of one shape come in runs
        tests: list[Any] = []
        for i, record in enumerate(records):
            shape = record[1]
            if shape is not known:
                known = shape
                tests = shape.cache.get(self) or self._tests(shape)
            for index, path, find, rule in tests:
                value = record[2][index]
                if path:
                    value = descend(value, path)
                text = value if type(value) is str else text_of(value)
                match = find(text) if text is not None else None
                if match is not None:
                    new = rule.tag(tag, match, record)
                    if new:
                        moved.setdefault(new, []).append(i)
                        if rule.keep:
                            kept.add(i)
                    break
        if not moved:
            return records
        gone: set[int] = set()
        for new, which in moved.items():
            if self.ctx.emit(new, [records[i] for i in which]):
                gone.update(which)
        gone -= kept
        return [record for i, record in enumerate(records) if i not in gone] if gone else records

    def _tests(self, shape: Shape) -> list[Any]:
        tests = [(rule.key.index(shape), rule.key.path, rule.pattern.find, rule) for rule in self._rules]
        tests = [test for test in tests if test[0] >= 0]
        if shape.interned:
            shape.cache[self] = tests
        return tests
