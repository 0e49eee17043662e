"""Tail of compressed files: whole, in members, while they are written, over restarts; and of rotated ones."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tail_rig import Rig

Start = Callable[..., Rig]
LINES = [f"{n} {random.Random(n).getrandbits(200):x}" for n in range(20_000)]
TEXT = ("\n".join(LINES) + "\n").encode()  # 1.1 MB, hardly compressible


@pytest.mark.parametrize("chunk", [1000, 65536])
def test_whole_file(start: Start, tmp_path: Path, chunk: int) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT))
    rig = start("*.gz", buffer_chunk_size=chunk, offset_key="at")
    assert rig.run() == LINES
    assert rig.ctx.records[100]["at"] == TEXT.index(b"\n100 ") + 1


def test_members_padding_and_a_line_over_their_border(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\ntw") + gzip.compress(b"o\nthree\n") + bytes(100))
    rig = start("*.gz")
    assert rig.run() == ["one", "two", "three"]
    assert "damaged" not in rig.log


def test_while_it_is_written(start: Start, tmp_path: Path) -> None:
    packed = gzip.compress(TEXT)
    (tmp_path / "a.gz").write_bytes(b"")
    rig = start("*.gz")
    for at in range(0, len(packed), 60_001):
        rig.write("a.gz", packed[at : at + 60_001])
        rig.run(0.2)
    assert rig.run() == LINES
    rig.write("a.gz", gzip.compress(b"another member\n"))
    assert rig.run()[-1] == "another member"


@pytest.mark.parametrize("ending", ["close", "kill"])
def test_goes_on_after_a_restart(start: Start, tmp_path: Path, ending: str) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT))
    rig = start("*.gz")
    rig.ctx.loop.run_until(lambda: len(rig.lines) > 10_000)
    rig.release()
    rig.tail.pause()
    rig.run(1.5)
    first = rig.lines
    getattr(rig, ending)()
    os.rename(tmp_path / "a.gz", tmp_path / "a.1.gz")
    rig.start()
    assert first + rig.run() == LINES
    rig.release()
    rig.restart()
    assert rig.run() == []


@pytest.mark.parametrize("skip", [False, True])
def test_long_lines(start: Start, tmp_path: Path, skip: bool) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n" + b"x" * 500_000 + b"\ntwo\n" + b"y" * 300_000 + b"\nend\n"))
    rig = start("*.gz", buffer_max_size=101, skip_long_lines=skip)
    long = [[], []] if skip else [["x" * 100], ["y" * 100]]
    assert rig.run() == ["one", *long[0], "two", *long[1], "end"]


@pytest.mark.parametrize("content", [b"not packed\n", gzip.compress(TEXT)[:-8] + b"checksum", b""])
def test_damaged(start: Start, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(content)
    rig = start("*.gz")
    lines = rig.run(20)
    assert lines == LINES[: len(lines)]
    assert rig.log.count("is damaged") == bool(content)


def test_not_from_the_head(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT))
    rig = start("*.gz", read_from_head=False)
    assert rig.run() == []
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"new\n"))
    assert rig.run() == ["new"]
    rig.release()
    rig.restart()
    assert rig.run() == []


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("more", [b"", b"the rest\n"])
def test_rotated_file_that_is_compressed_does_not_come_twice(
    start: Start, tmp_path: Path, restart: bool, more: bytes
) -> None:
    """Also when it is found while gzip is still at work."""
    (tmp_path / "app.log").write_bytes(TEXT)
    rig = start("app.log*")
    assert rig.run() == LINES
    rig.release()
    os.rename(tmp_path / "app.log", tmp_path / "app.log.1")
    rig.write("app.log", "new\n")
    assert rig.run(20)[-1] == "new"
    rig.release()
    if restart:
        rig.close()
    os.unlink(tmp_path / "app.log.1")
    packed = gzip.compress(TEXT + more)
    rig.write("app.log.1.gz", packed[:200_000])
    if restart:
        rig.start()
    rig.run(20)
    rig.write("app.log.1.gz", packed[200_000:])
    assert rig.run(20) == (LINES + ["new"]) * (not restart) + more.decode().splitlines()


def test_file_that_only_begins_like_one_that_was_read_is_read(start: Start, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(TEXT[:100_000])
    rig = start("*")
    rig.run()
    rig.release()
    other = TEXT[:99_900] + b"X" * 50 + TEXT[99_950:200_000]
    (tmp_path / "b.gz").write_bytes(gzip.compress(other))
    before = len(rig.lines)
    assert rig.run()[before:] == other.decode().split("\n")[:-1]


def test_exit_on_eof(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT + b"no line end"))
    rig = start("*.gz", exit_on_eof=True)
    assert rig.run() == [*LINES, "no line end"]
    assert rig.ctx.exited
