"""The samplers' common part: when they sample, and what they do when they can't."""

from __future__ import annotations

import pytest

from edgebit.errors import ConfigError
from edgebit.inputs.sampling import INTERVAL, Sampled, rise
from edgebit.options import Setting, read
from edgebit.plugin import SourceError
from edgebit.record import from_dict
from fakes import FakeContext


@pytest.fixture
def ctx():
    context = FakeContext()
    yield context
    context.loop.close()


class Probe(Sampled):
    OPTIONS = INTERVAL
    PSUTIL = False
    WHAT = "the probe"
    fail: Exception | None = None

    def baseline(self):
        if self.fail:
            raise self.fail

    def measure(self, elapsed):
        if self.fail:
            raise self.fail
        return [from_dict(0, {"elapsed": round(elapsed, 6)})]


def probe(ctx: FakeContext, **settings: object) -> Probe:
    return Probe(read(Probe.OPTIONS, [Setting(k, v) for k, v in settings.items()], "input probe"), ctx)


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({}, 1.0),
        ({"interval_sec": "5"}, 5.0),
        ({"interval_sec": 0, "interval_nsec": 500_000_000}, 0.5),
        ({"interval_sec": 2, "interval_nsec": 500_000_000}, 2.5),
        ({"interval_sec": 0, "interval_nsec": 0}, 1.0),
        ({"interval": "250ms"}, 0.25),
        ({"interval": "1m", "interval_sec": 5}, 60.0),
    ],
)
def test_interval(settings, seconds, ctx):
    assert probe(ctx, **settings).interval == seconds


@pytest.mark.parametrize("settings", [{"interval": 0}, {"interval": "1ms"}, {"interval_sec": 0, "interval_nsec": 5}])
def test_an_interval_that_would_only_spin_is_refused(settings, ctx):
    with pytest.raises(ConfigError, match="at least 10 ms"):
        probe(ctx, **settings)


def test_a_sample_an_interval_and_none_while_paused(ctx):
    sampler = probe(ctx, interval=2)
    sampler.open()
    ctx.loop.run_for(9)
    assert ctx.records == [{"elapsed": 2.0}] * 4
    sampler.pause()
    ctx.loop.run_for(60)
    assert len(ctx.records) == 4
    sampler.resume()
    ctx.loop.run_for(3)
    assert [r["elapsed"] for r in ctx.records[4:]] == [61.0, 2.0]  # what really went by, not what was configured
    sampler.close()
    sampler.close()


def test_a_source_that_is_not_there_at_open(ctx):
    sampler = probe(ctx)
    sampler.fail = FileNotFoundError(2, "No such file or directory", "/proc/stat")
    with pytest.raises(SourceError, match="cannot read the probe: No such file or directory: /proc/stat"):
        sampler.open()


def test_a_source_that_goes_away_later(ctx):
    sampler = probe(ctx)
    sampler.open()
    sampler.fail = SourceError("it has gone")
    ctx.loop.run_until(lambda: ctx.losses)
    assert ctx.losses == ["it has gone"]
    sampler.close()


def test_a_bug_is_not_taken_for_a_missing_source(ctx):
    sampler = probe(ctx)
    sampler.fail = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        sampler.open()


def test_rise_is_never_negative():
    assert rise(12, 10) == 2
    assert rise(3, 2**32 - 5) == 0
