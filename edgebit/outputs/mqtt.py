"""MQTT output: one message a batch, delivered when the broker has acknowledged it.

What it promises: a batch is `delivered` at the broker's PUBACK (QoS 1), or when all its bytes are with the kernel (QoS
0). Whatever is unanswered when a connection ends is answered `retry` with the reason; nothing is kept here, the buffer
has it all. It connects when it opens, so that the status topic says "online"; when it is given a delivery; and, while
there is nothing to deliver, about every 30 s. How long to wait between deliveries is the sender's business.

How much is on its way is bounded three times: by `in_flight`, by what the broker is ready to take (MQTT 5 Receive
Maximum), and by what the kernel takes: while bytes are waiting for it no further message is made.

Below MQTT 5 a broker can't say why it refuses a message, and some take one that their access list forbids with a
PUBACK and drop it. With MQTT 5 every message carries its identity as user properties: agent, stream, seq, count, tag.
"""

from __future__ import annotations

import os
from collections import deque

from edgebit.net.connect import Connector
from edgebit.net.mqtt import Session
from edgebit.net.tls import TLS_OPTIONS, ClientTLS
from edgebit.options import BadValue, Option, boolean, duration, integer, size, string
from edgebit.plugin import Output, SourceError
from edgebit.wire import mqtt as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from edgebit.loop import Timer
    from edgebit.options import Options
    from edgebit.plugin import Context, Delivery

ENOUGH = 65536  # bytes waiting for the kernel at which no further message is made
IDLE_RETRY = 30.0  # seconds; with nothing to deliver, only the status topic is waiting
SHORT_LIFE = 60.0  # seconds; connections that the broker closes sooner than this, one after the other, have a reason
MAX_TOPICS = 256  # tags whose topic is remembered
HEADER = 14  # bytes and some at most around topic, properties and body: type, lengths, packet identifier

# PUBACK codes (MQTT 5.0, 3.4.2.1) that are about the message itself; the others may pass or be mended by a person.
_REJECTED = {0x90, 0x95, 0x99}  # topic name invalid, packet too large, payload format invalid


def carried(value: object) -> str:
    """A text that a packet can have in it."""
    text = string(value)
    try:
        wire.text(text)
    except ValueError:
        raise BadValue("a text that MQTT can carry (65535 bytes of UTF-8 at most, no NUL)") from None
    return text


def topic(value: object) -> str:
    """A topic to publish to; {tag}, {host} and {agent} in it are filled in."""
    plain = text = string(value)
    if not text:
        raise BadValue("a topic to publish to")
    for field in ("{tag}", "{host}", "{agent}"):
        plain = plain.replace(field, "")
    if "{" in plain or "}" in plain:
        raise BadValue("a topic in which {tag}, {host} and {agent} are filled in, and no others")
    if _clean(plain) != plain:
        raise BadValue("a topic to publish to, without wildcards (# and +) and control characters")
    return text


def topic_or_none(value: object) -> str:
    """The same, or nothing."""
    return topic(value) if value != "" else ""


class Mqtt(Output):
    """Publishes batches to an MQTT broker, 3.1.1 or 5."""

    NAME = "mqtt"
    FORMATS = ("json_lines", "json", "cbor", "cbor_rows", "csv")
    OPTIONS = (
        Option("host", string, "127.0.0.1", "the broker: a name, an address or the path of a unix socket"),
        Option("port", integer, 0, "TCP port; 0 stands for 1883, or 8883 with tls", minimum=0, maximum=65535),
        Option("topic", topic, "edgebit/{host}/{tag}", "topic of a batch; {tag}, {host} and {agent} are filled in"),
        Option("qos", integer, 1, "0: sent once, may be lost; 1: until the broker acknowledges", minimum=0, maximum=1),
        Option("retain", boolean, False, "ask the broker to keep the last message of every topic"),
        Option("client_id", carried, "", 'unique at the broker; "" stands for edgebit-<agent id>'),
        Option("username", carried, "", "user at the broker"),
        Option("password", carried, "", "password of the user", secret=True),
        Option("keepalive", duration, 60.0, "time without traffic after which a ping is sent, whole seconds",
               minimum=1, maximum=65535),
        Option("clean_session", boolean, True, "ask the broker to keep nothing between connections"),
        Option("protocol", ("3.1.1", "5"), "3.1.1", "version of MQTT"),
        Option("in_flight", integer, 16, "batches on their way before the first is acknowledged",
               minimum=1, maximum=1024),
        Option("connect_timeout", duration, 10.0, "time for look-up, TCP and TLS, and again for the broker's answer",
               minimum=0.1),
        Option("max_packet", size, 262144, "largest message in bytes, topic included; larger batches are split",
               minimum=1024, maximum=268_435_455),
        Option("status_topic", topic_or_none, "edgebit/{host}/status",
               'topic where a retained "online" or "offline" stands; "" for none'),
        *TLS_OPTIONS,
    )  # fmt: skip

    def __init__(self, opt: Options, ctx: Context) -> None:
        super().__init__(opt, ctx)
        self.window = opt.in_flight
        self._client_id = opt.client_id or f"edgebit-{ctx.agent_id}"
        self._port = opt.port or (8883 if opt.tls else 1883)
        self._tls = ClientTLS(opt)
        self._status = self._fill(opt.status_topic, "status") if opt.status_topic else ""
        self._topics: dict[str, bytes] = {}  # of a tag, encoded
        self._waiting: deque[Delivery] = deque()  # not published yet
        self._leaving: list[Delivery] = []  # QoS 0: published, not yet with the kernel
        self._connector: Connector | None = None
        self._session: Session | None = None
        self._pumping = False
        self._idle: Timer | None = None  # connects again when there is nothing to deliver
        self._more: Timer | None = None  # goes on with publishing in the next turn
        self._up_since = 0.0
        self._short_lives = 0
        self._announced = False  # that it is connected
        self._trouble = ""  # what was said about being not connected
        ctx.stats.gauge("connected", lambda: float(self._session is not None and self._session.up))

    def open(self) -> None:
        self._connect()

    def deliver(self, delivery: Delivery) -> None:
        try:
            need = len(self._topic(delivery.chunk.tag)) + len(delivery.body) + HEADER
        except ValueError as error:  # a tag that makes a topic of more than 64 KiB
            delivery.reject(str(error))
            return
        if need > self.opt.max_packet:
            delivery.reject(f"a message of {need} bytes is larger than max_packet, {self.opt.max_packet}")
            return
        self._waiting.append(delivery)
        if self._session is not None:
            self._pump()
        elif self._connector is None:
            self._connect()

    def close(self) -> None:
        for timer in (self._idle, self._more):
            if timer is not None:
                timer.cancel()
        self._idle = self._more = None
        if self._connector is not None:
            self._connector.cancel()
            self._connector = None
        session, self._session = self._session, None
        if session is not None:
            if session.up and self._status and not session.pending:
                # A goodbye cancels the last will, so its text has to be sent. When the broker doesn't read, the
                # connection just breaks, and the will does the same. QoS 0: nobody stays for an acknowledgement.
                session.publish(wire.text(self._status), b"offline", qos=0, retain=session.retain_available)
            session.leave()
        self._waiting.clear()
        self._leaving.clear()

    # -- connecting --------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            tls = self._tls.context()
        except SourceError as error:
            self._down(str(error))
            return
        self._connector = Connector(self.ctx, self.opt.host, self._port, self._connected, tls=tls,
                                    server_name=self.opt.tls_vhost, timeout=self.opt.connect_timeout)  # fmt: skip
        self._connector.start()

    def _connected(self, sock: socket.socket | None, why: str) -> None:
        self._connector = None
        if sock is None:
            self._down(why)
            return
        opt = self.opt
        self._session = Session(
            self.ctx, sock, client_id=self._client_id, protocol=opt.protocol, keepalive=round(opt.keepalive),
            clean=opt.clean_session, username=opt.username, password=opt.password, qos=opt.qos,
            will=(self._status, "offline") if self._status else None, timeout=opt.connect_timeout,
            on_up=self._up, on_ack=self._answer, on_sent=self._sent, on_down=self._down,
        )  # fmt: skip

    def _up(self) -> None:
        session, opt = self._session, self.opt
        assert session is not None
        unfit = ""
        if session.max_qos < opt.qos:
            unfit = "the broker takes messages of QoS 0 only (set qos = 0)"
        elif opt.retain and not session.retain_available:
            unfit = "the broker does not retain messages (set retain = false)"
        if unfit:
            self._session = None
            session.leave()
            self._down(unfit)
            return
        self.ctx.stats.add("connections")
        if not self._announced:
            self._announced = True
            self.ctx.log.info(f"connected to {opt.host}:{self._port} as {self._client_id}")
        self._up_since = self.ctx.clock.monotonic()
        if self._status:
            session.publish(wire.text(self._status), b"online", qos=opt.qos, retain=session.retain_available)
        self._pump()

    def _down(self, why: str) -> None:
        """The connection ended or didn't come about: everything unanswered goes back to the sender."""
        session, self._session = self._session, None
        if session is not None and session.up:
            if self._uptime() > SHORT_LIFE:
                self._trouble, self._short_lives = "", 0
            why = self._with_suspicion(f"connection lost: {why}")
        flying = session.flying.values() if session is not None else ()
        unanswered = [delivery for delivery in (*flying, *self._leaving, *self._waiting) if delivery is not None]
        self._leaving.clear()
        self._waiting.clear()
        if not unanswered and why != self._trouble:  # else the sender says it
            self._trouble, self._announced = why, False
            # The sender warns when records wait for it; of an idle connection it is only worth knowing.
            self.ctx.log.info(f"{why}; trying again " + ("until it works" if self._status else "at the next delivery"))
        if self._status and self._idle is None:
            # Spread, so that the devices that lost the same broker don't come back at the same moment.
            self._idle = self.ctx.call_later(IDLE_RETRY * (0.5 + os.urandom(1)[0] / 512), self._connect_idle)
        for delivery in unanswered:
            delivery.retry(why)

    def _connect_idle(self) -> None:
        self._idle = None
        if self._session is None and self._connector is None:
            self._connect()

    def _with_suspicion(self, why: str) -> str:
        # MQTT 3.1.1 has no way to say why a broker closes a connection, and there are two usual reasons.
        self._short_lives = self._short_lives + 1 if why.endswith(("by the peer", "by peer")) else 0
        if self._short_lives < 3:
            return why
        return (f'{why}, soon after connecting, {self._short_lives} times in a row (does another client use the '
                f'client_id "{self._client_id}"? is max_packet more than the broker takes?)')  # fmt: skip

    def _uptime(self) -> float:
        return self.ctx.clock.monotonic() - self._up_since

    # -- publishing --------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Publish what waits, as far as there is room."""
        if self._pumping:
            return  # an answer brought the next delivery: the loop below takes it
        self._pumping = True
        try:
            for _ in range(self.window):
                session = self._session
                if not self._waiting or session is None or not session.up or session.pending >= ENOUGH:
                    return
                if len(session.flying) >= min(self.window, session.receive_maximum):
                    return
                self._publish(session, self._waiting.popleft())
        finally:
            self._pumping = False
        if self._waiting and (self._more is None or self._more.call is None):
            self._more = self.ctx.call_later(0, self._pump)  # QoS 0 could go on for ever; others want a turn

    def _publish(self, session: Session, delivery: Delivery) -> None:
        topic, properties = self._topic(delivery.chunk.tag), b""
        try:
            if self.opt.protocol == "5":
                properties = _properties(delivery)
            need = len(topic) + len(properties) + len(delivery.body) + HEADER
            if need > session.max_packet:
                delivery.reject(f"a message of {need} bytes is larger than the broker takes, {session.max_packet}")
                return
            session.publish(topic, delivery.body, qos=self.opt.qos, retain=self.opt.retain, properties=properties,
                            token=delivery)  # fmt: skip
        except ValueError as error:  # more than MQTT can carry
            delivery.reject(str(error))
            return
        if not self.opt.qos:
            if session.pending:
                self._leaving.append(delivery)
            else:
                delivery.delivered()

    def _answer(self, delivery: Delivery | None, code: int, why: str) -> None:
        if delivery is None:
            if why:
                self.ctx.log.warn(f"the broker refuses {self._status}: {why}")
        elif code < 0x80:
            delivery.delivered()
        elif code in _REJECTED:
            delivery.reject(f"the broker refuses the message: {why}")
        else:
            delivery.retry(f"the broker refuses the message for now: {why}")
        self._pump()

    def _sent(self) -> None:
        leaving, self._leaving = self._leaving, []
        for delivery in leaving:
            delivery.delivered()
        self._pump()

    def _topic(self, tag: str) -> bytes:
        found = self._topics.get(tag)
        if found is None:
            if len(self._topics) >= MAX_TOPICS:
                self._topics.clear()
            found = self._topics[tag] = wire.text(self._fill(self.opt.topic, tag))
        return found

    def _fill(self, template: str, tag: str) -> str:
        fields = {"{host}": self.ctx.hostname, "{agent}": self.ctx.agent_id, "{tag}": tag}  # a tag may contain anything
        for field, value in fields.items():
            template = template.replace(field, _clean(_text(value)))
        return template


def _properties(delivery: Delivery) -> bytes:
    """Its identity."""
    chunk, tag = delivery.chunk, _text(delivery.chunk.tag)
    tag = "".join("_" if _unfit(c) else c for c in tag)
    user = (("agent", delivery.agent_id), ("stream", delivery.stream_id), ("seq", str(chunk.seq)),
            ("count", str(chunk.count)), ("tag", tag))  # fmt: skip
    return wire.publish_properties(delivery.content_type, user)


def _text(value: str) -> str:
    """What UTF-8 can carry of it: the bytes of a tag that were none become question marks."""
    return value.encode("utf-8", "replace").decode()


def _clean(value: str) -> str:
    """Without what a topic can't have: wildcards (MQTT 5.0, 4.7.1), and what no text should have."""
    return "".join("_" if c in "#+" or _unfit(c) else c for c in value)


def _unfit(c: str) -> bool:
    """Whether a character is NUL, another control character or none of Unicode's: for those brokers may close the
    connection (MQTT 5.0, 1.5.4), again and again."""
    return c < " " or "\x7f" <= c <= "\x9f" or "\ufdd0" <= c <= "\ufdef" or ord(c) & 0xFFFE == 0xFFFE
