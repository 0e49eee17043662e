"""Tail over restarts: what the checkpoint says, and what happened to the files meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tail_rig import Rig

from edgebit.inputs import checkpoint

Start = Callable[..., Rig]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts tails with Fluent Bit's defaults: old content is not read."""
    rigs = []

    def make(*args: Any, **options: Any) -> Rig:
        rigs.append(Rig(tmp_path, *args, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


def settled(rig: Rig, name: str, text: str) -> None:
    """Lines that were read, are safe, and saved as such."""
    rig.write(name, text)
    rig.run()
    rig.release()
    rig.run()


def test_continues_where_it_was_safe(start: Start) -> None:
    rig = start()
    settled(rig, "a.log", "1\n")
    rig.write("a.log", "2\n")
    rig.run()
    rig.restart()
    rig.write("a.log", "3\n")
    assert rig.run() == ["2", "3"]


def test_kill_before_the_first_line_is_safe(start: Start, tmp_path: Path) -> None:
    """The end at which reading started is known again: nothing written since is skipped."""
    (tmp_path / "a.log").write_text("old\n")
    rig = start()
    rig.kill()
    rig.write("a.log", "new\n")
    rig.start()
    assert rig.run() == ["new"]


def test_receipts_out_of_order_move_the_position_by_the_prefix(start: Start) -> None:
    rig = start()
    for i in range(4):
        rig.write("a.log", f"{i}\n")
        rig.run()
    offsets = []
    for which in (2, 0, 3, 1):
        rig.release(which)
        offsets.append(rig.tail._all_positions()[0].offset)
    assert offsets == [0, 2, 2, 8]


def test_saved_at_most_once_a_second_and_only_when_moved(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    times = []
    save = checkpoint.save
    rig = start()
    monkeypatch.setattr(checkpoint, "save", lambda *args: (times.append(rig.ctx.clock.now), save(*args)))
    for i in range(50):
        rig.write("a.log", f"{i}\n")
        rig.ctx.loop.run_for(0.2)
        rig.release()
    rig.run(100)
    assert 5 <= len(times) <= 12
    assert min(b - a for a, b in pairwise(times)) >= 0.999


@pytest.mark.parametrize("ending", ["close", "kill"])
def test_rotated_while_stopped(start: Start, tmp_path: Path, ending: str) -> None:
    rig = start("app.log")
    settled(rig, "app.log", "1\n")
    getattr(rig, ending)()
    rig.write("app.log", "2\n")
    os.rename(tmp_path / "app.log", tmp_path / "app.log.1")
    rig.write("app.log", "3\n")
    rig.start()
    assert sorted(rig.run()) == ["2", "3"]
    rig.run(60)
    assert [Path(file.path).name for file in rig.tail._files.values()] == ["app.log"]


def test_rotated_file_keeps_its_old_name_until_it_is_read(start: Start, tmp_path: Path) -> None:
    rig = start("app.log*", tag="t.*")
    settled(rig, "app.log", "1\n")
    rig.close()
    rig.write("app.log", "2\n")
    os.rename(tmp_path / "app.log", tmp_path / "app.log.1")
    rig.write("app.log", "3\n")
    rig.start()
    rig.run(60)
    rig.write("app.log.1", "4\n")
    rig.run()
    name = "t." + str(tmp_path)[1:].replace("/", ".") + ".app.log"
    assert sorted((records[0][2][0], tag) for tag, records, _ in rig.ctx.emitted) == [
        ("2", name), ("3", name), ("4", name + ".1")]  # fmt: skip


def test_killed_while_a_rotated_file_is_being_read(start: Start, tmp_path: Path) -> None:
    rig = start("app.log", buffer_chunk_size=64)
    rig.write("app.log", "".join(f"{i}\n" for i in range(1000)))
    rig.ctx.loop.run_until(lambda: len(rig.lines) > 100)
    os.rename(tmp_path / "app.log", tmp_path / "app.log.1")
    rig.release()
    rig.tail.pause()
    rig.run(1.5)
    first = rig.lines
    rig.kill()
    rig.start()
    assert sorted({*first, *rig.run()}) == sorted(map(str, range(1000)))
    assert not {*first} & {*rig.lines}


def test_file_let_go_with_batches_on_their_way_is_read_again(start: Start, tmp_path: Path) -> None:
    rig = start("app.log")
    rig.write("app.log", "1\n")
    rig.run()
    os.rename(tmp_path / "app.log", tmp_path / "app.log.1")
    rig.run(20)
    assert rig.ctx.stats.get("rotated") == 1
    rig.kill()
    rig.start()
    assert rig.run(20) == ["1"]
    rig.release()
    rig.run(20)
    rig.kill()
    rig.start()
    assert rig.run(20) == []
    assert rig.tail._all_positions() == []


def test_truncated_while_stopped(start: Start, tmp_path: Path) -> None:
    rig = start()
    settled(rig, "a.log", "a long line\nanother\n")
    rig.close()
    (tmp_path / "a.log").write_text("new\n")
    rig.start()
    assert rig.run() == ["new"]


def test_rewritten_longer_while_stopped(start: Start, tmp_path: Path) -> None:
    rig = start()
    settled(rig, "a.log", "old\n")
    rig.close()
    (tmp_path / "a.log").write_text("new 1\nnew 2\n")
    rig.start()
    assert rig.run() == ["new 1", "new 2"]
    assert "truncated or rewritten while edgebit was stopped" in rig.log


def test_replaced_while_stopped(start: Start, tmp_path: Path) -> None:
    """The old file is gone for good: the new one is read from its beginning, and the gap is said."""
    rig = start()
    settled(rig, "a.log", "old\n")
    rig.close()
    rig.write("other", "new 1\nnew 2\n")
    os.replace(tmp_path / "other", tmp_path / "a.log")
    rig.start()
    assert rig.run() == ["new 1", "new 2"]
    assert "not in its directory any more" in rig.log
    assert rig.ctx.stats.get("gone") == 1


@pytest.mark.parametrize("stopped", [False, True])
def test_successor_of_a_rotated_file_is_no_new_file(start: Start, tmp_path: Path, stopped: bool) -> None:
    """It is read from its beginning, also where new files are read from their ends."""
    rig = start("app.log", read_newly_discovered_files_from_head=False)
    settled(rig, "app.log", "0\n")
    rig.write("app.log", "1\n")
    rig.run()
    assert rig.lines == ["1"]
    rig.release()
    if stopped:
        rig.close()
    os.rename(tmp_path / "app.log", tmp_path / "app.log.1")
    if stopped:
        rig.write("app.log", "2\n")
        rig.start()
    else:
        rig.run(60)  # made only when the old one has been let go
        rig.write("app.log", "2\n")
    assert rig.run()[-1] == "2"


def test_new_while_stopped(start: Start) -> None:
    rig = start()
    settled(rig, "a.log", "1\n")
    rig.close()
    rig.write("b.log", "2\n")
    rig.start()
    assert rig.run() == ["2"]


def test_other_paths_in_the_config_are_not_new_files(start: Start) -> None:
    """read_from_head decides about them, not that a checkpoint is there."""
    rig = start("a.log")
    settled(rig, "a.log", "1\n")
    rig.close()
    rig.write("a.log", "2\n")
    rig.write("b.log", "old\n")
    rig.path = "?.log"
    rig.start()
    assert rig.run() == ["2"]


def test_relative_names_are_other_files_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x", "y"):
        (tmp_path / name / "state").mkdir(parents=True)
        (tmp_path / name / "a.log").write_text("1\n")
        monkeypatch.chdir(tmp_path / name)
        rig = Rig(Path(), "a.log", read_from_head=True, db=str(tmp_path / "db"))
        assert rig.run() == ["1"]
        rig.release()
        rig.restart()
        assert rig.run() == []
        assert "lost" not in rig.log
        rig.close()


@pytest.mark.parametrize("rotated", [False, True])
def test_path_taken_out_of_the_config(start: Start, tmp_path: Path, rotated: bool) -> None:
    rig = start("a.log,b.log")
    settled(rig, "a.log", "1\n")
    rig.close()
    rig.write("a.log", "2\n")
    rig.path = "b.log"
    if rotated:
        os.rename(tmp_path / "a.log", tmp_path / "a.log.1")
    rig.start()
    assert rig.run() == []
    assert rig.tail._all_positions() == []
    assert "lost" not in rig.log


def test_other_inode_numbers_after_a_mount(start: Start, tmp_path: Path) -> None:
    rig = start()
    settled(rig, "a.log", "1\n2\n")
    rig.close()
    shutil.copy(tmp_path / "a.log", tmp_path / "copy")
    os.rename(tmp_path / "copy", tmp_path / "a.log")
    rig.write("a.log", "3\n")
    rig.start()
    assert rig.run() == ["3"]


def test_rotation_is_not_taken_for_another_inode_number(start: Start, tmp_path: Path) -> None:
    """The new file begins like the old one; the old one is still there under another name."""
    rig = start("a.log")
    settled(rig, "a.log", "begin\n")
    rig.close()
    rig.write("a.log", "rest\n")
    os.rename(tmp_path / "a.log", tmp_path / "a.log.1")
    rig.write("a.log", "begin\n2\n")
    rig.start()
    assert sorted(rig.run()) == ["2", "begin", "rest"]


def test_directory_that_is_not_mounted_at_the_start(start: Start, tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()
    rig = start("usb/a.log", refresh_interval=5)
    settled(rig, "usb/a.log", "1\n")
    rig.close()
    os.rename(tmp_path / "usb", tmp_path / "unplugged")
    rig.start()
    rig.run(20)
    rig.restart()
    rig.write("unplugged/a.log", "2\n")
    os.rename(tmp_path / "unplugged", tmp_path / "usb")
    assert rig.run(20) == ["2"]


def test_reused_inode_of_a_stranger_is_not_read(start: Start, tmp_path: Path) -> None:
    """A file without content leaves no fingerprint: only one with a like name is taken for it."""
    rig = start("app.log", read_from_head=True)
    rig.write("app.log", "")
    rig.run()
    rig.close()
    os.rename(tmp_path / "app.log", tmp_path / "secret")
    rig.write("secret", "key\n")
    rig.write("app.log", "1\n")
    rig.start()
    assert rig.run() == ["1"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-3],
        lambda data: data.replace(b"a.log", b"b.log"),
        lambda data: b"SQLite format 3\0" + data,
        lambda data: data.replace(b"edgebit-tail 1", b"edgebit-tail 9"),
        lambda data: os.urandom(4096),
    ],
)
def test_checkpoint_damaged(start: Start, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    rig = start(read_from_head=True)
    settled(rig, "a.log", "1\n")
    rig.close()
    saved = tmp_path / "state" / "plugin.0.positions"
    saved.write_bytes(damage(saved.read_bytes()))
    broken = saved.read_bytes()
    rig.start()
    assert rig.run() == ["1"]
    assert rig.log.count("cannot use the positions") == 1
    assert saved.with_suffix(".positions.bad").read_bytes() == broken
    rig.release()
    rig.restart()
    assert rig.run() == []
    assert "cannot use" not in rig.log


def test_checkpoint_cannot_be_read_or_written(start: Start, tmp_path: Path) -> None:
    rig = start(db=str(tmp_path / "no" / "such" / "directory"))
    rig.write("a.log", "1\n")
    rig.run(100)
    assert rig.log.count("cannot save positions") == 1
    (tmp_path / "no" / "such").mkdir(parents=True)
    rig.run(40)
    assert rig.log.count("positions are saved again") == 1
    rig.close()
    rig.options["db"] = str(tmp_path / "state")  # a directory
    rig.start()
    assert "cannot use the positions" in rig.log
    rig.restart()


def test_db_at_a_place_of_its_own(start: Start, tmp_path: Path) -> None:
    rig = start(db=str(tmp_path / "mine.db"), db_sync="full")
    settled(rig, "a.log", "1\n")
    rig.restart()
    assert rig.run() == []
    assert (tmp_path / "mine.db").read_bytes().startswith(b"edgebit-tail 1 ")
    assert not list((tmp_path / "state").iterdir())


def test_no_state_directory(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("1\n")
    rig = Rig(tmp_path, read_from_head=True, db="off")
    rig.run()
    rig.close()
    assert "positions are not kept over a restart" in rig.log
    assert not list((tmp_path / "state").iterdir())
