"""Rotating files that an output writes: a full one is renamed, packed little by little, and the oldest ones are removed.

Names are Fluent Bit's: ``FILE.20231114_221320_1a2b3c4d``, with ``.gz`` once it is packed; the time is local. Packing goes
on a slice a turn of the loop, so that a large file doesn't stop the agent, under a name that ends in ``.tmp`` until it is
whole. What a stop or a crash leaves unpacked is packed after the next rotation of the same file.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections import deque

from edgebit.errors import reason
from edgebit.options import Option, boolean, integer, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from edgebit.loop import Timer
    from edgebit.options import Options
    from edgebit.plugin import Context

ROTATE_OPTIONS = (
    Option("rotate", boolean, False, "rename a file that has grown to rotate_max_size and begin a new one"),
    Option("rotate_max_size", size, 100_000_000, "bytes that a file has when it is rotated; a batch is never divided",
           minimum=1),
    Option("rotate_max_files", integer, 7, "rotated files that are kept of each", minimum=1),
    Option("rotate_gzip", boolean, True, "pack rotated files with gzip"),
)  # fmt: skip
_SLICE = 65536  # bytes packed in a turn: some ms on a small processor
_SUFFIX = re.compile(r"\.[0-9]{8}_[0-9]{6}(_[0-9a-f]{8})?(\.gz)?(\.tmp)?")


class Rotation:
    """Rotates files; `opt` has ROTATE_OPTIONS."""

    def __init__(self, opt: Options, ctx: Context) -> None:
        self._ctx, self._max_size, self._max_files = ctx, opt.rotate_max_size, opt.rotate_max_files
        self._gzip = opt.rotate_gzip
        self._waiting: deque[str] = deque()  # to be packed; bounded by the number of files and rotate_max_files
        self._packing: _Packing | None = None
        self._timer: Timer | None = None
        self._failed = False

    def due(self, fd: int) -> bool:
        """The open file is full."""
        return os.fstat(fd).st_size >= int(self._max_size)

    def rotate(self, path: str) -> bool:
        """Rename the file and look after its predecessors. False if that fails: then it goes on growing."""
        when = time.strftime("%Y%m%d_%H%M%S", time.localtime(self._ctx.clock.wall_ns() // 10**9))
        try:
            os.rename(path, f"{path}.{when}_{os.urandom(4).hex()}")
        except OSError as error:
            if not self._failed:
                self._ctx.log.warn(f"cannot rotate {path}: {reason(error)}; it goes on growing")
            self._failed = True
            return False
        self._failed = False
        self._tidy(path)
        return True

    def close(self) -> None:
        """Stop packing; what is half packed stays as it was."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._packing is not None:
            self._packing.abandon()
            self._packing = None
        self._waiting.clear()

    def _tidy(self, path: str) -> None:
        directory, base = os.path.split(path)
        found: list[tuple[int, str]] = []
        for name in os.listdir(directory or "."):
            suffix = name[len(base) :]
            whole = os.path.join(directory, name)
            if not name.startswith(base) or not _SUFFIX.fullmatch(suffix):
                continue
            if suffix.endswith(".tmp"):
                if self._packing is None or whole != self._packing.target:
                    _remove(whole)
                continue
            try:
                found.append((os.stat(whole).st_mtime_ns, whole))
            except OSError:
                continue  # gone in the meantime
        found.sort()
        for _, name in found[: -self._max_files]:
            _remove(name)
        if self._gzip:
            packing = self._packing.source if self._packing is not None else ""
            fresh = [name for _, name in found[-self._max_files :] if not name.endswith(".gz")]
            self._waiting.extend(name for name in fresh if name != packing and name not in self._waiting)
            self._go_on()

    def _go_on(self) -> None:
        if self._timer is None and (self._waiting or self._packing is not None):
            self._timer = self._ctx.call_later(0, self._pack)

    def _pack(self) -> None:
        self._timer = None
        try:
            if self._packing is None:
                self._packing = _Packing(self._waiting.popleft())
            if self._packing.slice():
                self._packing = None
        except FileNotFoundError:
            self._drop()  # removed, by us or by somebody else
        except OSError as error:
            self._ctx.log.warn(f"cannot pack a rotated file: {reason(error)}; it stays as it is")
            self._drop()
        self._go_on()

    def _drop(self) -> None:
        if self._packing is not None:
            self._packing.abandon()
            self._packing = None


class _Packing:
    """One file on its way into a gzip file."""

    def __init__(self, source: str) -> None:
        self.source, self.target = source, f"{source}.gz.tmp"
        self._in: BinaryIO = open(source, "rb", buffering=0)  # noqa: SIM115 - held over many turns
        try:
            self._out: BinaryIO = open(self.target, "wb", buffering=0)  # noqa: SIM115
        except OSError:
            self._in.close()
            raise
        self._packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: with a gzip header and trailer

    def slice(self) -> bool:
        """Pack a little more; True when all is done. Raises OSError."""
        data = self._in.read(_SLICE)
        packed = self._packer.compress(data) if data else self._packer.flush()
        while packed:
            packed = packed[self._out.write(packed) :]
        if data:
            return False
        os.fsync(self._out.fileno())  # the original goes now: a power cut must not leave neither
        st = os.fstat(self._in.fileno())
        os.utime(self._out.fileno(), ns=(st.st_atime_ns, st.st_mtime_ns))  # their order is told by these
        self._in.close()
        self._out.close()
        os.rename(self.target, self.target.removesuffix(".tmp"))
        os.remove(self.source)
        return True

    def abandon(self) -> None:
        self._in.close()
        self._out.close()
        _remove(self.target)


def _remove(path: str) -> None:
    try:
        os.remove(path)
    except OSError:
        pass  # gone already; or it stays, and is tried again after the next rotation
