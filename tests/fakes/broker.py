"""An MQTT broker, 3.1.1 and 5, on the test's own loop: just enough for a client that only publishes.

It notes what it gets and answers what it is told to. `cut` says how its bytes are cut up on their way: 0 as a whole,
otherwise so many bytes a turn.
"""

from __future__ import annotations

import socket
from typing import Any

from edgebit.loop import Loop, Watch


class Message:
    """A PUBLISH."""

    def __init__(self, flags: int, packet: bytes, v5: bool) -> None:
        size = int.from_bytes(packet[:2], "big")
        self.topic, rest = packet[2 : 2 + size].decode(), packet[2 + size :]
        self.qos, self.retain, self.mid = flags >> 1 & 3, bool(flags & 1), 0
        if self.qos:
            self.mid, rest = int.from_bytes(rest[:2], "big"), rest[2:]
        self.user: dict[str, str] = {}
        self.content_type = ""
        if v5:
            size, rest = varint(rest)
            self._properties(rest[:size])
            rest = rest[size:]
        self.body = rest

    def _properties(self, data: bytes) -> None:
        while data:
            kind, data = data[0], data[1:]
            texts = []
            for _ in range(2 if kind == 0x26 else 1):
                size = int.from_bytes(data[:2], "big")
                texts.append(data[2 : 2 + size].decode())
                data = data[2 + size :]
            if kind == 0x26:
                self.user[texts[0]] = texts[1]
            else:
                assert kind == 0x03, f"property {kind:#x}"
                self.content_type = texts[0]


class FakeBroker:
    """Listens on a free port of 127.0.0.1. What to answer is in its attributes, and may be changed at any time."""

    def __init__(self, loop: Loop) -> None:
        self.connack: int | None = 0  # the code; None: say nothing
        self.connack_properties = b""  # MQTT 5, encoded
        self.puback: int | None = 0  # the code; None: keep silent, and use `ack`
        self.pingresp = self.reading = True
        self.cut = 0
        self.connects: list[dict[str, Any]] = []
        self.messages: list[Message] = []
        self.goodbyes = self.pings = 0
        self._loop = loop
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.port: int = self._server.getsockname()[1]
        self._accepting = loop.watch(self._server.fileno(), self._accept)
        self._accepting.want(read=True)
        self._peers: list[tuple[socket.socket, Watch]] = []
        self._sock: socket.socket | None = None  # of the latest connection
        self._v5 = False
        self._outgoing = bytearray()

    def _accept(self) -> None:
        self._sock = sock = self._server.accept()[0]
        sock.setblocking(False)
        if sock.family == socket.AF_INET:  # or Nagle holds answers back in real time, while the test's jumps
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray()
        watch = self._loop.watch(sock.fileno(), lambda: self._read(sock, watch, buffer))
        watch.want(read=self.reading)
        self._peers.append((sock, watch))

    def _read(self, sock: socket.socket, watch: Watch, buffer: bytearray) -> None:
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            watch.close()
            sock.close()
            return
        buffer += data
        while len(buffer) > 1 and any(byte < 0x80 for byte in buffer[1:5]):
            size, rest = varint(bytes(buffer[1:]))
            if len(rest) < size:
                break
            kind, packet = buffer[0], rest[:size]
            del buffer[: len(buffer) - len(rest) + size]
            self._packet(kind >> 4, kind & 15, packet)

    def _packet(self, kind: int, flags: int, packet: bytes) -> None:
        if kind == 1:
            self._v5 = packet[6] == 5
            self.connects.append({"version": packet[6], "flags": packet[7], "raw": packet})
            if self.connack is not None:
                more = encoded(self.connack_properties) if self._v5 else b""
                self.send(b"\x20" + encoded(bytes((0, self.connack)) + more))
        elif kind == 3:
            message = Message(flags, packet, self._v5)
            self.messages.append(message)
            if message.qos and self.puback is not None:
                self.ack(message.mid, self.puback)
        elif kind == 12:
            self.pings += 1
            if self.pingresp:
                self.send(b"\xd0\0")
        elif kind == 14:
            self.goodbyes += 1

    def ack(self, mid: int, code: int = 0) -> None:
        self.send(b"\x40" + encoded(mid.to_bytes(2, "big") + (bytes((code,)) if code else b"")))

    def disconnect(self, code: int, why: str = "") -> None:
        reason = b"\x1f" + len(why).to_bytes(2, "big") + why.encode() if why else b""
        self.send(b"\xe0" + encoded(bytes((code,)) + (encoded(reason) if why else b"")))

    def send(self, data: bytes) -> None:
        self._outgoing += data
        if self.cut:
            self._loop.call_later(0.001, self._send_some)
        else:
            self._send_some()

    def _send_some(self) -> None:
        piece = bytes(self._outgoing[: self.cut or None])
        del self._outgoing[: len(piece)]
        if self._outgoing:
            self._loop.call_later(0.001, self._send_some)
        if piece and self._sock is not None:
            try:
                self._sock.send(piece)
            except OSError:
                pass  # the client has gone

    def drop(self) -> None:
        """Close all connections, as a broker that restarts."""
        for sock, watch in self._peers:
            watch.close()
            sock.close()
        self._peers.clear()
        self._outgoing.clear()

    def close(self) -> None:
        self.drop()
        self._accepting.close()
        self._server.close()


def varint(data: bytes) -> tuple[int, bytes]:
    """MQTT's variable byte integer (5.0 1.5.5), and what follows it."""
    value = shift = i = 0
    while True:
        value |= (data[i] & 127) << shift
        i, shift = i + 1, shift + 7
        if data[i - 1] < 128:
            return value, data[i:]


def encoded(data: bytes) -> bytes:
    """With its length in front; these are short."""
    assert len(data) < 128
    return bytes((len(data),)) + data
