"""Runs one case (README.md): starts edgebit in a copy of its folder and compares what it wrote with what it should."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIMIT = 30.0  # seconds; a case takes one or two, but the machine may be busy
_RECORD = re.compile(r"\[\d+\] .*?: \[\[|\{|\[\{")  # how a line of records on standard output begins
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.\d+)?Z?|\b(\d{10})(?:\.\d+|\d{3})?\b")


class Case:
    """A folder with a configuration and what comes out of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        spec = json.loads((path / "case.json").read_text())
        self.outputs: list[str] = spec.get("output", [])
        self.exit: int | str = spec.get("exit", 0)
        self.env: dict[str, str] = spec.get("env", {})
        self.stdin: str = spec.get("stdin", "")
        self.rules: list[str] = spec.get("normalize", [])

    def run(self, directory: Path, convert: bool = False) -> list[str]:
        """Run it in a directory that is not there yet. What is wrong, as lines; nothing if nothing is."""
        work = directory / "work"
        shutil.copytree(self.path, work, ignore=shutil.ignore_patterns("expected", "case.json", "__pycache__"))
        (work / "out").mkdir(exist_ok=True)
        env = {**os.environ, "TZ": "UTC", "PYTHONPATH": f"{ROOT}:{HERE}", "PORT": str(_free_port()), "SINK_PORT": "1",
               **self.env}  # fmt: skip
        config = "fluent-bit.conf"
        if convert:
            config = "converted.toml"
            with open(work / config, "wb") as out:
                done = subprocess.run([sys.executable, "-m", "edgebit", "convert", "fluent-bit.conf"], cwd=work, env=env,
                                      stdout=out, stderr=subprocess.PIPE, timeout=LIMIT)  # fmt: skip
            if done.returncode:
                return [f"convert exits with {done.returncode}", *done.stderr.decode().splitlines()]
        code = self._execute(directory, work, config, env)
        problems = [] if code is not None else [f"it ran for more than {LIMIT:g} s"]
        if code is not None and (code == 0 if self.exit == "nonzero" else code != self.exit):
            problems.append(f"exit code {code}, not {self.exit}")
        if problems:
            problems += (directory / "stderr").read_text(errors="replace").splitlines()[-8:]
        return problems + self._compare(directory, work)

    def _execute(self, directory: Path, work: Path, config: str, env: dict[str, str]) -> int | None:
        """The exit code; None if it had to be killed."""
        driver = None
        with open(directory / "stdout", "wb") as out, open(directory / "stderr", "wb") as err, \
                socket.create_server(("127.0.0.1", 0)) as sink, \
                open(work / self.stdin if self.stdin else os.devnull, "rb") as stdin:  # fmt: skip
            env["SINK_PORT"] = str(sink.getsockname()[1])
            agent = subprocess.Popen([sys.executable, "-m", "edgebit", "-c", config], cwd=work, env=env,
                                     stdin=subprocess.PIPE if self.stdin else stdin, stdout=out, stderr=err)  # fmt: skip
            try:
                if (work / "driver.py").exists():
                    env |= {"AGENT_PID": str(agent.pid), "AGENT_STDOUT": str(directory / "stdout"),
                            "SINK_FD": str(sink.fileno())}  # fmt: skip
                    driver = subprocess.Popen([sys.executable, "driver.py"], cwd=work, env=env, stdout=err, stderr=err,
                                              stdin=subprocess.DEVNULL, pass_fds=[sink.fileno()])  # fmt: skip
                if agent.stdin is not None:
                    with contextlib.suppress(BrokenPipeError), agent.stdin:
                        agent.stdin.write(stdin.read())
                return agent.wait(LIMIT)
            except subprocess.TimeoutExpired:
                return None
            finally:
                for process in (agent, driver):
                    if process is not None:
                        process.kill()
                        process.wait()

    def _compare(self, directory: Path, work: Path) -> list[str]:
        found = {str(p.relative_to(work)) for p in (work / "out").rglob("*") if p.is_file()}
        problems = [f"unexpected file {name}" for name in sorted(found - set(self.outputs))]
        for name in self.outputs:
            path = directory / "stdout" if name == "stdout" else work / name
            if not path.is_file():
                problems.append(f"{name} was not written")
                continue
            lines = path.read_bytes().decode(errors="backslashreplace").split("\n")
            if name == "stdout":
                lines = [*filter(_RECORD.match, lines), ""]
            expected = (self.path / "expected" / name).read_bytes().decode().split("\n")
            *whole, last = lines  # what follows the last line end is normally nothing
            for rule in self.rules:
                whole = _RULES[rule](whole)
            diff = difflib.unified_diff(expected, [*whole, last], f"expected/{name}", name, lineterm="", n=1)
            problems += list(diff)[:30]
        return problems


def _hide_now(line: str) -> str:
    def hide(match: re.Match[str]) -> str:
        try:
            seconds = int(match[2]) if match[2] else datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp()
        except ValueError:  # no date, whatever it looks like
            return match[0]
        return "<now>" if abs(seconds - time.time()) < 3600 else match[0]

    return _TIME.sub(hide, line)


def _sort_keys(line: str) -> str:
    try:
        return json.dumps(json.loads(line), sort_keys=True)
    except ValueError:
        return line


_RULES = {
    "timestamp": lambda lines: [_hide_now(line) for line in lines],
    "year": lambda lines: [re.sub(rf"\b{time.gmtime().tm_year}(?=-\d\d-\d\dT)", "<year>", line) for line in lines],
    "index": lambda lines: [re.sub(r"^\[\d+\] ", "[n] ", line) for line in lines],
    "key_order": lambda lines: [_sort_keys(line) for line in lines],
    "sort": sorted,
}


def _free_port() -> int:
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, contextlib.suppress(OSError):
            tcp.bind(("127.0.0.1", 0))
            udp.bind(tcp.getsockname())
            return int(tcp.getsockname()[1])


def all_cases() -> list[Case]:
    return [Case(path.parent) for path in sorted(HERE.glob("*/case.json"))]
