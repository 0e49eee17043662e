"""What takes an agent's data in a bench: an HTTP server and an MQTT broker that count and do nothing else.

    python -m benchlab.sinks http|mqtt FD COUNTS PATTERN CERTIFICATE

FD is a listening socket, COUNTS a file of three 64-bit numbers (records, bytes, messages) kept up to date, PATTERN what each
record has once, as hex; "" asks for the `count` of a cbor_rows envelope instead. They run as processes of their own, so
that what they cost is not the agent's, and answer at once. A real broker would do the same work and more, but it would
be measured too: as waiting.
"""

from __future__ import annotations

import mmap
import re
import socket
import struct
import sys

COUNTS = struct.Struct("<QQQ")
_ROWS_COUNT = re.compile(rb"ecount([\x00-\x1b])(.{0,8})", re.DOTALL)  # CBOR: text of five letters, an unsigned number


class Counter:
    def __init__(self, path: str, pattern: bytes) -> None:
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), COUNTS.size)
        self._pattern = pattern
        self.records, self.bytes, self.messages = COUNTS.unpack(self._map)  # of the process before

    def add(self, body: bytes) -> None:
        self.records += body.count(self._pattern) if self._pattern else _rows(body)
        self.bytes += len(body)
        self.messages += 1
        self._map[:] = COUNTS.pack(self.records, self.bytes, self.messages)


def _rows(body: bytes) -> int:
    found = _ROWS_COUNT.search(body, 0, 4096)
    if found is None:
        raise ValueError("no cbor_rows envelope")
    head = found[1][0]
    if head < 24:
        return head
    return int.from_bytes(found[2][: 1 << (head - 24)], "big")


def http(sock: socket.socket, counter: Counter) -> None:
    """Requests with Content-Length, one after the other, each answered 201."""
    stream = sock.makefile("rb", 1 << 20)
    while line := stream.readline():
        length = 0
        while line not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            line = stream.readline()
        counter.add(stream.read(length))
        sock.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")


def mqtt(sock: socket.socket, counter: Counter) -> None:
    """As much of MQTT 3.1.1 as a publisher needs: CONNACK, PUBACK, PINGRESP."""
    stream = sock.makefile("rb", 1 << 20)
    while head := stream.read(1):
        length = shift = 0
        while True:
            byte = stream.read(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = stream.read(length)
        kind, qos = head[0] >> 4, head[0] >> 1 & 3
        if kind == 1:
            sock.sendall(b"\x20\x02\x00\x00")
        elif kind == 12:
            sock.sendall(b"\xd0\x00")
        elif kind == 14:
            return
        elif kind == 3:
            at = 2 + int.from_bytes(body[:2], "big")
            if not body[2:at].endswith(b"/status"):
                counter.add(body[at + 2 * bool(qos) :])
            if qos:
                sock.sendall(b"\x40\x02" + body[at : at + 2])


def main() -> None:
    kind, fd, counts, pattern, certificate = sys.argv[1:]
    listener = socket.socket(fileno=int(fd))
    if certificate:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listener = context.wrap_socket(listener, server_side=True)
    counter = Counter(counts, bytes.fromhex(pattern))
    while True:
        sock, _ = listener.accept()
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                {"http": http, "mqtt": mqtt}[kind](sock, counter)
            except (ConnectionError, IndexError):  # the agent was ended
                pass


if __name__ == "__main__":
    main()
