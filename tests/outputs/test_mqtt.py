"""The MQTT output against a scripted broker: what is answered when, and that nothing blocks or grows."""

from __future__ import annotations

import socket

import pytest

from edgebit.errors import ConfigError
from edgebit.options import Setting, read
from edgebit.outputs.mqtt import ENOUGH, Mqtt
from fakes import FakeContext
from fakes.broker import FakeBroker
from fakes.delivery import FakeDelivery


class World:
    """An output and its broker."""

    def __init__(self):
        self.ctx = FakeContext()
        self.loop = self.ctx.loop
        self.broker = FakeBroker(self.loop)
        self.outputs = []

    def mqtt(self, open=True, **settings):
        settings = {"host": "127.0.0.1", "port": self.broker.port, **settings}
        rows = [Setting(name.replace("tls_", "tls."), value) for name, value in settings.items()]
        output = Mqtt(read(Mqtt.OPTIONS, rows, "output mqtt"), self.ctx)
        self.outputs.append(output)
        if open:
            output.open()
        return output

    def until(self, condition, seconds=5.0):
        self.loop.run_until(condition, seconds)
        assert condition()

    def bodies(self):
        return [message.body for message in self.broker.messages if not message.topic.endswith("/status")]

    def status(self):
        return [(m.topic, m.body, m.retain) for m in self.broker.messages if m.topic.endswith("/status")]


@pytest.fixture
def world():
    world = World()
    yield world
    for output in world.outputs:
        output.close()
        output.close()  # twice is harmless
    world.broker.close()
    world.loop.close()


def give(output, *deliveries):
    for delivery in deliveries:
        output.deliver(delivery)
    return deliveries


def answered(*deliveries):
    return lambda: all(delivery.answers for delivery in deliveries)


def numbered(n, size=10, **more):
    return [FakeDelivery(b"%06d" % i + b"x" * (size - 6), seq=i, **more) for i in range(n)]


# -- delivering --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "bytewise"])
def test_batches_arrive_in_order_and_are_answered_delivered(world, protocol, qos, cut):
    world.broker.cut = cut
    output = world.mqtt(protocol=protocol, qos=qos)
    deliveries = give(output, *numbered(10))
    world.until(answered(*deliveries))
    world.until(lambda: len(world.bodies()) == 10)
    assert {delivery.answer for delivery in deliveries} == {"delivered"}
    assert world.bodies() == [delivery.body for delivery in deliveries]
    assert {message.qos for message in world.broker.messages} == {qos}


def test_answers_in_one_read_are_all_seen(world):
    """Left-over bytes: all acknowledgements and a half one come together."""
    world.broker.puback = None
    output = world.mqtt(status_topic="")
    deliveries = give(output, *numbered(3))
    world.until(lambda: len(world.broker.messages) == 3)
    first, second, third = (b"\x40\x02" + m.mid.to_bytes(2, "big") for m in world.broker.messages)
    world.broker.send(first + second + third[:2])
    world.until(answered(*deliveries[:2]))
    assert not deliveries[2].answers
    world.broker.send(third[2:])
    world.until(answered(*deliveries))


def test_qos_1_is_delivered_only_at_the_acknowledgement(world):
    world.broker.puback = None
    output = world.mqtt(status_topic="")
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(world.bodies)
    world.loop.run_for(1)
    assert not delivery.answers
    world.broker.ack(world.broker.messages[0].mid)
    world.until(answered(delivery))
    assert delivery.answer == "delivered"


def test_acknowledgements_out_of_order_answer_the_right_batch(world):
    world.broker.puback = None
    output = world.mqtt(status_topic="")
    first, second = give(output, *numbered(2))
    world.until(lambda: len(world.broker.messages) == 2)
    world.broker.ack(world.broker.messages[1].mid)
    world.until(answered(second))
    assert not first.answers


def test_an_acknowledgement_for_nothing_is_ignored(world):
    output = world.mqtt()
    world.until(world.status)
    world.broker.ack(999)
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(answered(delivery))
    assert delivery.answer == "delivered"


def test_topic_has_tag_host_and_agent_filled_in(world):
    output = world.mqtt(topic="site/{agent}/{host}/{tag}", retain=True)
    give(output, FakeDelivery(b"x", tag="kern.warn"))
    world.until(world.bodies)
    assert world.broker.messages[-1].topic == "site/agent-1/host/kern.warn"
    assert world.broker.messages[-1].retain


def test_what_a_topic_cannot_have_is_replaced(world):
    output = world.mqtt(topic="t/{tag}")
    give(output, FakeDelivery(b"x", tag="a+b#c\0d\x7fe\udcff{host}/f"))
    world.until(world.bodies)
    assert world.broker.messages[-1].topic == "t/a_b_c_d_e?{host}/f"


def test_mqtt_5_carries_the_identity(world):
    output = world.mqtt(protocol="5")
    give(output, FakeDelivery(b"x", tag="kern", seq=41, count=2))
    world.until(world.bodies)
    message = world.broker.messages[-1]
    assert message.user == {"agent": "agent-1", "stream": "stream-1", "seq": "41", "count": "2", "tag": "kern"}
    assert message.content_type == "application/x-ndjson"


def test_what_no_text_should_have_is_replaced_in_the_identity_too(world):
    output = world.mqtt(protocol="5")
    give(output, FakeDelivery(b"x", tag="a+b\0c\x85d\ufffee\udcff"))
    world.until(world.bodies)
    assert world.broker.messages[-1].user["tag"] == "a+b_c_d_e?"


def test_login_and_client_id_are_sent(world):
    world.mqtt(username="pi", password="raspberry")
    world.until(lambda: world.broker.connects)
    (connect,) = world.broker.connects
    assert connect["version"] == 4
    assert connect["flags"] & 0xC2 == 0xC2  # user, password, clean session
    for text in (b"edgebit-agent-1", b"pi", b"raspberry"):
        assert len(text).to_bytes(2, "big") + text in connect["raw"]


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_batch_over_max_packet_is_rejected_without_a_connection(world):
    output = world.mqtt(max_packet=1024)
    (big,) = give(output, FakeDelivery(b"x" * 1024))
    assert big.answer == "reject"
    assert "larger than max_packet, 1024" in big.why


def test_a_batch_over_what_the_broker_takes_is_rejected_and_the_next_goes_on(world):
    world.broker.connack_properties = b"\x27" + (500).to_bytes(4, "big")
    output = world.mqtt(protocol="5")
    big, small = give(output, FakeDelivery(b"x" * 600), FakeDelivery(b"y"))
    world.until(answered(big, small))
    assert big.answer == "reject"
    assert "larger than the broker takes, 500" in big.why
    assert small.answer == "delivered"


def test_no_more_than_in_flight_is_unacknowledged(world):
    world.broker.puback = None
    output = world.mqtt(in_flight=3, status_topic="")
    give(output, *numbered(10))
    world.loop.run_for(1)
    assert len(world.broker.messages) == output.window == 3
    world.broker.ack(world.broker.messages[0].mid)
    world.loop.run_for(1)
    assert len(world.broker.messages) == 4


def test_receive_maximum_of_the_broker_is_honoured(world):
    world.broker.puback = None
    world.broker.connack_properties = b"\x21\0\x02"
    output = world.mqtt(protocol="5", status_topic="")
    give(output, *numbered(5))
    world.loop.run_for(1)
    assert len(world.broker.messages) == 2


@pytest.mark.parametrize("qos", [0, 1])
def test_a_broker_that_stops_reading_bounds_what_is_made(world, qos):
    output = world.mqtt(qos=qos, max_packet="2MiB", in_flight=200, status_topic="")
    world.until(lambda: world.broker.connects)
    world.loop.run_for(1)
    world.broker._peers[0][1].want()  # stops reading
    deliveries = give(output, *numbered(200, 100_000))
    world.loop.run_for(5)
    assert output._session.pending <= ENOUGH + 100_200
    assert output._waiting
    assert not all(delivery.answers for delivery in deliveries)
    world.broker._peers[0][1].want(read=True)
    world.until(answered(*deliveries))
    world.until(lambda: len(world.bodies()) == 200)
    assert world.bodies() == [delivery.body for delivery in deliveries]
    assert {delivery.answer for delivery in deliveries} == {"delivered"}


def test_a_broker_that_never_reads_again_is_left_after_two_minutes(world):
    output = world.mqtt(max_packet="2MiB", in_flight=200)
    world.until(world.status)
    world.broker._peers[0][1].want()
    deliveries = give(output, *numbered(200, 100_000))
    world.until(answered(*deliveries), 160)
    assert {delivery.answer for delivery in deliveries} == {"retry"}
    assert "the broker stalls" in deliveries[0].why


def test_a_broker_on_a_slow_line_is_not_left(world):
    """No acknowledgement for many minutes, and a ping behind megabytes, but bytes keep flowing."""
    world.broker.puback = None
    output = world.mqtt(max_packet="20MiB", in_flight=200, status_topic="")
    world.until(lambda: world.broker.connects)
    world.loop.run_for(1)
    watch = world.broker._peers[0][1]
    watch.want()
    deliveries = give(output, *numbered(6, 8_000_000))
    for _ in range(24):
        world.loop.run_for(15)
        watch.want(read=True)
        for _ in range(16):
            world.loop.turn(longest=0)  # reads 64 KiB
        watch.want()
    assert output._session is not None
    assert not any(delivery.answers for delivery in deliveries)
    assert world.broker.pings


def test_a_broker_that_never_acknowledges_is_left_after_two_minutes(world):
    world.broker.puback = None
    output = world.mqtt(status_topic="")
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.loop.run_for(110)
    assert not delivery.answers
    world.until(answered(delivery), 110)  # time jumps here, but the kernel's own acknowledgement takes its time
    assert (
        delivery.why == "connection lost: the broker stalls: 1 messages not acknowledged, 0 bytes not taken for 120 s"
    )


# -- keepalive ---------------------------------------------------------------------------------------------------------


def test_an_idle_connection_is_kept_by_pings(world):
    """At most a quarter late: the broker would wait for half as much again."""
    output = world.mqtt(keepalive="10s")
    world.until(world.status)
    world.loop.run_for(100)
    assert 8 <= world.broker.pings <= 10
    assert output._session is not None


def test_traffic_both_ways_needs_no_ping(world):
    output = world.mqtt(keepalive="10s")
    for _ in range(10):
        give(output, FakeDelivery(b"x"))
        world.loop.run_for(9)
    assert not world.broker.pings
    assert len(world.bodies()) == 10


@pytest.mark.parametrize("qos", [0, 1])
def test_a_broker_that_answers_no_ping_is_left_after_the_keepalive_time(world, qos):
    """Even while it is sent something all the time, as a dead link behind a proxy is."""
    world.broker.puback, world.broker.pingresp = None, False
    output = world.mqtt(keepalive="10s", qos=qos, in_flight=1024)
    world.until(world.status)
    deliveries = []
    for _ in range(19):
        deliveries += give(output, FakeDelivery(b"x"))
        world.loop.run_for(1)
    assert output._session is not None
    assert world.broker.pings == 1
    world.loop.run_for(8)
    assert output._session is None
    said = "".join(world.ctx.lines) + deliveries[-1].why
    assert "connection lost: the broker does not answer: no reply to a ping within the keepalive time" in said


def test_the_keepalive_time_that_the_broker_sets_counts(world):
    world.broker.connack_properties = b"\x13\0\x05"
    world.mqtt(protocol="5", keepalive="60s")
    world.until(world.status)
    world.loop.run_for(60)
    assert world.broker.pings >= 8


def test_packet_identifiers_go_round_and_leave_out_what_is_in_flight(world):
    output = world.mqtt(status_topic="", qos=1)
    world.broker.puback = None
    (first,) = give(output, FakeDelivery(b"first"))
    world.until(world.bodies)
    assert world.broker.messages[0].mid == 1
    output._session._last_id = 65534
    give(output, *numbered(2))
    world.until(lambda: len(world.bodies()) == 3)
    assert [message.mid for message in world.broker.messages] == [1, 65535, 2]
    world.broker.ack(1)
    world.until(answered(first))


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "code", "says"),
    [
        ("3.1.1", 1, "unsupported protocol version (change protocol, now 3.1.1)"),
        ("3.1.1", 2, 'change client_id, now "edgebit-agent-1"'),
        ("3.1.1", 3, "the broker refuses the connection: server unavailable"),
        ("3.1.1", 4, "check username and password"),
        ("3.1.1", 5, "what the broker allows"),
        ("3.1.1", 6, "the broker refuses the connection: unspecified error"),
        ("5", 0x84, "change protocol, now 5"),
        ("5", 0x85, "change client_id"),
        ("5", 0x86, "check username and password"),
        ("5", 0x87, "not authorized"),
        ("5", 0x97, "quota exceeded"),
        ("5", 0xC0, "the broker refuses the connection: reason code 0xC0"),
        ("5", 0x9A, 'set retain = false and status_topic = ""'),
    ],
)
def test_a_refused_connection_is_a_retry_that_says_what_to_change(world, protocol, code, says):
    world.broker.connack = code
    output = world.mqtt(protocol=protocol)
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(answered(delivery))
    assert delivery.answer == "retry"
    assert says in delivery.why


@pytest.mark.parametrize(
    ("code", "kind"),
    [(0x10, "delivered"), (0x80, "retry"), (0x83, "retry"), (0x87, "retry"), (0x90, "reject"), (0x97, "retry"),
     (0x99, "reject")],
)  # fmt: skip
def test_a_refused_message_is_rejected_or_retried_by_its_kind(world, code, kind):
    world.broker.puback = code
    output = world.mqtt(protocol="5")
    delivery, after = give(output, *numbered(2))
    world.until(answered(delivery, after))
    assert delivery.answer == kind
    assert kind == "delivered" or "the broker refuses the message" in delivery.why
    assert len(world.broker.connects) == 1  # the connection stays


def test_a_broker_with_qos_0_only_is_told_apart(world):
    world.broker.connack_properties = b"\x24\0"
    output = world.mqtt(protocol="5")
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(answered(delivery))
    assert delivery.why == "the broker takes messages of QoS 0 only (set qos = 0)"


def test_client_id_taken_over_is_explained_by_mqtt_5(world):
    world.broker.puback = None
    output = world.mqtt(protocol="5")
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(world.bodies)
    world.broker.disconnect(0x8E, "go away")
    world.until(answered(delivery))
    assert "session taken over, go away (another client uses" in delivery.why
    assert 'client_id "edgebit-agent-1"' in delivery.why


def test_a_goodbye_of_the_broker_without_a_reason(world):
    world.broker.puback = None
    output = world.mqtt(protocol="5")
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(world.bodies)
    world.broker.disconnect(0)
    world.until(answered(delivery))
    assert delivery.why == "connection lost: closed by the peer"


def test_client_id_taken_over_is_suspected_below_mqtt_5(world):
    world.broker.puback = None
    output = world.mqtt(status_topic="")
    whys = []
    for i in range(3):
        (delivery,) = give(output, FakeDelivery(b"x"))
        world.until(lambda: len(world.bodies()) > i)  # noqa: B023  # run at once
        world.broker.drop()
        world.until(answered(delivery))
        assert delivery.answer == "retry"
        whys.append(delivery.why)
    assert whys[0] == whys[1] == "connection lost: closed by the peer"
    assert "3 times in a row" in whys[2]
    assert 'client_id "edgebit-agent-1"' in whys[2]


# -- trouble -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1])
def test_a_lost_connection_answers_all_with_retry_and_the_next_delivery_connects_again(world, qos):
    world.broker.puback = None
    output = world.mqtt(qos=qos, in_flight=2, status_topic="", max_packet="20MiB")
    world.until(lambda: world.broker.connects)
    world.loop.run_for(1)
    world.broker._peers[0][1].want()
    deliveries = give(output, *numbered(5, 8_000_000))
    world.loop.run_for(1)
    world.broker.drop()
    world.until(answered(*deliveries))
    assert "retry" in {delivery.answer for delivery in deliveries}
    assert deliveries[-1].why.startswith("connection lost: ")
    world.broker.puback = 0
    (again,) = give(output, FakeDelivery(b"again"))
    world.until(answered(again))
    assert again.answer == "delivered"
    assert len(world.broker.connects) == 2


def test_nobody_listens(world):
    world.broker.close()
    output = world.mqtt()
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(answered(delivery))
    assert delivery.why == f"connection refused (127.0.0.1:{world.broker.port})"


def test_a_peer_that_accepts_and_keeps_silent_is_left_at_the_time_out(world):
    world.broker.connack = None
    output = world.mqtt(connect_timeout="3s")
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.loop.run_for(2.9)
    assert not delivery.answers
    world.until(answered(delivery), 1)
    assert delivery.why == "connected, but no MQTT answer (CONNACK) within 3 s; is that an MQTT port?"


def test_a_name_that_cannot_be_looked_up(world):
    output = world.mqtt(host="broker.invalid")
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(answered(delivery))
    assert delivery.why.startswith("cannot look up broker.invalid: ")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff\xff\xff", b"\x20\x02\0",
                                    b"\x30\xff\xff\xff\x7fabc", b"\x40\x01\0\x20\0"])  # fmt: skip
@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_peer_that_does_not_speak_mqtt(world, answer, cut, protocol):
    world.broker.connack, world.broker.cut = None, cut
    output = world.mqtt(protocol=protocol)
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(lambda: world.broker.connects)
    world.broker.send(answer)
    world.until(answered(delivery), 15)
    assert delivery.answer == "retry"
    assert "MQTT" in delivery.why


def test_a_peer_that_turns_to_nonsense_later(world):
    world.broker.puback = None
    output = world.mqtt()
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(world.bodies)
    world.broker.send(b"\x40\0")  # a PUBACK of nothing
    world.until(answered(delivery))
    assert "not MQTT 3.1.1" in delivery.why


def test_a_packet_that_would_fill_the_memory_ends_the_connection(world):
    world.broker.puback = None
    output = world.mqtt()
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(world.bodies)
    world.broker.send(b"\x30\xff\xff\xff\x7f")  # the head of a message of 256 MiB
    world.until(answered(delivery), 1)
    assert "not MQTT 3.1.1" in delivery.why


def test_a_missing_ca_file_is_a_retry_and_is_used_once_it_is_there(world, tmp_path):
    path = tmp_path / "ca.pem"
    output = world.mqtt(tls=True, tls_ca_file=str(path))
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(answered(delivery))
    assert delivery.why == f"tls.ca_file {path}: No such file or directory"
    path.write_text("nothing")
    (delivery,) = give(output, FakeDelivery(b"x"))
    assert delivery.why == f"tls.ca_file {path}: no PEM certificate in it"


def test_a_silent_tls_peer_does_not_block(world):
    world.broker.reading = False
    output = world.mqtt(tls=True, connect_timeout="3s")
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(answered(delivery), 4)
    assert delivery.why == f"no TLS answer within 3 s (127.0.0.1:{world.broker.port}); is that a TLS port?"


def test_a_retry_that_delivers_again_at_once_does_not_recurse(world):
    """A sender may answer a retry with the next delivery from inside the call."""
    world.broker.connack = 5
    output = world.mqtt(status_topic="")

    class Eager(FakeDelivery):
        left = 3

        def retry(self, why, after=None):
            super().retry(why, after)
            if Eager.left:
                Eager.left -= 1
                output.deliver(Eager(b"x"))

    output.deliver(Eager(b"x"))
    world.until(lambda: len(world.broker.connects) == 4)  # the first delivery joins the connecting of `open`
    world.loop.run_for(1)
    assert Eager.left == 0
    assert len(world.broker.connects) == 4


def test_qos_0_answered_at_once_gives_the_loop_its_turn(world):
    """A sender that hands over the next batch from inside `delivered` gets `in_flight` of them a turn, no deeper."""
    output = world.mqtt(qos=0, in_flight=4, status_topic="")
    world.until(lambda: output._session is not None and output._session.up)
    turns = world.loop.turns

    class Chain(FakeDelivery):
        left = 400

        def delivered(self):
            super().delivered()
            if Chain.left:
                Chain.left -= 1
                output.deliver(Chain(b"x"))

    output.deliver(Chain(b"x"))
    world.until(lambda: len(world.bodies()) == 401)
    assert world.loop.turns - turns >= 100


# -- status topic ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_birth_will_and_goodbye(world, protocol):
    output = world.mqtt(protocol=protocol)
    world.until(world.status)
    assert world.status() == [("edgebit/host/status", b"online", True)]
    (connect,) = world.broker.connects
    assert connect["flags"] & 0x3C == 0x2C  # a will, of QoS 1, retained
    assert b"\0\x13edgebit/host/status\0\x07offline" in connect["raw"]
    output.close()
    world.until(lambda: world.broker.goodbyes)
    assert world.status()[1:] == [("edgebit/host/status", b"offline", True)]


def test_no_status_topic_no_will_and_no_reconnect_when_idle(world):
    world.mqtt(status_topic="")
    world.until(lambda: world.broker.connects)
    assert world.broker.connects[0]["flags"] & 0x04 == 0
    world.loop.run_for(1)
    world.broker.drop()
    world.loop.run_for(300)
    assert len(world.broker.connects) == 1


def test_idle_and_dropped_it_comes_back_within_half_a_minute(world):
    world.mqtt()
    world.until(world.status)
    world.broker.drop()
    world.loop.run_for(14)
    assert len(world.broker.connects) == 1
    world.loop.run_for(17)
    assert len(world.status()) == 2


def test_idle_trouble_is_logged_once_each_way(world):
    world.broker.close()
    world.mqtt()
    world.loop.run_for(300)
    said = [line.split("] ")[-1].strip() for line in world.ctx.lines if "debug" not in line]
    assert said == [f"connection refused (127.0.0.1:{world.broker.port}); trying again until it works"]


def test_the_status_is_refused_by_the_broker(world):
    world.broker.puback = 0x87
    world.mqtt(protocol="5")
    world.until(lambda: any("refuses edgebit/host/status" in line for line in world.ctx.lines))


def test_close_in_every_state_leaves_nothing_behind(world):
    output = world.mqtt()
    for turns in range(12):
        output.close()
        output.open()
        for _ in range(turns):
            world.loop.turn(longest=0)
    output.close()
    world.loop.run_for(200)
    assert output._session is None
    assert output._connector is None
    assert not any(timer.call for _, _, timer in world.loop._timers)


def test_connected_is_a_gauge(world):
    world.mqtt()
    assert world.ctx.stats.snapshot()["connected"] == 0
    world.until(world.status)
    assert world.ctx.stats.snapshot() == {"connected": 1, "connections": 1}


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"qos": 2}, "must be at most 1"),
        ({"topic": "a/{site}"}, "{tag}, {host} and {agent} are filled in, and no others"),
        ({"topic": "a/#"}, "without wildcards"),
        ({"topic": ""}, "must be a topic to publish to"),
        ({"protocol": "3.1"}, "3.1.1"),
        ({"port": 70000}, "at most 65535"),
        ({"keepalive": "0s"}, "at least 1"),
        ({"in_flight": 0}, "at least 1"),
        ({"client_id": "x" * 65536}, "must be a text that MQTT can carry (65535 bytes of UTF-8 at most, no NUL)"),
        ({"username": "pi\udcff"}, "must be a text that MQTT can carry"),
        ({"password": "a\0b"}, "must be a text that MQTT can carry"),
    ],
)
def test_bad_options_are_named(world, settings, says):
    with pytest.raises(ConfigError) as caught:
        world.mqtt(open=False, **settings)
    assert says in str(caught.value)
    assert next(iter(settings)) in str(caught.value)


def test_the_password_is_not_printed(world):
    with pytest.raises(ConfigError) as caught:
        world.mqtt(open=False, password=["secret"])
    assert "secret" not in str(caught.value)


def test_ports_by_default(world):
    assert world.mqtt(open=False, port=0)._port == 1883
    assert world.mqtt(open=False, port=0, tls=True)._port == 8883
    assert world.mqtt(open=False, protocol=5).opt.protocol == "5"


def test_a_unix_socket_serves_as_well(world, tmp_path):
    path = str(tmp_path / "mqtt.sock")
    world.broker.close()
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    world.broker = FakeBroker(world.loop)
    world.broker._server.close()
    world.broker._accepting.close()
    server.setblocking(False)
    world.broker._server = server
    world.broker._accepting = world.loop.watch(server.fileno(), world.broker._accept)
    world.broker._accepting.want(read=True)
    output = world.mqtt(host=path)
    (delivery,) = give(output, FakeDelivery(b"x"))
    world.until(answered(delivery))
    assert delivery.answer == "delivered"
