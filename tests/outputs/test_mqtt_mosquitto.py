"""The MQTT output against a real broker: mosquitto, killed, stopped, with TLS and with passwords."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time

import paho.mqtt.client as paho
import pytest
import trustme

from edgebit.loop import Loop
from edgebit.options import Setting, read
from edgebit.outputs.mqtt import Mqtt
from fakes import FakeContext
from fakes.delivery import FakeDelivery

MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.every_python,
    pytest.mark.skipif(not MOSQUITTO or not shutil.which("mosquitto_sub"), reason="mosquitto is not installed"),
]


class Mosquitto:
    """The broker, and a subscriber to everything that writes to a file."""

    def __init__(self, folder, *config):
        self.folder, self.config = folder, config
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.process = self.watcher = None

    def start(self):
        lines = [f"listener {self.port} 127.0.0.1", *self.config]
        if not any(line.startswith("allow_anonymous") for line in self.config):
            lines.append("allow_anonymous true")
        if os.geteuid() == 0:
            lines.insert(0, "user root")  # or it gives up the right to read its files
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        with open(self.folder / "broker.log", "ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-v", "-c", self.folder / "mosquitto.conf"],
                                            stdout=log, stderr=log)  # fmt: skip
        wait(lambda: self.listens(), 10)

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def watch(self):
        with open(self.folder / "seen", "ab") as seen:
            self.watcher = subprocess.Popen(["mosquitto_sub", "-p", str(self.port), "-t", "#", "-q", "1", "-F", "%t %p"],
                                            stdout=seen, stderr=subprocess.DEVNULL)  # fmt: skip
        self.wait_for_watcher()

    def wait_for_watcher(self):
        def asked():
            subprocess.run(["mosquitto_pub", "-p", str(self.port), "-t", "probe", "-m", mark], check=True)
            return f"probe {mark}" in self.seen("probe")

        mark = str(time.monotonic_ns())
        wait(asked, 20)

    def seen(self, topic=""):
        lines = (self.folder / "seen").read_text().splitlines()
        return [line for line in lines if line.startswith(topic)]

    def bodies(self):
        return [line.split(" ")[1] for line in self.seen("edgebit/host/tag ")]

    def stop(self, signum=signal.SIGKILL):
        if self.process is not None:
            self.process.send_signal(signum)
            self.process.wait(10)
            self.process = None

    def close(self):
        self.stop()
        if self.watcher is not None:
            self.watcher.kill()
            self.watcher.wait(10)


def wait(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Sender:
    """What the program's sender does, at its simplest: a window, and again from the first one unanswered."""

    def __init__(self, broker, **settings):
        self.loop = Loop()
        self.ctx = FakeContext(self.loop)
        rows = {"host": "127.0.0.1", "port": broker.port, **settings}
        table = [Setting(name.replace("tls_", "tls."), value) for name, value in rows.items()]
        self.output = Mqtt(read(Mqtt.OPTIONS, table, "output mqtt"), self.ctx)
        self.output.open()
        self.whys = []

    def turn(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.whys
            self.loop.turn(0.05)

    def send(self, bodies, seconds=20):
        """Send all; returns when all are delivered."""
        left = list(bodies)
        end = time.monotonic() + seconds
        while left:
            assert time.monotonic() < end, self.whys
            batch = [FakeDelivery(body.encode()) for body in left[: self.output.window]]
            for delivery in batch:
                self.output.deliver(delivery)
            self.turn(lambda batch=batch: all(delivery.answers for delivery in batch))
            kept = 0
            while kept < len(batch) and batch[kept].answer == "delivered":
                kept += 1
            left = left[kept:]
            if kept < len(batch):
                self.whys.append(batch[kept].why)
                pause = time.monotonic() + 0.2
                self.turn(lambda pause=pause: time.monotonic() > pause)

    def fails(self):
        delivery = FakeDelivery(b"x")
        self.output.deliver(delivery)
        self.turn(lambda: delivery.answers)
        return delivery.why

    def close(self):
        self.output.close()
        self.loop.close()


@pytest.fixture
def make(tmp_path):
    made = []

    def build(kind, *args, **more):
        made.append(kind(*args, **more))
        return made[-1]

    build.folder = tmp_path
    yield build
    for one in reversed(made):
        one.close()


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1])
def test_all_arrive_in_order(make, protocol, qos):
    broker = make(Mosquitto, make.folder)
    broker.start()
    broker.watch()
    sender = make(Sender, broker, protocol=protocol, qos=qos)
    sent = [str(i) for i in range(1000)]
    sender.send(sent)
    sender.turn(lambda: len(broker.bodies()) >= 1000)
    assert broker.bodies() == sent
    assert sender.whys == []


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_another_implementation_gets_what_was_published(make, protocol):
    """paho-mqtt, through the broker: topics, bodies, and with MQTT 5 the properties."""
    broker = make(Mosquitto, make.folder)
    broker.start()
    got = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "watcher", protocol=paho.MQTTv5)
    client.on_message = lambda client, userdata, message: got.append(message)
    client.on_subscribe = lambda *_: got.append(None)
    client.connect("127.0.0.1", broker.port)
    client.subscribe("#", qos=1)
    try:
        wait(lambda: client.loop(0.1) == 0 and None in got, 10)
        sender = make(Sender, broker, protocol=protocol, topic="t/é/{tag}")
        sizes = (0, 1, 100, 127, 128, 16000, 16384, 100_000)  # around each length of a remaining length
        sender.send(["x" * size for size in sizes])
        wait(lambda: client.loop(0.1) == 0 and len(got) >= len(sizes) + 2, 10)
    finally:
        client.disconnect()
        client.loop(0.1)
    messages = [message for message in got if message is not None and message.topic == "t/é/tag"]
    assert [len(message.payload) for message in messages] == list(sizes)
    assert {message.qos for message in messages} == {1}
    properties = messages[0].properties
    if protocol == "5":
        assert properties.ContentType == "application/x-ndjson"
        assert dict(properties.UserProperty)["agent"] == "agent-1"
    else:
        assert not hasattr(properties, "UserProperty")


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize(
    "tag", ["a\0b", "a\x01b", "a\x7fb", "a\ufdd0b", "a\uffffb", "a\U0001fffeb", "a\udcffb", "a#b"], ids=ascii
)
def test_no_tag_makes_the_broker_close_the_connection(make, protocol, tag):
    """What UTF-8 can have and brokers refuse is in neither the topic nor the properties (MQTT 5.0, 1.5.4)."""
    broker = make(Mosquitto, make.folder)
    broker.start()
    sender = make(Sender, broker, protocol=protocol)
    delivery = FakeDelivery(b"x", tag=tag)
    sender.output.deliver(delivery)
    sender.turn(lambda: delivery.answers)
    assert delivery.answer == "delivered"


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_the_broker_is_killed_and_comes_back(make, protocol):
    broker = make(Mosquitto, make.folder)
    broker.start()
    broker.watch()
    sender = make(Sender, broker, protocol=protocol)
    sent = [str(i) for i in range(300)]
    sender.send(sent[:100])
    wait(lambda: len(broker.bodies()) == 100, 10)
    broker.stop()
    assert "connection lost: " in sender.fails()
    assert sender.fails() == f"connection refused (127.0.0.1:{broker.port})"
    broker.start()
    broker.wait_for_watcher()
    sender.send(sent[100:])
    sender.turn(lambda: sent[-1] in broker.bodies())
    assert list(dict.fromkeys(body for body in broker.bodies() if body != "x")) == sent


def test_the_broker_goes_away_in_the_middle(make):
    """Stopped while batches are in flight; it keeps what it acknowledged, for a subscriber that comes later."""
    persistent = ["persistence true", f"persistence_location {make.folder}/", "max_queued_messages 100000"]
    broker = make(Mosquitto, make.folder, *persistent)
    broker.start()
    later = ["mosquitto_sub", "-p", str(broker.port), "-c", "-i", "later", "-q", "1", "-t", "edgebit/host/tag"]
    subprocess.run([*later, "-E"], check=True)
    sender = make(Sender, broker)
    sent = [str(i) for i in range(3000)]
    turns = 0

    def stop_at_some_point():
        nonlocal turns
        turns += 1
        if turns == 60:
            broker.stop(signal.SIGTERM)
        if turns == 70:
            broker.start()

    sender.loop.end_of_turn = stop_at_some_point
    sender.send(sent, 60)
    assert turns > 70
    assert sender.whys
    got = subprocess.run([*later, "-W", "2"], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    assert list(dict.fromkeys(got)) == sent


def test_status_is_online_then_offline(make):
    broker = make(Mosquitto, make.folder)
    broker.start()
    broker.watch()
    sender = make(Sender, broker)
    status = "edgebit/host/status"
    sender.turn(lambda: broker.seen(status) == [f"{status} online"])
    sender.close()
    wait(lambda: broker.seen(status) == [f"{status} online", f"{status} offline"], 10)


def test_status_is_offline_when_the_agent_dies(make):
    broker = make(Mosquitto, make.folder)
    broker.start()
    broker.watch()
    sender = make(Sender, broker)
    status = "edgebit/host/status"
    sender.turn(lambda: broker.seen(status) == [f"{status} online"])
    sender.output._session._stream.close()  # as a kill does: no goodbye
    wait(lambda: broker.seen(status) == [f"{status} online", f"{status} offline"], 10)


def test_pings_keep_the_connection_and_a_frozen_broker_is_noticed(make):
    broker = make(Mosquitto, make.folder)
    broker.start()
    sender = make(Sender, broker, keepalive="1s")
    sender.send(["a"])
    start = time.monotonic()
    sender.turn(lambda: time.monotonic() - start > 3.5)  # mosquitto would have cut it off after 1.5 s of silence
    sender.send(["b"])
    assert sender.ctx.stats.get("connections") == 1
    broker.process.send_signal(signal.SIGSTOP)
    assert sender.fails() == (
        "connection lost: the broker does not answer: no reply to a ping within the keepalive time"
    )


def test_the_same_client_id_twice_is_explained(make):
    broker = make(Mosquitto, make.folder)
    broker.start()
    one = make(Sender, broker, protocol="5")
    one.send(["a"])
    two = make(Sender, broker, protocol="5")
    two.send(["b"])
    one.turn(lambda: one.output._session is None)
    said = "".join(one.ctx.lines)
    # The latter with mosquitto 2.0.11, which says nothing to a client that it closes for another one.
    assert "session taken over (another client uses the client_id" in said or "closed by the peer" in said


def test_wrong_password(make):
    passwords = make.folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "pi", "raspberry"], check=True)
    broker = make(Mosquitto, make.folder, "allow_anonymous false", f"password_file {passwords}")
    broker.start()
    for protocol in ("3.1.1", "5"):
        wrong = make(Sender, broker, protocol=protocol, username="pi", password="strawberry")
        assert "check username and password" in wrong.fails()
    make(Sender, broker, username="pi", password="raspberry").send(["a"])


@pytest.fixture
def tls(make):
    """A broker that wants certificates, and the files for a client."""
    folder, ca = make.folder, trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    for name, certificate in {"server": ca.issue_cert("127.0.0.1"), "client": ca.issue_cert("device-1")}.items():
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    broker = make(Mosquitto, folder, f"cafile {folder}/ca.pem", f"certfile {folder}/server.pem",
                  f"keyfile {folder}/server.key", "require_certificate true")  # fmt: skip
    broker.start()
    own = {"tls_crt_file": f"{folder}/client.pem", "tls_key_file": f"{folder}/client.key"}
    return broker, {"tls": True, "tls_ca_file": f"{folder}/ca.pem", **own}


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1])
def test_tls_with_certificates_on_both_sides(make, tls, protocol, qos):
    broker, settings = tls
    sender = make(Sender, broker, protocol=protocol, qos=qos, **settings)
    sender.send([str(i) * 1000 for i in range(500)])
    assert sender.whys == []


def test_tls_with_a_wrong_ca(make, tls):
    broker, settings = tls
    trustme.CA().cert_pem.write_to_path(make.folder / "other.pem")
    sender = make(Sender, broker, **{**settings, "tls_ca_file": f"{make.folder}/other.pem"})
    why = sender.fails()
    assert why.startswith("certificate verify failed: ")
    assert "(check tls.ca_file)" in why


def test_tls_without_our_certificate(make, tls):
    broker, settings = tls
    sender = make(Sender, broker, tls=True, tls_ca_file=settings["tls_ca_file"])
    why = sender.fails()
    assert "the peer refuses our certificate" in why
    assert "check tls.crt_file" in why


def test_tls_certificate_is_put_there_later(make, tls):
    broker, settings = tls
    path = make.folder / "client.pem"
    certificate = path.read_bytes()
    path.unlink()
    sender = make(Sender, broker, **settings)
    assert sender.fails() == f"tls.crt_file {path}: No such file or directory"
    path.write_bytes(certificate)
    sender.send(["a"])


def test_plain_to_a_tls_port(make, tls):
    broker, _ = tls
    sender = make(Sender, broker, connect_timeout="2s")
    assert "peer without an answer (check port, tls, " in sender.fails()
