"""What is on disk, and what is left of it after kill -9 at any moment, a full disk, or somebody's hands in it."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from edgebit.collector import directory as module
from edgebit.collector.directory import JOURNAL, MAX_OPEN, STATE, Batch, Directory, file_name
from edgebit.errors import StateError
from edgebit.log import DEBUG, Log, Sink


class Desk:
    """Directories on one path, opened one after the other; `kill` leaves one as kill -9 would."""

    def __init__(self, path) -> None:
        self.path = path
        self.said: list[str] = []
        self.directory: Directory | None = None
        self.open()

    def open(self, **settings) -> Directory:
        self.close()
        self.directory = Directory(str(self.path), Log(Sink(DEBUG, self.said.append), "collect"), **settings)
        return self.directory

    def kill(self) -> None:
        for fd in (*self.directory._files.values(), self.directory._journal):
            os.close(fd)
        self.directory = None

    def close(self) -> None:
        if self.directory is not None:
            self.directory.close()
            self.directory = None

    def put(self, first: int, count: int, tag: str = "t", stream: str = "s"):
        lines = [f'{{"n":{n}}}' for n in range(first, first + count)]
        return self.directory.put(Batch(tag, lines, "a", stream, first if stream else 0))

    def numbers(self, tag: str = "t") -> list[int]:
        return [json.loads(line)["n"] for line in (self.path / file_name(tag)).read_text().splitlines()]

    def stream(self):
        return self.directory.received.streams["a", "s"]


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path / "deep" / "out")
    yield desk
    desk.close()


def test_only_new_records_are_written(desk):
    assert desk.put(1, 5).duplicates == 0
    assert desk.put(1, 5).duplicates == 5
    outcome = desk.put(4, 4)
    assert (outcome.duplicates, outcome.new, outcome.gap) == (2, ['{"n":6}', '{"n":7}'], None)
    assert desk.put(10, 2).gap == (8, 9)
    assert desk.put(6, 6).new == ['{"n":8}', '{"n":9}']
    assert desk.numbers() == [1, 2, 3, 4, 5, 6, 7, 10, 11, 8, 9]
    assert desk.stream().spans.missing == 0


def test_no_gap_is_announced_for_a_stream_that_is_new_here(desk):
    assert desk.put(100, 2).gap is None
    assert desk.stream().spans.missing == 99


def test_without_identity_all_is_written(desk):
    for _ in range(2):
        assert desk.put(1, 2, stream="").duplicates == 0
    assert desk.numbers() == [1, 2, 1, 2]


def test_restart_knows_what_was_received(desk):
    desk.put(1, 5)
    desk.open()
    assert desk.put(1, 6).duplicates == 5
    assert desk.numbers() == [1, 2, 3, 4, 5, 6]
    assert desk.stream().records == 6


def test_kill_between_two_states_loses_nothing(desk):
    desk.put(1, 5)
    desk.directory.save()
    desk.put(6, 5)
    desk.put(6, 6, tag="other")
    desk.kill()
    desk.open()
    stats = desk.stream().stats()
    assert stats.items() >= {"agent": "a", "stream": "s", "records": 11, "duplicates": 5, "last": 11, "missing": 0,
                             "gaps": [], "tags": {"t": 10, "other": 1}}.items()  # fmt: skip
    assert desk.put(1, 11).duplicates == 11


@pytest.mark.parametrize("moved", [False, True])
def test_what_was_told_of_losses_survives_a_kill_as_its_file_does(desk, moved):
    loss = {"stream": "s", "reason": "expired", "count": 4, "first_sequence": 2, "last_sequence": 5}
    desk.put(1, 1)
    desk.directory.put(Batch("edgebit.loss", [json.dumps(loss)], "a", "s", 6))
    desk.put(7, 1)
    desk.kill()
    if moved:
        os.rename(desk.path / file_name("edgebit.loss"), desk.path / "elsewhere")
    desk.open()
    assert desk.stream().stats()["missing"] == 4
    assert desk.stream().stats()["reasons"] == ({} if moved else {"expired": 4})


def test_kill_between_the_new_state_and_the_emptied_journal_counts_nothing_twice(desk):
    desk.put(1, 5)
    desk.put(1, 5)
    desk.put(1, 2, stream="")
    journal = (desk.path / JOURNAL).read_bytes()
    desk.directory.save()
    before = desk.directory.received.stats()
    desk.kill()
    (desk.path / JOURNAL).write_bytes(journal)
    desk.open()
    assert desk.directory.received.stats() == before


def test_kill_at_any_byte_of_a_batch(desk, tmp_path):
    """Everything a batch writes, cut at every byte: the batch was either received, or leaves no trace and comes again.
    The journal is written first and the file second."""
    desk.put(1, 3)
    desk.directory.save()
    old_file = (desk.path / "t.jsonl").read_bytes()
    desk.put(4, 3)
    new_journal, new_file = (desk.path / JOURNAL).read_bytes(), (desk.path / "t.jsonl").read_bytes()
    desk.kill()
    added = len(new_file) - len(old_file)
    cuts = [(new_journal[:n], old_file) for n in range(len(new_journal) + 1)]
    cuts += [(new_journal, new_file[: len(old_file) + n]) for n in range(1, added + 1)]
    for journal, file in cuts:
        copy = Desk(tmp_path / "copy")
        copy.close()
        shutil.copy(desk.path / STATE, copy.path / STATE)
        (copy.path / JOURNAL).write_bytes(journal)
        (copy.path / "t.jsonl").write_bytes(file)
        copy.open()
        assert copy.stream().spans.highest == (6 if file == new_file else 3)
        copy.put(4, 3)  # not answered, so the sender sends again
        assert copy.numbers() == [1, 2, 3, 4, 5, 6]
        copy.close()
        shutil.rmtree(copy.path)


def test_state_that_is_broken_is_kept_aside(desk):
    desk.put(1, 5)
    desk.close()
    for content in (b"", b'{"version":1', b"\0" * 100, b'{"version":9}', b"[]"):
        (desk.path / STATE).write_bytes(content)
        desk.open()
        assert (desk.path / (STATE + ".broken")).read_bytes() == content
        assert any(".broken" in line for line in desk.said)
        assert not desk.directory.received.streams
        desk.close()


def test_two_collectors_in_one_directory(desk):
    desk.put(1, 1)
    with pytest.raises(StateError, match="another collector"):
        Directory(str(desk.path), desk.directory._log)
    assert desk.put(2, 1).duplicates == 0


def test_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot collect into"):
        Directory(str(tmp_path / "file" / "out"), Log(Sink(DEBUG, print), "collect"))


class FullDisk:
    """os.write that takes `room` bytes and then fails as a full disk does, part of the last write taken."""

    def __init__(self, monkeypatch, room: int) -> None:
        self.room, self._write = room, os.write
        monkeypatch.setattr(module.os, "write", self)

    def __call__(self, fd: int, data) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        data = bytes(data[: self.room])
        self.room -= len(data)
        return self._write(fd, data)


def test_disk_full_at_any_byte_leaves_nothing_behind(desk, monkeypatch):
    desk.put(1, 3)
    before = {name: (desk.path / name).read_bytes() for name in ("t.jsonl", JOURNAL)}
    room = 0
    while True:
        with monkeypatch.context() as patch:
            FullDisk(patch, room)
            try:
                desk.put(2, 4)
                break
            except OSError:
                pass
        assert {name: (desk.path / name).read_bytes() for name in before} == before
        assert desk.stream().spans.highest == 3
        room += 1
    assert room > 100
    assert desk.numbers() == [1, 2, 3, 4, 5]
    assert (desk.stream().records, desk.stream().duplicates) == (5, 2)


def test_state_that_cannot_be_written_is_tried_again(desk, monkeypatch):
    desk.put(1, 3)
    with monkeypatch.context() as patch:
        FullDisk(patch, 10)
        with pytest.raises(OSError, match="No space"):
            desk.directory.save()
    desk.kill()
    desk.open()
    assert desk.stream().records == 3


def test_save_is_free_when_nothing_changed(desk):
    desk.put(1, 1)
    desk.directory.save()
    os.unlink(desk.path / STATE)
    desk.directory.save()
    assert not (desk.path / STATE).exists()


@pytest.mark.parametrize("how", ["rename", "unlink"])
def test_file_that_was_rotated_away_is_made_again(desk, how):
    desk.put(1, 1)
    if how == "rename":
        os.rename(desk.path / "t.jsonl", desk.path / "t.jsonl.1")
    else:
        os.unlink(desk.path / "t.jsonl")
    desk.put(2, 1)
    assert desk.numbers() == [2]


def test_open_files_are_bounded(desk):
    for n in range(MAX_OPEN * 2):
        desk.put(n + 1, 1, tag=f"t{n % (MAX_OPEN + 1)}")
        assert len(desk.directory._files) <= MAX_OPEN
    assert sorted(n for t in range(MAX_OPEN + 1) for n in desk.numbers(f"t{t}")) == list(range(1, MAX_OPEN * 2 + 1))


def test_fsync_comes_before_the_answer(desk, monkeypatch):
    synced = []
    desk.open(fsync=True)
    monkeypatch.setattr(module.os, "fsync", synced.append)
    desk.put(1, 1)
    assert synced == [desk.directory._files["t.jsonl"]]


def test_file_names():
    tags = ["a.b-c_d", "a/b", "a_b", "a%2Fb", "../../etc/passwd", "..", ".hidden", "größe", "x" * 500, "x" * 501,
            "new\nline", STATE, "a b"]  # fmt: skip
    names = [file_name(tag) for tag in tags]
    assert names[0] == "a.b-c_d.jsonl"
    assert len(set(names)) == len(names)
    for name in names:
        assert "/" not in name
        assert not name.startswith(".")
        assert name.isascii()
        assert name.isprintable()
        assert len(name) < 250


def test_sequence_beyond_the_end():
    with pytest.raises(ValueError, match="too big"):
        Batch("t", ["{}"], "a", "s", 2**63 - 1)
