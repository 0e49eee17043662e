"""The frame of a bench: start a program, feed it, see its data arrive, read what that cost, stop it.

A scenario (scenarios/*.py) says what is fed and how each program is told to do the job. All programs of a scenario run
in turns, several times, and medians are compared: on a busy machine only ratios within one run mean anything.
"""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from benchlab import meter
from benchlab.sinks import COUNTS

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0  # seconds without an end after which a run has failed


class Failed(Exception):
    """A run that did not do its job; what it would have measured means nothing."""


@dataclass
class Cost:
    """What one run has cost. Times in seconds, sizes in bytes, `per_record` in microseconds."""

    records: int
    per_record: float
    cpu: float
    wall: float
    peak_rss: int
    rss: int
    pss: int
    wakeups: int
    disk: int
    wire: int
    startup: float
    lost: int


@dataclass
class Agent:
    """A program that is measured: `kind` is edgebit, rsyslog, fluent-bit or baseline."""

    name: str
    kind: str
    binary: str = ""


class Sink:
    """A process that takes data over HTTP or MQTT and counts (sinks.py). It can go away and come back."""

    def __init__(self, directory: Path, kind: str, pattern: bytes, certificate: Path | None = None) -> None:
        self._certificate = certificate
        self._path, self._kind, self._pattern = directory / "counts", kind, pattern
        self.port = 0
        self._path.write_bytes(bytes(COUNTS.size))
        with open(self._path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), COUNTS.size)
        self._process: subprocess.Popen[bytes] | None = None
        self.open()

    def open(self) -> None:
        with socket.create_server(("127.0.0.1", self.port)) as listener:
            self.port = listener.getsockname()[1]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchlab.sinks", self._kind, str(listener.fileno()), str(self._path),
                 self._pattern.hex(), str(self._certificate or "")], pass_fds=[listener.fileno()], cwd=ROOT / "tools",
            )  # fmt: skip

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def records(self) -> int:
        return int(COUNTS.unpack(self._map)[0])

    @property
    def bytes(self) -> int:
        return int(COUNTS.unpack(self._map)[1])


class Lines:
    """Counts the lines of a file as it grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self.count = path, 0, 0

    def look(self) -> int:
        if self._path.exists():
            with open(self._path, "rb", buffering=0) as file:
                file.seek(self._at)
                while block := file.read(1 << 20):
                    self._at += len(block)
                    self.count += block.count(b"\n")
        return self.count


class Run:
    """One run of one program in one scenario; what the scenario gets to see of it."""

    def __init__(self, scenario: Scenario, agent: Agent, records: int) -> None:
        self.scenario, self.agent, self.records = scenario, agent, records
        # In memory, so that neither a slow disk nor its cache is measured.
        base = "/dev/shm" if os.path.isdir("/dev/shm") and not scenario.on_disk else None
        self.dir = Path(tempfile.mkdtemp(prefix="bench-", dir=base))
        self.port = _free_port()
        self.sink: Sink | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.closing: list[Callable[[], object]] = []
        self.started = 0.0

    def start(self, wait: bool = True) -> float:
        """Start the program; the seconds until it was ready."""
        kind = self.agent.kind
        text = self.scenario.config(kind, self)
        config = self.dir / self.scenario.config_name(kind)
        config.write_text(text)
        env = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}
        notify = None
        if kind == "edgebit":
            command = [*edgebit(), "-c", str(config)]
            notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            (self.dir / "notify").unlink(missing_ok=True)  # of the start before
            notify.bind(str(self.dir / "notify"))
            notify.settimeout(20)
            env |= {"NOTIFY_SOCKET": str(self.dir / "notify"), "PYTHONPATH": str(ROOT)}
        elif kind == "rsyslog":
            binary = shutil.which("rsyslogd", path=os.environ["PATH"] + ":/usr/sbin")
            command = [str(binary), "-n", "-f", str(config), "-i", str(self.dir / "rsyslog.pid")]
        elif kind == "fluent-bit":
            command = [self.agent.binary, "-c", str(config)]
        else:
            command = [sys.executable, str(config), *self.scenario.arguments(self)]
        with open(self.dir / "log", "ab") as log:
            begin = time.monotonic()
            self.process = subprocess.Popen(
                command, cwd=self.dir, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            self.started = begin
            if not wait:
                return 0.0
            if notify is not None:
                with notify:
                    while b"READY=1" not in notify.recv(4096):
                        pass
            elif kind != "baseline":
                while not self.scenario.is_ready(self):
                    self.check()
                    time.sleep(0.005)
        return time.monotonic() - begin

    def check(self) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise Failed(f"{self.agent.name} ended with {self.process.returncode}:\n{self.log()}")

    def stop(self) -> None:
        process = self.process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        self.stop()
        for call in self.closing:
            call()
        if self.sink is not None:
            self.sink.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self) -> str:
        return (self.dir / "log").read_text(errors="replace")[-3000:]


class Scenario:
    """What to do and how to know that it was done. `records` is how many by default."""

    name = ""
    about = ""
    kinds: tuple[str, ...] = ("edgebit",)
    records = 200_000
    sink: tuple[str, bytes] | None = None
    reference: tuple[str, str] | None = None  # (scenario, program) whose cost a record is 1
    on_disk = False
    lossy = False  # UDP: what the kernel dropped is reported, not an error
    from_start = False  # counted from the start of the process: it may have its work before it is ready
    whole = False  # counted from the start of the process to its end, which comes by itself

    def config(self, kind: str, run: Run) -> str:
        raise NotImplementedError

    def config_name(self, kind: str) -> str:
        return {"edgebit": "edgebit.toml", "rsyslog": "rsyslog.conf", "fluent-bit": "fluent-bit.conf"}.get(
            kind, "base.py"
        )

    def arguments(self, run: Run) -> list[str]:
        return []

    def is_ready(self, run: Run) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", run.port)) == 0

    def prepare(self, run: Run) -> None:
        """Before the program starts."""

    def feed(self, run: Run) -> None:
        """Once it is ready; returns when everything was handed over."""

    def delivered(self, run: Run) -> int:
        """Records that have arrived so far."""
        assert run.sink is not None
        return run.sink.records

    def after(self, run: Run) -> None:
        """Arrived: checks of what did. Raises Failed."""


def measure(scenario: Scenario, agent: Agent, records: int) -> Cost:
    """One run. Raises Failed."""
    run = Run(scenario, agent, records)
    try:
        if scenario.sink is not None:
            run.sink = Sink(run.dir, *scenario.sink)
        scenario.prepare(run)
        return _whole(run) if scenario.whole else _fed(run)
    finally:
        run.close()


def _fed(run: Run) -> Cost:
    scenario = run.scenario
    startup = run.start()
    assert run.process is not None
    pid = run.process.pid
    before = meter.Reading(run.started, 0.0, 0, 0)
    if not scenario.from_start:
        time.sleep(0.3)  # what it still does after READY is not the price of a record
        before = meter.read(pid)
    scenario.feed(run)
    count, moved = 0, time.monotonic()
    patience = 3.0 if scenario.lossy else PATIENCE
    while (now := scenario.delivered(run)) < run.records:
        run.check()
        if now != count:
            count, moved = now, time.monotonic()
        elif time.monotonic() - moved > patience:
            if scenario.lossy:
                break
            raise Failed(
                f"{run.agent.name}: {now} of {run.records} records after {patience:g} s of silence\n{run.log()}"
            )
        time.sleep(0.01)
    spent = meter.read(pid).since(before)
    arrived = scenario.delivered(run)
    scenario.after(run)
    memory = meter.memory(pid)
    wire = run.sink.bytes if run.sink is not None else 0
    return Cost(run.records, spent.cpu / max(1, arrived) * 1e6, spent.cpu, spent.wall, memory.peak, memory.rss, memory.pss,
                spent.wakeups, spent.disk, wire, startup, run.records - arrived)  # fmt: skip


def _whole(run: Run) -> Cost:
    run.start(wait=False)
    assert run.process is not None
    begin, pid, peak = time.monotonic(), run.process.pid, 0
    # Not ru_maxrss: that of a forked process starts with what its parent had.
    while not (ended := os.wait4(pid, os.WNOHANG))[0]:
        with suppress(OSError):
            peak = max(peak, meter.memory(pid).peak)
        time.sleep(0.02)
        if time.monotonic() - begin > PATIENCE:
            raise Failed(f"{run.agent.name} has not ended after {PATIENCE:g} s\n{run.log()}")
    _, status, usage = ended
    run.process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - begin
    if run.process.returncode:
        raise Failed(f"{run.agent.name} ended with {run.process.returncode}:\n{run.log()}")
    arrived = run.scenario.delivered(run)
    if arrived != run.records:
        raise Failed(f"{run.agent.name}: {arrived} of {run.records} records\n{run.log()}")
    run.scenario.after(run)
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(run.records, cpu / arrived * 1e6, cpu, wall, peak, 0, 0, usage.ru_nvcsw,
                usage.ru_oublock * 512, 0, 0.0, 0)  # fmt: skip


def median(costs: list[Cost]) -> Cost:
    """The median of each figure."""
    rows = [asdict(cost) for cost in costs]
    return Cost(**{key: statistics.median(row[key] for row in rows) for key in rows[0]})


def edgebit() -> list[str]:
    """This checkout, as it is installed: the console script of the environment that the bench runs in."""
    return [sys.executable, "-m", "edgebit"]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
