"""Input stdin: JSON or lines from standard input.

With a parser, its lines go through it. Without, it is a stream of JSON objects, or of events as Fluent Bit writes them
(``[time, {...}]`` or ``[[time, metadata], {...}]``, the time in seconds), one after the other, in lines or not. What is
none of these is kept up to the end of its line as ``{"log": text}`` and counted in `unparsed`. One bad line never costs
another one. Empty lines are skipped.

Works for pipes, sockets and terminals, which the loop watches, and for regular files and /dev/null, which it can't
(epoll refuses them; they never make one wait for more than the disk): those are read a block a turn. The descriptor is
left blocking, because non-blocking is a property that it shares with whoever gave it to us, such as the shell of the
user's terminal. It is read only when the loop says that there is something, and a read returns what there is.
"""

from __future__ import annotations

import os
import sys

from edgebit.errors import reason
from edgebit.options import Option, plugin_ref, size
from edgebit.plugin import LOG, READ_SIZE, Input, SourceError
from edgebit.record import Shape
from edgebit.wire.framing import LineSplitter
from edgebit.wire.jsonstream import JsonStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.loop import Timer, Watch
    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

LAST_SECOND = 9_223_372_036  # the largest whole second whose nanoseconds fit 64 bits


class Stdin(Input):
    """Lines from standard input, as JSON or through a parser.

    Paused, it doesn't read; whoever writes into the pipe waits. At the end of the input, a last line without its line
    end is a line.
    """

    NAME = "stdin"
    patient = True
    OPTIONS = (
        Option("parser", plugin_ref, None, "the parser that lines go through; none: JSON, or kept whole"),
        Option("buffer_size", size, 65536, "the longest line or value in bytes; the rest of a longer one is cut off",
               minimum=256, maximum=64 * 2**20),
    )  # fmt: skip

    def __init__(self, opt: Options, ctx: InputContext, fd: int = 0) -> None:
        super().__init__(opt, ctx)
        self._fd = fd
        self._splitter = LineSplitter(opt.buffer_size) if opt.parser is not None else JsonStream(opt.buffer_size)
        self._watch: Watch | None = None
        self._timer: Timer | None = None
        self._file = False  # it can't be watched
        self._ended = False

    def open(self) -> None:
        if self._fd == 0 and sys.stdin is None:  # closed when we started: number 0 is something of our own by now
            raise SourceError("standard input is closed")
        os.fstat(self._fd)
        if self._ended:
            return
        self._watch = self.ctx.watch(self._fd, self._on_read)
        self.resume()

    def resume(self) -> None:
        if self._ended or self._watch is None:
            return
        if not self._file:
            try:
                self._watch.want(read=True)
            except PermissionError:  # what epoll says of a file
                self._file = True
        if self._file and self._timer is None:
            self._timer = self.ctx.call_later(0, self._on_timer)

    def pause(self) -> None:
        if self._watch is not None:
            self._watch.want()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        """What was read is gone from the pipe, so a line that isn't complete is handed over as it is."""
        self._take(self._splitter.finish(), 0)

    def close(self) -> None:
        if self._watch is not None:
            self.pause()
            self._watch.close()
            self._watch = None

    def _on_timer(self) -> None:
        self._timer = self.ctx.call_later(0, self._on_timer)  # first, so that a pause in what follows cancels it
        self._on_read()

    def _on_read(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:  # somebody else made it non-blocking, and took what there was
            return
        except OSError as error:
            self.close()
            self.ctx.lost(f"cannot read standard input: {reason(error)}")
            return
        if data:
            self._take(self._splitter.feed(data), len(data))
        else:
            self._ended = True
            self.close()
            self._take(self._splitter.finish(), 0)
            self.ctx.finished()

    def _take(self, found: list[Any], raw: int) -> None:
        if self._splitter.truncated:
            self.ctx.stats.add("truncated", self._splitter.truncated)
            self._splitter.truncated = 0
        if "" in found:
            found = [line for line in found if line != ""]
        if not found:
            return
        now_ns = self.ctx.clock.wall_ns()
        if self.opt.parser is not None:
            records, misses = self.opt.parser.parse_lines(found, now_ns)
        else:
            records, misses = self._events(found, now_ns)
        if misses:
            self.ctx.stats.add("unparsed", misses)
        self.ctx.emit(self.ctx.tag, records, raw)

    def _events(self, values: list[Any], now_ns: int) -> tuple[list[Record], int]:
        records: list[Record] = []
        misses = 0
        for value in values:
            record = event(value, now_ns)
            if record is None:
                import json

                misses += 1
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                record = (now_ns, LOG, (text,))
            records.append(record)
        return records, misses


def event(value: Any, now_ns: int) -> Record | None:
    """The record of ``{...}``, ``[time, {...}]`` or ``[[time, metadata], {...}]``; None for any other value."""
    metadata = None
    if isinstance(value, list):
        if len(value) != 2:
            return None
        head, value = value
        if isinstance(head, list) and head:
            metadata = head[1] if len(head) == 2 else None
            head = head[0]
        # A bool is an int to Python, and a time to nobody.
        if type(head) not in (int, float) or not 0 <= head <= LAST_SECOND:
            return None
        if metadata is not None and not isinstance(metadata, dict):
            return None
        # Seconds and fraction apart, as in Fluent Bit: a double of all the nanoseconds is up to 128 ns off.
        now_ns = int(head) * 10**9 + int(head % 1 * 1e9)
    return (now_ns, Shape.of(value, metadata), tuple(value.values())) if isinstance(value, dict) else None
