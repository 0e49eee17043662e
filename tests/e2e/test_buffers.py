"""Buffers on disk in a real agent: kill -9 at random moments, memory and time for a big backlog, state directories."""

from __future__ import annotations

import json
import os
import random
import time

import pytest
from e2e.harness import Process, free_port, json_lines, running, wait_until

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
                    if cycle in (KILLS // 3, 2 * KILLS // 3) and rng.random() < 0.2 and writer.rotations < 2:
                        writer.rotate()
                    time.sleep(rng.random() * 0.25)
                assert process.process.poll() is None, process.log
            finally:
                process.kill()
        writer.write(LINES)
        writer.file.close()
        collecting = collecting or Process(tmp_path, *collect, name="collect")
        with running(tmp_path, "run", "-c", str(config)) as process:
            wait_until(lambda: lines_in(got) >= LINES, 60, "all lines")
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
