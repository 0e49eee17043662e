"""Tag matching equals Fluent Bit's."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.match import regex, wildcard
from edgebit.onigmo import compile_regex


@pytest.mark.parametrize(
    ("pattern", "tag", "expected"),
    [("a.*", "a.b", True), ("a.*", "a.b.c", True), ("a.*", "a.", True), ("a.*", "a", False), ("a*c", "a.b.c", True),
     ("a*c", "abcabc", True), ("*", "", True), ("x *", "x y", True), ("a", "A", False), ("a", "ab", False),
     ("a*a", "a", False), ("*.log", "x.log", True), ("a**b", "ab", True), ("a.c", "abc", False)],
)  # fmt: skip
def test_wildcards(pattern, tag, expected):
    assert wildcard(pattern)(tag) is expected


@given(st.text("ab.*", max_size=8), st.text("ab.", max_size=12))
def test_wildcards_agree_with_a_regular_expression(pattern, tag):
    expected = re.fullmatch("".join(".*" if c == "*" else re.escape(c) for c in pattern), tag, re.DOTALL)
    assert wildcard(pattern)(tag) is bool(expected)


def test_many_wildcards_on_a_hostile_tag_take_no_time():
    start = time.process_time()
    assert not wildcard("*a" * 50 + "b")("a" * 5000)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    ("pattern", "tag", "expected"),
    [
        ("a", "a.b.c", True),
        ("b", "a.b", False),
        ("x*", "a", False),
        ("^a\\.", "a.b", True),
        ("(?<n>\\h+)\\.", "1f.x", True),
        ("[[:alpha:]]+$", "a1", False),
    ],
)
def test_match_regex_starts_at_the_tags_start(pattern, tag, expected):
    assert regex(compile_regex(pattern).find)(tag) is expected
