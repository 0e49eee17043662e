"""throttle: the sliding window on a clock that jumps."""

import pytest

from edgebit.errors import ConfigError
from edgebit.record import from_dict
from fakes.context import FakeFilterContext
from fakes.filters import make_filter


def throttle(*settings):
    ctx = FakeFilterContext()
    made = make_filter("throttle", *settings, ctx=ctx)
    made.open()
    return made, ctx


def let_through(made, count):
    return len(made.process("t", [from_dict(i, {"n": i}) for i in range(count)]))


def test_a_burst_may_use_up_a_window_and_the_first_records_pass():
    made, ctx = throttle(("rate", 2), ("window", 3), ("interval", "1s"))
    records = [from_dict(i, {"n": i}) for i in range(10)]
    assert made.process("t", records) == records[:6]
    assert let_through(made, 1) == 0
    ctx.loop.run_for(2.5)
    assert let_through(made, 1) == 0  # the burst is still in the window
    ctx.loop.run_for(1)
    assert let_through(made, 10) == 6


def test_steady_records_at_the_rate_all_pass():
    made, ctx = throttle(("rate", 5), ("window", 4), ("interval", "2s"))
    for _ in range(50):
        assert let_through(made, 5) == 5
        ctx.loop.run_for(2)


def test_rate_below_one_and_a_window_of_one():
    made, ctx = throttle(("rate", 0.5), ("window", 10))
    assert let_through(made, 20) == 5
    one, ctx = throttle(("rate", 3), ("window", 1), ("interval", "1m"))
    assert let_through(one, 9) == 3
    ctx.loop.run_for(60)
    assert let_through(one, 9) == 3


def test_batch_within_the_rate_is_the_same_list():
    made, _ = throttle(("rate", 100))
    records = [from_dict(0, {"a": 1})]
    assert made.process("t", records) is records


def test_status_is_printed_once_an_interval():
    made, ctx = throttle(("rate", 2), ("interval", "1m"), ("print_status", "on"))
    let_through(made, 5)
    ctx.loop.run_for(125)
    assert len(ctx.lines) == 2
    assert "limit is 2.00 per 60 s with a window of 5, the current rate is 1.00" in ctx.lines[0]


def test_rate_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="at least"):
        make_filter("throttle", ("rate", 0))
