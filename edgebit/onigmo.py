"""Onigmo (Ruby) regular expressions, as found in Fluent Bit configurations, run by Python's `re`.

The pattern is read atom by atom and written again for `re`. What has no exact equal is refused by name, with its
position, when the configuration is read: subexpression calls, conditionals, the absence operator, ``\\K``, ``\\X``,
relative and forward back-references, and what `re` itself can't do (look-behind of varying length).

What the two write differently is translated:

* ``(?<name>...)`` with any name, also twice. With a named group present, plain parentheses don't capture.
* ``^`` and ``$`` are always at line boundaries, ``^`` not behind a final newline; ``\\Z`` may stand before it, ``\\z``
  may not.
* ``m`` lets the dot match newlines; ``(?i)`` in the middle of a group holds to the end of the group.
* ``\\d \\s \\w`` are ASCII, ``\\h`` is a hex digit, ``[[:alpha:]]`` and ``\\p{Alpha}`` are Unicode.
* classes can be nested and intersected (``[a-z&&[^aeiou]]``).
* ``{n,m}+`` is a repeated repeat, not a possessive one; ``{n}?`` is an optional one, not a lazy one; ``{,n}`` is
  ``{0,n}``, other braces are literal.

Known differences left: what a word character is for ``\\b`` and which letters [[:alpha:]] has are Python's tables
(combining marks aren't letters), and the flag i doesn't know "ss" for a sharp s.

As every backtracking engine, `re` can take very long for some expressions on some texts. backtracking.py tells which. One
whose time is exponential, such as ``(a+)+$``, or a polynomial of higher degree, searches a text longer than its `limit`
for at most a quarter of a second of CPU time and then counts as not found; so do the next hundred of such texts without
being searched. `warning` says which part of an exponential one does it. One that begins with a repeat (``\\S+@``) is
searched for only where such a run begins, which finds the same.

Pure: no I/O, no clock. Syntax: Onigmo's doc/RE, ONIG_SYNTAX_RUBY.
"""

from __future__ import annotations

import re

from edgebit import patterns
from edgebit.backtracking import Exponential, TooLarge, judge
from edgebit.charsets import rendered
from edgebit.options import BadValue
from edgebit.ruby_syntax import Translator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DELIMITED = re.compile(r"/(.*)/([imx]*)", re.DOTALL)


_LIMITS = {1: 0, 2: 4096, 3: 400}  # by degree: longest text that is searched without a limit of time; 0: any
_LIMIT = 150  # of even higher degrees
_EXPONENTIAL = 16  # of these all texts have a limit; longer ones don't keep so short ones from being searched
_PATIENCE = 0.25  # seconds of CPU time
_PENALTY = 100


class Pattern:
    """A translated pattern.

    names     the named groups in order; group i of a match belongs to names[i - 1]. Empty if there are none, and then
              plain parentheses capture
    find      the first match in a text, or None. To be used rather than `regex`, which knows no limit
    limit     longest text that is searched without a limit of CPU time, 0 if all are; 16: none, it may be exponential
    expired   texts whose search was given up
    warning   for the user, if it can take exponential time; else empty
    regex     the compiled `re` pattern
    anchored  it can only match at the start of a line, so on text without a newline `regex.match` says it all
    """

    __slots__ = (
        "_penalty",
        "_search",
        "_spared",
        "anchored",
        "expired",
        "find",
        "limit",
        "names",
        "regex",
        "text",
        "warning",
    )

    def __init__(self, text: str, regex: re.Pattern[str], names: tuple[str, ...], anchored: bool, limit: int = 0,
                 warning: str = "") -> None:  # fmt: skip
        self.text, self.regex, self.names, self.anchored = text, regex, names, anchored
        self.limit, self.warning = limit, warning
        self.expired = self._penalty = self._spared = 0
        self._search: Callable[[str], re.Match[str] | None] = self._find_anchored if anchored else regex.search
        self.find = self._find_limited if limit else self._search

    def _find_anchored(self, text: str) -> re.Match[str] | None:
        found = self.regex.match(text)
        return self.regex.search(text) if found is None and "\n" in text else found

    def _find_limited(self, text: str) -> re.Match[str] | None:
        if len(text) <= self.limit and self.limit > _EXPONENTIAL:
            return self._search(text)
        from edgebit.cpu_limit import Expired, limited

        if self._penalty and len(text) > self._spared:
            self._penalty -= 1
            self.expired += 1
            return None
        try:
            return limited(self._search, text, _PATIENCE)
        except Expired:
            self._penalty = _PENALTY
            self._spared = self.limit if len(text) > self.limit else -1
            self.expired += 1
            return None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def compile_regex(value: object) -> Pattern:
    """Translate and compile ``pattern``, ``/pattern/`` or ``/pattern/flags`` (flags i, m, x; others make the whole text
    the pattern, as in Fluent Bit). Fit to be the type of an Option. Raises BadValue."""
    if not isinstance(value, str):
        raise BadValue("a regular expression")
    delimited = _DELIMITED.fullmatch(value)
    text, flags = delimited.groups() if delimited is not None else (value, "")
    translator = Translator(text, frozenset(flags))
    anchored, warning = False, ""
    try:
        translated = translator.run()
        anchored = translator.anchored
        python_flags = re.MULTILINE | ("i" in flags and re.IGNORECASE) | ("m" in flags and re.DOTALL)
        regex = re.compile(translated, python_flags)
        verdict = judge(translated, python_flags, anchored)
        limit = _LIMITS.get(verdict.degree, _LIMIT)
        if verdict.leading is not None:
            anchored = verdict.leading == [(0, 9), (11, 0x10FFFF)]  # all but the newline
            before = "^" if anchored else f"(?<!{rendered(verdict.leading)})"
            regex = re.compile(before + translated, python_flags)
    except (re.error, OverflowError) as error:
        raise BadValue(f"a regular expression that can run here ({getattr(error, 'msg', error)})") from None
    except RecursionError:
        raise BadValue("a regular expression with fewer levels of parentheses") from None
    except TooLarge:
        limit = _EXPONENTIAL  # nothing is known
    except Exponential as error:
        limit, warning = _EXPONENTIAL, _exponential(translator.repeated, frozenset(flags), error.sample)
    pattern = Pattern(value, regex, tuple(translator.names), anchored, limit, warning)
    patterns.note(pattern)
    return pattern


def _exponential(repeated: list[str], flags: frozenset[str], sample: str) -> str:
    """Says what is wrong with a pattern; `repeated` are its repeated groups, inner ones first."""
    culprit = ""
    for part in sorted(repeated, key=len):
        try:
            judge(Translator(part, flags).run(), re.MULTILINE, anchored=True)
        except Exponential:
            culprit = part
            break
        except (ValueError, re.error):
            continue
    what = culprit or "a repeated group in it"
    return (
        f"this regular expression can take exponential time: {what} matches text such as {sample * 3!r} in ever more ways. "
        "Text that takes too long counts as not matching. Let the parts exclude one another, or repeat with ++ or *+"
    )
