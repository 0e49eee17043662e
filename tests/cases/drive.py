"""What a case's driver.py feeds the agent with, takes from it, and stops it with.

driver.py is started right after the agent, in the same folder. The agent may listen on PORT; what it sends to SINK_PORT
reaches `serve`, also when it connects before the driver is there.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import os
import signal
import socket
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = int(os.environ["PORT"])
PATIENCE = 15.0  # seconds that the agent may take to listen
REQUESTS, RESPONSES = Path("requests.txt"), Path("responses.txt")
# Headers that differ from run to run or say nothing of what is sent.
IGNORED = {"host", "content-length", "user-agent", "connection", "accept", "accept-encoding"}


def stop(quiet: float = 1.5, first: float = 8.0) -> None:
    """End the agent with SIGTERM when its outputs haven't grown for `quiet` seconds; with none at all after `first`.

    It doesn't return: the agent may still deliver something, and the driver is ended after it.
    """
    size, since = 0, time.monotonic()
    while time.monotonic() - since < (quiet if size else first):
        now = _written()
        if now != size:
            size, since = now, time.monotonic()
        time.sleep(0.05)
    os.kill(int(os.environ["AGENT_PID"]), signal.SIGTERM)
    signal.pause()


def _written() -> int:
    files = [Path(os.environ["AGENT_STDOUT"]), REQUESTS, RESPONSES, *Path("out").rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file())


def _patiently(attempt: Callable[[], object]) -> object:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return attempt()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def connect() -> socket.socket:
    """A TCP connection to the agent, as soon as it listens."""
    found = _patiently(lambda: socket.create_connection(("127.0.0.1", PORT), timeout=5))
    assert isinstance(found, socket.socket)
    return found


def opened(name: str) -> None:
    """Wait until the agent has a file open."""

    def look() -> None:
        fds = Path(f"/proc/{os.environ['AGENT_PID']}/fd")
        if Path(name).resolve() not in [fd.resolve() for fd in fds.iterdir()]:
            raise OSError

    _patiently(look)


def send_tcp(*parts: bytes, pause: float = 0.1) -> None:
    """Send the parts over one connection, with a pause after each."""
    with connect() as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)


def send_udp(*datagrams: bytes) -> None:
    """Send datagrams as soon as the agent has bound the port."""

    def bound() -> None:
        if not any(f":{PORT:04X} " in Path(f"/proc/net/{table}").read_text() for table in ("udp", "udp6")):
            raise OSError("nobody has the port")

    _patiently(bound)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        for datagram in datagrams:
            sock.sendto(datagram, ("127.0.0.1", PORT))
            time.sleep(0.02)


def post(path: str, body: bytes, method: str = "POST", **headers: str) -> int:
    """Send a request to the agent; its answer's status goes to responses.txt and is returned."""
    connect().close()
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    with RESPONSES.open("a") as log:
        log.write(f"{method} {path} {answer.status}\n")
    return answer.status


def serve(statuses: Sequence[int] = (200,)) -> None:
    """Take HTTP requests on SINK_PORT and describe them in requests.txt.

    They are answered with `statuses` in turn, the last one from then on.
    """
    answers = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = answers.pop(0) if len(answers) > 1 else answers[0]
            body = self.rfile.read(int(self.headers["Content-Length"]))
            encoding = self.headers.get("Content-Encoding")
            body = gzip.decompress(body) if encoding == "gzip" else zlib.decompress(body) if encoding else body
            head = [f"{self.command} {self.path}"]
            for name, value in sorted((name.lower(), value) for name, value in self.headers.items()):
                if name == "authorization" and value.startswith("Basic "):
                    value = "Basic " + base64.b64decode(value[6:]).decode()
                if name not in IGNORED:
                    head.append(f"{name}: {value}")
            head.append(f"records={_count(body.decode(errors='replace'))} answered={status}")
            with REQUESTS.open("ab") as log:
                log.write("\n".join(head).encode() + b"\n" + body.removesuffix(b"\n") + b"\n")
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=int(os.environ["SINK_FD"]))  # it listens already
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _count(text: str) -> int | str:
    """Records in a body: the items of an array, or JSON texts one after the other."""
    decoder, count, at = json.JSONDecoder(), 0, 0
    text = text.strip()
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            return "?"
        count += len(value) if isinstance(value, list) else 1
        while at < len(text) and text[at].isspace():
            at += 1
    return count
