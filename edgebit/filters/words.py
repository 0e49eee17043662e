"""Texts of options that are several words: blanks between them, quotes around a word that has blanks in it.

A quote stands for itself unless a word begins with it; inside, a backslash before the quote makes it a letter. Other
backslashes are kept: most such texts are regular expressions. Blanks in a record accessor's quotes belong to it:
``$map['two words']`` is one word.
"""

from __future__ import annotations

import re

_WORD = re.compile(
    r"""\s*(?:"((?:[^"\\]|\\.)*)"(?=\s|$)|'((?:[^'\\]|\\.)*)'(?=\s|$)|(\$[^\s\['"]+(?:\['(?:[^']|'')*+'\]|\[[0-9]+\])+(?!\S)|\S+))""",
    re.DOTALL,
)


def first(text: str) -> tuple[str, str]:
    """The first word of a text and what follows it; "" if there is none."""
    found = _WORD.match(text)
    if found is None:
        return "", ""
    double, single, plain = found.groups()
    rest = text[found.end() :].strip()
    if double is not None:
        return double.replace('\\"', '"'), rest
    if single is not None:
        return single.replace("\\'", "'"), rest
    return plain, rest


def words(text: str) -> list[str]:
    """All words of a text."""
    found = []
    rest = text.strip()
    while rest:
        word, rest = first(rest)
        found.append(word)
    return found


def rest_of(text: str) -> str:
    """A last part that may be several words: without its quotes if it stands in one pair of them, else as it is."""
    word, behind = first(text)
    return word if not behind else text.strip()
