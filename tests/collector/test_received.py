"""Duplicates and gaps as arithmetic, against a plain set as the model."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.collector.received import MAX_LOSSES, MAX_STREAMS, MAX_TAGS, OTHER_TAGS, Received, Spans

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
        "batches": 4, "records": 16, "duplicates": 2, "missing": 7, "explained": 0, "forgotten_streams": 0}  # fmt: skip
    assert stats["streams"][1] == {
        "agent": "pi", "stream": "s1", "records": 13, "duplicates": 2, "tags": {"syslog": 12, "cpu": 1},
        "last": 20, "missing": 7, "gaps": [(13, 19)],
        "explained": 0, "reasons": {}, "lost_after": {}, "losses": []}  # fmt: skip


def test_summary():
    assert filled().summary() == (
        "16 records in 4 batches, 2 duplicates removed, 7 missing\n"
        "without identity: 3 records\n"
        "    http  3\n"
        "agent pi, stream s1: 13 records, 2 duplicates, missing 7 (sequence 13 to 19), not explained\n"
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


# -- what agents tell of losses ------------------------------------------------------------------------------------------


def told(first: int, last: int, why: str = "buffer full, oldest dropped", count: int = 0, stream: str = "s1") -> str:
    return json.dumps({"date": 1.0, "output": "http.0", "stream": stream, "reason": why, "count": count or last - first + 1,
                       "first_sequence": first, "last_sequence": last, "total": 1000})  # fmt: skip


def with_gap(*losses: str) -> Received:
    """A stream without 5 to 124."""
    received = Received()
    received.enter("pi", "s1", "t", 1, 4, 4)
    received.enter("pi", "s1", "t", 125, 10, 10)
    received.explain("pi", losses)
    return received


def line(received: Received) -> str:
    return received.summary().splitlines()[1].partition("duplicates, ")[2]


def test_gap_that_the_agent_explains():
    received = with_gap(told(5, 124))
    assert line(received) == "missing 120 (sequence 5 to 124), explained by the agent: buffer full, oldest dropped"
    assert received.summary().startswith(
        "14 records in 2 batches, 0 duplicates removed, 120 missing, 120 of them explained\n"
    )
    stats = received.stats()
    assert (stats["missing"], stats["explained"]) == (120, 120)
    assert stats["streams"][0]["reasons"] == {"buffer full, oldest dropped": 120}
    assert stats["streams"][0]["losses"] == [
        {"reason": "buffer full, oldest dropped", "first": 5, "last": 124, "count": 120}]  # fmt: skip


def test_gap_that_is_explained_in_part():
    received = with_gap(told(5, 50), told(60, 64, "expired"))
    assert line(received) == ("missing 120 (sequence 5 to 124), 51 of them explained by the agent: "
                              "46: buffer full, oldest dropped; 5: expired")  # fmt: skip


def test_loss_that_never_was_a_gap_explains_nothing():
    """The agent counted it, and it came all the same."""
    received = with_gap(told(1, 4), told(5, 124))
    assert received.stats()["explained"] == 120


def test_a_joined_span_explains_no_more_than_its_count():
    assert with_gap(told(3, 130, count=70)).stats()["explained"] == 70


def test_reasons_that_overlap_explain_no_record_twice():
    assert with_gap(told(5, 124), told(5, 124, "expired")).stats()["explained"] == 120


def test_loss_told_again_after_it_has_grown():
    received = with_gap(told(5, 20), told(5, 124), told(5, 20))
    assert [loss.last for loss in received.streams["pi", "s1"].losses] == [124]
    assert received.stats()["explained"] == 120


def test_gap_that_is_filled_later_needs_no_explanation():
    received = with_gap(told(5, 124))
    received.enter("pi", "s1", "t", 5, 120, 120)
    assert line(received) == "none missing"


def test_loss_behind_the_last_record():
    received = with_gap(told(5, 124), told(130, 144, "purged by hand"))
    assert line(received).endswith("; behind them the agent has lost 10: purged by hand")


def test_stream_of_which_nothing_ever_came():
    received = Received()
    received.explain("pi", [told(1, 9, "not delivered before the stop", stream="s9")])
    assert line(received) == "none missing; behind them the agent has lost 9: not delivered before the stop"


def test_loss_of_another_agent_explains_nothing():
    received = with_gap()
    received.explain("pi-2", [told(5, 124)])
    received.explain("", [told(5, 124)])
    assert received.stats()["explained"] == 0


@pytest.mark.parametrize("text", [
    "{}", '{"stream":"s1"}', told(0, 0), told(9, 5, count=1), told(5, 6, count=3), told(5, 5, stream=""), "nonsense",
    told(5, 9).replace('"first_sequence": 5', '"first_sequence": 1e999'), told(5, 9, stream="x" * 100),
    told(5, 9).replace("9", "1" + "0" * 30), told(5, 9).replace('"count": 5', '"count": null')])  # fmt: skip
def test_loss_that_is_not_understood(text):
    assert with_gap(text).stats()["explained"] == 0


def test_losses_are_bounded():
    received = with_gap(*(told(n, n, f"reason {n}") for n in range(1000, 1000 + 3 * MAX_LOSSES)))
    losses = received.streams["pi", "s1"].losses
    assert len(losses) == MAX_LOSSES
    assert losses[-1].first == 999 + 3 * MAX_LOSSES


def test_state_with_losses_there_and_back():
    received = with_gap(told(5, 124))
    again = Received.from_state(json.loads(json.dumps(received.state())))
    assert again.stats() == received.stats()


def test_state_of_an_earlier_version():
    state = json.loads(json.dumps(filled().state()))
    for stream in state["streams"]:
        del stream["losses"]
    assert Received.from_state(state).stats() == filled().stats()
