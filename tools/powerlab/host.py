"""What runs on the host beside the virtual machine: the collector, a sender of syslog, and an ear for reports."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from image import CHECKOUT

TICK = 0.05  # seconds between sends


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Collector:
    """`edgebit collect` of this checkout, up or down."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port = directory / "collected", free_port()
        self._log = directory / "collector.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._stats: dict[str, Any] = {}
        python = CHECKOUT / ".venv/bin/python"
        self._python = str(python) if python.exists() else sys.executable

    @property
    def up(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        if self._process is None:
            with open(self._log, "ab") as log:
                self._process = subprocess.Popen(
                    [self._python, "-m", "edgebit", "collect", "--quiet", "--listen", f"127.0.0.1:{self.port}",
                     "--output", str(self.directory)],
                    cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip

    def stop(self) -> None:
        if self._process is not None:
            self.stats()
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None

    def stats(self) -> dict[str, Any]:
        """What GET /stats says; the last it said if it is down."""
        if self._process is not None:
            try:
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
                    connection.request("GET", "/stats")
                    self._stats = json.loads(connection.getresponse().read())
            except (OSError, http.client.HTTPException, ValueError):
                pass
        return self._stats


class Collected:
    """What the collector has written: for each tag its texts in order of arrival, read on from where it was."""

    FIELD = {"synced": "log", "lazy": "log", "syslog": "message"}

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._at = dict.fromkeys(self.FIELD, 0)
        self.texts: dict[str, list[str]] = {tag: [] for tag in self.FIELD}
        self.by_round: dict[tuple[str, int], int] = {}  # how many came, duplicates included

    def read(self) -> None:
        for tag, field in self.FIELD.items():
            path = self._directory / f"{tag}.jsonl"
            if not path.exists():
                continue
            with open(path, "rb") as file:
                file.seek(self._at[tag])
                data = file.read()
            data = data[: data.rfind(b"\n") + 1]
            self._at[tag] += len(data)
            for line in data.splitlines():
                text = str(json.loads(line).get(field))
                self.texts[tag].append(text)
                key = (tag, round_of(text))
                self.by_round[key] = self.by_round.get(key, 0) + 1

    def count(self, number: int) -> int:
        """How many records of a boot have come."""
        return sum(self.by_round.get((tag, number), 0) for tag in self.FIELD)


def reported_lost(directory: Path, stats: dict[str, Any]) -> tuple[int, int]:
    """Records that the agent reported as lost (tag edgebit.loss), and how many of them the collector has all the same."""
    path = directory / "edgebit.loss.jsonl"
    reports = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    ranges = {(r["stream"], r["first_sequence"], r["last_sequence"]) for r in reports}
    streams = {stream["stream"]: stream for stream in stats.get("streams", ())}
    reported = here = 0
    for stream, first, last in ranges:
        reported += last - first + 1
        known = streams.get(stream, {"last": 0, "gaps": []})
        here += max(0, min(last, known["last"]) - first + 1)
        here -= sum(max(0, min(last, end) - max(first, start) + 1) for start, end in known["gaps"])
    return reported, here


def round_of(text: str) -> int:
    """The boot that a line or message was written in; 0 if it doesn't say."""
    found = re.match(r"R(\d+) N", text)
    return int(found[1]) if found else 0


class Sender:
    """Sends syslog over TCP: numbered, and it remembers when. One connection a boot, in a thread of its own."""

    def __init__(self, port: int, rate: float) -> None:
        self.port, self._rate = port, rate
        self.sent: dict[int, list[float]] = {}  # by boot: monotonic time at which message N, from 1, had been sent
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, number: int) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(number, self.sent.setdefault(number, [])), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more. Also to be called when the other end has died."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join(30)
            self._thread = None

    def _run(self, number: int, sent: list[float]) -> None:
        start = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
                sock.settimeout(1)
                while not self._stop.wait(TICK):
                    due = int((time.monotonic() - start) * self._rate)
                    batch = range(len(sent) + 1, due + 1)
                    data = "".join(f"<14>1 - host powercut - - - R{number} N{n}\n" for n in batch).encode()
                    while data and not self._stop.is_set():
                        try:
                            data = data[sock.send(data) :]
                        except TimeoutError:
                            pass  # it reads no more for now: the agent's buffer is full
                    if not data:
                        sent.extend([time.monotonic()] * len(batch))
        except OSError:
            pass  # cut off


class Reports:
    """Datagrams from the machine, the newest of each kind and boot; and the way to answer."""

    def __init__(self) -> None:
        self._sock = socket.socket(type=socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.setblocking(False)
        self.port = int(self._sock.getsockname()[1])
        self.last: dict[tuple[str, int], list[str]] = {}
        self._from: object = None

    def read(self) -> None:
        while True:
            try:
                data, address = self._sock.recvfrom(512)
            except OSError:
                return
            kind, number, *words = data.decode().split()
            self.last[kind, int(number)] = words
            if kind != "ready":
                self._from = address  # the generator takes commands

    def command(self, word: str) -> None:
        with contextlib.suppress(OSError):
            if self._from is not None:
                self._sock.sendto(word.encode(), self._from)  # type: ignore[arg-type]

    def close(self) -> None:
        self._sock.close()


def missing_packages() -> list[str]:
    """Debian packages whose programs are not here."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    needed = {"qemu-system-x86_64": "qemu-system-x86", "debootstrap": "debootstrap", "mke2fs": "e2fsprogs"}
    return [package for program, package in needed.items() if shutil.which(program, path=path) is None]
