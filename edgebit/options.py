"""Option tables: the one place where a setting has its name, type, default, limits and help.

Every plugin has ``OPTIONS``, a tuple of `Option`; the service, the buffers and the senders have one too. Both config
syntaxes read into them: the TOML loader hands over native values, the classic loader only strings, and `Option.parse`
takes either. The tables also print `edgebit plugins NAME` and the reference pages, and they find the nearest name when
somebody mistypes one.

This module knows no plugin and opens no file.
"""

from __future__ import annotations

from edgebit.errors import ConfigError, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "required"})()

# Sizes: K, M, G and KB, MB, GB are decimal, as in Fluent Bit; KiB, MiB, GiB binary.
_SIZES = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9,
          "kib": 2**10, "mib": 2**20, "gib": 2**30}  # fmt: skip
_TIMES = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BOOLS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


class BadValue(ValueError):
    """A value that its type doesn't take; the text completes "must be ..."."""


def _bare(text: str) -> str:
    """A number without the comment behind it that Fluent Bit lets pass there: ``Grace 5 # seconds``."""
    return text.partition(" #")[0].strip()


def _split_unit(value: object, units: dict[str, Any], what: str) -> tuple[float, str]:
    text = _bare(str(value)).lower().replace("_", "")
    head = text.rstrip("abcdefghijklmnopqrstuvwxyz").rstrip()
    unit = text[len(head) :].strip()
    try:
        number = float(head)
    except ValueError:
        raise BadValue(what) from None
    if unit not in units or number != number or number in (float("inf"), float("-inf")):
        raise BadValue(what)
    return number, unit


def size(value: object) -> int:
    """Bytes: 4096, "64KiB", "8M" (decimal); false is 0."""
    what = 'a size such as 65536, "64KiB" or "8MB"'
    if str(value).strip().lower() == "false":
        return 0
    if isinstance(value, bool):
        raise BadValue(what)
    number, unit = _split_unit(value, _SIZES, what)
    if number < 0:
        raise BadValue(what)
    return int(number * _SIZES[unit])


def duration(value: object) -> float:
    """Seconds: 5, 0.2, "500ms", "2m", "1h", "1d"."""
    what = 'a time such as "500ms", "5s" or "2m" (a bare number is seconds)'
    if isinstance(value, bool):
        raise BadValue(what)
    number, unit = _split_unit(value, _TIMES, what)
    if number < 0:
        raise BadValue(what)
    return number * _TIMES[unit]


def milliseconds(value: object) -> float:
    """Seconds from a bare number of milliseconds, or a time with its unit."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return duration(value)
    return duration(value) / 1000


def boolean(value: object) -> bool:
    """true/on/yes or false/off/no."""
    if isinstance(value, bool):
        return value
    found = _BOOLS.get(str(value).strip().lower())
    if found is None:
        raise BadValue("true, on, yes or false, off, no")
    return found


def integer(value: object) -> int:
    """A whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return int(_bare(value).replace("_", ""), 0) if isinstance(value, str) else _bad("a whole number")
    except ValueError:
        raise BadValue("a whole number") from None


def number(value: object) -> float:
    """A number, not infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadValue("a number")
    try:
        found = float(_bare(value) if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        raise BadValue("a number") from None
    return found if found - found == 0 else _bad("a number")


def string(value: object) -> str:
    """Text."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise BadValue("text")


def strings(value: object) -> list[str]:
    """A list of texts; in one string, separated by commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        return [string(item) for item in value]
    raise BadValue("a list of texts")


def mapping(value: object) -> list[tuple[str, Any]]:
    """Pairs of name and value: a TOML table, or a list of "NAME VALUE" texts (the classic form)."""
    if isinstance(value, dict):
        return list(value.items())
    pairs: list[tuple[str, Any]] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            pairs += item.items()
            continue
        name, _, rest = str(item).strip().partition(" ")
        rest = rest.strip()
        if not name or not rest:
            raise BadValue('a table such as {site = "porto"} or texts such as "site porto"')
        if len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "\"'":
            rest = rest[1:-1]
        pairs.append((name, rest))
    return pairs


def anything(value: object) -> object:
    """Any value; the plugin's own code checks it."""
    return value


def without_effect(why: str, *names: str) -> tuple[Option, ...]:
    """Options that Fluent Bit has and that mean nothing here: they are taken, whatever they say, and `why` is their help."""
    return tuple(Option(name, anything, None, f"without effect: {why}") for name in names)


def plugin_ref(value: object) -> str:
    """The name of a [[parser]] or of a built-in one; resolved when the agent is built."""
    return string(value)


def multiline_ref(value: object) -> list[str]:
    """Names of [[multiline_parser]] sections or built-in ones; resolved to definitions when the agent is built."""
    return strings(value)


def _bad(what: str) -> Any:
    raise BadValue(what)


_TYPE_NAMES: dict[Any, str] = {size: "size", duration: "time", milliseconds: "time in ms",
               boolean: "boolean", integer: "integer", number: "number",
               string: "text", strings: "list", mapping: "table", anything: "value", plugin_ref: "parser",
               multiline_ref: "multiline parsers"}  # fmt: skip


class Option:
    """One row of a table.

    name      as in the config, compared without regard to case; its attribute has "_" for "." and "-"
    type      one of the functions above (or a like one that raises BadValue), or a tuple of allowed texts
    default   REQUIRED, or the value the plugin gets, already of its final type
    help      one sentence, with the unit
    minimum, maximum   limits for numbers, sizes and times
    multiple  may be given several times (classic) or as a list (TOML); the plugin gets a list
    secret    never printed
    default_text  how the default is written, where that can't be told from its type
    also      other names for the same
    """

    __slots__ = (
        "also",
        "choices",
        "default",
        "default_text",
        "help",
        "maximum",
        "minimum",
        "multiple",
        "name",
        "secret",
        "type",
    )

    def __init__(self, name: str, type: Callable[[Any], Any] | tuple[str, ...], default: Any, help: str, *,
                 minimum: float | None = None, maximum: float | None = None, multiple: bool = False,
                 secret: bool = False, default_text: str = "", also: tuple[str, ...] = ()) -> None:  # fmt: skip
        self.name, self.default, self.help = name, default, help
        self.choices = type if isinstance(type, tuple) else ()
        self.type: Callable[[Any], Any] = self._choice if isinstance(type, tuple) else type
        self.minimum, self.maximum, self.multiple, self.secret = minimum, maximum, multiple, secret
        self.default_text, self.also = default_text, also

    @property
    def attribute(self) -> str:
        return self.name.replace(".", "_").replace("-", "_")

    @property
    def type_name(self) -> str:
        return " | ".join(self.choices) if self.choices else _TYPE_NAMES.get(self.type, "text")

    def _choice(self, value: object) -> str:
        text = str(value).strip().lower()
        if text not in self.choices:
            near = nearest(text, list(self.choices))
            raise BadValue("one of " + ", ".join(self.choices) + (f' (did you mean "{near}"?)' if near else ""))
        return text

    def _one(self, value: object) -> Any:
        parsed = self.type(value)
        if self.minimum is not None and parsed < self.minimum:
            raise BadValue(f"at least {self.minimum:g}")
        if self.maximum is not None and parsed > self.maximum:
            raise BadValue(f"at most {self.maximum:g}")
        return parsed

    def parse(self, value: object) -> Any:
        """The typed value. Raises BadValue."""
        if self.multiple and self.type is not mapping:
            items = value if isinstance(value, list) else [value]
            return [self._one(item) for item in items]
        return self._one(value)


class Options:
    """The values of one table as attributes: ``opt.interval_sec``.

    `in_order` has what was given for options that may be given several times, as (name in lower case, typed value), in
    the order of the file: for plugins to which the order of different options matters.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.__dict__.update(values or {})

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __repr__(self) -> str:
        return f"Options({self.__dict__!r})"


class Setting:
    """A key and its value as found in a config file, with the place for error messages.

    `source` is the value before ${VAR} was replaced, in TOML's spelling, if that is known: for `edgebit convert`.
    """

    __slots__ = ("key", "source", "value", "where")

    def __init__(self, key: str, value: object, where: str = "", source: str | None = None) -> None:
        self.key, self.value, self.where, self.source = key, value, where, source


def read(table: Iterable[Option], settings: Iterable[Setting], owner: str, where: str = "") -> Options:
    """Check settings against a table and return typed values, defaults filled in.

    `owner` names what the table belongs to ("input tail"), `where` its place in the file. Raises ConfigError.
    """
    table = list(table)
    rows = {name.lower(): option for option in table for name in (option.name, *option.also)}
    given: dict[str, Setting] = {}
    parsed: dict[str, Any] = {}
    in_order: list[tuple[str, Any]] = []
    for setting in settings:
        option = rows.get(setting.key.lower())
        if option is None:
            near = nearest(setting.key.lower(), list(rows))
            hint = (
                f'did you mean "{near}"?' if near else "it takes: " + ", ".join(sorted(o.name.lower() for o in table))
            )
            raise ConfigError(f"{owner} has no such option; {hint}", setting.where, setting.key)
        key = option.name.lower()
        if key in given and not option.multiple:
            raise ConfigError(f"set twice, the first time at {given[key].where}", setting.where, setting.key)
        given.setdefault(key, setting)
        try:
            value = option.parse(setting.value)
        except BadValue as error:
            shown = "***" if option.secret else repr(setting.value)
            raise ConfigError(f"must be {error}, not {shown}", setting.where, setting.key) from None
        if option.multiple:
            in_order += [(key, one) for one in value]
            value = parsed.get(key, []) + value
        parsed[key] = value
    values: dict[str, Any] = {"in_order": in_order}
    for option in table:
        key = option.name.lower()
        if key not in parsed and option.default is REQUIRED:
            raise ConfigError(f'{owner} needs the option "{option.name}": {option.help}', where)
        values[option.attribute] = parsed.get(key, option.default)
    return Options(values)


def shown(option: Option) -> str:
    """The default as a person would write it."""
    value = option.default
    if option.default_text:
        return option.default_text
    if value is REQUIRED:
        return "required"
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if option.type is size:
        for unit in ("GiB", "MiB", "KiB"):
            if value and value % _SIZES[unit.lower()] == 0:
                return f"{value // _SIZES[unit.lower()]}{unit}"
        return str(value)
    if option.type is duration:
        return f"{value:g}s" if value >= 1 or not value else f"{value * 1000:g}ms"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) if value else "-"
    return str(value) if value != "" else '""'
