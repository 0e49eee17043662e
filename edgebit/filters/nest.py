"""Puts fields together in a map (operation nest), or brings the fields of a map up to the record (operation lift).

nest: the fields whose names are given by `wildcard` (a name, or its beginning and "*") go into one map, `nest_under`, the
last field of the record. lift: the fields of the map `nested_under` come behind the others, in place of the map. Either
way `add_prefix` or `remove_prefix` changes the names of the fields that move. A record that has none of the fields, or
something else than a map there, stays as it is. A field takes the place of an older one with its name.

Worked out once for each shape (for lift: and the names in its map); costs 0.6 µs a record.
"""

from __future__ import annotations

from edgebit.errors import ConfigError
from edgebit.filters.layout import appended, last_wins, picker, picker_or_none
from edgebit.options import Option, string
from edgebit.plugin import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.filters.layout import Layout, Pick
    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record, Shape

_MAPS = 256  # combinations of names in a map that are remembered for a shape; they are data


class Nest(Filter):
    """Puts fields together in a map, or brings the fields of a map up to the record."""

    NAME = "nest"
    OPTIONS = (
        Option(
            "operation", ("nest", "lift"), "nest", "nest: fields into a map; lift: the fields of a map into the record"
        ),
        Option("wildcard", string, [], 'nest: name of a field to move, or its beginning and "*"', multiple=True),
        Option("nest_under", string, "", "nest: name of the map"),
        Option("nested_under", string, "", "lift: name of the map"),
        Option("add_prefix", string, "", "what the moved names get in front", also=("prefix_with",)),
        Option("remove_prefix", string, "", "what the moved names lose in front"),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        nest = opt.operation == "nest"
        self._key: str = (opt.nest_under or opt.nested_under) if nest else (opt.nested_under or opt.nest_under)
        if not self._key:
            key = "nest_under" if nest else "nested_under"
            raise ConfigError(f'nest needs the option "{key}" for the operation {opt.operation}: the name of the map')
        if opt.add_prefix and opt.remove_prefix:
            raise ConfigError("excludes add_prefix", key="remove_prefix")
        if nest and not opt.wildcard:
            raise ConfigError('nest needs the option "wildcard" for the operation nest: the fields to move')
        self._exact = {name for name in opt.wildcard if not name.endswith("*")}
        self._prefixes = tuple(name[:-1] for name in opt.wildcard if name.endswith("*"))
        self._plan = self._plan_nest if nest else self._plan_lift
        self._told = False

    def _renamed(self, name: str) -> str:
        return f"{self.opt.add_prefix}{name.removeprefix(self.opt.remove_prefix)}"

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        change = self._nest if self.opt.operation == "nest" else self._lift
        out: list[Record] = []
        changed = False
        known: Shape | None = None  # records of one shape come in runs
        plan: Any = None
        for record in records:
            shape = record[1]
            if shape is not known:
                known = shape
                plan = shape.cache.get(self, known)
                if plan is known:
                    plan = self._plan(shape)
                    if shape.interned:
                        shape.cache[self] = plan
            new = record if plan is None else change(record, plan)
            changed = changed or new is not record
            out.append(new)
        return out if changed else records

    # -- nest ----------------------------------------------------------------------------------------------------------

    def _plan_nest(self, shape: Shape) -> tuple[Shape, Pick, list[str], Pick] | None:
        moved = [i for i, name in enumerate(shape.names) if name in self._exact or name.startswith(self._prefixes)]
        if not moved:
            return None
        rest = [i for i, name in enumerate(shape.names) if i not in moved and name != self._key]
        target = shape.derive([*(shape.names[i] for i in rest), self._key])
        return target, picker(rest), [self._renamed(shape.names[i]) for i in moved], picker(moved)

    def _nest(self, record: Record, plan: tuple[Shape, Pick, list[str], Pick]) -> Record:
        target, rest, names, moved = plan
        values = record[2]
        return (record[0], target, (*rest(values), dict(zip(names, moved(values)))))

    # -- lift ----------------------------------------------------------------------------------------------------------

    def _plan_lift(self, shape: Shape) -> tuple[int, dict[tuple[str, ...], tuple[Shape, Pick | None]]] | None:
        index = shape.index.get(self._key, -1)
        return None if index < 0 else (index, {})

    def _lift(self, record: Record, plan: tuple[int, dict[tuple[str, ...], tuple[Shape, Pick | None]]]) -> Record:
        index, known = plan
        time_ns, shape, values = record
        inner = values[index]
        if not isinstance(inner, dict):
            if not self._told:
                self._told = True
                self.ctx.log.info(f"{self._key} is not a map; such records stay as they are")
            return record
        names = tuple(inner)
        found = known.get(names)
        if found is None:
            count = len(shape.names)
            lifted: Layout = [(self._renamed(name), i) for i, name in enumerate(names, count)]
            layout = last_wins([one for one in appended(shape.names, ()) if one[1] != index] + lifted)
            found = (
                shape.derive([name for name, _ in layout]),
                picker_or_none([at for _, at in layout], count + len(names)),
            )
            if len(known) < _MAPS:
                known[names] = found
        target, pick = found
        together = (*values, *inner.values())
        return (time_ns, target, together if pick is None else pick(together))
