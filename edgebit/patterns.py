"""Which regular expressions of options were compiled, in a module of its own: what translates and judges them (onigmo.py) is
half a megabyte, and loaded only when a configuration has one."""

from __future__ import annotations

from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgebit.onigmo import Pattern

_collected: list[Pattern] | None = None


@contextmanager
def compiled() -> Iterator[list[Pattern]]:
    """The patterns that are compiled in the block: who reads a plugin's options learns which ones it will search with,
    wherever it keeps them."""
    global _collected
    found: list[Pattern] = []
    before, _collected = _collected, found
    try:
        yield found
    finally:
        _collected = before


def note(pattern: Pattern) -> None:
    """A pattern was compiled."""
    if _collected is not None:
        _collected.append(pattern)
