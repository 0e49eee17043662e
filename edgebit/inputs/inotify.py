"""Linux's inotify(7), which the standard library lacks, through libc: as much of it as tail needs.

It only says that something happened to a watched file or directory; what, the caller looks up itself. So a lost or
doubled event does no harm, and file systems that report nothing (NFS, FUSE) are only slower to be noticed. ctypes
costs 4 ms and 240 kB, so this module is imported only when a watch is set.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF = (
    0x2, 0x4, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800)  # fmt: skip
Q_OVERFLOW, IGNORED = 0x4000, 0x8000
FILE = MODIFY | ATTRIB | DELETE_SELF | MOVE_SELF  # a file's content, and its name or last link gone
DIRECTORY = CREATE | MOVED_FROM | MOVED_TO | DELETE | ATTRIB | DELETE_SELF | MOVE_SELF  # the names in it

_EVENT = struct.Struct("iIII")  # struct inotify_event: wd, mask, cookie, len; then len bytes of name


class Inotify:
    """One inotify instance. `fd` is readable when there is something to `read`. Raises OSError where there is none."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._add, self._remove = libc.inotify_add_watch, libc.inotify_rm_watch
            self.fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
        if self.fd < 0:
            raise _error()

    def add(self, path: str, mask: int) -> int:
        """Watch a file or directory; its number in events, the same for the same inode. Raises OSError."""
        wd: int = self._add(self.fd, os.fsencode(path), ctypes.c_uint32(mask))
        if wd < 0:
            raise _error()
        return wd

    def remove(self, wd: int) -> None:
        """Forget a watch; harmless when the kernel already has."""
        self._remove(self.fd, wd)

    def read(self) -> list[tuple[int, int]]:
        """What happened since the last call, as (number, mask); bounded, the rest stays readable. Overflow is -1."""
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return []
        events, at = [], 0
        while at < len(data):
            wd, mask, _, length = _EVENT.unpack_from(data, at)
            events.append((wd, mask))
            at += _EVENT.size + length
        return events

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
