"""Which options a section of a config may have, and what a classic one's mean.

The tables of the service and of what all inputs, filters and outputs have in common; `table_of` puts a section's together.
`settle` then makes a classic section one like any other: keys that only Fluent Bit has go, defaults that are different
there come. From there on nothing knows in which syntax a configuration was written.
"""

from __future__ import annotations

from edgebit import registry, sender
from edgebit.errors import ConfigError
from edgebit.log import LEVELS
from edgebit.options import REQUIRED, Option, Setting, boolean, duration, read, size, string
from edgebit.plugin import Format, Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.config.model import Config, Section
    from edgebit.plugin import Plugin


def _regex(value: object) -> object:
    from edgebit.onigmo import compile_regex  # half a megabyte, for those who have one

    return compile_regex(value)


SERVICE_OPTIONS = (
    Option("flush", duration, 1.0, "longest time that a record waits for its batch to fill up", minimum=0.001),
    Option("grace", duration, 5.0, "how long a stopping agent tries to deliver what is left"),
    Option("log_level", tuple(LEVELS), "info", "how much is logged to standard error"),
    Option("log_file", string, "", "file to log to instead of standard error; it is appended to"),
    Option("hostname", string, "", "name of this machine in topics and headers; by default the system's"),
    Option("agent_id", string, "", "name of this agent at the collector; by default the host name and a short mark "
           "of the machine, so that two devices from one image differ"),
    Option("state_dir", string, "", "directory for positions and dead letters; by default $STATE_DIRECTORY, "
           "/var/lib/edgebit for root, else ~/.local/state/edgebit; none: nothing is kept over a restart"),
    Option("report_losses", boolean, True, "tell outputs what was lost, as records of the tag edgebit.loss; the log and the "
           "ledger in the state directory have it anyhow"),
    Option("ready_timeout", duration, 10.0, "how long READY waits for inputs that can't be opened yet"),
    Option("memory_limit", size, 0, "bytes of memory for everything that waits or is worked on, all outputs together: what "
           "outputs without a buffer memory of their own share; by default what the outputs have plus 1 MiB for the work",
           default_text="none"),
    Option("multiline_buffer_limit", size, 2 * 2**20, "longest text that lines are joined to; then another begins",
           minimum=1024),
)  # fmt: skip

_PLUGIN = Option("plugin", string, REQUIRED, "the plugin's name")
_ALIAS = Option("alias", string, "", "a name for logs and statistics instead of PLUGIN.N")
_MATCH = (
    Option("match", string, "", 'tags to take, "*" is any run of characters; by default all'),
    Option("match_regex", _regex, None, "tags to take, as a regular expression from the tag's start"),
)
INPUT_OPTIONS = (_PLUGIN, Option("tag", string, "", "tag of the records; by default PLUGIN.N"), _ALIAS)
FILTER_OPTIONS = (_PLUGIN, _ALIAS, *_MATCH)
OUTPUT_OPTIONS = (_PLUGIN, _ALIAS, *_MATCH, *sender.OPTIONS)
PARSER_OPTIONS = (
    Option("format", string, REQUIRED, "the kind of parser"),
    Option("name", string, REQUIRED, "what inputs call it by"),
)
COMMON = {"input": INPUT_OPTIONS, "filter": FILTER_OPTIONS, "output": OUTPUT_OPTIONS, "parser": PARSER_OPTIONS}


class Table:
    """The options of a section: `cls` is its plugin, `format` the one its output writes, `classic` see Plugin.CLASSIC."""

    def __init__(
        self, cls: type[Plugin] | None, options: tuple[Option, ...], format: type[Format] | None = None
    ) -> None:
        self.cls, self.options, self.format = cls, options, format
        self.classic = {**(format.CLASSIC if format else {}), **(cls.CLASSIC if cls else {})}


def table_of(section: Section, classic: bool) -> Table:
    """Raises ConfigError if there is no such plugin, or an output has no such format."""
    if section.kind == "multiline_parser":
        from edgebit.parsers import multiline_options

        return Table(None, multiline_options.OPTIONS)
    key = "format" if section.kind == "parser" else "plugin"
    cls = registry.find(section.kind, section.plugin, place(section, key),
                        {"parser": "format"}.get(section.kind, "Name" if classic else "plugin"))  # fmt: skip
    table = (*COMMON[section.kind], *cls.OPTIONS)
    if not issubclass(cls, Output):
        return Table(cls, table)
    format_cls = _format_class(cls, section, classic)
    return Table(cls, (*table, *format_option(cls), *(format_cls.OPTIONS if format_cls else ())), format_cls)


def format_option(cls: type[Output]) -> tuple[Option, ...]:
    """The option `format` of an output that carries formats."""
    if not cls.FORMATS:
        return ()
    return (Option("format", (*cls.FORMATS, *cls.FORMAT_NAMES), cls.FORMATS[0], "how records are written"),)


def _format_class(cls: type[Output], section: Section, classic: bool) -> type[Format] | None:
    if not cls.FORMATS:
        return None
    given = [setting for setting in section.settings if setting.key.lower() == "format"]
    if classic and not given and "format" in cls.CLASSIC:
        given = [Setting("format", cls.CLASSIC["format"], section.where)]
    wanted = read(format_option(cls), given, f"output {section.plugin}").format
    found = registry.find("format", cls.format_of(wanted, {setting.key.lower() for setting in section.settings}))
    assert issubclass(found, Format)
    return found


def settle(config: Config) -> list[ConfigError]:
    """Make the sections of a classic configuration like those of any other. What is wrong in it, as errors."""
    errors: list[ConfigError] = []
    if not config.classic or config.settled:
        return errors
    config.settled = True
    for sections in config.sections.values():
        for section in sections:
            try:
                table = table_of(section, classic=True)
            except ConfigError:
                continue  # it is found again, and told, when the section is built
            _settle_section(config, section, table, errors)
    return errors


def _settle_section(config: Config, section: Section, table: Table, errors: list[ConfigError]) -> None:
    from edgebit.config.foreign import foreign

    names = {name.lower() for option in table.options for name in (option.name, *option.also)}
    given = {setting.key for setting in section.settings}
    idle = _of_other_formats(table) if given - names else set()
    kept: list[Setting] = []
    for setting in section.settings:
        if setting.key in idle and setting.key not in names:
            continue
        row = foreign(section.kind, section.plugin, setting.key) if setting.key not in names else None
        if row is None:
            kept.append(setting)
        elif row.applies(setting.value):
            if row.fatal:
                errors.append(ConfigError(row.advice, setting.where, setting.key))
            else:
                config.warn(setting.where, setting.key, row.advice)
    if section.kind == "output":
        kept += [setting for setting in config.output_defaults if setting.key not in given and setting.key in names]
    kept += [Setting(k, v, section.where) for k, v in table.classic.items() if k not in given and k in names]
    section.settings = kept


def _of_other_formats(table: Table) -> set[str]:
    """Options of formats that an output could have but hasn't: Fluent Bit takes them and does nothing with them."""
    if table.cls is None or not issubclass(table.cls, Output):
        return set()
    return {option.name.lower() for name in table.cls.FORMATS for option in registry.find("format", name).OPTIONS}


def place(section: Section, key: str) -> str:
    """Where a key of a section stands, or the section itself."""
    found = section.given(key.lower())
    return found.where if found is not None else section.where
