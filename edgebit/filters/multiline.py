"""Joins records to one: lines of a stack trace, or parts that a container runtime has cut a line into.

With `mode parser` the texts of `multiline.key_content` are joined by multiline parsers (see parsers/multiline.py, which
says how), with `mode partial_message` those of records that docker's fluentd driver has marked as parts (`partial_message`,
`partial_id`, `partial_last`); their own fields are left out, and the text goes last.

Records of one tag and input belong together. What is incomplete waits for `flush_ms` after its last record, and the input's
position or the answer to its sender with it: a stop hands it over, a crash loses nothing that can be read again.
With ``buffer off`` nothing waits: only the records of one batch are joined.

On purpose unlike Fluent Bit: what was joined goes on behind this filter. There it goes through all filters again, and those
in front of this one work on it twice. `emitter_*` are taken and have no effect.
"""

from __future__ import annotations

from collections import deque

from edgebit.errors import ConfigError
from edgebit.options import Option, boolean, milliseconds, multiline_ref, string, without_effect
from edgebit.parsers.multiline import LIMIT, Joiner
from edgebit.plugin import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from edgebit.loop import Timer
    from edgebit.options import Options
    from edgebit.plugin import FilterContext, Origin
    from edgebit.record import Record

    class Joins(Protocol):
        """What joins the records of one stream: parsers.multiline.Joiner or Parts."""

        @property
        def oldest(self) -> Any: ...

        @property
        def deadline(self) -> float | None: ...

        def feed_records(
            self, records: Sequence[Record], monotonic: float, at: Sequence[Any] | None = None
        ) -> tuple[list[Record], list[Any]]: ...

        def flush(self, monotonic: float | None = None) -> tuple[list[Record], list[Any]]: ...


_STREAMS = 1000  # beyond, those where nothing waits are forgotten
_PARTS = 32  # messages of a stream that may be incomplete; beyond, the oldest goes on as it is


class _Message:
    """The parts of a message so far; `at` is the mark of its first one."""

    def __init__(self, record: Record, at: Any) -> None:
        self.record, self.at = record, at
        self.texts: list[str] = []
        self.size = 0
        self.touched = 0.0


class Parts:
    """Joins what docker's fluentd driver has marked as parts of a message."""

    def __init__(self, key: str, patience: float) -> None:
        self._key, self._patience = key, patience
        self._messages: dict[str, _Message] = {}
        self._out: list[Record] = []
        self._starts: list[Any] = []

    def feed_records(
        self, records: Sequence[Record], monotonic: float, at: Sequence[Any] | None = None
    ) -> tuple[list[Record], list[Any]]:
        for i, record in enumerate(records):
            mark = at[i] if at is not None else None
            _, shape, values = record
            index = shape.index
            text = values[index[self._key]] if self._key in index else None
            name = values[index["partial_id"]] if "partial_id" in index else None
            if not _is_true(record, "partial_message") or type(text) is not str or type(name) is not str:
                self._out.append(record)
                self._starts.append(mark)
                continue
            message = self._messages.get(name)
            if message is not None and message.size + len(text) > LIMIT:
                self._finish(name)
                message = None
            if message is None:
                if len(self._messages) >= _PARTS:
                    self._finish(next(iter(self._messages)))
                message = self._messages[name] = _Message(record, mark)
            message.texts.append(text)
            message.size += len(text)
            message.touched = monotonic
            if _is_true(record, "partial_last"):
                self._finish(name)
        return self._done()

    def flush(self, monotonic: float | None = None) -> tuple[list[Record], list[Any]]:
        for name, message in list(self._messages.items()):
            if monotonic is None or monotonic >= message.touched + self._patience:
                self._finish(name)
        return self._done()

    @property
    def oldest(self) -> Any:
        return next((message.at for message in self._messages.values()), None)

    @property
    def deadline(self) -> float | None:
        return min((message.touched + self._patience for message in self._messages.values()), default=None)

    def _finish(self, name: str) -> None:
        message = self._messages.pop(name)
        time_ns, shape, values = message.record
        stay = [i for i, field in enumerate(shape.names) if field != self._key and not field.startswith("partial_")]
        joined = shape.derive((*[shape.names[i] for i in stay], self._key))
        self._out.append((time_ns, joined, (*[values[i] for i in stay], "".join(message.texts))))
        self._starts.append(message.at)

    def _done(self) -> tuple[list[Record], list[Any]]:
        done = self._out, self._starts
        self._out, self._starts = [], []
        return done


def _is_true(record: Record, field: str) -> bool:
    at = record[1].index.get(field, -1)
    return at >= 0 and (record[2][at] is True or str(record[2][at]).lower() == "true")


class _Stream:
    """The records of one tag and input: what joins them, and the batches that are not all handed over, by number."""

    def __init__(self, tag: str, joins: Joins) -> None:
        self.tag, self.joins = tag, joins
        self.number = 0
        self.kept: deque[tuple[int, Origin]] = deque()

    def complete(self) -> list[Origin]:
        """The origins of batches of which nothing waits any more."""
        oldest = self.joins.oldest
        done = []
        while self.kept and (oldest is None or self.kept[0][0] < oldest):
            done.append(self.kept.popleft()[1])
        return done


class Multiline(Filter):
    """Joins records that are parts of one, such as the lines of a stack trace."""

    NAME = "multiline"
    OPTIONS = (
        Option("multiline.parser", multiline_ref, [], "multiline parsers, tried in this order", multiple=True),
        Option("multiline.key_content", string, "", "the field whose text is joined; by default the parser's, or log"),
        Option("mode", ("parser", "partial_message"), "parser", "what tells which records belong together"),
        Option("buffer", boolean, True, "wait for the rest; off: join within a batch only"),
        Option("flush_ms", milliseconds, 2.0, "time in ms after which a block is complete that no record continues",
               minimum=0.001),
        *without_effect("there is nothing to debug", "debug_flush"),
        *without_effect("what it emits belongs to the batch of its input", "emitter_name", "emitter_storage.type",
                        "emitter_mem_buf_limit"),
    )  # fmt: skip
    emits = True

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        if opt.mode == "parser" and not opt.multiline_parser:
            raise ConfigError('multiline needs the option "multiline.parser", or mode = "partial_message"')
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._timer: Timer | None = None
        self._due = 0.0
        self._stopping = False

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        origin = self.ctx.origin
        if origin is None or origin.again:
            return records
        now = self.ctx.clock.monotonic()
        if not self.opt.buffer:
            joins = self._joins()
            return joins.feed_records(records, now)[0] + joins.flush()[0]
        stream = self._stream(origin.source.name, tag)
        stream.number += 1
        out, starts = stream.joins.feed_records(records, now, [stream.number] * len(records))
        if self._stopping:
            rest, more = stream.joins.flush()
            out, starts = out + rest, starts + more
        before = bool(stream.kept)
        waits = stream.joins.oldest is not None
        if before:
            self._hand_over(stream, out, starts)
            out = []
        if waits:
            stream.kept.append((stream.number, origin.keep()))
            self._wake(stream.joins.deadline)
        return out

    def stop(self) -> None:
        self._stopping = True
        self._flush(None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _joins(self) -> Joins:
        key, patience = self.opt.multiline_key_content, self.opt.flush_ms
        if self.opt.mode == "partial_message":
            return Parts(key or "log", patience)
        if not key and not all(definition.key_content for definition in self.opt.multiline_parser):
            key = "log"
        return Joiner(self.opt.multiline_parser, key, patience)

    def _stream(self, source: str, tag: str) -> _Stream:
        stream = self._streams.get((source, tag))
        if stream is None:
            if len(self._streams) >= _STREAMS:
                self._streams = {k: s for k, s in self._streams.items() if s.joins.oldest is not None}
            stream = self._streams[source, tag] = _Stream(tag, self._joins())
        return stream

    def _hand_over(self, stream: _Stream, records: list[Record], starts: list[Any]) -> None:
        """Send records on their way, and let those batches go that are complete when these are safe."""
        done = stream.complete()
        if records:
            # A batch that is not complete may have begun one of these records: it waits for that, too.
            first = min(starts)
            begun = [origin.keep() for number, origin in stream.kept if number >= first]
            self.ctx.emit(stream.tag, records, done + begun, onward=True)
        else:
            for origin in done:
                origin.release()

    # -- what nobody continues -----------------------------------------------------------------------------------------

    def _wake(self, deadline: float | None) -> None:
        """Let the timer end at that time, or before."""
        if deadline is None or (self._timer is not None and self._due <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = deadline
        self._timer = self.ctx.call_later(max(0.0, deadline - self.ctx.clock.monotonic()), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._flush(self.ctx.clock.monotonic())

    def _flush(self, monotonic: float | None) -> None:
        for stream in list(self._streams.values()):
            records, starts = stream.joins.flush(monotonic)
            if records or stream.kept:
                self._hand_over(stream, records, starts)
            self._wake(stream.joins.deadline)
