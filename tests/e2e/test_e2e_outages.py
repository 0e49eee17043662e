"""Collectors and brokers that go away and come back: what is kept, what is counted, and how much memory it takes."""

import json
import re
import socket
import threading

import pytest
from e2e.harness import (
    agent,
    collector,
    free_port,
    json_lines,
    listening,
    mosquitto,
    needs,
    running,
    syslog_input,
    wait_until,
)

pytestmark = pytest.mark.slow

MOST_MEMORY = 40e6  # bytes; the interpreter and its libraries take 25 of them


def send_syslog(port, count, size=60):
    """Messages over one TCP connection, as fast as the socket takes them."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        for i in range(0, count, 1000):
            lines = (f"<34>1 2026-01-02T03:04:05.{n % 1000:03d}Z host app {n} ID47 - {'m' * size} {n}\n"
                     for n in range(i, min(i + 1000, count)))  # fmt: skip
            sock.sendall("".join(lines).encode())


def numbers_in(path):
    """The numbers at the end of the messages that a collector has written."""
    return [int(str(record["message"]).rpartition(" ")[2]) for record in json_lines(path)]


def lines_in(path):
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def test_half_a_million_messages_in_a_small_buffer_lose_nothing(tmp_path):
    port, count = free_port(), 500_000
    config = f"""
{syslog_input(port)}
[[output]]
plugin = "file"
path = "{tmp_path}/out"
format = "csv"
[output.buffer]
memory = "4MiB"
"""
    out = tmp_path / "out/sys"
    with agent(tmp_path, config) as process:
        wait_until(lambda: listening(port))
        send_syslog(port, count)
        wait_until(lambda: lines_in(out) >= count, 120)
        rss = process.peak_rss()
        assert process.stop() == 0
    with open(out) as lines:
        numbers = [int(line.rstrip('"\n').rpartition(" ")[2]) for line in lines]
    assert numbers == list(range(count))
    assert rss < MOST_MEMORY
    assert "lost" not in process.log


COLLECTED = """
[[output]]
plugin = "http"
url = "http://127.0.0.1:{collector}/"
retry.first = "100ms"
retry.cap = "500ms"
[output.buffer]
storage = "{storage}"
memory = "1MiB"
disk = "2MiB"
overflow = "{overflow}"
"""


@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "drop_newest"])
@pytest.mark.parametrize("storage", ["memory", "hybrid", "filesystem"])
def test_collector_away_under_load(tmp_path, storage, overflow):
    """Memory stays inside the limit, the policy acts, every dropped record is counted, the rest arrives afterwards."""
    port, to, count = free_port(), free_port(), 60_000
    got = tmp_path / "got/sys.jsonl"
    with agent(
        tmp_path, syslog_input(port) + COLLECTED.format(collector=to, storage=storage, overflow=overflow)
    ) as process:
        wait_until(lambda: listening(port))
        sender = threading.Thread(target=send_syslog, args=(port, count))
        sender.start()
        if overflow == "block":
            sender.join(2)
            assert sender.is_alive(), "the sender was not made to wait"
        else:
            sender.join(60)
            process.wait_log("losing records: buffer full")
        with collector(tmp_path, to) as collecting:
            sender.join(60)
            assert not sender.is_alive()
            process.wait_log("delivering again", 30)
            if overflow != "drop_newest":
                wait_until(lambda: numbers_in(got)[-1:] == [count - 1], 60)
            rss = process.peak_rss()
            assert process.stop() == 0
            assert collecting.stop() == 0
    assert rss < MOST_MEMORY
    received = numbers_in(got)
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


def test_killed_agent_with_tail_reads_again_what_was_not_delivered(tmp_path):
    """Tail's position moves only with what was delivered or is safe on disk."""
    to = free_port()
    log, got = tmp_path / "a.log", tmp_path / "got/t.jsonl"
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
        wait_until(lambda: len(json_lines(got)) >= 2000)
        assert process.stop() == 0
        assert collecting.stop() == 0
    assert [record["log"] for record in json_lines(got)] == [f"line {n}" for n in range(2000)]
    with collector(tmp_path, to), agent(tmp_path, config) as process:
        with open(log, "a") as file:
            file.write("one more\n")
        wait_until(lambda: len(json_lines(got)) >= 2001)
        assert process.stop() == 0
    assert len(json_lines(got)) == 2001


# -- MQTT ----------------------------------------------------------------------------------------------------------------

TWO_TAGS = """
[[input]]
plugin = "dummy"
rate = 200
samples = 1000
sequence_key = "n"
tag = "d.a"
[[input]]
plugin = "dummy"
rate = 100
samples = 500
sequence_key = "n"
tag = "d.b"
[[output]]
plugin = "mqtt"
port = {port}
topic = "edgebit/{{tag}}"
retry.cap = "1s"
"""


def subscriber(directory, port):
    """A subscriber with a session: what it misses, the broker keeps for it."""
    command = [
        "mosquitto_sub",
        "-p",
        str(port),
        "-t",
        "edgebit/#",
        "-q",
        "1",
        "-c",
        "-i",
        "watcher",
        "-F",
        "%t %p",
        "-N",
    ]
    return running(directory, command=command, name="sub")


def received(text):
    """The numbers of each tag, in the order of arrival. A message has a line a record, the first behind its topic."""
    found = {}
    for topic, lines in re.findall(r"edgebit/(\S+) ((?:\{.*?\}\n)+)", text):
        found.setdefault(topic, []).extend(json.loads(line)["n"] for line in lines.splitlines())
    return found


@needs("mosquitto")
@needs("mosquitto_sub")
def test_broker_restart_loses_nothing_and_keeps_the_order(tmp_path):
    port = free_port()
    with mosquitto(tmp_path, port) as broker:
        wait_until(lambda: listening(port))
        with subscriber(tmp_path, port) as sub, agent(tmp_path, TWO_TAGS.format(port=port)) as process:
            wait_until(lambda: received(sub.out))
            broker.stop()
            process.wait_log("cannot deliver")
            with mosquitto(tmp_path, port):
                process.wait_log("delivering again", 30)
                assert process.process.wait(60) == 0  # all samples taken
                wait_until(lambda: sum(map(len, received(sub.out).values())) >= 1500, 20)
    for tag, count in (("d.a", 1000), ("d.b", 500)):
        assert list(dict.fromkeys(received(sub.out)[tag])) == list(range(count))  # duplicates are allowed at QoS 1


@needs("mosquitto")
@needs("mosquitto_sub")
def test_broker_unreachable_at_start_is_waited_for(tmp_path):
    port = free_port()
    with agent(tmp_path, TWO_TAGS.format(port=port).replace("samples", "# samples")) as process:
        process.wait_log("cannot deliver")
        process.wait_log("[agent] ready")  # the inputs are open: that there is no broker yet is no reason to fail
        with mosquitto(tmp_path, port):
            process.wait_log("delivering again")
            with subscriber(tmp_path, port) as sub:
                wait_until(lambda: {"d.a", "d.b"} <= received(sub.out).keys())
                assert process.stop() == 0
    assert sum("cannot deliver" in line for line in process.warnings) == 1
