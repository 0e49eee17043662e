"""Writing to descriptors, for the outputs file and stdout: all of it or an error, and never waiting for a reader.

`append` is for regular files. They can't be polled and a write to them may take as long as the disk does; that is the
one place where an output blocks. `SlowWriter` is for everything that has somebody at the other end: pipes, terminals,
devices.
"""

from __future__ import annotations

import os
import stat
from select import PIPE_BUF

from edgebit.errors import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from edgebit.loop import Watch
    from edgebit.plugin import Context

_PIECES = 16  # writes of up to PIPE_BUF bytes (4 KiB) in one turn of the loop: 64 KiB, what a pipe holds


def append(fd: int, data: bytes, sync: bool = False) -> None:
    """Write at the end of a regular file, or leave the file as it was and raise OSError.

    Usually one write, whole. A full disk may take a part of it; that part is cut off again, so that no torn line stays,
    unless somebody else has written behind it.
    """
    size = os.fstat(fd).st_size
    written = 0
    try:
        while written < len(data):
            written += os.write(fd, data[written:] if written else data)
        if sync:
            os.fsync(fd)
    except OSError:
        if written and os.fstat(fd).st_size == size + written:
            os.ftruncate(fd, size)
            os.lseek(fd, size, os.SEEK_SET)  # for a descriptor that is not in append mode
        raise


def sync_directory(path: str) -> None:
    """Sync the directory that a file or directory is in: only then a power cut can't take its name. Raises OSError."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class SlowWriter:
    """Writes one piece of data after the other to a descriptor that may not be ready to take it.

    If the descriptor is non-blocking, that's all there is to it. If it isn't, because it is shared with others whom that
    would disturb, then at most PIPE_BUF bytes are written, and only when it is ready: a pipe that is ready has room for
    so many. Pieces end at line ends where they can. Up to PIPE_BUF bytes are atomic on a pipe (pipe(7)), so shorter lines
    stay whole even when several processes or outputs write to the same one.

    The descriptor belongs to the writer, which closes it.
    """

    def __init__(self, ctx: Context, fd: int) -> None:
        self._fd = fd
        self._blocking = os.get_blocking(fd)
        self._watch: Watch = ctx.watch(fd, on_write=self._on_write)
        self._data, self._at = b"", 0
        self._done: Callable[[str], object] | None = None

    def write(self, data: bytes, done: Callable[[str], object]) -> None:
        """Write all of `data`, then call ``done("")``, or ``done(why)`` if that fails. One at a time."""
        assert self._done is None, "the last write has not ended"
        self._data, self._at, self._done = data, 0, done
        try:
            self._watch.want(write=True)
        except PermissionError:  # epoll takes nothing that is always ready, as /dev/null is
            self._write(pieces=len(data))

    def close(self) -> None:
        """Forget what is not written yet and close the descriptor; `done` isn't called any more."""
        if self._fd >= 0:
            self._watch.close()
            os.close(self._fd)
            self._fd, self._done, self._data = -1, None, b""

    def _on_write(self) -> None:
        self._write(1 if self._blocking else _PIECES)

    def _write(self, pieces: int) -> None:
        data = self._data
        try:
            for _ in range(pieces):
                if self._at >= len(data):
                    break
                end = self._at + PIPE_BUF
                if end < len(data):
                    end = data.rfind(b"\n", self._at, end) + 1 or end
                self._at += os.write(self._fd, data[self._at : end])
        except BlockingIOError:
            return
        except OSError as error:
            self._end(reason(error))
            return
        if self._at >= len(data):
            self._end("")

    def _end(self, why: str) -> None:
        self._watch.want()
        done, self._done, self._data = self._done, None, b""
        assert done is not None
        done(why)


class StandardOutput:
    """Writes to standard output, whatever that is: to a file at once, to anything else when it can take it."""

    def __init__(self, ctx: Context, fd: int = 1) -> None:
        self._fd = fd
        self._writer: SlowWriter | None = None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            self._writer = SlowWriter(ctx, own_description(fd))

    def write(self, data: bytes, done: Callable[[str], object]) -> None:
        """Write all of `data`, then call ``done("")``, or ``done(why)`` if that fails. One at a time."""
        if self._writer is not None:
            self._writer.write(data, done)
            return
        try:
            append(self._fd, data)
        except OSError as error:
            done(reason(error))
        else:
            done("")

    def close(self) -> None:
        """Forget what is not written yet. Standard output itself stays open."""
        if self._writer is not None:
            self._writer.close()


class Printer:
    """Text for eyes to standard output: it waits here, and the caller bounds it, who stops when `write` says so. After a
    failure nothing more is written."""

    def __init__(self, ctx: Context) -> None:
        self._out = StandardOutput(ctx)
        self._waiting: list[bytes] = []
        self._busy = self._failed = False
        self._written: Callable[[], object] = lambda: None
        self._log = ctx.log

    @property
    def idle(self) -> bool:
        return not self._busy

    def write(self, data: bytes, written: Callable[[], object]) -> bool:
        """Write; False if it has to wait: then `written` is called when all is out."""
        if self._failed:
            return True
        self._waiting.append(data)
        self._written = written
        if not self._busy:
            self._next()
        return not self._busy

    def _next(self) -> None:
        data, self._waiting = b"".join(self._waiting), []
        self._busy = True
        self._out.write(data, self._done)

    def _done(self, why: str) -> None:
        self._busy = False
        if why:
            self._failed, self._waiting = True, []
            self._log.warn(f"cannot print to standard output: {why}; nothing more is printed")
        elif self._waiting:
            self._next()
            return
        self._written()

    def close(self) -> None:
        self._out.close()


def own_description(fd: int) -> int:
    """A descriptor for the same pipe, terminal or device as `fd`, non-blocking without `fd` becoming so.

    O_NONBLOCK belongs to the open file description, which a shell and other programs share with us; opening it anew gives
    one of our own. Where that is refused (a socket, another user's terminal, no /proc), a blocking duplicate.
    """
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return os.dup(fd)
