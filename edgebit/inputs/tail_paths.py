"""Which files tail follows, where new ones can appear, and what tag a file gets.

Patterns are those of the shell (``*``, ``?``, ``[...]``; a leading dot must be written out), ``~`` is the home
directory; as in Fluent Bit a ``*`` in `exclude_path` also takes slashes. A name that has such characters in it and
exists is taken as it is.
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from glob import escape, glob, has_magic

from edgebit.options import BadValue, strings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgebit.onigmo import Pattern

MAX_DIRECTORIES = 512  # watched for new names; further ones are only seen by the scan every refresh_interval


def paths(value: object) -> list[str]:
    """A list of paths or patterns, at least one; in one string, separated by commas."""
    found = strings(value)
    if not found:
        raise BadValue('one or more paths such as "/var/log/*.log"')
    return found


class Paths:
    """The patterns of `path` and `exclude_path`."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self.include = [os.path.expanduser(pattern) for pattern in include]
        self.exclude = [os.path.expanduser(pattern) for pattern in exclude]

    def matches(self) -> list[str]:
        """The names to follow now, in the order of the patterns, each once. Plain names are in it, there or not."""
        found: dict[str, None] = {}
        for pattern in self.include:
            names = sorted(glob(pattern)) if has_magic(pattern) else [pattern]
            if not names and os.path.lexists(pattern):
                names = [pattern]
            found.update(dict.fromkeys(names))
        return [name for name in found if not self._excluded(name)] if self.exclude else list(found)

    def covers(self, path: str) -> bool:
        """Whether a file of this name would be followed if it were there."""
        parts = path.split("/")
        return not self._excluded(path) and any(
            pattern == path or (len(parts) == len(of := pattern.split("/")) and all(map(fnmatchcase, parts, of)))
            for pattern in self.include
        )

    def directories(self) -> list[str]:
        """Directories in which a new name could make a new match, at most MAX_DIRECTORIES."""
        found: dict[str, None] = {}
        for pattern in self.include:
            found.update(dict.fromkeys(_directories(pattern)))
        return list(found)[:MAX_DIRECTORIES]

    def _excluded(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.exclude)


def _directories(pattern: str) -> list[str]:
    *parents, _ = (part for part in pattern.split("/") if part)
    level, watch = ["/" if pattern.startswith("/") else "."], []
    for part in parents:
        below: list[str] = []
        for directory in level:
            found = [d for d in glob(os.path.join(escape(directory), part)) if os.path.isdir(d)]
            if not found or has_magic(part):  # what isn't there yet, or not yet all, appears here
                watch.append(directory)
            below += found
        level = below
    return watch + level


def tag_of(tag: str, path: str, pattern: Pattern | None = None) -> str | None:
    """The tag of a file: ``<name>`` is filled from the pattern's groups, the first ``*`` with the path.

    A group that is missing or empty gives "_"; None if the pattern doesn't match the path. In a path slashes become
    dots, without those at the ends and without repetition.
    """
    if pattern is not None:
        match = pattern.find(path)
        if match is None:
            return None
        groups = dict(zip(pattern.names, match.groups()))
        tag = re.sub(r"<(\w+)>", lambda name: groups.get(name[1]) or "_", tag)
    if "*" in tag:
        dotted = re.sub(r"[/\\:.]+", ".", path.replace("*", "")).strip(".")
        tag = tag.replace("*", dotted, 1)
    return tag
