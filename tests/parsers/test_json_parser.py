"""Lines that are JSON objects."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.options import Setting, read
from edgebit.parsers.json import Json
from edgebit.plugin import LOG
from edgebit.record import Shape, to_dict

NOW = 1_767_225_600 * 10**9
S = 10**9


def parser(**options):
    return Json("p", read(Json.OPTIONS, [Setting(k, v) for k, v in options.items()], "parser json"))


def fields(line, **options):
    record = parser(**options).parse(line, NOW)
    return None if record is None else to_dict(record)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"dev":{"id":7,"pos":[1,2.5,-3]},"ok":true}', {"dev": {"id": 7, "pos": [1, 2.5, -3]}, "ok": True}),
        (
            '{"none":null,"off":false,"empty":"","list":[],"map":{}}',
            {"none": None, "off": False, "empty": "", "list": [], "map": {}},
        ),
        (r'{"esc":"tab\tquote\" back\\ slash\/ nl\n"}', {"esc": 'tab\tquote" back\\ slash/ nl\n'}),
        (r'{"u":"caf\u00e9 \u20ac","pair":"\ud83d\ude00"}', {"u": "café €", "pair": "😀"}),
        ('  { "spaced" : [ 1 , 2 ] }  ', {"spaced": [1, 2]}),
        ("{}", {}),
        (
            '{"big":18446744073709551615,"e":1.5e3,"z":10.0,"g":1e3}',
            {"big": 2**64 - 1, "e": 1500.0, "z": 10.0, "g": 1e3},
        ),
        ('{"a":1} and more', {"a": 1}),
        ('{"a":1,"b":2,"a":3}', {"a": 3, "b": 2}),
        ('{"bytes":"caf\udce9"}', {"bytes": "caf\udce9"}),  # not UTF-8 on arrival
    ],
)
def test_object(line, expected):
    assert fields(line) == expected


def test_numbers_keep_their_types():
    values = parser().parse('{"i":1,"f":1.0,"e":1e3,"b":true}', NOW)[2]

    assert [type(value) for value in values] == [int, float, float, bool]


@pytest.mark.parametrize(
    "line",
    [
        "", " ", "not json", "[1,2,3]", '"text"', "42", '{"cut":', '{"a":1', "{'a':1}", '{"a":NaN}', '{"a":Infinity}',
        '{"a":-Infinity}', '{"a":1e999}', '{"a":[-1e400]}', '{"a":"x\ty"}', '{"a":1}{"b":2}', '{"a":1} , {"b":2}',
        '{"a":' + "9" * 5000 + "}", '{"a":' + "[" * 100 + "]" * 100 + "}", '{"a":' + "[" * 100_000,
        '{"a":' * 5000 + "1" + "}" * 5000, '\ufeff{"a":1}',
    ],
)  # fmt: skip
def test_what_is_no_single_object_does_not_match(line):
    assert parser().parse(line, NOW) is None


def test_depth_is_bounded_not_length():
    assert len(fields('{"a":[' + ",".join(["[]"] * 1000) + "]}")["a"]) == 1000
    assert fields('{"a":' + "[" * 99 + "]" * 99 + "}") is not None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (r'{"a":"\ud800"}', "\ufffd"),
        (r'{"a":"\uDFFF\uD83D\uDE00"}', "\ufffd😀"),
        (r'{"a":"\\ud800"}', r"\ud800"),
        (r'{"a":"\\\ud83dx"}', "\\\ufffdx"),
    ],
)
def test_half_a_surrogate_pair_is_no_text(line, expected):
    assert fields(line) == {"a": expected}


def test_time_from_a_text():
    p = parser(time_key="ts", time_format="%Y-%m-%dT%H:%M:%S")

    assert p.parse('{"ts":"2024-02-29T12:00:00","ok":1}', NOW) == (1709208000 * S, Shape.of(("ok",)), (1,))
    assert p.parse('{"ts":1709208000,"ok":1}', NOW) == (NOW, Shape.of(("ts", "ok")), (1709208000, 1))
    assert p.parse('{"ok":1}', NOW) == (NOW, Shape.of(("ok",)), (1,))
    assert p.time_errors == 0


def test_time_with_fraction_is_kept_if_asked():
    p = parser(time_key="at", time_format="%s.%L", time_keep="On")

    assert p.parse('{"at":"1700000001.000001","v":2}', NOW) == (
        1700000001 * S + 1000,
        Shape.of(("at", "v")),
        ("1700000001.000001", 2),
    )


def test_time_that_does_not_fit_stays_and_is_counted():
    p = parser(time_key="ts", time_format="%s")

    assert p.parse('{"ts":"soon"}', NOW) == (NOW, Shape.of(("ts",)), ("soon",))
    assert p.time_errors == 1


def test_unparsed_lines_are_kept_whole():
    records, misses = parser().parse_lines(['{"ok":1}', "42"], NOW)

    assert (records, misses) == ([(NOW, Shape.of(("ok",)), (1,)), (NOW, LOG, ("42",))], 1)


def test_types_are_taken_and_without_effect():
    """A definition may have them in Fluent Bit; they say nothing of JSON's own types."""
    p = Json("p", read(Json.OPTIONS, [Setting("types", "a:integer")], "parser json"))

    assert p.parse('{"a":"1"}', NOW)[2] == ("1",)


@given(st.text(alphabet=st.characters() | st.sampled_from('{}[]",:\\u019deEtrue'), max_size=60))
def test_any_text_parses_or_does_not(text):
    for line in (text, '{"a":' + text + "}", '{"a":"' + text + '"}'):
        record = parser().parse(line, NOW)
        assert record is None or len(record[1].names) == len(record[2])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4), st.booleans())
def test_what_json_writes_is_read_back(value, ascii_only):
    assert fields(json.dumps(value, ensure_ascii=ascii_only)) == value
