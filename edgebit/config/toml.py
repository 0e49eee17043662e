"""The native config syntax: TOML, with the line of every key.

    [service]
    [[input]]    plugin = "syslog" ...
    [[parser]]   name = "...", format = "regex" ...
    [[multiline_parser]]  name = "...", rule = [...] ...
    [[filter]]   plugin = "...", match = "..." ...
    [[output]]   plugin = "...", match = "..." ...
    [output.buffer]

A key stands once in a TOML table, and the order of different keys is lost where each has a list. Where it matters, any
section may have ``in_order``, a list of "KEY VALUE" texts that are read like the lines of a classic section.

tomllib gives values without places, so the lines are found in a second look at the text (`_lines`): section headers
are counted, keys at the start of a line noted. It needn't be a TOML parser: tomllib has accepted the text already, and
a key that it misses is reported with its section's line.
"""

from __future__ import annotations

import re

from edgebit.config.env import Unset, expand
from edgebit.config.model import KINDS, Config, Section
from edgebit.errors import ConfigError, nearest
from edgebit.options import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_HEADER = re.compile(r"\s*\[\[?\s*([\w.\-\"' ]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([\w.\-]+|\"[^\"]*\"|'[^']*')\s*=")
_PLACE = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)")


def parse(text: str, path: str, env: Mapping[str, str]) -> Config:
    """TOML text to a Config. Raises ConfigError."""
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        line = (found[1] if found else None) or str(text.count("\n") + 1)
        raise ConfigError(_PLACE.sub("", str(error)), f"{path}:{line}") from None
    except (ValueError, RecursionError) as error:  # of a number, a date or a nesting beyond all bounds
        raise ConfigError(f"cannot be read: {error}", path) from None
    reader = _Reader(_lines(text), path, env)
    config = Config(path)
    for name, value in data.items():
        where = reader.where(name, 0) if isinstance(value, list) else reader.where(name)
        if name == "service":
            if not isinstance(value, dict):
                raise ConfigError("write it as a [service] section", where, name)
            config.service = reader.settings(value, "service")
        elif name in KINDS:
            sections = value if isinstance(value, list) else [None]
            if not all(isinstance(section, dict) for section in sections):
                raise ConfigError(f"write each as a [[{name}]] section, in double brackets", where, name)
            config.sections[name] = [reader.section(name, i, section) for i, section in enumerate(sections)]
        else:
            near = nearest(name, ["service", *KINDS])
            raise ConfigError("no such section; " + (f'did you mean "{near}"?' if near else
                              f"there are service, {', '.join(KINDS)}"), where, name)  # fmt: skip
    return config


class _Reader:
    def __init__(self, lines: dict[tuple[str, ...], int], path: str, env: Mapping[str, str]) -> None:
        self.lines, self.path, self.env = lines, path, env

    def where(self, *keys: object) -> str:
        """ "file:line" of a key, or of the nearest enclosing one that was found."""
        parts = tuple(map(str, keys))
        while parts:
            if parts in self.lines:
                return f"{self.path}:{self.lines[parts]}"
            parts = parts[:-1]
        return self.path

    def section(self, kind: str, index: int, table: dict[str, Any]) -> Section:
        where = self.where(kind, index)
        buffer = None
        if kind == "output" or isinstance(table.get("buffer"), dict):  # the filter multiline has an option "buffer"
            buffer = table.pop("buffer", None)
        if buffer is not None and (kind != "output" or not isinstance(buffer, dict)):
            raise ConfigError("belongs to an output, as [output.buffer]", self.where(kind, index, "buffer"), "buffer")
        if kind == "multiline_parser":  # there is but one plugin
            return Section(kind, kind, self.settings(table, kind, index), where)
        key = "format" if kind == "parser" else "plugin"
        plugin = table.pop(key, None)
        if not isinstance(plugin, str) or not plugin:
            example = (
                f'{key} = "regex"' if key != "plugin" else f'plugin = "{"mqtt" if kind == "output" else "syslog"}"'
            )
            raise ConfigError(f'a [[{kind}]] section needs the key "{key}", for example {example}', where, key)
        settings = self.settings(table, kind, index)
        expanded = self.expand(plugin, self.where(kind, index, key), key)
        settings.append(Setting(key, expanded, self.where(kind, index, key)))
        return Section(kind, expanded, settings, where, self.settings(buffer or {}, kind, index, "buffer"))

    def settings(self, table: dict[str, Any], *above: object) -> list[Setting]:
        found = []
        for key, value in self.flat(table):
            where = self.where(*above, key)
            if key == "in_order":
                found += self.in_order(value, where)
                continue
            found.append(Setting(key, self.expand(value, where, key), where))
        return found

    def in_order(self, value: Any, where: str) -> list[Setting]:
        found = []
        for text in value if isinstance(value, list) else [value]:
            key, *rest = text.split(None, 1) if isinstance(text, str) else ("",)
            if not rest:
                raise ConfigError('is a list of texts such as "add site porto", a key and its value', where, "in_order")
            found.append(Setting(key, self.expand(rest[0].rstrip(), where, key), where))
        return found

    def flat(self, table: dict[str, Any]) -> list[tuple[str, Any]]:
        """Dotted options: TOML reads `tls.verify = true` as a table in a table; it means the option "tls.verify"."""
        found: list[tuple[str, Any]] = []
        for key, value in table.items():
            if isinstance(value, dict) and key in _DOTTED:
                if key == "tls":
                    # "tls = true" and "tls.verify = true" can't stand together in TOML: the second implies the first.
                    found.append(("tls", True))
                found += [(f"{key}.{sub}", v) for sub, v in self.flat(value)]
            else:
                found.append((key, value))
        return found

    def expand(self, value: Any, where: str, key: str) -> Any:
        if isinstance(value, str):
            try:
                return expand(value, self.env)
            except Unset as error:
                raise ConfigError(str(error), where, key) from None
        if isinstance(value, list):
            return [self.expand(item, where, key) for item in value]
        if isinstance(value, dict):
            return {name: self.expand(item, where, key) for name, item in value.items()}
        return value


_DOTTED = frozenset(
    ("tls", "db", "json", "retry", "buffer", "multiline", "storage", "net")
)  # prefixes of dotted options


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Where sections and keys stand: ("input", "0", "tag") -> 7. Arrays of tables are counted from 0."""
    places: dict[tuple[str, ...], int] = {}
    counts: dict[str, int] = {}
    prefix: tuple[str, ...] = ()
    quotes = ""  # inside a multi-line string, its delimiter
    depth = 0  # inside a multi-line array
    for number, line in enumerate(text.split("\n"), 1):
        if quotes:
            if quotes in line:
                quotes = ""
            continue
        if depth == 0 and (header := _HEADER.match(line)):
            names = [name.strip(" \"'") for name in header[1].split(".")]
            if line.lstrip().startswith("[["):
                counts[names[0]] = counts.get(names[0], -1) + 1
                places.setdefault((names[0],), number)
            prefix = (names[0], str(counts[names[0]]), *names[1:]) if names[0] in counts else tuple(names)
            places.setdefault(prefix, number)
            continue
        if depth == 0 and (key := _KEY.match(line)):
            places.setdefault((*prefix, key[1].strip("\"'")), number)
        for mark in ('"""', "'''"):
            if line.count(mark) % 2:
                quotes = mark
        bare = re.sub(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*", "", line)
        depth = max(0, depth + bare.count("[") + bare.count("{") - bare.count("]") - bare.count("}"))
    return places
