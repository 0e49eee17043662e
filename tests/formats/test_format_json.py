from __future__ import annotations

import json
import math
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebit.errors import ConfigError
from edgebit.record import MAX_SHAPES, Chunk, Shape
from fakes.formats import T0, chunk_of, make_format

text = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)  # surrogates too
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(text, v, max_size=3), max_leaves=6)


def one(fields: dict[str, Any], **options: object) -> str:
    options.setdefault("json_date_key", False)
    return make_format("json_lines", **options).encode(chunk_of(fields)).decode().removesuffix("\n")


def as_json(value: Any) -> Any:
    """What a reader of our JSON must find."""
    if isinstance(value, str):
        # A pair of lone surrogates, side by side, can't be told from a character in escaped JSON.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float):
        if math.isfinite(value):
            return value if value.is_integer() and abs(value) < 2**63 else float(f"{value:.16g}")
        return None
    if isinstance(value, list):
        return [as_json(v) for v in value]
    if isinstance(value, dict):
        return {as_json(k): as_json(v) for k, v in value.items()}
    return value


def test_layouts() -> None:
    chunk = chunk_of({"a": 1}, {"b": "x"})
    first, second = '{"date":1700000000.123457,"a":1}', '{"date":1700000001.123457,"b":"x"}'
    assert make_format("json").encode(chunk).decode() == f"[{first},{second}]"
    assert make_format("json_lines").encode(chunk).decode() == f"{first}\n{second}\n"
    assert make_format("json_stream").encode(chunk).decode() == first + second
    assert make_format("plain").encode(chunk) == b'{"a":1}\n{"b":"x"}\n'
    assert make_format("out_file").encode(chunk) == (
        b't: [1700000000.123456789, {"a":1}]\nt: [1700000001.123456789, {"b":"x"}]\n'
    )


def test_no_records() -> None:
    chunk = Chunk("t", [])
    assert make_format("json").encode(chunk) == b"[]"
    for name in ("json_lines", "json_stream", "plain", "out_file"):
        assert make_format(name).encode(chunk) == b"", name


def test_no_fields() -> None:
    assert one({}) == "{}"
    assert make_format("json").encode(chunk_of({})) == b'[{"date":1700000000.123457}]'
    assert make_format("out_file").encode(chunk_of({})) == b"t: [1700000000.123456789, {}]\n"


@pytest.mark.parametrize(
    ("form", "date"),
    [
        ("double", "1700000000.123457"),
        ("epoch", "1700000000"),
        ("epoch_ms", "1700000000123"),
        ("iso8601", '"2023-11-14T22:13:20.123456Z"'),
        ("java_sql_timestamp", '"2023-11-14 22:13:20.123456"'),
    ],
)
def test_date_formats(form: str, date: str) -> None:
    body = make_format("json", json_date_format=form, json_date_key="@t").encode(chunk_of({"a": 1}))
    assert body.decode() == f'[{{"@t":{date},"a":1}}]'


@pytest.mark.parametrize(("time_ns", "date"), [
    (1_700_000_002 * 10**9, "1700000002.0"), (0, "0.0"), (1, "1e-09"), (-1_500_000_000, "-1.5"),
])  # fmt: skip
def test_dates_as_floats_keep_a_fraction(time_ns: int, date: str) -> None:
    assert make_format("json").encode(chunk_of({}, time_ns=time_ns)).decode() == f'[{{"date":{date}}}]'


def test_date_key_off_in_every_spelling() -> None:
    for off in (False, "false", "Off", "no"):
        assert make_format("json", json_date_key=off).encode(chunk_of({"a": 1})) == b'[{"a":1}]'
    assert b'"date":' in make_format("json", json_date_key=True).encode(chunk_of({"a": 1}))


def test_sequence_numbers_follow_the_date() -> None:
    body = make_format("json_lines", json_date_format="epoch", sequence_key="n").encode(
        chunk_of({"a": 1}, {"a": 2}, seq=41)
    )
    assert body == b'{"date":1700000000,"n":41,"a":1}\n{"date":1700000001,"n":42,"a":2}\n'
    body = make_format("json", json_date_key=False, sequence_key="n").encode(chunk_of({}, seq=7))
    assert body == b'[{"n":7}]'


def test_of_equal_names_the_last_is_written_in_its_place() -> None:
    shape = Shape.of(("a", "b", "a"))
    body = make_format("json", json_date_key=False).encode(Chunk("t", [(T0, shape, (1, "x", 2))]))
    assert body == b'[{"b":"x","a":2}]'


def test_a_field_named_like_the_date_takes_its_place() -> None:
    assert make_format("json", json_date_key="at").encode(chunk_of({"b": 1, "at": "own"})) == b'[{"b":1,"at":"own"}]'


def test_names_that_become_equal_are_written_once() -> None:
    shape = Shape.of(("\udc80", "\udc81"))
    body = make_format("json", json_date_key=False).encode(Chunk("t", [(T0, shape, (1, 2))]))
    assert body == b'[{"\\ufffd":2}]'


def test_numbers() -> None:
    """The digits Fluent Bit prints."""
    floats = [100.0, 1e15, 1e21, 1e-6, 1.25e-9, -2.5e-3, 123456789.123456789, -0.0, 0.1 + 0.2, 1 / 3, 1e300]
    assert one({"f": floats}) == ('{"f":[100.0,1000000000000000.0,1e+21,1e-06,1.25e-09,-0.0025,123456789.1234568,-0.0,0.3,'
                                  '0.3333333333333333,1e+300]}')  # fmt: skip
    whole = [1e16, 12345678901234567.0, -(2.0**63), 2.0**63, 100.00000000000001]
    assert one({"f": whole}) == (
        '{"f":[10000000000000000.0,12345678901234568.0,-9223372036854775808.0,9.223372036854776e+18,100]}'
    )
    assert one({"i": [2**64 - 1, -(2**63), 0]}) == '{"i":[18446744073709551615,-9223372036854775808,0]}'
    assert one({"n": [math.nan, math.inf, -math.inf, None, True, False]}) == '{"n":[null,null,null,null,true,false]}'


def test_text_is_escaped_to_ascii() -> None:
    assert one({"k": 'ä€😀"\\/\n\t\x01\x7f'}) == '{"k":"\\u00e4\\u20ac\\ud83d\\ude00\\"\\\\/\\n\\t\\u0001\\u007f"}'


def test_text_passes_through_when_escaping_is_off() -> None:
    assert one({"ключ": 'ä😀"\n\udcff'}, json__escape_unicode=False) == '{"ключ":"ä😀\\"\\n\ufffd"}'


@pytest.mark.parametrize(
    ("given_text", "found"),
    [
        ("caf\udce9 \udcff\udcfe", "caf\\ufffd \\ufffd\\ufffd"),
        ("\ud83d", "\\ufffd"),
        ("😀\udc80", "\\ud83d\\ude00\\ufffd"),
        ("\udc80😀", "\\ufffd\\ud83d\\ude00"),
        ("\\ud83d", "\\\\ud83d"),
        ("\\\udc80", "\\\\\\ufffd"),
    ],
)
def test_bytes_that_were_not_utf8_become_replacement_characters(given_text: str, found: str) -> None:
    """Literal backslashes in front don't confuse it."""
    assert one({"k": given_text}) == f'{{"k":"{found}"}}'
    assert one({given_text: {given_text: 1}}) == f'{{"{found}":{{"{found}":1}}}}'


def test_a_shape_that_had_only_text_gets_other_values() -> None:
    """Its fast path ends; records before, after and in between are all there."""
    records = [{"a": v, "b": "x"} for v in ("one", None, "two", 3)]
    body = make_format("json", json_date_key=False).encode(chunk_of(*records))
    assert json.loads(body) == records


def test_values_of_unusual_types() -> None:
    class Level(IntEnum):
        HIGH = 3

    class Name(str):
        pass

    assert one({"e": Level.HIGH, "s": Name("x"), "t": (1, 2), "o": 1 + 2j, "b": b"\xff\xc3\xa4"}) == (
        '{"e":3,"s":"x","t":[1,2],"o":"(1+2j)","b":"\\ufffd\\u00e4"}'
    )
    assert one({"m": {1: 2, None: 3, 2.5: 4}}) == '{"m":{"1":2,"null":3,"2.5":4}}'


def test_options_of_one_instance_do_not_leak_into_another() -> None:
    """They share the shapes' caches."""
    chunk = chunk_of({"ä": "ö", "n": 1})
    assert one({"ä": "ö", "n": 1}) != one({"ä": "ö", "n": 1}, json__escape_unicode=False)
    assert make_format("json", json_date_key="a").encode(chunk) != make_format("json", json_date_key="b").encode(chunk)
    assert make_format("plain").encode(chunk) == b'{"\\u00e4":"\\u00f6","n":1}\n'


def test_shapes_that_are_not_interned_are_not_compiled_for() -> None:
    shape = Shape(("a", "b"), interned=False)
    body = make_format("plain").encode(Chunk("t", [(T0, shape, ("x", 1)), (T0, shape, ("y", 2))]))
    assert body == b'{"a":"x","b":1}\n{"a":"y","b":2}\n'
    assert not shape.cache


def test_new_instances_do_not_fill_the_caches() -> None:
    """A reload makes formats anew; shapes live as long as the process."""
    chunk = chunk_of({"only here": 1})
    for _ in range(3):
        make_format("json").encode(chunk)
    assert len(Shape.of(("only here",)).cache) == 1


def test_a_value_missing_is_an_error_and_not_a_shifted_record() -> None:
    with pytest.raises(TypeError):
        make_format("json").encode(Chunk("t", [(T0, Shape.of(("a", "b")), ("x",))]))


def test_bad_options() -> None:
    with pytest.raises(ConfigError, match=r"json_date_format.*iso8601"):
        make_format("json", json_date_format="iso")


@settings(max_examples=60)
@given(st.lists(st.dictionaries(text, values, max_size=5), max_size=4), st.booleans())
def test_any_record_is_read_back_by_json_loads(records: list[dict[str, Any]], escape: bool) -> None:
    body = make_format("json", json_date_key=False, json__escape_unicode=escape).encode(chunk_of(*records))
    if escape:
        assert body.isascii()
        assert json.loads(body) == [as_json(record) for record in records]
    else:
        json.loads(body.decode())  # is UTF-8 and JSON
    assert b"\n" not in body
    assert len(Shape._interned) <= MAX_SHAPES


@given(st.lists(text, min_size=1, max_size=6), st.booleans())
def test_any_names_even_equal_ones(names: list[str], escape: bool) -> None:
    """Percent signs, braces, quotes, whatever: a name is data."""
    shape = Shape.of(names)
    values = tuple(f"%s {{{i}}}" for i in range(len(names)))
    body = make_format("json", json_date_key=False, json__escape_unicode=escape).encode(
        Chunk("t", [(T0, shape, values)])
    )
    if escape:
        pairs = json.loads(body, object_pairs_hook=list)[0]
        expected = {as_json(name): value for name, value in zip(names, values, strict=True)}
        assert dict(pairs) == expected
        assert len(pairs) == len(expected)
    else:
        json.loads(body)


@pytest.mark.parametrize("fields", [{}, {"a": 1}, {"a": 1, "b": "x"}])
def test_metadata_of_events_goes_behind_the_date(fields: dict[str, Any]) -> None:
    shape = Shape.of(fields, {"site": "100%", "n": [1, None]})
    chunk = Chunk("t", [(T0, shape, tuple(fields.values()))])
    rest = "".join(f',"{key}":{json.dumps(value)}' for key, value in fields.items())
    inner = '"__internal__":{"log_metadata":{"site":"100%","n":[1,null]}}'
    assert make_format("json_lines").encode(chunk).decode() == f'{{"date":1700000000.123457,{inner}{rest}}}\n'
    assert make_format("json_lines", json_date_key=False).encode(chunk).decode() == f"{{{inner}{rest}}}\n"
    assert make_format("plain").encode(chunk).decode() == f"{{{rest[1:]}}}\n"
