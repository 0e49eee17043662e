"""Shows a person what arrives: a line a batch, or the records themselves, never more than a few lines a second.

Standard output may block (a stopped terminal, a full pipe), and then the collector waits with it, as the senders do;
who needs a collector that never waits for a reader runs it with --quiet. A reader that goes away ends the showing, not
the collecting.
"""

from __future__ import annotations

import time

from edgebit.collector.received import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from edgebit.collector.directory import Batch, Outcome
    from edgebit.plugin import Context

LINES = 20  # lines shown in a second; what comes beyond is counted and said in one line when the second is over
_DIM, _BOLD, _YELLOW, _OFF = "\033[2m", "\033[1m", "\033[33m", "\033[0m"


_TEXT = ("message", "log", "msg")  # what a person looks for first in a record


def brief(line: str) -> str:
    """The first record of a batch in one line for a person: its text first, then the other fields."""
    import json

    try:
        record = json.loads(line[:4096])
    except ValueError:
        return printable(line[:1000])
    record.pop("date", None)
    found = [str(record.pop(key)) for key in _TEXT if key in record]
    found += [f"{key}={value}" for key, value in record.items() if value not in ("-", "")]
    return printable("  ".join(found)[:1000])


class Live:
    """Lines for `write`, each with its line end.

    records   the records in full instead of a line a batch
    width     columns of the terminal, 0 for lines of any length
    colour    with the escape sequences of a terminal
    """

    def __init__(self, ctx: Context, write: Callable[[str], object], *, records: bool = False, width: int = 0,
                 colour: bool = False) -> None:  # fmt: skip
        self._ctx, self._write = ctx, write
        self._records, self._width, self._colour = records, width, colour
        self._shown = 0  # lines in this second
        self._held_records = self._held_batches = 0
        self._second = False  # the timer that ends the second is set
        self._tag_width = 12

    def show(self, batch: Batch, outcome: Outcome) -> None:
        """A batch has been written."""
        if not self._second:
            self._second = True
            self._ctx.call_later(1.0, self._next_second)
        if self._shown >= LINES:
            self._held_records += len(batch.lines)
            self._held_batches += 1
            return
        clock = time.strftime("%H:%M:%S", time.localtime(self._ctx.clock.wall_ns() // 10**9))
        tag = printable(batch.tag)
        self._tag_width = min(32, max(self._tag_width, len(tag)))
        if outcome.gap:
            lo, hi = outcome.gap
            self._line(clock, tag, f"missing so far: {number(hi - lo + 1, 'record')}, sequence {lo} to {hi}", _YELLOW)
        if outcome.duplicates:
            self._line(clock, tag, f"{number(outcome.duplicates, 'duplicate')} removed", _YELLOW)
        if self._records:
            room = max(0, LINES - self._shown)
            for line in outcome.new[:room]:
                self._line(clock, tag, printable(line))
            self._held_records += max(0, len(outcome.new) - room)
        elif outcome.new:
            self._line(clock, tag, f"{len(outcome.new):>6}  {brief(outcome.new[0])}")

    def _line(self, clock: str, tag: str, text: str, style: str = "") -> None:
        self._shown += 1
        text = f"{tag:<{self._tag_width}} {text}"
        if self._width and len(text) + 10 > self._width:
            text = text[: max(20, self._width - 11)] + "…"
        if self._colour:
            head, rest = text[: self._tag_width], text[self._tag_width :]
            clock, text = _DIM + clock + _OFF, _BOLD + head + _OFF + (style + rest + _OFF if style else rest)
        self._print(f"{clock}  {text}\n")

    def _next_second(self) -> None:
        self._second, self._shown = False, 0
        if self._held_records:
            batches = f" in {number(self._held_batches, 'batch')}" if self._held_batches else ""
            self._print(f"          … and {number(self._held_records, 'more record')}{batches}\n")
            self._held_records = self._held_batches = 0

    def _print(self, text: str) -> None:
        try:
            self._write(text)
        except (OSError, ValueError):
            self._write = lambda text: None
            self._ctx.log.warn("nobody reads what is shown any more; collecting goes on")


def printable(text: str) -> str:
    """Without characters that could drive the terminal: this text came over the network."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
