"""Between tail's lines and its records, where lines belong together: `multiline.parser`, `multiline`, `docker_mode`.

Text that is not complete is in memory only, so the position of a file is handed on only up to the line where the oldest
such text begins: after a kill it is read again from there. It is handed over when a line ends it, when nobody continued it
in time and the file has nothing more to read, when its file is let go or truncated, and when the agent stops.
"""

from __future__ import annotations

from edgebit.inputs.checkpoint import FINGERPRINT
from edgebit.plugin import Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from edgebit.inputs.tail_files import TailedFile
    from edgebit.inputs.tail_lines import Lines
    from edgebit.inputs.tail_once import Timers
    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

    class Joiner(Protocol):
        """Joins the lines of one file; parsers.multiline says how."""

        def feed(self, lines: Sequence[str], now_ns: int, monotonic: float,
                 at: Sequence[Any] | None = None) -> tuple[list[Record], list[Any]]: ...  # fmt: skip

        def flush(self, monotonic: float | None = None) -> tuple[list[Record], list[Any]]: ...

        @property
        def oldest(self) -> Any: ...

        @property
        def deadline(self) -> float | None: ...


_AGAIN = 1.0  # seconds until a file is looked at again that was busy when its text was due


def maker(opt: Options) -> Callable[[], Joiner] | None:
    """What makes a file's joiner, None if lines are records of their own."""
    if opt.multiline_parser:
        definitions = opt.multiline_parser
        make: Callable[[], Joiner] = lambda: definitions[0].joiner(definitions)  # noqa: E731 - one of the makers
        return make
    if opt.docker_mode:
        from edgebit.inputs.tail_legacy import DockerMode

        return lambda: DockerMode(opt.docker_mode_flush, opt.docker_mode_parser, opt.parser, opt.key)
    if opt.multiline:
        from edgebit.inputs.tail_legacy import FirstLine

        others = [parser for n in range(1, 10) if (parser := getattr(opt, f"parser_{n}"))]
        return lambda: FirstLine(opt.parser_firstline, others, opt.multiline_flush, opt.key)
    return None


class Joining:
    """The joiners of one tail's files. `is_idle` tells whether a file has nothing more to read for now."""

    def __init__(self, make: Callable[[], Joiner], opt: Options, ctx: InputContext, lines: Lines, timers: Timers,
                 is_idle: Callable[[TailedFile], bool]) -> None:  # fmt: skip
        self._make, self._ctx, self._lines, self._timers, self._is_idle = make, ctx, lines, timers, is_idle
        self._raw_first = not opt.multiline_parser and not opt.docker_mode
        self._waiting: dict[TailedFile, None] = {}  # files with text that is not complete
        self._due: float | None = None  # when the timer is set to
        self.paused = False

    def take(self, file: TailedFile, data: bytes, taken: int) -> None:
        """Move on over lines, hand over what they complete."""
        start, before = file.offset, file.tail
        file.move(data, taken)
        if file.joiner is None:
            file.joiner = self._make()
        lines, starts = self._lines.split(data, start, file.codec, measure=True)
        clock = self._ctx.clock
        records, begins = file.joiner.feed(lines, clock.wall_ns(), clock.monotonic(), list(starts))
        oldest = file.joiner.oldest
        end, tail = file.offset, file.tail
        if oldest is not None:  # when it has waited since an earlier block, the position stays where it is
            end, tail = oldest, (before + data[: max(0, oldest - start)])[-FINGERPRINT:]
            if oldest < start:
                end = file.progress.end
        self._hand_over(file, records, begins, end, tail, len(data))

    def finish(self, file: TailedFile) -> None:
        """Hand over what waits in this file, complete or not."""
        if file.joiner is not None and file.joiner.oldest is not None:
            records, begins = file.joiner.flush()
            self._hand_over(file, records, begins, file.offset, file.tail, 0)

    def forget(self, file: TailedFile) -> None:
        self._waiting.pop(file, None)

    def finish_all(self) -> None:
        for file in list(self._waiting):
            self.finish(file)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self._set_timer(0.0)

    def _flush(self) -> None:
        self._due = None
        now = self._ctx.clock.monotonic()
        for file in list(self._waiting):
            joiner = file.joiner
            if joiner is None or not self._is_idle(file):
                continue  # what continues it may be there already
            records, begins = joiner.flush(now)
            left = joiner.oldest
            end, tail = (file.offset, file.tail) if left is None else (file.progress.end, b"")
            self._hand_over(file, records, begins, end, tail, 0)
        if not self.paused:
            self._set_timer(now + _AGAIN)

    def _hand_over(self, file: TailedFile, records: list[Record], begins: list[int], end: int, tail: bytes,
                   raw: int) -> None:  # fmt: skip
        """`end`: the position up to which all is handed over now, and `tail` what stands before it."""
        if file.joiner is None or file.joiner.oldest is None:
            self._waiting.pop(file, None)
        else:
            self._waiting[file] = None
            self._set_timer(0.0)
        receipt: Receipt | None = None
        if end > file.progress.end:
            receipt = file.progress.add(end, tail, file.source, again=False)
        elif records:
            receipt = file.progress.stay(file.source)
        if records:
            wide = self._lines.widened(records, file.path, begins, self._raw_first)
            self._ctx.emit(file.tag, wide, raw, receipt)
        elif receipt is not None:
            receipt.release()

    def _set_timer(self, earliest: float) -> None:
        """For the first of the deadlines, but not before `earliest`."""
        times = [max(time, earliest) for file in self._waiting if file.joiner and (time := file.joiner.deadline)]
        if times and (self._due is None or min(times) < self._due):
            self._due = min(times)
            self._timers.cancel("joined")
            self._timers.after("joined", self._due - self._ctx.clock.monotonic(), self._flush)
