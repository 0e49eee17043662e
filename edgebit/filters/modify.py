"""Changes the fields of records by rules, which run in the order of the file, if all conditions hold.

Rules: `set` NAME VALUE (adds the field, or replaces it at the end), `add` (only if there is none of that name), `remove`,
`remove_wildcard` (names that begin so; a "*" at the end may be written or not), `remove_regex`, `rename` A B (only if there
is no B), `hard_rename` (B goes), `copy` A B (behind A, if there is no B), `hard_copy` (B goes), `move_to_start` and
`move_to_end` (names that begin so). In TOML, where options of one name stand together, a list ``in_order = ["set c 1",
"rename a b", "set a 2"]`` keeps the order of rules of several kinds.

Conditions look at the record as it came; KEY may be a record accessor. Values are compared as text, numbers, true, false
and null as in JSON (in Fluent Bit a number equals and matches nothing). A condition on a value is false if there is no
such field, also one with a "not" in it.

Rules depend on names only, so that each shape has one plan; a plan costs 0.2 µs a record, a condition on a value 0.1.
"""

from __future__ import annotations

from edgebit.errors import ConfigError
from edgebit.filters.layout import last_wins, picker_or_none, storable, text_of
from edgebit.filters.words import first, rest_of, words
from edgebit.onigmo import compile_regex
from edgebit.options import BadValue, Option, string
from edgebit.plugin import Filter
from edgebit.record_accessor import MISSING, descend, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.filters.layout import Layout, Pick
    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record, Shape

    Values = tuple[Any, ...]
    Edit = Callable[[Layout, int], Layout]  # a layout to the next; the number is the index of the rule's own value
    Rule = tuple[Edit, Any]  # and its value, if it has one
    Test = Callable[[Values], bool]
    Condition = Callable[[Shape], "bool | Test"]  # what a shape alone tells, or the test of a record's values

NOTHING: Any = object()


# -- rules -------------------------------------------------------------------------------------------------------------


def _has(layout: Layout, name: str) -> bool:
    return any(one == name for one, _ in layout)


def _set(name: str) -> Edit:
    return lambda layout, value: [one for one in layout if one[0] != name] + [(name, value)]


def _add(name: str) -> Edit:
    return lambda layout, value: layout if _has(layout, name) else [*layout, (name, value)]


def _remove(listed: Callable[[str], object]) -> Edit:
    return lambda layout, value: [one for one in layout if not listed(one[0])]


def _rename(old: str, new: str, hard: bool) -> Edit:
    def edit(layout: Layout, value: int) -> Layout:
        if old == new or not _has(layout, old) or (not hard and _has(layout, new)):
            return layout
        return last_wins([(new if name == old else name, at) for name, at in layout if name != new])

    return edit


def _copy(old: str, new: str, hard: bool) -> Edit:
    def edit(layout: Layout, value: int) -> Layout:
        if old == new or not _has(layout, old) or (not hard and _has(layout, new)):
            return layout
        copied: Layout = []
        for name, at in layout:
            if name != new:
                copied += [(name, at), (new, at)] if name == old else [(name, at)]
        return last_wins(copied)

    return edit


def _move(prefix: str, to_start: bool) -> Edit:
    def edit(layout: Layout, value: int) -> Layout:
        moved = [one for one in layout if one[0].startswith(prefix)]
        rest = [one for one in layout if not one[0].startswith(prefix)]
        return moved + rest if to_start else rest + moved

    return edit


def _one_name(text: str, what: str) -> str:
    found = words(text)
    if len(found) != 1:
        raise BadValue(f"{what}; put it in quotes if there are blanks in it")
    return found[0]


def rule(kind: str) -> Callable[[object], list[Rule]]:
    """The type of the option of one kind of rule: a text, or a table of names and values or names and names."""

    def parsed(value: object) -> list[Rule]:
        if kind in ("set", "add"):
            return [(_set(name) if kind == "set" else _add(name), one) for name, one in _pairs(value)]
        if kind in ("rename", "hard_rename", "copy", "hard_copy"):
            make, hard = (_copy if kind.endswith("copy") else _rename), kind.startswith("hard")
            return [(make(old, string(new), hard), NOTHING) for old, new in _pairs(value, two_names=True)]
        text = string(value)
        if kind == "remove_regex":
            return [(_remove(compile_regex(rest_of(text)).find), NOTHING)]
        name = _one_name(text, "the name of a field" if kind == "remove" else "the beginning of names")
        if kind == "remove":
            return [(_remove(name.__eq__), NOTHING)]
        prefix = name.removesuffix("*")
        if kind == "remove_wildcard":
            return [(_remove(lambda one: one.startswith(prefix)), NOTHING)]
        return [(_move(prefix, kind == "move_to_start"), NOTHING)]

    return parsed


def _pairs(value: object, two_names: bool = False) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        if not all(map(storable, value.values())):
            raise BadValue("a table of texts, numbers, booleans and lists or tables of these")
        return list(value.items())
    name, rest = first(string(value))
    if not name or not rest:
        raise BadValue('two names such as "old new"' if two_names else 'a text such as "level info" or a table')
    return [(name, _one_name(rest, 'two names such as "old new"') if two_names else rest_of(rest))]


KINDS = {
    "set": 'field to add or replace: "NAME VALUE" or a table',
    "add": "field to add if there is none of that name",
    "remove": "name of a field to take out",
    "remove_wildcard": "beginning of the names of fields to take out",
    "remove_regex": "regular expression for the names of fields to take out",
    "rename": '"OLD NEW": give a field another name, if no field has that',
    "hard_rename": '"OLD NEW": give a field another name, in place of a field that has it',
    "copy": '"OLD NEW": copy a field, if none has the new name',
    "hard_copy": '"OLD NEW": copy a field, in place of one that has the new name',
    "move_to_start": "beginning of the names of fields to put first",
    "move_to_end": "beginning of the names of fields to put last",
}


# -- conditions --------------------------------------------------------------------------------------------------------


def _on_names(pattern: str, wanted: bool) -> Condition:
    find = compile_regex(pattern).find
    return lambda shape: any(find(name) for name in shape.names) is wanted


def _exists(key: str, wanted: bool) -> Condition:
    accessor = parse(key)

    def condition(shape: Shape) -> bool | Test:
        index, path = accessor.index(shape), accessor.path
        if index < 0 or not path:
            return (index >= 0) is wanted
        return lambda values: (descend(values[index], path) is not MISSING) is wanted

    return condition


def _on_value(key: str, fits: Callable[[str], object], wanted: bool) -> Condition:
    accessor = parse(key)

    def condition(shape: Shape) -> bool | Test:
        index, path = accessor.index(shape), accessor.path

        def test(values: Values) -> bool:
            value = values[index]
            if path:
                value = descend(value, path)
                if value is MISSING:
                    return False
            text = value if type(value) is str else text_of(value)
            return (text is not None and bool(fits(text))) is wanted

        return index >= 0 and test

    return condition


def _on_matching(keys: str, pattern: str, wanted: bool) -> Condition:
    find_key, find = compile_regex(keys).find, compile_regex(pattern).find

    def condition(shape: Shape) -> bool | Test:
        indexes = [i for i, name in enumerate(shape.names) if find_key(name)]

        def test(values: Values) -> bool:
            texts = [text_of(values[i]) for i in indexes]
            return all(text is not None and find(text) is not None for text in texts) is wanted

        return test

    return condition


CONDITIONS: dict[str, tuple[int, Callable[..., Condition]]] = {
    "key_exists": (1, lambda key: _exists(key, True)),
    "key_does_not_exist": (1, lambda key: _exists(key, False)),
    "a_key_matches": (1, lambda pattern: _on_names(pattern, True)),
    "no_key_matches": (1, lambda pattern: _on_names(pattern, False)),
    "key_value_equals": (2, lambda key, value: _on_value(key, value.__eq__, True)),
    "key_value_does_not_equal": (2, lambda key, value: _on_value(key, value.__eq__, False)),
    "key_value_matches": (2, lambda key, value: _on_value(key, compile_regex(value).find, True)),
    "key_value_does_not_match": (2, lambda key, value: _on_value(key, compile_regex(value).find, False)),
    "matching_keys_have_matching_values": (2, lambda keys, value: _on_matching(keys, value, True)),
    "matching_keys_do_not_have_matching_values": (2, lambda keys, value: _on_matching(keys, value, False)),
}


def condition(value: object) -> Condition:
    """The type of the option `condition`: "KIND KEY" or "KIND KEY VALUE". Raises BadValue."""
    kind, rest = first(string(value))
    found = CONDITIONS.get(kind.lower())
    if found is None:
        raise BadValue(f'a text such as "key_exists level", with one of {", ".join(CONDITIONS)} in front')
    count, make = found
    if count == 1:
        return make(_one_name(rest, f"{kind} and one name"))
    key, rest = first(rest)
    if not key or not rest:
        raise BadValue(f"{kind} with a key and a value")
    return make(key, rest_of(rest))


class Modify(Filter):
    """Changes the fields of records by rules, under conditions."""

    NAME = "modify"
    OPTIONS = (
        *(
            Option(kind, rule(kind), [], help, multiple=True, also=("add_if_not_present",) if kind == "add" else ())
            for kind, help in KINDS.items()
        ),
        Option(
            "condition", condition, [], 'what must hold for the rules to be applied: "KIND KEY [VALUE]"', multiple=True
        ),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        rules = [one for name, several in opt.in_order if name != "condition" for one in several]
        if not rules:
            raise ConfigError("modify has no rule: say what to change, for example with set or rename")
        self._edits = [edit for edit, _ in rules]
        self._own = tuple(None if value is NOTHING else value for _, value in rules)
        self._conditions: list[Condition] = opt.condition

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        own = self._own
        out: list[Record] = []
        changed = False
        known: Shape | None = None  # records of one shape come in runs
        target: Shape | None = None
        for record in records:
            time_ns, shape, values = record
            if shape is not known:
                known = shape
                target, pick, tests = shape.cache.get(self) or self._plan(shape)
            if target is not None:
                for test in tests:
                    if not test(values):
                        break
                else:
                    record = (time_ns, target, values if pick is None else pick(values + own))
                    changed = True
            out.append(record)
        return out if changed else records

    def _plan(self, shape: Shape) -> tuple[Shape | None, Pick | None, list[Test]]:
        """The shape that records of this one get (None: nothing changes), what picks its values, and the conditions that
        depend on values."""
        tests: list[Test] = []
        applies = True
        for make in self._conditions:
            found = make(shape)
            if isinstance(found, bool):
                applies = applies and found
            else:
                tests.append(found)
        before: Layout = [(name, i) for i, name in enumerate(shape.names)]
        layout = before
        if applies:
            for i, edit in enumerate(self._edits, len(before)):
                layout = edit(layout, i)
        plan: tuple[Shape | None, Pick | None, list[Test]] = (None, None, [])
        if layout != before:
            indexes = [at for _, at in layout]
            whole = indexes == list(range(len(before) + len(self._own)))
            pick = tuple if whole else picker_or_none(indexes, len(before))
            plan = (shape.derive([name for name, _ in layout]), pick, tests)
        if shape.interned:
            shape.cache[self] = plan
        return plan
