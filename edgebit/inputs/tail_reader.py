"""Reads tail's files in turn and hands their lines over.

Files that have something wait in a queue. A turn of the loop reads about `buffer_chunk_size` bytes, one block a file; a
file with more goes to the end of the queue. So a file that grows without end delays a quiet one by a block for each busy
file, and other inputs by one block. At most MAX_OPEN descriptors are open.
"""

from __future__ import annotations

from collections import deque

from edgebit.errors import reason
from edgebit.inputs.tail_files import Rewritten
from edgebit.inputs.tail_joining import Joining, maker
from edgebit.inputs.tail_lines import Lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgebit.inputs.tail_files import Identity, TailedFile
    from edgebit.inputs.tail_once import Said, Timers
    from edgebit.options import Options
    from edgebit.plugin import InputContext

MAX_OPEN = 256  # the least recently read file is closed for another; it is opened again when there is something
_MOST = 1 << 20  # bytes read in a turn, however large a buffer a Fluent Bit configuration asks for: others wait for it
_VISIT = 1024  # what a visit to a file costs in bytes read, so that a turn visits a bounded number of them


class Reader:
    """The queue and the open files of one tail. `missed` is told of a file found grown without an event."""

    def __init__(self, opt: Options, ctx: InputContext, files: Mapping[Identity, TailedFile], said: Said,
                 timers: Timers, missed: Callable[[TailedFile], object]) -> None:  # fmt: skip
        self._opt, self._ctx, self._files, self._said, self._timers, self._missed = (
            opt,
            ctx,
            files,
            said,
            timers,
            missed,
        )
        self._lines = Lines(opt.key, opt.path_key, opt.offset_key, opt.skip_empty_lines, opt.parser or None)
        make = maker(opt)
        self._joining = Joining(make, opt, ctx, self._lines, timers, self.is_done) if make is not None else None
        self._skip_long = opt.skip_long_lines and not opt.truncate_long_lines
        self._queue: deque[TailedFile] = deque()
        self._open: dict[TailedFile, None] = {}  # the least recently read first
        self._ended = self._warned = False
        self._size = min(opt.buffer_chunk_size, _MOST)
        self._limit = opt.buffer_max_size - 1  # as in Fluent Bit, whose buffer has a byte more than text
        self.paused = False

    @property
    def joins(self) -> bool:
        """Whether lines are joined to records."""
        return self._joining is not None

    def pause(self) -> None:
        self.paused = True
        if self._joining is not None:
            self._joining.pause()

    def resume(self) -> None:
        self.paused = False
        self.go_on()
        if self._joining is not None:
            self._joining.resume()

    def hand_over_waiting(self) -> None:
        """The agent stops: no line will continue what waits for one, or it is a record of its own then."""
        if self._joining is not None and not self.paused:
            self._joining.finish_all()

    def add(self, file: TailedFile) -> None:
        """There may be something to read in it."""
        if not file.ready:
            file.ready = True
            self._queue.append(file)
            self.go_on()

    def go_on(self) -> None:
        """Take the next turn, unless paused."""
        if not self.paused and not self._ended:
            self._timers.after("turn", 0, self._turn)

    def is_done(self, file: TailedFile) -> bool:
        """Whether it has been read to its end, and handing over is allowed."""
        return file.at_end and not file.ready and not self.paused

    def touch(self, file: TailedFile) -> None:
        """Have it open, as one of at most MAX_OPEN. Raises OSError if it is gone."""
        if file.fd < 0:
            file.reopen()
        self._open.pop(file, None)
        self._open[file] = None
        if len(self._open) > MAX_OPEN:
            # A file without a name may not be found again, and one with more to read may lose its name: those last.
            others = list(self._open)[:-1]
            self._close(min(others, key=lambda other: (other.left is not None) * 2 + (not other.at_end)))

    def forget(self, file: TailedFile) -> None:
        """It is not followed any more."""
        self._close(file)
        if self._joining is not None:
            self._joining.forget(file)
        if file.ready:
            self._queue.remove(file)
            file.ready = False

    def hand_over_rest(self, file: TailedFile) -> None:
        """The last line of a file that has been read to its end, though it has no line end. Raises OSError.

        If more was written in between, the file is back in the queue instead.
        """
        self.touch(file)
        data, taken = file.rest(self._limit)
        if taken:
            self._emit(file, data, taken)
        elif not file.at_end:
            self.add(file)
            return
        if self._joining is not None:
            self._joining.finish(file)

    def _close(self, file: TailedFile) -> None:
        self._open.pop(file, None)
        file.close()

    def _turn(self) -> None:
        budget = self._size
        while self._queue and budget > 0 and not self.paused:
            file = self._queue.popleft()
            file.ready = False
            budget -= self._read(file) + _VISIT
        if self._queue:
            self.go_on()
        elif self._opt.exit_on_eof and not self.paused:
            self._end()

    def _read(self, file: TailedFile) -> int:
        """Read a block and hand it over; how many bytes that was."""
        polled, file.polled = file.polled, False
        try:
            self.touch(file)
            data, taken = file.read(self._size, self._limit)
        except Rewritten:
            self._truncated(file)
            return 0
        except OSError as error:
            self._said.warn(file.path, f"cannot read {file.path}: {reason(error)}; trying again")
            self._close(file)
            file.at_end, file.seen = True, (-1, -1)  # so that the next look tries again
            return 0
        self._said.over(file.path, f"reading {file.path} again")
        if file.damage:
            self._said.once(
                f"{file.path} damage", f"{file.path} is damaged: {file.damage}; the rest of it can't be read"
            )
        if taken:
            if polled:
                self._missed(file)
            if file.stops and file.offset + taken > file.stops[0] and taken == len(data):
                taken = file.stops[0] - file.offset
                data, file.at_end = data[:taken], False
            self._emit(file, data, taken)
        if not file.at_end:
            self.add(file)
        return taken

    def _emit(self, file: TailedFile, data: bytes, taken: int) -> None:
        """Hand over whole lines, or the beginning of one that is too long."""
        if self._joining is not None:
            if taken > len(data) and self._too_long(file, taken):
                data = b""
            self._joining.take(file, data, taken)
            return
        start = file.offset
        receipt = file.advance(data, taken)
        if taken > len(data) and self._too_long(file, taken):
            receipt.release()
            return
        records, misses = self._lines.records(data, file.path, start, self._ctx.clock.wall_ns(), file.codec)
        if misses:
            self._ctx.stats.add("unparsed", misses)
        if records:
            self._ctx.emit(file.tag, records, len(data), receipt)
        else:
            receipt.release()

    def _too_long(self, file: TailedFile, taken: int) -> bool:
        """Count a line that is too long; True if it is to be left out."""
        if not file.long_lines:
            self._ctx.log.warn(f"{file.path}: a line of {taken} bytes was {'left out' if self._skip_long else 'cut'}; "
                               "buffer_max_size is the limit. Further ones in this file are only counted")  # fmt: skip
        file.long_lines += 1
        self._ctx.stats.add("skipped_lines" if self._skip_long else "truncated_lines")
        if self._skip_long:
            self._ctx.missed("longer than buffer_max_size", 1, file.tag)
        return self._skip_long

    def _truncated(self, file: TailedFile) -> None:
        advice = ". What was written while it was copied and truncated is lost: better rotate by renaming"
        if not self._warned:
            self._ctx.log.warn(f"{file.path} was truncated, reading it from its start{advice}")
        else:
            self._ctx.log.info(f"{file.path} was truncated, reading it from its start")
        self._warned = True
        self._ctx.stats.add("truncated_files")
        if self._joining is not None:
            self._joining.finish(file)
        file.rewind()
        self.add(file)

    def _end(self) -> None:
        """exit_on_eof: all has been read; a line without a line end won't get one."""
        for file in list(self._files.values()):
            try:
                self.hand_over_rest(file)
            except OSError:
                continue  # said when it was read
        if not self._queue:
            self._ended = True
            self._ctx.exit_agent()
