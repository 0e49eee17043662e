"""Records, shapes, payloads and what they cost."""

import gc
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit import record
from edgebit.record import Chunk, Shape, decode_payload, encode_payload, from_dict, records_size, to_dict

TEXT = st.text(st.characters(codec="utf-8")) | st.binary(max_size=8).map(lambda b: b.decode("utf-8", "surrogateescape"))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RECORD = st.builds(from_dict, st.integers(0, 2**62), st.dictionaries(TEXT, VALUE, max_size=4))


@given(st.lists(RECORD, max_size=8))
def test_payload_gives_back_the_records(records):
    assert decode_payload(encode_payload(records)) == records


def test_bytes_that_are_not_utf8_survive():
    text = b"\xff caf\xe9".decode("utf-8", "surrogateescape")
    (back,) = decode_payload(encode_payload([from_dict(1, {text: text, "n": [text]})]))
    assert to_dict(back) == {text: text, "n": [text]}


@pytest.mark.parametrize("junk", [b"", b"\x00", b"\xff", b"\x83\x00\x00", b"\x83\x00\x80\x81\x82\x05\x00",
                                  b"\x83\x00\x81\x81aa\x81\xa1\x01\x02"])  # fmt: skip
def test_junk_is_a_clean_error(junk):
    with pytest.raises(ValueError):
        decode_payload(junk)


def test_equal_names_share_one_shape():
    assert Shape.of(["a", "b"]) is Shape.of({"a": 1, "b": 2})


def test_metadata_belongs_to_the_shape_and_survives_the_payload():
    shape = Shape.of(["a"], {"origin": "x", "n": 1})
    assert shape is Shape.of(["a"], {"origin": "x", "n": 1})
    assert shape is not Shape.of(["a"])
    assert Shape.of(["a"]).metadata == {}
    assert shape is not Shape.of(["a"], {"origin": "x", "n": True})
    assert shape.derive(["b"]) is Shape.of(["b"], {"origin": "x", "n": 1})
    records = [(5, shape, (1,)), (6, Shape.of(["a"]), (2,))]
    assert decode_payload(encode_payload(records)) == records


def test_of_two_equal_names_the_last_wins():
    shape = Shape.of(["a", "b", "a"])
    assert to_dict((0, shape, (1, 2, 3))) == {"a": 3, "b": 2}
    assert shape.index["a"] == 2


def test_ever_new_names_do_not_fill_the_table(monkeypatch):
    monkeypatch.setattr(Shape, "_interned", {})
    monkeypatch.setattr(record, "MAX_SHAPES", 10)
    shapes = [Shape.of([f"n{i}"]) for i in range(50)]
    assert [s.interned for s in shapes] == [True] * 10 + [False] * 40
    assert len(Shape._interned) == 10


def syslog_like(i):
    return (i, Shape.of(("pri", "time", "host", "ident", "pid", "message")),
            (f"{i % 192}", f"2026-01-01T00:00:{i % 60:02d}Z", f"host{i}", "app", f"{i}", "m" * (i % 200)))  # fmt: skip


@pytest.mark.parametrize("make", [
    syslog_like,
    lambda i: from_dict(i, {"a": i, "b": float(i), "c": None, "d": bool(i % 2)}),
    lambda i: from_dict(i, {"nested": {"x": [i, str(i)], "y": {"z": f"zz{i}"}}}),
    lambda i: from_dict(i, {"log": "é" * (i % 100) + "€😀"}),
])  # fmt: skip
def test_estimated_size_is_near_what_the_interpreter_allocates(make):
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    records = [make(i + 10**18) for i in range(2000)]
    real = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert 0.8 < records_size(records) / real < 1.4


def test_one_long_line_among_many_short_ones_is_counted():
    records = [(0, Shape.of(("log",)), ("x",)) for _ in range(1000)]
    records[501] = (0, Shape.of(("log",)), ("y" * 60_000,))
    assert records_size(records, raw=62_000) >= 60_000 + 1000 * 150


def test_compact_chunk_is_smaller_and_gives_the_same_records():
    records = [syslog_like(i) for i in range(500)]
    chunk = Chunk("t", list(records), records_size(records), 7)
    before = chunk.size
    chunk.compact()
    assert chunk.size < before / 3
    assert (chunk.records, chunk.count, chunk.seq, chunk.last_seq) == (records, 500, 7, 506)


def test_part_of_a_chunk_keeps_its_sequence_numbers():
    chunk = Chunk("t", [syslog_like(i) for i in range(10)], 1000, 100)
    part = chunk.part(3, 5)
    assert (part.seq, part.last_seq, part.records) == (103, 104, chunk.records[3:5])
