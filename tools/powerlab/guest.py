"""What runs inside the virtual machine beside edgebit: it writes the files that edgebit follows, and reports.

    guest.py load     writes /data/synced.log (synced twice a second) and /data/lazy.log (never synced, as most programs
                      do it) as soon as the machine is up, and reports how far it got
    guest.py ready    waits until systemd takes edgebit.service for active, reports that, ends

Reports are datagrams of words to the host. The host answers "stop" (write no more, sync, report the end) and "off".
"""

import os
import socket
import subprocess
import sys
import time

HOST = "10.0.2.2"  # where qemu's user network has the host's loopback
TICK = 0.1  # seconds between writes
SYNC = 5  # ticks between syncs


def uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def connection() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while True:
        try:
            sock.connect((HOST, int(os.environ["POWERCUT_REPORTS"])))
            return sock
        except OSError:  # the network is not up yet
            time.sleep(0.1)


def report(sock: socket.socket, *words: object) -> None:
    try:
        sock.send(" ".join(map(str, words)).encode())
    except OSError:
        pass  # the next one


def ready(cut: str) -> None:
    sock = connection()
    show = ["systemctl", "show", "--value", "-p", "ActiveState", "-p", "NRestarts", "edgebit.service"]
    while True:
        restarts, state = sorted(subprocess.run(show, capture_output=True, text=True).stdout.split())
        if state == "active":
            break
        time.sleep(0.5)
    for _ in range(5):
        report(sock, "ready", cut, f"{uptime():.1f}", restarts)
        time.sleep(0.2)


class Log:
    """One of the files. Its lines tell the boot, their number in it, and when they were written."""

    def __init__(self, path: str, cut: str, rate: float) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.cut, self.rate, self.count, self.synced = cut, rate, 0, 0

    def write(self, seconds: float) -> None:
        """As many lines as are due `seconds` after the first."""
        now = uptime()
        numbers = range(self.count + 1, int(seconds * self.rate) + 1)
        if numbers:
            os.write(self.fd, "".join(f"R{self.cut} N{n} U{now:.2f} {n * 7919:->40}\n" for n in numbers).encode())
            self.count = numbers[-1]

    def sync(self) -> None:
        count = self.count
        os.fdatasync(self.fd)
        self.synced = count


def load(cut: str) -> None:
    rate = float(os.environ["POWERCUT_RATE"])
    synced, lazy = Log("/data/synced.log", cut, rate), Log("/data/lazy.log", cut, rate)
    start, tick, sock = uptime(), 0, None
    while True:
        tick += 1
        time.sleep(max(0.0, start + tick * TICK - uptime()))
        synced.write(uptime() - start)
        lazy.write(uptime() - start)
        if tick % SYNC:
            continue
        synced.sync()
        sock = sock or connection()
        report(sock, "at", cut, synced.synced, lazy.count)
        if command(sock) == "stop":
            break
    synced.sync()
    lazy.sync()
    while command(sock) != "off":
        report(sock, "stopped", cut, synced.synced, lazy.synced)
        time.sleep(0.3)
    subprocess.run(["systemctl", "poweroff"], check=False)


def command(sock: socket.socket) -> str:
    try:
        return sock.recv(64, socket.MSG_DONTWAIT).decode()
    except OSError:
        return ""


if __name__ == "__main__":
    {"load": load, "ready": ready}[sys.argv[1]](os.environ["POWERCUT_ROUND"])
