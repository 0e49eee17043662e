"""type_converter: each conversion, and what can't be converted."""

import pytest

from edgebit.errors import ConfigError
from fakes.context import FakeFilterContext
from fakes.filters import filtered, make_filter

NOTHING = object()


@pytest.mark.parametrize(
    ("key", "value", "type", "expected"),
    [
        ("str_key", "77", "int", 77),
        ("str_key", " -12abc", "int", -12),
        ("str_key", "0", "int", 0),
        ("str_key", "x", "int", NOTHING),
        ("str_key", "9" * 30, "int", 2**63 - 1),
        ("str_key", "77", "integer", 77),
        ("str_key", "7", "i", 7),
        ("str_key", "-1", "uint", NOTHING),
        ("str_key", "18446744073709551615", "uint", 2**64 - 1),
        ("str_key", "ff", "hex", 255),
        ("str_key", "0xFF", "hex", 255),
        ("str_key", "2.50", "float", 2.5),
        ("str_key", "1e2", "float", 100.0),
        ("str_key", "x", "float", NOTHING),
        ("str_key", "1e999", "float", NOTHING),
        ("str_key", "TRUE", "bool", True),
        ("str_key", "false", "bool", False),
        ("str_key", "maybe", "bool", NOTHING),
        ("str_key", "a", "string", "a"),
        ("str_key", 5, "int", NOTHING),
        ("int_key", 42, "string", "42"),
        ("int_key", 42, "float", 42.0),
        ("int_key", -1, "uint", NOTHING),
        ("int_key", True, "string", NOTHING),
        ("int_key", 1.5, "string", NOTHING),
        ("uint_key", 2**64 - 1, "int", NOTHING),
        ("uint_key", 7, "string", "7"),
        ("float_key", 3.99, "int", 3),
        ("float_key", -0.5, "int", 0),
        ("float_key", -1.5, "uint", NOTHING),
        ("float_key", 1e300, "int", NOTHING),
        ("float_key", 2.0, "string", "2.0"),
        ("float_key", 0.1 + 0.2, "string", "0.3"),
        ("float_key", 1e22, "string", "1e+22"),
    ],
)
def test_conversions(key, value, type, expected):
    ctx = FakeFilterContext()
    fields = filtered("type_converter", [(key, f"a b {type}")], [{"a": value}], ctx=ctx)[0]
    assert fields == [("a", value)] + ([] if expected is NOTHING else [("b", expected)])
    assert ctx.stats.get("not_converted") == (expected is NOTHING)
    if expected is not NOTHING:
        assert fields[1][1].__class__ is expected.__class__


def test_several_rules_nested_fields_and_fields_that_are_there_already():
    settings = [("int_key", "i s string"), ("str_key", "$m['n'] n int"), ("str_key", "s s float")]
    assert filtered("type_converter", settings, [
        {"i": 1, "m": {"n": "5"}}, {"m": {"n": "5"}}, {"s": "2.5", "i": 3}, {"s": "2.5"}, {"x": 1},
    ]) == [
        [("i", 1), ("m", {"n": "5"}), ("n", 5), ("s", "1")],
        [("m", {"n": "5"}), ("n", 5)],
        [("i", 3), ("s", "3")],
        [("s", 2.5)],
        [("x", 1)],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        ("str_key", "a b", "three words"),
        ("str_key", "a b flot", 'did you mean "float"?'),
        ("int_key", "a b bool", "string, float, uint, int"),
    ],
)
def test_what_is_wrong_is_named(key, value, names):
    with pytest.raises(ConfigError) as error:
        make_filter("type_converter", (key, value))
    assert names in str(error.value)
