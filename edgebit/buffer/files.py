"""The one door to files: everything a buffer asks of a file system, and nothing else.

Small on purpose, so that a test can put a file system behind it that loses what was not synced, tears writes, undoes
renames, and fails with ENOSPC or EIO at any single call (tests/fakes/files.py). All calls raise OSError.

What POSIX promises, and what is built on it: a completed `pwrite` survives the death of the process at once, and a power
cut only after `sync` of that file. A new name (create, rename) survives a power cut only after its directory was synced;
`create` and `replace` do that themselves. Bytes that were not synced may be there, in part, in any order, or not.
"""

from __future__ import annotations

import os


class File:
    """An open file of fixed size. Offsets and lengths in bytes."""

    def __init__(self, path: str, fd: int) -> None:
        self.path, self._fd = path, fd
        self.size = os.fstat(fd).st_size

    def pread(self, length: int, offset: int) -> bytes:
        """Up to `length` bytes; fewer at the file's end."""
        return os.pread(self._fd, length, offset)

    def pwrite(self, data: bytes, offset: int) -> None:
        """All of `data`, or an OSError; then any part of it may have been written."""
        view = memoryview(data)
        while view:
            n = os.pwrite(self._fd, view, offset)
            view, offset = view[n:], offset + n

    def sync(self) -> None:
        """What was written is on the medium when this returns (fdatasync: the size never changes)."""
        os.fdatasync(self._fd)

    @property
    def in_place(self) -> bool:
        """Whether the path still leads to this file: it may have been removed, or another file system mounted there."""
        return in_place(self.path, self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Files:
    """The real file system."""

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, sorted; none if it doesn't exist."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def makedirs(self, path: str) -> None:
        """Make a directory and its parents, and sync the parents so that the names last; those of parents that are there,
        too, as a process that was killed may have made them."""
        missing = []
        at = path = os.path.abspath(path)
        while not os.path.isdir(at):
            missing.append(at)
            at = os.path.dirname(at)
        for directory in reversed(missing):
            os.mkdir(directory, 0o750)
        while (parent := os.path.dirname(path)) != path:
            try:
                self.sync_directory(parent)
            except OSError:
                if path in missing:  # others may be nobody's to sync
                    raise
            path = parent

    def open(self, path: str) -> File:
        """An existing file for reading and writing."""
        return File(path, os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW))

    def open_readonly(self, path: str) -> File:
        """An existing file for reading; for looking at a directory that is not ours to change."""
        return File(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def create(self, path: str, size: int) -> File:
        """A new file of `size` zero bytes whose space is reserved; ENOSPC comes here and not later."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(fd, 0, size)
            os.fsync(fd)
            self.sync_directory(os.path.dirname(path))
            return File(path, fd)
        except OSError:
            os.close(fd)
            os.unlink(path)
            raise

    def read(self, path: str, limit: int = 1 << 20) -> bytes:
        """A small file's content; b"" if it doesn't exist."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.read(fd, limit)
        finally:
            os.close(fd)

    def replace(self, path: str, data: bytes, sync: bool = True) -> None:
        """Write a small file so that after a crash there is the old content or the new, never a mix."""
        temporary = path + ".tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
        if sync:
            self.sync_directory(os.path.dirname(path))

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free(self, path: str) -> int:
        """Bytes that an ordinary user could still write to this file system."""
        stat = os.statvfs(path)
        return stat.f_bavail * stat.f_frsize


def in_place(path: str, fd: int) -> bool:
    """Whether a path leads to the file that is open as `fd`; True when that can't be told."""
    try:
        there, mine = os.stat(path), os.fstat(fd)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
