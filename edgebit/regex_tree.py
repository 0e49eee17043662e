"""The tree of `re`'s own parser, as backtracking.py needs it: what characters its elements take, how it begins and ends."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.charsets import Ranges

    Tree = list[tuple[Any, Any]]

LAST = 0x10FFFF
NO_NEWLINE: Ranges = [(0, 9), (11, LAST)]
ALL: Ranges = [(0, LAST)]
REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def minus(a: Ranges, b: Ranges) -> Ranges:
    """What is in `a` and not in `b`."""
    from edgebit.charsets import complement, intersection

    return intersection(a, complement(b))


def characters(op: str, value: Any, flags: int) -> Ranges | None:
    """What an element that takes one character takes; None for other elements."""
    from edgebit.charsets import ESCAPES, complement, union

    if op == "ANY":
        return ALL if flags & re.DOTALL else NO_NEWLINE
    negated = op == "NOT_LITERAL"
    if op in ("LITERAL", "NOT_LITERAL"):
        ranges = [(int(value), int(value))]
    elif op == "IN":
        ranges = []
        for kind, what in value:
            if kind.name == "NEGATE":
                negated = True
            elif kind.name == "RANGE":
                ranges.append((int(what[0]), int(what[1])))
            elif kind.name == "LITERAL":
                ranges.append((int(what), int(what)))
            else:  # a category
                _, _, name = str(what).rpartition("_")
                found = ESCAPES[{"DIGIT": "d", "SPACE": "s", "WORD": "w"}[name]]
                ranges += complement(found) if "_NOT_" in str(what) else found
    else:
        return None
    if flags & re.IGNORECASE:
        for low, high in list(ranges):
            for first, shift in ((65, 32), (97, -32)):
                if low <= first + 25 and high >= first:
                    ranges.append((max(low, first) + shift, min(high, first + 25) + shift))
            if low == high >= 128:
                ranges += [
                    (ord(other), ord(other)) for other in {chr(low).lower(), chr(low).upper()} if len(other) == 1
                ]
    return complement(ranges) if negated else union(ranges)


def one_character(tree: Any, flags: int) -> Ranges | None:
    """The characters of a body that is one element taking one character, in any number of groups."""
    while len(tree) == 1:
        op, value = tree[0]
        if op.name != "SUBPATTERN":
            return characters(op.name, value, flags)
        flags = (flags | value[1]) & ~value[2]
        tree = value[3]
    return None


def is_unlimited(high: Any) -> bool:
    """Whether an upper limit of a repeat is none."""
    return int(high) >= 2**16


def leading_run(tree: Any, flags: int) -> Ranges | None:
    """The characters of the repeat that an expression begins with; None if it begins otherwise. From any
    place inside a run of these, a match would begin at the start of the run as well."""
    if _refers(tree):
        return None
    while len(tree):
        op, value = tree[0]
        if op.name == "SUBPATTERN":
            flags = (flags | value[1]) & ~value[2]
            tree = value[3]
        elif op.name in REPEATS and is_unlimited(value[1]):
            return one_character(value[2], flags)
        else:
            return None
    return None


def _refers(tree: Any) -> bool:
    """Whether there is a back-reference, which sees what exactly a group took, or a look-around."""
    for op, value in tree:
        name = op.name
        if name in ("GROUPREF", "GROUPREF_EXISTS", "ASSERT", "ASSERT_NOT"):
            return True
        inner = (value[1] if name == "BRANCH" else [value[2]] if name in REPEATS else [value[3]] if name == "SUBPATTERN"
                 else [value] if name == "ATOMIC_GROUP" else [])  # fmt: skip
        if any(map(_refers, inner)):
            return True
    return False


def without_tail(tree: Tree, flags: int) -> Tree:
    """The elements without loops at the end that nothing can make go back."""
    tree = list(tree)
    at_end = False
    if tree and tree[-1][0].name == "AT" and str(tree[-1][1]) == "AT_END" and flags & re.MULTILINE:
        at_end = True
        tree.pop()
    while tree:
        op, value = tree[-1]
        if op.name == "SUBPATTERN":
            inner_flags = (flags | value[1]) & ~value[2]
            if at_end:  # the end of the line may only be tested right after a loop over all of it
                last = value[3][-1:] if len(value[3]) else []
                chars = one_character(last[0][1][2], inner_flags) if last and last[0][0].name in REPEATS else None
                if chars is None or minus(NO_NEWLINE, chars):
                    break
            inner = without_tail(list(value[3]), inner_flags)
            tree[-1] = (op, (*value[:3], inner))
            if inner:
                break
            tree.pop()
        elif op.name in REPEATS and (chars := one_character(value[2], flags)) is not None and is_unlimited(value[1]):
            if at_end and (op.name == "MIN_REPEAT" or minus(NO_NEWLINE, chars)):
                break
            tree.pop()
            if value[0]:
                tree += value[2]
                break
        else:
            break
        at_end = False
    return tree
