"""Adds fields to records and takes some out.

First the fields are chosen (`remove_key` takes out, `allowlist_key` keeps; names are compared without regard to case and
a "*" at the end stands for any rest), then the fields of `record` are added at the end, then `uuid_key`. A field that is
added takes the place of one with the same name, so none is doubled (in Fluent Bit it is, and only some outputs tell). A
record without any field left is dropped (in Fluent Bit, not if that is so for the whole batch).

Worked out once for each shape; adding constants costs 0.1 µs a record.
"""

from __future__ import annotations

from edgebit.errors import ConfigError
from edgebit.filters.layout import picker, storable
from edgebit.filters.words import first, rest_of
from edgebit.options import BadValue, Option, string
from edgebit.plugin import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.filters.layout import Pick
    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record, Shape


def fields(value: object) -> list[tuple[str, Any]]:
    """The type of the option `record`: names and values that a record can hold. Raises BadValue."""
    if isinstance(value, dict):
        pairs = list(value.items())
    else:
        name, rest = first(string(value))
        if not name or not rest:
            raise BadValue('a table such as {site = "porto"} or texts such as "site porto"')
        pairs = [(name, rest_of(rest))]
    for name, given in pairs:
        if not storable(given):
            raise BadValue(
                f"a table of texts, numbers, booleans and lists or tables of these ({name} is something else)"
            )
    return pairs


class RecordModifier(Filter):
    """Adds fields to records and takes some out."""

    NAME = "record_modifier"
    OPTIONS = (
        Option("record", fields, [], 'field to add: a table, or "NAME VALUE"', multiple=True),
        Option("remove_key", string, [], "field to take out", multiple=True),
        Option(
            "allowlist_key",
            string,
            [],
            "field to keep, all others are taken out",
            multiple=True,
            also=("whitelist_key",),
        ),
        Option("uuid_key", string, "", "field to add with a random UUID, version 4"),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        keep = opt.allowlist_key
        if keep and opt.remove_key:
            raise ConfigError("excludes allowlist_key: name the fields to take out or those to keep", key="remove_key")
        self._keeps = bool(keep)
        keys = [key.lower() for key in keep or opt.remove_key]
        self._exact = {key for key in keys if not key.endswith("*")}
        self._prefixes = tuple(key[:-1] for key in keys if key.endswith("*"))
        added = {name: value for pairs in opt.record for name, value in pairs}  # of equal names the last one holds
        self._uuid: Callable[[], object] | None = None
        if opt.uuid_key:
            from uuid import uuid4

            self._uuid = uuid4
            added.pop(opt.uuid_key, None)
        self._names, self._values = tuple(added), tuple(added.values())
        if opt.uuid_key:
            self._names += (opt.uuid_key,)

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        values_added, uuid = self._values, self._uuid
        changed: list[Record] = []
        add = changed.append
        known: Shape | None = None  # records of one shape come in runs
        target, pick = None, None
        for time_ns, shape, values in records:
            if shape is not known:
                known = shape
                target, pick = shape.cache.get(self) or self._plan(shape)
            if target is None:
                continue
            if pick is not None:
                values = pick(values)
            if uuid is None:
                add((time_ns, target, values + values_added))
            else:
                add((time_ns, target, (*values, *values_added, str(uuid()))))
        return changed

    def _plan(self, shape: Shape) -> tuple[Shape | None, Pick | None]:
        """The shape that records of this one get (None: they end up empty), and what picks the values that stay."""
        stay = [i for i, name in enumerate(shape.names) if self._stays(name)]
        names = tuple(shape.names[i] for i in stay) + self._names
        pick = None if len(stay) == len(shape.names) else picker(stay)
        plan = (shape.derive(names) if names else None, pick)
        if shape.interned:
            shape.cache[self] = plan
        return plan

    def _stays(self, name: str) -> bool:
        lower = name.lower()
        listed = lower in self._exact or lower.startswith(self._prefixes)
        return listed == self._keeps and name not in self._names
