"""How an option names a field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.options import BadValue
from edgebit.record import Shape, from_dict
from edgebit.record_accessor import MISSING, Accessor, parse, split

RECORD = from_dict(0, {"level": "info", "a.b/c-d": 1, "pos": {"hall": "A", "it's": 2, "list": [10, {"x": 11}]}, "": 3})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("level", "info"),
        ("$level", "info"),
        ("$a.b/c-d", 1),
        ("$pos['hall']", "A"),
        ("$pos['it''s']", 2),
        ("$pos['list'][0]", 10),
        ("$pos['list'][1]['x']", 11),
        ("$pos['list'][2]", MISSING),
        ("$pos['list']['x']", MISSING),
        ("$pos[0]", MISSING),
        ("$pos['none']['deeper']", MISSING),
        ("$level['x']", MISSING),
        ("$Level", MISSING),
        ("none", MISSING),
    ],
)
def test_value(text, value):
    assert parse(text).get(RECORD) == value


def test_last_of_equal_names_wins():
    assert parse("a").get((0, Shape.of(("a", "b", "a")), (1, 2, 3))) == 3


def test_missing_is_false_and_is_no_value():
    assert not MISSING
    assert MISSING is not None


@pytest.mark.parametrize(
    ("text", "accessor", "rest"),
    [
        ("level ^a b$", Accessor("level"), " ^a b$"),
        ("level\t x", Accessor("level"), "\t x"),
        ("level", Accessor("level"), ""),
        ("$a['b c'] ^x", Accessor("a", ("b c",)), " ^x"),
        ("$a['b'][0]['c'][x]", Accessor("a", ("b", 0, "c")), "[x]"),
        ("$a['b", Accessor("a"), "['b"),
    ],
)
def test_split_leaves_what_follows(text, accessor, rest):
    assert split(text) == (accessor, rest)


@pytest.mark.parametrize(
    "text", ["", "$", "$1", "$'a'", "$a b", "$a[", "$a['b", "$a[-1]", "$a[1234567890]", "$a['b']c"]
)
def test_bad_accessors(text):
    with pytest.raises(BadValue):
        parse(text)


@pytest.mark.parametrize("text", ["", " a b"])
def test_bad_keys_in_front(text):
    with pytest.raises(BadValue):
        split(text)


@given(st.lists(st.text() | st.integers(0, 10**6)))
def test_what_is_written_is_read_back(path):
    steps = "".join("['" + s.replace("'", "''") + "']" if isinstance(s, str) else f"[{s}]" for s in path)

    assert parse("$key" + steps) == Accessor("key", tuple(path))


@given(st.text())
def test_no_text_raises_anything_else(text):
    for read in (parse, split):
        try:
            read("$" + text)
        except BadValue:
            pass
