"""The pipeline: filters, routes, backpressure, receipts."""

import pytest

from edgebit.plugin import Filter, Receipt
from fakes.pipeline import Bench, Source, batch, texts


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.loop.close()


def test_records_go_to_every_matching_output_and_no_other(bench):
    a, b, c = bench.output("sys.*"), bench.output("*"), bench.output("other")
    pipeline, source = bench.ready(), Source()
    pipeline.emit(source, "sys.log", batch("x"))
    bench.loop.run_for(2)
    assert (texts(a), texts(b), texts(c)) == (["x"], ["x"], [])


def test_tag_that_nothing_matches_is_said_once_and_counted(bench):
    bench.output("a")
    pipeline, source = bench.ready(), Source()
    for _ in range(3):
        pipeline.emit(source, "b", batch("x", "y"))
    assert source.stats.get("unmatched") == 6
    assert sum("no output matches" in line for line in bench.lines) == 1


def test_filters_run_in_order_on_their_tags(bench):
    out = bench.output()
    bench.filter(lambda rs: [(t, s, (v[0] + "1",)) for t, s, v in rs], "a*")
    bench.filter(lambda rs: [r for r in rs if r[2][0] != "drop1"])
    pipeline, source = bench.ready(), Source()
    pipeline.emit(source, "a", batch("keep", "drop"))
    pipeline.emit(source, "b", batch("drop"))
    bench.loop.run_for(2)
    assert texts(out) == ["keep1", "drop"]
    assert bench.filters[1].stats.get("dropped") == 1


def test_filter_that_raises_costs_no_record(bench):
    out = bench.output()
    bench.filter(lambda rs: 1 / 0)
    pipeline = bench.ready()
    for _ in range(3):
        pipeline.emit(Source(), "a", batch("x"))
    bench.loop.run_for(2)
    assert texts(out) == ["x"] * 3
    assert len(bench.lines) == 1


def test_full_blocking_buffer_pauses_the_input_and_loses_nothing(bench):
    out = bench.output(auto="")
    pipeline, source = bench.ready(), Source()
    sent = 0
    while not source.held:
        pipeline.emit(source, "t", batch(*(f"{sent + i:100d}" for i in range(10))))
        sent += 10
    route = bench.routes[0]
    assert len(route.parked) == 1
    for _ in range(2000):
        bench.loop.turn(0.5)
        if out.pending:
            out.answer("delivered")
        if not source.held and sent < 1000:
            pipeline.emit(source, "t", batch(*(f"{sent + i:100d}" for i in range(10))))
            sent += 10
    assert [int(t) for t in texts(out)] == list(range(1000))
    assert source.calls[:2] == ["hold", "unhold"]
    assert bench.losses == []


def test_blocked_output_does_not_stall_another_one_that_drops(bench):
    """`slow` blocks, so the source is paused; `other`, fed by another input, goes on."""
    bench.output("a", auto="")
    other = bench.output("b")
    pipeline, a, b = bench.ready(), Source("a"), Source("b")
    while not a.held:
        pipeline.emit(a, "a", batch(*("x" * 100 for _ in range(10))))
    for i in range(100):
        pipeline.emit(b, "b", batch(str(i)))
        bench.loop.run_for(1.1)
    assert texts(other) == [str(i) for i in range(100)]
    assert not b.held


def test_full_dropping_buffer_never_pauses(bench):
    bench.output(overflow="drop_oldest", auto="")
    good = bench.output(overflow="drop_newest")
    pipeline, source = bench.ready(), Source()
    for i in range(500):
        pipeline.emit(source, "t", batch(f"{i:200d}"))
        bench.loop.run_for(1.1)
    assert not source.held
    assert [int(t) for t in texts(good)] == list(range(500))
    assert {name for name, *_ in bench.losses} == {"out.0"}


def test_input_held_by_two_outputs_is_resumed_when_both_have_room(bench):
    first, second = bench.output(auto=""), bench.output(auto="")
    pipeline, source = bench.ready(), Source()
    while not source.held:
        pipeline.emit(source, "t", batch(*("x" * 100 for _ in range(20))))
    pipeline.emit(source, "t", batch(*("x" * 100 for _ in range(200))))
    first.auto = "delivered"
    bench.loop.run_for(2)
    while first.pending:
        first.answer("delivered")
    bench.loop.run_for(20)
    assert source.held
    second.auto = "delivered"
    while second.pending:
        second.answer("delivered")
    bench.loop.run_for(20)
    assert not source.held
    assert texts(first) == texts(second)


def test_receipt_is_released_only_when_all_outputs_have_delivered(bench):
    first, second = bench.output(auto=""), bench.output(auto="")
    pipeline = bench.ready()
    safe = []
    pipeline.emit(Source(), "t", batch("x"), receipt=Receipt(lambda: safe.append(1)))
    bench.loop.run_for(2)
    first.answer("delivered")
    assert not safe
    second.answer("delivered")
    assert safe == [1]


def test_receipt_of_parked_records_is_kept_until_they_are_delivered(bench):
    out = bench.output(auto="")
    pipeline, source = bench.ready(), Source()
    safe = []
    pipeline.emit(source, "t", batch(*("x" * 100 for _ in range(400))), receipt=Receipt(lambda: safe.append(1)))
    assert source.held
    while len(texts(out)) < 400:
        assert not safe
        bench.loop.run_for(1.1)
        if out.pending:
            out.answer("delivered")
    bench.loop.run_for(3)
    while out.pending:
        out.answer("delivered")
    assert safe == [1]


def test_receipt_of_records_that_nobody_wants_is_released_at_once(bench):
    bench.output("a")
    bench.filter(lambda rs: [])
    pipeline = bench.ready()
    safe = []
    pipeline.emit(Source(), "a", batch("x"), receipt=Receipt(lambda: safe.append("filtered")))
    pipeline.emit(Source(), "b", batch("x"), receipt=Receipt(lambda: safe.append("unmatched")))
    assert safe == ["filtered", "unmatched"]


def test_ever_new_tags_do_not_fill_the_memory(bench):
    bench.output("none")
    pipeline, source = bench.ready(), Source()
    for i in range(5000):
        pipeline.emit(source, f"t{i}", batch("x"))
    assert len(pipeline.pipeline._plan) <= 1024
    assert len(bench.lines) <= 100


def fill_until_held(bench, source, most=200):
    """Emit batches, a turn each, until the source is held; the share of the buffer that was used then."""
    buffer = bench.routes[0].buffer
    for _ in range(most):
        bench.emit(source, "t", batch("x" * 100))
        if source.held:
            break
    return buffer.used / buffer.limit


def test_a_source_that_can_wait_lets_a_quick_collector_catch_up(bench):
    out = bench.output(auto="")
    source = bench.ready() and Source()
    source.patient = True
    bench.emit(source, "t", batch("x"))
    bench.loop.run_for(1.1)
    bench.emit(source, "t", *(batch(*["x" * 100] * 20),))
    out.answer("delivered")
    bench.emit(source, "t", batch("x"))  # goes on its way
    assert fill_until_held(bench, source) < 0.5
    assert not bench.routes[0].parked
    while source.held:  # it may go on when little is left, and the buffer was never full
        out.answer("delivered")
        bench.loop.turn(0)
    assert bench.routes[0].buffer.used <= bench.routes[0].buffer.limit // 8


def delivering(bench, patient=True, **output):
    """An output that has just answered at once, and a source."""
    out = bench.output(auto="", **output)
    source = bench.ready() and Source()
    source.patient = patient
    bench.emit(source, "t", batch(*["x" * 100] * 20))
    bench.loop.run_for(1.1)
    out.answer("delivered")
    return source


def test_no_source_waits_for_a_collector_that_does_not_answer_at_once(bench):
    source = delivering(bench)
    bench.loop.run_for(0.2)
    assert fill_until_held(bench, source) > 0.9


def test_who_waits_for_a_quick_collector_goes_on_when_it_falls_silent(bench):
    source = delivering(bench)
    fill_until_held(bench, source)
    assert source.held
    bench.loop.run_for(0.3)
    assert not source.held


@pytest.mark.parametrize(("overflow", "patient"), [("drop_oldest", True), ("drop_newest", True), ("block", False)])
def test_only_who_can_wait_does_and_only_where_the_user_chose_to_block(bench, overflow, patient):
    source = delivering(bench, patient, overflow=overflow)
    assert fill_until_held(bench, source) > 0.9


def test_records_that_somebody_waits_for_go_out_in_the_same_turn(bench):
    out = bench.output()
    source, safe = bench.ready() and Source(), []
    bench.emit(source, "t", batch("a"), receipt=Receipt(lambda: safe.append("a")))
    assert texts(out) == []
    bench.emit(source, "t", batch("b"), receipt=Receipt(lambda: safe.append("b"), awaited=True))
    assert texts(out) == ["a", "b"]
    assert safe == ["a", "b"]
    bench.emit(source, "t", batch("c"))
    assert texts(out) == ["a", "b"]


def test_an_input_and_a_filter_of_the_same_name_are_held_and_resumed_apart(bench):
    class Maker(Filter):
        emits = True

        def process(self, tag, records):
            return records

    out = bench.output(auto="")
    maker = bench.emitter(Maker)
    step = maker.ctx.step
    bench.ready()
    source = Source(step.name)
    while not source.held:
        bench.emit(source, "t", batch(*["x" * 100] * 20))
    maker.ctx.emit("u", batch(*["y" * 100] * 20))
    assert step.held
    out.auto = "delivered"
    out.answer("delivered")
    bench.loop.run_for(5)
    assert (source.held, step.held) == (False, False)
