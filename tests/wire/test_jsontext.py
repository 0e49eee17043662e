"""JSON values in lines: what is JSON comes out, anything else is [] and never an exception."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.record import encode_payload, from_dict
from edgebit.wire.jsontext import MAX_NESTING, values


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"a":1}', [{"a": 1}]),
        ('  {"a":1} \r', [{"a": 1}]),
        ('{"a":1}{"b":[2]} [3]', [{"a": 1}, {"b": [2]}, [3]]),
        ('{"a":"\\u00e9\\ud83d\\ude00"}', [{"a": "\u00e9\U0001f600"}]),
        ('{"a":"' + "[" * 200 + '"}', []),  # looks deep; not worth a parser
        ("", []),
        ("  ", []),
        ("21.4", []),
        ('"text"', []),
        ('{"a":1} x', []),
        ('{"a":1', []),
        ('{"a":NaN}', []),
        ('{"a":"\\ud800"}', []),  # a lone surrogate has no UTF-8 form
        ("{'a':1}", []),
        ("{" * 100_000, []),
        ("[" * 100_000, []),
        ("[1," * 60, []),
        ('{"a":' + "9" * 5000 + "}", []),  # Python refuses to read such a number
    ],
)
def test_lines(line, found):
    assert values(line) == found


def test_many_flat_objects_are_not_deep():
    assert len(values('{"a":[1]}' * 500)) == 500


def test_nesting_up_to_the_limit():
    assert values("[" * MAX_NESTING + "]" * MAX_NESTING)
    assert not values("[" * (MAX_NESTING + 1) + "]" * (MAX_NESTING + 1))


def test_bytes_that_were_not_utf8_stay():
    assert values('{"a":"\udcff"}') == [{"a": "\udcff"}]


@given(st.text())
def test_no_text_raises_and_what_comes_out_can_be_carried(line):
    for value in values(line) + values(json.dumps({"a": line})):
        encode_payload([from_dict(0, {"v": value})])
