"""Ruby's syntax of regular expressions (Onigmo's), written again for `re` atom by atom; see onigmo.py for what and why.

Pure: no I/O, no clock. Syntax: Onigmo's doc/RE, ONIG_SYNTAX_RUBY.
"""

from __future__ import annotations

import re

from edgebit import charsets
from edgebit.charsets import literal, rendered
from edgebit.options import BadValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.charsets import Ranges

_CHARS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7, "e": 27}
_ANCHORS = {"A": r"\A", "z": r"\Z", "Z": r"(?=\n?\Z)", "b": r"\b", "B": r"\B", "G": r"\A"}  # a search starts at 0
_REFUSED = {"K": "\\K (keep)", "X": "\\X (grapheme)", "g": "\\g (subexpression call)", "M": "\\M (meta)"}
_LINE_START = r"^(?<!\n\Z)"
_NEWLINE = r"(?:\r\n?+|[\n-\f\x85\u2028\u2029])"
_NUMBER = re.compile(r"\\(?:x\{([0-9a-fA-F]{1,8})\}|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|(0[0-7]{0,2}))")
_CONTROL = re.compile(r"\\(?:c|C-)([@-_a-z?])")
_INTERVAL = re.compile(r"\{(?:([0-9]+)(,?)([0-9]*)|,([0-9]+))\}")
_GROUP = re.compile(r"\(\?(?:(<(?![=!])|'|P<)|([:=!>]|<=|<!)|([imx]*(?:-[imx]*)?)([:)])|(#))")
_BACK = re.compile(r"\\k(?:<([^<>]+)>|'([^']+)')")
_POSIX = re.compile(r"\[:(\^?)([a-z]+):\]")
_PROPERTY = re.compile(r"\\([pP])\{(\^?)([A-Za-z]+)\}")
_PLAIN_GROUP = "\0"  # becomes "(" or "(?:" when it is known whether there are named groups; no literal is written so


class _Level:
    """An open group: how it began, what is in it so far, and the flags to go back to at its end."""

    __slots__ = ("closing", "flags", "opening", "parts", "start")

    def __init__(self, opening: str, flags: frozenset[str], start: int = 0) -> None:
        self.opening, self.flags, self.closing, self.start = opening, flags, ")", start
        self.parts: list[str] = []


class Translator:
    """One pass over a pattern. Each finished atom is one string in the innermost level's parts, so that a quantifier
    knows what it repeats."""

    def __init__(self, text: str, flags: frozenset[str]) -> None:
        self.text, self.at, self.flags = text, 0, flags
        self.names: list[str] = []
        self.levels = [_Level("", flags)]
        self.repeatable = False  # the last part is an atom
        self.numbered = False
        self.anchored = False
        self._start = 0
        self.repeated: list[str] = []  # groups with their quantifiers, as they were written
        self._group = (0, 0)  # where the last group began and ended

    def refuse(self, what: str) -> BadValue:
        return BadValue(f"a regular expression that can run here: {what} at position {self.at + 1}")

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def emit(self, part: str, repeatable: bool = True) -> None:
        self.levels[-1].parts.append(part)
        self.repeatable = repeatable

    def run(self) -> str:
        """The pattern for `re`. Raises BadValue."""
        text = self.text
        alternatives = False
        while self.at < len(text):
            char = text[self.at]
            if char == "\\":
                self.escape()
            elif char == "[":
                self.at += 1
                ranges, negated = self.bracket()
                self.emit(rendered(ranges, negated))
            elif char == "(":
                self.open()
            elif char == ")":
                self.close()
            elif char in "*+?{":
                self.quantifier(char)
            elif "x" in self.flags and char in " \t\n\v\f\r":
                self.at += 1
            elif "x" in self.flags and char == "#":
                end = text.find("\n", self.at)
                self.at = len(text) if end < 0 else end
            else:
                self.at += 1
                if char == "|":
                    alternatives = alternatives or len(self.levels) == 1
                    self.emit("|", repeatable=False)
                elif char == "^":
                    self.emit(_LINE_START, repeatable=False)
                elif char == "$":
                    self.emit("$", repeatable=False)
                else:
                    self.emit("." if char == "." else literal(ord(char)))
        if len(self.levels) > 1:
            raise self.refuse('a ")" is missing')
        if self.numbered and self.names:
            raise self.refuse("a numbered back-reference beside named groups, use \\k<name>,")
        parts = self.levels[0].parts
        self.anchored = bool(parts) and parts[0] in (_LINE_START, r"\A") and not alternatives
        body = "".join(parts) + self.levels[0].closing[:-1]
        return body.replace(_PLAIN_GROUP, "(?:" if self.names else "(")

    # -- groups ------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        self._start = self.at
        if not self.text.startswith("(?", self.at):
            self.at += 1
            self.push(_PLAIN_GROUP, self.flags)
            return
        found = self.take(_GROUP)
        if found is None:
            what = {"~": "(?~ (absence operator)", "(": "(?( (conditional)"}.get(
                self.text[self.at + 2 : self.at + 3], "(?"
            )
            raise self.refuse(f'the group "{what}" has no equal,')
        named, kind, flags, after, _comment = found.groups()
        if named:
            closer = "'" if named == "'" else ">"
            name, mark, _ = self.text[self.at :].partition(closer)
            if not name or not mark or name[0].isdigit():
                raise self.refuse("a group name is missing or starts with a digit")
            self.at += len(name) + 1
            self.names.append(name)
            self.push("(", self.flags)
        elif kind:
            self.push(f"(?{kind}", self.flags)
        elif flags is not None:
            self.flag_group(flags, after)
        else:
            end = self.text.find(")", self.at)
            if end < 0:
                raise self.refuse("a comment has no end")
            self.at = end + 1

    def push(self, opening: str, inner: frozenset[str]) -> None:
        self.levels.append(_Level(opening, self.flags, self._start))
        self.flags, self.repeatable = inner, False

    def flag_group(self, text: str, after: str) -> None:
        on, _, off = text.partition("-")
        inner = (self.flags | frozenset(on)) - frozenset(off)
        # x is dealt with here; Ruby's m is Python's s.
        add, drop = ("".join(sorted(f.replace("m", "s") for f in s if f in "im"))
                     for s in (inner - self.flags, self.flags - inner))  # fmt: skip
        opening = f"(?{add}{'-' if drop else ''}{drop}:"
        if after == ":":
            self.push(opening, inner)
        else:  # holds to the end of the enclosing group, alternatives included
            self.emit(opening, repeatable=False)
            self.levels[-1].closing += ")"
            self.flags = inner

    def close(self) -> None:
        if len(self.levels) == 1:
            raise self.refuse('a ")" too many')
        self.at += 1
        level = self.levels.pop()
        self.flags = level.flags
        self._group = (level.start, self.at)
        self.emit(level.opening + "".join(level.parts) + level.closing)

    # -- quantifiers -------------------------------------------------------------------------------------------------

    def quantifier(self, char: str) -> None:
        begun = self._group[0] if self._group[1] == self.at else -1
        interval = self.take(_INTERVAL) if char == "{" else None
        if char == "{" and interval is None:
            self.at += 1
            self.emit(literal(ord("{")))
            return
        if not self.repeatable:
            raise self.refuse("there is nothing to repeat")
        if interval is None:
            self.at += 1
            mark, modifiers = char, "?+"
        else:
            low, comma, high, only_high = interval.groups()
            mark = f"{{0,{only_high}}}" if only_high else f"{{{low}{comma}{high}}}"
            modifiers = "?" if only_high or comma else ""  # {n}? is the optional {n}
        if self.text.startswith(tuple(modifiers), self.at):
            mark += self.text[self.at]
            self.at += 1
        if begun >= 0:
            self.repeated.append(self.text[begun : self.at])
            self._group = (begun, self.at)
        # Wrapped, so that the next quantifier repeats the repeat; it makes no difference in the compiled pattern.
        parts = self.levels[-1].parts
        parts[-1] = f"(?:{parts[-1]}{mark})"

    # -- escapes -----------------------------------------------------------------------------------------------------

    def character(self) -> int | None:
        """The code point that an escape stands for, inside or outside brackets; None if it is another kind."""
        found = self.take(_NUMBER)
        if found is not None:
            long, short, four, octal = found.groups()
            code = int(octal, 8) if octal else int(long or short or four, 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise self.refuse("a character that doesn't exist,")
            return code
        found = self.take(_CONTROL)
        if found is not None:
            return 127 if found[1] == "?" else ord(found[1]) & 31
        char = self.text[self.at + 1 : self.at + 2]
        if not char:
            raise self.refuse("a lone backslash")
        if char in _CHARS or not (char.isascii() and char.isalnum()):
            self.at += 2
            return _CHARS.get(char, ord(char))
        return None

    def set_escape(self) -> tuple[Ranges, bool] | None:
        r"""\w and its like, \p{...}: the characters and whether they are negated; None if it is another kind."""
        found = self.take(_PROPERTY)
        if found is not None:
            ranges = charsets.named(found[3].lower())
            if ranges is None:
                raise self.refuse(f"the property {found[3]} is not known")
            return ranges, (found[1] == "P") != bool(found[2])
        char = self.text[self.at + 1]
        if char.lower() in charsets.ESCAPES:
            self.at += 2
            return charsets.ESCAPES[char.lower()], char.isupper()
        return None

    def escape(self) -> None:
        code = self.character()
        if code is not None:
            self.emit(literal(code))
            return
        chars = self.set_escape()
        if chars is not None:
            self.emit(rendered(*chars))
            return
        char = self.text[self.at + 1]
        if char in _ANCHORS:
            self.at += 2
            self.emit(_ANCHORS[char], repeatable=False)
        elif char == "R":
            self.at += 2
            self.emit(_NEWLINE)
        elif char == "k":
            self.named_reference()
        elif char in "123456789" and not self.text[self.at + 2 : self.at + 3].isdigit():
            self.at += 2
            self.numbered = True
            self.emit(f"(?:\\{char})")
        else:
            raise self.refuse(f"{_REFUSED.get(char, 'the escape ' + chr(92) + char)} has no equal,")

    def named_reference(self) -> None:
        found = self.take(_BACK)
        name = (found[1] or found[2]) if found is not None else ""
        if self.names.count(name) != 1:
            raise self.refuse("a back-reference \\k<name> that isn't to exactly one earlier group")
        self.emit(f"(?:\\{self.names.index(name) + 1})")

    # -- brackets ----------------------------------------------------------------------------------------------------

    def bracket(self) -> tuple[Ranges, bool]:
        """What is behind a "[", up to its "]": the characters, and whether the whole is negated."""
        text = self.text
        negated = text.startswith("^", self.at)
        self.at += negated
        start = self.at
        ranges: Ranges = []
        whole: Ranges | None = None  # what stands before an &&
        last: int | None = None  # a character that a "-" could make the start of a range
        while True:
            if self.at >= len(text):
                raise self.refuse('a "]" is missing')
            char = text[self.at]
            if char == "]" and self.at > start:
                self.at += 1
                break
            if text.startswith("&&", self.at):
                self.at += 2
                whole = charsets.intersection(whole, ranges) if whole is not None else ranges
                ranges, last = [], None
            elif char == "-" and last is not None and text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                end = self.one_character()
                if end is None:  # [a-\w]: the hyphen is literal
                    ranges.append((45, 45))
                elif end < last:
                    raise self.refuse("an empty range in brackets")
                else:
                    ranges[-1] = (last, end)
                last = None
            else:
                last = self.one_character()
                ranges += [(last, last)] if last is not None else self.nested()
        return (charsets.intersection(whole, ranges) if whole is not None else ranges), negated

    def one_character(self) -> int | None:
        """A single character inside brackets; None, and nothing is taken, before a set or a nested bracket."""
        char = self.text[self.at : self.at + 1]
        if char == "[":
            return None
        if char != "\\":
            self.at += 1
            return ord(char)
        if self.text.startswith("\\b", self.at):  # a backspace here
            self.at += 2
            return 8
        return self.character()

    def nested(self) -> Ranges:
        """A set inside brackets: [:alpha:], [...], \\w."""
        posix = self.take(_POSIX)
        if posix is not None:
            named = charsets.named(posix[2])
            if named is None:
                raise self.refuse(f"the class [:{posix[2]}:] is not known")
            return charsets.complement(named) if posix[1] else named
        if self.text[self.at] == "[":
            self.at += 1
            found: tuple[Ranges, bool] | None = self.bracket()
        else:
            found = self.set_escape()
        if found is None:
            raise self.refuse(f"the escape {self.text[self.at : self.at + 2]} in brackets has no equal,")
        ranges, negated = found
        return charsets.complement(ranges) if negated else ranges
