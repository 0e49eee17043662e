"""The translation of Ruby's regular expressions, checked by what the result matches."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebit.charsets import complement, intersection, named, union
from edgebit.onigmo import compile_regex
from edgebit.options import BadValue


def found(pattern, text):
    """What the pattern finds, or None."""
    match = compile_regex(pattern).find(text)
    return match[0] if match else None


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        # lines and ends
        ("^b", "a\nb", "b"),
        ("a$", "a\nb", "a"),
        (r"\Ab", "a\nb", None),
        (r"a\z", "a\n", None),
        (r"a\Z", "a\n", "a"),
        (r"a\Z", "a\nb", None),
        (r"^\z", "a\n", None),  # in Ruby no line begins behind the last newline
        ("^$", "", ""),
        (r"\Gb", "ab", None),
        # flags
        ("/A.b/i", "a-B", "a-B"),
        ("a.b", "a\nb", None),
        ("/a.b/m", "a\nb", "a\nb"),
        ("/ a b # comment/x", "ab", "ab"),
        ("/a [ ] b/x", "a b", "a b"),
        (r"/a\ b/x", "a b", "a b"),
        ("/var/log/foo", "x/var/log/foo", "/var/log/foo"),  # "foo" aren't flags
        ("/a/", "/a/", "a"),
        ("(?i)ab|c", "C", "C"),
        ("x((?i)a|b)c", "xBc", "xBc"),
        ("x((?i)a|b)c", "xBC", None),  # holds to the end of the group
        ("a(?i:b)c", "aBc", "aBc"),
        ("a(?i:b)c", "aBC", None),
        ("/a(?-i:b)/i", "AB", None),
        ("(?m:a.b)", "a\nb", "a\nb"),
        ("/(?-m:a.b)/m", "a\nb", None),
        ("(?x: a b )c d", "abc d", "abc d"),
        ("a(?#b)c", "ac", "ac"),
        # escapes
        (r"\h+", "xyz09afAFg", "09afAF"),
        (r"\H+", "abxyz", "xyz"),
        (r"\d", "٣", None),  # ASCII only
        (r"\w+", "aé", "a"),
        (r"\W", "é", "é"),
        (r"\s", "\u2003", None),
        (r"\S", "\u2003", "\u2003"),
        (r"\u00e9\x41\x{1F600}", "éA😀", "éA😀"),
        (r"\t\n\v\f\r\a\e\0", "\t\n\v\f\r\a\x1b\0", "\t\n\v\f\r\a\x1b\0"),
        (r"\cA\C-b", "\x01\x02", "\x01\x02"),
        (r"\R", "a\r\nb", "\r\n"),
        (r"a\Rb", "a\u2028b", "a\u2028b"),
        (r"\bb", "a b", "b"),
        (r"\.\[\/\-", ".[/-", ".[/-"),
        # brackets
        ("[[:alpha:]]+", "1aéb2", "aéb"),
        ("[[:^alpha:]]+", "a12b", "12"),
        ("[^[:space:]]+", " ab ", "ab"),
        ("[[:alnum:]_.-]+", "!a-1_b.c!", "a-1_b.c"),
        ("[[:digit:]]", "٣", "٣"),  # POSIX brackets are Unicode
        ("[[:upper:]]+", "aÀB", "ÀB"),
        ("[[:lower:]]+", "Aàb", "àb"),
        ("[[:punct:]]+", "a+-~b", "+-~"),
        ("[[:xdigit:]]+", "xfFg", "fF"),
        ("[[:blank:]]+", "a \t\nb", " \t"),
        ("[[:print:]]+", "\0a b\n", "a b"),
        ("[[:graph:]]+", "\0a b\n", "a"),
        ("[[:cntrl:]]", "a\x7f", "\x7f"),
        ("[[:word:]]+", "-a_é1-", "a_é1"),
        ("[[:ascii:]]+", "éab", "ab"),
        (r"\p{Alpha}+", "1é2", "é"),
        (r"\P{Alpha}\p{^Alpha}", "a12b", "12"),
        (r"[\p{Digit}a]+", "xa1", "a1"),
        ("[a-z&&[^aeiou]]+", "aebcd", "bcd"),
        ("[a-z&&aeiou&&[^e]]+", "zeaiu", "aiu"),
        ("[a[0-9]b]+", "x1a2", "1a2"),
        ("[^a[0-9]]+", "1axy", "xy"),
        ("[]a]+", "x]a", "]a"),
        ("[a-]+", "x-a", "-a"),
        ("[-a]+", "x-a", "-a"),
        (r"[\w-.]+", "!a-.", "a-."),
        (r"[a-\d]+", "!a-1", "a-1"),
        (r"[\b]", "\b", "\b"),
        (r"[\]\\]+", "]\\", "]\\"),
        ("[|&~]+", "|&~", "|&~"),  # `re` warns of these
        (r"[\S\s]+", "a b", "a b"),
        (r"[^\W]+", "é_a", "_a"),
        ("[a&&b]", "ab", None),
        # quantifiers
        ("a{,2}", "aaa", "aa"),
        ("a{,}", "a{,}", "a{,}"),
        ("a{x", "a{x", "a{x"),
        ("a{2}{2}", "aaaaa", "aaaa"),
        ("a{1,2}+b", "aaaab", "aaaab"),  # a repeated repeat, not a possessive one
        ("a{1}?b", "b", "b"),  # an optional one, not a lazy one
        ("a{1,}?", "aaa", "a"),
        ("a++a", "aaa", None),
        ("a?+a", "a", None),
        ("(?>a|ab)c", "abc", None),
        ("a**", "aa", "aa"),
        ("a+?", "aa", "a"),
        # groups
        ("(?<!a)b", "ab b", "b"),
        ("a(?=b)", "ac ab", "a"),
        (r"(a)\1", "aa", "aa"),
        (r"(?<q>['\"]).\k<q>", "'a\" 'b'", "'b'"),
        (r"(?'q'a)\k'q'", "aa", "aa"),
        (r"(?<x>a)(b)\k<x>", "aba", "aba"),
    ],
)
def test_pattern_matches_as_in_ruby(pattern, text, expected):
    assert found(pattern, text) == expected


@pytest.mark.parametrize(
    ("pattern", "names", "groups"),
    [
        ("(?<a>x)(y)(?<b>z)", ("a", "b"), ("x", "z")),  # plain parentheses don't capture beside named ones
        ("(?<a-b.c>x)(?<a-b.c>y)(z)", ("a-b.c", "a-b.c"), ("x", "y")),
        ("((?<a>x)y)z", ("a",), ("x",)),
        ("(x)(y)(z)", (), ("x", "y", "z")),
        (r"(x)\(?y[(?<]?(z)", (), ("x", "z")),  # looks like a group name but is none
    ],
)
def test_groups(pattern, names, groups):
    compiled = compile_regex(pattern)

    assert compiled.names == names
    assert compiled.find("xyz").groups() == groups


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"\g<x>", r"\g (subexpression call) has no equal, at position 1"),
        (r"a\K", r"\K (keep) has no equal, at position 2"),
        (r"\X", "grapheme"),
        (r"(?~a)", "absence operator"),
        (r"(?(1)a|b)", "conditional"),
        (r"(?<=a|bc)d", "look-behind requires fixed-width"),
        (r"(?<n>a)(b)\1", r"use \k<name>"),
        (r"\k<n>(?<n>a)", "earlier group"),
        (r"(?<n>a)(?<n>b)\k<n>", "exactly one"),
        (r"(a)\10", r"the escape \1"),
        (r"\2", "invalid group reference"),
        ("[[:nope:]]", "[:nope:]"),
        (r"\p{Greek}", "property Greek"),
        ("(", '")" is missing'),
        (")", '")" too many at position 1'),
        ("[a", '"]" is missing'),
        ("[]", '"]" is missing'),
        ("[b-a]", "empty range"),
        ("*", "nothing to repeat"),
        ("^*", "nothing to repeat"),
        ("a|+", "nothing to repeat"),
        ("(?<>a)", "group name"),
        ("(?<1>a)", "group name"),
        ("(?#", "comment"),
        ("\\", "lone backslash"),
        (r"\x{110000}", "doesn't exist"),
        (r"\x{D800}", "doesn't exist"),
        ("a{99999999999999}", "too large"),
        ("(" * 5000 + ")" * 5000, "fewer levels"),
        ("[" * 5000, "fewer levels"),
        (12, "a regular expression"),
    ],
)
def test_what_has_no_equal_is_refused_by_name(pattern, words):
    with pytest.raises(BadValue) as caught:
        compile_regex(pattern)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "anchored"),
    [("^a", True), (r"\Aa", True), ("^a|b", False), ("(^a)", False), ("a", False), ("", False), ("^(a|b)", True)],
)
def test_anchored_patterns_are_told(pattern, anchored):
    assert compile_regex(pattern).anchored is anchored


def test_anchored_pattern_still_finds_a_later_line():
    assert found("^b", "a\nb") == "b"
    assert found("^b", "ab") is None


def test_character_sets_behave_like_sets():
    a, b = [(5, 9), (1, 2), (3, 4)], [(4, 6)]

    assert union(a) == [(1, 9)]
    assert intersection(a, b) == [(4, 6)]
    assert complement(complement(a)) == [(1, 9)]
    assert complement([]) == [(0, 0x10FFFF)]
    assert named("nothing like this") is None


def test_named_sets_agree_with_str_methods_on_letters_and_digits():
    for name, test in (("upper", str.isupper), ("lower", str.islower), ("digit", str.isdecimal)):
        inside = {c for low, high in named(name) for c in range(low, high + 1)}

        assert {c for c in range(0x20000) if test(chr(c))} == inside


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet=r"ab01(?<>:=!){},*+[]^$\|.-&dwshkgpRZ'#/imx ", max_size=30)))
def test_any_text_gives_a_pattern_or_the_error_for_users(text):
    try:
        pattern = compile_regex(text)
    except BadValue:
        return
    assert pattern.regex.groups >= len(pattern.names)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12).filter(lambda t: t[:1] != "/"), st.text(max_size=8))
def test_escaped_text_matches_itself(text, before):
    pattern = re.sub(r"([^\w\s])", r"\\\1", text, flags=re.ASCII)

    assert compile_regex(pattern).find(before + text) is not None
