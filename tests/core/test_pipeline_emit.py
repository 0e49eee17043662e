"""Filters that emit records again or keep some for later: order, tags, receipts, backpressure, cycles."""

import pytest

from edgebit.plugin import Filter, Receipt
from fakes.pipeline import Bench, Source, batch, texts


class Move(Filter):
    """Records that begin with "!" go on under the tag "new.TAG"."""

    emits = True

    def process(self, tag, records):
        moved = [record for record in records if record[2][0].startswith("!")]
        if not moved or not self.ctx.emit("new." + tag, moved):
            return records
        return [record for record in records if record not in moved]


class Pairs(Filter):
    """Joins two records to one, which may come in different batches."""

    emits = True
    last = None
    stopped = False

    def process(self, tag, records):
        if self.ctx.origin.again:
            return records
        for time_ns, shape, (text,) in records:
            if self.last is None:
                self.last = (tag, text, self.ctx.origin.keep())
            else:
                _, first, origin = self.last
                self.last = None
                self.ctx.emit(tag, [(time_ns, shape, (first + text,))], [origin])
        if self.stopped:
            self.stop()
        return []

    def stop(self):
        self.stopped = True
        if self.last is not None:
            tag, text, origin = self.last
            self.last = None
            self.ctx.emit(tag, batch(text), [origin])


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.loop.close()


def settle(bench, *outputs):
    """Deliver all that waits."""
    bench.loop.run_for(2)
    for output in outputs:
        while output.pending:
            output.answer("delivered")


def test_emitted_records_pass_all_filters_from_the_first_under_the_new_tag(bench):
    new, old = bench.output("new.*"), bench.output("t")
    bench.filter(lambda rs: [(t, s, (v[0] + "1",)) for t, s, v in rs])
    bench.emitter(Move, "t")
    bench.filter(lambda rs: [(t, s, (v[0] + "3",)) for t, s, v in rs])
    pipeline, source = bench.ready(), Source()
    pipeline.emit(source, "t", batch("a", "!b", "c"))
    bench.loop.run_for(2)
    assert (texts(old), texts(new)) == (["a13", "c13"], ["!b113"])
    assert source.stats.get("records") == 3
    assert (bench.filters[1].stats.get("emitted"), bench.filters[1].stats.get("dropped")) == (1, 0)


def test_record_that_a_filter_has_emitted_is_not_emitted_by_it_again(bench):
    out = bench.output()
    bench.emitter(Move)
    pipeline = bench.ready()
    for _ in range(3):
        pipeline.emit(Source(), "t", batch("!x"))
    bench.loop.run_for(2)
    assert [(chunk.tag, len(chunk.records)) for chunk in out.chunks] == [("new.t", 3)]
    assert len(bench.lines) == 1
    assert "new.new.t" in bench.lines[0]


def test_many_filters_that_emit_come_to_an_end(bench):
    out = bench.output()
    for _ in range(12):
        bench.emitter(Move)
    bench.ready().emit(Source(), "t", batch("!x"))
    bench.loop.run_for(2)
    assert texts(out) == ["!x"]
    assert out.chunks[0].tag == "new." * 8 + "t"


def test_receipt_covers_what_is_emitted(bench):
    new, old = bench.output("new.*", auto=""), bench.output("t", auto="")
    bench.emitter(Move, "t")
    pipeline, safe = bench.ready(), []
    pipeline.emit(Source(), "t", batch("a", "!b"), receipt=Receipt(lambda: safe.append(1)))
    settle(bench, old)
    assert not safe
    settle(bench, new)
    assert safe == [1]


def test_no_mark_is_stored_where_a_batch_parts(bench):
    """Chunks of two tags are not stored in the order of their coming: a mark of one would speak for the other."""
    new, old, other = bench.output("new.*"), bench.output("t"), bench.output("u")
    bench.emitter(Move, "t")
    pipeline = bench.ready()
    for tag in "tu":
        pipeline.emit(Source(), tag, batch("a", "!b"), receipt=Receipt(lambda: None, ("file", 7, 0)))
    bench.loop.run_for(2)
    assert [chunk.marks for chunk in new.chunks + old.chunks] == [None, None]
    assert [chunk.marks for chunk in other.chunks] == [{"file": (7, 0)}]


def test_full_buffer_behind_the_new_tag_pauses_the_input(bench):
    new = bench.output("new.*", auto="")
    bench.emitter(Move, "t")
    pipeline, source, safe, sent = bench.ready(), Source(), [], 0
    while not source.held:
        pipeline.emit(source, "t", batch(*["!" + "x" * 100] * 10), receipt=Receipt(lambda: safe.append(1)))
        sent += 10
    for _ in range(40):
        settle(bench, new)
    assert not source.held
    assert len(texts(new)) == sent
    assert len(safe) * 10 == sent


def test_records_that_are_kept_hold_the_receipts_of_their_batches(bench):
    out = bench.output(auto="")
    pairs = bench.emitter(Pairs)
    pipeline, safe = bench.ready(), []
    for name in "abc":
        pipeline.emit(Source(), "t", batch(name), receipt=Receipt(lambda name=name: safe.append(name)))
    assert safe == []
    settle(bench, out)
    assert (texts(out), safe) == (["ab"], ["a", "b"])
    pairs.stop()
    settle(bench, out)
    assert (texts(out), safe) == (["ab", "c"], ["a", "b", "c"])


def test_batch_whose_filter_raises_after_emitting_loses_nothing(bench):
    class Raises(Move):
        def process(self, tag, records):
            super().process(tag, records)
            raise ValueError("oh")

    new, old = bench.output("new.*"), bench.output("t")
    bench.emitter(Raises, "t")
    bench.ready().emit(Source(), "t", batch("a", "!b"))
    bench.loop.run_for(2)
    assert (texts(new), texts(old)) == (["!b"], ["a", "!b"])
    assert bench.filters[0].origin is None


def test_records_of_a_filters_own_wait_for_room(bench):
    out = bench.output("metrics", auto="")
    made = bench.emitter(Move, "none")
    bench.ready()
    while not made.ctx.held:
        made.ctx.emit("metrics", batch(*["x" * 100] * 20))
    for _ in range(20):
        settle(bench, out)
    assert not made.ctx.held


def test_input_waits_for_a_filter_that_says_so(bench):
    class Slow(Filter):
        emits = True

        def process(self, tag, records):
            if tag == "slow":
                bench.pipeline.hold_for(self.ctx.step)
            return records

    bench.output()
    slow = bench.emitter(Slow)
    pipeline, one, two = bench.ready().pipeline, Source("1"), Source("2")
    for source, tag in ((one, "slow"), (one, "slow"), (two, "t")):
        pipeline.emit(source, tag, batch("x"))
    pipeline.resume_for(slow.ctx.step)
    assert (one.calls, two.calls) == (["hold", "unhold"], [])


def test_one_long_record_among_many_emitted_ones_is_accounted_for(bench):
    bench.output("new.*", auto="", limit=1 << 20)
    bench.emitter(Move, "t")
    texts = ["!short"] * 300
    texts[7] = "!" + "x" * 100_000
    bench.ready().emit(Source(), "t", batch(*texts))
    assert bench.routes[0].buffer.used > 100_000
