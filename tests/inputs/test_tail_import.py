"""Tail goes on where Fluent Bit's stopped, by its database."""

from __future__ import annotations

import gzip
import os
import sqlite3
from pathlib import Path

import pytest
from tail_rig import Rig

TABLE = ("CREATE TABLE in_tail_files (id INTEGER PRIMARY KEY, name TEXT NOT NULL, offset INTEGER, inode INTEGER, "
         "created INTEGER, rotated INTEGER DEFAULT 0, offset_marker INTEGER DEFAULT 0, offset_marker_size INTEGER "
         "DEFAULT 0)")  # fmt: skip


def database(root: Path, *rows: tuple[str, int]) -> Path:
    """As Fluent Bit leaves it: names as they were matched, offsets, inodes."""
    path = root / "tail.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(TABLE)
        for name, offset in rows:
            db.execute("INSERT INTO in_tail_files (name, offset, inode, created) VALUES (?, ?, ?, 0)",
                       (str(root / name), offset, os.stat(root / name).st_ino))  # fmt: skip
    db.close()
    return path


def test_goes_on_where_fluent_bit_stopped(tmp_path: Path) -> None:
    for name, text in (("a.log", "1\n2\n"), ("rotated.log", "1\n2\n"), ("short.log", "x\n"), ("unknown.log", "old\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "done.gz").write_bytes(gzip.compress(b"done\n"))
    size = (tmp_path / "done.gz").stat().st_size
    path = database(tmp_path, ("a.log", 2), ("rotated.log", 2), ("short.log", 100), ("done.gz", size))
    os.rename(tmp_path / "rotated.log", tmp_path / "rotated.log.1")
    (tmp_path / "rotated.log").write_text("new\n")
    before = path.read_bytes()
    rig = Rig(tmp_path, "*.log,*.gz", db=str(path), offset_key="at")
    assert sorted(rig.run()) == ["2", "2", "new", "x"]
    assert "going on where Fluent Bit's tail stopped: 4 files" in rig.log
    rig.release()
    rig.run(20)
    rig.write("a.log", "3\n")
    rig.restart()
    assert rig.run() == ["3"]
    assert "Fluent Bit" not in rig.log
    assert path.read_bytes() == before
    rig.close()


@pytest.mark.parametrize("damage", ["no table", "no database"])
def test_database_of_something_else(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "other.db"
    if damage == "no table":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE other (id INTEGER)")
        db.close()
    else:
        path.write_bytes(b"SQLite format 3\0" + os.urandom(3000))
    (tmp_path / "a.log").write_text("1\n")
    rig = Rig(tmp_path, read_from_head=True, db=str(path))
    assert rig.run() == ["1"]
    assert "cannot take positions over" in rig.log
    rig.close()
