"""Tail while it runs: what lines become, how files come, grow, are rotated and go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tail_rig import Rig

from edgebit.errors import ConfigError
from edgebit.inputs import tail as tail_module
from edgebit.inputs import tail_reader
from edgebit.options import Options
from edgebit.plugin import Parser
from edgebit.record import Record, Shape

Start = Callable[..., Rig]


class Pairs(Parser):
    """n=1 becomes {"n": "1"}."""

    def __init__(self) -> None:
        super().__init__("pairs", Options())

    def parse(self, line: str, now_ns: int) -> Record | None:
        name, equals, value = line.partition("=")
        return (now_ns, Shape.of((name,)), (value,)) if equals else None


# -- lines -----------------------------------------------------------------------------------------------------------


def test_lines_appended_while_running(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("one\n")
    rig = start()
    assert rig.run() == ["one"]
    rig.write("a.log", "two\nthr")
    assert rig.run(0.3) == ["one", "two"]
    rig.write("a.log", "ee\n")
    rig.write("a.log", "four\n")
    assert rig.run(0.3) == ["one", "two", "three", "four"]


def test_bytes_of_a_batch_are_reported(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes("ä\nb\nrest".encode())
    rig = start()
    rig.run()
    assert [(tag, len(records), raw) for tag, records, raw in rig.ctx.emitted] == [("t", 2, 5)]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"one\r\ntwo\r\nth\rree\r\nx\r\nfour\n", ["one", "two", "th\rree", "x", "four"]),
        (b"one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        (b"a\n\n\nb\n \nc  \n\td\n", ["a", "", "", "b", " ", "c  ", "\td"]),
        (b"caf\xe9 \xff\xfe\nok \xc3\xa9\n\xe2\x82 cut\n", ["caf\udce9 \udcff\udcfe", "ok é", "\udce2\udc82 cut"]),
        (b"nul \0 in\n\0\n", ["nul \0 in", "\0"]),
        ("line\u2028separator\x0bvt\x0cff\x85\n".encode(), ["line\u2028separator\x0bvt\x0cff\x85"]),
    ],
    ids=["crlf", "crlf-empty", "empty", "not-utf8", "nul", "other-separators"],
)
def test_what_a_line_is(start: Start, tmp_path: Path, content: bytes, lines: list[str]) -> None:
    (tmp_path / "whole.log").write_bytes(content)
    rig = start()
    assert rig.run() == lines
    for i in range(len(content)):
        rig.write("slow.log", content[i : i + 1])
        rig.ctx.loop.run_for(0.15)
    assert rig.run() == lines * 2


def test_empty_lines_skipped(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"a\n\n\r\nb\n \n\n")
    rig = start(skip_empty_lines=True)
    assert rig.run() == ["a", "b", " "]


def test_only_empty_lines_move_the_position_too(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"\n\n\n")
    rig = start(skip_empty_lines=True)
    assert rig.run() == []
    assert not rig.ctx.emitted
    assert [p.offset for p in rig.tail._all_positions()] == [3]


def test_key_path_key_and_offset_key(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes("first\nsecond ä\r\n\n€ third\nlast\n".encode())
    rig = start(key="line", path_key="file", offset_key="at", skip_empty_lines=True)
    rig.ctx.loop.run_for(1)
    name = str(path)
    assert rig.ctx.records == [
        {"file": name, "at": 0, "line": "first"},
        {"file": name, "at": 6, "line": "second ä"},
        {"file": name, "at": 18, "line": "€ third"},
        {"file": name, "at": 28, "line": "last"},
    ]
    assert [list(record) for record in rig.ctx.records] == [["file", "at", "line"]] * 4


def test_parsed_lines_have_their_fields_first(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"t=1\r\nbad\r\nt=22\r\n")
    rig = start(parser=Pairs(), key="line", path_key="file", offset_key="at")
    rig.ctx.loop.run_for(1)
    name = str(path)
    assert [list(record.items()) for record in rig.ctx.records] == [
        [("t", "1"), ("file", name), ("at", 0)],
        [("file", name), ("at", 5), ("line", "bad")],
        [("t", "22"), ("file", name), ("at", 10)],
    ]
    assert rig.ctx.stats.get("unparsed") == 1


def test_parser_without_keys(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("t=1\nbad\n")
    rig = start(parser=Pairs())
    rig.ctx.loop.run_for(1)
    assert rig.ctx.records == [{"t": "1"}, {"log": "bad"}]
    assert rig.ctx.stats.get("unparsed") == 1


def test_relative_paths_stay_relative(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text("x\n")
    monkeypatch.chdir(tmp_path)
    rig = Rig(Path(), "logs/*.log", tag="in.*", path_key="file", read_from_head=True)
    rig.ctx.loop.run_for(1)
    assert rig.ctx.records == [{"file": "logs/a.log", "log": "x"}]
    assert [tag for tag, *_ in rig.ctx.emitted] == ["in.logs.a.log"]
    rig.close()


# -- long lines --------------------------------------------------------------------------------------------------------

LONG = "short 1\n" + "x" * 3000 + "\nshort 2\n" + "y" * 900 + "\nend\n"


def test_long_line_is_cut_and_reading_goes_on(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LONG)
    rig = start(buffer_chunk_size="1k", buffer_max_size="2k")
    assert rig.run() == ["short 1", "x" * 1999, "short 2", "y" * 900, "end"]
    assert rig.ctx.stats.get("truncated_lines") == 1
    assert rig.log.count("buffer_max_size") == 1


def test_long_line_is_left_out(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LONG)
    rig = start(buffer_chunk_size="1k", buffer_max_size="2k", skip_long_lines=True)
    assert rig.run() == ["short 1", "short 2", "y" * 900, "end"]
    assert rig.ctx.stats.get("skipped_lines") == 1
    assert rig.ctx.misses == {"longer than buffer_max_size": 1}


def test_truncation_asked_for_wins_over_skipping(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LONG)
    rig = start(buffer_max_size="2k", skip_long_lines=True, truncate_long_lines=True)
    assert len(rig.run()) == 5


@pytest.mark.parametrize("chunk", [64, 100, 1000, 65536])
@pytest.mark.parametrize("skip", [False, True])
def test_lines_around_the_limit(start: Start, tmp_path: Path, chunk: int, skip: bool) -> None:
    texts = [c * n for c, n in zip("abcdefghij", (99, 100, 101, 3, 100, 5000, 0, 101, 102, 1))]
    (tmp_path / "a.log").write_text("\n".join(texts) + "\n")
    rig = start(buffer_chunk_size=chunk, buffer_max_size=101, skip_long_lines=skip, offset_key="at")
    expected = [t[:100] for t in texts if len(t) <= 100 or not skip]
    assert rig.run() == expected
    starts = {t[:100]: sum(len(u) + 1 for u in texts[:i]) for i, t in enumerate(texts)}
    assert [record["at"] for record in rig.ctx.records] == [starts[t] for t in expected]


@pytest.mark.parametrize("char", ["é", "€", "😀"])
@pytest.mark.parametrize("shift", range(4))
def test_long_line_is_not_cut_within_a_character(start: Start, tmp_path: Path, char: str, shift: int) -> None:
    (tmp_path / "a.log").write_text("a" * shift + char * 200 + "\n")
    rig = start(buffer_max_size=101)
    (line,) = rig.run()
    size = len(char.encode())
    assert line == "a" * shift + char * ((100 - shift) // size)


def test_endless_line_is_kept_on_disk_only(start: Start, tmp_path: Path) -> None:
    rig = start(buffer_chunk_size=1024, buffer_max_size=100)
    for _ in range(20):
        rig.write("a.log", "z" * 10_000)
        rig.run()
    assert rig.lines == []
    rig.write("a.log", "\nnext\n")
    assert rig.run() == ["z" * 99, "next"]
    assert rig.ctx.stats.get("truncated_lines") == 1


def test_file_is_truncated_within_a_long_line(start: Start, tmp_path: Path) -> None:
    rig = start(buffer_chunk_size=1024, buffer_max_size=100)
    rig.write("a.log", "first\n" + "z" * 10_000)
    rig.run()
    os.truncate(tmp_path / "a.log", 0)
    rig.run()
    rig.write("a.log", "new\n")
    assert rig.run() == ["first", "new"]


# -- where reading starts ----------------------------------------------------------------------------------------------


def test_from_the_end(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("old\n")
    rig = start(read_from_head=False)
    rig.run()
    rig.write("a.log", "new 1\nnew 2\n")
    assert rig.run() == ["new 1", "new 2"]


def test_line_being_written_at_the_start_comes_whole(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("old\nhalf")
    rig = start(read_from_head=False)
    rig.run()
    rig.write("a.log", " and half\n")
    assert rig.run() == ["half and half"]


def test_new_files_from_the_head_or_not(start: Start, tmp_path: Path) -> None:
    for head, expected in ((True, ["was there", "later"]), (False, ["later"])):
        (tmp_path / "tmp").write_text("was there\n")
        rig = start(f"{head}/*.log", read_from_head=False, read_newly_discovered_files_from_head=head)
        (tmp_path / str(head)).mkdir()
        os.rename(tmp_path / "tmp", tmp_path / str(head) / "a.log")
        rig.run(3)
        rig.write(f"{head}/a.log", "later\n")
        assert rig.run() == expected


def test_old_files_are_left_out_until_they_change(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("old\n")
    rig_time = 1_767_225_600
    os.utime(path, (rig_time - 7200, rig_time - 7200))
    rig = start(ignore_older="1h")
    assert rig.run(70) == []
    rig.write("a.log", "new\n")
    os.utime(path, (rig_time, rig_time))
    assert rig.run(70) == ["old", "new"]


# -- names -------------------------------------------------------------------------------------------------------------


def test_list_of_paths_and_exclusion(start: Start, tmp_path: Path) -> None:
    for name in ("x/one.log", "x/old1.log", "y/two.log", "y/old.log", "y/none.log", "x/other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{name}\n")
    rig = start("x/*.log, y/*.log", exclude_path=f"*/old*.log,{tmp_path}/y/none.log")
    assert rig.run() == ["x/one.log", "y/two.log"]


@pytest.mark.parametrize("inotify", [True, False])
def test_new_file_in_a_directory_that_was_not_there(start: Start, tmp_path: Path, inotify: bool) -> None:
    rig = start("a/*/c/*.log", inotify_watcher=inotify, refresh_interval=5)
    rig.run(10)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    rig.run(6)
    rig.write("a/b/c/x.log", "hello\n")
    assert rig.run(2 if inotify else 6) == ["hello"]


def test_tag_from_path_and_expression(start: Start, tmp_path: Path) -> None:
    (tmp_path / "web-7.log").write_text("x\n")
    (tmp_path / "other.log").write_text("y\n")
    rig = start(tag="app.<name>.<nr>.<missing>", tag_regex=r"/(?<name>[a-z]+)-(?<nr>\d+)\.log$")
    assert rig.run(130) == ["x"]
    assert rig.ctx.emitted[0][0] == "app.web.7._"
    assert rig.log.count("tag_regex doesn't match") == 1


def test_directories_fifos_and_other_compressed_files_are_not_read(start: Start, tmp_path: Path) -> None:
    (tmp_path / "dir.log").mkdir()
    os.mkfifo(tmp_path / "fifo.log")
    for name in ("a.log.xz", "b.log.xz"):
        (tmp_path / name).write_bytes(b"\xfd7zXZ\n")
    (tmp_path / "good.log").write_text("good\n")
    rig = start("*.log,*.xz")
    assert rig.run(130) == ["good"]
    assert rig.log.count("compressed") == 1
    assert rig.log.count("not a regular file") == 1
    assert "dir.log" not in rig.log


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_said_once_each_way(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("secret\n")
    path.chmod(0)
    rig = start(refresh_interval=1)
    assert rig.run(10) == []
    assert rig.log.count("Permission denied") == 1
    path.chmod(0o600)
    assert rig.run(10) == ["secret"]
    assert rig.log.count(f"reading {path} now") == 1


def test_unreadable_file_as_any_user(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    path = tmp_path / "a.log"
    path.write_text("secret\n")
    with monkeypatch.context() as patch:
        patch.setattr(tail_module, "open_regular", refused)
        rig = start(refresh_interval=1)
        assert rig.run(10) == []
    assert rig.log.count(f"cannot open {path}: Permission denied; edgebit's user has to be allowed") == 1
    assert rig.run(10) == ["secret"]
    assert rig.log.count(f"reading {path} now") == 1


def test_read_error_is_said_once_each_way(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = start()
    rig.write("a.log", "one\n")
    rig.run()

    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", broken)
        rig.write("a.log", "two\n")
        rig.run(20)
    assert rig.run(10) == ["one", "two"]
    assert rig.log.count("Input/output error") == 1
    assert rig.log.count("again") == 2


def test_one_file_with_two_names_is_read_once(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x\n")
    os.link(tmp_path / "a.log", tmp_path / "b.log")
    os.symlink("a.log", tmp_path / "c.log")
    rig = start()
    assert rig.run(70) == ["x"]


def test_no_file_yet(start: Start) -> None:
    rig = start()
    assert "no file matches" in rig.log


def test_bad_options() -> None:
    for settings, word in (({"path": ""}, "paths"), ({"path": "x", "tag_regex": "(?<a"}, "regular expression")):
        with pytest.raises(ConfigError, match=word):
            Rig(Path(), settings.pop("path"), **settings) if settings.get("path") else _read(settings)


def _read(settings: dict[str, str]) -> None:
    from edgebit.options import Setting, read

    read(tail_module.Tail.OPTIONS, [Setting(k, v) for k, v in settings.items()], "input tail")


# -- rotation ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inotify", [True, False])
def test_rotation_by_rename(start: Start, tmp_path: Path, inotify: bool) -> None:
    rig = start("app.log", inotify_watcher=inotify)
    rig.write("app.log", "1\n")
    rig.run()
    rig.write("app.log", "2\n")
    os.rename(tmp_path / "app.log", tmp_path / "app.log.1")
    rig.write("app.log", "4\n")
    rig.write("app.log.1", "3\n")
    rig.run(3)
    assert sorted(rig.lines) == ["1", "2", "3", "4"]
    rig.write("app.log.1", "late\n")
    assert "late" in rig.run(4)
    rig.write("app.log.1", "no line end")
    rig.run(20)
    assert rig.lines[-1] == "no line end"
    assert rig.ctx.stats.get("rotated") == 1
    assert rig.ctx.stats.snapshot()["files"] == 1
    rig.write("app.log.1", "\ntoo late\n")
    rig.write("app.log", "5\n")
    assert rig.run(70)[-1] == "5"


def test_removed_file_is_read_to_its_end(start: Start, tmp_path: Path) -> None:
    rig = start()
    with (tmp_path / "a.log").open("w") as writer:
        writer.write("1\n")
        writer.flush()
        rig.run(3)
        os.unlink(tmp_path / "a.log")
        writer.write("2\n")
        writer.flush()
        assert rig.run(3) == ["1", "2"]
        writer.write("3")
    assert rig.run(30) == ["1", "2", "3"]
    assert rig.tail._files == {}


def test_rotated_file_waits_as_long_as_the_pause(start: Start, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("1\n")
    rig = start("app.log")
    rig.run()
    rig.tail.pause()
    rig.write("app.log", "2\n")
    for i in range(3):  # more than once, and the file in the middle exists only during the pause
        os.rename(tmp_path / "app.log", tmp_path / f"gone.{i}")
        os.unlink(tmp_path / f"gone.{i}")
        rig.write("app.log", f"{i + 3}\n")
        rig.run(600)
    assert rig.lines == ["1"]
    rig.tail.resume()
    assert sorted(rig.run(20)) == ["1", "2", "3", "4", "5"]


def test_renamed_to_a_name_that_matches_is_followed_on(start: Start, tmp_path: Path) -> None:
    rig = start(path_key="file")
    rig.write("a.log", "1\n")
    rig.run()
    os.rename(tmp_path / "a.log", tmp_path / "b.log")
    rig.write("b.log", "2\n")
    rig.run(20)
    rig.write("b.log", "3\n")
    assert rig.run(20) == ["1", "2", "3"]
    a, b = str(tmp_path / "a.log"), str(tmp_path / "b.log")
    assert [record["file"] for record in rig.ctx.records] == [a, a, b]


def test_truncated_file(start: Start, tmp_path: Path) -> None:
    rig = start()
    rig.write("a.log", "one\ntwo\nthree\n")
    rig.run()
    for text in ("four\n", "five\n"):
        os.truncate(tmp_path / "a.log", 0)
        rig.run()
        rig.write("a.log", text)
        rig.run()
    assert rig.lines == ["one", "two", "three", "four", "five"]
    assert rig.ctx.stats.get("truncated_files") == 2
    assert rig.log.count("better rotate by renaming") == 1


def test_copytruncate_that_has_grown_past_the_old_position(start: Start, tmp_path: Path) -> None:
    rig = start()
    rig.write("a.log", "one\ntwo\n")
    rig.run()
    (tmp_path / "a.log").write_text("1\n2\n3\n4\n5\n6\n")  # truncates and writes within one turn
    assert rig.run() == ["one", "two", "1", "2", "3", "4", "5", "6"]


def test_truncated_under_a_writer_that_does_not_append(start: Start, tmp_path: Path) -> None:
    """It goes on at its old place, behind a hole: what stands before that was read."""
    rig = start()
    with (tmp_path / "a.log").open("wb", buffering=0) as writer:
        writer.write(b"one\ntwo\n")
        rig.run()
        os.truncate(tmp_path / "a.log", 0)
        writer.write(b"three\n")
        assert rig.run() == ["one", "two", "three"]
        writer.write(b"four\n")
        assert rig.run() == ["one", "two", "three", "four"]


def test_receipts_of_before_the_truncation_have_no_say(start: Start, tmp_path: Path) -> None:
    rig = start()
    rig.write("a.log", "one\ntwo\nthree\n")
    rig.run()
    (tmp_path / "a.log").write_text("a\n")
    rig.run()
    rig.release(0)
    assert [p.offset for p in rig.tail._all_positions()] == [0]
    rig.release(1)
    assert [p.offset for p in rig.tail._all_positions()] == [2]


# -- many files, fast files, pausing -----------------------------------------------------------------------------------


def test_quiet_file_beside_a_fast_one(start: Start, tmp_path: Path) -> None:
    (tmp_path / "fast.log").write_bytes(b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 20_000)
    (tmp_path / "quiet.log").write_text("hello\n")
    rig = start(buffer_chunk_size=10_000)
    for _ in range(4):
        rig.ctx.loop.turn(0)
    assert "hello" in rig.lines
    assert len(rig.lines) < 1000
    assert len(rig.run()) == 20_002


def test_more_files_than_descriptors(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_reader, "MAX_OPEN", 3)
    names = [f"{i:02}.log" for i in range(20)]
    rig = start()
    for line in "ab":
        for name in names:
            rig.write(name, f"{line}{name}\n")
        rig.run(3)
        assert len(rig.tail._reader._open) <= 3
        assert sum(file.fd >= 0 for file in rig.tail._files.values()) <= 3
    assert sorted(rig.lines) == sorted(line + name for line in "ab" for name in names)
    for name in names:  # rotated while closed: found again by their inode
        rig.write(name, f"c{name}\n")
        os.rename(tmp_path / name, tmp_path / f"{name}.1")
    rig.run(30)
    assert sorted(rig.lines) == sorted(line + name for line in "abc" for name in names)
    assert rig.tail._files == {}


def test_removed_while_closed_for_others(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_reader, "MAX_OPEN", 1)
    rig = start(inotify_watcher=False)
    for name in ("a.log", "b.log"):
        rig.write(name, "1\n")
    rig.run(3)
    rig.ctx.loop.run_until(lambda: len(rig.lines) == 2)
    closed = next(file for file in rig.tail._files.values() if file.fd < 0)
    os.unlink(closed.path)
    rig.run(10)
    assert len(rig.tail._files) == 1
    assert "removed before" not in rig.log  # it had been read to its end


def test_more_files_than_are_followed(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "MAX_FILES", 2)
    for name in "abc":
        (tmp_path / f"{name}.log").write_text(f"{name}\n")
    rig = start(refresh_interval=5)
    assert rig.run(20) == ["a", "b"]
    assert rig.log.count("more than 2 files") == 1
    os.unlink(tmp_path / "a.log")
    assert rig.run(20) == ["a", "b", "c"]


def test_pause_stops_reading_and_resume_loses_nothing(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("".join(f"{i}\n" for i in range(10_000)))
    rig = start(buffer_chunk_size=1000)
    rig.ctx.loop.turn(0)
    rig.ctx.loop.turn(0)
    rig.tail.pause()
    had = len(rig.run(30))
    assert 0 < had < 10_000
    rig.write("a.log", "last\n")
    assert len(rig.run(30)) == had
    rig.tail.resume()
    assert rig.run(30) == [str(i) for i in range(10_000)] + ["last"]


def test_paused_from_within_emit(start: Start, tmp_path: Path) -> None:
    """A full buffer may pause the input at once."""
    for name in "abc":
        (tmp_path / f"{name}.log").write_text(f"{name}\n")
    rig = start()
    take = rig.ctx.emit

    def full(*args: Any) -> None:
        take(*args)
        rig.tail.pause()

    rig.ctx.emit = full  # type: ignore[method-assign]  # a context whose buffer is full
    assert rig.run(20) == ["a"]
    rig.tail.resume()
    assert rig.run(20) == ["a", "b"]


def test_idle_costs_few_turns(start: Start) -> None:
    rig = start()
    rig.write("a.log", "x\n")
    rig.run(10)
    before = rig.ctx.loop.turns
    rig.run(600)
    assert rig.ctx.loop.turns - before <= 600 / 5 + 600 / 60 + 1


def test_busy_writer_costs_few_turns(start: Start) -> None:
    rig = start()
    before = rig.ctx.loop.turns
    for i in range(1000):
        rig.write("a.log", f"{i}\n")
        rig.ctx.loop.run_for(0.001)
    assert len(rig.run()) == 1000
    assert len(rig.ctx.emitted) < 30
    assert rig.ctx.loop.turns - before < 1000 + 100


def test_file_system_that_tells_nothing(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgebit.inputs.inotify import Inotify

    rig = start()
    rig.write("a.log", "0\n")
    rig.run()
    monkeypatch.setattr(Inotify, "read", lambda self: os.read(self.fd, 65536) and [] if _readable(self.fd) else [])
    for i in range(1, 4):
        rig.write("a.log", f"{i}\n")
        assert rig.run(6)[-1] == f"{i}"
    assert rig.log.count("doesn't tell of changes; looking at the files every second") == 1
    rig.write("a.log", "soon\n")
    assert rig.run(1.01)[-1] == "soon"


def _readable(fd: int) -> bool:
    import select

    return bool(select.select([fd], [], [], 0)[0])


@pytest.mark.parametrize("code", [28, 38])
def test_no_inotify_to_be_had(start: Start, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    from edgebit.inputs import inotify

    def refused(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(inotify.Inotify, "__init__" if code == 38 else "add", refused)
    rig = start()
    rig.write("a.log", "x\n")
    rig.run(61)
    rig.write("a.log", "y\n")
    assert rig.run(1.01) == ["x", "y"]
    assert rig.log.count("every second instead") == 1
    if code == 38:
        monkeypatch.undo()


# -- the end -------------------------------------------------------------------------------------------------------------


def test_exit_on_eof_hands_over_the_last_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("whole\nnot yet")
    (tmp_path / "b.log").write_text("b\n" * 1000)
    rig = start(exit_on_eof=True, buffer_chunk_size=64)
    rig.ctx.loop.run_until(lambda: rig.ctx.exited)
    assert rig.ctx.exited
    assert sorted(rig.lines) == sorted(["whole", "not yet", *["b"] * 1000])


def test_exit_on_eof_without_files(start: Start) -> None:
    rig = start(exit_on_eof=True)
    rig.run(1)
    assert rig.ctx.exited


def test_unfinished_line_is_not_handed_over_at_stop(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("whole\nnot yet")
    rig = start()
    rig.run()
    rig.restart()
    rig.write("a.log", " but now\n")
    assert rig.run() == ["whole", "not yet but now"]


def test_closed_tail_holds_nothing(start: Start, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for name in "abc":
        (tmp_path / f"{name}.log").write_text("x\n")
    rig = start()
    rig.run()
    assert len(os.listdir("/proc/self/fd")) > before
    rig.close()
    assert len(os.listdir("/proc/self/fd")) == before
    rig.release()  # late ones do no harm


def test_opened_again_by_the_supervisor(start: Start, tmp_path: Path) -> None:
    """Positions survive in memory, also without a checkpoint."""
    (tmp_path / "a.log").write_text("1\n")
    rig = start(db="off")
    rig.run()
    rig.release()
    rig.tail.close()
    rig.write("a.log", "2\n")
    rig.write("new.log", "3\n")
    rig.tail.open()
    assert sorted(rig.run()) == ["1", "2", "3"]
    assert not list((tmp_path / "state").iterdir())


def test_active_older_files_are_let_go_and_taken_up_where_they_were_left(start: Start, tmp_path: Path) -> None:
    rig = start(read_from_head=True, ignore_older="1h", ignore_active_older_files=True, refresh_interval=10)
    rig.write("a.log", "1\n")
    rig.write("b.log", "unsafe\n")
    for name in ("a.log", "b.log"):
        os.utime(tmp_path / name, (rig.ctx.clock.wall_ns() / 1e9 - 3590,) * 2)
    rig.run()
    rig.release(0)
    assert rig.run(30) == ["1", "unsafe"]
    assert [Path(file.path).name for file in rig.tail._files.values()] == ["b.log"]
    rig.write("a.log", "2\n")
    os.utime(tmp_path / "a.log", (rig.ctx.clock.wall_ns() / 1e9,) * 2)
    assert rig.run(30) == ["1", "unsafe", "2"]
