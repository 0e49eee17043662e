"""What time regular expressions can take: known bad ones are found, good ones are not accused, and all are bounded."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebit import cpu_limit, onigmo
from edgebit.backtracking import Exponential, TooLarge, judge
from edgebit.onigmo import compile_regex

EXPONENTIAL = [
    r"(a+)+$", r"(a*)*b", r"(a|aa)+$", r"(\w+\s?)*$", r"(x+x+)+y", r"(?:a?b?)*c", r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"^(?:.|\s)*x$", r"(\d+|\w+)*:", r"([^,]*,?)+;", r"^(\s*\w+\s*)+$", r"^(?:[a-zA-Z0-9]+[._-]?)+@x", r"(?=(a+)+b)a",
    r"^(a|a)*$", r"^(?:a(?:b*|c*))*$", r"^(?:c(?:a*)?)*x", r"(?:c(?:|))*x", r"(?i)^(é|Éx?)*$", r"^(?:foo|foo|bar)*$",
    r"(?i:(?:ab|A[A-Z])*)x", r"(?:\[(?:\\.|[^\]])*\])+x", r"(?:a{1,2})+b", r"(?>(a+)+)b", r"((?:ab|a|b)*c)*d",
]  # fmt: skip
LINEAR = [
    r"^(?<time>[^,]*),(?<user>[^,]*),(?<method>\w+) (?<path>.*)$", r"error|warn", r"(?i)timeout", r".*error.*", r"\d+bar",
    r"^(?<date>\d{4}-\d\d-\d\d) (?<level>[A-Z]+) (?<msg>.*)$", r"^(?:\s++\S++)*+$", r"(a|b|c)*d", r"\S+@\S+",
    r"^<(?<pri>\d{1,3})>(?<rest>.*)", r"^(?<ip>(?:\d{1,3}\.){3}\d{1,3}) ", r"^(?<t>\S+) (?<l>stdout|stderr) (?<m>.*)$",
    r"^V=(?<volts>[\d.]+) A=(?<amps>[\d.]+)", r"^[^{]*(?<json>\{.*\})?", r"^\[(?<a>[^\]]*)\] +(?<b>[[:alnum:]]+): (?<c>.*)$",
    r"^(?:\R)*x",
]  # fmt: skip
POLYNOMIAL = [
    (r"^(.*) - (.*) - (.*)$", 2), (r"^(.*) - (.*) - (.*)x$", 3), (r"foo.*bar", 2), (r'"(?:[^"\\]|\\.)*"', 2),
    (r"(?:[^\s.():]+\.)*[^\s.():]+:", 3), (r"^(?<a>.*?) *(?<ms>\d+)?ms$", 3), (r"^(.*a){11}$", 11),
]  # fmt: skip


@pytest.mark.parametrize("pattern", EXPONENTIAL)
def test_exponential_ones_are_found(pattern):
    found = compile_regex(pattern)

    assert "can take exponential time" in found.warning
    assert found.limit == 16


@pytest.mark.parametrize(
    "pattern", [r"^(?:a(?:b?|c?)+)*$", r"^(?:(?:a|a)?){60}b", r"^(a?){30}a{30}$", r"(?:a|aa){30}b"]
)
def test_short_texts_are_bounded_too(pattern, monkeypatch):
    monkeypatch.setattr(onigmo, "_PATIENCE", 0.02)
    found = compile_regex(pattern)
    begin = time.process_time()

    assert [found.find("a" * n + "!") for n in (16, 14, 50, 59)] == [None] * 4
    assert time.process_time() - begin < 1


def test_looking_ahead_costs_at_each_character():
    assert compile_regex(r"^(?:(?=[^x]*y)\w)*$").limit == 4096
    assert compile_regex(r"(?=\d)\w+").limit == 0


@pytest.mark.parametrize("pattern", LINEAR)
def test_good_ones_are_not_accused(pattern):
    found = compile_regex(pattern)

    assert (found.limit, found.warning) == (0, "")


@pytest.mark.parametrize(("pattern", "at_most"), POLYNOMIAL)
def test_degree_of_polynomial_ones_is_not_too_low_nor_far_off(pattern, at_most):
    anchored = pattern.startswith("^")
    found = judge(pattern.replace("(?<", "(?P<"), re.MULTILINE, anchored).degree

    assert at_most - 1 <= found <= at_most
    assert compile_regex(pattern).limit in (4096, 400, 150)


def test_warning_names_the_part():
    assert "(?<w>\\w+\\s?)* matches text such as 'aaa'" in compile_regex(r"^x (?<w>\w+\s?)*: (\d+)$").warning


def test_hostile_text_is_given_up_and_the_next_ones_cost_nothing(monkeypatch):
    monkeypatch.setattr(onigmo, "_PATIENCE", 0.02)
    pattern = compile_regex(r"^(\w+\s?)*$")
    hostile = "a" * 40 + "!"
    begin = time.process_time()
    found = [pattern.find(hostile) for _ in range(101)]

    assert time.process_time() - begin < 2
    assert (found, pattern.expired) == ([None] * 101, 101)
    assert pattern.find("short and good") is not None
    assert pattern.find("a text that is longer than the limit but good") is not None  # the penalty is over
    with pytest.raises(cpu_limit.Expired):
        cpu_limit.limited(re.compile(r"(a|aa)+$").search, hostile, 0.02)


def test_search_begins_where_a_run_does():
    """Quadratic if every place in the run were tried: seconds for this text."""
    begin = time.process_time()
    assert compile_regex(r"\w+\d*@").find("1" * 200_000) is None
    assert compile_regex(r".*x.*y").find("a" * 200_000) is None
    assert time.process_time() - begin < 1


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\n"]),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda p: f"({p[0]}|{p[1]})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "*+", "{2}", "{0,3}"])).map(
                lambda p: f"(?:{p[0]}){p[1]}"
            ),
        ),
        max_leaves=6,
    ),
    st.text("ab\n", max_size=8),
)
def test_what_is_found_stays_the_same(pattern, text):
    """Whatever is said of it, a pattern finds what it would without; and the verdict itself takes no time."""
    begin = time.process_time()
    found = compile_regex(pattern)
    assert time.process_time() - begin < 2
    plain = re.compile(pattern, re.MULTILINE).search(text)
    ours = found.find(text)
    assert (ours and ours.span()) == (plain and plain.span())


def test_many_elements_that_may_take_nothing_are_judged_at_once():
    begin = time.process_time()
    assert compile_regex("^x" + "(?:b*|c*)" * 30 + "$").limit == 150
    assert compile_regex("^(?:x" + "(?:b?|c?)" * 30 + ")*$").limit == 16
    assert time.process_time() - begin < 1


def test_too_large_ones_are_bounded_too():
    pattern = "(?:" + "|".join(f"{i}x{i}" for i in range(2000)) + ")*y"

    with pytest.raises(TooLarge):
        judge(pattern, re.MULTILINE, anchored=False)
    assert compile_regex(pattern).limit == 16
    with pytest.raises(Exponential):
        judge("(a|ab|b)*c", 0, anchored=True)
