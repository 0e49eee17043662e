"""Buffers on disk in a real agent: kill -9 at random moments, memory and time for a big backlog, state directories."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from e2e.harness import ROOT, Process, agent, collector, free_port, json_lines, running, wait_until

from edgebit.buffer.files import Files
from edgebit.buffer.log import Log
from edgebit.buffer.streams import Streams
from edgebit.build import BufferClocks
from edgebit.loop import SystemClock
from edgebit.plugin import LOG
from edgebit.record import encode_payload

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("EDGEBIT_KILLS", "8"))  # 50 for the whole story of 200,000 lines
LINES = 4000 * KILLS

TAIL = """
[[input]]
plugin = "tail"
path = "{log}"
read_from_head = true
tag = "t"
[[output]]
plugin = "http"
url = "http://127.0.0.1:{port}/"
retry.first = "50ms"
retry.cap = "200ms"
[output.buffer]
storage = "{storage}"
{more}
"""


class Writer:
    """A log that grows in bursts that may end in the middle of a line, and is rotated by renaming."""

    def __init__(self, path, lines, rng):
        self.path, self.left, self.rng = path, lines, rng
        self.next = self.rotations = 0
        self.rest = ""
        self.file = open(path, "w")  # noqa: SIM115 - a log file that stays open, as a writer keeps it

    def write(self, count):
        count = min(count, self.left)
        self.left -= count
        text = self.rest + "".join(f"line {n} {'x' * (n % 90)}\n" for n in range(self.next, self.next + count))
        self.next += count
        cut = len(text) - self.rng.randrange(12) if self.left else len(text)
        self.rest = text[cut:]
        self.file.write(text[:cut])
        self.file.flush()

    def rotate(self):
        self.write(1)
        self.file.write(self.rest)  # a logger ends its line before it moves on
        self.rest = ""
        self.file.close()
        self.rotations += 1
        os.rename(self.path, f"{self.path}.{self.rotations}")
        self.file = open(self.path, "w")  # noqa: SIM115 - as above


def numbers(path):
    return [int(str(record["log"]).split()[1]) for record in json_lines(path)]


def lines_in(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_kill_nine_at_random_moments_loses_no_line_and_doubles_none(tmp_path):
    """The agent, now and then the collector, too, which is away about half of the time; the log grows and is rotated."""
    rng = random.Random(os.environ.get("EDGEBIT_SEED", "kill -9"))
    port = free_port()
    log, got = tmp_path / "a.log", tmp_path / "got/t.jsonl"
    writer = Writer(log, LINES, rng)
    config = tmp_path / "edgebit.toml"
    config.write_text(f'[service]\nflush = "50ms"\nstate_dir = "{tmp_path}/state"\n'
                      + TAIL.format(log=log, port=port, storage="filesystem", more=""))  # fmt: skip
    collect = ("collect", "--listen", f"127.0.0.1:{port}", "--output", str(tmp_path / "got"), "--quiet")
    collecting = None
    began = time.monotonic()
    try:
        for cycle in range(KILLS):
            process = Process(tmp_path, "run", "-c", str(config))
            try:
                if rng.random() < 0.5:
                    collecting = collecting or Process(tmp_path, *collect, name="collect")
                elif collecting is not None:
                    rng.choice((collecting.stop, collecting.kill))()
                    collecting = None
                for _ in range(8):
                    writer.write(LINES // KILLS // 8)
                    # One at a time: a file that comes and goes while nobody runs would never be seen under its name.
                    if cycle >= (writer.rotations + 1) * KILLS // 3 and writer.rotations < 2 and rng.random() < 0.2:
                        writer.rotate()
                    time.sleep(rng.random() * 0.25)
                assert process.process.poll() is None, process.log
            finally:
                process.kill()
        writer.write(LINES)
        writer.file.close()
        collecting = collecting or Process(tmp_path, *collect, name="collect")
        with running(tmp_path, "run", "-c", str(config), name="last") as process:
            process.wait_log("ready")
            wait_until(lambda: lines_in(got) >= LINES, 120, "all lines")
            assert process.stop() == 0
        assert collecting.stop() == 0
    finally:
        if collecting is not None:
            collecting.kill()
    arrived = numbers(got)
    state = json.loads((tmp_path / "got/.edgebit-collect.json").read_text())
    removed = sum(stream["duplicates"] for stream in state["streams"])
    print(f"{KILLS} kills, {LINES} lines, {writer.rotations} rotations, {len(state['streams'])} streams in "
          f"{time.monotonic() - began:.0f} s: {len(set(arrived))} arrived, {len(arrived) + removed - LINES} duplicates "
          f"before removal by (stream, sequence), {len(arrived) - len(set(arrived))} after")  # fmt: skip
    assert sorted(set(arrived)) == list(range(LINES))
    assert len(arrived) == LINES


# -- memory and time -----------------------------------------------------------------------------------------------------

MEMORY = 4 << 20
# Beyond it: a batch that is read, encoded or on its way, as records, bytes and text; what malloc keeps; the plugins.
SPARE = 4 << 20

DRAIN = """
[[input]]
plugin = "dummy"
tag = "now"
rate = 1
[[output]]
plugin = "http"
url = "http://127.0.0.1:{port}/"
retry.cap = "200ms"
[output.buffer]
storage = "filesystem"
memory = "4MiB"
disk = "{disk}MiB"
"""


def rss(process):
    """Bytes that are resident now."""
    with open(f"/proc/{process.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def idle(directory, config):
    """(CPU seconds at READY, peak memory in bytes) of an agent that has delivered one record and has nothing else."""
    directory.mkdir()
    port = free_port()
    with collector(directory, port), agent(directory, config.format(port=port, disk=300)) as process:
        process.wait_log("ready")
        cpu = process.cpu_seconds()
        wait_until(lambda: lines_in(directory / "got/now.jsonl"))
        return cpu, process.peak_rss()


def make_backlog(state, size):
    """`size` bytes of payload in the buffer of http.0, 900 lines of 100 bytes a chunk; how many records."""
    directory = Streams(Files(), str(state)).of("http.0", "backlog")
    log = Log(Files(), directory, 300 << 20, lost=print, note=print)
    log.open()
    payload = encode_payload([(i, LOG, (f"{i:0100d}",)) for i in range(900)])
    moment, seq = BufferClocks(SystemClock()).moment(), 1
    for _ in range(-(-size // len(payload))):
        assert log.write("t", payload, 900, seq, b"streamid", moment)
        seq += 900
    log.sync()
    log.cursor.stream, log.cursor.next_seq = b"streamid", seq
    log.save_cursor(clean=True)
    log.close()
    return seq - 1


def test_backlog_of_256_mib_is_open_at_once_and_drains_inside_the_memory_limit(tmp_path):
    idle_cpu, idle_peak = idle(tmp_path / "idle", DRAIN)
    count = make_backlog(tmp_path / "state", 256 << 20)
    port, got = free_port(), tmp_path / "got/t.jsonl"
    with agent(tmp_path, DRAIN.format(port=port, disk=300)) as process:
        process.wait_log("ready")
        cpu, opened = process.cpu_seconds() - idle_cpu, process.peak_rss() - idle_peak
        assert f"{count} records from before the start wait" in process.log
        with collector(tmp_path, port):
            wait_until(lambda: got.exists() and got.stat().st_size > 60e6, 60, "a part of it has arrived")
            drained = process.peak_rss() - idle_peak
            assert process.stop() == 0
    print(f"256 MiB, {count} records: {cpu:.2f} s of CPU more than an idle agent until READY, {opened / 2**20:.1f} MiB of "
          f"memory more; {drained / 2**20:.1f} MiB while it drained, with a limit of {MEMORY >> 20} MiB")  # fmt: skip
    assert cpu < 1
    assert opened < MEMORY
    assert drained < MEMORY + SPARE


def test_memory_in_an_outage_until_the_disk_is_full(tmp_path):
    """The limit counts what the process really holds: 64 MiB wait on disk, and memory grows by about 4 MiB."""
    _, idle_peak = idle(tmp_path / "idle", DRAIN)
    log = tmp_path / "big.log"
    line = "x" * 150
    with open(log, "w") as file:
        for start in range(0, 600_000, 1000):
            file.write("".join(f"{n} {line}\n" for n in range(start, start + 1000)))
    config = TAIL.format(log=log, port=free_port(), storage="filesystem", more='memory = "4MiB"\ndisk = "64MiB"')

    def full(process):
        process.process.send_signal(signal.SIGUSR1)
        found = re.findall(r"disk_bytes=(\d+)", process.log)
        return found and int(found[-1]) == 64 << 20

    with agent(tmp_path, config) as process:
        process.wait_log("ready")
        wait_until(lambda: full(process), 60, "the disk is full")
        before = process.cpu_seconds()
        wait_until(lambda: process.cpu_seconds() < before + 0.2, 5)  # full now; nothing goes on but a look now and then
        grown = process.peak_rss() - idle_peak
        waiting = int(re.findall(r"buffered_records=(\d+)", process.log)[-1])
        held = int(re.findall(r"buffered_bytes=(\d+)", process.log)[-1])
        assert process.stop() == 0
    print(
        f"{waiting} records wait on 64 MiB of disk; {grown / 2**20:.1f} MiB of memory more than an idle agent, limit 4 MiB"
    )
    assert waiting > 300_000
    assert held <= MEMORY
    assert grown < MEMORY + SPARE
    assert "lost" not in process.log


# -- the state directory -------------------------------------------------------------------------------------------------


def test_second_agent_on_one_state_directory_is_refused_and_the_first_goes_on(tmp_path):
    config = DRAIN.format(port=free_port(), disk=1)
    with agent(tmp_path, config) as first:
        first.wait_log("ready")
        with running(tmp_path, "run", "-c", str(tmp_path / "edgebit.toml"), name="second") as second:
            assert second.process.wait(10) == 73
            assert (
                f"another edgebit (process {first.process.pid}) uses the state directory {tmp_path}/state" in second.log
            )
            assert "service.state_dir" in second.log
        assert first.process.poll() is None
        first.kill()
        with running(tmp_path, "run", "-c", str(tmp_path / "edgebit.toml"), name="third") as third:
            third.wait_log("ready")  # the kernel has given the lock back


def test_state_directory_that_can_not_be_used_is_a_clear_error_at_the_start(tmp_path):
    (tmp_path / "state").write_text("a file")
    with agent(tmp_path, DRAIN.format(port=free_port(), disk=1)) as process:
        assert process.process.wait(10) == 73
        assert f"the state directory {tmp_path}/state can't be used" in process.log
        assert "service.state_dir" in process.log
        assert "Traceback" not in process.log


# -- what is written -----------------------------------------------------------------------------------------------------


def test_diskio_a_healthy_hybrid_writes_nothing_and_filesystem_does(tmp_path):
    """tools/diskio, by the kernel's counters; docs/flash-wear.md has longer runs."""
    with running(tmp_path, name="diskio", command=[
        sys.executable, str(ROOT / "tools/diskio"), "--seconds", "2", "--rate", "20", "--only", "healthy"
    ]) as process:  # fmt: skip
        assert process.process.wait(30) == 0, process.log
    rows = {cells[1]: cells for line in process.out.splitlines() if len(cells := re.split(r" *\| *", line)) > 5}
    records, payload, written = (int(cell.replace(",", "")) for cell in rows["hybrid, healthy"][2:5])
    assert records >= 20
    assert payload > 20 * 60
    assert written == 0
    kind = subprocess.check_output(["stat", "-f", "-c", "%T", tempfile.gettempdir()], text=True).strip()
    if kind != "tmpfs":  # nothing is written to storage there
        assert int(rows["filesystem, healthy"][4].replace(",", "")) > 0
