"""One followed file: where it is read, where its lines end, how far it is safe.

The position always is the start of a line, and nothing of an unfinished line is kept in memory: it is read again when
there is more of it. So a file costs half a kilobyte, may be closed and opened again at any time, and a restart
continues where a line begins.

Every read also takes the (up to 256) bytes before the position and compares them with what was read there before. That
notices a file that was truncated or rewritten in place (logrotate's copytruncate), also when it has already grown past the
old position, and costs no system call.

What it can't notice: a file rewritten with the very same bytes, or with lines all alike.
"""

from __future__ import annotations

import os
from collections import deque
from stat import S_ISREG

from edgebit.inputs.checkpoint import ANCHOR_GAP, FINGERPRINT, Position, anchored, mark
from edgebit.plugin import Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgebit.inputs.checkpoint import Anchor, Mark

    Identity = tuple[int, int]  # device and inode


class Rewritten(Exception):
    """What stands before the position is not what was read there."""


class NotRegular(Exception):
    """A FIFO, socket, device or directory."""


def open_regular(path: str) -> tuple[int, os.stat_result]:
    """A descriptor and its state. Raises OSError, or NotRegular without having opened anything that could block."""
    if not S_ISREG(os.stat(path).st_mode):
        raise NotRegular
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    state = os.fstat(fd)
    if not S_ISREG(state.st_mode):
        os.close(fd)
        raise NotRegular
    return fd, state


class Progress:
    """How far a file is safe: the end of the longest run of batches, from the first on, whose receipts are released."""

    __slots__ = ("_moved", "_pending", "anchors", "offset", "tail")

    def __init__(self, offset: int, tail: Mark, moved: Callable[[], object], anchors: Sequence[Anchor] = ()) -> None:
        self.offset, self.tail, self._moved = offset, tail, moved
        self.anchors = [anchor for anchor in anchors if anchor[0] <= offset]
        self._pending: deque[list[int]] = deque()

    @property
    def complete(self) -> bool:
        return not self._pending

    def add(self, end: int, tail: bytes, source: str, again: bool) -> Receipt:
        """A receipt for the batch that ends at `end`, where `tail` stands before it."""
        batch = [end, *mark(tail), False]
        self._pending.append(batch)

        def safe() -> None:
            batch[3] = True
            pending = self._pending
            if pending[0][3]:
                while pending and pending[0][3]:
                    self.offset, *tail, _ = pending.popleft()
                self.tail = (tail[0], tail[1])
                if self.offset - (self.anchors[-1][0] if self.anchors else 0) >= ANCHOR_GAP:
                    anchored(self.anchors, self.offset, self.tail)
                self._moved()

        return Receipt(safe, (source, end, batch[2]), again)


class TailedFile:
    """See the module's docstring. The attributes below the line are for the plugin's book-keeping."""

    __slots__ = ("_moved", "at_end", "fd", "head", "identity", "left", "long_lines", "new_path", "offset",
                 "path", "polled", "progress", "ready", "scanned", "seen", "source", "stops", "strikes", "tag", "tail",
                 "wd")  # fmt: skip

    def __init__(self, path: str, tag: str, fd: int, identity: Identity, offset: int,
                 moved: Callable[[], object]) -> None:  # fmt: skip
        self.path, self.tag, self.fd, self.identity = path, tag, fd, identity
        self.offset = offset
        self.scanned = 0  # bytes from the position on that are known to belong to one line that is too long
        self.at_end = False  # the last read found the end of the file
        self._moved = moved
        # How far outputs have stored it already, beyond the position: reading stops there, so that a batch is either
        # stored by an output or not.
        self.stops: list[int] = []
        self.source = ""  # what buffers know it by
        self._remember()
        self.progress = Progress(offset, mark(self.tail), moved)
        # ----
        self.wd = -1  # inotify's number
        self.seen = (-1, -1)  # size and mtime when last looked at
        self.ready = False  # waits for its turn to be read
        self.polled = False  # ... because a look, not an event, found it changed
        self.strikes = 0  # how often that brought new lines
        self.left: float | None = None  # when it lost its name or last grew after that
        self.new_path = ""  # another name that `path` matches
        self.long_lines = 0

    def _remember(self) -> None:
        self.head = os.pread(self.fd, min(FINGERPRINT, self.offset), 0)
        length = min(FINGERPRINT, self.offset)
        self.tail = os.pread(self.fd, length, self.offset - length)

    def position(self) -> Position:
        """What the checkpoint keeps of it."""
        safe = self.progress
        head = self.head[: safe.offset]
        return Position(self.path, self.identity[1], safe.offset, mark(head), safe.tail, safe.anchors)

    def read(self, size: int, limit: int) -> tuple[bytes, int]:
        """The next whole lines, about `size` bytes of them, and how many bytes of the file they are.

        (b"", 0) if there are none yet, or none found yet (then `at_end` is False). A line longer than `limit` comes
        alone, as its first `limit` bytes, so with fewer bytes than it is. Raises Rewritten (then call `rewind`) or OSError.
        """
        if self.scanned:
            return self._read_on(size, limit)
        keep = len(self.tail)
        while True:
            block = os.pread(self.fd, keep + size, self.offset - keep)
            if not block.startswith(self.tail):
                self._other_bytes(block)
            self.at_end = len(block) < keep + size
            end = block.rfind(b"\n") + 1
            if end > keep or self.at_end or size > limit:
                break
            size = limit + 1
        if end <= keep:
            if len(block) - keep > limit:
                self.scanned = len(block) - keep
            return b"", 0
        start = keep
        while end - start > limit + 1:  # in strides of `limit`: cheap, however short the lines
            newline = block.rfind(b"\n", start, start + limit + 1)
            if newline < 0:
                break
            start = newline + 1
        else:
            return block[keep:end], end - keep
        self.at_end = False
        if start > keep:
            return block[keep:start], start - keep
        return _cut(block[keep : keep + limit]), block.index(b"\n", keep) + 1 - keep

    def _read_on(self, size: int, limit: int) -> tuple[bytes, int]:
        """Look for the end of a line that is too long; only then take its beginning."""
        block = os.pread(self.fd, size, self.offset + self.scanned)
        self.at_end = len(block) < size
        newline = block.find(b"\n")
        if newline < 0:
            self.scanned += len(block)
            if not block and os.fstat(self.fd).st_size < self.offset + self.scanned:
                self.scanned, self.at_end = 0, False  # truncated: the next read starts over
            return b"", 0
        taken = self.scanned + newline + 1
        self.scanned, self.at_end = 0, False
        keep = len(self.tail)
        block = os.pread(self.fd, keep + limit, self.offset - keep)
        if not block.startswith(self.tail) or b"\n" in block[keep:]:
            return b"", 0  # rewritten meanwhile: the next read finds out
        return _cut(block[keep:]), taken

    def rest(self, limit: int) -> tuple[bytes, int]:
        """The last line, which has no line end, as `read` would give it; only when `at_end`."""
        taken = os.fstat(self.fd).st_size - self.offset
        if taken <= 0:
            return b"", 0
        data = os.pread(self.fd, min(limit, taken), self.offset)
        if b"\n" in data:  # written just now
            self.at_end = False
            return b"", 0
        return (data, len(data)) if taken <= limit else (_cut(data), taken)

    def advance(self, data: bytes, taken: int) -> Receipt:
        """Move the position over what `read` or `rest` gave; a receipt for it."""
        self.offset += taken
        if taken > len(data):
            self._remember()
        else:
            self.tail = data[-FINGERPRINT:] if len(data) >= FINGERPRINT else (self.tail + data)[-FINGERPRINT:]
            if len(self.head) < FINGERPRINT:
                self.head = (self.head + data)[:FINGERPRINT]
        again = bool(self.stops) and self.offset <= self.stops[-1]
        while self.stops and self.stops[0] <= self.offset:
            self.stops.pop(0)
        return self.progress.add(self.offset, self.tail, self.source, again)

    def go_on_behind(self, stored: list[tuple[int, int]], position: Position | None) -> None:
        """Take up what the outputs had stored of this file before the last restart, as (offset, check). `position` is
        that of the checkpoint, if it knows the file; everything before it is safe."""
        known = position is not None
        anchors = position.anchors if position is not None else ()
        self.progress = Progress(self.offset, mark(self.tail), self._moved, anchors)
        size = os.fstat(self.fd).st_size
        good = []
        for at, check in stored:
            length = min(FINGERPRINT, at)
            same = 0 <= at <= size and mark(os.pread(self.fd, length, at - length))[1] == check
            good.append(max(at, self.offset if known else 0) if same else -1)
        positions = [at if at >= 0 else self.offset for at in good]
        if not positions or max(good) < 0:
            return
        self.offset = min(positions)
        self.stops = sorted({at for at in positions if at > self.offset})
        self._remember()
        self.progress = Progress(self.offset, mark(self.tail), self._moved, anchors)

    def rewind(self) -> None:
        """Start over at the beginning. Receipts for what stood there before have no say any more."""
        self.offset = self.scanned = 0
        self.stops.clear()
        self.head = self.tail = b""
        self.at_end = False
        self.progress = Progress(0, mark(b""), self._moved)
        self._moved()

    def _other_bytes(self, block: bytes) -> None:
        keep = len(self.tail)
        if len(block) < keep or block[:keep].strip(b"\0"):
            raise Rewritten
        # Only zeros: truncated under a writer that does not append and goes on at its old place, behind a hole (or the
        # zeros of a power cut). What it writes is new, what stands before it was read.
        self._remember()

    def reopen(self) -> None:
        """Open it again, under whatever name it has in its directory now. Raises OSError when it is gone."""
        directory = os.path.dirname(self.path)
        names = [self.path, self.new_path] if self.new_path else [self.path]
        for name in names + by_inode(directory).get(self.identity[1], []):
            try:
                fd, state = open_regular(name)
            except (OSError, NotRegular):
                continue
            if (state.st_dev, state.st_ino) == self.identity:
                self.fd = fd
                return
            os.close(fd)
        raise FileNotFoundError(2, "it is gone", self.path)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def by_inode(directory: str) -> dict[int, list[str]]:
    """The names in a directory by inode number, as paths. Raises OSError."""
    found: dict[int, list[str]] = {}
    with os.scandir(directory or ".") as entries:
        for entry in entries:
            found.setdefault(entry.inode(), []).append(os.path.join(directory, entry.name))
    return found


def line_start(fd: int, size: int, limit: int) -> int:
    """Where to start at the end of a file of `size` bytes: behind its last line end, so that a line being written now
    comes whole; at `size` if there is none within `limit` bytes."""
    start = max(0, size - limit)
    newline = os.pread(fd, size - start, start).rfind(b"\n")
    if newline >= 0:
        return start + newline + 1
    return size if start else 0


def _cut(data: bytes) -> bytes:
    """Without the beginning of a UTF-8 character (RFC 3629) whose end was cut off."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # not a continuation: ASCII, or it tells how many belong to it
            need = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if need > back else data
    return data
