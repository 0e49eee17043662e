"""A buffer that outlives its directory: removed while the agent runs, or another file system mounted over it.

What is stored is still there for the process that has the files open, so it is copied, byte by byte and at the same
places, into new files: nothing is lost but what can't be read any more, which is found and counted as damage is. Until new
files can be made nothing counts as stored that wasn't before; what is on disk is delivered, what comes waits in memory.
"""

from __future__ import annotations

from edgebit.buffer.cursor import CursorFile
from edgebit.buffer.disk import DiskBuffer
from edgebit.buffer.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from edgebit.buffer.files import File

GONE = "state directory removed"  # the reason in the ledger
_COPY = 256 * 1024  # bytes copied at once


class RestorableLog(Log):
    """A log that can be made anew from its open files."""

    @property
    def in_place(self) -> bool:
        """Whether all files are still where they were made."""
        return self._cursor_file.in_place and all(segment.file.in_place for segment in self._used + self._free)

    @property
    def usurped(self) -> bool:
        """Whether segments that are not of this log are in its directory."""
        mine = {segment.name for segment in self._used + self._free if segment.file.in_place}
        return any(name.endswith(".seg") and name not in mine for name in self.files.listdir(self.directory))

    def restore(self) -> None:
        """Make the files that are not in place again. Raises OSError; what was made by then is in use, and the next try
        goes on from there."""
        for segment in [segment for segment in self._free if not segment.file.in_place]:
            segment.file.close()  # gives the space back, which may be all there is
            self._free.remove(segment)
        for segment in self._used:
            if not segment.file.in_place:
                old, segment.file = segment.file, self._copied(segment.file)
                segment.forget_block()
                old.close()
        if not self._cursor_file.in_place:
            self._cursor_file.close()
            self._cursor_file = CursorFile(self.files, f"{self.directory}/cursor", self._note)
            self._cursor_file.open()
        self._resize()
        self.sync()

    def _copied(self, old: File) -> File:
        new = self.files.create(old.path, old.size)
        try:
            for at in range(0, old.size, _COPY):
                try:
                    data = old.pread(_COPY, at)
                except OSError:
                    continue  # zeros: what was there is missed when it is read
                new.pwrite(data, at)
            new.sync()
        except OSError:
            new.close()
            self.files.unlink(old.path)
            raise
        self.bytes_written += old.size
        return new


class RestorableBuffer(DiskBuffer):
    """A buffer on disk that is told when its directory is gone; see the module's docstring.

    renew   makes the directory again and says in it whose it is; given True, it first gets out of the way what another
            buffer has there. Raises OSError
    """

    _log: RestorableLog
    renew: Callable[[bool], object]

    @property
    def in_place(self) -> bool:
        """Whether the files are still where they were made. Cheap: one stat a file."""
        return self._log.in_place

    def suspend(self) -> None:
        """The directory is gone, and can't be made again for now."""
        self.gone = True

    def restore(self) -> int:
        """The directory is there again, or can be made; how many records are stored in it. Raises OSError."""
        if not self.in_place:
            self.gone = True
            self.renew(self._log.usurped)
            self._log.restore()
            self._log.save_cursor(sync=True)
        self.gone = False
        return self._log.waiting

    # -- nothing counts as stored meanwhile ----------------------------------------------------------------------------

    def _disk_rests(self) -> bool:
        return self.gone or super()._disk_rests()

    def _sync(self) -> bool:
        return not self.gone and super()._sync()

    def _save_cursor(self, clean: bool = False) -> None:
        if not self.gone:
            super()._save_cursor(clean)

    @property
    def deadline(self) -> float | None:
        due = super().deadline
        return due if due is None or not self.gone else max(due, 1.0)  # what is due now can't be done

    def close(self, why: str) -> int:
        """What is stored in files that nobody will find again is lost."""
        if self.gone:
            self.rewind()
            while self._stored_waits():
                chunk = self._take_stored()
                if chunk is not None:
                    self._lost(GONE, chunk.count, chunk.seq, chunk.stream)
            for chunk in self._queue:
                chunk.place = None
            self._placed = self._placed_count = 0
        return super().close(why)
