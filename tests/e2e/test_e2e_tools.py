"""The tools as a new user meets them."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.harness import ROOT, json_lines, listening, needs, running, wait_until

pytestmark = pytest.mark.slow

# A process group of its own, and no ignored signals: a shell ignores Ctrl-C for what it starts in the background.
TERMINAL = ("env", "--default-signal=INT", "setsid")


@pytest.fixture
def env(tmp_path):
    """Makes tools/run use the environment that runs this test, and write to a directory of the test's."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    for name, args in (("python", ""), ("edgebit", "-m edgebit")):
        script = venv / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {args} "$@"\n')
        script.chmod(0o755)
    stamp = f'. tools/setup; stamp "$ROOT" "{venv}/bin/python" >"{venv}/.stamp"'
    subprocess.run(["bash", "-c", stamp], cwd=ROOT, check=True, timeout=20)
    return {"EDGEBIT_VENV": str(venv), "EDGEBIT_RUN": str(tmp_path / "run"), "PYTHON": ""}


def processes_of(env):
    """Those that tools/run has started with this environment and that still live."""
    mark = f"EDGEBIT_RUN={env['EDGEBIT_RUN']}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (path / "environ").read_bytes().split(b"\0"):
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@contextlib.contextmanager
def tools_run(tmp_path, env, *args):
    """tools/run as a terminal starts it, until Ctrl-C; its ports are fixed."""
    for port in (5140, 1883 if args else 9880):
        if listening(port):
            pytest.skip(f"something listens on port {port} already")
    with running(tmp_path, command=[*TERMINAL, str(ROOT / "tools/run"), *args], env=env) as process:
        process.wait_log("Send a line of your own", 30)
        yield process
        os.killpg(process.process.pid, signal.SIGINT)  # Ctrl-C
        assert process.process.wait(20) == 0
    assert processes_of(env) == []


@needs("logger")
def test_quick_start_shows_three_kinds_of_records(tmp_path, env):
    got = tmp_path / "run/collected"
    with tools_run(tmp_path, env) as process:
        for transport in ("-d", "-T"):
            subprocess.run(["logger", "-n", "127.0.0.1", "-P", "5140", transport, f"hello {transport}"], check=True,
                           timeout=10)  # fmt: skip
        wait_until(lambda: len(json_lines(got / "syslog.jsonl")) == 2, 30)
        wait_until(lambda: json_lines(got / "serial.sensor.jsonl") and json_lines(got / "metrics.cpu.jsonl"), 30)
        wait_until(lambda: "hello" in process.out and "metrics.cpu" in process.out, 10)  # live lines
        assert len(processes_of(env)) >= 3
    assert {record["message"] for record in json_lines(got / "syslog.jsonl")} == {"hello -d", "hello -T"}
    first, *_ = json_lines(got / "serial.sensor.jsonl")
    assert {key: type(first[key]) for key in ("temp", "hum", "seq")} == {"temp": float, "hum": float, "seq": int}
    assert "none missing" in process.out
    assert process.warnings == []


@needs("mosquitto")
@needs("mosquitto_sub")
@needs("logger")
def test_quick_start_into_mosquitto(tmp_path, env):
    with tools_run(tmp_path, env, "mqtt") as process:
        subprocess.run(["logger", "-n", "127.0.0.1", "-P", "5140", "-d", "hello"], check=True, timeout=10)
        wait_until(lambda: all(f"/{tag} " in process.out for tag in ("syslog", "serial.sensor", "metrics.cpu")), 30)
    assert '"message":"hello"' in process.out
    assert "\n\n" not in process.out
    assert process.warnings == []


def test_agent_that_cannot_start_ends_the_quick_start(tmp_path, env):
    """With what it said, its exit code, and nothing left behind."""
    if listening(5140) or listening(9880):
        pytest.skip("something listens on port 5140 or 9880 already")
    script = Path(env["EDGEBIT_VENV"]) / "bin/edgebit"
    script.write_text(script.read_text().replace("exec", 'if [ "$1" = run ]; then echo broken >&2; exit 78; fi\nexec'))
    with running(tmp_path, command=[str(ROOT / "tools/run")], env=env) as process:
        assert process.process.wait(30) == 78
    assert "broken" in process.log
    assert processes_of(env) == []


def test_environment_is_made_only_where_one_was_or_nothing(tmp_path):
    (tmp_path / "precious").touch()
    done = subprocess.run([str(ROOT / "tools/setup")], env={**os.environ, "EDGEBIT_VENV": str(tmp_path)},
                          capture_output=True, text=True, timeout=20)  # fmt: skip
    assert done.returncode == 1
    assert f"{tmp_path} is there and is no virtual environment" in done.stderr
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize("tool", ["run", "test", "setup", "install"])
def test_tools_say_what_they_are_for(tool):
    path = str(ROOT / "tools" / tool)
    told = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=20)
    assert told.returncode == 0
    assert f"tools/{tool}" in told.stdout
    wrong = subprocess.run([path, "--nonsense"], capture_output=True, text=True, timeout=20)
    assert wrong.returncode == 1
    assert 'does not know "--nonsense"' in wrong.stderr
