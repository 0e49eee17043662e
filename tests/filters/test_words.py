"""Words of options: quotes, record accessors, and the rest of a line."""

import pytest

from edgebit.filters.words import first, rest_of, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("", []),
        ('"a b" c', ["a b", "c"]),
        ("'a b' c", ["a b", "c"]),
        (r'"a \"b\"" ^\d+$', ['a "b"', r"^\d+$"]),
        (r'"^\d \\ x"', [r"^\d \\ x"]),
        ("it's x", ["it's", "x"]),
        ('a"b c"d', ['a"b', 'c"d']),
        ('"open b', ['"open', "b"]),
        ('""', [""]),
        ("$m['a b']['c''d e'][0] x", ["$m['a b']['c''d e'][0]", "x"]),
        ("$m['a b x", ["$m['a", "b", "x"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_first_and_rest():
    assert first(' "a b"  rest of it ') == ("a b", "rest of it")
    assert rest_of(' "all of it" ') == "all of it"
    assert rest_of('"one" and more') == '"one" and more'
