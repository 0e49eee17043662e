"""Input exec: what a command prints, a record a line.

The command runs through the shell, beside the loop and never in its way: its output is a pipe that the loop watches.
A run that is due while the last one still goes on is left out and counted in `skipped`; `timeout` ends a run that takes
too long, the processes that it has started included. Its standard error is the agent's, its standard input is empty.

As in Fluent Bit, a line longer than `buf_size` becomes several records, and a last line needs no line end. A line that
the parser doesn't take is kept whole and counted in `unparsed`.
"""

from __future__ import annotations

import os
import signal
import subprocess

from edgebit.errors import ConfigError, reason
from edgebit.inputs.sampling import INTERVAL, interval
from edgebit.log import Trouble
from edgebit.options import REQUIRED, Option, boolean, duration, plugin_ref, size, string
from edgebit.plugin import READ_SIZE, Input
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.loop import Timer, Watch
    from edgebit.options import Options
    from edgebit.plugin import InputContext

EXEC = Shape.of(("exec",))
_PATIENCE = 2.0  # seconds between asking a command's processes to end and killing them
_LOOK = 0.02  # seconds between looks at a command that has closed its output and not ended


class Exec(Input):
    """The lines that a command prints, once or at an interval.

    Paused, it doesn't read and starts no run; a command that goes on printing waits when its pipe is full.
    """

    NAME = "exec"
    patient = True
    OPTIONS = (
        *INTERVAL,
        Option("command", string, REQUIRED, "the command, as the shell /bin/sh takes it"),
        Option("parser", plugin_ref, None, "the parser that lines go through; what it doesn't take is kept whole"),
        Option("buf_size", size, 4096, "bytes of the longest line; a longer one becomes several records",
               minimum=16, maximum=16 << 20),
        Option("oneshot", boolean, False, "run once, at the start; it may run for ever"),
        Option("exit_after_oneshot", boolean, False, "then end the agent, when everything is delivered"),
        Option("propagate_exit_code", boolean, False, "and with the command's exit code; 128 and the signal if one ended"
               " it"),
        Option("timeout", duration, 0.0, "end a run that takes longer than this; 0: never"),
    )  # fmt: skip

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        if opt.exit_after_oneshot and not opt.oneshot:
            raise ConfigError("needs oneshot, otherwise the command is run again and again", key="exit_after_oneshot")
        if opt.propagate_exit_code and not opt.exit_after_oneshot:
            raise ConfigError("needs exit_after_oneshot, otherwise the agent goes on", key="propagate_exit_code")
        self._interval = interval(opt)
        self._next = 0.0  # when the next run is due, monotonic
        self._timer: Timer | None = None  # starts it
        self._run: _Run | None = None
        self._done = False  # the only run is over
        self.paused = False
        self._slow = Trouble(ctx.log, ctx.clock.monotonic)
        self._failing = Trouble(ctx.log, ctx.clock.monotonic)

    # -- life ----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        self.paused = False
        if self.opt.oneshot:
            if not self._done:
                self._run = _Run(self)
        else:
            self._next = self.ctx.clock.monotonic() + self._interval
            self._wait()

    def close(self) -> None:
        self._cancel()
        if self._run is not None:
            self._run.end()
            self._run = None

    def pause(self) -> None:
        self.paused = True
        self._cancel()
        if self._run is not None:
            self._run.watch.want()

    def resume(self) -> None:
        self.paused = False
        if not self.opt.oneshot:
            self._wait()
        if self._run is not None:
            self._run.watch.want(read=True)

    def stop(self) -> None:
        """The run ends with the agent; what it has printed so far is handed over."""
        if self._run is not None:
            run, self._run = self._run, None
            run.drain()
            run.end()

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        if self._timer is None and not self.paused:
            self._next = max(self._next, self.ctx.clock.monotonic())
            self._timer = self.ctx.call_later(self._next - self.ctx.clock.monotonic(), self._due)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._next += self._interval  # a grid that doesn't drift
        self._wait()
        if self._run is None:
            try:
                self._run = _Run(self)
            except OSError as error:  # no memory, too many processes
                self.ctx.lost(f"cannot run the command: {reason(error)}")
        else:
            self.ctx.stats.add("skipped")
            self._slow.begin("the command takes longer than the interval", "runs are left out, and counted in skipped")

    def took(self, lines: list[str], raw: int) -> None:
        """Lines of the command."""
        now_ns, misses = self.ctx.clock.wall_ns(), 0
        if self.opt.parser is not None:
            records, misses = self.opt.parser.parse_lines(lines, now_ns, EXEC)
        else:
            records = [(now_ns, EXEC, (line,)) for line in lines]
        if misses:
            self.ctx.stats.add("unparsed", misses)
        self.ctx.emit(self.ctx.tag, records, raw)

    def ended(self, code: int, why: str, seconds: float) -> None:
        """The run is over; `code` as the shell gives it, `why` if it didn't end by itself."""
        self._run = None
        self.ctx.stats.add("runs")
        if why or code:
            self.ctx.stats.add("failed")
            self._failing.begin(why or f"the command has ended with exit code {code}", "failed runs are counted")
        else:
            self._failing.end("the command works again")
        if seconds < self._interval:
            self._slow.end("the command is quick enough again")
        if self.opt.oneshot:
            self._done = True
            if self.opt.exit_after_oneshot:
                self.ctx.exit_agent(code if self.opt.propagate_exit_code else 0)
            self.ctx.finished()


class _Run:
    """One run of the command, until its output is at its end and it has ended."""

    def __init__(self, input: Exec) -> None:
        self._input, self._ctx = input, input.ctx
        # A session of its own, so that all that it starts can be ended together.
        self._process = subprocess.Popen(
            input.opt.command, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        os.set_blocking(self._fd, False)
        self._splitter = _Pieces(input.opt.buf_size - 1)
        self._why = ""
        self._started = self._ctx.clock.monotonic()
        self._at_end = False  # of its output
        self._timer: Timer | None = None
        self._look: Timer | None = None
        if input.opt.timeout:
            self._timer = self._ctx.call_later(input.opt.timeout, self._expired)
        self.watch: Watch = self._ctx.watch(self._fd, self._read)
        self.watch.want(read=True)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return
        lines = self._splitter.feed(data) if data else self._splitter.finish()
        if not data:
            self._at_end = True
            self.watch.close()
        if lines:
            self._input.took(lines, len(data))
        if not data:
            self._wait()

    def _wait(self) -> None:
        """Its output is at its end, so it ends soon, as a rule at once."""
        code = self._process.poll()
        if code is None:
            self._look = self._ctx.call_later(_LOOK, self._wait)
            return
        self.end()
        self._input.ended(code if code >= 0 else 128 - code, self._why, self._ctx.clock.monotonic() - self._started)

    def _expired(self) -> None:
        if self._input.paused:  # it may be us whom it waits for
            self._timer = self._ctx.call_later(self._input.opt.timeout, self._expired)
            return
        self._why = f"the command has been ended: it took longer than {self._input.opt.timeout:g} s"
        self._kill(signal.SIGTERM)
        self._timer = self._ctx.call_later(_PATIENCE, lambda: self._kill(signal.SIGKILL))

    def _kill(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass

    def drain(self) -> None:
        """Hand over what is in the pipe, and the beginning of a line."""
        lines: list[str] = []
        size = 0
        try:
            for _ in range(64):
                data = os.read(self._fd, READ_SIZE)
                if not data:
                    break
                size += len(data)
                lines += self._splitter.feed(data)
        except OSError:  # there is no more
            pass
        lines += self._splitter.finish()
        if lines:
            self._input.took(lines, size)

    def end(self) -> None:
        """Give everything back; a command that still runs is ended, with all that it has started."""
        for timer in (self._timer, self._look):
            if timer is not None:
                timer.cancel()
        self.watch.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        # The shell may have ended and left a child that holds the pipe; one that doesn't is a daemon and stays.
        if not self._at_end or self._process.poll() is None:
            self._kill(signal.SIGTERM)
            try:
                self._process.wait(0.2)  # the agent stops or starts anew, so a moment is no harm
            except subprocess.TimeoutExpired:
                self._kill(signal.SIGKILL)
                self._process.wait()


class _Pieces:
    """Lines that end with LF; one longer than `limit` bytes comes in pieces, none of which ends within a character."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._limit:
            *pieces, self._rest = self._cut(self._rest)
            return self._texts(lines) + [_text(piece) for piece in pieces]
        return self._texts(lines)

    def finish(self) -> list[str]:
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []

    def _texts(self, lines: list[bytes]) -> list[str]:
        if lines and max(map(len, lines)) > self._limit:
            lines = [piece for line in lines for piece in self._cut(line)]
        return [_text(line) for line in lines]

    def _cut(self, line: bytes) -> list[bytes]:
        pieces = []
        while len(line) > self._limit:
            stop = self._limit
            while stop > self._limit - 3 and line[stop] & 0xC0 == 0x80:
                stop -= 1
            pieces.append(line[:stop])
            line = line[stop:]
        return [*pieces, line]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
