from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgebit import tables
from edgebit.errors import ConfigError
from edgebit.net import rotation
from edgebit.options import Option, Setting, boolean, read
from edgebit.outputs.file import File
from fakes import FakeContext
from fakes.delivery import FakeDelivery

TABLE = (*File.OPTIONS, *tables.format_option(File), Option("csv_column_names", boolean, False, ""))
NAME = re.compile(r"log\.\d{8}_\d{6}_[0-9a-f]{8}(\.gz)?")


@pytest.fixture
def ctx() -> Iterator[FakeContext]:
    ctx = FakeContext()
    yield ctx
    ctx.loop.close()


@pytest.fixture
def make(ctx: FakeContext, tmp_path: Path) -> Iterator[Callable[..., File]]:
    made = []

    def start(**options: Any) -> File:
        given = {"path": str(tmp_path), "file": "log", **options}
        made.append(File(read(TABLE, [Setting(k, v) for k, v in given.items()], "output file"), ctx))
        return made[-1]

    yield start
    for out in made:
        out.close()


def send(out: File, *bodies: bytes) -> None:
    for body in bodies:
        delivery = FakeDelivery(body)
        out.deliver(delivery)
        assert delivery.answer == "delivered"


def rotated(tmp_path: Path) -> list[Path]:
    """By age."""
    found = [path for path in tmp_path.iterdir() if path.name != "log"]
    assert all(NAME.fullmatch(path.name) for path in found), found
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def settle(ctx: FakeContext, tmp_path: Path) -> None:
    ctx.loop.run_until(lambda: all(p.suffix == ".gz" for p in tmp_path.iterdir() if p.name != "log"))


def test_full_files_are_renamed_packed_and_the_oldest_removed(make, ctx: FakeContext, tmp_path: Path) -> None:
    out = make(rotate=True, rotate_max_size=10, rotate_max_files=2)
    for n in range(5):
        send(out, b"line %d of the file\n" % n)
        settle(ctx, tmp_path)
        ctx.loop.run_for(1)
        os.utime(tmp_path / "log", ns=(n, n))  # the file system's clock may be too coarse for this test
    assert (tmp_path / "log").read_bytes() == b"line 4 of the file\n"
    assert [gzip.decompress(path.read_bytes()) for path in rotated(tmp_path)] == [
        b"line 2 of the file\n", b"line 3 of the file\n"]  # fmt: skip


def test_a_file_that_is_not_full_goes_on(make, tmp_path: Path) -> None:
    out = make(rotate=True, rotate_max_size=10, rotate_gzip=False)
    send(out, b"12345\n", b"6789\n", b"x\n")
    assert (tmp_path / "log").read_bytes() == b"x\n"
    assert [path.read_bytes() for path in rotated(tmp_path)] == [b"12345\n6789\n"]


def test_large_files_are_packed_a_slice_a_turn(make, ctx: FakeContext, tmp_path: Path) -> None:
    out = make(rotate=True, rotate_max_size=10)
    body = os.urandom(rotation._SLICE * 3) + b"\n"
    send(out, body, b"next\n")
    ctx.loop.turn(0)
    assert [path.suffix for path in tmp_path.glob("log.*.tmp")] == [".tmp"]
    settle(ctx, tmp_path)
    assert gzip.decompress(rotated(tmp_path)[0].read_bytes()) == body


def test_what_a_stop_left_unpacked_is_packed_after_the_next_rotation(make, ctx: FakeContext, tmp_path: Path) -> None:
    out = make(rotate=True, rotate_max_size=10)
    send(out, os.urandom(rotation._SLICE * 3), b"next, ten or more\n")
    ctx.loop.turn(0)
    out.close()
    assert [path.suffix == ".gz" for path in rotated(tmp_path)] == [False], "and nothing half done"
    (tmp_path / "log.20200101_000000_0badcafe.gz.tmp").write_bytes(b"left by a crash")
    send(make(rotate=True, rotate_max_size=10), b"last\n")
    settle(ctx, tmp_path)
    assert len(rotated(tmp_path)) == 2


def test_files_of_others_are_left_alone(make, ctx: FakeContext, tmp_path: Path) -> None:
    others = [
        "log.1",
        "log.20200101",
        "log.20200101_000000_zzzzzzzz",
        "log2.20200101_000000",
        "log.20200101_000000.bz2",
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"x")
    send(make(rotate=True, rotate_max_size=1, rotate_max_files=1, rotate_gzip=False), *[b"x\n"] * 4)
    assert {path.name for path in tmp_path.iterdir()} > set(others)
    assert len(list(tmp_path.iterdir())) == len(others) + 2


def test_rotation_that_fails_costs_a_warning_and_no_record(make, ctx: FakeContext, tmp_path: Path, monkeypatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    out = make(rotate=True, rotate_max_size=1)
    monkeypatch.setattr(rotation.os, "rename", refuse)
    send(out, b"1\n", b"2\n", b"3\n")
    assert (tmp_path / "log").read_bytes() == b"1\n2\n3\n"
    assert [line for line in ctx.lines if "cannot rotate" in line] == ctx.lines
    assert len(ctx.lines) == 1


@pytest.mark.parametrize(("options", "tag", "expected"), [
    ({"file": "$TAG.log"}, "a.b", "a.b.log"), ({"file": "x_$TAG[1]"}, "a.b", "x_b"), ({"file": "x_$TAG[7]"}, "a.b", "x__"),
    ({"file": "$TAG[0]"}, "../x.y", "_"), ({"path": "/$TAG[0]", "file": "f"}, "a/c.b", "a_c/f"),
    ({"file": "5$"}, "a", "5$"),
])  # fmt: skip
def test_tags_in_names(make, tmp_path: Path, options: dict[str, str], tag: str, expected: str) -> None:
    options = {key: str(tmp_path) + value if key == "path" else value for key, value in options.items()}
    delivery = FakeDelivery(b"x\n", tag)
    make(**options).deliver(delivery)
    assert delivery.answer == "delivered"
    assert (tmp_path / expected).read_bytes() == b"x\n"


def test_fields_in_names_are_refused(make) -> None:
    with pytest.raises(ConfigError, match="no fields of records such as"):
        make(file="$host.log")
