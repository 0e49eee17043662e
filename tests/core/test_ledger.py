"""The ledger: what was lost is counted, spans are joined where they touch, and all of it survives a restart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.ledger import Ledger


def spans(ledger, who="http.0"):
    return [span for _, span in ledger.unreported(who)]


def test_losses_that_touch_are_one_span():
    ledger = Ledger()
    ledger.lost("http.0", "buffer full", 5, 1, "s")
    ledger.lost("http.0", "buffer full", 3, 6, "s")
    ledger.lost("http.0", "buffer full", 1, 20, "s")
    assert spans(ledger) == [[1, 8, 8], [20, 20, 1]]


def test_first_loss_of_a_kind_is_told_apart():
    ledger = Ledger()
    assert ledger.lost("http.0", "buffer full", 1, 1, "s")
    assert not ledger.lost("http.0", "buffer full", 1, 2, "s")
    assert not ledger.lost("http.0", "buffer full", 1, 1, "another stream")
    assert ledger.lost("http.0", "expired", 1, 1, "s")
    assert not ledger.lost("http.0", "nothing", 0)


def test_reported_spans_are_not_told_again_and_the_total_stays():
    ledger = Ledger()
    ledger.lost("http.0", "buffer full", 5, 1, "s")
    ((entry, span),) = ledger.unreported("http.0")
    told = list(span)
    ledger.lost("http.0", "buffer full", 5, 6, "s")
    ledger.reported(entry, told)  # it has grown since: it must be told again
    assert spans(ledger) == [[1, 10, 10]]
    ledger.reported(entry, [1, 10, 10])
    assert spans(ledger) == []
    assert entry.count == 10


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=200))
def test_many_scattered_losses_keep_their_count_in_bounded_space(steps):
    ledger = Ledger()
    at, total = 1, 0
    for skip, count in steps:
        at += skip
        ledger.lost("http.0", "damaged on disk", count, at, "s")
        at, total = at + count, total + count
    found = spans(ledger)
    assert len(found) <= 32
    assert sum(count for _, _, count in found) == total
    assert all(last - first + 1 >= count for first, last, count in found)


def test_ledger_survives_a_restart():
    ledger = Ledger()
    ledger.lost("http.0", "buffer full", 5, 1, "s")
    ledger.lost("mqtt.1", "rejected by the collector", 1, 9, "t")
    again = Ledger()
    assert again.load(ledger.to_json())
    assert again.lines() == ledger.lines()
    assert spans(again) == [[1, 5, 5]]


JUNK = [b"{", b"[]", b'{"entries": 5}', b'{"entries": [[1]]}', b'{"entries": [[1,2,3,"x",[]]]}', b"\xff"]


@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_refused(junk):
    assert not Ledger().load(junk)


def test_a_thousand_streams_do_not_fill_the_memory():
    ledger = Ledger()
    for i in range(3000):
        ledger.lost("http.0", "buffer full", 2, 1, f"stream{i}")
    assert len(ledger.entries) <= 1001
    assert sum(entry.count for entry in ledger.entries.values()) == 6000
