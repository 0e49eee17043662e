"""The drive of tools/powercut: what it promises over a cut, in memory and through NBD as qemu speaks it."""

from __future__ import annotations

import random
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LAB = Path(__file__).parents[2] / "tools" / "powerlab"


@pytest.fixture(scope="module")
def lab() -> Iterator[object]:
    """The module `drive`, which is no part of the package."""
    sys.path.insert(0, str(LAB))
    import drive

    yield drive
    sys.path.remove(str(LAB))


class Chance(random.Random):
    """Decides as told: this share of what is cached survives."""

    share = 0.0

    def choice(self, seq):
        return self.share


SECTOR = 512
A, B, C = (bytes([letter]) * SECTOR for letter in b"ABC")
ZERO = bytes(SECTOR)


@pytest.fixture
def make(lab, tmp_path):
    drives = []

    def make(sectors: int = 16, share: float = 0.0, **options):
        path = tmp_path / f"{len(drives)}.img"
        path.write_bytes(bytes(sectors * SECTOR))
        chance = Chance(1)
        chance.share = share
        drives.append(lab.Drive(str(path), chance, **options))
        return drives[-1]

    yield make
    for drive in drives:
        drive.close()


def medium(drive) -> bytes:
    return Path(drive.path).read_bytes()


def test_what_was_written_is_read_back_before_any_flush(make):
    drive = make()
    drive.write(SECTOR, A + B)

    assert drive.read(0, 4 * SECTOR) == ZERO + A + B + ZERO
    assert medium(drive) == bytes(drive.size)


def test_a_cut_takes_what_was_not_flushed(make):
    drive = make()
    drive.write(0, A)
    drive.flush()
    drive.write(0, B)
    drive.write(SECTOR, C)

    assert drive.cut() == (0, 2)
    assert drive.read(0, 2 * SECTOR) == A + ZERO


def test_a_cut_keeps_a_part_of_what_was_not_flushed_in_whole_sectors(make):
    drive = make(sectors=1000, share=0.5)
    drive.write(0, A * 1000)

    kept, lost = drive.cut()

    found = [drive.read(i * SECTOR, SECTOR) for i in range(1000)]
    assert found.count(A) == kept
    assert found.count(ZERO) == lost
    assert 400 < kept < 600


def test_fua_reaches_the_medium_alone(make):
    """And a cached older content of the sector can't come back over it."""
    drive = make()
    drive.write(0, A)
    drive.write(SECTOR, B)
    drive.write(0, C, fua=True)
    drive.cut()

    assert drive.read(0, 2 * SECTOR) == C + ZERO


def test_a_full_cache_goes_to_the_medium_in_part(make):
    drive = make(sectors=100, cache=20 * SECTOR)
    drive.write(0, A * 21)

    assert len(drive.cached) == 11
    assert medium(drive).count(A) == 10
    assert drive.read(0, 22 * SECTOR) == A * 21 + ZERO


# -- NBD -----------------------------------------------------------------------------------------------------------------


class Client:
    """Speaks NBD as far as qemu does."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(path)
        assert self.take(18) == b"NBDMAGIC" + b"IHAVEOPT" + b"\0\3"
        self.sock.sendall(struct.pack(">I", 3))

    def take(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            data += self.sock.recv(length - len(data)) or pytest.fail(f"closed after {data!r}")
        return data

    def option(self, number: int, data: bytes = b"") -> list[tuple[int, bytes]]:
        """Send an option; its replies up to the last, as type and data."""
        self.sock.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data)
        replies = []
        while not replies or replies[-1][0] == 3:
            magic, option, kind, length = struct.unpack(">QIII", self.take(20))
            assert (magic, option) == (0x3E889045565A9, number)
            replies.append((kind, self.take(length)))
        return replies

    def go(self) -> Client:
        self.option(7, struct.pack(">IH", 0, 0))
        return self

    def send(self, command: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> bytes:
        request = struct.pack(">IHHQQI", 0x25609513, flags, command, 42, offset, length or len(data))
        return request + data

    def ask(self, command: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> bytes | int:
        """Send a command; the error, or what was read."""
        self.sock.sendall(self.send(command, offset, length, data, flags))
        magic, error, cookie = struct.unpack(">IIQ", self.take(16))
        assert (magic, cookie) == (0x67446698, 42)
        return error or (self.take(length) if command == 0 else 0)


READ, WRITE, DISCONNECT, FLUSH, TRIM = 0, 1, 2, 3, 4


@pytest.fixture
def serve(lab, make, tmp_path):
    servers = []

    def serve(drive):
        servers.append(lab.Server(drive, str(tmp_path / f"{len(servers)}.sock")))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


def test_the_export_says_that_it_flushes(make, serve):
    server = serve(make(sectors=8))
    client = Client(server.path)

    assert client.option(8) == [(2**31 + 1, b"")]  # structured replies: unsupported
    info, sizes, done = client.option(7, struct.pack(">IH", 0, 0))

    assert info == (3, struct.pack(">HQH", 0, 8 * SECTOR, 1 | 4 | 8))
    assert sizes == (3, struct.pack(">HIII", 3, SECTOR, 4096, 32 << 20))
    assert done == (1, b"")
    client.sock.close()


def test_commands_over_nbd(make, serve):
    drive = make()
    client = Client(serve(drive).path).go()

    assert client.ask(WRITE, SECTOR, data=A + B) == 0
    assert client.ask(READ, 0, 3 * SECTOR) == ZERO + A + B
    assert medium(drive) == bytes(drive.size)
    assert client.ask(FLUSH) == 0
    assert medium(drive)[SECTOR : 3 * SECTOR] == A + B
    assert client.ask(WRITE, 0, data=C, flags=1) == 0
    assert medium(drive)[:SECTOR] == C
    client.sock.close()


def test_a_request_that_makes_no_sense_is_refused_and_the_next_one_served(make, serve):
    client = Client(serve(make(sectors=8)).path).go()

    assert client.ask(READ, 8 * SECTOR, SECTOR) == 22
    assert client.ask(WRITE, 7 * SECTOR, data=A + B) == 22
    assert client.ask(READ, 100, SECTOR) == 22
    assert client.ask(TRIM, 0, SECTOR) == 22
    assert client.ask(READ, 0, SECTOR) == ZERO
    client.sock.close()


def test_requests_a_byte_at_a_time(make, serve):
    drive = make()
    client = Client(serve(drive).path).go()
    for byte in client.send(WRITE, 0, data=A) + client.send(FLUSH):
        client.sock.sendall(bytes([byte]))
    client.take(32)

    assert medium(drive)[:SECTOR] == A
    client.sock.close()


def test_a_client_that_is_killed_in_the_middle_of_a_write_leaves_the_rest(make, serve):
    """What it had sent whole counts, the rest doesn't, and the next client is served."""
    drive = make()
    server = serve(drive)
    client = Client(server.path).go()
    client.sock.sendall(client.send(WRITE, 0, data=A) + client.send(WRITE, SECTOR, data=B)[:-1])
    client.take(16)
    client.sock.close()
    server.wait_idle(5)

    assert drive.cut() == (0, 1)
    again = Client(server.path).go()
    assert again.ask(READ, 0, 2 * SECTOR) == ZERO * 2
    again.sock.close()
