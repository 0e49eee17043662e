"""Duplicates and gaps as arithmetic, against a plain set as the model."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.collector.received import MAX_STREAMS, MAX_TAGS, OTHER_TAGS, Received, Spans

BATCHES = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 12)), max_size=30)


def numbers(spans) -> list[int]:
    return [n for lo, hi in spans for n in range(lo, hi + 1)]


@given(BATCHES)
def test_spans_are_a_set(batches):
    spans, model = Spans(), set()
    for first, count in batches:
        batch = set(range(first, first + count))
        assert numbers(spans.absent(first, first + count - 1)) == sorted(batch - model)
        spans.add(first, first + count - 1)
        model |= batch
        assert numbers(spans.spans) == sorted(model)
        assert all(a[1] + 1 < b[0] for a, b in zip(spans.spans, spans.spans[1:])), "merged"
        assert numbers(spans.gaps()) == sorted(set(range(1, max(model))) - model)
        assert spans.missing == max(model) - len(model)
        assert spans.highest == max(model)


@given(BATCHES, st.integers(1, 4))
def test_bounded_spans_forget_but_never_turn_a_new_record_away(batches, limit):
    spans, model = Spans(limit=limit), set()
    for first, count in batches:
        batch = set(range(first, first + count))
        absent = numbers(spans.absent(first, first + count - 1))
        assert batch - model <= set(absent) <= batch
        assert len(set(absent)) == len(absent)
        spans.add(first, first + count - 1)
        model |= batch
        assert len(spans.spans) <= limit
        assert spans.missing >= 0


def test_gaps_below_the_floor_stay_counted():
    spans = Spans(limit=2)
    for n in (2, 4, 6, 8):  # 1, 3, 5, 7 are missing
        spans.add(n, n)
    assert spans.spans == [(6, 6), (8, 8)]
    assert spans.missing == 4


def test_a_stream_in_order_is_one_span():
    received = Received()
    for first in range(1, 100_001, 100):
        assert received.absent("a", "s", first, 100) == [(first, first + 99)]
        received.enter("a", "s", "t", first, 100, 100)
    assert received.streams["a", "s"].spans.spans == [(1, 100_000)]


def test_streams_don_t_know_each_other():
    received = Received()
    received.enter("a", "s", "t", 1, 10, 10)
    assert received.absent("a", "s", 1, 10) == []
    for other in (("a", "s2"), ("a2", "s")):
        assert received.absent(*other, 1, 10) == [(1, 10)]


def test_without_identity_all_is_new():
    received = Received()
    for _ in range(2):
        assert received.absent("", "", 0, 5) == [(0, 4)]
        received.enter("", "", "http", 0, 5, 5)
    assert received.stats()["records"] == 10


def test_the_stream_heard_longest_ago_is_forgotten():
    received = Received()
    for n in range(MAX_STREAMS):
        received.enter("a", f"s{n}", "t", 1, 1, 1)
    received.enter("a", "s0", "t", 2, 1, 1)
    received.enter("a", "new", "t", 1, 1, 1)
    assert len(received.streams) == MAX_STREAMS
    assert ("a", "s1") not in received.streams
    assert ("a", "s0") in received.streams
    assert received.forgotten == 1
    assert "1 stream forgotten" in received.summary()


def test_tags_are_bounded():
    received = Received()
    for n in range(MAX_TAGS + 10):
        received.enter("a", "s", f"t{n}", n + 1, 1, 1)
    tags = received.streams["a", "s"].tags
    assert len(tags) == MAX_TAGS + 1
    assert tags[OTHER_TAGS] == 10


def filled() -> Received:
    received = Received()
    received.enter("pi", "s1", "syslog", 1, 10, 10)
    received.enter("pi", "s1", "syslog", 9, 4, 2)
    received.enter("pi", "s1", "cpu", 20, 1, 1)
    received.enter("", "", "http", 0, 3, 3)
    return received


def test_stats():
    stats = filled().stats()
    assert {k: v for k, v in stats.items() if k != "streams"} == {
        "batches": 4, "records": 16, "duplicates": 2, "missing": 7, "forgotten_streams": 0}  # fmt: skip
    assert stats["streams"][1] == {
        "agent": "pi", "stream": "s1", "records": 13, "duplicates": 2, "tags": {"syslog": 12, "cpu": 1},
        "last": 20, "missing": 7, "gaps": [(13, 19)]}  # fmt: skip


def test_summary():
    assert filled().summary() == (
        "16 records in 4 batches, 2 duplicates removed, 7 missing\n"
        "without identity: 3 records\n"
        "    http  3\n"
        "agent pi, stream s1: 13 records, 2 duplicates, missing 7: 13-19\n"
        "    cpu     1\n"
        "    syslog  12"
    )


def test_summary_of_nothing():
    assert Received().summary() == "0 records in 0 batches, 0 duplicates removed, none missing"


def test_state_there_and_back():
    received = filled()
    again = Received.from_state(json.loads(json.dumps(received.state())))
    assert again.state() == received.state()
    assert again.stats() == received.stats()
    assert again.absent("pi", "s1", 12, 3) == [(13, 14)]


@pytest.mark.parametrize("state", [{}, [], {"version": 2, "batches": 0, "forgotten": 0, "streams": []},
                                   {"version": 1, "batches": 0, "forgotten": 0, "streams": [{"agent": "a"}]}])  # fmt: skip
def test_state_of_something_else(state):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Received.from_state(state)
