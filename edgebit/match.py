"""Tag matching, as in Fluent Bit: whole tag, case-sensitive, ``*`` is any run of characters, also empty, also dots."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def wildcard(pattern: str) -> Callable[[str], bool]:
    """A test for tags. Linear in the tag: `*` becomes a non-greedy run, adjacent ones count as one."""
    if pattern == "*":
        return lambda tag: True
    if "*" not in pattern:
        return lambda tag: tag == pattern
    head, *rest = re.sub(r"\*+", "*", pattern).split("*")
    *middle, tail = rest

    def matches(tag: str) -> bool:
        # The classic greedy match: the first place of each middle piece is as good as any later one. No backtracking.
        if not tag.startswith(head):
            return False
        at, end = len(head), len(tag) - len(tail)
        for piece in middle:
            at = tag.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return at <= end and tag.endswith(tail)

    return matches


def regex(find: Callable[[str], re.Match[str] | None]) -> Callable[[str], bool]:
    """``match_regex``: must match from the tag's start and take at least one character. `find` gives the first match."""

    def matches(tag: str) -> bool:
        found = find(tag)
        return found is not None and found.start() == 0 and found.end() > 0

    return matches
