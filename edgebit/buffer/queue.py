"""The queue of one output, in memory: bounded in bytes; nothing in it survives the process.

What is appended grows a chunk per tag until the chunk is big enough, or until the sender asks for whatever there is; then
it is sealed: it gets its sequence numbers and joins the queue. So a backlog consists of full chunks, however small the
pieces were in which it came. Only a quarter of the space is for decoded records; beyond that chunks are turned into bytes,
a fifth of their size. What decoded records have once taken counts as taken for good: small objects live in arenas that the
interpreter hardly ever gives back, so the bytes come on top of them. disk.py adds a part on disk to it.

It must not know outputs, selectors or files.
"""

from __future__ import annotations

from collections import deque

from edgebit.buffer import BLOCK, DROP_OLDEST
from edgebit.record import Chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from edgebit.buffer.format import Moment
    from edgebit.plugin import Receipt
    from edgebit.record import Record

    class Clocks(Protocol):
        def monotonic(self) -> float: ...

        def moment(self) -> Moment: ...


DECODED = 4  # this part of the limit may be decoded records: three chunks
LARGEST_CHUNK = 512 * 1024  # bytes of decoded records, about 100 KiB of payload


class Buffer:
    """See edgebit.buffer for the contract.

    limit     bytes that it may hold in memory
    overflow  what to do when it is full
    lost      called with (reason, count, first sequence, stream id) for each loss
    max_age   seconds after which an undelivered record is dropped; 0 keeps it
    """

    gone = False  # it was on disk, and its directory was removed: see restore.py

    def __init__(self, limit: int, overflow: str, stream_id: str, lost: Callable[[str, int, int, str], object],
                 chunk_size: int = LARGEST_CHUNK, *, clocks: Clocks, max_age: float = 0.0) -> None:  # fmt: skip
        self.limit, self.overflow, self.stream_id = limit, overflow, stream_id
        self.chunk_size = max(1024, min(chunk_size, limit // 12))
        self.used = 0
        self._decoded = 0  # the decoded records in it
        self._arenas = 0  # the most that those ever were, up to their part
        self._lost, self._clocks, self._max_age = lost, clocks, max_age
        self._queue: deque[Chunk] = deque()  # sealed, by sequence
        self._out = 0  # how many at its head have been handed out
        self._open: dict[str, Chunk] = {}  # by tag, the longest waiting first
        self._count = 0  # records in memory
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
            if self._decoded + cost > self.limit // DECODED:
                self._encode(cost)
            if not self._fits(need) and not self._make_room(need):
                if self.overflow == BLOCK:
                    return taken
                if self.overflow != DROP_OLDEST or not self._drop_oldest(need):
                    self._skip("buffer full", len(records) - taken)
                    break
            taken += len(piece)
            self._put(tag, piece, cost, receipt, taken == len(records))
        return len(records)

    def _put(self, tag: str, piece: list[Record], cost: int, receipt: Receipt | None, last: bool) -> None:
        chunk = self._open.get(tag)  # only now: making room may have sealed it
        if chunk is not None and chunk.size + cost > self.chunk_size:
            self._seal(chunk)
            chunk = None
        if chunk is None:
            chunk = self._open[tag] = Chunk(tag, [], 0, born=self._clocks.monotonic())
            self.used += Chunk.OVERHEAD
        chunk.extend(piece, cost)
        self.used += cost
        self._decoded += cost
        self._arenas = max(self._arenas, min(self._decoded, self.limit // DECODED))
        self._count += len(piece)
        if receipt is not None:
            receipt.hold()
            chunk.done.append(receipt.release)
            chunk.continues = receipt.mark is not None and not last
            if receipt.mark is not None and last:  # the mark stands for the whole batch
                if chunk.marks is None:
                    chunk.marks = {}
                chunk.marks[receipt.mark[0]] = receipt.mark[1:]
        if chunk.size >= self.chunk_size:
            self._seal(chunk)

    def _piece(self, records: list[Record], size: int, start: int) -> tuple[list[Record], int]:
        """The next records that make at most one chunk, and their share of the size."""
        left = len(records) - start
        n = min(left, max(1, self.chunk_size * len(records) // max(1, size)))
        if n == len(records):
            return records, size
        return records[start : start + n], size * n // len(records)

    def _seal(self, chunk: Chunk) -> None:
        del self._open[chunk.tag]
        chunk.seq, chunk.stream = self._next_seq, self.stream_id
        self._next_seq += chunk.count
        self._queue.append(chunk)

    def _seal_all(self) -> None:
        for chunk in list(self._open.values()):
            self._seal(chunk)

    def holds(self, mark: tuple[str, int, int]) -> bool:
        """Whether the records up to this position of a source were stored before the last restart."""
        return False

    def recovered(self, source: str) -> tuple[int, int] | None:
        """The position of a source after the newest record of it that was found in the buffer at the start, and the
        check that was stored with it."""
        return None

    # -- out ---------------------------------------------------------------------------------------------------------

    @property
    def records(self) -> int:
        """Records that wait or are on their way."""
        return self._count

    @property
    def ready(self) -> bool:
        """A sealed chunk waits to be handed out."""
        return self._out < len(self._queue)

    @property
    def behind(self) -> bool:
        """A chunk waits in memory for those on their way, and no backlog on disk comes before it."""
        return self._out < len(self._queue)

    @property
    def waiting(self) -> bool:
        """Anything waits to be handed out, also chunks that still grow."""
        return bool(self._open) or self.ready

    def read(self, flush: bool = False) -> Chunk | None:
        """The next chunk. With `flush`, chunks that still grow are sealed when no other is left."""
        if self._out == len(self._queue):
            if flush:
                self._seal_all()
            if self._out == len(self._queue):
                return None
        chunk = self._queue[self._out]
        self._out += 1
        if chunk.compacted:
            self._encode(2 * self.chunk_size)  # it may have to be decoded now, with what that takes on the way
        return chunk

    def rewind(self) -> None:
        """Hand out again from the oldest chunk that is not acknowledged."""
        self._out = 0

    def ack(self, chunk: Chunk) -> None:
        """Everything up to this chunk, which was handed out, is with the collector."""
        for i in range(self._out):
            if self._queue[i] is chunk:
                for _ in range(i + 1):
                    self._forget_first()
                return

    def arrived(self, chunk: Chunk) -> None:
        """This chunk, which was handed out, is with the collector, and an older one isn't yet: it is not handed out again,
        nor dropped."""
        for i in range(self._out):
            if self._queue[i] is chunk:
                self._remove(i)
                self._out -= 1
                chunk.release()
                return

    def _forget_first(self) -> None:
        chunk = self._queue[0]
        self._remove(0)
        self._out = max(0, self._out - 1)
        chunk.release()

    def _remove(self, i: int) -> None:
        """Take a chunk out of the queue and of every account of it."""
        chunk = self._queue[i]
        del self._queue[i]
        self.used -= chunk.size
        self._decoded -= chunk.decoded_size
        self._count -= chunk.count

    def _insert_halves(self, i: int, chunk: Chunk) -> None:
        """Two chunks in the place of one that was removed."""
        half = chunk.count // 2
        parts = [chunk.part(0, half), chunk.part(half, chunk.count)]
        parts[1].done, parts[1].marks = chunk.done, chunk.marks
        parts[0].continues, parts[1].continues = bool(chunk.marks) or chunk.continues, chunk.continues
        for part in reversed(parts):
            self._queue.insert(i, part)
            self.used += part.size
            self._decoded += part.decoded_size
            self._count += part.count

    # -- time --------------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """The end of a turn: do what is due."""
        if self._max_age:
            self._drop_expired(self._clocks.monotonic())

    @property
    def deadline(self) -> float | None:
        """Seconds until `commit` has something to do, or None; the owner sets a timer."""
        oldest = self._queue[0] if self._queue else next(iter(self._open.values()), None)
        if not self._max_age or oldest is None:
            return None
        return max(0.0, oldest.born + self._max_age - self._clocks.monotonic()) + 0.001

    def _drop_expired(self, now: float) -> None:
        """Drop what waits longer than it may and isn't on its way."""
        if self._open and next(iter(self._open.values())).born + self._max_age < now:
            self._seal_all()
        while self._queue and not self._out and self._queue[0].born + self._max_age < now:
            chunk = self._queue[0]
            self._lost("expired", chunk.count, chunk.seq, chunk.stream)
            self._forget_first()

    # -- when it is full ---------------------------------------------------------------------------------------------

    def has_room(self, size: int) -> bool:
        """Whether records that cost `size` bytes together would be taken now, and none dropped for them."""
        need = size + Chunk.OVERHEAD
        return self._fits(need) or self._make_room(need)

    def _fits(self, need: int) -> bool:
        """Whether there is room for so many more bytes of decoded records."""
        return self.used + max(need, self._arenas - self._decoded + Chunk.OVERHEAD) <= self.limit

    def _make_room(self, need: int) -> bool:
        """Turn chunks into bytes as far as that helps: what decoded records had before stays with them."""
        self._encode(need, self._arenas)
        return self._fits(need)

    def _encode(self, cost: int, limit: int | None = None) -> None:
        """Turn chunks into bytes until so much more may be decoded: those on their way first, which are wanted decoded
        only if they come back; then the newest: the oldest will be wanted soonest; then the largest that still grow."""
        most = (self.limit // DECODED if limit is None else limit) - cost
        for i in (*range(self._out), *range(len(self._queue) - 1, self._out - 1, -1)):
            if self._decoded <= most or self._is_full():
                return
            self._compact(self._queue[i])
        for chunk in sorted(self._open.values(), key=lambda chunk: -chunk.size):
            if self._decoded <= most or self._is_full():
                return
            self._seal(chunk)
            self._compact(chunk)

    def _is_full(self) -> bool:
        """A chunk more as bytes could be over the limit, however few records remain decoded."""
        return self.used - self._decoded + self._arenas + self.chunk_size // 4 > self.limit

    def _compact(self, chunk: Chunk) -> None:
        if not chunk.compacted:
            before, decoded = chunk.size, chunk.decoded_size
            chunk.compact()
            self.used += chunk.size - before
            self._decoded -= decoded

    def _drop_oldest(self, need: int) -> bool:
        """Drop what waits longest and isn't on its way. False if what is on its way leaves no room."""
        while not self._fits(need):
            if self._out == len(self._queue):
                if not self._open:
                    return False
                self._seal(next(iter(self._open.values())))
                continue
            chunk = self._queue[self._out]
            self._remove(self._out)
            self._lost("buffer full, oldest dropped", chunk.count, chunk.seq, chunk.stream)
            chunk.release()
        return True

    def _skip(self, why: str, count: int) -> None:
        """Count records that are not taken; they use up sequence numbers, so the gap can be explained."""
        self._seal_all()
        self._lost(why, count, self._next_seq, self.stream_id)
        self._next_seq += count

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self, why: str) -> int:
        """The process ends: count what is left as lost, but for chunks whose input waits for a receipt; it will read them
        again. Returns the number of records of these."""
        self._seal_all()
        again = 0
        for chunk in self._queue:
            if chunk.place is not None:
                continue
            if chunk.done:
                again += chunk.count
            else:
                self._lost(why, chunk.count, chunk.seq, chunk.stream)
        self._queue.clear()
        self._out = self.used = self._decoded = self._count = 0
        return again
