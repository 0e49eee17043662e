"""edgebit buffer replay and purge: names are kept, nothing is lost unseen, and all or nothing happens."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from buffer.buffer_rig import Rig, flip_payload, places, tree

from edgebit.buffer.log import Log
from edgebit.buffer.streams import Lock
from edgebit.cli import main


@pytest.fixture
def rig(tmp_path, capsys, monkeypatch):
    for name in ("fsync", "fdatasync"):  # no power is cut here, and a busy disk takes its time
        monkeypatch.setattr(os, name, lambda fd: None)
    return Rig(tmp_path, capsys)


def delivered(rig: Rig, output: str, count: int) -> list[tuple[str, int, int]]:
    """What the agent delivers after its next start: (stream, sequence, n) of the first `count` records."""
    buffer = rig.buffer(output, stream_id="99" * 8)
    found = []
    while len(found) < count:
        chunk = buffer.read(flush=True)
        assert chunk is not None, f"only {len(found)}"
        found += [(chunk.stream, chunk.seq + i, record[2][0]) for i, record in enumerate(chunk.records)]
        buffer.ack(chunk)
    assert buffer.read(flush=True) is None
    buffer.close("stop")
    return found


# -- replay --------------------------------------------------------------------------------------------------------------


def test_orphan_is_delivered_by_another_output_under_its_own_names(rig):
    orphan = rig.filled("old", 200)
    rig.filled("new", 30)
    config = rig.config("new")
    code, out, err = rig.run("replay", "old", "--to", "new", "-c", config)
    assert (code, err) == (0, "")
    assert out == f"200 records of old wait for new now\n{orphan} is removed\n"
    assert not orphan.exists()
    new, old = "6e65776e65776e65", "6f6c646f6c646f6c"
    assert delivered(rig, "new", 230) == [
        *((new, n, n) for n in range(1, 31)),
        *((old, n, n) for n in range(1, 201)),
    ]


def test_output_goes_on_with_its_stream_after_a_replay(rig):
    """The clean stop before it still counts: no sequence begins anew."""
    rig.filled("new", 30)
    rig.filled("old", 20)
    assert rig.run("replay", "old", "--to", "new", "-c", rig.config("new"))[0] == 0
    buffer = rig.buffer("new", stream_id="99" * 8)
    rig.append(buffer, "t", 1000, 5)
    buffer.close("stop")
    assert [(line["stream"], line["sequence"]) for line in rig.lines("new", "--state-dir", rig.state)][-5:] == [
        ("6e65776e65776e65", n) for n in range(31, 36)]  # fmt: skip


def test_output_that_never_ran(rig):
    rig.filled("old", 20)
    assert rig.run("replay", "old", "--to", "new", "-c", rig.config("new"))[0] == 0
    assert [n for _, _, n in delivered(rig, "new", 20)] == list(range(1, 21))


def test_what_was_delivered_before_stays_delivered(rig):
    rig.filled("old", 100, acked=50)
    waiting = rig.numbers("old", "--state-dir", rig.state)
    assert rig.run("replay", "old", "--to", "new", "-c", rig.config("new"))[0] == 0
    assert [n for _, _, n in delivered(rig, "new", len(waiting))] == waiting


def test_positions_of_the_sources_stay_behind(rig):
    """The target has not stored what its sources gave up to there."""
    buffer = rig.buffer("old")
    rig.append(buffer, "t", 1, 20, mark=("tail:x", 999))
    buffer.close("stop")
    assert rig.run("replay", "old", "--to", "new", "-c", rig.config("new"))[0] == 0
    assert rig.buffer("new").recovered("tail:x") is None


def test_copy_is_taken_over_and_left_as_it_is(rig, tmp_path):
    copy = tmp_path / "card"
    shutil.copytree(rig.filled("old", 50), copy)
    shutil.rmtree(rig.directory("old"))
    before = tree(copy)
    code, out, _ = rig.run("replay", copy, "--to", "new", "-c", rig.config("new"))
    assert code == 0
    assert "is not in the state directory and is left as it is" in out
    assert tree(copy) == before
    assert len(delivered(rig, "new", 50)) == 50


def test_replay_twice_takes_nothing_twice(rig):
    rig.filled("old", 50)
    for taken in (50, 0):
        out = rig.run("replay", "old", "--to", "new", "-c", rig.config("new"), "--keep")[1]
        assert out == f"{taken} records of old wait for new now\n"
    assert len(delivered(rig, "new", 50)) == 50


def test_not_enough_room_changes_nothing_and_says_how_much_would_be_enough(rig):
    old = rig.filled("old", 20_000, disk=2 << 20, chunk_size=65536)
    rig.filled("new", 10)
    before = tree(old), rig.numbers("new", "--state-dir", rig.state)
    code, out, err = rig.run("replay", "old", "--to", "new", "-c", rig.config("new"))
    assert (code, out) == (73, "")
    assert "nothing is changed. Set disk = " in err
    assert (tree(old), rig.numbers("new", "--state-dir", rig.state)) == before
    enough = err.split('"')[1]
    assert 2 <= int(enough.removesuffix("MiB")) <= 4
    assert rig.run("replay", "old", "--to", "new", "-c", rig.config("new", disk=enough))[0] == 0
    assert len(rig.numbers("new", "--state-dir", rig.state)) == 20_010
    assert not old.exists()


def test_chunks_larger_than_the_target_s_segments_are_divided(rig):
    rig.text = "x" * 2000
    rig.filled("old", 200, disk=4 << 20, chunk_size=1 << 20, limit=4 << 20)
    assert max(place[3] for place in places(rig.directory("old"))) * 2000 > 64 * 1024
    assert rig.run("replay", "old", "--to", "new", "-c", rig.config("new"))[0] == 0
    assert [(seq, n) for _, seq, n in delivered(rig, "new", 200)] == [(n, n) for n in range(1, 201)]


def test_damage_is_in_the_ledger_and_the_rest_is_taken_over(rig):
    old = rig.filled("old", 200)
    found = places(old)
    _, _, seq, count = found[2]
    flip_payload(found[2])
    code, out, _ = rig.run("replay", "old", "--to", "new", "-c", rig.config("new"))
    assert code == 0
    assert f"{200 - count} records of old wait for new now; {count} could not be read and are in the ledger" in out
    assert rig.ledger() == [("new", "damaged on disk", "6f6c646f6c646f6c", count, [[seq, seq + count - 1, count]])]


@pytest.mark.parametrize("step", ["pwrite", "sync"])
def test_disk_that_fails_keeps_the_source_and_the_next_run_goes_on(rig, monkeypatch, step):
    old = rig.filled("old", 200)
    rig.filled("new", 0)
    calls, name = [], "write" if step == "pwrite" else "sync"
    original = getattr(Log, name)

    def fail(self, *args):
        calls.append(args)
        if len(calls) == (4 if step == "pwrite" else 1):
            raise OSError(5, "Input/output error")
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Log, name, fail)
        code, _, err = rig.run("replay", "old", "--to", "new", "-c", rig.config("new"))
    assert code == 73
    assert "Input/output error" in err
    assert f"{old} is kept" in err
    assert rig.run("replay", "old", "--to", "new", "-c", rig.config("new"))[0] == 0
    assert [n for _, _, n in delivered(rig, "new", 200)] == list(range(1, 201))


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["old", "--to", "nev"], 73, 'has no output called "nev"; did you mean "new"?'),
        (["new", "--to", "new"], 73, "is the buffer of new already"),
        (["gone", "--to", "new"], 73, "has no buffer of an output called gone"),
        (["old"], 64, "--to"),
    ],
)
def test_replay_of_the_wrong_thing(rig, args, code, why):
    rig.filled("old", 5)
    rig.filled("new", 5)
    before = tree(rig.state / "buffers")
    found, out, err = rig.run("replay", *args, "-c", rig.config("new"))
    assert (found, out) == (code, "")
    assert why in err
    assert tree(rig.state / "buffers") == before


def test_output_in_memory_can_t_take_a_backlog(rig):
    rig.filled("old", 5)
    code, _, err = rig.run("replay", "old", "--to", "new", "-c", rig.config("new", storage="memory"))
    assert code == 73
    assert 'storage = "filesystem" or "hybrid"' in err


@pytest.mark.parametrize("verb", ["replay", "purge"])
def test_running_agent_refuses(rig, verb):
    old = rig.filled("old", 5)
    before = tree(old)
    lock = Lock(str(rig.state))
    try:
        args = ["--to", "new"] if verb == "replay" else ["--yes"]
        code, out, err = rig.run(verb, "old", *args, "-c", rig.config("new"))
    finally:
        lock.close()
    assert (code, out) == (73, "")
    assert f"{verb} needs a stopped agent" in err
    assert f"process {os.getpid()}" in err
    assert tree(old) == before


# -- purge ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["name", "path"])
def test_purge_enters_the_ledger_and_removes(rig, how):
    old = rig.filled("old", 100, acked=40)
    waiting = rig.numbers(old)
    args = ["old", "--state-dir", rig.state] if how == "name" else [old]
    code, out, _ = rig.run("purge", *args, "--yes")
    assert code == 0
    assert f"{len(waiting)} records of old are dropped" in out
    assert not old.exists()
    assert rig.ledger() == [
        ("old", "purged by hand", "6f6c646f6c646f6c", len(waiting), [[waiting[0], 100, len(waiting)]])]  # fmt: skip


@pytest.mark.parametrize(("answer", "gone"), [("yes\n", True), ("no\n", False), ("\n", False), ("", False)])
def test_purge_asks(rig, monkeypatch, answer, gone):
    old = rig.filled("old", 10)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    code, _, err = rig.run("purge", old)
    assert "10 records of old wait in" in err
    assert (code, old.exists(), bool(rig.ledger())) == ((0, False, True) if gone else (1, True, False))


def test_purge_with_damage(rig):
    old = rig.filled("old", 100)
    found = places(old)
    (old / "damaged").mkdir()
    (old / "damaged" / "000000000001-000000.seg").write_bytes(b"x")
    flip_payload(found[0])
    assert rig.run("purge", old, "--yes")[0] == 0
    assert not old.exists()
    assert sorted((why, count) for _, why, _, count, _ in rig.ledger()) == [
        ("damaged on disk", found[0][3]), ("purged by hand", 100 - found[0][3])]  # fmt: skip


def test_purge_keeps_what_is_in_the_ledger(rig):
    rig.filled("a", 10)
    rig.filled("b", 20)
    for name in ("a", "b"):
        assert rig.run("purge", name, "--state-dir", rig.state, "--yes")[0] == 0
    assert [(who, count) for who, _, _, count, _ in rig.ledger()] == [("a", 10), ("b", 20)]


def test_purge_with_a_ledger_that_is_damaged(rig):
    old = rig.filled("old", 10)
    (rig.state / "ledger.json").write_text("nonsense")
    code, _, err = rig.run("purge", old, "--yes")
    assert code == 73
    assert "can't be understood" in err
    assert old.exists()


def test_purge_of_a_copy_is_left_to_rm(rig, tmp_path):
    copy = tmp_path / "card"
    shutil.copytree(rig.filled("old", 5), copy)
    code, _, err = rig.run("purge", copy, "--yes")
    assert code == 73
    assert "may be deleted like any file" in err
    assert copy.exists()


def test_purged_output_is_told_to_its_collector(rig):
    """The ledger that purge wrote is the one that the agent reads."""
    from edgebit.agent import Agent
    from edgebit.config import load
    from edgebit.log import ERROR, Sink
    from fakes import fake_loop

    rig.filled("http.0", 10)
    assert rig.run("purge", "http.0", "--state-dir", rig.state, "--yes")[0] == 0
    agent = Agent(load(rig.config("http.0"), {}), {}, Sink(ERROR), fake_loop())
    agent._reporter.load()
    assert agent.stats.ledger.lines() == ["lost by http.0: 10 records, purged by hand (sequence 1 to 10)"]
    agent.loop.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
@pytest.mark.usefixtures("rig")  # for its quick syncs
def test_root_leaves_files_that_the_agent_s_user_can_use(capsys):
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        rig = Rig(Path(path), capsys)
        rig.filled("old", 10)
        rig.filled("other", 10)
        rig.filled("new", 10)
        for root, dirs, files in os.walk(rig.state):
            for name in (".", *dirs, *files):
                os.chown(os.path.join(root, name), 65534, 65534)
        config = rig.config("fresh", "new")
        assert main(["buffer", "purge", "old", "--yes", "-c", config]) == 0
        assert main(["buffer", "replay", "other", "--to", "fresh", "-c", config]) == 0
        assert main(["buffer", "replay", "new", "--to", "fresh", "-c", config]) == 0
        owners = {str(p): (p.stat().st_uid, p.stat().st_gid) for p in rig.state.rglob("*")}
        assert {"lock", "ledger.json", "buffers"} <= {p.name for p in rig.state.iterdir()}
        assert set(owners.values()) == {(65534, 65534)}, owners
        assert os.geteuid() == 0
