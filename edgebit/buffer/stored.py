"""The oldest part of a buffer, which is on disk only: it is read back a chunk at a time when its turn comes.

What it promises: what is on disk is handed out before anything younger in memory, also while the disk can't be read; small
chunks are joined; what is too old is dropped when it is read. Writing, and how much is on disk, is disk.py's business.
"""

from __future__ import annotations

from edgebit.buffer.health import READING, TRIES, Health
from edgebit.buffer.queue import Buffer
from edgebit.record import Chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from edgebit.buffer.health import Trouble
    from edgebit.buffer.log import Log
    from edgebit.buffer.queue import Clocks

SMALL = 16 * 1024  # stored chunks with payloads below this are joined when they are read


class StoredBuffer(Buffer):
    """See Buffer and DiskBuffer."""

    def __init__(self, limit: int, overflow: str, stream_id: str, lost: Callable[[str, int, int, str], object],
                 chunk_size: int, *, clocks: Clocks, log: Log, trouble: Trouble, max_age: float) -> None:  # fmt: skip
        super().__init__(limit, overflow, stream_id, lost, chunk_size, clocks=clocks, max_age=max_age)
        self._log, self._health = log, Health(trouble, clocks)
        self._stored_out: Chunk | None = None  # the newest chunk handed out that is on disk only
        self._peeked: Chunk | None = None  # read from disk and not handed out yet

    @property
    def ready(self) -> bool:
        return super().ready or self._stored_waits()

    @property
    def behind(self) -> bool:
        return super().behind and not self._stored_waits()

    def _boundary(self) -> tuple[int, int] | None:
        """Where on disk the part begins that is in memory, too; None if no chunk in memory is written."""
        first = self._queue[0].place if self._queue else None
        return first.start if first is not None else None

    def _stored_waits(self) -> bool:
        """Something that is on disk only waits to be handed out."""
        return self._peeked is not None or self._log.read_at < (self._boundary() or self._log.end)

    def read(self, flush: bool = False) -> Chunk | None:
        while self._stored_waits():
            if self._health.rests(READING):
                return None  # what is on disk is older than what is in memory: nothing may overtake it
            chunk = self._read_stored()
            if chunk is not None:
                self._stored_out = chunk
                self._encode(2 * self.chunk_size)  # it may have to be decoded now, with what that takes on the way
                return chunk
        return super().read(flush)

    def _read_stored(self) -> Chunk | None:
        """The next chunk that is on disk only, small ones of one tag joined; None if there was none after all."""
        chunk = self._take_stored()
        if chunk is None or self._is_expired(chunk):  # before younger ones are joined to it
            return None
        parts, size = [chunk], chunk.size
        while size < SMALL:
            following = self._take_stored()
            if following is None:
                break
            if (following.tag, following.stream, following.seq) != (chunk.tag, chunk.stream, parts[-1].last_seq + 1):
                self._peeked = following
                break
            parts.append(following)
            size += following.size
        if len(parts) == 1:
            return chunk
        joined = Chunk(
            chunk.tag, [record for part in parts for record in part.records], 0, chunk.seq, stream=chunk.stream
        )
        joined.compact()
        joined.place, joined.moment = parts[-1].place, chunk.moment
        return joined

    def _take_stored(self) -> Chunk | None:
        if self._peeked is not None:
            peeked, self._peeked = self._peeked, None
            return peeked
        try:
            first = self._queue[0] if self._queue else None
            before = first.place.after - first.count if first is not None and first.place is not None else None
            chunk = self._log.read(self._boundary(), before)
        except OSError as error:
            if self._health.failed(READING, "read from disk", error) % TRIES == 0:
                self._log.give_up_unreadable()
            return None
        self._health.works(READING)
        return chunk

    def rewind(self) -> None:
        super().rewind()
        self._stored_out = self._peeked = None
        self._log.rewind()

    def _drop_expired(self, now: float) -> None:
        if not self._stored_waits():  # what is on disk only is older, and is looked at when it is read
            super()._drop_expired(now)

    def _is_expired(self, chunk: Chunk) -> bool:
        """Whether a chunk that was read from disk is too old; then its loss is counted. What time has passed while the
        machine was off is not known, so chunks of an earlier boot are as old as this one at least."""
        if not self._max_age:
            return False
        now = self._clocks.moment()
        then = chunk.moment.boot_ns if chunk.moment.boot_id == now.boot_id else 0
        if now.boot_ns - then <= self._max_age * 10**9:
            return False
        self._lost("expired", chunk.count, chunk.seq, chunk.stream)
        self._log.settle(chunk.place.after - chunk.count, chunk.place.after)
        if self._stored_out is None and not self._out:
            self._log.acknowledge(chunk.place)
        return True
