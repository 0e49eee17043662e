"""Output stdout: records to standard output.

A reader that is slow or has stopped (a full pipe, a terminal after Ctrl-S) makes records wait in the buffer; it never
stops the agent. A batch counts as delivered when all of it is written. When standard output is a file, writing blocks
for as long as the disk takes.
"""

from __future__ import annotations

from edgebit.net.writing import StandardOutput
from edgebit.plugin import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from edgebit.plugin import Delivery


class Stdout(Output):
    """Writes records to standard output."""

    NAME = "stdout"
    local = True
    FORMATS = ("text", "json_lines", "json", "json_stream", "csv", "ltsv", "plain", "out_file", "template", "gelf")
    FORMAT_NAMES: ClassVar[dict[str, str]] = {"msgpack": "text"}  # what Fluent Bit calls it
    fd = 1

    _out: StandardOutput | None = None

    def open(self) -> None:
        self._out = StandardOutput(self.ctx, self.fd)

    def deliver(self, delivery: Delivery) -> None:
        assert self._out is not None
        body = delivery.body
        if body and not body.endswith(b"\n"):
            body += b"\n"  # of json and json_stream, which have no line ends of their own

        def done(why: str) -> None:
            if why:
                delivery.retry(f"cannot write to standard output: {why}")
            else:
                delivery.delivered()

        self._out.write(body, done)

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None
