"""JSON values one after the other in a stream of bytes: objects and arrays, cut anywhere, with or without separators.

The sibling of framing.LineSplitter, with the same promises: bounded, nothing makes it fail, the same values come out
however the bytes were cut up. A value may span lines. What is no JSON is given as text without blanks around it, up to
the next separator, and the stream goes on behind that: one bad value never costs another one. A value that never ends (its
writer died in the middle) is found out by what follows: as a rule that can't stand where it stands.

Pure. Values are what wire/jsontext promises: no text without a UTF-8 form, no deep nesting, no NaN.
"""

from __future__ import annotations

import codecs
import json
import re

from edgebit.wire.jsontext import MAX_NESTING, decode, encodable, shallow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UTF8 = codecs.getincrementaldecoder("utf-8")
# What is left out between values: blanks, with a comma if a value follows. Possessive, so that a long run of blanks is
# looked at once.
_BETWEEN = re.compile(r"[ \t\r\n]*+,?+[ \t\r\n]*+(?=[{\[])|[ \t\r\n]*+")
# What may stand at the end of a value that isn't all there, where the decoder expects something else.
_BEGUN = re.compile(r"(?:t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?|-|[.eE][+-]?|\\?u?[0-9a-fA-F]{0,4})\Z")
_LONG = 2 * MAX_NESTING  # characters; a shorter value can't be nested too deep


class JsonStream:
    """`feed` gives objects and arrays as dict and list, and text (str) that is no JSON. `separator` ends such text;
    `limit` is the longest text in characters, and the longest value that comes in more than one piece: what there is of a
    longer one is given as text, its rest skipped, and it is counted in `truncated`."""

    __slots__ = ("_decoder", "_limit", "_rest", "_separator", "_skipping", "truncated")

    def __init__(self, limit: int, separator: str = "\n") -> None:
        self._limit, self._separator = limit, separator
        self._decoder = _UTF8("surrogateescape")
        self._rest = ""  # the beginning of a value or of text
        self._skipping = False  # behind text that was cut, up to the next separator
        self.truncated = 0

    @property
    def pending(self) -> int:
        return 0 if self._skipping else len(self._rest)

    def feed(self, data: bytes) -> list[Any]:
        text = self._decoder.decode(data)
        if self._rest:
            rest = self._rest
            # The end of a value, or of text, must be in what has come: many small pieces don't cost a look at all each.
            overlap = rest[len(rest) - len(self._separator) + 1 :]
            complete = "}" in text or "]" in text or self._separator in overlap + text
            text = rest + text
            if not complete and len(text) <= self._limit:
                self._rest = text
                return []
        return self._take(text, False)

    def finish(self) -> list[Any]:
        """The stream has ended: what is left, as text. Ready for a new stream afterwards."""
        found = self._take(self._rest + self._decoder.decode(b"", True), True)
        self._rest, self._skipping = "", False
        self._decoder.reset()
        return found

    def whole(self, data: bytes) -> list[Any]:
        """What a stream of just these bytes gives, its end included. Not in the middle of another one."""
        found = self._take(data.decode("utf-8", "surrogateescape"), True)
        self._rest, self._skipping = "", False
        return found

    def _take(self, text: str, final: bool) -> list[Any]:
        found: list[Any] = []
        separator, between = self._separator, _BETWEEN.match
        doubtful = "\\ud" in text or "\\uD" in text
        at, end = 0, len(text)
        if self._skipping:
            at = self._skip(text)
        while at < end:
            char = text[at]
            if char == "\n":  # what nearly always follows a value
                at += 1
                continue
            if char not in "{[":
                at = between(text, at).end()  # type: ignore[union-attr]  # it matches always
                if at == end:
                    break
                char = text[at]
            if char in "{[":
                try:
                    value, stop = decode(text, at)
                except (ValueError, RecursionError) as error:
                    if not final and _begun(text, error):
                        break
                else:
                    if not (doubtful and not encodable(value)) and not (
                        stop - at > _LONG
                        and text.count("{", at, stop) + text.count("[", at, stop) > MAX_NESTING
                        and not shallow(text[at:stop])
                    ):
                        found.append(value)
                        at = stop
                        continue
            stop = text.find(separator, at)
            if stop < 0:
                if not final:
                    break
                stop = end
            piece = text[at:stop].rstrip()
            if piece.strip(","):
                found.append(self._bounded(piece))
            at = min(stop + len(separator), end)
        self._rest = text[at:]
        if len(self._rest) > self._limit:
            found.append(self._bounded(self._rest))
            self._skipping = True
            self._skip(self._rest)
        return found

    def _skip(self, text: str) -> int:
        """Where the text behind the next separator begins; if there is none, all of it is skipped."""
        stop = text.find(self._separator)
        if stop >= 0:
            self._skipping = False
            return stop + len(self._separator)
        self._rest = text[len(text) - len(self._separator) + 1 :]  # it may be the beginning of one
        return len(text) - len(self._rest)

    def _bounded(self, text: str) -> str:
        if len(text) <= self._limit:
            return text
        self.truncated += 1
        return text[: self._limit]


def _begun(text: str, error: Exception) -> bool:
    """Whether the decoder has failed only because the text ends too early."""
    if not isinstance(error, json.JSONDecodeError):  # NaN, a number of thousands of digits, nesting beyond all bounds
        return False
    return error.msg.startswith("Unterminated string") or (
        len(text) - error.pos <= 6 and _BEGUN.match(text, error.pos) is not None
    )
