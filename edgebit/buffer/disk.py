"""The queue of one output with a part on disk: storage "filesystem" and "hybrid".

    [ on disk only | in memory and on disk | in memory only ]      oldest first
                   '--------- _queue ----------------------'

- filesystem: a chunk is written when it is sealed, at the latest COMMIT seconds after its first record. Written chunks
  stay in memory, too, as long as there is room.
- hybrid: a chunk is written when it has waited `spill_after`, when memory is short, and at the stop. While the collector
  keeps up nothing is written.

Chunks are written in the order of the queue, so what is on disk is always older than what is not. Receipts are released
when their records are durable (written, and synced by the policy) or delivered, whichever is first. If the disk fails or
is full, what it can't take stays in memory, within the memory limit, and is written when the disk can take it.

It must not know outputs, selectors or the layout of the log's files.
"""

from __future__ import annotations

from edgebit.buffer import BLOCK, DROP_OLDEST
from edgebit.buffer.health import CURSOR, TRIES, WRITING
from edgebit.buffer.log import SyncFailed
from edgebit.buffer.queue import LARGEST_CHUNK
from edgebit.buffer.saving import CursorSaver
from edgebit.buffer.stored import StoredBuffer
from edgebit.record import Chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from edgebit.buffer.format import Place
    from edgebit.buffer.health import Trouble
    from edgebit.buffer.log import Log
    from edgebit.buffer.queue import Clocks
    from edgebit.plugin import Receipt
    from edgebit.record import Record


COMMIT = 0.2  # seconds that a record waits at most before a filesystem buffer writes it


class DiskBuffer(StoredBuffer):
    """See Buffer; in addition

    log          where chunks are written; it is open
    spill        False: write everything at once (filesystem); True: only when needed (hybrid)
    spill_after  seconds after which an undelivered chunk is written
    sync         seconds between two syncs; 0 syncs in every turn; None leaves it to the system
    """

    def __init__(self, limit: int, overflow: str, stream_id: str, lost: Callable[[str, int, int, str], object],
                 chunk_size: int = LARGEST_CHUNK, *, clocks: Clocks, log: Log, trouble: Trouble, spill: bool = False,
                 spill_after: float = 5.0, sync: float | None = 1.0, max_age: float = 0.0) -> None:  # fmt: skip
        chunk_size = min(chunk_size, max(4096, log.largest // 2))
        super().__init__(limit, overflow, stream_id, lost, chunk_size, clocks=clocks, log=log, trouble=trouble,
                         max_age=max_age)  # fmt: skip
        self._spill, self._spill_after, self._sync_interval = spill, spill_after, sync
        log.synced = sync is not None
        self._placed = 0  # how many chunks at the head of the queue are on disk, too
        self._placed_count = 0  # their records
        self._unsynced: list[Chunk] = []  # written, not durable yet
        self._first_unsynced = 0.0  # when the oldest of them was written
        self._end_due = False  # something must be written behind what is on disk: see _write_end
        self._owed: list[Callable[[], None]] = []  # receipts that wait for it
        self._cursor = CursorSaver(log, clocks, sync)
        self._recovered = log.positions.copy()
        # A clean stop is carried on; after anything else the sequence starts anew under a new stream id, so that no number
        # is ever given twice.
        cursor, stream, next_seq = log.cursor, bytes.fromhex(stream_id), 1
        if cursor.clean and cursor.next_seq > 1:
            stream, next_seq = cursor.stream, cursor.next_seq
            try:
                log.save_cursor(sync=True, clean=False)  # a crash from now on is no clean stop
                self.stream_id, self._next_seq = stream.hex(), next_seq
            except OSError as error:
                stream, next_seq = bytes.fromhex(stream_id), 1
                self._health.failed(CURSOR, "write the cursor", error)
        cursor.stream, cursor.next_seq, cursor.clean = stream, next_seq, False

    # -- in and out ----------------------------------------------------------------------------------------------------

    def append(self, tag: str, records: list[Record], size: int, receipt: Receipt | None = None) -> int:
        """A batch with a mark is taken whole or not at all, and what it is divided into is written as one: so a source is
        never found in the middle of a batch after a crash. (Unless it is larger than the whole buffer may be.)"""
        if receipt is None or receipt.mark is None:
            return super().append(tag, records, size, receipt)
        need = size + Chunk.OVERHEAD * (2 + size // self.chunk_size)
        if need <= self.limit and not self._fits(need) and not self._make_room(need):
            if self.overflow == BLOCK:
                return 0
            if self.overflow != DROP_OLDEST or not self._drop_oldest(need):
                self._skip("buffer full", len(records))
                return len(records)
        open_chunk = self._open.get(tag)
        if open_chunk is not None and open_chunk.size + size > self.chunk_size:
            self._seal(open_chunk)
        taken = super().append(tag, records, size, receipt)
        if size > self.chunk_size and tag in self._open:
            self._seal(self._open[tag])
        if taken == len(records) and tag not in self._open:
            self._end_if_dropped(tag, receipt)
        return taken

    def _end_if_dropped(self, tag: str, receipt: Receipt) -> None:
        """All of a batch was appended. If the last records were dropped, what is there of it doesn't continue."""
        i = next((i for i in reversed(range(len(self._queue))) if self._queue[i].tag == tag), -1)
        if self._queue[i].continues if i >= 0 else self._log.unfinished:
            receipt.hold()
            for release in self._end_batch(i + 1, [receipt.release]):
                release()

    def _seal(self, chunk: Chunk) -> None:
        super()._seal(chunk)
        if not self._spill:
            self._write_waiting()

    def holds(self, mark: tuple[str, int, int]) -> bool:
        """Whether the records up to this position of a source were stored before the last restart."""
        return self._recovered.get(mark[0], (-1, 0))[0] >= mark[1]

    def recovered(self, source: str) -> tuple[int, int] | None:
        """The position of a source after the newest record of it that was found on disk at the start."""
        return self._recovered.get(source)

    @property
    def records(self) -> int:
        """Records that wait or are on their way, in memory and on disk."""
        return self._log.waiting + self._count - self._placed_count

    def ack(self, chunk: Chunk) -> None:
        if any(self._queue[i] is chunk for i in range(self._out)):
            if self._stored_out is not None:  # older than all that is in memory
                self._log.acknowledge(self._stored_out.place)
                self._stored_out = None
            super().ack(chunk)
        elif chunk.place is not None:
            self._log.acknowledge(chunk.place)
        if self._stored_out is chunk:
            self._stored_out = None
        self._health.go_on(WRITING)  # there may be room again

    def arrived(self, chunk: Chunk) -> None:
        if any(self._queue[i] is chunk for i in range(self._out)):
            if chunk in self._unsynced:
                self._sync()  # or else, after a cut, its place could be another one's
            super().arrived(chunk)
        if chunk.place is not None:
            self._log.settle(chunk.place.after - chunk.count, chunk.place.after)

    def _forget_first(self) -> None:
        place = self._queue[0].place
        super()._forget_first()
        if place is not None:
            self._log.acknowledge(place)

    def _remove(self, i: int, gone: bool = True) -> None:
        """`gone`: its records don't come back in another chunk."""
        chunk = self._queue[i]
        super()._remove(i)
        if chunk.place is not None:
            self._placed -= 1
            self._placed_count -= chunk.count
            if chunk in self._unsynced:
                self._unsynced.remove(chunk)
        elif gone and not chunk.continues:
            chunk.done = self._end_batch(i, chunk.done)

    def _end_batch(self, i: int, done: list[Callable[[], None]]) -> list[Callable[[], None]]:
        """The end of a batch, which had its place here in the queue, is not written: it was delivered out of turn, or
        dropped. What came before it must not wait for it. The receipts that can be released now."""
        if i > self._placed:
            self._queue[i - 1].continues = False
        elif self._log.unfinished:
            self._end_due = True
            self._owed += done
            return []
        return done

    def _unplaced(self) -> Chunk | None:
        """The oldest chunk that is in memory only."""
        return self._queue[self._placed] if self._placed < len(self._queue) else None

    # -- disk ----------------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Write and sync what is due."""
        super().commit()
        now = self._clocks.monotonic()
        if self._spill:
            self._spill_due(now)
        else:
            if self._open:
                oldest = next(iter(self._open.values())).born
                if self._sync_interval == 0 or oldest + COMMIT <= now:
                    self._seal_all()
            self._write_waiting()
        if self._end_due:
            self._write_end()
        if self._unsynced and self._sync_interval is not None and self._first_unsynced + self._sync_interval <= now:
            self._sync()
        if (due := self._cursor.due) is not None and due <= now:
            self._save_cursor()

    def _save_cursor(self, clean: bool = False) -> None:
        try:
            self._cursor.save(self._next_seq, clean)
        except OSError as error:
            self._health.failed(CURSOR, "write the cursor", error)
        else:
            self._health.works(CURSOR)

    @property
    def deadline(self) -> float | None:
        now = self._clocks.monotonic()
        times = []
        if self._spill:
            first = self._unplaced() or next(iter(self._open.values()), None)
            if first is not None:
                times.append(first.born + self._spill_after - now)
        else:
            if self._open:
                times.append(next(iter(self._open.values())).born + COMMIT - now)
            if self._unplaced() is not None:
                times.append(0.0)
        if self._end_due:
            times.append(0.0)
        if times:
            times = [max(min(times), self._health.until[WRITING] - now)]
        if self._unsynced and self._sync_interval is not None:
            times.append(max(self._first_unsynced + self._sync_interval, self._health.until[WRITING]) - now)
        if (due := self._cursor.due) is not None:
            times.append(due - now)
        expiry = super().deadline
        if expiry is not None:
            times.append(expiry)
        return max(0.0, min(times)) if times else None

    def _spill_due(self, now: float) -> None:
        """Hybrid: write in order what has waited too long; compared as `deadline` does, so that rounding adds none."""
        after = self._spill_after
        if self._open and next(iter(self._open.values())).born + after <= now:
            self._seal_all()
        while (chunk := self._unplaced()) is not None and chunk.born + after <= now and self._write(chunk):
            pass

    def _write_waiting(self) -> None:
        """Write what is in memory only, in order."""
        while (chunk := self._unplaced()) is not None and self._write(chunk):
            pass

    def _write(self, chunk: Chunk) -> bool:
        """Write one chunk, the oldest that is not written yet. False if it wasn't possible."""
        if self._disk_rests():
            return False
        payload = chunk.payload
        if self._log.largest and not self._log.fits(chunk.tag, payload, chunk.marks):
            return self._divide(chunk)
        if self._end_due and chunk.continues and not self._write_end():
            return False  # such a one ends nothing
        if not self._put_on_disk(chunk, payload):
            return False
        self._placed += 1
        self._placed_count += chunk.count
        return True

    def _write_end(self) -> bool:
        """Write a chunk without records. It ends a batch whose end is not written, and makes what a failed sync has left
        on disk, of which nothing waits in memory any more, count as written again. Any chunk does that ends a batch."""
        end = Chunk("", None, 0, self._next_seq, payload=b"", born=self._clocks.monotonic())
        return not self._disk_rests() and self._put_on_disk(end, b"")

    def _put_on_disk(self, chunk: Chunk, payload: bytes) -> bool:
        try:
            place = self._place(chunk, payload)
            if place is None and self.overflow == DROP_OLDEST and self._drop_stored():
                place = self._place(chunk, payload)
        except SyncFailed as error:
            self._write_again(error)
            return False
        except OSError as error:
            if self._health.failed(WRITING, "write to disk", error) >= TRIES:
                self._log.skip_active()
            return False
        if place is None:
            self._health.pause(WRITING)
            return False
        chunk.place = place
        chunk.done += self._owed
        self._end_due, self._owed = False, []
        if not self._log.waiting:
            self._log.acknowledge(place)
        if self._sync_interval is None:
            chunk.release()
        else:
            if not self._unsynced:
                self._first_unsynced = self._clocks.monotonic()
            self._unsynced.append(chunk)
        self._health.works(WRITING)
        if not self._cursor.fails:  # it may have been saved on the way
            self._health.works(CURSOR)
        return True

    def _place(self, chunk: Chunk, payload: bytes) -> Place | None:
        moment = self._clocks.moment()  # of its first record, not of the writing: ages count from there
        waited = round((self._clocks.monotonic() - chunk.born) * 10**9)
        moment.wall_ns, moment.boot_ns = moment.wall_ns - waited, moment.boot_ns - waited
        return self._log.write(chunk.tag, payload, chunk.count, chunk.seq, bytes.fromhex(self.stream_id), moment,
                               chunk.marks, chunk.continues)  # fmt: skip

    def _divide(self, chunk: Chunk) -> bool:
        """A chunk that no segment can hold becomes two; a single record is dropped."""
        i = self._placed
        if i < self._out:
            return False  # on its way; it can't be divided under the sender's hands, and what follows waits for it
        self._remove(i, gone=chunk.count == 1)
        if chunk.count == 1:
            self._lost("larger than a segment", 1, chunk.seq, chunk.stream)
            chunk.release()
            return True
        self._insert_halves(i, chunk)
        return True

    def _sync(self) -> bool:
        """Make everything durable that is written; then sources may forget it."""
        if not self._unsynced:
            return True
        try:
            self._log.sync()
        except OSError as error:
            self._write_again(error)
            return False
        done, self._unsynced = self._unsynced, []
        for chunk in done:
            chunk.release()
        return True

    def _write_again(self, error: OSError) -> None:
        """A sync failed. Linux forgets unwritten pages then: they must be written again, somewhere else."""
        self._log.abandon_unsynced()
        before: Chunk | None = None
        for chunk in self._unsynced:
            if chunk.count and chunk.place.after <= self._log.durable:  # synced when a segment was full
                chunk.release()
                continue
            chunk.place = None
            if chunk.count:
                self._placed -= 1
                self._placed_count -= chunk.count
                before = chunk
            else:
                self._owed += chunk.done
                if before is not None:
                    before.continues = False
        self._unsynced.clear()
        self._end_due = True
        self._health.failed(WRITING, "sync to disk", error)

    def _disk_rests(self) -> bool:
        return self._health.rests(WRITING)

    # -- when it is full ---------------------------------------------------------------------------------------------

    def _make_room(self, need: int) -> bool:
        self._to_disk(need)
        return self._fits(need) or super()._make_room(need)

    def _to_disk(self, need: int) -> None:
        """Write what isn't written, sync it, and forget it in memory, the oldest first."""
        while not self._fits(need):
            if not self._queue:
                if not self._open:
                    return
                self._seal_all()
                continue
            first = self._queue[0]
            if first.place is None:
                if not self._write(first):
                    return
                continue
            if first in self._unsynced:
                self._write_ahead(first.size)
                self._sync()
                continue  # it may be dropped now, to make room on disk; or, if that failed, be in memory only again
            self._evict_first()

    def _write_ahead(self, size: int) -> None:
        """Write more, up to a quarter of the limit, before a sync: it is to go soon, and needs none of its own then."""
        while size < self.limit // 4 and (chunk := self._unplaced()) is not None and self._write(chunk):
            size += chunk.size

    def _evict_first(self) -> None:
        """The oldest chunk in memory is durable on disk: forget it here. What was handed out stays handed out."""
        chunk = self._queue[0]
        self._remove(0)
        if self._out:
            self._out -= 1
            self._stored_out = chunk
            self._log.skip_to(chunk.place)

    def _drop_oldest(self, need: int) -> bool:
        while not self._fits(need) and not self._health.fails(WRITING) and self._drop_stored():
            self._to_disk(need)
        return super()._drop_oldest(need)

    def _drop_stored(self) -> bool:
        """Drop the oldest segment of the log, with what of it is in memory, too."""
        newest_out = self._queue[self._out - 1] if self._out else self._stored_out
        out: Place | None = newest_out.place if newest_out is not None else None
        if newest_out is not None and out is None:
            return False  # it is in memory only, so all that is stored is on its way
        dropped = self._log.drop_oldest(out.end if out is not None else None)
        if dropped is None:
            return False
        gone = {(stream.hex(), seq) for stream, seq, _ in dropped}
        for stream, seq, count in dropped:
            self._lost("buffer full, oldest dropped", count, seq, stream.hex())
        if self._peeked is not None and (self._peeked.stream, self._peeked.seq) in gone:
            self._peeked = None
        for i in range(self._placed - 1, self._out - 1, -1):
            chunk = self._queue[i]
            if (chunk.stream, chunk.seq) in gone:
                self._remove(i)
                chunk.release()
        return True

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self, why: str) -> int:
        """Write what can be written; see Buffer.close for the rest."""
        self._seal_all()
        self._health.until[WRITING] = 0.0
        self._write_waiting()
        if self._end_due:
            self._write_end()
        self._sync()
        again = super().close(why)
        self._placed = self._placed_count = 0
        self._save_cursor(clean=True)
        self._log.close()
        return again
