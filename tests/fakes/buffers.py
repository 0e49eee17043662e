"""Buffers for tests: on a fake clock, in memory or on a (simulated) disk."""

from __future__ import annotations

from typing import Any

from edgebit.buffer.disk import DiskBuffer
from edgebit.buffer.format import Moment
from edgebit.buffer.log import Log
from edgebit.buffer.queue import Buffer
from edgebit.log import INFO, Sink, Trouble
from edgebit.log import Log as Logger
from fakes.clock import FakeClock


class FakeClocks:
    """The clocks of a buffer on a fake clock; `boot_id` changes at a reboot."""

    def __init__(self, clock: FakeClock | None = None, boot_id: bytes = b"boot-one") -> None:
        self.clock, self.boot_id = clock or FakeClock(), boot_id

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def moment(self) -> Moment:
        return Moment(self.clock.wall_ns(), self.clock.boot_ns(), self.boot_id)


def memory_buffer(limit: int, overflow: str = "block", losses: list[Any] | None = None, clock: FakeClock | None = None,
                  **options: Any) -> Buffer:  # fmt: skip
    """A buffer in memory; losses are appended as (reason, count, first sequence)."""
    kept = losses if losses is not None else []
    return Buffer(limit, overflow, "00" * 8, lambda why, count, first, stream: kept.append((why, count, first)),
                  clocks=FakeClocks(clock), **options)  # fmt: skip


def disk_buffer(files: Any, directory: str, *, disk: int = 1 << 20, limit: int = 256 * 1024, overflow: str = "block",
                losses: list[Any] | None = None, notes: list[str] | None = None, clocks: FakeClocks | None = None,
                stream_id: str = "11" * 8, **options: Any) -> DiskBuffer:  # fmt: skip
    """A buffer on disk, opened; losses are appended as (reason, count, first sequence, stream id)."""
    kept = losses if losses is not None else []
    said = notes if notes is not None else []
    clocks = clocks or FakeClocks()
    log = Log(files, directory, disk, lost=lambda why, count, first, stream: kept.append((why, count, first, stream.hex())),
              note=said.append)  # fmt: skip
    log.open()
    logger = Logger(Sink(INFO, said.append, clocks.clock.wall_ns), "buffer")
    return DiskBuffer(limit, overflow, stream_id, lambda *loss: kept.append(loss), clocks=clocks, log=log,
                  trouble=Trouble(logger, clocks.monotonic), **options)  # fmt: skip
