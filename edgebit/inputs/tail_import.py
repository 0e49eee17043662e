"""Positions out of the database that Fluent Bit's tail keeps (`DB`), so that edgebit goes on where that stopped.

It is only read, never changed. It has no fingerprints: a file is known by its inode, under its old name or one like it,
and a file that is shorter than its position was truncated.
"""

from __future__ import annotations

import os

from edgebit.inputs.checkpoint import Damaged, Position, mark
from edgebit.inputs.tail_gzip import END, is_gzip


def positions(path: str) -> list[Position]:
    """What is in the database. Raises Damaged."""
    import sqlite3  # half a megabyte, for one look
    from urllib.parse import quote

    error: Exception | None = None
    for how in ("mode=ro", "immutable=1"):  # the second where the directory may not be written to
        try:
            database = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?{how}", uri=True)
            try:
                rows = database.execute("SELECT name, inode, offset FROM in_tail_files").fetchall()
            finally:
                database.close()
            return [found for row in rows if (found := _position(*row)) is not None]
        except (sqlite3.Error, TypeError, ValueError) as why:
            error = why
    raise Damaged(f"it has no positions of Fluent Bit's tail ({error})")


def _position(name: str, inode: int, offset: int) -> Position | None:
    if not isinstance(name, str) or int(inode) < 0 or int(offset) < 0:
        raise ValueError(f"a row of {name!r}")
    if is_gzip(name):  # there an offset is one of the compressed bytes: only the end is known
        try:
            offset = END if os.stat(name).st_size <= int(offset) else -1
        except OSError:
            offset = -1
    return Position(name, int(inode), int(offset), mark(b""), mark(b"")) if offset >= 0 else None
