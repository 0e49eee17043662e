"""One MQTT connection, from a connected socket to its end. The only file that knows paho-mqtt.

paho is used as a codec. It gets a pipe in place of a socket, so all bytes go through `Stream`: non-blocking, TLS or
not, and no system call per byte read. Its own connecting (which blocks), reconnecting, queueing (unbounded for QoS 0)
and session memory stay unused: every connection has a new client, and what is in flight is counted here. The one
private name it is reached by is `_create_socket`; tests run with 2.1 and 2.2.

Callbacks of paho only note what happened; it is acted upon when paho has returned. So nobody calls paho from inside
paho, and what it raises can be told from what edgebit raises.

Sources: MQTT 3.1.1 and 5.0 (OASIS); "5.0 4.13" below is a section there.
"""

from __future__ import annotations

from edgebit.net.lean import import_paho
from edgebit.net.stream import Stream

import_paho()

from paho.mqtt.client import Client, MQTTv5, MQTTv311  # noqa: E402  # not before import_paho
from paho.mqtt.enums import CallbackAPIVersion  # noqa: E402
from paho.mqtt.packettypes import PacketTypes  # noqa: E402
from paho.mqtt.properties import Properties  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from edgebit.plugin import Context

MAX_INCOMING = 65536  # bytes of a packet; nothing is subscribed to, so a broker only has acknowledgements to send
STALLED = 120.0  # seconds without an acknowledgement or a byte leaving, while something waits, that end a connection
PROTOCOLS = {"3.1.1": MQTTv311, "5": MQTTv5}


class _Pipe:
    """What paho takes for its socket. Reading past its end would block; writing never does."""

    def __init__(self) -> None:
        self.incoming = bytearray()
        self.write: Callable[[bytes | bytearray], object] = lambda data: None

    def recv(self, size: int) -> bytes:
        if size > MAX_INCOMING:
            raise ConnectionError(f"a packet of {size} bytes")
        if not self.incoming:
            raise BlockingIOError
        data = bytes(self.incoming[:size])
        del self.incoming[:size]
        return data

    def send(self, data: bytes | bytearray) -> int:
        self.write(data)
        return len(data)

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None:
        pass

    def close(self) -> None:
        pass


class Session:
    """Sends CONNECT on `sock`, which it owns from now on.

    will, clean     topic and text of the (retained) last will, or None; the clean session or clean start flag
    timeout         seconds for the broker's CONNACK
    on_up()                     the broker accepts; from now on `publish` may be called
    on_ack(token, code, why)    what was published with QoS 1 is answered: code 0 to 0x7F it is the broker's now; from
                                0x80 on (MQTT 5 only) it refuses it, and `why` says so
    on_sent()                   what was published is with the kernel, after `pending` was not 0
    on_down(why)                the end, once: whatever is in `flying` then has no answer. Not after `leave`.
    """

    def __init__(self, ctx: Context, sock: socket.socket, *, client_id: str, protocol: str, keepalive: int, clean: bool,
                 username: str, password: str, will: tuple[str, str] | None, qos: int, timeout: float,
                 on_up: Callable[[], object], on_ack: Callable[[Any, int, str], object],
                 on_sent: Callable[[], object], on_down: Callable[[str], object]) -> None:  # fmt: skip
        self._ctx, self._protocol, self._client_id = ctx, protocol, client_id
        self._on_up, self._on_ack, self._on_down = on_up, on_ack, on_down
        self.up = False
        self.closed = False
        self.flying: dict[int, Any] = {}  # packet identifier -> token of what awaits its PUBACK
        self.receive_maximum = 65535  # what the broker takes unacknowledged (5.0 3.2.2.3.3)
        self.max_packet = 268_435_455  # bytes
        self.max_qos, self.retain_available = 2, True
        self._interval = _tick_interval(keepalive)
        self._events: list[Callable[[], object]] = []
        self._moved, self._sent = 0.0, 0
        self._v5 = protocol == "5"
        self._client = client = Client(
            CallbackAPIVersion.VERSION2, client_id, None if self._v5 else clean,
            protocol=PROTOCOLS[protocol], reconnect_on_failure=False,
        )  # fmt: skip
        client.max_inflight_messages = 0  # no limit of its own: it would queue what is beyond
        if username:
            client.username_pw_set(username, password or None)
        if will is not None:
            client.will_set(*will, qos=qos, retain=True)
        self._listen(client)
        properties = None
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's is not annotated
            properties.MaximumPacketSize = MAX_INCOMING
        self._pipe = pipe = _Pipe()
        client._create_socket = lambda: pipe  # type: ignore[method-assign]  # the one private name, see above
        # The host and port are never used, but must be there.
        client.connect_async("pipe", 1, keepalive, clean_start=clean, properties=properties)
        self._stream = Stream(ctx, sock, self._on_data, self._lost)
        self._stream.on_sent = on_sent
        pipe.write = self._stream.write
        self._timer = ctx.call_later(timeout, lambda: self._end(
            f"connected, but no MQTT answer (CONNACK) within {timeout:g} s; is that an MQTT port?"))  # fmt: skip
        client.reconnect()
        client.loop_write()

    @property
    def pending(self) -> int:
        """Bytes published and not yet with the kernel."""
        return self._stream.pending

    def publish(self, topic: str, body: bytes, *, qos: int, retain: bool = False, token: Any = None,
                user: list[tuple[str, str]] | None = None, content_type: str = "") -> None:  # fmt: skip
        """Send a message; one of QoS 1 is in `flying` until `on_ack(token, ...)`. `user` and `content_type` travel as
        properties of MQTT 5 and are ignored below. Raises ValueError for a topic or body that MQTT can't carry."""
        properties = None
        if self._v5 and (user or content_type):
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's is not annotated
            properties.UserProperty = user or []
            if content_type:
                properties.ContentType = content_type
        if not self.flying and not self.pending:
            self._moved = self._ctx.clock.monotonic()
        info = self._client.publish(topic, body, qos, retain, properties)
        if qos:
            self.flying[info.mid] = token
        self._client.loop_write()

    def leave(self) -> None:
        """Say goodbye if the broker still listens, and give everything back. May be called more than once."""
        if self.closed:
            return
        self.closed = True
        if self.up:
            self._client.disconnect()
            self._client.loop_write()
        self._give_back()

    # -- paho's callbacks: note what happened ------------------------------------------------------------------------

    def _listen(self, client: Any) -> None:
        events = self._events

        def on_connect(client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
            events.append(lambda: self._connack(code.value, code.getName(), properties))

        def on_publish(client: Any, userdata: Any, mid: int, code: Any, properties: Any) -> None:
            if mid in self.flying:
                events.append(lambda: self._puback(mid, code.value, code.getName(), properties))

        def on_disconnect(client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
            sent = flags.is_disconnect_packet_from_server
            events.append(lambda: self._disconnected(sent, code.value, code.getName(), properties))

        client.on_connect, client.on_publish, client.on_disconnect = on_connect, on_publish, on_disconnect
        # Its being set keeps paho from writing inside publish(), where errors would surface as return codes.
        client.on_socket_register_write = lambda client, userdata, sock: None

    # -- what happens ------------------------------------------------------------------------------------------------

    def _on_data(self, data: bytes) -> None:
        self._pipe.incoming += data
        while self._pipe.incoming and not self.closed:
            self._drive(self._client.loop_read)

    def _drive(self, step: Callable[[], object]) -> None:
        try:
            step()
            self._client.loop_write()
        except Exception as error:  # noqa: BLE001  # paho lets through what struct and its parsers raise for bad packets
            self._end(f"the broker sent something that is not MQTT {self._protocol} ({type(error).__name__}: {error})")
            return
        while self._events and not self.closed:
            self._events.pop(0)()

    def _connack(self, code: int, name: str, properties: Any) -> None:
        if code >= 0x80:
            self._end("the broker refuses the connection: " + self._say(code, name, properties))
            return
        self.receive_maximum = getattr(properties, "ReceiveMaximum", 65535)
        self.max_packet = getattr(properties, "MaximumPacketSize", self.max_packet)
        self.max_qos = getattr(properties, "MaximumQoS", 2)
        self.retain_available = bool(getattr(properties, "RetainAvailable", 1))
        self._interval = _tick_interval(getattr(properties, "ServerKeepAlive", 0)) or self._interval
        self.up = True
        self._timer.cancel()
        self._timer = self._ctx.call_later(self._interval, self._tick)
        self._on_up()

    def _puback(self, mid: int, code: int, name: str, properties: Any) -> None:
        self._moved = self._ctx.clock.monotonic()
        token = self.flying.pop(mid)
        self._on_ack(token, code, self._say(code, name, properties) if code >= 0x80 else "")

    def _disconnected(self, from_broker: bool, code: int, name: str, properties: Any) -> None:
        if from_broker and not code:  # it gave no reason, or paho 2.1 lost it, as it does when nothing follows it
            self._end("closed by the peer")
        elif from_broker:
            self._end("the broker ends the connection: " + self._say(code, name, properties))
        elif code == 0x8D:  # paho's own: its ping was not answered
            self._end("the broker does not answer: no reply to a ping within the keepalive time")
        elif not self.up:
            self._end(f"no MQTT {self._protocol} answer from the peer: {name.lower()} (check port and protocol)")
        else:
            self._end(f"the broker sent something that is not MQTT {self._protocol}")

    def _say(self, code: int, name: str, properties: Any) -> str:
        text = name.lower()
        if detail := getattr(properties, "ReasonString", ""):
            text += f", {detail[:200]}"
        if code in (0x9C, 0x9D) and (server := getattr(properties, "ServerReference", "")):
            return f"{text} (set host to {server[:200]})"
        advice = _ADVICE.get(code, "").format(client_id=self._client_id, protocol=self._protocol)
        return f"{text} ({advice})" if advice else text

    def _tick(self) -> None:
        """Keepalive, and an eye on a broker that takes or acknowledges nothing."""
        now = self._ctx.clock.monotonic()
        if self._stream.sent != self._sent or not (self.pending or self.flying):
            self._moved = now
        self._sent = self._stream.sent
        if now - self._moved > STALLED:
            what = f"{len(self.flying)} messages not acknowledged, {self.pending} bytes not taken"
            self._end(f"the broker stalls: {what} for {STALLED:g} s")
            return
        self._timer = self._ctx.call_later(self._interval, self._tick)
        self._drive(self._client.loop_misc)

    def _lost(self, why: str) -> None:
        if not self.up and "(" not in why:  # brokers that don't like a client often just close
            why += f' without an answer (check port, tls, and what the broker allows the client "{self._client_id}")'
        self._end(why)

    def _end(self, why: str) -> None:
        if self.closed:
            return
        self.closed = True
        self._give_back()
        self._on_down(why)

    def _give_back(self) -> None:
        self._timer.cancel()
        self._stream.close()
        self._events.clear()


def _tick_interval(keepalive: int) -> float:
    # A ping goes out at most a quarter late; the broker waits for half as much again as the keepalive (5.0 3.1.2.10).
    return min(keepalive / 4, 15.0)


# Reason codes (5.0 2.4; paho gives those of 3.1.1 in the same numbers) for which a person can change something here.
_ADVICE = {
    0x82: "check protocol, now {protocol}",
    0x84: "change protocol, now {protocol}",
    0x85: 'change client_id, now "{client_id}"',
    0x86: "check username and password",
    0x87: 'check username and password, and what the broker allows the client "{client_id}"',
    0x8E: 'another client uses the client_id "{client_id}"; every device needs its own',
    0x90: "check topic and status_topic",
    0x95: "lower max_packet",
    0x9A: 'set retain = false and status_topic = ""',
    0x9B: "set qos = 0",
}
