from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.formats.cbor import decode_rows
from edgebit.record import Chunk, Shape, decode_payload, to_dict
from fakes.formats import T0, chunk_of, make_format

PAGE = Path(__file__).parents[2] / "docs" / "cbor-rows.md"

text = st.text(st.characters(codec="utf-8"), max_size=12)
anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)  # surrogates too
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)


def nested(strings: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(scalars | strings, lambda v: st.lists(v, max_size=3) | st.dictionaries(strings, v, max_size=3),
                        max_leaves=5)  # fmt: skip


def records_of(strings: st.SearchStrategy[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.dictionaries(strings, nested(strings), max_size=4), max_size=4)


# -- cbor: maps --------------------------------------------------------------------------------------------------------


def test_maps_with_the_date_first() -> None:
    found = cbor2.loads(make_format("cbor").encode(chunk_of({"a": "x", "n": 1}, {"b": None})))
    assert found == [{"date": T0 / 1e9, "a": "x", "n": 1}, {"date": T0 / 1e9 + 1, "b": None}]
    assert list(found[0]) == ["date", "a", "n"]


@pytest.mark.parametrize(("options", "expected"), [
    ({"json_date_format": "iso8601"}, {"date": "2023-11-14T22:13:20.123456Z", "a": 1}),
    ({"json_date_format": "epoch_ms", "json_date_key": "t"}, {"t": 1700000000123, "a": 1}),
    ({"json_date_key": False}, {"a": 1}),
    ({"json_date_key": False, "sequence_key": "n"}, {"n": 41, "a": 1}),
    ({"json_date_format": "epoch", "sequence_key": "n"}, {"date": 1700000000, "n": 41, "a": 1}),
])  # fmt: skip
def test_lead_fields(options: dict[str, Any], expected: dict[str, Any]) -> None:
    found = cbor2.loads(make_format("cbor", **options).encode(chunk_of({"a": 1}, seq=41)))
    assert found == [expected]
    assert list(found[0]) == list(expected)


def test_a_field_named_like_the_date_wins() -> None:
    assert cbor2.loads(make_format("cbor").encode(chunk_of({"date": "own"}))) == [{"date": "own"}]


def test_text_that_was_not_utf8_becomes_a_byte_string() -> None:
    chunk = chunk_of({"a": "caf\udce9", "b": ["\udcff"], "c": "ok"}, {"a": "\ud83d"})
    found = cbor2.loads(make_format("cbor", json_date_key=False).encode(chunk))
    assert found == [{"a": b"caf\xe9", "b": [b"\xff"], "c": "ok"}, {"a": b"\xed\xa0\xbd"}]


def test_chunks_in_a_row_are_a_cbor_sequence() -> None:
    cbor = make_format("cbor", json_date_key=False)
    assert cbor.stream
    body = cbor.encode(chunk_of({"a": 1}))
    assert cbor2.loads((body + body)[len(body) :]) == [{"a": 1}]


@given(records_of(text))
def test_maps_are_read_back(records: list[dict[str, Any]]) -> None:
    assert cbor2.loads(make_format("cbor", json_date_key=False).encode(chunk_of(*records))) == records


# -- cbor_rows ---------------------------------------------------------------------------------------------------------


def rows(*fields: dict[str, Any], seq: int = 41, tag: str = "env") -> bytes:
    return make_format("cbor_rows", "pi-7", "9f2c").encode(chunk_of(*fields, seq=seq, tag=tag))


def test_envelope() -> None:
    envelope, records = decode_rows(rows({"a": "x"}, {"a": "y", "n": [1]}))
    assert envelope == {"v": 1, "agent": "pi-7", "stream": "9f2c", "tag": "env", "seq": 41, "count": 2}
    assert [(r[0], to_dict(r)) for r in records] == [(T0, {"a": "x"}), (T0 + 10**9, {"a": "y", "n": [1]})]


def test_the_payload_is_not_touched() -> None:
    """Not even decoded: what stands in for it here is no CBOR."""
    chunk = Chunk("t", None, seq=1, payload=b"\xff\xff as it is", count=3)
    message = make_format("cbor_rows").encode(chunk)
    assert message.endswith(b"\x64data\xff\xff as it is")


@given(records_of(anything), anything, st.integers(0, 2**64 - 1))
def test_rows_are_read_back(records: list[dict[str, Any]], tag: str, seq: int) -> None:
    chunk = chunk_of(*records, seq=seq, tag=tag)
    envelope, found = decode_rows(make_format("cbor_rows", "a", "s").encode(chunk))
    assert (envelope["seq"], envelope["count"]) == (seq, len(records))
    assert [r[0] for r in found] == [r[0] for r in chunk.records]
    assert [list(r[1].names) for r in found] == [[as_bytes(n) for n in r[1].names] for r in chunk.records]
    assert [list(r[2]) for r in found] == [[as_bytes(v) for v in r[2]] for r in chunk.records]


def as_bytes(value: Any) -> Any:
    """A value after its way through bytes: surrogates that stand for no byte come back as three that do."""
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [as_bytes(v) for v in value]
    if isinstance(value, dict):
        return {as_bytes(k): as_bytes(v) for k, v in value.items()}
    return value


def test_unknown_keys_are_kept() -> None:
    message = rows({"a": 1})
    more = b"\xa8" + message[1:].replace(b"\x64data", b"\x61z\x07\x64data")
    envelope, records = decode_rows(more)
    assert envelope["z"] == 7
    assert len(records) == 1


def test_every_cut_of_a_message_is_an_error() -> None:
    message = rows({"a": "x", "b": 1.5}, {"c": None})
    for end in range(len(message)):
        with pytest.raises(ValueError, match="not a cbor_rows message"):
            decode_rows(message[:end])


def envelope_with(**changes: Any) -> bytes:
    envelope = {
        "v": 1,
        "agent": "a",
        "stream": "s",
        "tag": "t",
        "seq": 1,
        "count": 1,
        "data": [T0, [["a"]], [[0, 0, 1]]],
    }
    return cbor2.dumps({**envelope, **changes})


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "cut short"),
        (b"\xff", "indefinite length"),
        (b'{"a":1}', "cut short"),
        (cbor2.dumps([{"a": 1}]), "no map"),
        (b"\xbb" + b"\xff" * 8, "no map"),
        (b"\xbf\x61v\x01\xff", "indefinite length"),
        (b"\xa1\x7b" + b"\xff" * 8, "cut short"),
        (cbor2.dumps({"v": 1}), "no data"),
        (cbor2.dumps({"v": [1]}), "other than text and numbers"),
        (envelope_with(v=2), "version 2"),
        (envelope_with(agent=1), '"agent" is missing or no text'),
        (envelope_with(seq="1"), '"seq" is missing or no number'),
        (envelope_with(count=2), "1 records where 2 were announced"),
        (envelope_with(data=[]), "not a cbor_rows message"),
        (envelope_with(data=7), "not a cbor_rows message"),
        (envelope_with(data=["x", [["a"]], [[0, 0, 1]]]), "not a payload"),
        (envelope_with(data=[T0, [["a"]], [[5, 0, 1]]]), "not a payload"),
        (envelope_with(data=[T0, [["a"]], [[0]]]), "not a cbor_rows message"),
        (envelope_with(data=[T0, [["a", "b"]], [[0, 0, 1]]]), "doesn't fit its names"),
        (envelope_with(data=[T0, [[1]], [[0, 0, 1]]]), "doesn't fit its names"),
    ],
)
def test_what_is_wrong_is_said(message: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        decode_rows(message)


def test_the_base_message_of_those_cases_is_right() -> None:
    assert decode_rows(envelope_with())[0]["count"] == 1


@given(st.binary(max_size=40))
def test_noise_is_a_value_error(noise: bytes) -> None:
    for message in (noise, b"\xa7" + noise, envelope_with()[: -len(noise) or None] + noise):
        try:
            decode_rows(message)
        except ValueError:
            pass


# -- the page ----------------------------------------------------------------------------------------------------------


def documented_hex() -> bytes:
    """The bytes of the example: each line has them before its comment, in columns."""
    (block,) = re.findall(r"```\n(a7 .*?)```", PAGE.read_text(), re.S)
    pairs = [re.match(r"(?:\s*[0-9a-f]{2}(?= |$))+", line) for line in block.splitlines()]
    return bytes.fromhex("".join(found[0] for found in pairs if found))


def test_the_example_in_the_docs_is_what_we_send() -> None:
    shape = Shape.of(("sensor", "celsius"))
    records = [(1_700_000_000_000_000_000, shape, ("t1", 21.5)), (1_700_000_000_250_000_000, shape, ("t2", None))]
    message = make_format("cbor_rows", "pi-7", "9f2c").encode(Chunk("env", records, seq=41))
    assert documented_hex() == message
    assert f"{len(message)} bytes" in PAGE.read_text()


def test_the_reader_in_the_docs_reads() -> None:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    scope: dict[str, Any] = {}
    exec(source, scope)
    found = list(scope["read"](documented_hex()))
    assert found == [
        ("9f2c", 41, "env", 1_700_000_000_000_000_000, {"sensor": "t1", "celsius": 21.5}),
        ("9f2c", 42, "env", 1_700_000_000_250_000_000, {"sensor": "t2", "celsius": None}),
    ]


def test_the_keys_in_the_docs_are_those_of_the_envelope() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.M)
    assert documented == list(cbor2.loads(rows({"a": 1})))
    assert all(a != b for a, b in pairwise(documented))


# -- record.py, which these formats stand on ---------------------------------------------------------------------------


def test_a_payload_that_is_no_cbor_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="not a payload"):
        decode_payload(b"\x82\x01")
