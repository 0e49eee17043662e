"""Adds converted copies of fields: "FROM TO TYPE", under the option that names the type which FROM has.

FROM may be a record accessor. The result is the last field, in place of one that has its name; FROM stays, unless TO is the
same name. What isn't of the type that the option says, or can't be converted, gives no field and is counted. Texts are
converted as in C: the longest number at their start counts.

On purpose unlike Fluent Bit: there a value that can't be converted is copied as it is, the text "0" counts as such a one, a
text without a number becomes 0.0, and an unknown type ends the process. Options of several kinds are applied in the
order str_key, int_key, uint_key, float_key, as there.
"""

from __future__ import annotations

import re

from edgebit.errors import ConfigError, nearest
from edgebit.filters.layout import appended, picker_or_none
from edgebit.filters.words import words
from edgebit.options import BadValue, Option, string
from edgebit.plugin import Filter
from edgebit.record_accessor import MISSING, descend, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.filters.layout import Pick
    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record, Shape
    from edgebit.record_accessor import Accessor

    Conversion = tuple[Accessor, str, Callable[[Any], Any]]

_NUMBER = re.compile(r"[ \t-\r]*+([+-]?[0-9]{1,40})")
_HEX = re.compile(r"[ \t-\r]*+(?:0[xX])?+([0-9a-fA-F]{1,40})")
_FLOAT = re.compile(r"[ \t-\r]*+([+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)")
_MIN, _MAX, _UMAX = -(2**63), 2**63 - 1, 2**64 - 1


def _within(value: int, low: int, high: int) -> Any:
    return value if low <= value <= high else MISSING


def _from_text(pattern: re.Pattern[str], base: int, low: int, high: int) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        found = pattern.match(text)
        return MISSING if found is None else min(max(int(found[1], base), low), high)

    return convert


def _text_to_float(text: str) -> Any:
    found = _FLOAT.match(text)
    value = float(found[1]) if found is not None else MISSING
    return value if value is MISSING or value - value == 0 else MISSING


def _text_to_bool(text: str) -> Any:
    start = text[:5].lower()
    return True if start.startswith("true") else False if start == "false" else MISSING


def _float_to_text(value: float) -> str:
    return f"{value:.1f}" if value == int(value) and abs(value) < 2**63 else f"{value:.16g}"


def _float_to_int(low: int, high: int) -> Callable[[float], Any]:
    return lambda value: _within(int(value), low, high) if value - value == 0 else MISSING


def _same(value: Any) -> Any:
    return value


CONVERTERS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "string": {
        "int": _from_text(_NUMBER, 10, _MIN, _MAX),
        "uint": lambda text: MISSING if text.lstrip().startswith("-") else _from_text(_NUMBER, 10, 0, _UMAX)(text),
        "hex": _from_text(_HEX, 16, 0, _UMAX),
        "float": _text_to_float,
        "bool": _text_to_bool,
        "string": _same,
    },
    "int": {"string": str, "float": float, "uint": lambda value: _within(value, 0, _UMAX), "int": _same},
    "uint": {"string": str, "float": float, "int": lambda value: _within(value, _MIN, _MAX), "uint": _same},
    "float": {
        "string": _float_to_text,
        "int": _float_to_int(_MIN, _MAX),
        "uint": _float_to_int(0, _UMAX),
        "float": _same,
    },
}
_CLASSES = {"string": str, "int": int, "uint": int, "float": float}
_ALIASES = {"integer": "int", "double": "float", "number": "float", "boolean": "bool", "text": "string", "long": "int"}


def conversion(kind: str) -> Callable[[object], Conversion]:
    """The type of the option for fields of one kind: "FROM TO TYPE". Raises BadValue."""
    converters, cls = CONVERTERS[kind], _CLASSES[kind]

    def parsed(value: object) -> Conversion:
        found = words(string(value))
        if len(found) != 3:
            raise BadValue('three words, "FROM TO TYPE"')
        source, to, name = found
        lower = name.lower()
        known = _ALIASES.get(lower) or next((one for one in CONVERTERS["string"] if one.startswith(lower)), "")
        convert = converters.get(known)
        if convert is None:
            near = nearest(lower, [*converters, *_ALIASES])
            hint = f' (did you mean "{near}"?)' if near else ""
            raise BadValue(f"FROM TO and one of the types {', '.join(converters)}{hint}")
        # A boolean is an int to Python, but not to anybody else.
        return parse(source), to, lambda value: convert(value) if type(value) is cls else MISSING

    return parsed


class TypeConverter(Filter):
    """Adds converted copies of fields."""

    NAME = "type_converter"
    OPTIONS = (
        Option("str_key", conversion("string"), [], "FROM TO TYPE: convert a text", multiple=True),
        Option("int_key", conversion("int"), [], "FROM TO TYPE: convert a whole number", multiple=True),
        Option("uint_key", conversion("uint"), [], "FROM TO TYPE: convert a whole number", multiple=True),
        Option("float_key", conversion("float"), [], "FROM TO TYPE: convert a number with a fraction", multiple=True),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        self._conversions: list[Conversion] = opt.str_key + opt.int_key + opt.uint_key + opt.float_key
        if not self._conversions:
            raise ConfigError("type_converter has nothing to convert: give str_key, int_key, uint_key or float_key")

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        out: list[Record] = []
        changed = False
        failed = 0
        known: Shape | None = None  # records of one shape come in runs
        sources: list[Any] = []
        targets: dict[tuple[str, ...], tuple[Shape, Pick | None]] = {}
        for record in records:
            time_ns, shape, values = record
            if shape is not known:
                known = shape
                sources, targets = shape.cache.get(self) or self._plan(shape)
            names, added = [], []
            for index, path, name, convert in sources:
                value = descend(values[index], path) if path else values[index]
                if value is MISSING:
                    continue
                value = convert(value)
                if value is MISSING:
                    failed += 1
                else:
                    names.append(name)
                    added.append(value)
            if not names:
                out.append(record)
                continue
            changed = True
            key = tuple(names)
            found = targets.get(key)
            if found is None:
                layout = appended(shape.names, names)
                pick = picker_or_none([at for _, at in layout], len(shape.names) + len(names))
                found = targets[key] = (shape.derive([name for name, _ in layout]), pick)
            target, pick = found
            together = (*values, *added)
            out.append((time_ns, target, together if pick is None else pick(together)))
        if failed:
            self.ctx.stats.add("not_converted", failed)
        return out if changed else records

    def _plan(self, shape: Shape) -> tuple[list[Any], dict[tuple[str, ...], tuple[Shape, Pick | None]]]:
        """What to convert in records of this shape, and the shapes that they get by what could be converted."""
        sources = [
            (accessor.index(shape), accessor.path, name, convert) for accessor, name, convert in self._conversions
        ]
        plan: tuple[list[Any], dict[tuple[str, ...], tuple[Shape, Pick | None]]]
        plan = ([source for source in sources if source[0] >= 0], {})
        if shape.interned:
            shape.cache[self] = plan
        return plan
