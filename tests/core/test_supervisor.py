"""Hosts: reopening with back-off, two log lines, restarts after errors, pause and resume."""

import pytest

from edgebit.log import INFO, Sink
from edgebit.plugin import Input, SourceError
from edgebit.stats import Stats
from edgebit.supervisor import InputHost, Shared
from fakes import fake_loop


class Flaky(Input):
    """Opens when `there` is true."""

    there = True

    def __init__(self, ctx):
        super().__init__(None, ctx)
        self.calls = []

    def open(self):
        self.calls.append("open")
        if not self.there:
            raise SourceError("cannot open /dev/ttyUSB0: No such file or directory")

    def close(self):
        self.calls.append("close")

    def pause(self):
        self.calls.append("pause")

    def resume(self):
        self.calls.append("resume")

    def stop(self):
        self.calls.append("stop")


class Bench:
    def __init__(self):
        self.loop = fake_loop()
        self.lines = []
        sink = Sink(INFO, self.lines.append, self.loop.clock.wall_ns)
        shared = Shared(self.loop, sink, Stats(), hostname="h", agent_id="a", state_dir="", random=lambda: 1.0,
                        resolver=lambda: None)  # fmt: skip
        self.host = InputHost("serial.0", "serial", "tag", shared)
        self.plugin = Flaky(self.host)
        self.host.attach(self.plugin)
        self.loop.on_error = lambda owner, error: owner.crashed(error)


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.loop.close()


def test_missing_device_is_tried_until_it_is_there_with_one_line_each_way(bench):
    bench.plugin.there = False
    bench.host.start()
    bench.loop.run_for(3600)
    assert bench.host.state == "waiting"
    assert 300 < bench.plugin.calls.count("open") < 800  # back-off reaches its cap of ten seconds
    bench.plugin.there = True
    bench.loop.run_for(11)
    assert bench.host.state == "open"
    assert len(bench.lines) == 2
    assert (
        "[ warn] [input:serial:serial.0] cannot open /dev/ttyUSB0: No such file or directory; trying again"
        in bench.lines[0]
    )
    assert "[ info] [input:serial:serial.0] open again after 36" in bench.lines[1]


def test_lost_source_is_closed_and_opened_again(bench):
    bench.host.start()
    bench.host.lost("/dev/ttyUSB0 was unplugged")
    bench.host.lost("said twice")
    assert bench.plugin.calls == ["open", "close"]
    bench.loop.run_for(1)
    assert bench.plugin.calls == ["open", "close", "open"]
    assert len(bench.lines) == 2


def test_callback_that_raises_restarts_the_plugin_with_one_traceback(bench):
    bench.host.start()
    for _ in range(3):
        bench.host.call_later(0, lambda: 1 / 0)
        bench.loop.run_for(20)
    assert bench.plugin.calls == ["open", *["close", "open"] * 3]
    assert sum("Traceback" in line for line in bench.lines) == 1
    assert "ZeroDivisionError" in "".join(bench.lines)


def test_callbacks_of_a_closed_plugin_never_run(bench):
    bench.host.start()
    seen = []
    bench.host.call_later(0.1, lambda: seen.append("stale"))
    bench.host.lost("gone")
    bench.loop.run_for(60)
    assert seen == []


def test_input_that_opens_while_held_starts_paused(bench):
    bench.plugin.there = False
    bench.host.start()
    bench.host.hold()
    assert "pause" not in bench.plugin.calls
    bench.plugin.there = True
    bench.loop.run_for(20)
    assert bench.plugin.calls[-2:] == ["open", "pause"]
    bench.host.unhold()
    assert bench.plugin.calls[-1] == "resume"


def test_pause_is_not_sent_to_a_plugin_that_is_down(bench):
    bench.host.start()
    bench.host.lost("gone")
    bench.host.hold()
    bench.host.unhold()
    assert bench.plugin.calls == ["open", "close"]


def test_input_lost_while_it_opens_is_tried_again(bench):
    plugin = bench.plugin
    original = plugin.open

    def open_and_lose():
        original()
        if plugin.calls.count("open") == 1:
            bench.host.lost("gone at once")

    plugin.open = open_and_lose
    bench.host.start()
    assert bench.host.state == "waiting"
    bench.loop.run_for(20)
    assert bench.host.state == "open"


def test_stop_hands_over_what_is_left_and_reads_no_more(bench):
    bench.host.start()
    bench.host.stop()
    assert bench.plugin.calls == ["open", "stop", "pause"]
    bench.host.unhold()
    assert bench.plugin.calls[-1] == "pause"
    bench.host.shut()
    assert bench.plugin.calls[-1] == "close"


def test_stopped_agent_opens_nothing_any_more(bench):
    bench.plugin.there = False
    bench.host.start()
    bench.host.stop()
    bench.plugin.there = True
    bench.loop.run_for(60)
    assert bench.plugin.calls.count("open") == 1
