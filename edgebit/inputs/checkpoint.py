"""Tail's checkpoint: how far each file has been handed over safely, and how to know the file again.

One small text file. Line 1 is ``edgebit-tail 1 CRC`` (the version, and the CRC-32 of line 2 in hexadecimal), line 2
JSON: ``{"paths": [...], "files": [[path, inode, offset, head length, head CRC, tail length, tail CRC], ...], "anchors":
[[[offset, tail length, tail CRC], ...], ...], "boot": "..."}``. It is replaced as a whole: written beside, synced if asked
for, renamed. So after kill -9 it is the old one or the new one.

A file is known again by its inode together with two fingerprints: the CRC-32 of its first (up to 256) bytes and of the
last ones before the offset. Inode numbers alone are reused; names alone change with every rotation. The device number is
not part of it, it may change with every boot.

Anchors are older offsets of the file, with their fingerprints, ever farther apart the farther they are back. They are for
the file that lost its end in a power cut, because nobody had synced it: the last anchor that is still true is where to go
on. What is read twice then is at most three times what was lost and ANCHOR_GAP. Only after another boot are they asked: a
file that became shorter under a running system was truncated or rewritten on purpose.
"""

from __future__ import annotations

import json
import os
from zlib import crc32

from edgebit.net.writing import sync_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Mark = tuple[int, int]  # length and CRC-32 of some bytes
    Anchor = tuple[int, int, int]  # an offset, and the mark of the bytes before it

FINGERPRINT = 256  # bytes at each end; log lines differ in their time stamps, well within this
MAX_POSITIONS = 8192  # twice the files that one tail follows: those, and rotated ones not yet safe
ANCHOR_GAP = 4096  # bytes at least between two anchors
MAX_ANCHORS = 16  # of a file; they reach back 256 MiB
_MAGIC = b"edgebit-tail 1 "
_SQLITE = b"SQLite format 3\0"
_MAX_BYTES = MAX_POSITIONS * 5200  # paths are at most 4096 bytes, so a longer file is not ours


class Damaged(Exception):
    """The checkpoint file is there but can't be used; the text says why."""


def mark(data: bytes) -> Mark:
    return (len(data), crc32(data))


class Position:
    """How far a file is safe. `path` is the name it was found under, `head` and `tail` are fingerprints, `anchors` older
    offsets in ascending order. `lost`: the file's end is gone, and this is the anchor where it goes on."""

    __slots__ = ("anchors", "head", "ino", "lost", "offset", "path", "tail")

    def __init__(self, path: str, ino: int, offset: int, head: Mark, tail: Mark,
                 anchors: Sequence[Anchor] = (), lost: bool = False) -> None:  # fmt: skip
        self.path, self.ino, self.offset, self.head, self.tail = path, ino, offset, head, tail
        self.anchors, self.lost = anchors, lost

    def fits(self, fd: int) -> bool:
        """Whether the open file has, as far as fingerprints tell, the bytes that were read up to the offset."""
        length = self.tail[0]
        return (
            os.fstat(fd).st_size >= self.offset
            and mark(os.pread(fd, length, self.offset - length)) == self.tail
            and mark(os.pread(fd, self.head[0], 0)) == self.head
        )

    def before(self, fd: int) -> Position | None:
        """The last anchor that the open file still fits; None if there is none."""
        for i in range(len(self.anchors) - 1, -1, -1):
            offset, *tail = self.anchors[i]
            older = Position(self.path, self.ino, offset, self.head, (tail[0], tail[1]), self.anchors[:i], lost=True)
            if older.fits(fd):
                return older
        return None


def anchored(anchors: list[Anchor], offset: int, tail: Mark) -> None:
    """Take an offset into a list of anchors, and leave out what is closer together than it has to be."""
    anchors.append((offset, *tail))
    for i in range(len(anchors) - 2, -1, -1):
        newer, older = anchors[i + 1][0], anchors[i - 1][0] if i else 0
        if newer - older <= 3 * (offset - newer):
            del anchors[i]
    del anchors[:-MAX_ANCHORS]


def is_database(path: str) -> bool:
    """Whether it is an SQLite database, as Fluent Bit's tail keeps its positions in."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def boot_id() -> str:
    """Which run of the kernel this is; "" if it doesn't say."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read(64).strip()
    except OSError:
        return ""


def load(path: str) -> tuple[list[Position], list[str], str] | None:
    """The positions, the path patterns they were found with, and in which boot; None if there is no checkpoint.

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
        anchors = found["anchors"] if "anchors" in found else [()] * len(found["files"])  # earlier versions had none
        positions = [_position(older, *row) for row, older in zip(found["files"], anchors, strict=True)]
        return positions, [str(pattern) for pattern in found["paths"]], str(found.get("boot", ""))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Damaged(f"its content makes no sense ({type(error).__name__})") from None


def _position(anchors: list[list[int]], path: str, *numbers: int) -> Position:
    ino, offset, head, head_crc, tail, tail_crc = numbers
    lengths_fit = 0 <= head <= min(FINGERPRINT, offset) and 0 <= tail <= min(FINGERPRINT, offset)
    if not isinstance(path, str) or not all(type(n) is int for n in numbers) or not lengths_fit:
        raise ValueError
    older = [(at, length, crc) for at, length, crc in anchors]
    if not all(type(n) is int for anchor in older for n in anchor):
        raise ValueError
    if not all(0 <= length <= min(FINGERPRINT, at) for at, length, _ in older) or len(older) > MAX_ANCHORS:
        raise ValueError
    return Position(path, ino, offset, (head, head_crc), (tail, tail_crc), older)


def save(path: str, positions: Sequence[Position], patterns: Sequence[str], sync: bool, boot: str = "") -> None:
    """Replace the checkpoint. `sync`: have it on the medium before it replaces the old one. Raises OSError."""
    positions = positions[:MAX_POSITIONS]
    rows = [(p.path, p.ino, p.offset, *p.head, *p.tail) for p in positions]
    content = {"paths": list(patterns), "files": rows, "anchors": [list(p.anchors) for p in positions], "boot": boot}
    body = json.dumps(content, separators=(",", ":")).encode() + b"\n"
    beside = path + ".tmp"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:
        file.write(_MAGIC + b"%08x\n" % crc32(body) + body)
        if sync:
            file.flush()
            os.fsync(fd)
    os.replace(beside, path)
    if sync:
        sync_directory(path)
