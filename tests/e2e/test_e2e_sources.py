"""Devices, ports and senders as they are in the field: missing at first, pulled out, in use, real."""

import os
import socket
import subprocess
from http.client import HTTPConnection

import pytest
from e2e.harness import agent, collector, free_port, json_lines, listening, needs, syslog_input, wait_until

pytestmark = pytest.mark.slow


class Sensor:
    """A serial device behind a name that stays the same, like one in /dev/serial/by-id."""

    def __init__(self, link):
        self.link, self.master = link, -1

    def plug(self):
        self.master, slave = os.openpty()
        os.symlink(os.ttyname(slave), f"{self.link}.new")
        os.replace(f"{self.link}.new", self.link)
        os.close(slave)

    def unplug(self):
        if self.master >= 0:
            self.link.unlink()
            os.close(self.master)
            self.master = -1

    def write(self, text):
        os.write(self.master, text.encode())


@pytest.fixture
def sensor(tmp_path):
    made = Sensor(tmp_path / "sensor")
    yield made
    made.unplug()


def from_serial(tmp_path):
    return f"""
[[input]]
plugin = "serial"
file = "{tmp_path}/sensor"
tag = "s"
[[output]]
plugin = "file"
path = "{tmp_path}/out"
format = "json_lines"
"""


def test_serial_port_unplugged_and_plugged_in_again_needs_nobody(tmp_path, sensor):
    """One line in the log each way, and no busy waiting in between."""
    sensor.plug()
    out = tmp_path / "out/s"
    with agent(tmp_path, from_serial(tmp_path)) as process:
        process.wait_log("[agent] ready")
        for n in range(3):
            sensor.write(f"line {n}\n")
            wait_until(lambda n=n: f"line {n}" in str(json_lines(out)))
            sensor.unplug()
            wait_until(lambda n=n: len(process.warnings) == n + 1)
            cpu = process.cpu_seconds()
            sensor.plug()
            wait_until(lambda n=n: process.log.count("open again") == n + 1)
            assert process.cpu_seconds() - cpu < 0.5
        sensor.write("the end\n")
        wait_until(lambda: "the end" in str(json_lines(out)))
        assert process.stop() == 0
    assert [record["msg"] for record in json_lines(out)] == ["line 0", "line 1", "line 2", "the end"]
    assert len(process.warnings) == 3
    assert all("serial.0" in line for line in process.warnings)


def test_serial_device_missing_at_start_is_waited_for(tmp_path, sensor):
    with agent(tmp_path, from_serial(tmp_path)) as process:
        process.wait_log("trying again")
        sensor.plug()
        process.wait_log("open again")
        process.wait_log("[agent] ready")
        sensor.write("at last\n")
        wait_until(lambda: "at last" in str(json_lines(tmp_path / "out/s")))
        assert process.stop() == 0
    assert len(process.warnings) == 1
    assert f"{tmp_path}/sensor" in process.warnings[0]


def from_syslog(tmp_path, port):
    return f"""
{syslog_input(port, "tcp+udp")}
[[output]]
plugin = "file"
path = "{tmp_path}/out"
format = "json_lines"
"""


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_port_in_use_at_start_is_waited_for(tmp_path, kind):
    """READY is sent when the input is open, not before; the other socket isn't held meanwhile."""
    port = free_port()
    address = str(tmp_path / "notify")
    with socket.socket(type=kind) as other, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(20)
        other.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            other.listen()
        with agent(tmp_path, from_syslog(tmp_path, port), env={"NOTIFY_SOCKET": address}) as process:
            process.wait_log("Address already in use")
            other.close()
            process.wait_log("open again")
            process.wait_log("[agent] ready")
            assert systemd.recv(4096) == b"READY=1\nSTATUS=all inputs are open"
            assert process.log.index("open again") < process.log.index("[agent] ready")
            assert process.stop() == 0
            assert systemd.recv(4096) == b"STOPPING=1"
    assert len(process.warnings) == 1


@needs("logger")
@pytest.mark.parametrize("transport", ["-d", "-T"])
@pytest.mark.parametrize("protocol", ["--rfc5424", "--rfc3164"])
def test_line_from_logger_arrives(tmp_path, transport, protocol):
    port = free_port()
    with agent(tmp_path, from_syslog(tmp_path, port)) as process:
        wait_until(lambda: listening(port))
        subprocess.run(["logger", "-n", "127.0.0.1", "-P", str(port), transport, protocol, "-p", "user.err", "-t", "app",
                        "--id=77", "hello"], check=True, timeout=10)  # fmt: skip
        wait_until(lambda: json_lines(tmp_path / "out/sys"))
        assert process.stop() == 0
    (record,) = json_lines(tmp_path / "out/sys")
    assert {key: record[key] for key in ("pri", "ident", "pid", "message")} == {
        "pri": "11", "ident": "app", "pid": "77", "message": "hello",
    }  # fmt: skip


def test_what_the_http_input_has_answered_survives_kill_9(tmp_path):
    port, away = free_port(), free_port()
    config = f"""
[[input]]
plugin = "http"
listen = "127.0.0.1"
port = {port}
[[output]]
plugin = "http"
url = "http://127.0.0.1:{away}/"
retry.cap = "500ms"
[output.buffer]
storage = "filesystem"
sync = "100ms"
"""
    answered = []
    with agent(tmp_path, config) as process:
        wait_until(lambda: listening(port))
        for n in range(10):
            client = HTTPConnection("127.0.0.1", port, timeout=20)
            client.request("POST", "/posted", f'{{"n":{n}}}', {"Content-Type": "application/json"})
            answered.append(client.getresponse().status)
            client.close()
        process.kill()
    assert answered == [201] * 10
    with collector(tmp_path, away), agent(tmp_path, config):
        wait_until(lambda: len(json_lines(tmp_path / "got/posted.jsonl")) == 10)
    assert [record["n"] for record in json_lines(tmp_path / "got/posted.jsonl")] == list(range(10))
