"""A state directory on a real file system with buffers in it, and the command line on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgebit.buffer.disk import DiskBuffer
from edgebit.buffer.files import Files
from edgebit.buffer.format import HEADER_SIZE
from edgebit.buffer.reader import Reader
from edgebit.buffer.streams import Streams
from edgebit.cli import main
from edgebit.ledger import Ledger
from edgebit.plugin import Receipt
from edgebit.record import Shape, records_size
from fakes.buffers import FakeClocks, disk_buffer
from fakes.clock import FakeClock

SHAPE = Shape.of(("n", "text"))


class Rig:
    """`state` is the state directory. `config` writes a configuration with these outputs and says where."""

    def __init__(self, path: Path, capsys: Any) -> None:
        self.path, self.state, self._capsys = path, path / "state", capsys
        self.clock = FakeClock()
        self.text = "x" * 50

    def config(self, *outputs: str, disk: str = "1MiB", storage: str = "filesystem") -> str:
        text = f"[service]\nstate_dir = '{self.state}'\n[[input]]\nplugin = 'dummy'\n"
        for output in outputs:
            text += (f"[[output]]\nplugin = 'http'\nurl = 'http://127.0.0.1:9/'\nalias = '{output}'\n[output.buffer]\n"
                     f"storage = '{storage}'\ndisk = '{disk}'\n")  # fmt: skip
        path = self.path / "edgebit.toml"
        path.write_text(text)
        return str(path)

    def directory(self, output: str, name: str = "") -> Path:
        return Path(Streams(Files(), str(self.state)).of(output, name or f"dir-of-{output}"))

    def buffer(self, output: str, name: str = "", **options: Any) -> DiskBuffer:
        """The buffer of an output as its agent opens it."""
        options = {"stream_id": (output.encode().hex() * 8)[:16], "chunk_size": 4096, **options}
        return disk_buffer(Files(), str(self.directory(output, name)), clocks=FakeClocks(self.clock), **options)

    def filled(self, output: str, count: int = 100, acked: int = 0, tag: str = "t", name: str = "",
               **options: Any) -> Path:  # fmt: skip
        """The directory of a stopped agent's buffer with records from 1 to `count`, chunks up to `acked` delivered."""
        buffer = self.buffer(output, name, **options)
        self.append(buffer, tag, 1, count)
        while acked:
            chunk = buffer.read(flush=True)
            assert chunk is not None
            buffer.ack(chunk)
            acked = acked if chunk.last_seq < acked else 0
        buffer.close("stop")
        return self.directory(output)

    def append(self, buffer: DiskBuffer, tag: str, first: int, count: int, mark: tuple[str, int] | None = None) -> None:
        for start in range(first, first + count, 10):
            records = [(n * 10**9, SHAPE, (n, self.text)) for n in range(start, min(start + 10, first + count))]
            receipt = Receipt(lambda: None, (mark[0], mark[1], 0)) if mark else None  # type: ignore[arg-type]
            assert buffer.append(tag, records, records_size(records), receipt) == len(records)
        buffer.commit()
        self.clock.advance(1.5)
        buffer.commit()

    def run(self, *args: object) -> tuple[int, str, str]:
        """`edgebit buffer ARGS`: exit code, standard output and error."""
        self._capsys.readouterr()
        code = main(["buffer", *map(str, args)])
        return code, *self._capsys.readouterr()

    def lines(self, *args: object) -> list[dict[str, Any]]:
        code, out, err = self.run("cat", *args)
        assert (code, err) == (0, "")
        return [json.loads(line) for line in out.splitlines()]

    def numbers(self, *args: object) -> list[int]:
        return [line["n"] for line in self.lines(*args)]

    def ledger(self) -> list[tuple[str, str, str, int, list[list[int]]]]:
        ledger = Ledger()
        data = Files().read(str(self.state / "ledger.json"))
        assert not data or ledger.load(data)
        return [(e.who, e.reason, e.stream, e.count, e.spans) for e in ledger.entries.values()]


def places(directory: Path) -> list[tuple[Path, int, int, int]]:
    """File, offset, first sequence and count of every chunk that is whole."""
    reader = Reader(Files(), str(directory))
    found = [
        (directory / i.segment, i.at, i.header.seq, i.header.count) for i in reader.items() if hasattr(i, "payload")
    ]
    reader.close()
    return found


def flip(path: Path, at: int) -> None:
    """Flip one bit of a file."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def flip_payload(place: tuple[Path, int, int, int]) -> None:
    flip(place[0], place[1] + HEADER_SIZE + 200)


def flip_header(place: tuple[Path, int, int, int]) -> None:
    flip(place[0], place[1] + 20)


def tree(path: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below with its time of change and content."""
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(path.rglob("*")) if p.is_file()}
