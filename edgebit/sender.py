"""The sender: moves chunks from one buffer to one output until the collector has acknowledged them.

It owns what is the same for every output, so that outputs needn't know it: batching by size (a full chunk goes at
once) and by the flush interval, the window of batches on their way, retries with back-off, splitting of a rejected
batch until the bad record is alone, the cursor over the acknowledged prefix, and draining at the end.

Promises
- Order: batches are handed to the output in sequence order. When one must be retried, no later one is started before it;
  what was on its way is awaited, then everything from the oldest one that isn't acknowledged is handed out again, except
  what was delivered out of turn.
- A record leaves the buffer only when it was delivered, or rejected (dead letter), or given up by a retry limit that
  the user set; the last two are in the ledger.
- Records wait for ever by default.

It must not know what an output does, what is in a record, or where the buffer keeps it. Time is the loop's.
"""

from __future__ import annotations

from collections import deque

from edgebit.errors import reason
from edgebit.options import BadValue, Option, duration, integer, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from edgebit.backoff import Backoff
    from edgebit.buffer.queue import Buffer
    from edgebit.log import Log, Trouble
    from edgebit.loop import Timer
    from edgebit.plugin import Format, Output
    from edgebit.record import Chunk
    from edgebit.stats import Counters

    class Parking(Protocol):
        def park(self, chunk: Chunk, why: str) -> None: ...


_NO_LIMIT = ("no_limits", "false", "off", "no_limit", "unlimited")


def retry_limit(value: object) -> int | None:
    """How often a batch is tried again: a number, "no_retries" (0), or "no_limits" (None)."""
    if value is False or str(value).strip().lower() in _NO_LIMIT:
        return None
    if str(value).strip().lower() == "no_retries":
        return 0
    try:
        limit = integer(value)
    except BadValue:
        limit = 0
    if limit < 1:
        raise BadValue('a number from 1 up, "no_retries" or "no_limits"')
    return limit


OPTIONS = (
    Option("retry_limit", retry_limit, None, "how often a batch is tried again before it is dropped and counted; "
           "by default for ever", default_text="no_limits"),
    Option("retry.first", duration, 1.0, "delay before the first retry; it doubles each time, with full jitter",
           minimum=0.01),
    Option("retry.cap", duration, 60.0, "longest delay between two tries", minimum=0.1),
)  # fmt: skip


def sync_policy(value: object) -> float | None:
    """When what is written is made durable: "always" (0), a time, or "never" (None)."""
    if str(value).strip().lower() == "always":
        return 0.0
    if str(value).strip().lower() == "never":
        return None
    try:
        return duration(value)
    except BadValue:
        raise BadValue('"always", a time such as "1s", or "never"') from None


BUFFER_OPTIONS = (
    Option("storage", ("auto", "memory", "filesystem", "hybrid"), "auto", "where records wait: in memory; on disk, written "
           "before they count as accepted; or in memory while the collector keeps up and on disk when it doesn't (hybrid). "
           "auto is hybrid, and memory for outputs that write on this machine"),
    Option("memory", size, 8 * 1024 * 1024, "bytes that may wait or be on their way in memory, decoded records at what they "
           "cost there; by default the output's share of service.memory_limit, or 8 MiB", minimum=16384),
    Option("overflow", ("block", "drop_oldest", "drop_newest"), "block", "what a full buffer does: pause the inputs "
           "that feed it, or drop and count"),
    Option("disk", size, 64 * 1024 * 1024, "bytes of disk, all reserved at the start", minimum=1024 * 1024),
    Option("sync", sync_policy, 1.0, "when what is written is made durable against a power cut: always, after this time at "
           "most, or never (left to the system)", default_text="1s"),
    Option("spill_after", duration, 5.0, "hybrid: a record that has waited so long is written to disk"),
    Option("max_age", duration, 0.0, "a record that has waited longer is dropped and counted; 0 keeps it. Counted by "
           "elapsed time, not by the date"),
    Option("batch_size", size, 512 * 1024, "bytes of decoded records that make a full batch, about five times its "
           "encoded size", minimum=1024),
)  # fmt: skip

_REJECTED_IN_ROW = 10  # records refused one by one with no success in between; then it is the collector that is wrong
QUICK = 0.1  # seconds since the last answer within which a collector counts as quick
_PER_TURN = 32  # batches handed out per turn of the loop, so that draining a backlog can't starve the inputs


class Delivery:
    """One try to deliver one batch: what the output gets, and how it answers. See plugin.Delivery."""

    __slots__ = ("_entry", "_sender", "answered", "bodies", "body", "chunk", "size")

    def __init__(self, sender: Sender, entry: _Entry, chunk: Chunk, body: bytes, bodies: list[bytes]) -> None:
        self._sender, self._entry, self.chunk, self.body, self.bodies = sender, entry, chunk, body, bodies
        self.size = len(body) + sum(map(len, bodies))
        self.answered = False

    @property
    def content_type(self) -> str:
        format = self._sender.format
        return format.content_type if format is not None else "application/octet-stream"

    @property
    def stream_id(self) -> str:
        return self.chunk.stream

    @property
    def agent_id(self) -> str:
        sender = self._sender
        return sender.agents.get(self.chunk.stream) or sender.output.ctx.agent_id

    def delivered(self) -> None:
        if not self.answered:
            self.answered = True
            self._sender.on_delivered(self._entry, self.chunk)

    def retry(self, why: str, after: float | None = None) -> None:
        if not self.answered:
            self.answered = True
            self._sender.on_retry(self._entry, self.chunk, why, after)

    def reject(self, why: str, which: Sequence[int] | None = None) -> None:
        if not self.answered:
            self.answered = True
            self._sender.on_reject(self._entry, self.chunk, why, which)

    def __repr__(self) -> str:
        return f"<Delivery of {self.chunk!r}>"


class _Entry:
    """A chunk of the buffer on its way: the pieces still to be sent (one, unless it is being split)."""

    __slots__ = ("chunk", "out", "pieces")

    def __init__(self, chunk: Chunk, pieces: list[Chunk]) -> None:
        self.chunk, self.pieces = chunk, pieces
        self.out: Delivery | None = None

    @property
    def done(self) -> bool:
        return not self.pieces and self.out is None


def _key(chunk: Chunk) -> tuple[str, int, int]:
    return chunk.stream, chunk.seq, chunk.count


class Sender:
    """See the module's docstring.

    call_later, clock   the loop's
    lost         called with (reason, count, first sequence, stream id) for each loss
    parking      where rejected records go
    crashed      called with what the output raised
    most_bodies  bytes that encoded batches on their way may have together; one of any size may always go
    """

    def __init__(self, name: str, output: Output, format: Format | None, buffer: Buffer, *, flush: float,
                 backoff: Backoff, retry_limit: int | None, call_later: Callable[[float, Callable[[], object]], Timer],
                 clock: Callable[[], float],
                 log: Log, trouble: Trouble, stats: Counters, lost: Callable[[str, int, int, str], object],
                 parking: Parking, crashed: Callable[[Exception], object], most_bodies: int = 1 << 40) -> None:  # fmt: skip
        self.name, self.output, self.format, self.buffer = name, output, format, buffer
        self.flush_interval, self.retry_limit = flush, retry_limit
        self._backoff, self._call_later, self._clock = backoff, call_later, clock
        self._log, self._trouble, self._stats = log, trouble, stats
        self._lost, self._parking, self._crashed = lost, parking, crashed
        self.agents: dict[str, str] = {}  # of streams that were taken over from other devices
        self._in_flight: deque[_Entry] = deque()
        self._bodies = self._last_body = 0
        self._most_bodies = most_bodies
        # By chunk: what is still to be sent of those that were partly done before a retry.
        self._left: dict[tuple[str, int, int], list[Chunk]] = {}
        self._flush_due = False
        self._flush_timer: Timer | None = None
        self._waiting: Timer | None = None  # for the back-off to end
        self._failure: tuple[str, float | None] | None = None
        self._tries: tuple[int, int] = (0, 0)  # sequence of the oldest chunk, how often it has failed
        self._again: Timer | None = None
        self._rejected_in_row = 0
        self._reasons: set[str] = set()  # of rejections that were logged
        self._pumping = False
        self._open = False
        self._answered = -QUICK  # when the last batch was delivered
        self.draining = False

    # -- what the agent asks for -------------------------------------------------------------------------------------

    def start(self) -> None:
        """The output is open: deliveries may go out."""
        self._open = True
        self.pump_soon()

    def halt(self, why: str) -> None:
        """The output was closed; what was on its way is taken as failed."""
        self._open = False
        for entry in list(self._in_flight):  # the last answer empties it
            if entry.out is not None:
                entry.out.retry(why)

    def close(self) -> None:
        """The agent is stopping and the output is closed: no answer counts any more, what is left stays in the buffer."""
        self._open = False
        for entry in self._in_flight:
            if entry.out is not None:
                entry.out.answered = True

    def drain(self) -> None:
        """From now on everything goes out at once, and retries come quickly: the agent is stopping."""
        self.draining = self._flush_due = True
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self.pump_soon()

    @property
    def in_trouble(self) -> bool:
        """The last try failed, and none has succeeded since."""
        return bool(self._trouble)

    @property
    def quick(self) -> bool:
        """Batches are on their way, and the collector answers at once: what waits will be gone in a moment."""
        return bool(self._in_flight) and self._clock() - self._answered < QUICK

    @property
    def empty(self) -> bool:
        """Nothing waits and nothing is on its way."""
        return not self._in_flight and not self.buffer.waiting

    def pump(self) -> None:
        """Hand out what may go out now. Called at the end of each turn; cheap when there is nothing to do."""
        if self._pumping or not self._open or self._waiting is not None:
            return
        self._pumping = True
        try:
            self._pump()
        finally:
            self._pumping = False
        self._settle()
        if self.buffer.waiting and not self._flush_due and self._flush_timer is None and self._waiting is None:
            self._flush_timer = self._call_later(self.flush_interval, self._on_flush)

    def flush(self) -> None:
        """Somebody waits: hand out what there is at the end of this turn, though no batch is full."""
        self._flush_due = True

    def pump_soon(self) -> None:
        """Pump in the next turn, which is made to come at once."""
        if self._again is None or self._again.when > self._clock():
            if self._again is not None:
                self._again.cancel()
            self._again = self._call_later(0, self._on_again)

    def pump_later(self) -> None:
        """Pump when the collector would no longer count as quick."""
        if self._again is None:
            self._again = self._call_later(QUICK, self._on_again)

    # -- handing out -------------------------------------------------------------------------------------------------

    def _on_flush(self) -> None:
        self._flush_timer = None
        self._flush_due = True
        self.pump()

    def _on_again(self) -> None:
        self._again = None
        self.pump()

    def _on_backoff_over(self) -> None:
        self._waiting = None
        self._flush_due = True
        self.pump()

    def _pump(self) -> None:
        for _ in range(_PER_TURN):
            if self._failure is not None:
                return
            piece = self._next_piece()
            if piece is None:
                return
            self._deliver(*piece)
            self._retire()
        self.pump_soon()

    def _deliver(self, entry: _Entry, chunk: Chunk) -> None:
        body, bodies = b"", []
        try:
            if self.output.each and self.format is not None:
                bodies = self.format.encode_each(chunk)
            elif self.format is not None:
                body = self.format.encode(chunk)
        except Exception as error:  # noqa: BLE001 - whatever it can't express; splitting finds the record
            entry.out = Delivery(self, entry, chunk, b"", [])
            entry.out.reject(f"cannot be written as {self.output.opt.format}: {reason(error)}")
            return
        entry.out = delivery = Delivery(self, entry, chunk, body, bodies)
        self._last_body = delivery.size
        self._bodies += delivery.size
        try:
            self.output.deliver(delivery)
        except Exception as error:  # noqa: BLE001 - it may raise anything; it is restarted, the records wait
            delivery.retry("the output failed")
            self._crashed(error)

    def _next_piece(self) -> tuple[_Entry, Chunk] | None:
        splitting = False
        for entry in self._in_flight:
            if entry.out is None and entry.pieces:
                return entry, entry.pieces.pop(0)
            splitting = splitting or bool(entry.pieces)
        # While a chunk is being split, nothing overtakes it: order within a tag holds even then. After a failure one batch
        # shows whether it works again; a window of them would be encoded in vain at each try.
        window = 1 if self._trouble else self.output.window
        while not splitting and len(self._in_flight) < window:
            if self._bodies and self._bodies + self._last_body > self._most_bodies:
                return None
            chunk = self.buffer.read(self._flush_due or self.draining)
            if chunk is None:
                self._flush_due = False
                return None
            entry = _Entry(chunk, self._left.pop(_key(chunk), [chunk]))
            self._in_flight.append(entry)
            if entry.pieces:
                return entry, entry.pieces.pop(0)
            self._retire()
        return None

    # -- answers -------------------------------------------------------------------------------------------------------

    def on_delivered(self, entry: _Entry, chunk: Chunk) -> None:
        self._not_out(entry)
        self._rejected_in_row = 0
        self._answered = self._clock()
        self._stats.add("records", chunk.count)
        self._stats.add("batches")
        self._backoff.worked()
        if self._trouble:
            self._trouble.end(f"delivering again ({self.buffer.records} records wait)")
        self._after_answer()

    def on_retry(self, entry: _Entry, chunk: Chunk, why: str, after: float | None) -> None:
        self._not_out(entry)
        entry.pieces.insert(0, chunk)
        self._stats.add("retries")
        if self._failure is None:
            self._failure = (why, after)
        else:
            self._failure = (self._failure[0], max(self._failure[1] or 0.0, after or 0.0))
        self._after_answer()

    def on_reject(self, entry: _Entry, chunk: Chunk, why: str, which: Sequence[int] | None) -> None:
        self._not_out(entry)
        bad = sorted({i for i in which if 0 <= i < chunk.count}) if which is not None else []
        if chunk.count == 1:
            if self._rejected_in_row >= _REJECTED_IN_ROW:
                # Refusing everything is an outage, not bad data: a few records a pause are given up, not the backlog.
                self._rejected_in_row = 0
                self.on_retry(entry, chunk, f"every record is rejected: {why}", None)
                return
            self._rejected_in_row += 1
            self._give_up(chunk, why)
        elif bad:
            start = 0
            for i in [*bad, chunk.count]:
                if i > start:
                    entry.pieces.append(chunk.part(start, i))
                if i < chunk.count:
                    self._give_up(chunk.part(i, i + 1), why)
                start = i + 1
            entry.pieces.sort(key=lambda piece: piece.seq)
        else:
            half = chunk.count // 2
            entry.pieces[:0] = [chunk.part(0, half), chunk.part(half, chunk.count)]
        self._after_answer()

    def _give_up(self, chunk: Chunk, why: str) -> None:
        if why not in self._reasons and len(self._reasons) < 20:
            self._reasons.add(why)
            self._log.warn(f"a record of {chunk.tag} (sequence {chunk.seq}) is rejected: {why}; such records go to the "
                           "dead letters and are counted")  # fmt: skip
        self._parking.park(chunk, why)
        self._lost("rejected by the collector", chunk.count, chunk.seq, chunk.stream)

    def _not_out(self, entry: _Entry) -> None:
        if entry.out is not None:
            self._bodies -= entry.out.size
            entry.out = None

    def _after_answer(self) -> None:
        if not self._pumping:
            self._retire()
            self._settle()
            self.pump_soon()

    def _retire(self) -> None:
        """Move the cursor over the acknowledged prefix."""
        while self._in_flight and self._in_flight[0].done:
            self.buffer.ack(self._in_flight.popleft().chunk)

    def _settle(self) -> None:
        """After a failure: when nothing is on its way any more, start over from the oldest chunk after a pause."""
        if self._failure is None or any(entry.out is not None for entry in self._in_flight):
            return
        (why, after), self._failure = self._failure, None
        oldest = self._in_flight[0]
        self._left = {}
        for entry in self._in_flight:
            if entry.done:  # out of turn
                self.buffer.arrived(entry.chunk)
            elif entry.pieces != [entry.chunk]:
                self._left[_key(entry.chunk)] = entry.pieces
        first = oldest.chunk
        self._in_flight.clear()
        self._tries = (first.seq, self._tries[1] + 1 if self._tries[0] == first.seq else 1)
        if self.retry_limit is not None and self._tries[1] > self.retry_limit:
            for piece in oldest.pieces:
                self._lost("retry_limit reached", piece.count, piece.seq, piece.stream)
            self._left.pop(_key(first), None)
            self.buffer.ack(first)
        self.buffer.rewind()
        if self.retry_limit is None:
            then = "trying again until it works; records wait in the buffer"
        elif self.retry_limit:
            then = f"a batch is tried again {self.retry_limit} times, then dropped and counted (retry_limit)"
        else:
            then = "such batches are dropped and counted, not tried again (retry_limit)"
        self._trouble.begin(f"cannot deliver: {why}", then)
        delay = self._backoff.failed(after or 0.0)
        if self.draining:
            delay = min(delay, 1.0)
        self._waiting = self._call_later(delay, self._on_backoff_over)
