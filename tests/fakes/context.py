"""What a plugin may ask of the program, recorded in lists."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from edgebit.log import DEBUG, Log, Sink
from edgebit.loop import Timer, Watch
from edgebit.plugin import READ_SIZE, Origin, Receipt
from edgebit.record import Record, to_dict
from edgebit.stats import Counters
from fakes.clock import FakeLoop, fake_loop


class FakeContext:
    """A Context and an InputContext. `emitted` has (tag, records, raw); `records` their fields as dicts."""

    read_size = READ_SIZE

    def __init__(self, loop: FakeLoop | None = None, *, tag: str = "tag", state_dir: str = "") -> None:
        self.loop = loop or fake_loop()
        self.clock = self.loop.clock
        self.name = "plugin.0"
        self.tag = tag
        self.lines: list[str] = []
        self.log = Log(Sink(DEBUG, self.lines.append, self.clock.wall_ns), self.name)
        self.stats = Counters()
        self.hostname, self.agent_id, self.state_dir = "host", "agent-1", state_dir
        self.emitted: list[tuple[str, list[Record], int]] = []
        self.receipts: list[Receipt] = []
        self.losses: list[str] = []
        self.misses: dict[str, int] = {}
        self.ended = self.exited = False
        self.status: int | None = None
        self.output = b""
        self.stored: dict[str, list[tuple[int, int]]] = {}

    @property
    def records(self) -> list[dict[str, Any]]:
        return [to_dict(record) for _, records, _ in self.emitted for record in records]

    def watch(self, fd: int, on_read: Callable[[], object] | None = None,
              on_write: Callable[[], object] | None = None) -> Watch:  # fmt: skip
        return self.loop.watch(fd, on_read, on_write, self)

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        return self.loop.call_later(seconds, call, self)

    def resolve(self, host: str, port: int, done: Callable[[list[Any], str], object]) -> None:
        try:
            found, why = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST), ""
        except OSError as error:
            found, why = [], str(error)
        self.call_later(0, lambda: done(found, why))

    def lost(self, why: str) -> None:
        self.losses.append(why)

    def emit(self, tag: str, records: list[Record], raw: int = 0, receipt: Receipt | None = None) -> None:
        self.emitted.append((tag, records, raw))
        if receipt is not None:
            self.receipts.append(receipt)

    def recovered(self, tag: str, source: str) -> list[tuple[int, int]]:
        return self.stored.get(source, [(-1, 0)])

    def missed(self, why: str, count: int, tag: str = "") -> None:
        self.misses[why] = self.misses.get(why, 0) + count

    def finished(self) -> None:
        self.ended = True

    def print(self, data: bytes) -> None:
        self.output += data

    printed = True

    def exit_agent(self, status: int = 0) -> None:
        self.exited, self.status = True, status


class FakeFilterContext(FakeContext):
    """A FilterContext. `origin` is what the test sets before it calls `process`; `kept` has the origins of each emit;
    `made` all that were made, whose loops are to be closed."""

    made: ClassVar[list[FakeFilterContext]] = []

    def __init__(self, loop: FakeLoop | None = None) -> None:
        super().__init__(loop)
        self.made.append(self)
        self.origin: Origin | None = None
        self.held = False
        self.kept: list[list[Origin]] = []

    def emit(self, tag: str, records: list[Record], kept: Sequence[Origin] = (), onward: bool = False) -> bool:  # type: ignore[override] - a filter's emit has other arguments than an input's
        if self.origin is not None and self.origin.again and not onward:
            return False
        self.emitted.append((tag, records, 0))
        self.kept.append(list(kept))
        return True
