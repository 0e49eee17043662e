"""A buffer on disk, and books of what went in and what came out: what the tests of damage, faults and policies share.

Each record carries a number, counted from 1 in the order in which records are offered. `Books` checks at each delivery that
the records are as they were appended, that a (stream, sequence) names the same record for ever, and that the order holds;
what was delivered and what was counted as lost can then be asked.
"""

from __future__ import annotations

from typing import Any

from edgebit.buffer.disk import DiskBuffer
from edgebit.plugin import Receipt
from edgebit.record import Chunk, Record, Shape, records_size
from fakes.buffers import FakeClocks, disk_buffer

DIRECTORY = "/state/buffers/a"
SHAPE = Shape.of(("n", "text"))


def record(number: int, size: int = 20) -> Record:
    return (number, SHAPE, (number, (f"{number}:" * size)[:size]))


class Books:
    """A buffer that is opened and closed, and what is known of its records.

    appended   numbers of the records that it took, in order
    safe       numbers of those whose receipt came back
    delivered  number by name, of all that was ever read; in the order of the first time
    losses     (reason, count, first sequence, stream) as reported
    notes      log lines
    """

    def __init__(self, files: Any, directory: str = DIRECTORY, **settings: Any) -> None:
        self.files, self.directory, self.settings = files, directory, settings
        self.clocks: FakeClocks = settings.pop("clocks", None) or FakeClocks()
        self.appended: list[int] = []
        self.safe: set[int] = set()
        self.delivered: dict[tuple[str, int], int] = {}
        self.losses: list[tuple[str, int, int, str]] = []
        self.notes: list[str] = []
        self.opened = 0
        self._offered = 0
        self.buffer: DiskBuffer

    def open(self, **settings: Any) -> DiskBuffer:
        """Open it, as a process does at its start; `settings` replace those it was made with."""
        self.opened += 1
        self.settings |= settings
        self.buffer = disk_buffer(self.files, self.directory, losses=self.losses, notes=self.notes, clocks=self.clocks,
                                  stream_id=f"{self.opened:016x}", **self.settings)  # fmt: skip
        return self.buffer

    def put(self, count: int = 1, tag: str = "t", size: int = 20, mark: tuple[str, int] | None = None) -> int:
        """Append the next records; how many were taken."""
        numbers = range(self._offered + 1, self._offered + 1 + count)
        self._offered += count
        records = [record(n, size) for n in numbers]
        receipt = Receipt(lambda: self.safe.update(numbers[:taken]), mark)
        taken = self.buffer.append(tag, records, records_size(records), receipt)
        self.appended += numbers[:taken]
        receipt.release()
        return taken

    def take(self) -> Chunk | None:
        """Read the next chunk and enter it."""
        chunk = self.buffer.read(flush=True)
        if chunk is not None:
            self._enter(chunk)
        return chunk

    def take_all(self, ack: bool = True) -> list[int]:
        """Read, and acknowledge, everything there is; the numbers of what came."""
        found = []
        while (chunk := self.take()) is not None:
            found += [r[2][0] for r in chunk.records]
            if ack:
                self.buffer.ack(chunk)
        return found

    def _enter(self, chunk: Chunk) -> None:
        for seq, (time_ns, shape, (number, text)) in enumerate(chunk.records, chunk.seq):
            assert (time_ns, shape, text) == (number, SHAPE, record(number, len(text))[2][1]), f"{number} was changed"
            known = self.delivered.setdefault((chunk.stream, seq), number)
            assert known == number, f"({chunk.stream}, {seq}) is {number} and was {known}"

    def close(self) -> int:
        return self.buffer.close("not delivered before the stop")

    def wait(self, seconds: float) -> None:
        """Time passes; the buffer does what is due, when it is due."""
        end = self.clocks.clock.now + seconds
        for _ in range(100_000):
            due = self.buffer.deadline
            if due is None or self.clocks.clock.now + due > end:
                break
            self.clocks.clock.advance(due)
            self.buffer.commit()
            if due == 0.0:
                assert self.buffer.deadline != 0.0, "it is always due: the loop would spin"
        self.clocks.clock.advance(max(0.0, end - self.clocks.clock.now))
        self.buffer.commit()

    @property
    def lost(self) -> int:
        """How many records were counted as lost."""
        return sum(count for _, count, _, _ in self.losses)

    @property
    def got(self) -> set[int]:
        """Numbers of the records that were delivered."""
        return set(self.delivered.values())
