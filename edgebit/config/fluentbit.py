"""A classic configuration's meaning: Fluent Bit's sections and keys as edgebit's.

Most keys are the same and only pass through. What differs: parsers come from files of their own; variables that are
not set are empty; storage is set at the service and at inputs there, at each output's buffer here (`storage`).
docs/fluent-bit.md lists what runs otherwise, with the reasons.
"""

from __future__ import annotations

import os

from edgebit.config import storage
from edgebit.config.classic import Document, Entry, RawSection, find
from edgebit.config.env import Classic, Unset
from edgebit.config.foreign import foreign
from edgebit.config.model import Config, Section
from edgebit.errors import ConfigError
from edgebit.options import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Keys of which Fluent Bit takes the last if there are several.
_LAST_WINS = ("tag", "match", "match_regex", "alias", "mem_buf_limit", "storage.type", "retry_limit", "log_level",
              "storage.total_limit_size")  # fmt: skip
_NOT_HERE = {
    "plugins": "plugins in shared libraries can't be loaded; `edgebit plugins` lists those that there are",
    "stream_task": "there is no stream processor; use filters",
    "custom": "there are no custom plugins; take the section out",
    "upstream": "there are no upstream files; give each host an [OUTPUT] of its own",
    "node": "there are no upstream files; give each host an [OUTPUT] of its own",
}


def load(path: str, env: Mapping[str, str]) -> Config:
    """Read a classic configuration. Raises ConfigError."""
    document = Document()
    document.add_file(path)
    return Reader(path, document, env).config()


class Reader:
    """Makes a Config of a document. Relative names of parser files are looked for beside `path`, too."""

    def __init__(self, path: str, document: Document, env: Mapping[str, str]) -> None:
        self._path, self._document, self._env = path, document, env
        self._config = Config(path, classic=True)
        self._classic = Classic(document.variables, env)
        self._defaults = storage.Defaults()

    def config(self) -> Config:
        """Raises ConfigError."""
        config, document = self._config, self._document
        self._warnings_of(document)
        for section in document.sections:
            if section.name == "service":
                self._service(section)
        for section in document.sections:
            if section.name in _NOT_HERE:
                raise ConfigError(_NOT_HERE[section.name], section.where, f"[{section.name.upper()}]")
            if section.name in ("parser", "multiline_parser"):
                self._parser(section)
            elif section.name != "service":
                self._plugin(section)
        if not any(setting.key == "report_losses" for setting in config.service):
            # Its outputs, and who reads them, expect nothing but what the inputs gave.
            config.service.append(Setting("report_losses", "false", config.path))
        self._matches()
        self._syslog_parsers()
        storage.apply(config, self._defaults)
        return config

    def _warnings_of(self, document: Document) -> None:
        for where, key, text in document.warnings:
            self._config.warn(where, key, text)

    # -- values --------------------------------------------------------------------------------------------------------

    def _setting(self, entry: Entry) -> Setting:
        try:
            value, source, unset = self._classic.expand(entry.value)
        except Unset as error:
            raise ConfigError(str(error), entry.where, entry.key) from None
        for name in unset:
            if not value.strip():
                raise ConfigError(f"is empty, because the variable {name} is not set", entry.where, entry.key)
            self._config.warn(entry.where, entry.key, f"the variable {name} is not set and taken as empty; write "
                              f"${{{name}:-}} if that is meant")  # fmt: skip
        return Setting(entry.key.lower(), value.strip(), entry.where, source)

    def _settings(self, section: RawSection) -> list[Setting]:
        """All of a section; of keys of which the last wins, only that."""
        found: list[Setting] = []
        for entry in section.entries:
            setting = self._setting(entry)
            if setting.key in _LAST_WINS:
                before = [other for other in found if other.key == setting.key]
                if before:
                    found.remove(before[0])
                    self._config.warn(setting.where, entry.key, "is set again; the last one is taken")
            found.append(setting)
        return found

    # -- sections ------------------------------------------------------------------------------------------------------

    def _service(self, section: RawSection) -> None:
        for entry in section.entries:
            setting = self._setting(entry)
            key, value = setting.key, str(setting.value)
            if key == "parsers_file":
                self._parsers_file(setting, entry.key)
            elif key in ("plugins_file", "streams_file"):
                for other in self._other_file(setting, entry.key).sections:
                    if other.entries:
                        raise ConfigError(_NOT_HERE.get(other.name, f"does not belong into a {key}"), other.where,
                                          f"[{other.name.upper()}]")  # fmt: skip
            elif self._defaults.take(setting):
                pass
            elif key == "json.escape_unicode":  # an option of each output here
                self._config.output_defaults = [setting]
            elif key == "grace" and value == "-1":
                self._set_service(Setting(key, "3650d", setting.where))
            else:
                row = foreign("service", "", key)
                if row is None:
                    self._set_service(setting)  # the builder knows which there are
                elif row.applies(value):
                    if row.fatal:
                        raise ConfigError(row.advice, setting.where, entry.key)
                    self._config.warn(setting.where, entry.key, row.advice)

    def _set_service(self, setting: Setting) -> None:
        """Set a key of the service; the last one wins, as in Fluent Bit."""
        self._config.service = [other for other in self._config.service if other.key != setting.key] + [setting]

    def _other_file(self, setting: Setting, key: str) -> Document:
        name = str(setting.value)
        path = find(name, os.path.dirname(self._path))
        if not path:
            hint = "; take the line out if only parsers of Fluent Bit's own parsers.conf are used: they are built in"
            raise ConfigError(f"there is no file {name}, neither as it is nor beside {self._path}"
                              + (hint if key.lower() == "parsers_file" else ""), setting.where, key)  # fmt: skip
        document = Document()
        document.add_file(path, "", setting.where, key)
        self._document.variables.update(document.variables)
        self._warnings_of(document)
        return document

    def _parsers_file(self, setting: Setting, key: str) -> None:
        for section in self._other_file(setting, key).sections:
            if section.name not in ("parser", "multiline_parser"):
                raise ConfigError("only [PARSER] and [MULTILINE_PARSER] belong into a parsers file", section.where,
                                  f"[{section.name.upper()}]")  # fmt: skip
            self._parser(section)

    def _parser(self, section: RawSection) -> None:
        settings, plugin = self._settings(section), section.name
        if section.name == "parser":
            formats = [setting for setting in settings if setting.key == "format"]
            if len(formats) != 1:
                raise ConfigError('needs Format, once, for example "Format  regex"', section.where, "[PARSER]")
            plugin = str(formats[0].value)
        self._config.sections[section.name].append(Section(section.name, plugin, settings, section.where))

    def _plugin(self, section: RawSection) -> None:
        settings = self._settings(section)
        names = [setting for setting in settings if setting.key == "name"]
        if len(names) != 1:
            problem = "is set twice" if names else 'a section needs it, for example "Name  tail"'
            raise ConfigError(problem, names[1].where if names else section.where, "Name")
        plugin = str(names[0].value)
        settings[settings.index(names[0])] = Setting("plugin", plugin, names[0].where, names[0].source)
        self._config.sections[section.name].append(Section(section.name, plugin, settings, section.where))

    def _matches(self) -> None:
        """What a filter or output without Match takes: in Fluent Bit nothing, unless there are but one input and output."""
        sections = self._config.sections
        alone = len(sections["input"]) == 1 and len(sections["output"]) == 1
        for kind in ("filter", "output"):
            for section in list(sections[kind]):
                if section.given("match") or section.given("match_regex"):
                    continue
                if kind == "output" and alone:
                    section.settings.append(Setting("match", "*", section.where))
                    continue
                self._config.warn(section.where, f"{kind} {section.plugin}", "has no Match and so takes nothing, as in "
                                  'Fluent Bit; write "Match *" for all records')  # fmt: skip
                if kind == "filter":
                    sections[kind].remove(section)
                else:
                    section.settings.append(Setting("match_regex", "(?!)", section.where))

    def _syslog_parsers(self) -> None:
        """An input syslog without Parser takes one by its name there, if it is defined; else the one built in does it."""
        defined = {str(setting.value) for section in self._config.sections["parser"] for setting in section.settings
                   if setting.key == "name"}  # fmt: skip
        for section in self._config.sections["input"]:
            if section.plugin.lower() != "syslog" or section.given("parser"):
                continue
            mode = section.given("mode")
            unix = str(mode.value).lower().startswith("unix") if mode else section.given("path")
            name = "syslog-rfc3164-local" if unix else "syslog-rfc5424"
            if name in defined:
                section.settings.append(Setting("parser", name, section.where))
