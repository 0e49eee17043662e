"""Input head: the start of a file, read anew at each interval.

For files that are a state rather than a log: /proc/uptime, what a sensor's driver shows in sysfs. The fields are
Fluent Bit's: the text as it is, line ends and all, under `key`, with `path` behind it; with `split_line` the path first
and then line0, line1 and so on, where a file that is shorter gives empty texts.
"""

from __future__ import annotations

import os
import stat

from edgebit.inputs.sampling import INTERVAL, Sampled
from edgebit.options import REQUIRED, Option, boolean, integer, size, string
from edgebit.plugin import SourceError
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

SPLIT = 10  # lines, with split_line and no number
LONGEST = 65536  # bytes that are read for lines, so that a file without line ends can't fill the memory


class Head(Sampled):
    """The start of a file, again and again.

    Paused, it doesn't read; nothing is lost, the file is still there.
    """

    NAME = "head"
    WHAT = "the file"
    PSUTIL = False
    OPTIONS = (
        *INTERVAL,
        Option("file", string, REQUIRED, "the file to read"),
        Option("key", string, "head", "the name of the field"),
        Option("buf_size", size, 256, "bytes to read, if lines is not given", minimum=1, maximum=1 << 20),
        Option(
            "lines", integer, 0, "lines to read, 64 KiB at most; 0: as many bytes as buf_size", minimum=0, maximum=1000
        ),
        Option("split_line", boolean, False, f"a field a line: line0, line1, ...; {SPLIT} lines if lines is not given"),
        Option("add_path", boolean, False, "add the file's name as path"),
    )

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._lines: int = opt.lines or (SPLIT if opt.split_line else 0)
        path = ("path",) if opt.add_path else ()
        if opt.split_line:
            self._shape = Shape.of((*path, *(f"line{n}" for n in range(self._lines))))
        else:
            self._shape = Shape.of((opt.key, *path))

    def measure(self, elapsed: float) -> list[Record]:
        # Non-blocking, because to open a FIFO would wait for its writer.
        with open(os.open(self.opt.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SourceError(f"{self.opt.file} is not a file; head reads the start of files")
            text = file.read(LONGEST if self._lines else self.opt.buf_size).decode("utf-8", "surrogateescape")
        path = (self.opt.file,) if self.opt.add_path else ()
        now_ns = self.ctx.clock.wall_ns()
        if not self._lines:
            return [(now_ns, self._shape, (text, *path))]
        lines = text.split("\n", self._lines)
        if not self.opt.split_line:
            if len(lines) > self._lines:
                text = text[: -len(lines[-1])] if lines[-1] else text
            return [(now_ns, self._shape, (text, *path))]
        lines = (lines + [""] * self._lines)[: self._lines]
        return [(now_ns, self._shape, (*path, *lines))]
