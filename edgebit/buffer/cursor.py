"""The cursor: how far the collector has acknowledged, in two slots of one small file that are written in turn.

A hint: it is written at most once a second, and not synced but at a clean stop. Without it, everything that is still there
is delivered again; nothing is ever lost by it. docs/buffer-format.md has the layout.
"""

from __future__ import annotations

import zlib
from struct import Struct

from edgebit.errors import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from edgebit.buffer.files import File, Files

VERSION = 1
_CRC = Struct("<I")

# magic, version, flags, count of writes, use, offset, records acknowledged, records written, stream, next sequence, crc
_CURSOR = Struct("<4sBBxxQQQQQ8sQI")
CURSOR_SIZE = _CURSOR.size
SLOT = 512  # bytes between the slots: a sector each, so that a torn write harms one only
_CURSOR_MAGIC = b"EDGC"
CLEAN = 1  # flag: written by an orderly stop


class Cursor:
    """How far the collector has acknowledged: a position, and the same counted in records. A hint: without it everything
    that is still there is delivered again."""

    __slots__ = ("acked", "clean", "next_seq", "offset", "stream", "use", "writes", "written")

    def __init__(self, use: int = 0, offset: int = 0, acked: int = 0, written: int = 0, stream: bytes = bytes(8),
                 next_seq: int = 1, clean: bool = False, writes: int = 0) -> None:  # fmt: skip
        self.use, self.offset, self.acked, self.written = use, offset, acked, written
        self.stream, self.next_seq, self.clean, self.writes = stream, next_seq, clean, writes

    def pack(self) -> bytes:
        head = _CURSOR.pack(_CURSOR_MAGIC, VERSION, CLEAN if self.clean else 0, self.writes, self.use, self.offset,
                            self.acked, self.written, self.stream, self.next_seq, 0)[:-4]  # fmt: skip
        return head + _CRC.pack(zlib.crc32(head))

    @staticmethod
    def newest(data: bytes) -> Cursor | None:
        """The newer of the two slots that is whole."""
        best = None
        for at in (0, SLOT):
            slot = data[at : at + CURSOR_SIZE]
            if len(slot) < CURSOR_SIZE or slot[:4] != _CURSOR_MAGIC or slot[4] != VERSION:
                continue
            _, _, flags, writes, use, offset, acked, written, stream, next_seq, crc = _CURSOR.unpack(slot)
            if zlib.crc32(slot[:-4]) == crc and (best is None or writes > best.writes):
                best = Cursor(use, offset, acked, written, stream, next_seq, bool(flags & CLEAN), writes)
        return best


class CursorFile:
    """The file of a `Cursor`."""

    def __init__(self, files: Files, path: str, note: Callable[[str], object]) -> None:
        self._files, self._path, self._note = files, path, note
        self._file: File | None = None
        self._saved: tuple[int, int, int, bool] | None = None

    def open(self) -> Cursor | None:
        """Open it, or make it; the newest cursor in it. Raises OSError if it can't be made."""
        data = b""
        try:
            data = self._files.read(self._path)
            self._file = self._files.open(self._path) if len(data) >= 2 * SLOT else None
        except OSError as error:
            self._note(f"the cursor can't be read ({reason(error)}); what is stored is delivered again")
        if self._file is None:
            try:
                self._file = self._files.create(self._path, 2 * SLOT)
            except FileExistsError:  # cut off, may be to nothing, while it was made
                self._files.unlink(self._path)
                self._file = self._files.create(self._path, 2 * SLOT)
        found = Cursor.newest(data)
        known = found or Cursor()
        self._saved = (known.use, known.offset, known.written, known.clean)
        return found

    def save(self, cursor: Cursor, sync: bool = False) -> int:
        """Write it if it says something new; bytes written. Raises OSError."""
        state = (cursor.use, cursor.offset, cursor.written, cursor.clean)
        if state == self._saved or self._file is None:
            return 0
        cursor.writes += 1
        data = cursor.pack()
        self._file.pwrite(data, (cursor.writes & 1) * SLOT)
        if cursor.clean or sync:
            self._file.sync()
        self._saved = state
        return len(data)

    @property
    def in_place(self) -> bool:
        return self._file is None or self._file.in_place

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
