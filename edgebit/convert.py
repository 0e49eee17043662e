"""`edgebit convert FILE`: a classic configuration as TOML that does the same.

What came in through includes and parser files is in it. Variables stay variables, @SET is put in its place. What Fluent Bit
has and edgebit hasn't is told in comments at the head, and what became of storage keys beside the buffers.
"""

from __future__ import annotations

import json
import re

from edgebit import sender, tables
from edgebit.errors import ConfigErrors
from edgebit.options import BadValue, boolean, integer, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgebit.config.model import Config, Section
    from edgebit.options import Option, Setting

_DOTTED = ("db", "json", "retry", "multiline", "storage", "net")  # prefixes whose tables the loader knows to be options


def convert(config: Config) -> str:
    """The text of a TOML file. Raises ConfigError."""
    errors = tables.settle(config)
    if errors:
        raise errors[0] if len(errors) == 1 else ConfigErrors(errors)
    out = [
        f"# {config.path}, converted from Fluent Bit's classic format",
        *(f"# {text}" for text in config.warnings),
        "",
    ]
    if config.service:
        out += ["[service]", *_settings(config.service, tables.SERVICE_OPTIONS), ""]
    for kind in ("parser", "multiline_parser", "input", "filter", "output"):
        for section in config.sections[kind]:
            out += _section(section)
    return "\n".join(out)


def _section(section: Section) -> list[str]:
    table = tables.table_of(section, classic=True)
    # The plugin first, as one reads it.
    first = ("plugin",) if section.kind in ("input", "filter", "output") else ("name", "format")
    settings = sorted(section.settings, key=lambda setting: first.index(setting.key) if setting.key in first else 9)
    out = [f"[[{section.kind}]]", *_settings(settings, table.options)]
    if section.buffer:
        out += [f"[{section.kind}.buffer]", *(f"# {note}" for note in section.notes),
                *_settings(section.buffer, sender.BUFFER_OPTIONS)]  # fmt: skip
    return [*out, ""]


def _settings(settings: Iterable[Setting], options: Iterable[Option]) -> list[str]:
    rows = {name.lower(): option for option in options for name in (option.name, *option.also)}
    groups: dict[str, list[Setting]] = {}
    runs: list[str] = []  # keys that may be there several times, as they change
    for setting in settings:
        groups.setdefault(setting.key, []).append(setting)
        option = rows.get(setting.key)
        if option is not None and option.multiple and runs[-1:] != [setting.key]:
            runs.append(setting.key)
    mixed = len(runs) > len(set(runs))  # then their order may matter
    out = []
    for key, group in groups.items():
        if mixed and key in runs:
            continue
        values = [_value(setting, rows.get(key)) for setting in group]
        shown = values[0] if len(values) == 1 else _list(values)
        prefix, dot, _ = key.partition(".")
        bare = re.fullmatch(r"[a-z0-9_.-]+", key) and (not dot or (prefix in _DOTTED and prefix not in groups))
        out.append(f"{key if bare else _text(key)} = {shown}")
    if mixed:
        out.append("in_order = " + _list([_text(f"{one.key} {_source(one)}") for one in settings if one.key in runs]))
    return out


def _list(values: list[str]) -> str:
    return "[\n" + "".join(f"    {value},\n" for value in values) + "]"


def _source(setting: Setting) -> str:
    """The value with its variables, in TOML's spelling."""
    return setting.source if setting.source is not None else str(setting.value).replace("${", "$${")


def _value(setting: Setting, option: Option | None) -> str:
    """A value of the type that the option has, where TOML has that type."""
    source = _source(setting)
    if option is None or "${" in source:
        return _text(source)
    try:
        if option.type is boolean:
            return "true" if boolean(source) else "false"
        if option.type is integer and re.fullmatch(r"-?(0|[1-9]\d*)", source):
            return source
        if option.type is number:
            return repr(number(source))
    except BadValue:
        pass  # the check of the configuration says what is wrong with it
    return _text(source.lower() if option.choices else source)


def _text(text: str) -> str:
    """A TOML string: a literal one where that spares backslashes."""
    if ("\\" in text or '"' in text) and "'" not in text and text.isprintable():
        return f"'{text}'"
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
