from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.formats import chunk_of, make_format


def encode(*fields: dict[str, Any], **options: object) -> str:
    return make_format("gelf", **options).encode(chunk_of(*fields)).decode("ascii")


def test_layout_of_fluent_bit() -> None:
    keys = {
        "gelf_short_message_key": "msg",
        "gelf_host_key": "node",
        "gelf_level_key": "sev",
        "gelf_timestamp_key": "at",
    }
    record = {
        "msg": "door open",
        "node": "gw1",
        "sev": 3,
        "at": 1700000009.25,
        "extra": {"a": 1, "b": {"c": "x"}},
        "n": 2.5,
    }
    assert encode(record, **keys) == (
        '{"version":"1.1", "short_message":"door open", "host":"gw1", "level":3, "timestamp":1700000009.250000, '
        '"_extra_a":1, "_extra_b_c":"x", "_n":2.500000}\n'
    )


@pytest.mark.parametrize(("fields", "expected"), [
    ({"short_message": "x"}, '"short_message":"x", "timestamp":1700000000.123'),
    ({"short_message": "x", "timestamp": 5}, '"short_message":"x", "timestamp":5'),
    ({"short_message": "x", "timestamp": 5, "ok": True, "nil": None, "id": 7, "a b/ü": -1},
     '"short_message":"x", "timestamp":5, "_ok":"true", "_a_b___":-1'),
    ({"short_message": 'é"', "timestamp": 5, "l": ["a", 1, 2.5, None, True, {"k": 'v"', "m": {"n": 1}}]},
     r'"short_message":"\u00e9\"", "timestamp":5, "_l":"a, 1, 2.500000, null, true, k=v\" m_n=1"'),
    ({"short_message": "x", "timestamp": 5, "m": {"a": None, "b": [1], "c": False, "d": {}}},
     '"short_message":"x", "timestamp":5, "_m_a":null, "_m_b":"1", "_m_c":"false"'),
    ({"short_message": "x", "timestamp": 5, "host": {"a": 1}}, '"short_message":"x", "timestamp":5, "_host_a":1'),
])  # fmt: skip
def test_fields(fields: dict[str, Any], expected: str) -> None:
    assert encode(fields) == '{"version":"1.1", ' + expected + "}\n"


@pytest.mark.parametrize(("value", "expected"), [
    (0, '"level":0'), (7, '"level":7'), ("4", '"level":4'), ("ERR", '"level":3'), ("warning", '"level":4'),
    ("WARN", '"level":4'),
    (8, '"_level":8'), (-1, '"_level":-1'), ("bad", '"_level":"bad"'), (1.0, '"_level":1.000000'),
    (True, '"_level":"true"'), ({"a": 1}, '"_level_a":1'),
])  # fmt: skip
def test_levels_and_what_is_none(value: object, expected: str) -> None:
    assert encode({"short_message": "x", "timestamp": 5, "level": value}).endswith(f', "timestamp":5, {expected}}}\n')


@pytest.mark.parametrize(("fields", "message"), [
    ({"log": "line"}, "line"), ({"message": "m", "n": 1}, "m"), ({"n": 1, "é": "x"}, '{"n":1,"\\u00e9":"x"}'), ({}, "{}"),
    ({"short_message": None}, '{"short_message":null}'), ({"short_message": {"a": 1}}, '{"short_message":{"a":1}}'),
])  # fmt: skip
def test_a_record_without_the_message_is_not_lost(fields: dict[str, Any], message: str) -> None:
    assert json.loads(encode(fields))["short_message"] == message


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(max_size=5), values, max_size=5), max_size=3))
def test_every_record_gives_a_valid_object(records: list[dict[str, Any]]) -> None:
    lines = encode(*records).splitlines()
    assert len(lines) == len(records)
    for line in lines:
        found = json.loads(line, parse_constant=lambda name: pytest.fail(name))
        assert found["version"] == "1.1"
        assert "short_message" in found
        assert not any(isinstance(value, (dict, list)) for value in found.values())
