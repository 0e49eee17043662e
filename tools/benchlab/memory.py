"""What the agent takes of the machine's memory: at rest, at the end of an outage that filled all its buffers, and while
the backlog goes out afterwards. All by the kernel's account of resident memory.

The agent has the inputs of a gateway (syslog, serial, cpu, mem, disk) and an MQTT output whose broker goes away after a
little ordinary traffic. Then syslog messages come as fast as they are taken, until nothing moves any more, or, if the
buffer may drop, until a multiple of what it can hold has come. Then the broker comes back.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import tty
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchlab import meter, syslog_feed
from benchlab.lab import Agent, Failed, Run, Scenario, Sink

MIB = 1 << 20
_STILL = 1.5  # seconds without a byte taken after which the agent has come to a standstill
_MESSAGES = 20_000  # different ones, sent again and again
_RESTING = 2.0  # seconds of ordinary traffic
_LINE = b"V=230.%d A=00.42 kWh=001034.7\n"


@dataclass
class Case:
    """An agent and what its buffer may take, in bytes."""

    memory: int
    storage: str = "hybrid"
    overflow: str = "block"
    disk: int = 64 * MIB
    service: str = ""  # more lines of [service]
    buffer: bool = True  # False: no memory of its own, `memory` is what service.memory_limit leaves it
    protocol: str = "3.1.1"


@dataclass
class Figures:
    """Bytes of resident memory: at rest, at the end of the outage, the most until then, the most while the backlog goes
    out, and at the end of that. `sent` bytes of messages in the outage; `startup` in seconds."""

    rest: int
    full: int = 0
    peak: int = 0
    drain_peak: int = 0
    after: int = 0
    sent: int = 0
    startup: float = 0.0

    @property
    def growth(self) -> int:
        return max(self.peak, self.drain_peak) - self.rest


class _Gateway(Scenario):
    name = "outage"
    on_disk = True

    def __init__(self, case: Case, tls: tuple[Path, Path] | None = None) -> None:
        self.case, self.tls = case, tls

    def config(self, kind: str, run: Run) -> str:
        case = self.case
        assert run.sink is not None
        self.tty, slave = os.openpty()
        tty.setraw(slave)
        run.closing += [lambda: os.close(self.tty), lambda: os.close(slave)]
        text = f"""
[service]
flush = "0.5s"
state_dir = "state"
{case.service}
[[input]]
plugin = "syslog"
tag = "syslog"
mode = "tcp+udp"
listen = "127.0.0.1"
port = {run.port}
[[input]]
plugin = "serial"
tag = "meter"
file = "{os.ttyname(slave)}"
bitrate = 9600
parser = "meter"
[[parser]]
name = "meter"
format = "regex"
regex = '^V=(?<volts>[\\d.]+) A=(?<amps>[\\d.]+) kWh=(?<energy>[\\d.]+)'
types = "volts:float amps:float energy:float"
"""
        for name in ("cpu", "mem", "disk"):
            text += f'[[input]]\nplugin = "{name}"\ninterval = "1s"\n'
        text += f'[[output]]\nplugin = "mqtt"\nport = {run.sink.port}\nprotocol = "{case.protocol}"\n'
        text += f'retry.cap = "1s"\n[output.buffer]\nstorage = "{case.storage}"\noverflow = "{case.overflow}"\n'
        if case.buffer:
            text += f"memory = {case.memory}\n"
        text += f'disk = {case.disk}\nsync = "never"\n' if case.storage != "memory" else ""
        if self.tls is not None:
            text = text.replace(
                'plugin = "mqtt"', f'plugin = "mqtt"\nhost = "localhost"\ntls.ca_file = "{self.tls[0]}"'
            )
        return text


def measure(case: Case, tls: tuple[Path, Path] | None = None, outage: bool = True, drain: bool = True) -> Figures:
    """One run. `tls`: the files of the authority and of the broker's certificate with its key. Raises Failed."""
    scenario = _Gateway(case, tls)
    run = Run(scenario, Agent("edgebit", "edgebit"), 0)
    try:
        run.sink = Sink(run.dir, "mqtt", b'"date"', certificate=tls[1] if tls else None)
        startup = run.start()
        assert run.process is not None
        pid = run.process.pid
        _rest(run, scenario)
        figures = Figures(meter.memory(pid).rss, startup=startup)
        if not outage:
            return figures
        run.sink.close()
        time.sleep(0.2)
        figures.sent = _flood(run, case)
        memory = meter.memory(pid)
        figures.full, figures.peak = memory.rss, memory.peak
        if drain:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew, see proc(5)
            _come_back(run)
            figures.drain_peak, figures.after = meter.memory(pid).peak, meter.memory(pid).rss
        run.check()
        return figures
    finally:
        run.close()


def _rest(run: Run, scenario: _Gateway) -> None:
    """Ordinary traffic: some of everything has been delivered."""
    assert run.sink is not None
    end = time.monotonic() + _RESTING
    with socket.create_connection(("127.0.0.1", run.port)) as sock:
        for message in syslog_feed.messages(_MESSAGES):
            sock.sendall(message + b"\n")
            os.write(scenario.tty, _LINE % (int(end) % 10))
            time.sleep(0.01)
            if time.monotonic() > end:
                break
    while not run.sink.records:
        run.check()
        time.sleep(0.05)
        if time.monotonic() > end + 10:
            raise Failed(f"nothing arrived\n{run.log()}")


def _flood(run: Run, case: Case) -> int:
    """Send until nothing is taken any more, or enough; how many bytes were."""
    data = memoryview(b"\n".join(syslog_feed.messages(_MESSAGES)) + b"\n")
    enough = (
        1 << 40 if case.overflow == "block" else 3 * (5 * case.memory + (case.disk if case.storage != "memory" else 0))
    )
    sent = 0
    with socket.create_connection(("127.0.0.1", run.port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.settimeout(_STILL)
        with suppress(TimeoutError):
            while sent < enough:
                sent += sock.send(data[sent % len(data) :][:65536])
        run.check()
    time.sleep(0.5)
    return sent


def _come_back(run: Run) -> None:
    """The broker is there again; returns when nothing has come for a while but what the inputs measure."""
    assert run.sink is not None
    sink = run.sink
    before = sink.records
    sink.open()
    count, quiet, begin = 0, 0, time.monotonic()
    while quiet < 4:
        run.check()
        time.sleep(0.5)
        now = sink.records - before
        quiet = quiet + 1 if count and now - count < 200 else 0
        count = now
        if time.monotonic() - begin > 120:
            raise Failed(f"the backlog is not delivered: {count} records\n{run.log()}")


def table(rows: list[tuple[Case, Figures]]) -> str:
    """Growth is over the resident memory at rest; in MiB."""
    lines = ["memory  storage     overflow     disk   rest   full   peak  drain  growth  over the limit"]
    for case, found in rows:
        disk = case.disk if case.storage != "memory" else 0
        sizes = (found.rest, found.full, found.peak, found.drain_peak, found.growth, found.growth - case.memory)
        lines.append(f"{case.memory / MIB:6.0f}  {case.storage:<10}  {case.overflow:<11}  {disk / MIB:4.0f}  "
                     + "  ".join(f"{size / MIB:5.1f}" for size in sizes))  # fmt: skip
    return "\n".join(lines)


def main(sizes: list[int], disk: int) -> int:
    failed = False
    rows: list[tuple[Case, Figures]] = []
    for storage in ("memory", "hybrid", "filesystem"):
        for overflow in ("block", "drop_oldest"):
            for memory in sizes:
                case = Case(memory * MIB, storage, overflow, disk * MIB)
                try:
                    rows.append((case, measure(case)))
                    print(table(rows[-1:]).splitlines()[1], file=sys.stderr)
                except Failed as error:
                    print(f"{case}: {error}", file=sys.stderr)
                    failed = True
    print(table(rows))
    return int(failed)
