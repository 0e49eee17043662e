"""The cursor: how far the collector has acknowledged, and what was settled out of turn, in two slots of one small file.

A hint: without it, everything that is still there is delivered again, and what was dropped may be told again; nothing is
ever lost by it. A slot is written again and again until it is synced; only then comes the other one's turn. So a cut
harms at most what was written since the last sync. Where nobody syncs they take turns, so that a kill in the middle of a
write leaves the one before, and not one whose segment is long used again. docs/buffer-format.md has the layout.
"""

from __future__ import annotations

import zlib
from struct import Struct

from edgebit.buffer.holes import Holes
from edgebit.errors import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from edgebit.buffer.files import File, Files
    from edgebit.buffer.holes import Span

VERSION = 1
SLOT = 512  # bytes: a sector
MOST_HOLES = 27  # in a slot; if there are more, the newest are told again after a crash
_CRC = Struct("<I")
_SPAN = Struct("<QQ")

# magic, version, flags, holes, count of writes, use, offset, records acknowledged, records written, stream, next sequence,
# the holes, uses, crc
_CURSOR = Struct(f"<4sBBHQQQQQ8sQ{MOST_HOLES * _SPAN.size}sQ4xI")
assert _CURSOR.size == SLOT
_CURSOR_MAGIC = b"EDGC"
CLEAN = 1  # flag: written by an orderly stop
_FAILURES = 3  # in a row, after which the file is made anew


class Cursor:
    """How far the collector has acknowledged: a position, and the same counted in records. `uses`: of segments, that were
    ever begun."""

    __slots__ = ("acked", "clean", "holes", "next_seq", "offset", "stream", "use", "uses", "writes", "written")

    def __init__(self, use: int = 0, offset: int = 0, acked: int = 0, written: int = 0, stream: bytes = bytes(8),
                 next_seq: int = 1, clean: bool = False, writes: int = 0, holes: tuple[Span, ...] = (),
                 uses: int = 0) -> None:  # fmt: skip
        self.use, self.offset, self.acked, self.written = use, offset, acked, written
        self.stream, self.next_seq, self.clean, self.writes = stream, next_seq, clean, writes
        self.holes, self.uses = Holes(holes), uses

    @property
    def state(self) -> tuple[object, ...]:
        """What is worth a write when it changes."""
        return self.use, self.offset, self.acked, self.written, self.clean, self.holes.spans, self.uses

    def pack(self) -> bytes:
        spans = self.holes.spans[:MOST_HOLES]
        holes = b"".join(_SPAN.pack(*span) for span in spans)
        head = _CURSOR.pack(_CURSOR_MAGIC, VERSION, CLEAN if self.clean else 0, len(spans), self.writes, self.use,
                            self.offset, self.acked, self.written, self.stream, self.next_seq, holes, self.uses,
                            0)[:-4]  # fmt: skip
        return head + _CRC.pack(zlib.crc32(head))

    @staticmethod
    def parse(slot: bytes) -> Cursor | None:
        if len(slot) < SLOT or slot[:4] != _CURSOR_MAGIC or slot[4] != VERSION:
            return None
        _, _, flags, count, writes, use, offset, acked, written, stream, next_seq, holes, uses, crc = _CURSOR.unpack(
            slot
        )
        if zlib.crc32(slot[:-4]) != crc or count > MOST_HOLES:
            return None
        spans = tuple(_SPAN.iter_unpack(holes[: count * _SPAN.size]))
        return Cursor(use, offset, acked, written, stream, next_seq, bool(flags & CLEAN), writes, spans, uses)

    @staticmethod
    def newest(data: bytes) -> Cursor | None:
        """The newer of the two slots that is whole."""
        slots = [Cursor.parse(data[at : at + SLOT]) for at in (0, SLOT)]
        return max((slot for slot in slots if slot is not None), key=lambda slot: slot.writes, default=None)


class CursorFile:
    """The file of a `Cursor`. `synced`: what was written of it since it was opened is on the medium. `failures`: how often
    it couldn't be saved, in a row."""

    def __init__(self, files: Files, path: str, note: Callable[[str], object]) -> None:
        self._files, self._path, self._note = files, path, note
        self._file: File | None = None
        self._saved: tuple[object, ...] | None = None
        self._slot = self.failures = self.syncs = 0
        self.synced = True

    def open(self) -> Cursor | None:
        """Open it, or make it; the newest cursor in it. Raises OSError if it can't be made."""
        data = b""
        try:
            data = self._files.read(self._path)
            self._file = self._files.open(self._path) if len(data) >= 2 * SLOT else None
        except OSError as error:
            self._note(f"the cursor can't be read ({reason(error)}); what is stored is delivered again")
        found = Cursor.newest(data)
        if self._file is None:
            self._make()
        elif found is not None:
            # A process that was killed may not have synced it; the other slot is written only when this one lasts.
            at = data.index(found.pack())
            self._file.pwrite(data[at : at + SLOT], at)
            self._file.sync()
            self._slot = 0 if at else 1
        return found

    def _make(self) -> None:
        try:
            self._file = self._files.create(self._path, 2 * SLOT)
        except FileExistsError:  # cut off, may be to nothing, while it was made; or it fails
            self._files.unlink(self._path)
            self._file = self._files.create(self._path, 2 * SLOT)

    def save(self, cursor: Cursor, sync: bool = False, in_turns: bool = False) -> int:
        """Write it if it says something new, sync it if asked to; bytes written. Raises OSError. `in_turns`: it isn't
        synced as a rule, so the slots take turns."""
        try:
            return self._save(cursor, sync or cursor.clean, in_turns)
        except OSError:
            self.failures += 1
            self._saved = None  # what was written may be gone
            raise

    def _save(self, cursor: Cursor, sync: bool, in_turns: bool) -> int:
        if self._file is None or self.failures >= _FAILURES:
            return self._make_anew(cursor)
        state, written = cursor.state, 0
        if state != self._saved:
            self.synced = False
            cursor.writes += 1
            self._file.pwrite(cursor.pack(), self._slot * SLOT)
            self._saved, written = state, SLOT
            if in_turns:
                self._slot ^= 1
        if sync and not self.synced:
            self._file.sync()
            self.synced = True
            self.syncs += 1
            if not in_turns:
                self._slot ^= 1
        self.failures = 0
        return written

    @property
    def in_place(self) -> bool:
        return self._file is None or self._file.in_place

    def _make_anew(self, cursor: Cursor) -> int:
        """In another place of the medium; until that is there, the old file is."""
        cursor.writes += 1
        self._files.replace(self._path, cursor.pack() + bytes(SLOT))
        self.close()
        self._file = self._files.open(self._path)
        self._saved, self._slot, self.synced, self.failures = cursor.state, 1, True, 0
        self.syncs += 1
        return SLOT

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
