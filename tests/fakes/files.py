"""A file system that can be cut, killed, filled and broken at any single operation, behind the one door to files.

`SimFiles` stands in for edgebit.buffer.files.Files: the same methods, the same errors. It keeps two states: the *cache*,
which is what running processes see, and the *medium*, which is what a power cut leaves. What it promises:

- `pwrite` changes the cache. A cut keeps each 512-byte sector written since the last sync as it was at any moment since
  then, independently and in any order; rarely it tears one, or zeroes what was written in it.
- A file's length lasts once the file was synced, a name once its directory was. Until then a cut may undo or keep each
  change of a name (a rename is one change), in order or not.
- A `sync` that fails has forgotten: each sector is on the medium, or gone from the cache too, or in the cache only and
  never written again (Linux marks pages clean when their writing failed). The next sync succeeds and proves nothing.
- Each step of each call is a numbered operation, at which it can fail (`fail_at`) or the power go (`cut_at`, applied
  wholly, in part, or not at all). The same seed and calls give the same story; `story()` prints it.

After PowerCut came up, the test calls `cut()` (or `kill()`, if only the process is to die there) and boots again by using
the same SimFiles. Handles of the dead process raise RuntimeError: using one is a bug of the test.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable
from errno import EBADF, EEXIST, EISDIR, ENOENT, ENOSPC, ENOTDIR, EROFS
from random import Random

from fakes.medium import Inode


class PowerCut(BaseException):
    """The machine stops here. Not an Exception, so that nobody's `except` survives it."""


_DIRECTORY = Inode()  # stands for every directory


class SimFile:
    """An open file; see edgebit.buffer.files.File."""

    def __init__(self, sim: SimFiles, path: str, inode: Inode, writable: bool) -> None:
        self.path, self.size = path, len(inode.cache)
        self._sim, self._inode, self._writable, self._boot = sim, inode, writable, sim.boot
        self._open = True

    def _error(self, writes: bool) -> int:
        if self._boot != self._sim.boot:
            raise RuntimeError(f"{self.path} was opened by a process that is dead")
        if not self._open or (writes and not self._writable):
            return EBADF
        return EROFS if writes and self._sim.readonly else 0

    def pread(self, length: int, offset: int) -> bytes:
        self._sim._step("pread", self.path, error=self._error(writes=False))
        return bytes(self._inode.cache[offset : offset + length])

    def pwrite(self, data: bytes, offset: int) -> None:
        data, sim = bytes(data), self._sim
        error = self._error(writes=True)
        if not error and offset + len(data) - len(self._inode.cache) > sim.room:
            error = ENOSPC

        def write(part: float) -> None:
            piece = data[: int(len(data) * part)]
            if piece:
                self._inode.write(piece, offset)
            sim.written[self.path] += len(piece)

        sim._step("pwrite", self.path, write, error)

    def sync(self) -> None:
        error = self._error(writes=False)
        self._sim._sync(self.path, self._inode, error or (EROFS if self._sim.readonly and self._inode.unsynced else 0))

    @property
    def in_place(self) -> bool:
        return self._sim._names.get(self.path) is self._inode

    def close(self) -> None:
        self._open = False


class SimFiles:
    """See the module's docstring. What a test may set at any time, and read:

    cut_at    number of the operation at which PowerCut is raised
    fail_at   errno by operation number, or a function (number, step, path) -> errno or None
    capacity  bytes of all files together; what would exceed it fails with ENOSPC
    readonly  everything that writes fails with EROFS
    op        number of the latest operation
    written, syncs, metadata   bytes, syncs (of directories too) and changes of names or lengths, by path
    """

    def __init__(self, seed: int = 0, capacity: int = 1 << 30, whole_sectors: bool = False) -> None:
        """`whole_sectors`: a medium on which a zeroed sector also loses what was durable in it before."""
        self.seed, self.capacity, self.whole_sectors = seed, capacity, whole_sectors
        self.rng = Random(seed)
        self.readonly = False
        self.cut_at: int | None = None
        self.fail_at: dict[int, int] | Callable[[int, str, str], int | None] = {}
        self.op = self.boot = 0
        self.written: Counter[str] = Counter()
        self.syncs: Counter[str] = Counter()
        self.metadata: Counter[str] = Counter()
        self._dark = False
        self._names: dict[str, Inode] = {"/": _DIRECTORY}  # as processes see them
        self._lasting: dict[str, Inode] = {"/": _DIRECTORY}  # as they are on the medium
        self._changes: list[dict[str, Inode | None]] = []  # of names, not synced yet; each happens whole or not
        self._trace: deque[tuple[int, str, str, str]] = deque(maxlen=40)

    # -- what happens to machines ------------------------------------------------------------------------------------

    def kill(self) -> None:
        """The process dies; what it wrote is seen by the next one."""
        self.boot += 1
        self._dark = False
        self._trace.append((self.op, "-- killed", "", ""))

    def cut(self, rng: Random | None = None) -> None:
        """The power goes; the next process sees what was on the medium, and what was lucky."""
        rng = rng or self.rng
        in_order = rng.random() < 0.5
        fates = [rng.random() < 0.5 for _ in self._changes]
        for change, kept in zip(self._changes, fates):
            if kept:
                self._apply(self._lasting, change)
            elif in_order:
                break
        self._changes.clear()
        for path in sorted(self._lasting):  # parents come before what is in them
            if self._lasting.get(os.path.dirname(path)) is None:
                del self._lasting[path]
        self._names = dict(self._lasting)
        for inode in dict.fromkeys(self._names[path] for path in sorted(self._names)):
            inode.cut(rng, self.whole_sectors)
        self.kill()
        self._trace[-1] = (self.op, "-- power cut", "", "")

    @property
    def room(self) -> int:
        """Bytes that can still be written."""
        return max(0, self.capacity - sum(len(inode.cache) for inode in {*self._names.values()}))

    def story(self) -> str:
        """How to get here again: the seed, what was set, and the latest operations."""
        ops = "\n".join(f"  {op:5} {step} {path}{why}" for op, step, path, why in self._trace)
        return f"SimFiles(seed={self.seed}) cut_at={self.cut_at} fail_at={self.fail_at} at {self.op}:\n{ops}"

    # -- the door ----------------------------------------------------------------------------------------------------

    def listdir(self, path: str) -> list[str]:
        error = self._directory_error(path)
        self._step("listdir", path, error=0 if error == ENOENT else error)
        return sorted(os.path.basename(name) for name in self._names if os.path.dirname(name) == path != name)

    def makedirs(self, path: str) -> None:
        missing = []
        at = path
        while self._names.get(at) is not _DIRECTORY:
            missing.append(at)
            at = os.path.dirname(at)
        for directory in reversed(missing):
            self._change("mkdir", directory, {directory: _DIRECTORY}, EEXIST if directory in self._names else 0)
        while (parent := os.path.dirname(path)) != path:
            try:
                self.sync_directory(parent)
            except OSError:
                if path in missing:
                    raise
            path = parent

    def open(self, path: str) -> SimFile:
        return self._open(path, writable=True)

    def open_readonly(self, path: str) -> SimFile:
        return self._open(path, writable=False)

    def create(self, path: str, size: int) -> SimFile:
        inode = Inode()
        self._change(
            "create",
            path,
            {path: inode},
            EEXIST if path in self._names else self._directory_error(os.path.dirname(path)),
        )
        try:
            self._resize("fallocate", path, inode, size)
            self._sync(path, inode)
            self.sync_directory(os.path.dirname(path))
            return SimFile(self, path, inode, writable=True)
        except OSError:
            self.unlink(path)
            raise

    def read(self, path: str, limit: int = 1 << 20) -> bytes:
        error = self._file_error(path)
        self._step("read", path, error=0 if error == ENOENT else error)
        return b"" if error else bytes(self._names[path].cache[:limit])

    def replace(self, path: str, data: bytes, sync: bool = True) -> None:
        temporary = path + ".tmp"
        inode = self._names.get(temporary)
        if inode is None:
            inode = Inode()
            self._change("create", temporary, {temporary: inode}, self._directory_error(os.path.dirname(path)))
        else:
            self._resize("truncate", temporary, inode, 0)
        SimFile(self, temporary, inode, writable=True).pwrite(data, 0)
        if sync:
            self._sync(temporary, inode)
        error = EISDIR if self._names.get(path) is _DIRECTORY else 0
        self._change("rename", path, {temporary: None, path: inode}, error)
        if sync:
            self.sync_directory(os.path.dirname(path))

    def unlink(self, path: str) -> None:
        self._change("unlink", path, {path: None}, self._file_error(path))

    def sync_directory(self, path: str) -> None:
        def last(part: float) -> None:
            if part == 1:
                mine = [change for change in self._changes if os.path.dirname(next(iter(change))) == path]
                for change in mine:
                    self._apply(self._lasting, change)
                    self._changes.remove(change)
            self.syncs[path] += 1

        self._step("sync_directory", path, last, self._directory_error(path))

    def free(self, path: str) -> int:
        self._step("free", path, error=0 if path in self._names else self._file_error(path))
        return self.room

    # -- inside ------------------------------------------------------------------------------------------------------

    def _step(self, step: str, path: str, effect: Callable[[float], None] | None = None, error: int = 0) -> None:
        """One numbered operation. `effect` is given the part of it that happens, 0 to 1; `error` is what it meets."""
        if self._dark:
            raise PowerCut("the power is off")
        self.op += 1
        self._trace.append((self.op, step, path, ""))
        if self.op == self.cut_at:
            self._dark = True
            part = self.rng.choice((0.0, self.rng.random(), 1.0))
            if effect is not None and not error:
                effect(part)
            self._trace[-1] = (self.op, step, path, f" <- cut, {part:.0%} of it done")
            raise PowerCut(f"at operation {self.op}, {step} {path}")
        injected = self.fail_at(self.op, step, path) if callable(self.fail_at) else self.fail_at.get(self.op)
        if injected and effect is not None and not error:
            effect(self.rng.random())  # below 1: whatever can only happen whole doesn't
        if error := error or injected or 0:
            self._trace[-1] = (self.op, step, path, f" <- {os.strerror(error)}")
            raise OSError(error, os.strerror(error), path)
        if effect is not None:
            effect(1.0)

    def _sync(self, path: str, inode: Inode, error: int = 0) -> None:
        def sync(part: float) -> None:
            if part == 1:
                inode.sync()
            self.syncs[path] += 1

        try:
            self._step("sync", path, sync, error)
        except OSError as failure:
            if failure.errno != EBADF:
                inode.lose(self.rng)
            raise

    def _resize(self, step: str, path: str, inode: Inode, size: int) -> None:
        def resize(part: float) -> None:
            if part == 1:
                inode.resize(size)
            self.metadata[path] += 1

        error = EISDIR if inode is _DIRECTORY else EROFS if self.readonly else 0
        self._step(step, path, resize, error or (ENOSPC if size - len(inode.cache) > self.room else 0))

    def _change(self, step: str, path: str, change: dict[str, Inode | None], error: int) -> None:
        def rename(part: float) -> None:
            if part == 1:
                self._apply(self._names, change)
                self._changes.append(change)
            self.metadata[path] += 1

        self._step(step, path, rename, error or (EROFS if self.readonly else 0))

    def _open(self, path: str, writable: bool) -> SimFile:
        error = self._file_error(path) or (EROFS if writable and self.readonly else 0)
        self._step("open", path, error=error)
        return SimFile(self, path, self._names[path], writable)

    def _directory_error(self, path: str) -> int:
        """What is met on the way to an existing directory."""
        inode = self._names.get(path)
        if inode is None:
            return self._directory_error(os.path.dirname(path)) or ENOENT
        return 0 if inode is _DIRECTORY else ENOTDIR

    def _file_error(self, path: str) -> int:
        """What is met on the way to an existing file."""
        if path in self._names:
            return EISDIR if self._names[path] is _DIRECTORY else 0
        return self._directory_error(path)

    @staticmethod
    def _apply(names: dict[str, Inode], change: dict[str, Inode | None]) -> None:
        for name, inode in change.items():
            if inode is None:
                names.pop(name, None)
            else:
                names[name] = inode
