"""What the agent keeps in its state directory: the lock, buffers on disk, the ledger; over restarts and crashes."""

import json
import os
import shutil

import pytest
from core.test_agent import Script, Sink2, drain, make

from edgebit.cli import main
from edgebit.errors import StateError
from edgebit.formats.dates import iso8601

__all__ = ["make"]  # the fixture

CONFIG = """
[service]
grace = '0.5s'
[[input]]
plugin='script'
tag='t'
[[output]]
plugin='sink'
alias='out'
retry.cap='1s'
[output.buffer]
storage='{storage}'
disk='1MiB'
{more}
"""


def start(make, storage="filesystem", more="", up=True):
    agent = make(CONFIG.format(storage=storage, more=more))
    agent.start()
    Sink2.made[-1].up = up
    return agent, Script.made[-1], Sink2.made[-1]


def stop(agent):
    agent.stop("SIGTERM")
    drain(agent)
    agent.close()


def crash(agent):
    """kill -9: nothing is closed in order; the kernel gives back the lock."""
    agent._state._lock.close()


@pytest.mark.parametrize("storage", ["filesystem", "hybrid"])
def test_what_was_not_delivered_at_a_stop_is_delivered_at_the_next_start(make, storage):
    agent, script, _ = start(make, storage, up=False)
    script.send("a", "b")
    stop(agent)
    assert any("[agent] 2 records for out wait on disk for the next start" in line for line in agent.lines)
    assert not any("lost" in line for line in agent.lines)
    agent, _, sink = start(make, storage)
    agent.fake.run_for(3)
    assert sink.texts == ["a", "b"]


def test_filesystem_buffer_survives_a_crash(make):
    agent, script, _ = start(make, up=False)
    script.send("a")
    agent.fake.run_for(0.5)
    crash(agent)
    agent, _, sink = start(make)
    agent.fake.run_for(3)
    assert sink.texts == ["a"]
    assert any("1 records from before the start wait in" in line for line in agent.lines)


def test_hybrid_buffer_writes_what_has_waited_and_nothing_before(make):
    agent, script, _ = start(make, "hybrid", up=False)
    log = agent.pipeline.routes[0].buffer._log
    script.send("a")
    agent.fake.run_for(4)
    assert log.payload_written == 0
    agent.fake.run_for(2)
    assert log.payload_written > 0
    crash(agent)
    agent, _, sink = start(make, "hybrid")
    agent.fake.run_for(3)
    assert sink.texts == ["a"]


def test_hybrid_with_a_healthy_collector_writes_nothing(make):
    agent, script, sink = start(make, "hybrid")
    log = agent.pipeline.routes[0].buffer._log
    before = log.bytes_written
    for i in range(100):
        script.send(f"{i}")
        agent.fake.run_for(1)
    agent.fake.run_for(2)
    assert len(sink.texts) == 100
    assert log.bytes_written == before


def test_second_agent_on_one_state_directory_is_refused(make):
    start(make)
    with pytest.raises(StateError, match=rf"another edgebit \(process {os.getpid()}\) uses the state directory"):
        start(make)


def test_renamed_output_leaves_an_orphan_that_is_named_and_kept(make, tmp_path):
    agent, script, _ = start(make, up=False)
    script.send("a")
    stop(agent)
    agent = make(CONFIG.format(storage="filesystem", more="").replace("alias='out'", "alias='other'"))
    agent.start()
    agent.fake.run_for(3)
    assert any("holds records of out, which is not configured; they are kept" in line for line in agent.lines)
    stop(agent)
    agent, _, sink = start(make)
    agent.fake.run_for(3)
    assert sink.texts == ["a"]


def named(agent_id):
    config = CONFIG.format(storage="filesystem", more="")
    return config.replace("[service]", f"[service]\nagent_id = '{agent_id}'")


def test_records_taken_over_from_another_device_keep_its_agent_id(make, tmp_path, capsys):
    """`edgebit buffer replay` from a copied state directory, in which the buffer says whose it is."""
    config = tmp_path / "f.toml"
    for agent_id, text in (("dead", "a"), ("alive", "b")):
        agent = make(named(agent_id))
        agent.start()
        Sink2.made[-1].up = False
        Script.made[-1].send(text)
        stop(agent)
        if agent_id == "dead":
            (tmp_path / "state").rename(tmp_path / "card")
    config.write_text(f"[service]\nagent_id='alive'\nstate_dir='{tmp_path}/state'\n[[input]]\nplugin='dummy'\n"
                      "[[output]]\nplugin='http'\nalias='out'\nurl='http://127.0.0.1:9/'\n")  # fmt: skip
    assert main(["buffer", "replay", str(tmp_path / "card"), "--to", "out", "-c", str(config)]) == 0
    for up in (False, True):  # also when it is delivered after yet another restart
        agent = make(named("alive"))
        agent.start()
        sink = Sink2.made[-1]
        sink.up = False
        agent.fake.run_for(3)
        sink.up = up
        stop(agent)
    assert list(zip(sink.texts, sink.agents)) == [("b", "alive"), ("a", "dead")]


def test_changed_size_keeps_the_backlog(make):
    agent, script, _ = start(make, up=False)
    script.send(*(f"{i:01000d}" for i in range(300)))
    stop(agent)
    bigger = CONFIG.replace("1MiB", "4MiB").format(storage="filesystem", more="")
    agent = make(bigger)
    agent.start()
    Sink2.made[-1].up = False
    agent.fake.run_for(1)
    stop(agent)
    agent, _, sink = start(make)
    agent.fake.run_for(5)
    assert [int(text) for text in sink.texts] == list(range(300))


def test_losses_are_kept_over_a_restart_and_told_to_the_collector(make, tmp_path):
    agent, script, _ = start(make, "memory", "memory='16KiB'\noverflow='drop_newest'", up=False)
    for i in range(200):
        script.send(f"{i:0200d}")
    agent.fake.run_for(3)
    kept = json.loads((tmp_path / "state/ledger.json").read_text())
    lost = agent.stats.ledger.unreported("out")[0][1][2]
    assert lost > 0
    assert kept["entries"][0][:2] == ["out", "buffer full"]
    crash_without_lock(agent)
    agent, _, sink = start(make, "memory")
    agent.fake.run_for(5)
    told = [dict(zip(r[1].names, r[2])) for chunk in sink.chunks for r in chunk.records if chunk.tag == "edgebit.loss"]
    assert [(t["output"], t["reason"], t["count"], t["total"]) for t in told] == [("out", "buffer full", lost, lost)]
    agent.fake.run_for(60)
    assert sum(chunk.tag == "edgebit.loss" for chunk in sink.chunks) == 1
    stop(agent)
    agent, _, sink = start(make, "memory")
    agent.fake.run_for(60)
    assert sink.chunks == []


def crash_without_lock(agent):
    """A memory-only agent holds no lock."""
    assert agent._state._lock is None


def test_losses_during_an_outage_are_told_once_when_it_ends(make):
    agent, script, sink = start(make, "memory", "memory='16KiB'\noverflow='drop_oldest'", up=False)
    for i in range(300):
        script.send(f"{i:0200d}")
        agent.fake.run_for(1)
    sink.up = True
    agent.fake.run_for(100)
    told = [r[2] for chunk in sink.chunks for r in chunk.records if chunk.tag == "edgebit.loss"]
    assert sum(t[3] for t in told) == agent.stats.ledger.entries[next(iter(agent.stats.ledger.entries))].count
    assert len(told) <= 3


def test_a_report_of_losses_waits_for_room_in_a_full_buffer_instead_of_being_lost(make):
    agent, script, sink = start(make, "memory", "memory='16KiB'\noverflow='drop_newest'")
    sink.slow = True
    for i in range(300):
        script.send(f"{i:0200d}")
    agent.fake.run_for(1.5)
    lost = agent.stats.ledger.entries[next(iter(agent.stats.ledger.entries))]
    before = lost.count
    agent.fake.run_for(60)
    assert lost.count == before > 0
    sink.answer()
    agent.fake.run_for(60)
    told = [r[2] for chunk in sink.chunks for r in chunk.records if chunk.tag == "edgebit.loss"]
    assert sum(t[3] for t in told) == before


def told_of_inputs(sink):
    return [dict(zip(r[1].names, r[2])) for chunk in sink.chunks for r in chunk.records if r[1].names[0] == "input"]


def test_what_an_input_missed_is_told_to_every_output_that_takes_its_tag(make):
    """Now to the one that delivers, later as one record to the one that was away, also over a restart."""
    text = """
[[input]]
plugin='script'
tag='t'
[[output]]
plugin='sink'
alias='there'
[[output]]
plugin='sink'
alias='away'
retry.cap='1s'
[[output]]
plugin='sink'
alias='other'
match='x'
"""
    agent = make(text)
    agent.start()
    there, away, other = Sink2.made
    away.up = False
    began = agent.fake.clock.wall_ns()
    for _ in range(3):
        Script.made[0].send("a")
        Script.made[0].ctx.missed("dropped by the kernel", 5)
        agent.fake.run_for(20)
    assert [(t["input"], t["count"], t["total"]) for t in told_of_inputs(there)] == [
        ("script.0", 5, 5), ("script.0", 5, 10), ("script.0", 5, 15)
    ]  # fmt: skip
    assert any("missed by script.0: 15, dropped by the kernel (" in line for line in agent.stats.lines())
    assert agent.stats.counters("input", "script.0").get("missed") == 15
    agent = make(text)  # the first one is killed
    agent.start()
    there, away, other = Sink2.made[3:]
    agent.fake.run_for(5)
    assert told_of_inputs(there) == told_of_inputs(other) == []
    (told,) = told_of_inputs(away)
    assert (told["count"], told["total"]) == (15, 15)
    assert told["first_time"] == iso8601(began)
    assert told["last_time"] == iso8601(began + 40 * 10**9)
    assert any("missed by script.0: 15, dropped by the kernel (" in line for line in agent.stats.lines())
    agent.fake.run_for(60)
    assert len(told_of_inputs(away)) == 1


def test_damaged_ledger_is_set_aside(make, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state/ledger.json").write_text("{")
    agent, _, _ = start(make)
    assert (tmp_path / "state/ledger.json.bad").exists()
    assert any("can't be understood" in line for line in agent.lines)


# -- removed while it runs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["filesystem", "hybrid"])
def test_removed_state_directory_is_made_again_with_all_that_waits(make, tmp_path, storage):
    agent, script, _ = start(make, storage, "memory='16KiB'", up=False)
    for i in range(200):
        script.send(f"{i:0500d}")
    agent.fake.run_for(10)
    shutil.rmtree(tmp_path / "state")
    for i in range(200, 210):
        script.send(f"{i:0500d}")
    agent.fake.run_for(12)
    said = [line for line in agent.lines if "[ warn] [agent]" in line]
    assert len(said) == 1
    assert "is made again, with 2" in said[0]
    crash(agent)
    agent, _, sink = start(make, storage)
    agent.fake.run_for(5)
    assert [int(text) for text in sink.texts] == list(range(210))
    assert not agent.stats.ledger.entries


def start_and_take_away(make, tmp_path):
    """100 records wait on disk, then there is a file in the place of the state directory."""
    agent, script, sink = start(make, more="memory='16KiB'", up=False)
    for i in range(100):
        script.send(f"{i:0500d}")
    agent.fake.run_for(3)
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "state").write_text("in the way")
    agent.fake.run_for(10)
    return agent, script, sink


def test_state_directory_that_can_not_be_made_again(make, tmp_path):
    """It goes on in memory, delivers what was stored, and stores again when it can."""
    agent, script, sink = start_and_take_away(make, tmp_path)
    script.send("100", "101")
    sink.up = True
    agent.fake.run_for(5)
    assert [int(text) for text in sink.texts] == list(range(102))
    sink.up = False
    script.send("102")
    agent.fake.run_for(60)
    said = [line for line in agent.lines if "state directory" in line]
    assert len(said) == 1
    assert "can't be made again (" in said[0]
    (tmp_path / "state").unlink()
    agent.fake.run_for(8)
    assert "is made again, with " in [line for line in agent.lines if "state directory" in line][1]
    crash(agent)
    agent, _, sink = start(make)
    agent.fake.run_for(5)
    assert [int(text) for text in sink.texts if int(text) > 101] == [102]
    assert not agent.stats.ledger.entries


def test_stop_while_the_state_directory_is_gone_counts_what_waits(make, tmp_path):
    agent, _, _ = start_and_take_away(make, tmp_path)
    stop(agent)
    assert sum(entry.count for entry in agent.stats.ledger.entries.values()) == 100
    assert not any("wait on disk for the next start" in line for line in agent.lines)


def test_older_state_that_comes_back_is_kept_as_an_orphan(make, tmp_path):
    """A medium that was taken out and is mounted again holds what waited then."""
    agent, script, sink = start(make, up=False)
    script.send("a")
    agent.fake.run_for(3)
    (tmp_path / "state").rename(tmp_path / "away")
    agent.fake.run_for(6)
    script.send("b")
    agent.fake.run_for(3)
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "away", tmp_path / "state")
    agent.fake.run_for(6)
    orphans = agent.orphans()
    assert [owner.startswith("out (found ") for owner in orphans.values()] == [True]
    crash(agent)
    agent, _, sink = start(make)
    agent.fake.run_for(5)
    assert sink.texts == ["a", "b"]
    assert any("holds records of out (found " in line for line in agent.lines)


def test_unusable_state_directory_is_a_clear_error(make, tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateError, match=r"can't be used: .*name another one in service.state_dir"):
        start(make)
