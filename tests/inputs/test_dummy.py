"""dummy: exact rates by arithmetic, sequences without gaps, ends where it should."""

from __future__ import annotations

import pytest

from edgebit.errors import ConfigError
from edgebit.inputs.dummy import BATCH, Dummy
from edgebit.options import Setting, read
from fakes import FakeContext


@pytest.fixture
def ctx():
    context = FakeContext()
    yield context
    context.loop.close()


def build(ctx: FakeContext, **settings: object) -> Dummy:
    return Dummy(read(Dummy.OPTIONS, [Setting(k, v) for k, v in settings.items()], "input dummy"), ctx)


def test_one_a_second_by_default(ctx):
    dummy = build(ctx)
    dummy.open()
    ctx.loop.run_for(3.5)
    assert ctx.records == [{"message": "dummy"}] * 3
    assert ctx.emitted[0][1][0][0] == ctx.clock.wall - 2_500_000_000
    dummy.close()
    dummy.close()


@pytest.mark.parametrize("rate", [0.1, 3, 49, 50, 51, 70, 333.3, 1000, 100_000])
def test_any_rate_is_kept_exactly_in_at_most_50_batches_a_second(ctx, rate):
    dummy = build(ctx, rate=rate, sequence_key="n")
    dummy.open()
    seconds = 10 if rate < 1000 else 1
    ctx.loop.run_for(seconds)
    made = sum(len(records) for _, records, _ in ctx.emitted)
    assert seconds * rate - rate * 0.021 - 1 <= made <= seconds * rate + 1
    assert len(ctx.emitted) <= 50 * seconds + 1
    assert [r["n"] for r in ctx.records] == list(range(made))
    dummy.close()


def test_after_a_stall_it_catches_up(ctx):
    dummy = build(ctx, rate=100_000)
    dummy.open()
    ctx.loop.run_for(1)
    ctx.clock.advance(5)  # something held up the loop
    ctx.loop.run_for(1)
    made = sum(len(records) for _, records, _ in ctx.emitted)
    assert made == pytest.approx(700_000, abs=2_100)
    assert max(len(records) for _, records, _ in ctx.emitted) == BATCH
    dummy.close()


def test_a_pause_leaves_no_gap_and_no_debt(ctx):
    dummy = build(ctx, rate=10, sequence_key="n")
    dummy.open()
    ctx.loop.run_for(1.05)
    dummy.pause()
    ctx.loop.run_for(1000)
    dummy.resume()
    ctx.loop.run_for(1.05)
    assert [r["n"] for r in ctx.records] == list(range(len(ctx.records)))
    assert len(ctx.records) == pytest.approx(20, abs=1)
    dummy.close()


@pytest.mark.parametrize("samples", [0, -1])
def test_without_a_number_of_samples_it_goes_on(ctx, samples):
    dummy = build(ctx, rate=10, samples=samples)
    dummy.open()
    ctx.loop.run_for(5)
    assert len(ctx.records) == pytest.approx(50, abs=1)
    assert not ctx.ended
    dummy.close()


def test_a_pause_while_a_batch_is_handed_over(ctx):
    dummy = build(ctx, rate=10)
    plain = ctx.emit
    ctx.emit = lambda *args: (plain(*args), dummy.pause())
    dummy.open()
    ctx.loop.run_for(5)
    assert len(ctx.records) == 1
    dummy.resume()
    ctx.loop.run_for(5)
    assert len(ctx.records) == 2
    dummy.close()


@pytest.mark.parametrize("rate", [1, 30, 100_000])
def test_samples_and_copies(ctx, rate):
    dummy = build(ctx, rate=rate, samples=7, copies=3, sequence_key="n")
    dummy.open()
    ctx.loop.run_for(30)
    assert [r["n"] for r in ctx.records] == list(range(21))
    assert ctx.ended
    dummy.close()
    dummy.open()
    ctx.loop.run_for(30)
    assert len(ctx.records) == 21
    dummy.close()


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"interval_sec": 2}, 5),
        ({"interval_sec": 2, "interval_nsec": 500_000_000, "rate": 100}, 4),
        ({"interval": "100ms"}, 100),
    ],
)
def test_intervals_take_the_place_of_rate(ctx, settings, count):
    dummy = build(ctx, **settings)
    dummy.open()
    ctx.loop.run_for(10.01)
    assert len(ctx.records) == count
    dummy.close()


def test_fields_and_key_order(ctx):
    dummy = build(ctx, dummy='{"b": 1, "a": {"c": [true, null, 1.5]}}', sequence_key="seq", samples=1)
    dummy.open()
    ctx.loop.run_for(2)
    assert list(ctx.records[0].items()) == [("b", 1), ("a", {"c": [True, None, 1.5]}), ("seq", 0)]
    dummy.close()


def test_a_toml_table_will_do(ctx):
    dummy = build(ctx, dummy={"a": 1}, samples=1)
    dummy.open()
    ctx.loop.run_for(2)
    assert ctx.records == [{"a": 1}]
    dummy.close()


@pytest.mark.parametrize("text", ["", "{", "[1]", "5", '{"a":1}{"b":2}', '{"a":NaN}', {"when": object()}])
def test_bad_json_is_an_error_of_the_config(ctx, text):
    with pytest.raises(ConfigError, match="must be a JSON object"):
        build(ctx, dummy=text)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"rate": 0}, "at least"), ({"interval": 0}, "more than 0"), ({"copies": 0}, "at least 1"),
     ({"samples": -2}, "at least -1")],
)  # fmt: skip
def test_bad_options(ctx, settings, words):
    with pytest.raises(ConfigError, match=words):
        build(ctx, **settings)


def times(ctx: FakeContext) -> list[int]:
    return [record[0] for _, records, _ in ctx.emitted for record in records]


def test_start_time_goes_on_and_fixed_stays(ctx):
    going = build(ctx, start_time_sec=1000, start_time_nsec=5, samples=3)
    going.open()
    ctx.loop.run_for(3.5)
    assert times(ctx) == pytest.approx([1_000_000_000_005, 1_001_000_000_005, 1_002_000_000_005], abs=1000)
    going.close()
    ctx.emitted.clear()
    fixed = build(ctx, start_time_sec=1000, start_time_nsec=5, fixed_timestamp=True, samples=3)
    fixed.open()
    ctx.loop.run_for(3.5)
    assert times(ctx) == [1_000_000_000_005] * 3
    fixed.close()


def test_a_fixed_time_without_a_start_is_that_of_the_first_record(ctx):
    now = ctx.clock.wall
    dummy = build(ctx, fixed_timestamp=True)
    dummy.open()
    ctx.loop.run_for(2.5)
    assert times(ctx) == pytest.approx([now + 10**9] * 2, abs=1000)
    dummy.close()


def test_metadata_and_a_first_record_at_once(ctx):
    dummy = build(ctx, dummy='{"a":1}', metadata='{"origin": "bench", "n": 2}', flush_on_startup="on", sequence_key="i")
    dummy.open()
    ctx.loop.run_for(1.5)
    assert ctx.records == [{"a": 1, "i": 0}, {"a": 1, "i": 1}]
    assert all(record[1].metadata == {"origin": "bench", "n": 2} for _, records, _ in ctx.emitted for record in records)
    dummy.close()
