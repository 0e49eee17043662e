"""The option `types` and its conversions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.options import BadValue
from edgebit.parsers.types import CONVERTERS, hexadecimal, integer, real, truth, type_table


@pytest.mark.parametrize(
    ("convert", "text", "expected"),
    [
        (integer, "42", 42),
        (integer, " -7", -7),
        (integer, "+5x", 5),
        (integer, "12abc", 12),
        (integer, "abc", 0),
        (integer, "-", 0),
        (integer, "", 0),
        (integer, "007", 7),
        (integer, "1_000", 1),
        (integer, "٣", 0),
        (integer, "9223372036854775807", 2**63 - 1),
        (integer, "9223372036854775808", 2**63 - 1),
        (integer, "-" + "9" * 10_000, -(2**63)),
        (integer, "-" + "0" * 10_000 + "5", -5),
        (integer, "0" * 10_000, 0),
        (real, "21.5", 21.5),
        (real, " -.5e1x", -5.0),
        (real, "3", 3.0),
        (real, "1e", 1.0),
        (real, "5.", 5.0),
        (real, "x", 0.0),
        (real, "nan", 0.0),
        (real, "inf", 0.0),
        (real, "1e999", "1e999"),
        (truth, "true", True),
        (truth, "TRUEish", True),
        (truth, "False", False),
        (truth, "falsehood", False),
        (truth, "on", "on"),
        (truth, "", ""),
        (hexadecimal, "ff", 255),
        (hexadecimal, "0x1F", 31),
        (hexadecimal, "0Xg", 0),
        (hexadecimal, "0", 0),
        (hexadecimal, "zz", 0),
        (hexadecimal, "f" * 10_000, 2**64 - 1),
    ],
)
def test_conversion(convert, text, expected):
    result = convert(text)

    assert (result, type(result)) == (expected, type(expected))


@pytest.mark.parametrize(
    "value",
    [
        "a:integer b:float",
        "a:int,b:number",
        " a:Integer , b:double ",
        ["a:integer", "b:float"],
        {"a": "int", "b": "float"},
    ],
)
def test_table(value):
    assert type_table(value) == {"a": "integer", "b": "float"}


def test_field_names_may_have_colons():
    assert type_table("a:b:bool") == {"a:b": "bool"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a:integr", 'integer, float, bool, hex, string; "integr" is none of them, did you mean "integer"?'),
        ("a:xyzzy", '"xyzzy" is none of them'),
        ({"a": 5}, '"5" is none of them'),
        ("a", "pairs such as"),
        (":integer", "pairs such as"),
    ],
)
def test_unknown_types_are_errors(value, words):
    with pytest.raises(BadValue) as caught:
        type_table(value)

    assert words in str(caught.value)


@given(
    st.sampled_from([c for c in CONVERTERS.values() if c]), st.text(st.characters() | st.sampled_from("0123xXeE+-."))
)
def test_no_text_raises_and_no_value_is_infinite(convert, text):
    value = convert(text)

    assert isinstance(value, str) or value - value == 0
