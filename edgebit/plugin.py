"""What a plugin is: the contracts of inputs, parsers, filters, formats and outputs.

Prose first. A plugin is a class with a name, a one-line docstring and an option table:

    class Dummy(Input):
        \"\"\"Makes the same record again and again.\"\"\"

        NAME = "dummy"
        OPTIONS = (Option("rate", number, 1.0, "records a second"),)

It is built with its typed options and a `Context`, its only way to the rest of the program: the loop, the clock, the
log, the counters. It never sees the agent, the pipeline, a buffer or another plugin. It is listed by hand in
registry.py and imported only when a config uses it.

**Life of an input or output.** `open` acquires what it needs, `close` gives everything back and may be called at any
time, also twice. If the device, file, port or peer is not there, `open` raises SourceError or OSError; if it goes away
later, the plugin calls ``ctx.lost(why)``. In both cases the supervisor closes it, logs once, and opens it again with
back-off until it works, and logs that once too. A plugin therefore holds no retry logic. An exception that escapes a
callback is treated in the same way, with its traceback in the log.

**Everything is a batch.** An input hands over a list of records per read; parsers take a list of lines; filters and
formats take lists of records. A cost paid per record is a cost to question.

**Nothing blocks.** One thread runs everything. Name look-ups go through ``ctx.resolve``.
"""

from __future__ import annotations

from edgebit.errors import SourceError as SourceError  # plugins import their vocabulary from here
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from typing import Any, ClassVar, Protocol

    from edgebit.log import Log
    from edgebit.loop import Clock, Timer, Watch
    from edgebit.options import Option, Options
    from edgebit.record import Chunk, Record
    from edgebit.stats import Counters

    class Context(Protocol):
        """What a plugin may ask of the program."""

        name: str  # the instance: "tail.0" or the alias
        clock: Clock
        log: Log
        stats: Counters  # this plugin's
        hostname: str
        agent_id: str
        state_dir: str  # a directory of the agent's that survives restarts; "" if there is none

        @property
        def read_size(self) -> int:
            """Bytes to read in a turn of the loop: READ_SIZE, and less where buffers are small."""
            ...

        def watch(self, fd: int, on_read: Callable[[], object] | None = None,
                  on_write: Callable[[], object] | None = None) -> Watch:  # fmt: skip
            """Watch a descriptor (see loop.Watch)."""
            ...

        def call_later(self, seconds: float, call: Callable[[], object]) -> Timer: ...

        def resolve(self, host: str, port: int, done: Callable[[list[Any], str], object]) -> None:
            """Look a host name up without blocking; `done(addresses, why)` gets getaddrinfo's list, or [] and why."""
            ...

        def lost(self, why: str) -> None:
            """The source or peer went away: close me, log it, open me again with back-off."""
            ...

    class InputContext(Context, Protocol):
        tag: str  # as configured; a "*" in it is the plugin's to fill

        def emit(self, tag: str, records: list[Record], raw: int = 0, receipt: Receipt | None = None) -> None:
            """Hand over a batch. `raw`: the bytes it was read from, for the memory account."""
            ...

        def recovered(self, tag: str, source: str) -> list[tuple[int, int]]:
            """How far each of the outputs that take this tag had stored a source (see Receipt.mark) before the last
            restart, as (position, check); (-1, 0) where nothing is known."""
            ...

        def missed(self, why: str, count: int, tag: str = "") -> None:
            """So many records, or whatever `why` names, were lost before they could be handed over: the kernel dropped
            them, say. They go into the ledger with the time, and the outputs that take the tag (by default `self.tag`)
            tell their collectors. `why` is one of a few fixed texts; saying it in the log is up to the input."""
            ...

        def finished(self) -> None:
            """The source has ended for good (end of standard input); the agent stops when all inputs have."""
            ...

        def exit_agent(self, status: int = 0) -> None:
            """The user asked for the agent to end here (tail's exit_on_eof), with this exit status."""
            ...

    class FilterContext(Context, Protocol):
        """What a filter may ask of the program beyond that."""

        origin: Origin | None  # of the batch in `process`, if the filter says that it `emits`; None outside
        held: bool  # a buffer that blocks has no room for what was emitted here without an origin: wait

        def emit(self, tag: str, records: list[Record], kept: Sequence[Origin] = (), onward: bool = False) -> bool:
            """Send records through all filters from the first on, under a tag of the filter's choice; or `onward`, through
            those behind this one only, which is never refused.

            In `process`: they belong to the batch, so its input is told that the batch is safe only when they are, too,
            and waits if there is no room for them. They are on their way when the batch has passed the last filter.
            False, and one line in the log, if this filter has emitted the batch itself, or if it was emitted too often: then
            the caller lets the records go on as they are.

            `kept` are the origins of batches whose records were kept until now (Origin.keep). Each is released when what is
            emitted here is safe. Emitting kept records from a timer or in `stop` never fails. Without any origin (a filter
            that makes records of its own) nothing waits for them; don't while `held`.
            """
            ...

        def print(self, data: bytes) -> None:
            """Write whole lines to standard output. If its reader is slow, the input of the batch waits."""
            ...

        @property
        def printed(self) -> bool:
            """All that `print` was given is written."""
            ...

        def exit_agent(self, status: int = 0) -> None:
            """The user asked for the agent to end here, after this batch, with this exit status."""
            ...


READ_SIZE = 65536  # bytes an input reads per turn of the loop, so that a busy source can't starve a quiet one

LOG = Shape.of(("log",))  # a line as it came


class Receipt:
    """Tells an input when what it handed over is safe, so that its position may move there.

    One receipt goes with one `emit`. Each buffer that takes records of it holds the receipt (`hold`) and lets go
    (`release`) when they are durable, delivered, or dropped and counted. When nobody holds it, `safe()` is called.

    `mark` is (source, position after these records, check): a name that stays the same over restarts, a number that
    grows, and one that tells whether the source is still the same. A buffer on disk stores it with the records, so that
    after a crash an input can go on exactly behind what is stored (InputContext.recovered). If one output has stored more
    than another, the input reads from the smaller position and says with `again` that these records may be stored here
    and there already; then they go only to the buffers that miss them.

    With `awaited` a peer waits for the answer: outputs send what they have at once, not when a batch is full or
    `flush` is over.
    """

    __slots__ = ("_holders", "_safe", "again", "awaited", "mark")

    def __init__(self, safe: Callable[[], object], mark: tuple[str, int, int] | None = None, again: bool = False,
                 awaited: bool = False) -> None:  # fmt: skip
        self._safe, self.mark, self.again, self.awaited = safe, mark, again, awaited
        self._holders = 1  # the pipeline itself, while it routes

    def hold(self) -> None:
        self._holders += 1

    def release(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            self._safe()


class Origin:
    """Where the batch comes from that a filter is given, for filters that emit.

    source    the input; `source.name` is its name
    again     this filter has emitted the batch itself
    receipt, path   the pipeline's: who waits for the batch, and the filters that have emitted it

    A filter that holds records back beyond `process` calls `keep` once for each batch that it has some of, and hands the
    origin to ``ctx.emit(..., kept=[origin, ...])`` with the last of them (or calls `release` if it drops them): until then
    the input's position stays before the batch. What it keeps is the filter's to bound.
    """

    __slots__ = ("again", "path", "receipt", "source")

    def __init__(self, source: Any, receipt: Receipt | None = None, path: tuple[Any, ...] = (),
                 again: bool = False) -> None:  # fmt: skip
        self.source, self.receipt, self.path, self.again = source, receipt, path, again

    def keep(self) -> Origin:
        """Hold back the receipt of the batch; the origin itself."""
        if self.receipt is not None:
            self.receipt.hold()
        return self

    def release(self) -> None:
        """Undo one `keep`: the records that were kept are nobody's concern any more."""
        if self.receipt is not None:
            self.receipt.release()


class Plugin:
    """What all kinds have in common."""

    NAME: ClassVar[str] = ""
    OPTIONS: ClassVar[tuple[Option, ...]] = ()
    CLASSIC: ClassVar[dict[str, str]] = {}  # defaults in a classic configuration where they differ: Fluent Bit's


class Input(Plugin):
    """Collects records and hands them over with ``ctx.emit(tag, records, raw)``.

    Each input says in its docstring what pausing means for its source: what waits, what the kernel drops.
    """

    keeps_state: bool = False  # it writes to the state directory
    patient: bool = False  # while it is paused nothing is lost: whoever writes waits, or the data lies where it is
    bulk: bool = True  # its batches may be as large as a read; False: a few records

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        self.opt, self.ctx = opt, ctx

    def open(self) -> None:
        """Acquire the source and start to read, unless paused. Raises SourceError or OSError when it isn't there."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back; may be called when not open."""

    def pause(self) -> None:
        """Really stop reading from the source: a buffer is full. Called only while open."""
        raise NotImplementedError

    def resume(self) -> None:
        """Read again. Called only while open."""
        raise NotImplementedError

    def stop(self) -> None:
        """The agent is stopping: hand over what is complete, or what is left for good. `close` follows."""

    def state_lost(self) -> None:
        """The state directory was removed and made again: write again what is kept there. May be called when not open."""


class IntervalInput(Input):
    """An input that takes a sample at a fixed interval. Paused, it takes none; what would have been sampled is not lost
    data, it never existed. The grid doesn't drift, and samples that a stall made impossible are skipped."""

    bulk = False
    interval = 1.0  # seconds; subclasses set it in __init__ or open

    def open(self) -> None:
        self._timer: Timer | None = None
        self._next = self.ctx.clock.monotonic() + self.interval
        self.start_sampling()
        self.resume()

    def start_sampling(self) -> None:
        """Take the first reading of counters, so that the first sample can be a difference. May raise SourceError."""

    def sample(self) -> None:
        """Take one sample and emit it."""
        raise NotImplementedError

    def _tick(self) -> None:
        now = self.ctx.clock.monotonic()
        self._next += self.interval
        if self._next <= now:  # stalled for more than an interval
            self._next = now + self.interval
        self._timer = self.ctx.call_later(self._next - now, self._tick)
        self.sample()

    def pause(self) -> None:
        self.close()

    def resume(self) -> None:
        if self._timer is None:
            now = self.ctx.clock.monotonic()
            self._next = max(self._next, now)
            self._timer = self.ctx.call_later(self._next - now, self._tick)

    def close(self) -> None:
        timer = getattr(self, "_timer", None)
        if timer is not None:
            timer.cancel()
            self._timer = None


class Parser(Plugin):
    """Turns lines into records. Pure: no socket, file, log or clock; the time of a line without one is `now_ns`.

    `name` is what inputs call it by. Lines are text without their line end; bytes that were not UTF-8 are in it as
    surrogate escapes.
    """

    time_errors = 0  # lines so far whose time could not be read

    def __init__(self, name: str, opt: Options) -> None:
        self.name, self.opt = name, opt

    def parse(self, line: str, now_ns: int) -> Record | None:
        """One line; None if it doesn't match."""
        raise NotImplementedError

    def parse_lines(self, lines: Sequence[str], now_ns: int, raw: Shape = LOG) -> tuple[list[Record], int]:
        """A record for each line, in order, and how many didn't match; those are kept whole as the field of `raw`.

        Subclasses override this when they can do it faster than line by line.
        """
        parse = self.parse
        records: list[Record] = []
        misses = 0
        for line in lines:
            record = parse(line, now_ns)
            if record is None:
                record = (now_ns, raw, (line,))
                misses += 1
            records.append(record)
        return records, misses


class Filter(Plugin):
    """Changes, adds or removes records of a batch. Pure but for its own state.

    Most filters are `process` and nothing else. One that sends records back to the first filter under another tag, keeps
    some for later, or prints, sets `emits` and uses ``ctx.origin``, ``ctx.emit`` and ``ctx.print``; it counts itself what it
    drops. Behind one whose records of a batch part ways (`parts`), buffers on disk store no Receipt.mark with them: after a
    crash the input goes on at the position that is safe, and what was stored beyond it comes twice.

    A filter that makes a new shape out of an old one uses ``shape.derive(names)``, so that what else a shape says of its
    records is kept. What is worked out for a shape is kept in ``shape.cache[self]``, if the shape is interned.
    """

    emits: ClassVar[bool] = False
    parts: ClassVar[bool] = True  # only asked if it emits; False if it emits nothing but records of its own making

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        self.opt, self.ctx = opt, ctx

    def open(self) -> None:
        """The agent starts: set timers (``ctx.call_later``) if need be."""

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        """The records that go on; may be the same list. A record is never changed in place: it is a tuple. If it raises,
        the batch goes on as it came, and what was emitted all the same is not taken back."""
        raise NotImplementedError

    @property
    def idle(self) -> bool:
        """Nothing is left to do; a stopping agent waits for that, as long as it waits at all."""
        return True

    def stop(self) -> None:
        """The inputs have ended, the outputs go on: emit all that is kept, and keep nothing from now on."""

    def close(self) -> None:
        """The end. What is still kept, and not released, is read again at the next start by an input that can."""


class Format(Plugin):
    """Turns a chunk into bytes. Pure; what can be compiled is compiled once per shape and kept in its `cache`.

    Stream formats (`stream` is True) can be written one after the other to the same file.
    """

    content_type: ClassVar[str] = "application/octet-stream"
    stream: ClassVar[bool] = False

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        self.opt, self.agent_id, self.stream_id = opt, agent_id, stream_id
        self.agents: dict[str, str] = {}  # other agents by stream: see Delivery.agent_id

    def encode(self, chunk: Chunk) -> bytes:
        raise NotImplementedError

    def encode_each(self, chunk: Chunk) -> list[bytes]:
        """Each record by itself, for outputs that send them so (`Output.each`)."""
        return [self.encode(chunk.part(i, i + 1)) for i in range(chunk.count)]


if TYPE_CHECKING:

    class Delivery(Protocol):
        """A batch on its way. The output answers exactly once, with one of the three methods, now or later."""

        @property
        def chunk(self) -> Chunk:
            """tag, seq (of the first record), count, records"""
            ...

        @property
        def body(self) -> bytes:
            """The chunk in the output's format; b"" if the output has none or takes `bodies`."""
            ...

        @property
        def bodies(self) -> list[bytes]:
            """Each record in the output's format, if the output sends them one by one (`Output.each`); else empty."""
            ...

        @property
        def content_type(self) -> str:
            """Of the body."""
            ...

        @property
        def stream_id(self) -> str:
            """With chunk.seq it names a record for ever."""
            ...

        @property
        def agent_id(self) -> str:
            """Whose records these are: this agent's, or those of another device whose buffer was given to it."""
            ...

        def delivered(self) -> None:
            """The collector has it."""
            ...

        def retry(self, why: str, after: float | None = None) -> None:
            """Not now; `after` is what the peer asked for, in seconds (Retry-After)."""
            ...

        def reject(self, why: str, which: Sequence[int] | None = None) -> None:
            """Never: the peer refuses these records (indexes into the chunk), or some of them (None)."""
            ...


class Output(Plugin):
    """Delivers batches. Knows nothing of buffers, retries or back-off, and never blocks.

    `window` is how many deliveries it can take before the first is answered. An output that needs a connection makes it
    when it is given a delivery (or in `open`, to be early) and answers ``retry(why)`` when it can't; the sender
    holds the back-off. After a retry the sender gives the same records again.
    """

    local: ClassVar[bool] = False  # it writes on this machine; then records wait in memory unless the user wants more
    FORMATS: ClassVar[tuple[str, ...]] = ()  # the formats it can carry, the default first
    FORMAT_NAMES: ClassVar[dict[str, str]] = {}  # other names that it has for formats
    each = False  # it sends every record by itself, and wants `delivery.bodies`
    window = 1

    def __init__(self, opt: Options, ctx: Context) -> None:
        self.opt, self.ctx = opt, ctx

    @classmethod
    def format_of(cls, wanted: str, given: Container[str]) -> str:
        """The format behind the option `format`; `given` has the keys of all options in the config, in lower case."""
        return cls.FORMAT_NAMES.get(wanted, wanted)

    def open(self) -> None:
        """Acquire what doesn't depend on the peer. Raises SourceError or OSError."""

    def deliver(self, delivery: Delivery) -> None:
        """Send a batch on its way."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back; deliveries not answered yet are taken as retry."""
