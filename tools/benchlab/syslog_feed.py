"""Syslog messages as a small network sends them, made once a run of the bench and sent as fast as they are taken."""

from __future__ import annotations

import socket
import time
from functools import cache
from pathlib import Path

_TEXTS = (
    "session opened for user pi(uid=1000) by (uid=0)",
    "Accepted publickey for pi from 192.168.1.{n} port {p} ssh2: ED25519 SHA256:1T1yCkJ{p}",
    "eth0: link becomes ready, {n} Mbit/s full duplex",
    "DHCPACK(eth0) 192.168.1.{n} b8:27:eb:{n:02x}:4f:{n:02x} pump-house",
    "temperature above threshold, cpu clock throttled (total events = {p})",
    "(root) CMD (   cd / && run-parts --report /etc/cron.hourly)",
)
_PROGRAMS = ("sshd", "systemd", "kernel", "dnsmasq-dhcp", "cron", "pump-control")


@cache
def messages(count: int) -> list[bytes]:
    """RFC 3164, about 110 bytes each; a hundred of them share a second."""
    made = []
    for i in range(count):
        second = i // 100
        stamp = f"Nov 25 {second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        text = _TEXTS[i % 6].format(n=i % 250, p=i % 60000)
        made.append(f"<{13 + i % 8 * 8}>{stamp} gw{i % 20} {_PROGRAMS[i % 6]}[{300 + i % 3000}]: {text}".encode())
    return made


def send_tcp(port: int, count: int) -> None:
    data = memoryview(b"\n".join(messages(count)) + b"\n")
    with socket.create_connection(("127.0.0.1", port)) as sock:
        for at in range(0, len(data), 65536):
            sock.sendall(data[at : at + 65536])
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(60)
        while sock.recv(65536):  # until the agent has read and closed
            pass


def send_udp(port: int, count: int, rate: int) -> None:
    """In bursts of 20, `rate` messages a second: as fast as a program that writes to a socket, slower than memory."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        begin = time.monotonic()
        for i, message in enumerate(messages(count)):
            sock.send(message)
            if i % 20 == 19:
                ahead = i / rate - (time.monotonic() - begin)
                if ahead > 0:
                    time.sleep(ahead)


def rsyslog(module: str, port: int, out: Path) -> str:
    """rsyslog's configuration for the same job: every field into a CSV file, quoted as RFC 4180 says."""
    fields = ("pri", "timereported", "hostname", "programname", "procid", "msg")
    columns = ",".join(f"%{field}:::csv%" for field in fields)
    return f"""
module(load="{module}")
input(type="{module}" address="127.0.0.1" port="{port}")
template(name="csv" type="string" string="%timereported:::date-unixtimestamp%,{columns}\\n")
action(type="omfile" file="{out}" template="csv")
"""


def edgebit(mode: str, port: int, output: str) -> str:
    return f"""
[service]
flush = "0.5s"
state_dir = "state"
[[input]]
plugin = "syslog"
tag = "s"
mode = "{mode}"
listen = "127.0.0.1"
port = {port}
parser = "syslog-rfc3164"
receive_buffer_size = "4MiB"
[[output]]
plugin = {output}
"""


def fluent_bit(mode: str, port: int, output: str) -> str:
    return f"""
[SERVICE]
    flush 0.5
    parsers_file parsers.conf
[INPUT]
    name syslog
    tag s
    mode {mode}
    listen 127.0.0.1
    port {port}
    parser syslog-rfc3164
    buffer_chunk_size 64k
    receive_buffer_size 4000000
[OUTPUT]
    match *
{output}
"""


# As it comes with Fluent Bit, in two pieces.
FLUENT_BIT_PARSER = (
    """
[PARSER]
    name syslog-rfc3164
    format regex
    time_key time
    time_format %b %d %H:%M:%S
    time_keep on
    regex /^\\<(?<pri>[0-9]+)\\>(?<time>[^ ]* {1,2}[^ ]* [^ ]*) (?<host>[^ ]*) """
    """(?<ident>[a-zA-Z0-9_\\/\\.\\-]*)(?:\\[(?<pid>[0-9]+)\\])?(?:[^\\:]*\\:)? *(?<message>.*)$/
"""
)
