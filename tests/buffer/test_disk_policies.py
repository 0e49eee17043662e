"""Buffers on disk against a model: order, exact counts and the limits, whatever the order of events; no crashes here.

The model is short: records come out in the order in which they went in, tag by tag; each that was taken is delivered or
counted as lost, never both; nothing that is on its way is dropped; `used` and the disk stay inside their limits; `records`
says how many wait.
"""

from __future__ import annotations

import pytest
from books import Books
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.files import SimFiles

SEGMENT = 4096
DISK = 4 * SEGMENT
LIMIT = 24 * 1024


@pytest.fixture(scope="module", autouse=True)
def _small_segments():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgebit.buffer.opening.segment_size", lambda limit: SEGMENT)
        yield


class Model:
    """Books, and a sender's view: what was handed out and is not acknowledged."""

    def __init__(self, **how) -> None:
        self.books = Books(SimFiles(), disk=DISK, limit=LIMIT, **how)
        self.books.open()
        self.out = []
        self.acked = self.left = 0
        self.latest: dict[str, int] = {}  # by tag: the number that was delivered last, since the last rewind
        self.tags: dict[str, list[int]] = {}

    def put(self, count, tag, size):
        before = len(self.books.appended)
        taken = self.books.put(count, tag, size)
        assert 0 <= taken <= count
        assert taken == count or self.books.settings["overflow"] == "block"
        self.tags.setdefault(tag, []).extend(self.books.appended[before:])

    def read(self):
        chunk = self.books.take()
        if chunk is None:
            return False
        numbers = [r[2][0] for r in chunk.records]
        assert numbers == sorted(numbers)
        assert numbers[0] > self.latest.get(chunk.tag, 0), "out of order"
        assert set(numbers) <= set(self.tags[chunk.tag])
        self.latest[chunk.tag] = numbers[-1]
        assert not self.out or (chunk.stream, chunk.seq) > (self.out[-1].stream, self.out[-1].last_seq)
        self.out.append(chunk)
        return True

    def ack(self, upto):
        if self.out:
            upto = min(upto, len(self.out) - 1)
            self.books.buffer.ack(self.out[upto])
            self.acked += sum(chunk.count for chunk in self.out[: upto + 1])
            del self.out[: upto + 1]

    def rewind(self):
        self.books.buffer.rewind()
        self.out.clear()
        self.latest.clear()

    def wait(self, seconds):
        self.books.wait(seconds)

    def restart(self):
        """An orderly stop and a start. What found no place on disk is left to its source, which reads it again."""
        waited, lost = self.books.buffer.records, self.books.lost
        again = self.books.close()
        self.left += again
        self.books.open()
        assert self.books.buffer.records == waited - again - (self.books.lost - lost)
        self.out.clear()
        self.latest.clear()

    def check(self):
        books, buffer = self.books, self.books.buffer
        assert 0 <= buffer.used <= LIMIT
        assert buffer._log.disk_used <= DISK
        assert buffer.records == len(books.appended) - self.acked - self.left - books.lost
        names = {(stream, seq) for _, count, first, stream in books.losses for seq in range(first, first + count)}
        assert len(names) == books.lost, "counted twice"
        for chunk in self.out:
            assert not any((chunk.stream, seq) in names for seq in range(chunk.seq, chunk.last_seq + 1))

    def finish(self):
        self.rewind()
        while self.read():
            self.ack(0)
        self.check()
        assert self.books.buffer.records == 0
        if not self.left:
            assert self.books.safe == set(self.books.appended)
        assert self.books.notes == []


steps = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 40), st.sampled_from("ab"), st.sampled_from([5, 60, 400])),
    st.tuples(st.just("put"), st.integers(20, 60), st.just("a"), st.sampled_from([60, 150])),
    st.tuples(st.just("read")),
    st.tuples(st.just("ack"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["rewind", "restart"])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.1, 0.3, 1.0, 6.0])),
)


@pytest.mark.slow  # seconds of cases; each takes milliseconds
@pytest.mark.parametrize("sync", [0, 1.0, None])
@pytest.mark.parametrize("spill", [False, True], ids=["filesystem", "hybrid"])
@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "drop_newest"])
@settings(max_examples=100, deadline=None)
@given(story=st.lists(steps, min_size=5, max_size=60))
def test_order_and_counts_hold_under_any_interleaving(story, overflow, spill, sync):
    model = Model(overflow=overflow, spill=spill, sync=sync)
    for name, *args in story:
        getattr(model, name)(*args)
        model.check()
    model.finish()


# What went wrong once, as short as it could be made.
ONCE = {
    "ack of a chunk in memory, an older one from disk is out": ("drop_newest", True, [
        ("put", 20, "a", 60), ("put", 26, "a", 400), ("read",), ("read",), ("ack", 1)]),
    "evicted, not read again, and the segment behind it dropped": ("drop_oldest", False, [
        ("put", 39, "b", 400), ("read",), ("put", 55, "a", 150), ("read",)]),
    "the newest on its way is in memory only, older ones from disk are, too": ("drop_oldest", True, [
        ("put", 13, "a", 400), ("read",), ("read",), ("read",), ("put", 39, "b", 400), ("read",), ("put", 44, "a", 60),
        ("read",), ("read",), ("put", 51, "a", 150)]),
    "copies in memory of a dropped segment, not at the head": ("drop_oldest", False, [
        ("put", 25, "a", 60), ("put", 32, "a", 60), ("put", 50, "a", 150), ("read",), ("put", 30, "b", 400), ("read",),
        ("read",)]),
    "a hole that an acknowledgement passes": ("drop_oldest", False, [
        ("put", 20, "a", 150), ("put", 30, "a", 400), ("put", 29, "b", 5), ("read",), ("put", 26, "a", 150), ("ack", 0),
        ("read",)]),
    "a spill that rounding made due too early": ("block", True, [
        ("wait", 1.0), ("wait", 6.0), ("wait", 0.1), ("wait", 6.0), ("wait", 6.0), ("put", 33, "a", 5), ("wait", 6.0)]),
}  # fmt: skip


@pytest.mark.parametrize("sync", [0, 1.0, None])
@pytest.mark.parametrize("name", ONCE)
def test_what_went_wrong_once(name, sync):
    overflow, spill, story = ONCE[name]
    model = Model(overflow=overflow, spill=spill, sync=sync)
    for step, *args in story:
        getattr(model, step)(*args)
        model.check()
    model.finish()


def test_dropped_behind_what_is_on_its_way_and_restarted():
    """The first segment is on its way, the second is dropped, and the agent stops before an answer comes."""
    model = Model(overflow="drop_oldest", spill=False, sync=1.0)
    model.put(40, "a", 60)
    assert model.read()
    model.put(80, "a", 150)
    assert model.books.buffer._log.cursor.holes.spans
    model.books.close()
    model.books.open()
    model.out.clear()
    model.latest.clear()
    model.finish()
