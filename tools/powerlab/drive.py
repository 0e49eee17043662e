"""A drive with a volatile write cache, for qemu to use over NBD, and a way to cut its power.

Killing an emulator loses what the kernel in it had not written, but what it had written is safe with the host. Real
drives are worse: they answer a write when it is in their cache, and put it onto the medium when they like. So does this
one. It keeps what was written in memory and promises what a drive promises, no more: what was written before a flush
began is on the medium when the flush is answered, and so is a write with FUA. At a cut each sector of the rest is on
the medium or not, as chance decides; sectors are never torn, as on real drives. When the cache is full, some of it goes
to the medium, in no order.

NBD: the "fixed newstyle" handshake with its options GO and EXPORT_NAME, simple replies, and the commands read, write,
flush and disconnect. Source: doc/proto.md of the NetworkBlockDevice project. One client at a time.
"""

import os
import random
import socket
import struct
import threading

SECTOR = 512
_CACHE = 16 << 20  # bytes; drives have 8 to 256 MB

_OPTION_MAGIC = 0x49484156454F5054  # "IHAVEOPT"
_OPTION_REPLY_MAGIC = 0x3E889045565A9
_EXPORT_NAME, _ABORT, _INFO, _GO = 1, 2, 6, 7
_ACK, _INFO_REPLY, _UNSUPPORTED = 1, 3, 2**31 + 1
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
_FUA = 1  # a flag of commands
_EXPORT_FLAGS = 1 | 4 | 8  # flags are valid; it flushes; it knows FUA
_EIO, _EINVAL = 5, 22


class Drive:
    """An image file behind a volatile cache. Offsets and lengths in bytes, whole sectors."""

    def __init__(self, path: str, chance: random.Random, cache: int = _CACHE) -> None:
        self.path, self._chance, self._limit = path, chance, cache // SECTOR
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size // SECTOR * SECTOR
        self.cached: dict[int, bytes] = {}  # by number of the sector: the newest content, not on the medium
        self.flushes = 0

    def read(self, offset: int, length: int) -> bytes:
        """What was written last, cached or not."""
        data = bytearray(os.pread(self._fd, length, offset))
        cached = self.cached
        if cached:
            first = offset // SECTOR
            for number in range(first, first + length // SECTOR):
                if number in cached:
                    at = (number - first) * SECTOR
                    data[at : at + SECTOR] = cached[number]
        return bytes(data)

    def write(self, offset: int, data: bytes, fua: bool = False) -> None:
        """Into the cache; with `fua` onto the medium, without what else is cached."""
        first = offset // SECTOR
        numbers = range(first, first + len(data) // SECTOR)
        for at, number in enumerate(numbers):
            self.cached[number] = data[at * SECTOR : (at + 1) * SECTOR]
        if fua:
            self._settle(list(numbers))
        elif len(self.cached) > self._limit:
            self._settle(self._chance.sample(sorted(self.cached), len(self.cached) // 2))

    def flush(self) -> None:
        """Everything that is cached onto the medium."""
        self.flushes += 1
        self._settle(sorted(self.cached))

    def cut(self) -> tuple[int, int]:
        """The power fails: of what is cached, some sectors were just written, the others never. How many of each.

        How many is chance, too: none, all, or a share between. Drives that write at leisure are near none."""
        share = self._chance.choice((0.0, 1.0, self._chance.random()))
        kept = [number for number in self.cached if self._chance.random() < share]
        self._settle(kept)
        lost = len(self.cached)
        self.cached.clear()
        return len(kept), lost

    def close(self) -> None:
        os.close(self._fd)

    def _settle(self, numbers: list[int]) -> None:
        for number in numbers:
            os.pwrite(self._fd, self.cached.pop(number), number * SECTOR)


class Server:
    """Serves a drive at a unix socket, one client after the other, in a thread of its own."""

    def __init__(self, drive: Drive, path: str) -> None:
        self.drive, self.path = drive, path
        if os.path.exists(path):
            os.unlink(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1)
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_idle(self, seconds: float = 30) -> None:
        """Until the client is gone and all that it sent has been done. Raises TimeoutError."""
        if not self._idle.wait(seconds):
            raise TimeoutError(f"{self.path}: its client does not go away")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._thread.join()
        self._listener.close()
        os.unlink(self.path)

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._idle.clear()
            with client, client.makefile("rb") as source:
                try:
                    if _shake_hands(client, source, self.drive.size):
                        _serve(client, source, self.drive)
                except (EOFError, ConnectionError):
                    pass  # killed: that is what it is for
            self._idle.set()


def _exactly(source, length: int) -> bytes:
    data = source.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _shake_hands(client: socket.socket, source, size: int) -> bool:
    """Agree on the export; whether the client wants it."""
    client.sendall(b"NBDMAGIC" + struct.pack(">QH", _OPTION_MAGIC, 1 | 2))  # fixed newstyle; no zeroes after the export
    no_zeroes = struct.unpack(">I", _exactly(source, 4))[0] & 2
    while True:
        magic, option, length = struct.unpack(">QII", _exactly(source, 16))
        if magic != _OPTION_MAGIC or length > 65536:
            raise EOFError

        def reply(kind: int, data: bytes = b"", option: int = option) -> None:
            client.sendall(struct.pack(">QIII", _OPTION_REPLY_MAGIC, option, kind, len(data)) + data)

        _exactly(source, length)  # the name: there is one export, whatever it is called
        if option == _EXPORT_NAME:
            client.sendall(struct.pack(">QH", size, _EXPORT_FLAGS) + (b"" if no_zeroes else bytes(124)))
            return True
        if option in (_GO, _INFO):
            reply(_INFO_REPLY, struct.pack(">HQH", 0, size, _EXPORT_FLAGS))
            reply(_INFO_REPLY, struct.pack(">HIII", 3, SECTOR, 4096, 32 << 20))  # block sizes: least, best, most
            reply(_ACK)
            if option == _GO:
                return True
        elif option == _ABORT:
            reply(_ACK)
            return False
        else:
            reply(_UNSUPPORTED)


def _serve(client: socket.socket, source, drive: Drive) -> None:
    """Commands until the client disconnects. Raises EOFError or ConnectionError when it just goes."""
    while True:
        magic, flags, command, cookie, offset, length = struct.unpack(">IHHQQI", _exactly(source, 28))
        if magic != _REQUEST_MAGIC or command == _DISCONNECT:
            return
        data = _exactly(source, length) if command == _WRITE else b""
        error = 0
        if command in (_READ, _WRITE) and (offset % SECTOR or length % SECTOR or offset + length > drive.size):
            error = _EINVAL
        else:
            try:
                if command == _READ:
                    data = drive.read(offset, length)
                elif command == _WRITE:
                    drive.write(offset, data, bool(flags & _FUA))
                elif command == _FLUSH:
                    drive.flush()
                else:
                    error = _EINVAL
            except OSError:
                error = _EIO
        reply = struct.pack(">IIQ", _REPLY_MAGIC, error, cookie)
        client.sendall(reply + data if command == _READ and not error else reply)
