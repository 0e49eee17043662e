"""Sets of characters as ranges of code points: what the translator of regular expressions calculates with.

A set is a list of inclusive ranges. `rendered` writes one for Python's `re`, which takes ASCII and the rest of Unicode
alike at the cost of one table look-up a character. The named classes are those of POSIX brackets and of ``\\p{...}``,
with Unicode's categories (Python's tables); the combining marks that Unicode also calls alphabetic are in none but word.

Pure: no I/O, no clock.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Ranges = list[tuple[int, int]]

_LAST = 0x10FFFF

# \d \s \w \h are ASCII in Ruby's syntax.
ESCAPES: dict[str, Ranges] = {
    "d": [(48, 57)],
    "s": [(9, 13), (32, 32)],
    "w": [(48, 57), (65, 90), (95, 95), (97, 122)],
    "h": [(48, 57), (65, 70), (97, 102)],
}
# name: general categories (or the first letter of several), and single characters besides
_CATEGORIES: dict[str, tuple[tuple[str, ...], str]] = {
    "alnum": (("L", "Nd", "Nl"), ""),
    "alpha": (("L", "Nl"), ""),
    "blank": (("Zs",), "\t"),
    "digit": (("Nd",), ""),
    "graph": (("L", "M", "N", "P", "S", "Cf", "Co"), ""),
    "print": (("L", "M", "N", "P", "S", "Cf", "Co", "Zs"), ""),
    "punct": (("P",), "$+<=>^`|~"),
    "space": (("Z",), "\t\n\v\f\r\x85"),
    "word": (("L", "M", "Nd", "Nl", "Pc"), ""),
}
_CASES: dict[str, Callable[[str], bool]] = {"lower": str.islower, "upper": str.isupper}
_SCANNED = 0x20000  # the two planes from here on hold only ideographs, so U+20000 speaks for them

_named: dict[str, Ranges] = {"ascii": [(0, 127)], "cntrl": [(0, 31), (127, 159)], "xdigit": ESCAPES["h"]}


def named(name: str) -> Ranges | None:
    """The characters of a POSIX bracket or property, None if there is no such. The first use of a name takes some 25 ms."""
    if name in _named:
        return _named[name]
    test = _CASES.get(name)
    if name in _CATEGORIES:
        from unicodedata import category  # only for the patterns that need it

        kinds, others = _CATEGORIES[name]
        test = lambda c: category(c).startswith(kinds) or c in others  # noqa: E731  # one of two makers of a test
    if test is None:
        return None
    ranges: Ranges = []
    start = -1
    for code, inside in enumerate(map(test, map(chr, range(_SCANNED)))):
        if inside and start < 0:
            start = code
        elif start >= 0 and not inside:
            ranges.append((start, code - 1))
            start = -1
    if test(chr(_SCANNED)):
        ranges.append((_SCANNED, 0x3FFFF))
    _named[name] = ranges  # at most once for each name above
    return ranges


def union(ranges: Ranges) -> Ranges:
    """The same set, sorted, its ranges apart from one another."""
    joined: Ranges = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def complement(ranges: Ranges) -> Ranges:
    """All other characters."""
    holes: Ranges = []
    free = 0
    for low, high in union(ranges):
        if low > free:
            holes.append((free, low - 1))
        free = high + 1
    return [*holes, (free, _LAST)] if free <= _LAST else holes


def intersection(a: Ranges, b: Ranges) -> Ranges:
    """The characters that are in both."""
    return complement(complement(a) + complement(b))


def literal(code: int) -> str:
    """One character for `re`, safe inside and outside brackets."""
    if code < 128 and chr(code).isalnum():
        return chr(code)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def rendered(ranges: Ranges, negated: bool = False) -> str:
    """The set, or all but the set, as brackets for `re`."""
    if not ranges:
        return r"[\x00-\U0010ffff]" if negated else "(?!)"
    inner = "".join(literal(a) if a == b else f"{literal(a)}-{literal(b)}" for a, b in union(ranges))
    return f"[^{inner}]" if negated else f"[{inner}]"
