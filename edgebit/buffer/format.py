"""The format of a chunk on disk, and how chunks are found in a segment's bytes. Pure: bytes in, headers out.

docs/buffer-format.md is the pamphlet. All integers are little-endian. A chunk is a header, its tag, its marks, its
payload, and zeros up to a multiple of 8. The header's checksum covers header, tag and marks, and with them the payload's
length and checksum; so a length is known to be good before anything of that length is read.
"""

from __future__ import annotations

import zlib
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    Position = tuple[int, int]  # a segment's use, and a place in it

VERSION = 1
MAGIC = b"EDGB"

#          magic, version, flags, tag length, marks length, payload length, record count, first sequence,
#          stream, use, records before, wall ns, boot-time ns, boot id, payload crc32, header crc32
_HEADER = Struct("<4sBBHIIIQ8sQQqQ8sII")
HEADER_SIZE = 84
USE_AT = 36  # where `use` is in a header
assert _HEADER.size == HEADER_SIZE  # it is on disk: never change it, add a version
_CRC = Struct("<I")
CONTINUES = 1  # flag: the batch that this chunk is of goes on in the next one; without its end it counts as not written
SYNCED = 2  # flag: everything before this chunk was on the medium when it was written; the first of a segment has it
MAX_TAG = 4096  # bytes; longer tags are not written by us, so a longer length is damage


class Moment:
    """The two clocks of a chunk: wall time, and time since a boot that has an id (CLOCK_BOOTTIME counts suspend)."""

    __slots__ = ("boot_id", "boot_ns", "wall_ns")

    def __init__(self, wall_ns: int, boot_ns: int, boot_id: bytes) -> None:
        self.wall_ns, self.boot_ns, self.boot_id = wall_ns, boot_ns, boot_id


class Place:
    """Where a chunk is in the log: from `start` to `end`, and the records written up to and including it."""

    __slots__ = ("after", "end", "start")

    def __init__(self, start: Position, end: Position, after: int) -> None:
        self.start, self.end, self.after = start, end, after


class Header:
    """What a chunk says about itself.

    use       counts the segments that were ever begun in this directory; it tells a segment's content from what an
              earlier use has left behind it
    before    how many records were written in this directory before this chunk; so what is missing can be counted
    stream    8 random bytes; with the sequence they name a record for ever
    marks     positions of sources after this chunk, CBOR
    length    of the whole chunk, padding included
    """

    __slots__ = ("before", "boot_id", "boot_ns", "count", "crc", "flags", "length", "marks", "payload_at", "payload_length",
                 "seq", "stream", "tag", "use", "wall_ns")  # fmt: skip
    before: int
    boot_id: bytes
    boot_ns: int
    count: int
    crc: int  # of the payload
    flags: int
    length: int
    marks: bytes
    payload_at: int  # from the chunk's start
    payload_length: int
    seq: int
    stream: bytes
    tag: bytes
    use: int
    wall_ns: int

    @property
    def last_seq(self) -> int:
        return self.seq + self.count - 1

    @property
    def after(self) -> int:
        """Records written up to and including this chunk."""
        return self.before + self.count


class UnknownVersion(ValueError):
    """A chunk of a format that this program doesn't know."""


def pack(*, tag: bytes, payload: bytes, count: int, seq: int, stream: bytes, use: int, before: int, wall_ns: int,
         boot_ns: int, boot_id: bytes, marks: bytes = b"", flags: int = 0) -> bytes:  # fmt: skip
    """A whole chunk."""
    head = _HEADER.pack(MAGIC, VERSION, flags, len(tag), len(marks), len(payload), count, seq, stream, use, before, wall_ns,
                        boot_ns, boot_id, zlib.crc32(payload), 0)[:-4]  # fmt: skip
    crc = zlib.crc32(marks, zlib.crc32(tag, zlib.crc32(head)))
    length = HEADER_SIZE + len(tag) + len(marks) + len(payload)
    return b"".join((head, _CRC.pack(crc), tag, marks, payload, bytes(-length % 8)))


def packed_length(tag: int, marks: int, payload: int) -> int:
    """Bytes that a chunk with parts of these lengths takes."""
    length = HEADER_SIZE + tag + marks + payload
    return length + -length % 8


def parse(data: bytes, at: int = 0) -> Header | None:
    """The header at `at`, or None if there is no good one. `data` must hold header, tag and marks; the payload needn't be
    there. Raises UnknownVersion for a good magic with another version."""
    if len(data) - at < HEADER_SIZE or data[at : at + 4] != MAGIC:
        return None
    (_, version, flags, tag_length, marks_length, payload_length, count, seq, stream, use, before, wall_ns, boot_ns,
     boot_id, payload_crc, crc) = _HEADER.unpack_from(data, at)  # fmt: skip
    end = at + HEADER_SIZE + tag_length + marks_length
    if version != VERSION:
        ours = MAGIC + bytes((VERSION,)) + data[at + 5 : at + HEADER_SIZE - 4]
        if zlib.crc32(data[at + HEADER_SIZE : end], zlib.crc32(ours)) == crc:
            return None  # one of ours with a damaged version, not another format
        raise UnknownVersion(version)
    if tag_length > MAX_TAG or len(data) < end:
        return None
    if zlib.crc32(data[at + HEADER_SIZE : end], zlib.crc32(data[at : at + HEADER_SIZE - 4])) != crc:
        return None
    header = Header()
    header.tag = data[at + HEADER_SIZE : at + HEADER_SIZE + tag_length]
    header.marks = data[at + HEADER_SIZE + tag_length : end]
    header.flags = flags
    header.count, header.seq, header.stream, header.use, header.before = count, seq, stream, use, before
    header.wall_ns, header.boot_ns, header.boot_id, header.crc = wall_ns, boot_ns, boot_id, payload_crc
    header.payload_at, header.payload_length = end - at, payload_length
    length = end - at + payload_length
    header.length = length + -length % 8
    return header


def find(data: bytes, at: int, use: int | None, room: int | None = None) -> tuple[int, Header] | None:
    """The next good header at or after `at` of this use (None: of any), and where it is. `room`: bytes of the segment from
    the start of `data` on, when that is a part of it; the chunk must fit there."""
    if room is None:
        room = len(data)
    while (at := data.find(MAGIC, at)) >= 0:
        try:
            header = parse(data, at)
        except UnknownVersion:
            header = None
        if header is not None and (use is None or header.use == use) and at + header.length <= room:
            return at, header
        at += 1
    return None
