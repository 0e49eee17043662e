"""tools/serial-sim with the real serial input behind it: plugged, unplugged, plugged in again."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgebit.inputs.serial import Serial
from edgebit.loop import Loop
from edgebit.options import Setting, read
from edgebit.plugin import SourceError
from fakes import FakeContext

SIM = Path(__file__).parents[2] / "tools" / "serial-sim"


def sim(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(SIM), *args], stderr=subprocess.PIPE, text=True)


class Reopening(FakeContext):
    """A supervisor of a few lines: what is lost is opened again a little later."""

    def open(self, serial: Serial) -> None:
        self.serial = serial
        try:
            serial.open()
        except SourceError:
            self.call_later(0.02, lambda: self.open(serial))

    def lost(self, why: str) -> None:
        super().lost(why)
        self.call_later(0.02, lambda: self.open(self.serial))


@pytest.mark.slow
def test_every_line_read_is_whole_across_unplugging(tmp_path):
    link = str(tmp_path / "ttySIM")
    process = sim("--link", link, "--interval", "0.01", "--unplug-every", "15", "--away", "0.05")
    loop = Loop(selector=selectors.DefaultSelector())
    ctx = Reopening(loop)  # type: ignore[arg-type]  # the real loop: time is the process's
    serial = Serial(read(Serial.OPTIONS, [Setting("file", link)], "serial"), ctx)
    ctx.open(serial)
    deadline = loop.clock.monotonic() + 20
    while len(ctx.losses) < 3 and loop.clock.monotonic() < deadline:
        loop.turn(longest=0.5)
    serial.close()
    loop.close()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    assert len(ctx.losses) == 3
    lines = [record["msg"] for record in ctx.records]
    assert all(re.fullmatch(r"temp=-?\d+\.\d hum=\d+\.\d seq=\d+", line) for line in lines)
    numbers = [int(line.rpartition("=")[2]) for line in lines]
    assert numbers == sorted(set(numbers))  # none twice, in order
    for first in (0, 15, 30):  # a few lines may be missed: before we look, and in the wire as it is pulled
        assert any(first <= n < first + 15 for n in numbers)
    assert process.returncode == 0
    assert not os.path.lexists(link)
    assert "lines written" in said


@pytest.mark.slow
def test_count_ends_it_and_a_file_in_the_way_is_left_alone(tmp_path):
    link = str(tmp_path / "port")
    with sim("--link", link, "--interval", "0", "--count", "5000") as process:  # more than a terminal holds
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert re.search(r"5000 lines written, [1-9]\d* of them lost", said)
    assert not os.path.lexists(link)
    (tmp_path / "file").write_text("mine")
    with sim("--link", str(tmp_path / "file"), "--count", "1") as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "exists and is not a link" in said
    assert (tmp_path / "file").read_text() == "mine"
