"""One MQTT connection, from a connected socket to its end: what `wire/mqtt.py` has no clock and no socket for.

A connection has no memory of the one before: what is in flight is counted here and is gone with it. Who publishes looks
at `flying`, `receive_maximum` and `pending` before; nothing is queued here but what the kernel doesn't take.

Three things watch the broker. Before its CONNACK, a time-out. Then the keepalive: when nothing was sent, or nothing came,
for so long, a ping goes out, and when nothing at all comes for as long again, the broker is gone. So one who sends all the
time notices it, too. On a slow line a ping waits behind what was published before it; while that moves, time doesn't
count. And STALLED, for a broker that is alive but takes or acknowledges nothing.

Sources: MQTT 3.1.1 and 5.0 (OASIS); "5.0 4.13" below is a section there.
"""

from __future__ import annotations

from edgebit.net.stream import Stream
from edgebit.wire import mqtt as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from edgebit.plugin import Context

MAX_INCOMING = 65536  # bytes of a packet; nothing is subscribed to, so a broker only has acknowledgements to send
STALLED = 120.0  # seconds without an acknowledgement or a byte arriving, while something waits, that end a connection
LEVELS = {"3.1.1": 4, "5": 5}  # what CONNECT calls them (3.1.1 and 5.0, 3.1.2.2)


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
        self.max_packet = wire.MAX_SIZE  # bytes
        self.max_qos, self.retain_available = 2, True
        self._keepalive = keepalive
        self._heard = self._spoke = self._moved = ctx.clock.monotonic()
        self._pings = 0  # bytes of pings sent
        self._arrived = 0  # bytes at the peer's kernel but for those, at the last tick
        self._ping = 0  # where in what was sent the ping ends that nothing came after; 0: there is none
        self._asked = 0.0  # since when its time counts
        self._last_id = 0
        level = LEVELS[protocol]
        self._v5 = level == 5
        self._decoder = wire.Decoder(level, MAX_INCOMING)
        greeting = wire.connect(level, client_id, keepalive=keepalive, clean=clean, username=username, password=password,
                                will=will, will_qos=qos, maximum_packet_size=MAX_INCOMING)  # fmt: skip
        self._stream = Stream(ctx, sock, self._on_data, self._lost)
        self._stream.on_sent = on_sent
        self._timer = ctx.call_later(timeout, lambda: self._end(
            f"connected, but no MQTT answer (CONNACK) within {timeout:g} s; is that an MQTT port?"))  # fmt: skip
        self._stream.write(greeting)

    @property
    def pending(self) -> int:
        """Bytes published and not yet with the kernel."""
        return self._stream.pending

    def publish(self, topic: bytes, body: bytes, *, qos: int, retain: bool = False, properties: bytes = b"",
                token: Any = None) -> None:  # fmt: skip
        """Send a message; one of QoS 1 is in `flying` until `on_ack(token, ...)`. `topic` is what `wire.mqtt.text` made
        of it, `properties` what `publish_properties` did, or b"" for none; below MQTT 5 there are none. Raises
        ValueError for a message that MQTT can't carry."""
        packet_id = self._free_id() if qos else 0
        if self._v5 and not properties:
            properties = b"\0"
        packet = wire.publish(topic, body, qos=qos, retain=retain, packet_id=packet_id, properties=properties)
        now = self._spoke = self._ctx.clock.monotonic()
        if not self.flying and not self.pending:
            self._moved = now
        if qos:
            self.flying[packet_id] = token
        self._stream.write(packet)

    def leave(self) -> None:
        """Say goodbye if the broker still listens, and give everything back. May be called more than once."""
        if self.closed:
            return
        self.closed = True
        if self.up:
            self._stream.write(wire.disconnect())
        self._give_back()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _free_id(self) -> int:
        """A packet identifier that nothing in flight has (5.0 2.2.1). They go round, so that a late or second PUBACK
        doesn't meet another message at once. There is one for who looks at `receive_maximum` before."""
        while True:
            self._last_id = self._last_id % 65535 + 1
            if self._last_id not in self.flying:
                return self._last_id

    def _on_data(self, data: bytes) -> None:
        self._heard, self._ping = self._ctx.clock.monotonic(), 0
        try:
            for packet in self._decoder.feed(data):
                self._take(packet)
                if self.closed:
                    return
        except wire.ProtocolError as error:
            self._not_mqtt(error)

    def _take(self, packet: wire.Packet) -> None:
        if packet.kind == wire.PUBACK:
            if packet.packet_id in self.flying:  # a second one of the same does no harm
                self._puback(packet)
        elif packet.kind == wire.CONNACK:
            self._connack(packet)
        elif packet.kind == wire.DISCONNECT:
            why = f"the broker ends the connection: {self._say(packet)}" if packet.code else "closed by the peer"
            self._end(why)

    def _connack(self, packet: wire.Packet) -> None:
        if packet.code >= 0x80:
            self._end("the broker refuses the connection: " + self._say(packet))
            return
        given = packet.properties.get
        self.receive_maximum = given(wire.RECEIVE_MAXIMUM, 65535)
        self.max_packet = given(wire.MAXIMUM_PACKET_SIZE, self.max_packet)
        self.max_qos = given(wire.MAXIMUM_QOS, 2)
        self.retain_available = bool(given(wire.RETAIN_AVAILABLE, 1))
        self._keepalive = given(wire.SERVER_KEEP_ALIVE, 0) or self._keepalive
        self.up = True
        self._timer.cancel()
        self._timer = self._ctx.call_later(_tick_interval(self._keepalive), self._tick)
        self._on_up()

    def _puback(self, packet: wire.Packet) -> None:
        self._moved = self._heard
        token, code = self.flying.pop(packet.packet_id), packet.code
        self._on_ack(token, code, self._say(packet) if code >= 0x80 else "")

    def _say(self, packet: wire.Packet) -> str:
        code, words = packet.code, wire.reason(packet.code)
        if detail := packet.properties.get(wire.REASON_STRING):
            words += f", {detail[:200]}"
        if code in (0x9C, 0x9D) and (server := packet.properties.get(wire.SERVER_REFERENCE)):
            return f"{words} (set host to {server[:200]})"
        advice = _ADVICE.get(code, "").format(client_id=self._client_id, protocol=self._protocol)
        return f"{words} ({advice})" if advice else words

    def _not_mqtt(self, error: wire.ProtocolError) -> None:
        if not self.up:
            self._end(f"no MQTT {self._protocol} answer from the peer: {error} (check port and protocol)")
            return
        if self._v5:  # 3.1.1 has no words for it
            goodbye = wire.disconnect(error.code, str(error))
            if len(goodbye) <= self.max_packet:
                self._stream.write(goodbye)
        self._end(f"the broker sent something that is not MQTT {self._protocol} ({error})")

    def _tick(self) -> None:
        """Keepalive, and an eye on a broker that takes or acknowledges nothing."""
        now, before = self._ctx.clock.monotonic(), self._arrived
        # What arrives is looked at, not what leaves: the socket of a slow line may hold minutes of data.
        arrived = self._stream.sent + self.pending - self._stream.unacknowledged()
        self._arrived = max(before, arrived - self._pings)
        moves = self._arrived > before
        if moves or not (self.pending or self.flying):
            self._moved = now
        if now - self._moved > STALLED:
            what = f"{len(self.flying)} messages not acknowledged, {self.pending} bytes not taken"
            self._end(f"the broker stalls: {what} for {STALLED:g} s")
            return
        if self._ping:
            if moves and before + self._pings < self._ping:
                self._asked = now
            elif now - self._asked >= self._keepalive and self._stream.sent >= self._ping:
                self._end("the broker does not answer: no reply to a ping within the keepalive time")
                return
        elif now - min(self._heard, self._spoke) >= self._keepalive:
            self._stream.write(wire.PINGREQ)
            self._spoke = self._asked = now
            self._ping = self._stream.sent + self.pending
            self._pings += len(wire.PINGREQ)
        self._timer = self._ctx.call_later(_tick_interval(self._keepalive), self._tick)

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


def _tick_interval(keepalive: int) -> float:
    # A ping goes out at most a quarter late; the broker waits for half as much again as the keepalive (5.0 3.1.2.10).
    return min(keepalive / 4, 15.0)


# Reason codes (5.0 2.4; the codec gives the return codes of 3.1.1 as these) for which a person can change something here.
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
