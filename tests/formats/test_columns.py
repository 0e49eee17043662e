"""Many records of one shape are written by columns: the bytes are those of the records one by one."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebit.record import Chunk, Shape
from fakes.formats import T0, make_format

TEXT = st.text('abc"\\,:%\x1f\n\u00e9\u2028\U0001f600\udcff\ud800{}[]', max_size=5) | st.sampled_from(
    ["x" * 30, "y" * 300]
)
VALUE = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.lists(st.integers(), max_size=2)
)
COLUMN = st.sampled_from([st.just("plain"), TEXT, st.integers(), st.floats(allow_nan=False), VALUE])


@st.composite
def chunks(draw: st.DrawFn) -> Chunk:
    names = draw(st.lists(st.sampled_from(["a", "b", "date", 'q"%s', "\u00e9"]), max_size=4))
    shape, other = Shape.of(names, draw(st.none() | st.just({"m": 1}))), Shape.of(["z"])
    columns = [draw(COLUMN) for _ in names]
    records: list[Any] = []
    for _ in range(draw(st.integers(1, 3))):
        times = draw(st.lists(st.integers(0, 2), max_size=20))
        records += [(T0 + time * 10**8, shape, tuple(draw(column) for column in columns)) for time in times]
        if draw(st.booleans()):
            records.append((T0, other, ("1",)))
    return Chunk("t", records or [(T0, shape, tuple(draw(column) for column in columns))], seq=7)


FORMATS = [
    ("json_lines", {}),
    ("json_lines", {"json.escape_unicode": False, "sequence_key": "n", "json_date_format": "iso8601"}),
    ("json_stream", {"json_date_key": False}),
    ("plain", {}),
    ("out_file", {}),
    ("csv", {}),
    ("csv", {"csv_quote": "fluent-bit", "sequence_key": "n"}),
]


@pytest.mark.parametrize(("name", "options"), FORMATS)
@settings(max_examples=40)
@given(chunk=chunks())
def test_text_is_that_of_the_records(name: str, options: dict[str, object], chunk: Chunk) -> None:
    made = make_format(name, **{key.replace(".", "__"): value for key, value in options.items()})
    singly = [made.encode(Chunk("t", [record], seq=7 + i)) for i, record in enumerate(chunk.records)]
    assert made.encode(chunk) == b"".join(singly)


@settings(max_examples=40)
@given(chunk=chunks())
def test_a_json_array_has_the_objects_of_the_lines(chunk: Chunk) -> None:
    assert (
        make_format("json").encode(chunk)
        == b"[" + b",".join(make_format("json_lines").encode(chunk).splitlines()) + b"]"
    )


@pytest.mark.parametrize(
    "options", [{}, {"sequence_key": "n"}, {"json_date_key": False}, {"json_date_format": "iso8601"}]
)
@settings(max_examples=40)
@given(chunk=chunks())
def test_cbor_maps_are_those_of_the_records(options: dict[str, object], chunk: Chunk) -> None:
    made = make_format("cbor", **options)
    singly = [made.encode(Chunk("t", [record], seq=7 + i)) for i, record in enumerate(chunk.records)]
    assert cbor2.loads(made.encode(chunk)) == [one for text in singly for one in cbor2.loads(text)]
