"""What a collector has on disk: a file of JSON lines for each tag, and what is needed to go on after kill -9.

The order for a batch: (1) its entry is appended to the journal: which records, to which file, at which size of it; (2)
the lines are appended to the file; (3) with `fsync`, the file is synced; (4) the batch counts as received and may be
answered. A process killed before (4) hasn't answered, so the sender sends again: a last entry whose lines aren't
complete in the file is undone at the next start, one whose lines are there is entered. Hence neither loss nor
duplicate after a kill -9. A power cut can take what was not synced; that is what `fsync` is for.

At most once a second the state is written anew and the journal emptied: a new file, synced, renamed over the old one.
The number of the batch is in both, so an entry is never counted twice. A write that fails leaves nothing behind.
"""

from __future__ import annotations

import fcntl
import json
import os

from edgebit.collector.received import MAX_SEQUENCE, Received
from edgebit.errors import StateError, reason
from edgebit.ledger import TAG as LOSS_TAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from edgebit.collector.received import Span
    from edgebit.log import Log

STATE, JOURNAL = ".edgebit-collect.json", ".edgebit-collect.journal"
MAX_OPEN = 64  # files; the one that was written to longest ago is closed for another
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class Batch:
    """Records of one tag as they came. `first` is the sequence of the first one, 0 if they have no identity."""

    __slots__ = ("agent", "first", "lines", "stream", "tag")

    def __init__(self, tag: str, lines: Sequence[str], agent: str = "", stream: str = "", first: int = 0) -> None:
        if first + len(lines) > MAX_SEQUENCE:
            raise ValueError("the sequence number is too big")
        self.tag, self.lines = tag, lines
        self.agent, self.stream, self.first = agent, stream, first


class Outcome:
    """What became of a batch: the lines that were new, how many weren't, and the gap that it opened in its stream."""

    __slots__ = ("duplicates", "gap", "new")

    def __init__(self, new: Sequence[str], duplicates: int, gap: Span | None) -> None:
        self.new, self.duplicates, self.gap = new, duplicates, gap


class Directory:
    """See the module's docstring. Raises StateError when the directory can't be used at all."""

    def __init__(self, path: str, log: Log, fsync: bool = False) -> None:
        self.path, self.fsync, self._log = path, fsync, log
        self.changed = False  # since the state was written
        self._files: dict[str, int] = {}  # open descriptors by name, in the order of use
        try:
            os.makedirs(path, exist_ok=True)
            self._journal = _open(os.path.join(path, JOURNAL), os.O_RDWR)
        except OSError as error:
            raise StateError(f"cannot collect into {path}: {reason(error)}") from None
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.received = self._load()
            self._replay()
        except BlockingIOError:
            os.close(self._journal)
            raise StateError(f"cannot collect into {path}: another collector does") from None
        except OSError as error:
            os.close(self._journal)
            raise StateError(f"cannot collect into {path}: {reason(error)}") from None

    def put(self, batch: Batch) -> Outcome:
        """Write what of a batch is new, all or nothing. Raises OSError when the disk doesn't take it."""
        received, first, count = self.received, batch.first, len(batch.lines)
        known = received.streams.get((batch.agent, batch.stream))
        new = batch.lines
        gap = None
        if batch.stream:
            spans = received.absent(batch.agent, batch.stream, first, count)
            if spans != [(first, first + count - 1)]:
                new = [line for lo, hi in spans for line in batch.lines[lo - first : hi - first + 1]]
            if known is not None and first > known.spans.highest + 1:
                gap = (known.spans.highest + 1, first - 1)
        if count:
            self._write(batch, new)
            received.enter(batch.agent, batch.stream, batch.tag, first, count, len(new))
            if batch.tag == LOSS_TAG:
                received.explain(batch.agent, new)
            self.changed = True
        return Outcome(new, count - len(new), gap)

    def save(self) -> None:
        """Write the state if it has changed. Raises OSError; the journal then goes on growing."""
        if not self.changed:
            return
        target = os.path.join(self.path, STATE)
        fd = os.open(target + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            _append(fd, json.dumps(self.received.state(), separators=(",", ":")).encode() + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(target + ".new", target)
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)  # the new name first, or a power cut leaves the old state and no journal
        finally:
            os.close(directory)
        os.ftruncate(self._journal, 0)
        self.changed = False

    def close(self) -> None:
        """Write the state and give everything back. May be called more than once."""
        if self._journal < 0:
            return
        try:
            self.save()
        except OSError as error:
            self._log.error(f"cannot write {STATE} ({reason(error)}); the journal has what is missing in it")
        for fd in (*self._files.values(), self._journal):
            os.close(fd)
        self._files.clear()
        self._journal = -1

    # -- writing -----------------------------------------------------------------------------------------------------

    def _write(self, batch: Batch, new: Sequence[str]) -> None:
        data = "".join([line + "\n" for line in new]).encode()
        name = file_name(batch.tag)
        fd = self._file(name) if data else -1
        at = os.fstat(fd).st_size if data else 0
        entry = {"n": self.received.batches + 1, "agent": batch.agent, "stream": batch.stream, "tag": batch.tag,
                 "first": batch.first, "count": len(batch.lines), "new": len(new), "file": name, "at": at,
                 "size": len(data)}  # fmt: skip
        mark = os.fstat(self._journal).st_size
        _append(self._journal, json.dumps(entry).encode() + b"\n")
        try:
            if data:
                _append(fd, data)
                if self.fsync:
                    os.fsync(fd)
        except OSError:
            _truncate(fd, at)
            _truncate(self._journal, mark)
            raise

    def _file(self, name: str) -> int:
        """The descriptor of a file, opened if it isn't, or if somebody has moved or removed it."""
        path = os.path.join(self.path, name)
        fd = self._files.pop(name, -1)
        if fd >= 0 and not _is_at(fd, path):
            os.close(fd)
            fd = -1
        if fd < 0:
            if len(self._files) >= MAX_OPEN:
                os.close(self._files.pop(next(iter(self._files))))
            fd = _open(path, os.O_WRONLY)
        self._files[name] = fd
        return fd

    # -- starting ----------------------------------------------------------------------------------------------------

    def _load(self) -> Received:
        path = os.path.join(self.path, STATE)
        try:
            with open(path, "rb") as file:
                return Received.from_state(json.loads(file.read()))
        except FileNotFoundError:
            return Received()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._log.warn(f"cannot read {path} ({reason(error)}); it is kept as {STATE}.broken, and records that were "
                           "received before may be written again")  # fmt: skip
            os.rename(path, path + ".broken")
            return Received()

    def _replay(self) -> None:
        """Enter what the journal has beyond the state; undo the last batch if its lines are not complete."""
        entries = []
        with open(os.path.join(self.path, JOURNAL), "rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    if entry["n"] > self.received.batches:
                        entries.append(entry)
                except (ValueError, KeyError, TypeError):
                    break  # the end of a journal that was being written: its batch had not begun
        for entry in entries:
            if entry is entries[-1] and not self._complete(entry):
                break
            self.received.enter(
                entry["agent"], entry["stream"], entry["tag"], entry["first"], entry["count"], entry["new"]
            )
            if entry["tag"] == LOSS_TAG:
                self.received.explain(entry["agent"], self._lines(entry))
        self.changed = True
        self.save()

    def _complete(self, entry: dict[str, Any]) -> bool:
        path, at = os.path.join(self.path, entry["file"]), entry["at"]
        try:
            size = os.stat(path).st_size
        except OSError:
            size = 0  # moved away since, or never made
        if not entry["size"] or size >= at + entry["size"]:
            return True
        if size > at:
            os.truncate(path, at)
        return False

    def _lines(self, entry: dict[str, Any]) -> list[str]:
        """What a batch has written, if its file is still there."""
        try:
            with open(os.path.join(self.path, entry["file"]), "rb") as file:
                file.seek(entry["at"])
                return file.read(entry["size"]).decode(errors="replace").splitlines()
        except OSError:
            return []


def file_name(tag: str) -> str:
    """A file name for a tag: different ones for different tags, none that is hidden or leaves the directory."""
    name = "".join(c if c in _SAFE else "".join(f"%{b:02X}" for b in c.encode("utf-8", "replace")) for c in tag)
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > 200:
        import hashlib

        name = f"{name[:160]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name + ".jsonl"


def _open(path: str, mode: int) -> int:
    return os.open(path, mode | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _append(fd: int, data: bytes) -> None:
    """Write all of it, or nothing: a file that has no room is cut back to what it was. Raises OSError."""
    size = os.fstat(fd).st_size
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        _truncate(fd, size)
        raise


def _truncate(fd: int, size: int) -> None:
    try:
        if fd >= 0:
            os.ftruncate(fd, size)
    except OSError:
        pass  # the error that led here is the one to report


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False
