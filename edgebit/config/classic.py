"""Fluent Bit's classic syntax: text to sections of entries, through includes. It knows no meaning of a section or key.

    # a comment has a line of its own; what follows a value belongs to it
    @SET name=value
    @INCLUDE other.conf
    [INPUT]
        Name   tail
        Path   /var/log/${WHAT}.log

Fluent Bit wants every key of a file indented by the same blanks. Here they may be indented by any or by none, since web
pages strip them; a tab separates key and value as a space does; and a header may be indented too. None of this changes
what a file means that Fluent Bit reads.
"""

from __future__ import annotations

import os
import re

from edgebit.errors import ConfigError, nearest, reason

SECTIONS = (
    "service", "input", "filter", "output", "parser", "multiline_parser", "plugins", "stream_task", "custom",
    "upstream", "node",
)  # fmt: skip
_INCLUDE = re.compile(r"@include(?:\s+(.*))?$", re.IGNORECASE)
_SET = re.compile(r"@set(?:\s(.*))?$", re.IGNORECASE | re.DOTALL)
MAX_FILES = 1000  # that includes may bring in


class Entry:
    """A key as written, its value with its references, and its place."""

    __slots__ = ("key", "value", "where")

    def __init__(self, key: str, value: str, where: str) -> None:
        self.key, self.value, self.where = key, value, where


class RawSection:
    """A section: `name` is one of SECTIONS."""

    def __init__(self, name: str, where: str) -> None:
        self.name, self.where = name, where
        self.entries: list[Entry] = []


class Document:
    """What a main file, or a file of parsers, and its includes hold."""

    def __init__(self) -> None:
        self.sections: list[RawSection] = []
        self.variables: dict[str, str] = {}  # of @SET, wherever they stand
        self.warnings: list[tuple[str, str, str]] = []  # where, key, text
        self._read: set[tuple[int, int]] = set()

    def add_file(self, path: str, shown: str = "", where: str = "", key: str = "") -> None:
        """Read a file and what it includes. `where` names the line that asked for it. Raises ConfigError."""
        shown = shown or path
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                data = file.read()
        except (OSError, ValueError) as error:
            what = "the file" if where else "the configuration"
            raise ConfigError(f"cannot read {what}: {reason(error)}", where, key) from None
        if (status.st_dev, status.st_ino) in self._read:
            raise ConfigError(f"{path} is included twice; each file can be once only", where, key)
        if len(self._read) >= MAX_FILES:
            raise ConfigError(f"more than {MAX_FILES} files are included", where, key)
        self._read.add((status.st_dev, status.st_ino))
        if not hasattr(self, "_main"):
            self._main = os.path.dirname(path)
        self.add_text(data, shown, os.path.dirname(path))

    def add_text(self, data: bytes, path: str, directory: str = "") -> None:
        """Take the text of a file; `path` is for error messages, `directory` for its includes. Raises ConfigError."""
        section: RawSection | None = None
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        for number, whole in enumerate(text.split("\n"), 1):
            whole = whole.removesuffix("\r")
            line = whole.strip()
            if not line or line[0] == "#":
                continue
            where = f"{path}:{number}"
            _check_text(line, where)
            if line[0] == "[":
                section = self._header(line, where)
                self.sections.append(section)
            elif line[0] == "@":
                self._directive(whole.lstrip(), where, directory)
            elif section is None:
                raise ConfigError("a key before the first section; sections are [SERVICE], [INPUT], [FILTER], [OUTPUT]",
                                  where, line.split()[0])  # fmt: skip
            else:
                key, *rest = line.split(None, 1)
                if not rest:
                    raise ConfigError("has no value", where, key)
                section.entries.append(Entry(key, rest[0], where))

    def _header(self, line: str, where: str) -> RawSection:
        name, bracket, rest = line[1:].partition("]")
        if not bracket:
            raise ConfigError('a section header without its closing "]"', where, line)
        name, rest = name.strip(), rest.strip()
        if rest and rest[0] != "#":
            self.warnings.append((where, f"[{name}]", f'"{rest}" after the section header is ignored'))
        # Fluent Bit takes any beginning of a name it knows; so do we where it is clear which.
        known = [full for full in SECTIONS if name and full.startswith(name.lower())]
        if name.lower() in SECTIONS:
            known = [name.lower()]
        if len(known) != 1:
            near = nearest(name, list(SECTIONS))
            hint = f"did you mean [{near.upper()}]?" if near else "there are [SERVICE], [INPUT], [FILTER], [OUTPUT]"
            raise ConfigError(f"no such section; {hint}", where, f"[{name}]")
        return RawSection(known[0], where)

    def _directive(self, line: str, where: str, directory: str) -> None:
        if found := _SET.match(line):
            name, equals, value = (found[1] or "").partition("=")
            if not equals or not name.strip():
                raise ConfigError("write it as @SET name=value", where, "@SET")
            self.variables[name.strip()] = value
        elif found := _INCLUDE.match(line.rstrip()):
            pattern = (found[1] or "").strip()
            if not pattern:
                raise ConfigError("needs a file", where, "@INCLUDE")
            self._include(pattern, where, directory)
        else:
            word = line.split()[0]
            raise ConfigError("no such directive; there are @INCLUDE and @SET", where, word)

    def _include(self, pattern: str, where: str, directory: str) -> None:
        main = getattr(self, "_main", directory)
        if "*" in pattern:
            import glob

            # Fluent Bit looks in the directory of the main file only, and takes what it finds in any order.
            found = sorted(glob.glob(os.path.join(main, pattern)))
            if not found and main != directory:
                found = sorted(glob.glob(os.path.join(directory, pattern)))
            if not found:  # an empty directory of drop-ins is nothing wrong
                self.warnings.append((where, "@INCLUDE", f"no file is called {pattern}"))
            for path in found:
                self.add_file(path, "", where, "@INCLUDE")
            return
        self.add_file(find(pattern, main, directory) or pattern, "", where, "@INCLUDE")


def find(name: str, *directories: str) -> str:
    """A file by a name that a configuration says: as it is, or else in the first of the directories that has it."""
    for path in (name, *(os.path.join(directory, name) for directory in directories)):
        if os.path.exists(path):
            return path
    return ""


def _check_text(line: str, where: str) -> None:
    if "\0" in line:
        raise ConfigError("has a NUL character in it; is this a text file?", where)
    try:
        line.encode()
    except UnicodeEncodeError:
        raise ConfigError("not UTF-8 text", where) from None
