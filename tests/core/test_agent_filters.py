"""The life of filters in an agent: opened before inputs, asked for what they keep at the stop, closed; timers; the exit."""

import pytest

from edgebit import registry
from edgebit.agent import Agent
from edgebit.config.toml import parse
from edgebit.log import INFO, Sink
from edgebit.plugin import Filter
from fakes import fake_loop

CONFIG = """
[[input]]
plugin = "dummy"
tag = "t"
dummy = {{ n = 1 }}
samples = 3
[[filter]]
plugin = "keeper"
[[output]]
plugin = "file"
match = "*"
path = "{out}"
format = "plain"
"""


class Keeper(Filter):
    """Keeps all records until the agent stops."""

    NAME = "keeper"
    emits = True

    def __init__(self, opt, ctx):
        super().__init__(opt, ctx)
        self.calls, self.kept = [], []
        made.append(self)

    def open(self):
        self.calls.append("open")

    def process(self, tag, records):
        if self.ctx.origin.again:
            return records
        if "process" not in self.calls:
            self.calls.append("process")
        self.kept += records
        self.origin = self.ctx.origin.keep()
        return []

    def stop(self):
        self.calls.append("stop")
        self.ctx.emit("kept", self.kept, [self.origin])

    def close(self):
        self.calls.append("close")


class Ticker(Keeper):
    """Its first timer raises; the fourth ends the agent."""

    def open(self):
        self.ticks = 0
        self.ctx.call_later(1, self.tick)

    def process(self, tag, records):
        return records

    def tick(self):
        self.ticks += 1
        self.ctx.call_later(1, self.tick)
        if self.ticks == 1:
            raise ValueError("a bad moment")
        if self.ticks == 4:
            self.ctx.exit_agent(7)

    def stop(self):
        pass


made = []


@pytest.fixture
def run(monkeypatch, tmp_path):
    made.clear()

    def run(cls):
        monkeypatch.setitem(registry.PLUGINS["filter"], "keeper", f"{__name__}:{cls.__name__}")
        lines = []
        loop = fake_loop()
        sink = Sink(INFO, lines.append, loop.clock.wall_ns)
        config = parse(CONFIG.format(out=tmp_path / "out"), "f.toml", {})
        agent = Agent(config, {"STATE_DIRECTORY": str(tmp_path / "state")}, sink, loop)
        return agent, lines

    return run


def test_what_a_filter_keeps_is_delivered_at_the_stop(run, tmp_path):
    agent, lines = run(Keeper)
    assert agent.run(signals=False) == 0
    assert made[0].calls == ["open", "process", "stop", "close"]
    assert (tmp_path / "out/kept").read_text() == '{"n":1}\n' * 3
    assert not any("lost" in line for line in lines)


def test_timer_that_raises_is_told_and_the_filter_goes_on_and_may_end_the_agent(run, tmp_path):
    agent, lines = run(Ticker)
    for host in agent.inputs:
        host.plugin._samples = 0  # for ever
    assert agent.run(signals=False) == 7
    assert made[0].ticks >= 4
    assert sum("ValueError: a bad moment" in line for line in lines) >= 1
    assert (tmp_path / "out/t").exists()
