"""Record accessors: how an option names a field, also one deep inside a record.

``level`` is a top-level field. ``$pos['hall']``, ``$pos['list'][0]`` and ``$a.b`` begin with "$": a bare name (a letter
or "_", then letters, digits and ``_ . - /``), then any number of ``['key']`` (two quotes are one quote) and ``[index]``
steps into maps and lists. Names are compared exactly; of two equal names the last one wins. Fluent Bit's form; templates
("text $key text") are not among the things this module does.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import re

from edgebit.options import BadValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.record import Record, Shape

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING", "__bool__": lambda self: False})()

_HEAD = re.compile(r"\$([A-Za-z_][A-Za-z0-9_./-]*)")
_STEP = re.compile(r"\['((?:[^']|'')*+)'\]|\[([0-9]{1,9})\]")


class Accessor:
    """One field: its top-level `key` and the `path` of map keys and list indexes below it, often empty. `accessor` says that
    it was written with a "$"."""

    __slots__ = ("accessor", "key", "path")

    def __init__(self, key: str, path: tuple[str | int, ...] = (), accessor: bool = False) -> None:
        self.key, self.path, self.accessor = key, path, accessor

    def index(self, shape: Shape) -> int:
        """Where the top-level key is in records of this shape; -1 if they don't have it."""
        return shape.index.get(self.key, -1)

    def get(self, record: Record) -> Any:
        """The field's value in a record, or MISSING."""
        index = self.index(record[1])
        return MISSING if index < 0 else descend(record[2][index], self.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Accessor) and (self.key, self.path) == (other.key, other.path)

    def __hash__(self) -> int:
        return hash((self.key, self.path))

    def __repr__(self) -> str:
        return f"Accessor({self.key!r}, {self.path!r})"


def descend(value: Any, path: tuple[str | int, ...]) -> Any:
    """Follow the steps from a value down; MISSING where there is nothing."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return MISSING
            value = value[step]
        else:
            if not isinstance(value, list) or step >= len(value):
                return MISSING
            value = value[step]
    return value


def split(text: str) -> tuple[Accessor, str]:
    """The accessor at the start of a text, and what follows it: "KEY PATTERN" has blanks in its keys only in quotes.

    Raises BadValue.
    """
    if not text.startswith("$"):
        words = text.split(maxsplit=1)
        if not words or not text.startswith(words[0]):
            raise BadValue("the name of a field")
        return Accessor(words[0]), text[len(words[0]) :]
    head = _HEAD.match(text)
    if head is None:
        raise BadValue("a record accessor such as $key or $key['sub'][0]")
    path: list[str | int] = []
    end = head.end()
    while step := _STEP.match(text, end):
        quoted, number = step.groups()
        path.append(int(number) if quoted is None else quoted.replace("''", "'"))
        end = step.end()
    return Accessor(head[1], tuple(path), accessor=True), text[end:]


def parse(text: object) -> Accessor:
    """The accessor that a text is, all of it. A text without "$" is the name of a top-level field, blanks included.

    Raises BadValue.
    """
    if not isinstance(text, str) or not text:
        raise BadValue("the name of a field")
    if not text.startswith("$"):
        return Accessor(text)
    accessor, rest = split(text)
    if rest:
        raise BadValue(f"a record accessor such as $key or $key['sub'][0] (what does {rest!r} mean?)")
    return accessor
