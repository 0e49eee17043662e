"""The memory buffer: bounded in bytes; nothing in it survives the process.

What is appended grows a chunk per tag until the chunk is big enough, or until the sender asks for whatever there is;
then it is sealed: it gets its sequence numbers and joins the queue. So a backlog consists of full chunks, however small
the pieces were in which it came. When space gets short, waiting chunks are turned into bytes, a fifth of their size,
before anything blocks or is dropped.

It must not know outputs, time or the loop.
"""

from __future__ import annotations

from collections import deque

from edgebit.buffer import BLOCK, DROP_OLDEST
from edgebit.record import Chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from edgebit.plugin import Receipt
    from edgebit.record import Record

LARGEST_CHUNK = 512 * 1024  # bytes of decoded records, about 100 KiB of payload
SMALLEST_LIMIT = 16 * 1024


class MemoryBuffer:
    """See edgebit.buffer for the contract.

    limit     bytes that it may hold
    overflow  what to do when it is full
    lost      called with (reason, count, first sequence) for each loss
    """

    def __init__(self, limit: int, overflow: str, stream_id: str, lost: Callable[[str, int, int], object],
                 chunk_size: int = LARGEST_CHUNK) -> None:  # fmt: skip
        self.limit, self.overflow, self.stream_id = limit, overflow, stream_id
        self.chunk_size = max(1024, min(chunk_size, limit // 8))
        self.used = 0
        self.records = 0  # waiting or on their way
        self._lost = lost
        self._queue: deque[Chunk] = deque()  # sealed, by sequence
        self._out = 0  # how many at the head of the queue have been handed out
        self._open: dict[str, Chunk] = {}  # by tag, the longest waiting first
        self._next_seq = 1

    # -- in ----------------------------------------------------------------------------------------------------------

    def append(self, tag: str, records: list[Record], size: int, receipt: Receipt | None = None) -> int:
        """Take records that cost `size` bytes together; how many were taken, always a prefix."""
        taken = 0
        while taken < len(records):
            piece, cost = self._piece(records, size, taken)
            need = cost + Chunk.OVERHEAD
            if need > self.limit:
                self._skip("larger than the whole buffer", len(piece))
                taken += len(piece)
                continue
            if self.used + need > self.limit and not self._make_room(need):
                if self.overflow == BLOCK:
                    return taken
                if self.overflow != DROP_OLDEST or not self._drop_oldest(need):
                    self._skip("buffer full", len(records) - taken)
                    break
            chunk = self._open.get(tag)  # only now: making room may have sealed it
            if chunk is not None and chunk.size + cost > self.chunk_size:
                self._seal(chunk)
                chunk = None
            if chunk is None:
                chunk = self._open[tag] = Chunk(tag, [], 0)
                self.used += Chunk.OVERHEAD
            chunk.extend(piece, cost)
            self.used += cost
            self.records += len(piece)
            if receipt is not None:
                receipt.hold()
                chunk.done.append(receipt.release)
            taken += len(piece)
            if chunk.size >= self.chunk_size:
                self._seal(chunk)
        return len(records)

    def _piece(self, records: list[Record], size: int, start: int) -> tuple[list[Record], int]:
        """The next records that make at most one chunk, and their share of the size."""
        left = len(records) - start
        n = min(left, max(1, self.chunk_size * len(records) // max(1, size)))
        if n == len(records):
            return records, size
        return records[start : start + n], size * n // len(records)

    def _seal(self, chunk: Chunk) -> None:
        del self._open[chunk.tag]
        chunk.seq = self._next_seq
        self._next_seq += chunk.count
        self._queue.append(chunk)

    # -- out ---------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """A full chunk waits to be handed out."""
        return self._out < len(self._queue)

    @property
    def waiting(self) -> bool:
        """Anything waits to be handed out, also chunks that still grow."""
        return self._out < len(self._queue) or bool(self._open)

    def read(self, flush: bool = False) -> Chunk | None:
        """The next chunk. With `flush`, chunks that still grow are sealed when no other is left."""
        if self._out == len(self._queue):
            if not flush or not self._open:
                return None
            for chunk in list(self._open.values()):
                self._seal(chunk)
        chunk = self._queue[self._out]
        self._out += 1
        return chunk

    def rewind(self) -> None:
        self._out = 0

    def ack(self, upto: int) -> None:
        while self._queue and self._queue[0].last_seq <= upto:
            chunk = self._queue.popleft()
            self._out = max(0, self._out - 1)
            self._forget(chunk)

    def _forget(self, chunk: Chunk) -> None:
        self.used -= chunk.size
        self.records -= chunk.count
        chunk.release()

    # -- when it is full ---------------------------------------------------------------------------------------------

    def _make_room(self, need: int) -> bool:
        """Turn waiting chunks into bytes, the newest first: the oldest will be wanted decoded soonest."""
        for i in range(len(self._queue) - 1, self._out - 1, -1):
            if self._compact(self._queue[i]) and self.used + need <= self.limit:
                return True
        for chunk in list(self._open.values()):
            if self.used + need <= self.limit:
                break
            self._seal(chunk)
            self._compact(chunk)
        return self.used + need <= self.limit

    def _compact(self, chunk: Chunk) -> bool:
        if chunk.compacted:
            return False
        before = chunk.size
        chunk.compact()
        self.used += chunk.size - before
        return True

    def relax(self) -> None:
        """Called when a turn is over: keep half of the space free of decoded backlog, so the next turn finds room."""
        if self.used > self.limit // 2:
            for i in range(self._out, len(self._queue)):
                if self._compact(self._queue[i]) and self.used <= self.limit // 2:
                    break

    def _drop_oldest(self, need: int) -> bool:
        """Drop what waits longest and isn't on its way. False if what is on its way leaves no room."""
        while self.used + need > self.limit:
            if self._out == len(self._queue):
                if not self._open:
                    return False
                self._seal(next(iter(self._open.values())))
            chunk = self._queue[self._out]
            del self._queue[self._out]
            self._lost("buffer full, oldest dropped", chunk.count, chunk.seq)
            self._forget(chunk)
        return True

    def _skip(self, why: str, count: int) -> None:
        """Count records that are not taken; they use up sequence numbers, so the gap can be explained."""
        for chunk in list(self._open.values()):
            self._seal(chunk)
        self._lost(why, count, self._next_seq)
        self._next_seq += count

    def abandon(self, why: str) -> int:
        """The process ends: count what is left as lost, but for chunks whose input waits for a receipt; it will read
        them again. Returns the number of records of these."""
        for chunk in list(self._open.values()):
            self._seal(chunk)
        again = 0
        for chunk in self._queue:
            if chunk.done:
                again += chunk.count
            else:
                self._lost(why, chunk.count, chunk.seq)
        self._queue.clear()
        self._out = self.used = self.records = 0
        return again
