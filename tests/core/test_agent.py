"""The agent: life from a config to the last line, with plugins of the test's own."""

import os
import signal
import socket

import pytest

from edgebit import registry
from edgebit.agent import Agent
from edgebit.config.toml import parse
from edgebit.errors import ConfigError
from edgebit.log import INFO, Sink
from edgebit.options import Option, string
from edgebit.plugin import Input, Output, Receipt
from edgebit.record import Shape
from fakes import fake_loop

LOG = Shape.of(("log",))


class Script(Input):
    """An input that the test drives by hand."""

    NAME = "script"
    OPTIONS = (Option("device", string, "", "what it reads"),)
    made = []

    def __init__(self, opt, ctx):
        super().__init__(opt, ctx)
        self.there, self.paused, self.is_open, self.saved = opt.device != "missing", False, False, None
        self.made.append(self)

    def open(self):
        if not self.there:
            raise FileNotFoundError(2, "No such file or directory", self.opt.device)
        self.is_open = True

    def close(self):
        self.is_open = False

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    def send(self, *texts, receipt=None):
        self.ctx.emit(self.ctx.tag, [(0, LOG, (text,)) for text in texts], receipt=receipt)


class Sink2(Output):
    """An output that keeps texts; `up` says whether it takes them, `slow` that it answers at `answer` only."""

    NAME = "sink"
    local = True  # records wait in memory
    made = []

    def __init__(self, opt, ctx):
        super().__init__(opt, ctx)
        self.up, self.texts, self.chunks, self.closed = True, [], [], False
        self.agents = []
        self.slow, self.unanswered = False, []
        self.made.append(self)

    def deliver(self, delivery):
        if self.slow:
            self.unanswered.append(delivery)
            return
        if not self.up:
            delivery.retry("connection refused")
            return
        self.chunks.append(delivery.chunk)
        self.agents.append(delivery.agent_id)
        self.texts += [record[2][0] for record in delivery.chunk.records]
        delivery.delivered()

    def answer(self):
        self.slow = False
        unanswered, self.unanswered = self.unanswered, []
        for delivery in unanswered:
            self.deliver(delivery)

    def close(self):
        self.closed = True


@pytest.fixture
def make(monkeypatch, tmp_path):
    for kind, name, cls in (("input", "script", Script), ("output", "sink", Sink2)):
        monkeypatch.setitem(registry.PLUGINS[kind], name, f"{__name__}:{cls.__name__}")
        cls.made = []
    monkeypatch.setattr(registry, "find", find_here(registry.find))
    monkeypatch.setattr("edgebit.agent._random", lambda: 0.0)  # the shortest back-off
    loops = []

    def build(text, env=None):
        lines = []
        loop = fake_loop()
        loops.append(loop)
        config = parse(text, "f.toml", env or {})
        sink = Sink(INFO, lines.append, loop.clock.wall_ns)
        agent = Agent(config, {"STATE_DIRECTORY": str(tmp_path / "state"), **(env or {})}, sink, loop)
        agent.lines, agent.fake = lines, loop
        return agent

    yield build
    for loop in loops:
        if loop.selector.get_map() is not None:  # not closed yet by the agent
            loop.close()


def find_here(original):
    own = {"script": Script, "sink": Sink2}
    return lambda kind, name, where="", key="": own.get(name) or original(kind, name, where, key)


BASIC = "[[input]]\nplugin='script'\ntag='t'\n[[output]]\nplugin='sink'\n"


def drain(agent):
    """Turn until the agent stops its loop."""
    agent.fake.run_until(lambda: agent.fake.stopping, 100)
    assert agent.fake.stopping


def test_record_goes_from_input_to_output(make):
    agent = make(BASIC)
    agent.start()
    Script.made[0].send("hello")
    agent.fake.run_for(2)
    assert Sink2.made[0].texts == ["hello"]


def test_stop_delivers_what_waits_and_closes_everything(make):
    agent = make(BASIC)
    agent.start()
    Script.made[0].send("a", "b")
    agent.stop("SIGTERM")
    drain(agent)
    agent.close()
    assert Sink2.made[0].texts == ["a", "b"]
    assert Sink2.made[0].closed
    assert not Script.made[0].is_open
    assert Script.made[0].paused
    assert not any("lost" in line for line in agent.lines)


def test_stop_waits_no_longer_than_grace_and_accounts_for_the_rest(make):
    agent = make("[service]\ngrace='3s'\n" + BASIC)
    agent.start()
    Sink2.made[0].up = False
    Script.made[0].send("a", "b")
    began = agent.fake.clock.now
    agent.stop("SIGTERM")
    drain(agent)
    assert 2.5 < agent.fake.clock.now - began < 4
    agent.close()
    assert any(
        "lost by sink.0: 2 records, not delivered before the stop (sequence 1 to 2)" in line for line in agent.lines
    )


def test_records_that_their_input_reads_again_are_not_called_lost(make):
    agent = make(BASIC)
    agent.start()
    Sink2.made[0].up = False
    safe = []
    Script.made[0].send("a", receipt=Receipt(lambda: safe.append(1)))
    agent.stop("SIGTERM")
    drain(agent)
    agent.close()
    assert safe == []
    assert not any("lost by" in line for line in agent.lines)
    assert any("1 records for sink.0 are not delivered yet" in line for line in agent.lines)


def test_position_becomes_safe_during_the_drain_and_before_the_input_is_closed(make):
    agent = make(BASIC)
    agent.start()
    script = Script.made[0]
    script.send("a", receipt=Receipt(lambda: setattr(script, "saved", script.is_open)))
    agent.stop("SIGTERM")
    drain(agent)
    agent.close()
    assert script.saved is True


def test_agent_ends_when_all_inputs_have_ended(make):
    agent = make(BASIC + "[[input]]\nplugin='script'\n")
    agent.start()
    first, second = Script.made
    first.send("last words")
    first.ctx.finished()
    agent.fake.run_for(3)
    assert not agent.stopping
    second.ctx.finished()
    drain(agent)
    assert Sink2.made[0].texts == ["last words"]


def test_second_signal_ends_the_drain(make):
    agent = make(BASIC)
    agent.start()
    Sink2.made[0].up = False
    Script.made[0].send("a")
    agent._on_signal(signal.SIGTERM)
    agent.fake.run_for(0.1)
    assert not agent.fake.stopping
    agent._on_signal(signal.SIGTERM)
    assert agent.fake.stopping


def test_sigusr1_writes_the_counters(make):
    agent = make(BASIC)
    agent.start()
    Script.made[0].send("a")
    agent.fake.run_for(2)
    agent._on_signal(signal.SIGUSR1)
    assert any("input script.0: records=1" in line for line in agent.lines)
    assert any("output sink.0: records=1 batches=1" in line for line in agent.lines)


@pytest.fixture
def notify(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setblocking(False)

        def read():
            found = []
            while True:
                try:
                    found.append(sock.recv(4096).decode())
                except BlockingIOError:
                    return found

        yield path, read


def test_state_directory_is_made_at_the_start_and_not_before(make, tmp_path):
    agent = make(BASIC)
    assert not (tmp_path / "state").exists()
    agent.start()
    assert (tmp_path / "state").is_dir()


def test_state_directory_that_cannot_be_made_is_said_with_advice(make):
    agent = make("[service]\nstate_dir='/proc/nope'\n" + BASIC)
    agent.start()
    assert any("cannot make the state directory" in line and "service.state_dir" in line for line in agent.lines)


def test_ready_is_sent_when_the_inputs_are_open(make, notify):
    path, read = notify
    agent = make(BASIC, {"NOTIFY_SOCKET": path})
    agent.start()
    assert read() == []  # the end of the turn sees all of them
    agent.fake.turn(0)
    assert read() == ["READY=1\nSTATUS=all inputs are open"]
    agent.stop("SIGTERM")
    assert read() == ["STOPPING=1"]


def test_ready_waits_for_a_missing_input_and_comes_when_it_opens(make, notify):
    path, read = notify
    agent = make(BASIC.replace("tag='t'", "device='missing'"), {"NOTIFY_SOCKET": path})
    agent.start()
    agent.fake.run_for(5)
    assert read() == []
    Script.made[0].there = True
    agent.fake.run_for(4)
    assert read() == ["READY=1\nSTATUS=all inputs are open"]


def test_ready_comes_with_a_word_when_an_input_stays_away(make, notify):
    path, read = notify
    agent = make(BASIC.replace("tag='t'", "device='missing'"), {"NOTIFY_SOCKET": path})
    agent.start()
    agent.fake.run_for(9.9)
    assert read() == []
    agent.fake.run_for(1)
    assert read() == ["READY=1\nSTATUS=waiting for script.0"]


def test_watchdog_is_fed_twice_an_interval(make, notify):
    path, read = notify
    agent = make(BASIC, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "10000000"})
    agent.start()
    agent.fake.run_for(31)
    assert read().count("WATCHDOG=1") == 7


def test_without_systemd_nothing_is_sent(make):
    agent = make(BASIC)
    agent.start()
    agent.fake.run_for(1)
    assert agent.ready


BROKEN = [
    ("[[input]]\nplugin='tial'\n[[output]]\nplugin='sink'",
     'f.toml:2: plugin: no input is called "tial"; did you mean "tail"?'),
    ("[[input]]\nplugin='Forward'\n",
     "Fluent Bit's input forward is not in edgebit yet; let the sender use its http"),
    (BASIC + "[[filter]]\nplugin='grepp'\n", 'no filter is called "grepp"; did you mean "grep"?'),
    (BASIC + "[[parser]]\nname='p'\nformat='regx'\n", 'no parser is called "regx"; did you mean "regex"?'),
    (BASIC.replace("tag='t'", "devise='x'"), 'f.toml:3: devise: input script has no such option; did you mean "device"?'),
    (BASIC.replace("tag='t'", "device=[1]"), "f.toml:3: device: must be text, not [1]"),
    ("[service]\nflsh='1s'\n" + BASIC, 'f.toml:2: flsh: service has no such option; did you mean "flush"?'),
    ("[service]\nflush='1x'\n" + BASIC, "f.toml:2: flush: must be a time such as"),
    (BASIC + "[output.buffer]\nmemry='1MiB'\n", 'memry: output.buffer has no such option; did you mean "memory"?'),
    (BASIC + "[output.buffer]\nmemory='1KiB'\n", "memory: must be at least 16384"),
    (BASIC + "[output.buffer]\noverflow='drop_old'\n", 'did you mean "drop_oldest"?'),
    (BASIC + "match_regex='('\n", "match_regex: must be a regular expression"),
    (BASIC + "retry_limit=0\n", "retry_limit: must be a number from 1 up"),
    (BASIC + "alias='x'\n[[output]]\nplugin='sink'\nalias='x'\n", 'there is another output called "x"'),
    ("[[output]]\nplugin='sink'\n", "there is no [[input]] section"),
    ("[[input]]\nplugin='script'\n", "there is no [[output]] section"),
    (BASIC + "[[parser]]\nname='p'\nformat='json'\n[[parser]]\nname='p'\nformat='json'\n", 'another parser called "p"'),
    (BASIC + "[[input]]\nplugin='tail'\npath='x'\nparser='jsn'\n",
     'parser: no parser is called "jsn"; did you mean "json"?'),
    (BASIC + "[[output]]\nplugin='file'\nformat='cvs'\n", 'format: must be one of'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BROKEN, ids=range(len(BROKEN)))
def test_wrong_config_names_place_key_and_the_nearest(make, text, message):
    with pytest.raises(ConfigError) as caught:
        make(text)
    assert message in str(caught.value)
    assert caught.value.exit_code == 78


def test_all_mistakes_are_told_at_once(make):
    with pytest.raises(ConfigError) as caught:
        make("[[input]]\nplugin='tial'\n[[output]]\nplugin='sink'\nmach='x'\n")
    assert str(caught.value).count("did you mean") == 2


def test_two_devices_with_one_host_name_have_different_agent_ids(monkeypatch):
    from edgebit import build

    ids = set()
    for mark in (b"0123456789abcdef", b"fedcba9876543210"):
        read, write = os.pipe()
        os.write(write, mark)
        os.close(write)
        monkeypatch.setattr("builtins.open", lambda *a, fd=read, **k: os.fdopen(fd, "rb"))
        ids.add(build.agent_id("raspberrypi"))
        monkeypatch.undo()
    assert len(ids) == 2
    assert all(i.startswith("raspberrypi-") for i in ids)


@pytest.mark.parametrize(("configured", "env", "expected"), [
    ("/x", {"STATE_DIRECTORY": "/y"}, "/x"),
    ("", {"STATE_DIRECTORY": "/var/lib/edgebit:/var/lib/b"}, "/var/lib/edgebit"),
])  # fmt: skip
def test_state_directory(configured, env, expected):
    from edgebit import build

    assert build.state_dir(configured, env) == expected


def test_input_that_a_full_buffer_holds_for_long_says_so_once(make):
    agent = make(BASIC + "[output.buffer]\nmemory='16KiB'\n")
    agent.start()
    Sink2.made[0].up = False
    Script.made[0].send(*["x" * 1000] * 30)
    agent.fake.run_for(9)
    assert not any("paused" in line for line in agent.lines)
    agent.fake.run_for(60)
    assert len([line for line in agent.lines if "paused, for a buffer is full" in line]) == 1
    Sink2.made[0].up = True
    agent.fake.run_for(200)
    assert any("reading again after" in line for line in agent.lines)
