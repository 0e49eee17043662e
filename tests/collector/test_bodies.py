"""Bodies in every form to lines of JSON."""

from __future__ import annotations

import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.collector.bodies import UnknownType, cbor_lines, json_lines, lines

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=5)


@pytest.mark.parametrize(
    "body",
    [
        b'[{"a":1},{"b":"x y"}]',
        b' [ {"a":1} , {"b":"x y"} ] \r\n',
        b'{"a":1}\n{"b":"x y"}\n',
        b'{"a":1}\r\n\r\n{"b":"x y"}',
        b'{"a":1}{"b":"x y"}',
        b'\x1e{"a":1}\n\x1e{"b":"x y"}\n',
        b'[{"a":1}]\n[{"b":"x y"}]',
        b'[]{"a":1}[{"b":"x y"}]',
        b'{"a":1}\n[\n{"b":"x y"}\n]',
    ],
)
def test_json_in_every_arrangement(body):
    assert json_lines(body) == ['{"a":1}', '{"b":"x y"}']


def test_json_stays_as_it_was_sent():
    """Digits, escapes, order and even a double key are the sender's."""
    text = '{"f":1.10,"e":1E5,"n":123456789012345678901234567890,"u":"\\u00e9\\ud800","z":"ä","a":1,"a":2}'
    assert json_lines(f"[{text}]".encode()) == [text]


def test_json_over_several_lines_becomes_one():
    body = json.dumps([{"a": "x \\n  y", "b": [1, {"c": None}]}, {}], indent=2).encode()
    found = json_lines(body)
    assert found[0] == '{"a": "x \\\\n  y","b": [1,{"c": null}]}'
    assert [json.loads(line) for line in found] == json.loads(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"nonsense", "not JSON at character 0"),
        (b'{"a":1', "Expecting"),
        (b'[{"a":1}', "not closed"),
        (b'[{"a":1},', "not JSON"),
        (b'[{"a":1},]', "not JSON"),
        (b'[{"a":1} {"b":2}]', "no comma"),
        (b'{"a":1},{"b":2}', "not JSON at character 7"),
        (b"[1,2]", "record 1 is not an object"),
        (b'[{"a":1},"b"]', "record 2 is not an object"),
        (b"[[]]", "record 1 is not an object"),
        (b"17", "not an object"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":"line\nend"}', "control character"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"n":' + b"9" * 10_000 + b"}", "digits"),
    ],
)
def test_json_that_is_wrong(body, words):
    with pytest.raises(ValueError, match=words):
        json_lines(body)


@given(RECORDS, st.sampled_from(["array", "lines", "indented", "concatenated"]))
def test_json_keeps_every_record(records, form):
    if form == "array":
        text = json.dumps(records, ensure_ascii=False)
    elif form == "indented":
        text = json.dumps(records, indent=3)
    else:
        text = ("\n" if form == "lines" else "").join(map(json.dumps, records))
    found = json_lines(text.encode())
    assert [json.loads(line) for line in found] == records
    assert all("\n" not in line and "\r" not in line for line in found)


@given(RECORDS)
def test_cbor_keeps_every_record(records):
    for body in (cbor2.dumps(records), b"".join(map(cbor2.dumps, records))):
        found = cbor_lines(body)
        assert [json.loads(line) for line in found] == records
        assert all("\n" not in line for line in found)
        "".join(found).encode()


def test_cbor_with_what_json_has_no_word_for():
    record = {
        "nan": float("nan"),
        "inf": [float("inf")],
        7: "key",
        b"k": b"ok",
        "bad": b"\xff\n",
        "set": cbor2.undefined,
    }
    (line,) = cbor_lines(cbor2.dumps(record))
    assert json.loads(line) == {
        "nan": None,
        "inf": [None],
        "7": "key",
        "k": "ok",
        "bad": "\udcff\n",
        "set": "undefined",
    }
    assert "\\udcff\\n" in line


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xff", "not CBOR|not a map"),
        (cbor2.dumps([{"a": 1}])[:-1], "not CBOR"),
        (b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "not CBOR"),  # an array of 2**63 - 1 values
        (b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", "not CBOR"),  # a byte string as long
        (b"\xd8\x1c\x81\xd8\x1d\x00", "not a map|not CBOR"),  # an array that holds itself
        (b"\xd8\x1c\xa1\x61a\xd8\x1d\x00", "deeply|not CBOR"),  # a map that holds itself
        (b"\x81" * 100_000 + b"\xa0", "not CBOR|deeply"),
        (cbor2.dumps([1]), "record 1 is not a map"),
        (cbor2.dumps({"a": 1}) + cbor2.dumps("b"), "record 2 is not a map"),
        (cbor2.dumps({"n": 10**6000}), "digits"),
    ],
)
def test_cbor_that_is_wrong(body, words):
    with pytest.raises(ValueError, match=words):
        cbor_lines(body)


@given(st.binary(max_size=200))
def test_noise_is_a_value_error(body):
    for read in (json_lines, cbor_lines):
        try:
            read(body)
        except ValueError:
            pass


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/X-NDJSON",
    "application/vnd.thing+json", "", "text/plain", "application/x-www-form-urlencoded"])  # fmt: skip
def test_types_of_json(kind):
    assert lines(kind, b' {"a":1}') == ['{"a":1}']


@pytest.mark.parametrize("kind", ["application/cbor", "application/cbor-seq"])
def test_types_of_cbor(kind):
    assert lines(kind, cbor2.dumps({"a": 1})) == ['{"a":1}']


@pytest.mark.parametrize(
    ("kind", "body"), [("text/csv", b"{}"), ("application/msgpack", b"\x81"), ("", b"a=b"), ("text/plain", b"")]
)
def test_types_that_are_not_taken(kind, body):
    with pytest.raises(UnknownType, match="JSON lines, CBOR and cbor_rows are"):
        lines(kind, body)


def test_long_cbor_sequence():
    """More than the decoder reads at once."""
    assert cbor_lines(b"".join(cbor2.dumps({"n": n}) for n in range(5000))) == [f'{{"n":{n}}}' for n in range(5000)]
