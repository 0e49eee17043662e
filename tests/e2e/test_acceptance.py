"""What issue after issue promises to a user, shown with real processes."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from e2e.harness import ROOT, agent, free_port, json_lines, listening, running, wait_until

pytestmark = pytest.mark.slow

MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
needs_mosquitto = pytest.mark.skipif(
    not MOSQUITTO, reason="mosquitto is not installed (tools/test installs it as root)"
)


def send_syslog(port, count, start=0, size=60):
    """Messages over one TCP connection, as fast as the socket takes them."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        for i in range(start, start + count, 1000):
            lines = (f"<34>1 2026-01-02T03:04:05.{n % 1000:03d}Z host app {n} ID47 - {'m' * size} {n}\n"
                     for n in range(i, min(i + 1000, start + count)))  # fmt: skip
            sock.sendall("".join(lines).encode())


def test_half_a_million_messages_in_a_small_buffer_lose_nothing(tmp_path):
    port, count = free_port(), 500_000
    config = f"""
[[input]]
plugin = "syslog"
mode = "tcp"
listen = "127.0.0.1"
port = {port}
tag = "sys"
[[output]]
plugin = "file"
path = "{tmp_path}/out"
format = "csv"
[output.buffer]
memory = "4MiB"
"""
    with agent(tmp_path, config) as process:
        wait_until(lambda: listening(port))
        send_syslog(port, count)
        process.wait_log("", 1)
        wait_until(lambda: (tmp_path / "out/sys").exists() and lines_in(tmp_path / "out/sys") >= count, 120)
        rss = process.peak_rss()
        assert process.stop() == 0
    with open(tmp_path / "out/sys") as lines:
        numbers = [int(line.rstrip('"\n').rpartition(" ")[2]) for line in lines]
    assert numbers == list(range(count))
    assert rss < 40e6, f"peak RSS {rss / 1e6:.1f} MB"
    assert "lost" not in process.log


def lines_in(path):
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


COLLECTED = """
[[input]]
plugin = "syslog"
mode = "tcp"
listen = "127.0.0.1"
port = {port}
tag = "sys"
[[output]]
plugin = "http"
url = "http://127.0.0.1:{collector}/"
retry.first = "100ms"
retry.cap = "500ms"
[output.buffer]
memory = "1MiB"
overflow = "{overflow}"
"""


def collector(tmp_path, port):
    return running(
        tmp_path, "collect", "--listen", f"127.0.0.1:{port}", "--output", str(tmp_path / "got"), name="collect"
    )


@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "drop_newest"])
def test_collector_away_under_load(tmp_path, overflow):
    """Memory stays inside the limit, the policy acts, every dropped record is counted, the rest arrives afterwards."""
    port, to, count = free_port(), free_port(), 60_000
    with agent(tmp_path, COLLECTED.format(port=port, collector=to, overflow=overflow)) as process:
        wait_until(lambda: listening(port))
        sender = threading.Thread(target=send_syslog, args=(port, count))
        sender.start()
        if overflow == "block":
            sender.join(3)
            assert sender.is_alive(), "the sender was not made to wait"
        else:
            sender.join(60)
            process.wait_log("losing records: buffer full")
        rss = process.peak_rss()
        with collector(tmp_path, to) as collecting:
            sender.join(60)
            assert not sender.is_alive()
            process.wait_log("delivering again", 30)
            last = f" {count - 1}"
            if overflow != "drop_newest":
                wait_until(
                    lambda: any(str(r["message"]).endswith(last) for r in json_lines(tmp_path / "got/sys.jsonl")[-5:]),
                    60,
                )
            assert process.stop() == 0
            assert collecting.stop() == 0
    assert rss < 40e6
    received = [int(str(r["message"]).rpartition(" ")[2]) for r in json_lines(tmp_path / "got/sys.jsonl")]
    assert received == sorted(set(received))
    lost = sum(int(n) for n in re.findall(r"lost by http.0: (\d+) records", process.log))
    assert len(received) + lost == count
    if overflow == "block":
        assert lost == 0
    elif overflow == "drop_oldest":
        assert received[-1] == count - 1
        assert lost > 0
    else:
        assert received[0] == 0
        assert lost > 0


@pytest.fixture
def broker(tmp_path):
    port = free_port()
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    started = []

    def start():
        process = subprocess.Popen(
            [str(MOSQUITTO), "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        started.append(process)
        wait_until(lambda: listening(port))
        return process

    yield port, start
    for process in started:
        process.kill()
        process.wait()


@needs_mosquitto
def test_broker_restart_loses_nothing_and_keeps_the_order(tmp_path, broker):
    port, start = broker
    config = f"""
[[input]]
plugin = "dummy"
rate = 200
samples = 1200
sequence_key = "n"
tag = "d.a"
[[input]]
plugin = "dummy"
rate = 100
samples = 600
sequence_key = "n"
tag = "d.b"
[[output]]
plugin = "mqtt"
port = {port}
topic = "edgebit/{{tag}}"
retry.cap = "1s"
sequence_key = "_seq"
"""
    subscribe = ["mosquitto_sub", "-p", str(port), "-t", "edgebit/#", "-q", "1", "-c", "-i", "watcher", "-F", "%t %p"]
    first = start()
    with running(tmp_path, name="sub", command=subscribe) as before, agent(tmp_path, config) as process:
        wait_until(lambda: before.out.count("\n") > 100)
        first.terminate()  # a clean stop: what it has acknowledged it has handed on, to the subscriber that was there
        first.wait()
        process.wait_log("cannot deliver")
        before.kill()
        with running(tmp_path, name="sub2", command=subscribe) as _:
            pass
        start()
        with running(tmp_path, name="sub3", command=subscribe) as after:
            process.wait_log("delivering again", 30)
            process.process.wait(60)
            wait_until(
                lambda: len(numbers(before.out + after.out)["d.a"] | numbers(before.out + after.out)["d.b"]) >= 1200, 10
            )
            text = before.out + after.out
    seen = in_order(text)
    assert sorted(set(seen["d.a"])) == list(range(1200))
    assert sorted(set(seen["d.b"])) == list(range(600))
    for tag in seen:
        first_seen = list(dict.fromkeys(seen[tag]))
        assert first_seen == sorted(first_seen), f"{tag} is out of order"


def in_order(text):
    found = {"d.a": [], "d.b": []}
    topic = ""
    for line in text.splitlines():
        head, brace, rest = line.partition("{")
        topic = head.strip().removeprefix("edgebit/") or topic
        if brace and topic in found:
            found[topic].append(json.loads("{" + rest)["n"])
    return found


def numbers(text):
    return {tag: set(found) for tag, found in in_order(text).items()}


def test_serial_port_unplugged_and_plugged_in_again_needs_nobody(tmp_path):
    link = tmp_path / "sensor"

    def plug():
        master, slave = os.openpty()
        os.symlink(os.ttyname(slave), tmp_path / "new")
        os.replace(tmp_path / "new", link)
        os.close(slave)
        return master

    master = plug()
    config = f"""
[[input]]
plugin = "serial"
file = "{link}"
tag = "s"
[[output]]
plugin = "file"
path = "{tmp_path}/out"
format = "json_lines"
"""
    with agent(tmp_path, config) as process:
        process.wait_log("ready")
        for n in range(3):
            os.write(master, f"line {n}\n".encode())
            wait_until(lambda n=n: f"line {n}" in str(json_lines(tmp_path / "out/s")))
            link.unlink()
            os.close(master)
            process.wait_log("serial.0", 5)
            wait_until(lambda n=n: process.log.count("trying again") == n + 1)
            cpu = process.cpu_seconds()
            master = plug()
            wait_until(lambda n=n: process.log.count("open again") == n + 1)
            assert process.cpu_seconds() - cpu < 1
        os.write(master, b"the end\n")
        wait_until(lambda: "the end" in str(json_lines(tmp_path / "out/s")))
        assert process.stop() == 0
    os.close(master)
    assert process.log.count("serial.0] ") >= 6
    assert sum("[ warn]" in line for line in process.log.splitlines()) == 3


def test_port_in_use_at_start_is_waited_for(tmp_path):
    port = free_port()
    config = f"""
[[input]]
plugin = "syslog"
mode = "tcp"
listen = "127.0.0.1"
port = {port}
[[output]]
plugin = "stdout"
"""
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with agent(tmp_path, config) as process:
            process.wait_log("Address already in use")
            other.close()
            process.wait_log("open again")
            process.wait_log("ready")
            assert process.stop() == 0
    assert sum("[ warn]" in line for line in process.log.splitlines()) == 1


@pytest.mark.parametrize(
    "change", [("dummy", "dumy"), ("rate", "rat"), ("rate = 1", "rate = 'x'"), ("plugin = 'stdout'", "")]
)
def test_wrong_config_exits_78_from_run_and_check(tmp_path, change):
    path = tmp_path / "c.toml"
    path.write_text("[[input]]\nplugin = 'dummy'\nrate = 1\n[[output]]\nplugin = 'stdout'\n".replace(*change))
    for command in ("run", "check"):
        done = subprocess.run([sys.executable, "-m", "edgebit", command, "-c", str(path)], capture_output=True, text=True,
                              cwd=ROOT, timeout=20)  # fmt: skip
        assert done.returncode == 78
        assert f"edgebit: {path}:" in done.stderr
        assert "Traceback" not in done.stderr


def test_unit_is_valid():
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not installed (tools/test installs it as root)")
    done = subprocess.run(
        [analyze, "verify", str(ROOT / "systemd/edgebit.service")], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


def test_unit_does_not_restart_on_a_config_error():
    from edgebit.errors import ConfigError

    unit = (ROOT / "systemd/edgebit.service").read_text()
    assert f"RestartPreventExitStatus={ConfigError.exit_code}\n" in unit
    for line in ("Type=notify", "User=edgebit", "StateDirectory=edgebit", "NoNewPrivileges=yes"):
        assert line + "\n" in unit
    assert re.search(r"^SupplementaryGroups=.*dialout", unit, re.M)
    assert re.search(r"^MemoryMax=", unit, re.M)


def test_ready_comes_from_the_real_thing(tmp_path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(20)
        config = "[[input]]\nplugin = 'cpu'\n[[output]]\nplugin = 'stdout'\n"
        with agent(tmp_path, config, env={"NOTIFY_SOCKET": address}) as process:
            assert sock.recv(4096).startswith(b"READY=1")
            assert process.stop() == 0
            assert sock.recv(4096) == b"STOPPING=1"


def test_killed_agent_with_tail_reads_again_what_was_not_delivered(tmp_path):
    """Memory buffers don't survive kill -9; tail's position moves only with what was delivered."""
    to = free_port()
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {n}\n" for n in range(2000)))
    config = f"""
[[input]]
plugin = "tail"
path = "{log}"
read_from_head = true
tag = "t"
[[output]]
plugin = "http"
url = "http://127.0.0.1:{to}/"
retry.cap = "300ms"
"""
    with agent(tmp_path, config) as process:
        process.wait_log("cannot deliver")
        process.kill()
    with collector(tmp_path, to) as collecting, agent(tmp_path, config) as process:
        wait_until(lambda: len(json_lines(tmp_path / "got/t.jsonl")) >= 2000)
        assert process.stop() == 0
        assert collecting.stop() == 0
    assert [r["log"] for r in json_lines(tmp_path / "got/t.jsonl")] == [f"line {n}" for n in range(2000)]
    with collector(tmp_path, to), agent(tmp_path, config) as process:
        with open(log, "a") as file:
            file.write("one more\n")
        wait_until(lambda: len(json_lines(tmp_path / "got/t.jsonl")) >= 2001)
        assert process.stop() == 0
    assert len(json_lines(tmp_path / "got/t.jsonl")) == 2001


def test_quick_start_shows_three_kinds_of_records(tmp_path):
    """tools/run, with the environment that runs this test."""
    for port in (5140, 9880):
        if listening(port):
            pytest.skip(f"something listens on port {port} already")
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("python", "edgebit"):
        target = Path(sys.executable).parent / name
        (venv / "bin" / name).write_text(f'#!/bin/sh\nexec "{target}" "$@"\n')
        (venv / "bin" / name).chmod(0o755)
    (venv / ".stamp").write_text(f"{ROOT}[dev] made by the test")
    env = {"EDGEBIT_VENV": str(venv), "EDGEBIT_RUN": str(tmp_path / "run")}
    with running(tmp_path, command=[str(ROOT / "tools/run")], env=env) as process:
        got = tmp_path / "run/collected"
        process.wait_log("Send a line of your own", 30)
        subprocess.run(["logger", "-n", "127.0.0.1", "-P", "5140", "-d", "hello from the test"], check=True, timeout=10)
        wait_until(lambda: "hello from the test" in str(json_lines(got / "syslog.jsonl")), 30)
        wait_until(lambda: json_lines(got / "serial.sensor.jsonl") and json_lines(got / "metrics.cpu.jsonl"), 30)
        assert {"temp", "hum"} <= set(json_lines(got / "serial.sensor.jsonl")[0])
        wait_until(lambda: "hello from the test" in process.out, 10)  # live lines
        process.stop(seconds=20)
    wait_until(lambda: not listening(5140) and not listening(9880), 10)
