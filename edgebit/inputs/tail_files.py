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
from edgebit.inputs.tail_charset import LF, first_end, last_end, newline, sniff, whole
from edgebit.plugin import Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgebit.inputs.checkpoint import Anchor, Mark
    from edgebit.inputs.tail_joining import Joiner

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

    __slots__ = ("_last", "_moved", "_pending", "anchors", "offset", "tail")

    def __init__(self, offset: int, tail: Mark, moved: Callable[[], object], anchors: Sequence[Anchor] = ()) -> None:
        self.offset, self.tail, self._moved = offset, tail, moved
        self.anchors = [anchor for anchor in anchors if anchor[0] <= offset]
        self._pending: deque[list[int]] = deque()
        self._last = (offset, *tail)

    @property
    def end(self) -> int:
        """Where the last batch ends."""
        return self._last[0]

    @property
    def complete(self) -> bool:
        return not self._pending

    def add(self, end: int, tail: bytes, source: str, again: bool) -> Receipt:
        """A receipt for the batch that ends at `end`, where `tail` stands before it."""
        self._last = (end, *mark(tail))
        return self.stay(source, again)

    def stay(self, source: str, again: bool = False) -> Receipt:
        """A receipt for a batch that ends where the last one does: of lines that came later than some that wait."""
        batch = [*self._last, False]
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

        return Receipt(safe, (source, batch[0], batch[2]), again)


class TailedFile:
    """See the module's docstring. The attributes below the line are for the plugin's book-keeping."""

    __slots__ = ("_moved", "at_end", "codec", "damage", "fd", "head", "identity", "joiner", "left", "long_lines",
                 "new_path", "newline", "offset", "path", "polled", "progress", "ready", "scanned", "seen", "source",
                 "stops", "strikes", "tag", "tail", "wd")  # fmt: skip

    def __init__(self, path: str, tag: str, fd: int, identity: Identity, offset: int,
                 moved: Callable[[], object], codec: str = "utf-8") -> None:  # fmt: skip
        self.path, self.tag, self.fd, self.identity = path, tag, fd, identity
        self.offset = offset
        self.codec, self.newline = codec, newline(codec)  # see tail_charset; "auto" until the file says something
        self.scanned = 0  # bytes from the position on that are known to belong to one line that is too long
        self.at_end = False  # the last read found the end of the file
        self._moved = moved
        # How far outputs have stored it already, beyond the position: reading stops there, so that a batch is either
        # stored by an output or not.
        self.stops: list[int] = []
        self.source = ""  # what buffers know it by
        self.damage = ""  # what makes the rest of it unreadable
        self.joiner: Joiner | None = None  # of its lines that belong together, if there are such
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

    # What stands in it. A compressed file has other ways to find out.

    def pread(self, size: int, at: int) -> bytes:
        return os.pread(self.fd, size, at)

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def tail_at(self, offset: int) -> bytes:
        """The bytes before an offset, as many as a fingerprint takes."""
        length = min(FINGERPRINT, offset)
        return self.pread(length, offset - length)

    def _remember(self) -> None:
        self.head = self.pread(min(FINGERPRINT, self.offset), 0)
        self.tail = self.tail_at(self.offset)

    def _sniff(self) -> bool:
        """Settle "auto"; False if there is nothing yet to tell by."""
        codec = sniff(self.head or self.pread(FINGERPRINT, 0))
        if codec:
            self.codec, self.newline = codec, newline(codec)
        self.at_end = not codec
        return bool(codec)

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
        if self.codec == "auto" and not self._sniff():
            return b"", 0
        keep, lf = len(self.tail), self.newline
        unit = len(lf)
        limit -= limit % unit
        while True:
            block = self.pread(keep + size, self.offset - keep)
            if not block.startswith(self.tail):
                self._other_bytes(block)
            self.at_end = len(block) < keep + size
            end = last_end(block, lf, keep, len(block))
            if end > keep or self.at_end or size > limit:
                break
            size = limit + unit
        if end <= keep:
            if len(block) - keep > limit:
                self.scanned = (len(block) - keep) // unit * unit
            return b"", 0
        start = keep
        while end - start > limit + unit:  # in strides of `limit`: cheap, however short the lines
            behind = last_end(block, lf, start, start + limit + unit)
            if behind < 0:
                break
            start = behind
        else:
            return block[keep:end], end - keep
        self.at_end = False
        if start > keep:
            return block[keep:start], start - keep
        return whole(block[keep : keep + limit], self.codec), first_end(block, lf, keep) - keep

    def _read_on(self, size: int, limit: int) -> tuple[bytes, int]:
        """Look for the end of a line that is too long; only then take its beginning."""
        lf = self.newline
        block = self.pread(size, self.offset + self.scanned)
        self.at_end = len(block) < size
        behind = first_end(block, lf, 0)
        if behind < 0:
            self.scanned += len(block) // len(lf) * len(lf)
            if not block and self.size() < self.offset + self.scanned:
                self.scanned, self.at_end = 0, False  # truncated: the next read starts over
            return b"", 0
        taken = self.scanned + behind
        self.scanned, self.at_end = 0, False
        keep = len(self.tail)
        limit -= limit % len(lf)
        block = self.pread(keep + limit, self.offset - keep)
        if not block.startswith(self.tail) or first_end(block, lf, keep) >= 0:
            return b"", 0  # rewritten meanwhile: the next read finds out
        return whole(block[keep:], self.codec), taken

    def rest(self, limit: int) -> tuple[bytes, int]:
        """The last line, which has no line end, as `read` would give it; only when `at_end`."""
        taken = self.size() - self.offset
        if taken <= 0:
            return b"", 0
        data = self.pread(min(limit, taken), self.offset)
        if first_end(data, self.newline, 0) >= 0:  # written just now
            self.at_end = False
            return b"", 0
        return (data, len(data)) if taken <= limit else (whole(data, self.codec), taken)

    def advance(self, data: bytes, taken: int) -> Receipt:
        """Move the position over what `read` or `rest` gave; a receipt for it."""
        self.move(data, taken)
        again = bool(self.stops) and self.offset <= self.stops[-1]
        while self.stops and self.stops[0] <= self.offset:
            self.stops.pop(0)
        return self.progress.add(self.offset, self.tail, self.source, again)

    def move(self, data: bytes, taken: int) -> None:
        """Move the position."""
        self.offset += taken
        if taken > len(data):
            self._remember()
        else:
            self.tail = data[-FINGERPRINT:] if len(data) >= FINGERPRINT else (self.tail + data)[-FINGERPRINT:]
            if len(self.head) < FINGERPRINT:
                self.head = (self.head + data)[:FINGERPRINT]

    def go_on_behind(self, stored: list[tuple[int, int]], position: Position | None) -> None:
        """Take up what the outputs had stored of this file before the last restart, as (offset, check). `position` is
        that of the checkpoint, if it knows the file; everything before it is safe."""
        known = position is not None
        anchors = position.anchors if position is not None else ()
        self.progress = Progress(self.offset, mark(self.tail), self._moved, anchors)
        good = []
        for at, check in stored:
            same = self.is_stored(at, check, known)
            good.append(max(at, self.offset if known else 0) if same else -1)
        positions = [at if at >= 0 else self.offset for at in good]
        if not positions or max(good) < 0:
            return
        self.offset = min(positions)
        self.stops = sorted({at for at in positions if at > self.offset})
        self._remember()
        self.progress = Progress(self.offset, mark(self.tail), self._moved, anchors)

    def is_stored(self, at: int, check: int, known: bool) -> bool:
        """Whether what an output has stored up to an offset is this file's content."""
        return 0 <= at <= self.size() and mark(self.tail_at(at))[1] == check

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
        names = [self.path, self.new_path] if self.new_path else [self.path]
        for directory in homes(self.path):
            names += by_inode(directory).get(self.identity[1], [])
        for name in names:
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


def homes(path: str) -> list[str]:
    """The directories in which a file of this name may be found again after a rotation: where the name is, and where it
    leads to if it is a link (the logs of Kubernetes' containers)."""
    found = [os.path.dirname(path)]
    if os.path.islink(path):
        found.append(os.path.dirname(os.path.realpath(path)))
    return found


def by_inode(directory: str) -> dict[int, list[str]]:
    """The names in a directory by inode number, as paths. Raises OSError."""
    found: dict[int, list[str]] = {}
    with os.scandir(directory or ".") as entries:
        for entry in entries:
            found.setdefault(entry.inode(), []).append(os.path.join(directory, entry.name))
    return found


def line_start(fd: int, size: int, limit: int, lf: bytes = LF) -> int:
    """Where to start at the end of a file of `size` bytes: behind its last line end, so that a line being written now
    comes whole; at `size` if there is none within `limit` bytes."""
    start = max(0, size - limit) // len(lf) * len(lf)
    block = os.pread(fd, size - start, start)
    behind = last_end(block, lf, 0, len(block))
    if behind >= 0:
        return start + behind
    return size // len(lf) * len(lf) if start else 0
