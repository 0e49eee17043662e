"""A configuration from the command line, with Fluent Bit's options; alone, or on top of a file.

    edgebit -c fluent-bit.conf -v
    edgebit -i tail -t app -p path=/var/log/app.log -F grep -m 'app*' -p 'regex=log error' -o stdout -m '*'

-p sets an option of the -i, -F or -o before it, -t a tag, -m a match. The rest sets what [SERVICE] could.
"""

from __future__ import annotations

from edgebit.config.classic import Document, Entry, RawSection
from edgebit.errors import ConfigError
from edgebit.options import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgebit.config.model import Config

_SHORT = "c:i:F:o:p:t:m:f:l:R:b:w:DqvhVd"
_LONG = ["config=", "input=", "filter=", "output=", "prop=", "tag=", "match=", "flush=", "log_file=", "parser=",
         "storage_path=", "workdir=", "dry-run", "quiet", "verbose", "help", "version", "daemon"]  # fmt: skip
_LETTER = {"prop": "p", "flush": "f", "log_file": "l", "parser": "R", "storage_path": "b", "dry-run": "D", "version": "V",
           "filter": "F"}  # fmt: skip
_SERVICE = {"f": "flush", "l": "log_file", "R": "parsers_file", "b": "storage.path"}
_KINDS = {"i": "input", "F": "filter", "o": "output"}
_ANY_SYNTAX = ("flush", "log_file", "log_level")  # what a TOML file may be run with, too


class Wrong(ValueError):
    """What is wrong with the command line."""


class CommandLine:
    """What was asked for. `flags` are the letters of options without a value."""

    def __init__(self, args: list[str]) -> None:
        """Raises Wrong."""
        import getopt

        try:
            options, rest = getopt.getopt(args, _SHORT, _LONG)
        except getopt.GetoptError as error:
            raise Wrong(str(error)) from None
        if rest:
            raise Wrong(f'there is no place for "{rest[0]}"')
        self.path = self.workdir = ""
        self.flags: set[str] = set()
        self.service = RawSection("service", "command line")
        self.sections: list[RawSection] = []
        for name, value in options:
            given = name
            name = name.lstrip("-")
            name = _LETTER.get(name, name[0])
            if name == "d":
                raise Wrong("edgebit stays in the foreground; let systemd start it")
            if name in "DqvhV":
                self.flags.add(name)
            elif not value.strip():
                raise Wrong(f"{given} needs a value")
            elif name == "c":
                self.path = value
            elif name == "w":
                self.workdir = value
            elif name in _SERVICE:
                self.service.entries.append(Entry(_SERVICE[name], value, f"option {given}"))
            elif name in _KINDS:
                self.sections.append(RawSection(_KINDS[name], f"option {given} {value}"))
                self.sections[-1].entries.append(Entry("name", value, f"option {given}"))
            else:
                self._property(name, value, given)
        for flag, level in (("q", "error"), ("v", "debug")):
            if flag in self.flags:
                self.service.entries.append(Entry("log_level", level, f"option -{flag}"))

    def _property(self, name: str, value: str, given: str) -> None:
        key = {"t": "tag", "m": "match"}.get(name, "")
        if not key:
            key, equals, value = value.partition("=")
            if not equals or not key.strip() or not value.strip():
                raise Wrong(f"{given} takes KEY=VALUE")
        if not self.sections:
            raise Wrong(f"{given} belongs behind an -i, -F or -o")
        section = self.sections[-1]
        if (key == "tag") == (section.name != "input") and key in ("tag", "match"):
            raise Wrong(f"{given} does not belong to an {section.name}")
        section.entries.append(Entry(key.strip(), value.strip(), f"option {given} {key}"))

    def load(self, env: Mapping[str, str]) -> Config:
        """The configuration. Raises ConfigError."""
        from edgebit.config import is_classic, load

        if self.path and not is_classic(self.path):
            config = load(self.path, env)
            extra = [*(entry.key for entry in self.service.entries if entry.key not in _ANY_SYNTAX),
                     *(section.where for section in self.sections)]  # fmt: skip
            if extra:
                raise ConfigError("goes with a classic configuration only", self.path, extra[0])
            for entry in self.service.entries:
                config.service = [other for other in config.service if other.key.lower() != entry.key]
                config.service.append(Setting(entry.key, entry.value, entry.where))
            return config
        from edgebit.config.fluentbit import Reader

        document = Document()
        if self.path:
            document.add_file(self.path)
        document.sections += [self.service, *self.sections]
        return Reader(self.path or "command line", document, env).config()
