"""Two small tables of tail: what was said about which file, so that it is said once each way; and timers by name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from edgebit.log import Log
    from edgebit.loop import Timer
    from edgebit.plugin import Context

    _T = TypeVar("_T")

REMEMBERED = 1024  # entries of a table; beyond, the oldest give way


def remember(table: dict[str, _T], key: str, value: _T) -> None:
    """Enter it as the latest."""
    table.pop(key, None)
    table[key] = value
    if len(table) > REMEMBERED:
        del table[next(iter(table))]


class Said:
    """Warnings by what they are about."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._texts: dict[str, str] = {}

    def warn(self, what: str, text: str) -> None:
        """Say it, unless this is what was said last about it."""
        if self._texts.get(what) != text:
            remember(self._texts, what, text)
            self._log.warn(text)

    def once(self, what: str, text: str) -> None:
        """Say it, unless anything was said about it."""
        if what not in self._texts:
            self.warn(what, text)

    def over(self, what: str, text: str) -> None:
        """Say that it is over, if there was anything."""
        if self._texts and self._texts.pop(what, None) is not None:
            self._log.info(text)


class Timers:
    """One timer of each name; a later wish while it runs is dropped."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._timers: dict[str, Timer] = {}

    def after(self, name: str, seconds: float, call: Callable[[], object]) -> None:
        """Call in so many seconds, at the earliest in the next turn of the loop."""
        if name not in self._timers:

            def due() -> None:
                del self._timers[name]
                call()

            self._timers[name] = self._ctx.call_later(max(0.0, seconds), due)

    def cancel(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()

    def close(self) -> None:
        for name in list(self._timers):
            self.cancel(name)
