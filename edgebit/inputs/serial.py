"""Input serial: lines, or bytes as they come, from a serial port.

pyserial opens and sets up the port; then the loop watches its descriptor and reads it directly. Everything that
pyserial, termios and the kernel can raise is turned into a SourceError here and nowhere else, with the system's words
and what to do about it. A port that isn't there is waited for; one that is unplugged is given up at once (a dead
terminal is "readable" for ever, and the loop would spin) and opened again when it is back, by its path: a path below
/dev/serial/by-id follows a device to another number.

**What is not whole is not a reading.** When the port goes away in the middle of a line, that part is dropped and
counted (`partial_dropped`): "temp=2" of "temp=21.4" looks like a value and is none. The same goes for a stop. A port
opened in the middle of a line starts with the rest of it; `skip_first` drops that.

Kernels accept settings that the hardware doesn't have and set up something else without a word; so they are read back
after opening, and a difference is an error. termios(3) and ioctl_tty(2) have the rest of the story.
"""

from __future__ import annotations

import errno
import os

from edgebit.errors import ConfigError, reason
from edgebit.inputs.payload import separator
from edgebit.inputs.serial_settings import Errors, open_port
from edgebit.log import Trouble
from edgebit.options import Option, boolean, integer, plugin_ref, size, string
from edgebit.plugin import READ_SIZE, Input
from edgebit.record import Shape
from edgebit.wire.framing import LineSplitter
from edgebit.wire.jsontext import values
from edgebit.wire.separator import SeparatorSplitter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.loop import Watch
    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

_EVERY = 10.0  # seconds between looks at what the driver has lost


class Serial(Input):
    """Lines, or bytes as they come, from a serial port.

    Paused, it doesn't read: the kernel holds some 4 KiB, then a device with flow control waits, and without it the
    kernel drops bytes (which `buffer_overruns` counts where the driver tells).
    """

    NAME = "serial"
    bulk = False
    OPTIONS = (
        Option("file", string, "", "the port; /dev/serial/by-id/... follows the device when its number changes"),
        Option("port", string, "", "another name for file"),
        Option("bitrate", integer, 115200, "bits per second; any number that the device can do", minimum=1,
               maximum=100_000_000),
        Option("bytesize", integer, 8, "data bits in a character", minimum=5, maximum=8),
        Option("parity", ("none", "even", "odd", "mark", "space"), "none", "the parity bit"),
        Option("stopbits", ("1", "1.5", "2"), "1", "stop bits after a character"),
        Option("xonxoff", boolean, False, "software flow control"),
        Option("rtscts", boolean, False, "hardware flow control with RTS and CTS"),
        Option("dsrdtr", boolean, False, "leave DTR to the driver; otherwise it is raised at open"),
        Option("exclusive", boolean, True, "lock the port, so that no second program takes away half of the bytes"),
        Option("mode", ("line", "raw"), "line", "line: a record a line; raw: a record a read, as the bytes come"),
        Option("separator", separator, None, r'what ends a line, with escapes: ";", "\r", "\x03"; LF or CR LF if not'
               " given"),
        Option("format", ("none", "json"), "none", "json: the field is the decoded object or array of the line"),
        Option("key", string, "msg", "the name of the field"),
        Option("parser", plugin_ref, None, "the parser that lines go through"),
        Option("min_bytes", size, 0, "in mode raw, wait for so many bytes before making a record"),
        Option("buffer_max_size", size, 65536, "the longest line in bytes; the rest of a longer one is cut off",
               minimum=16, maximum=16 * 2**20),
        Option("skip_first", boolean, False, "after opening, drop what comes before the first separator"),
    )  # fmt: skip

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        if bool(opt.file) == bool(opt.port):
            raise ConfigError("serial needs the path of one port, as file (or port, which is the same)", key="file")
        if opt.mode == "raw" and (opt.separator or opt.parser is not None or opt.format == "json" or opt.skip_first):
            raise ConfigError(
                "takes bytes as they come; without separator, parser, format json, skip_first", key="mode"
            )
        if opt.parser is not None and opt.format == "json":
            raise ConfigError("give either a parser or format json", key="format")
        if opt.min_bytes > opt.buffer_max_size:
            raise ConfigError("must not be more than buffer_max_size", key="min_bytes")
        self.path: str = opt.file or opt.port
        self._shape = Shape.of((opt.key,))
        self._splitter: LineSplitter | SeparatorSplitter = (
            LineSplitter(opt.buffer_max_size)
            if opt.separator in (None, b"\n", b"\r\n")
            else SeparatorSplitter(opt.separator, opt.buffer_max_size)
        )
        self._held = bytearray()  # in mode raw, until there are min_bytes
        self._port: Any = None
        self._fd = -1
        self._watch: Watch | None = None
        self._skip = False
        self._errors: Errors | None = None
        self._overruns = 0
        self._overrun = Trouble(ctx.log, ctx.clock.monotonic)

    def open(self) -> None:
        self._port = open_port(self.path, self.opt)
        self._fd = self._port.fileno()
        self._skip = self.opt.skip_first
        self._errors = Errors.of(self._fd, self.ctx.stats)
        if self._errors is not None:
            self._overruns = self._errors.overruns  # those of earlier times are not ours
            self.ctx.call_later(_EVERY, self._look_for_overruns)
        self._watch = self.ctx.watch(self._fd, self._on_read)
        self._watch.want(read=True)

    def pause(self) -> None:
        if self._watch is not None:
            self._watch.want()

    def resume(self) -> None:
        if self._watch is not None:
            self._watch.want(read=True)

    def stop(self) -> None:
        self._end_of_stream()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._errors is not None:
            self._count_overruns(self._errors)
            self._errors.close()
            self._errors = None
        port, self._port, self._fd = self._port, None, -1
        if port is not None:
            self._end_of_stream()
            try:
                port.close()
            except OSError:  # a device that was unplugged may refuse even that
                pass

    def _look_for_overruns(self) -> None:
        if self._errors is not None:
            self._count_overruns(self._errors)
            self.ctx.call_later(_EVERY, self._look_for_overruns)

    def _count_overruns(self, errors: Errors) -> None:
        new, self._overruns = errors.overruns - self._overruns, errors.overruns
        if new > 0:  # a device that was plugged in again counts from zero
            self.ctx.missed("characters overrun in the driver", new)
            self._overrun.begin("the driver has lost characters: nobody read them in time", "they are counted")

    def _on_read(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            unplugged = error.errno in (errno.EIO, errno.ENODEV, errno.ENXIO)
            self._gone("the device is gone" if unplugged else "cannot read", reason(error))
            return
        if not data:
            self._gone("the device is gone", "hang-up")
        elif self.opt.mode == "raw":
            self._held += data
            if len(self._held) >= self.opt.min_bytes:
                self._emit_held()
        else:
            lines = self._splitter.feed(data)
            if lines:
                self._take(lines, len(data))

    def _gone(self, what: str, why: str) -> None:
        self.close()  # now: a dead descriptor is readable in every turn
        self.ctx.lost(f"{self.path}: {what} ({why})")

    def _end_of_stream(self) -> None:
        """Nothing follows what is held: bytes are handed over, the beginning of a line is not."""
        if self._held:
            self._emit_held()
        if self._splitter.pending:
            self.ctx.stats.add("partial_dropped")
            self.ctx.missed("cut off by the end of the port", 1)
        self._splitter.finish()
        self._splitter.truncated = 0  # what was just thrown away may have been too long

    def _emit_held(self) -> None:
        text = self._held.decode("utf-8", "surrogateescape")
        raw = len(self._held)
        self._held = bytearray()
        self.ctx.emit(self.ctx.tag, [(self.ctx.clock.wall_ns(), self._shape, (text,))], raw)

    def _take(self, lines: list[str], raw: int) -> None:
        if self._splitter.truncated:
            self.ctx.stats.add("truncated", self._splitter.truncated)
            self._splitter.truncated = 0
        if self._skip:
            self._skip = False
            self.ctx.stats.add("partial_dropped")
            del lines[0]
        if "" in lines:  # devices send CR LF LF, LF CR and the like
            lines = [line for line in lines if line]
        if not lines:
            return
        now_ns, shape, misses = self.ctx.clock.wall_ns(), self._shape, 0
        if self.opt.parser is not None:
            records, misses = self.opt.parser.parse_lines(lines, now_ns, shape)
        elif self.opt.format == "json":
            records, misses = self._objects(lines, now_ns)
        else:
            records = [(now_ns, shape, (line,)) for line in lines]
        if misses:
            self.ctx.stats.add("unparsed", misses)
        self.ctx.emit(self.ctx.tag, records, raw)

    def _objects(self, lines: list[str], now_ns: int) -> tuple[list[Record], int]:
        """A record for each JSON object or array; a line that isn't made of them is kept as text."""
        records: list[Record] = []
        misses = 0
        for line in lines:
            found = values(line)
            if not found:
                found = [line]
                misses += 1
            records += [(now_ns, self._shape, (value,)) for value in found]
        return records, misses
