"""What a process has cost so far, by the kernel's own accounts: processor time, memory, wake-ups, bytes to disk."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Reading:
    """At one moment of a process: cpu and wall in seconds since its start or ours, the rest in bytes and counts."""

    wall: float
    cpu: float
    wakeups: int
    disk: int

    def since(self, before: Reading) -> Reading:
        return Reading(
            self.wall - before.wall, self.cpu - before.cpu, self.wakeups - before.wakeups, self.disk - before.disk
        )


@dataclass
class Memory:
    """Bytes: the most that was resident, what is now, and the share of it that only this process has."""

    peak: int
    rss: int
    pss: int


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process, those that have ended too, to the nanosecond: its CPU clock, see
    clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def read(pid: int) -> Reading:
    wakeups = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            wakeups += _field(f"/proc/{pid}/task/{task}/status", "voluntary_ctxt_switches:")
        except OSError:
            pass  # a thread that has just ended
    return Reading(time.monotonic(), cpu_seconds(pid), wakeups, _field(f"/proc/{pid}/io", "write_bytes:"))


def memory(pid: int) -> Memory:
    status = f"/proc/{pid}/status"
    return Memory(_field(status, "VmHWM:") * 1024, _field(status, "VmRSS:") * 1024,
                  _field(f"/proc/{pid}/smaps_rollup", "Pss:") * 1024)  # fmt: skip


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _field(path: str, name: str) -> int:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0
