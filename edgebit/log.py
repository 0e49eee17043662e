"""Log lines to standard error, or to one file that the user names instead.

Not the standard library's logging: that costs 2.4 MB and 9 ms at start for formatters, hierarchies and handlers that
an agent with one sink doesn't use. A line is ``[2026/11/22 21:29:00.123] [ info] [input:tail:tail.0] text``, local time,
as in Fluent Bit. Under systemd (JOURNAL_STREAM is set) the journal has the time already and wants the priority as
``<6>`` in front (sd-daemon(3)).

What to log: state changes. `Trouble` holds the rule "once when it starts, once when it ends".
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OFF, ERROR, WARN, INFO, DEBUG = range(5)
LEVELS = {"off": OFF, "error": ERROR, "warn": WARN, "warning": WARN, "info": INFO, "debug": DEBUG, "trace": DEBUG}
_NAMES = ("", "error", " warn", " info", "debug")
_PRIORITY = ("", "<3>", "<4>", "<6>", "<7>")


class Sink:
    """Where lines go; one for the process. Tests hand in their own `write` and `wall_ns`."""

    def __init__(self, level: int = INFO, write: Callable[[str], object] | None = None,
                 wall_ns: Callable[[], int] = time.time_ns) -> None:  # fmt: skip
        self.level = level
        self.wall_ns = wall_ns
        self._write = write
        self._journal = write is None and "JOURNAL_STREAM" in os.environ

    def open(self, path: str) -> None:
        """Log to a file from now on. If that can't be, log on as before and say so."""
        try:
            file = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - until the process ends
        except (OSError, ValueError) as error:
            self.line(ERROR, "agent", f"cannot log to {path}: {error}")
            return
        self._journal = False

        def write(text: str) -> None:
            try:
                file.write(text)
                file.flush()
            except (OSError, ValueError):
                pass  # a full disk must not stop the agent

        self._write = write

    def line(self, level: int, component: str, text: str) -> None:
        if level > self.level:
            return
        text = text.replace("\n", "\\n")
        if self._journal:
            out = f"{_PRIORITY[level]}[{component}] {text}\n"
        else:
            now = self.wall_ns()
            stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(now // 10**9))
            out = f"[{stamp}.{now // 10**6 % 1000:03d}] [{_NAMES[level]}] [{component}] {text}\n"
        if self._write is not None:
            self._write(out)
            return
        try:
            sys.stderr.write(out)
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # a closed or full stderr must not stop the agent, and there is nowhere left to say so


class Log:
    """The log of one component."""

    __slots__ = ("component", "sink")

    def __init__(self, sink: Sink, component: str) -> None:
        self.sink, self.component = sink, component

    def error(self, text: str) -> None:
        self.sink.line(ERROR, self.component, text)

    def warn(self, text: str) -> None:
        self.sink.line(WARN, self.component, text)

    def info(self, text: str) -> None:
        self.sink.line(INFO, self.component, text)

    def debug(self, text: str) -> None:
        self.sink.line(DEBUG, self.component, text)


class Trouble:
    """A condition that starts and ends, logged once each way.

    ``begin("cannot open /dev/ttyUSB0: No such file")`` warns the first time and for each reason not yet given (a few,
    so that two alternating ones can't fill the log); ``end("open again")`` says so with how long it took, and is
    silent if there was no trouble.
    """

    __slots__ = ("_clock", "_log", "_said", "_since", "attempts")

    def __init__(self, log: Log, monotonic: Callable[[], float]) -> None:
        self._log, self._clock = log, monotonic
        self._said: set[str] = set()
        self._since = 0.0
        self.attempts = 0

    def __bool__(self) -> bool:
        return bool(self._said)

    def begin(self, why: str, advice: str = "trying again until it works") -> None:
        if not self._said:
            self._since, self.attempts = self._clock(), 0
        self.attempts += 1
        if why not in self._said and len(self._said) < 4:
            self._said.add(why)
            self._log.warn(f"{why}; {advice}")
        else:
            self._log.debug(f"{why} (attempt {self.attempts})")

    def end(self, text: str) -> None:
        if self._said:
            self._said.clear()
            tries = "1 failed attempt" if self.attempts == 1 else f"{self.attempts} failed attempts"
            self._log.info(f"{text} after {self._clock() - self._since:.1f} s, {tries}")
