"""Real processes for the end-to-end tests: start an agent as a user would, look at it from outside, end it.

Nothing is left behind, also by a test that fails: a process is asked to end first (tools/run then ends its children),
and killed only when it doesn't.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # it waits for real processes

ROOT = Path(__file__).resolve().parents[2]
SBIN = os.environ["PATH"] + ":/usr/sbin:/sbin"


def needs(command: str) -> pytest.MarkDecorator:
    """Skips a test where a Debian package is missing."""
    missing = shutil.which(command, path=SBIN) is None
    return pytest.mark.skipif(missing, reason=f"{command} is not installed (tools/test installs it as root)")


def wait_until(condition: Callable[[], object], seconds: float = 20, what: str = "") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what or condition}"
        time.sleep(0.02)


def free_port() -> int:
    """Nobody has it, and no outgoing connection gets it by chance: those start at 32768."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, contextlib.suppress(OSError):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port


def listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """`edgebit ARGS`, or another command, with what it says in files."""

    def __init__(self, directory: Path, *args: str, env: dict[str, str] | None = None, name: str = "agent",
                 command: list[str] | None = None) -> None:  # fmt: skip
        self.log_path = directory / f"{name}.log"
        self.out_path = directory / f"{name}.out"
        hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup, which is inherited
        with open(self.log_path, "ab") as log, open(self.out_path, "ab") as out:
            self.process = subprocess.Popen(
                command or [sys.executable, "-m", "edgebit", *args], cwd=directory, stderr=log, stdout=out,
                stdin=subprocess.DEVNULL, env={**os.environ, "PATH": SBIN, "PYTHONPATH": str(ROOT), **(env or {})},
            )  # fmt: skip
        signal.signal(signal.SIGHUP, hangup)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def out(self) -> str:
        return self.out_path.read_text(errors="replace")

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.log.splitlines() if "[ warn]" in line]

    def wait_log(self, text: str, seconds: float = 20) -> None:
        try:
            wait_until(lambda: text in self.log, seconds)
        except AssertionError:
            raise AssertionError(f"{text!r} is not in the log within {seconds} s:\n{self.log}") from None

    def peak_rss(self) -> int:
        """Bytes, VmHWM of /proc/PID/status."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(directory: Path, *args: str, **options: object) -> Iterator[Process]:
    process = Process(directory, *args, **options)  # type: ignore[arg-type]  # handed through
    try:
        yield process
    finally:
        try:
            process.stop(seconds=10)
        except subprocess.TimeoutExpired:
            process.kill()


def agent(directory: Path, config: str, **options: object) -> contextlib.AbstractContextManager[Process]:
    """An agent with this TOML text as its config, its state in `directory`."""
    path = directory / "edgebit.toml"
    if "[service]" not in config:
        config = '[service]\nflush = "100ms"\n' + config
    path.write_text(config.replace("[service]", f'[service]\nstate_dir = "{directory}/state"', 1))
    return running(directory, "run", "-c", str(path), **options)


def syslog_input(port: int, mode: str = "tcp") -> str:
    """The section of a config that listens there, with the tag "sys"."""
    return f'''
[[input]]
plugin = "syslog"
mode = "{mode}"
listen = "127.0.0.1"
port = {port}
tag = "sys"
'''


def collector(directory: Path, port: int) -> contextlib.AbstractContextManager[Process]:
    """An embedded collector that writes to `directory`/got."""
    output = str(directory / "got")
    return running(directory, "collect", "--listen", f"127.0.0.1:{port}", "--output", output, name="collect")


def mosquitto(directory: Path, port: int) -> contextlib.AbstractContextManager[Process]:
    """A broker that keeps what it has acknowledged over a clean stop, as Debian's does."""
    conf = directory / "mosquitto.conf"
    conf.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        f"persistence true\npersistence_location {directory}/\nuser root\n"
    )
    return running(directory, command=["mosquitto", "-c", str(conf)], name="mosquitto")


def json_lines(path: Path) -> list[dict[str, object]]:
    """The records of a file; a last line that is still being written is none yet."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []
