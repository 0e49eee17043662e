"""Tail's checkpoint: how far each file has been handed over safely, and how to know the file again.

One small text file. Line 1 is ``edgebit-tail 1 CRC`` (the version, and the CRC-32 of line 2 in hexadecimal), line 2
JSON: ``{"paths": [...], "files": [[path, inode, offset, head length, head CRC, tail length, tail CRC], ...]}``. It is
replaced as a whole: written beside, synced if asked for, renamed. So after kill -9 it is the old one or the new one.

A file is known again by its inode together with two fingerprints: the CRC-32 of its first (up to 256) bytes and of the
last ones before the offset. Inode numbers alone are reused; names alone change with every rotation. The device number is
not part of it, it may change with every boot.
"""

from __future__ import annotations

import json
import os
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Mark = tuple[int, int]  # length and CRC-32 of some bytes

FINGERPRINT = 256  # bytes at each end; log lines differ in their time stamps, well within this
MAX_POSITIONS = 8192  # twice the files that one tail follows: those, and rotated ones not yet safe
_MAGIC = b"edgebit-tail 1 "
_MAX_BYTES = MAX_POSITIONS * 4400  # paths are at most 4096 bytes, so a longer file is not ours


class Damaged(Exception):
    """The checkpoint file is there but can't be used; the text says why."""


def mark(data: bytes) -> Mark:
    return (len(data), crc32(data))


class Position:
    """How far a file is safe. `path` is the name it was found under, `head` and `tail` are fingerprints."""

    __slots__ = ("head", "ino", "offset", "path", "tail")

    def __init__(self, path: str, ino: int, offset: int, head: Mark, tail: Mark) -> None:
        self.path, self.ino, self.offset, self.head, self.tail = path, ino, offset, head, tail

    def fits(self, fd: int) -> bool:
        """Whether the open file has, as far as fingerprints tell, the bytes that were read up to the offset."""
        length = self.tail[0]
        return (
            mark(os.pread(fd, length, self.offset - length)) == self.tail
            and mark(os.pread(fd, self.head[0], 0)) == self.head
        )


def load(path: str) -> tuple[list[Position], list[str]] | None:
    """The positions and the path patterns they were found with; None if there is no checkpoint.

    Raises Damaged, or OSError if the file can't be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    head, _, body = data.partition(b"\n")
    if not head.startswith(_MAGIC):
        raise Damaged("it is not a checkpoint of this version")
    if len(data) > _MAX_BYTES or head[len(_MAGIC) :] != b"%08x" % crc32(body):
        raise Damaged("its checksum is wrong")
    try:
        found = json.loads(body)
        positions = [_position(*row) for row in found["files"]]
        return positions, [str(pattern) for pattern in found["paths"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Damaged(f"its content makes no sense ({type(error).__name__})") from None


def _position(path: str, *numbers: int) -> Position:
    ino, offset, head, head_crc, tail, tail_crc = numbers
    lengths_fit = 0 <= head <= min(FINGERPRINT, offset) and 0 <= tail <= min(FINGERPRINT, offset)
    if not isinstance(path, str) or not all(type(n) is int for n in numbers) or not lengths_fit:
        raise ValueError
    return Position(path, ino, offset, (head, head_crc), (tail, tail_crc))


def save(path: str, positions: Sequence[Position], patterns: Sequence[str], sync: bool) -> None:
    """Replace the checkpoint. `sync`: have it on the medium before it replaces the old one. Raises OSError."""
    rows = [(p.path, p.ino, p.offset, *p.head, *p.tail) for p in positions[:MAX_POSITIONS]]
    body = json.dumps({"paths": list(patterns), "files": rows}, separators=(",", ":")).encode() + b"\n"
    beside = path + ".tmp"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:
        file.write(_MAGIC + b"%08x\n" % crc32(body) + body)
        if sync:
            file.flush()
            os.fsync(fd)
    os.replace(beside, path)
    if sync:
        _sync_directory(os.path.dirname(path) or ".")


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
