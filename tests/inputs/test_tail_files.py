"""One file: where lines end, whole, a byte at a time, with bytes left over; and what is safe."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.inputs.checkpoint import Position, mark
from edgebit.inputs.tail_files import NotRegular, Progress, Rewritten, TailedFile, line_start, open_regular


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


class Reading:
    """A file that is read as it is written."""

    def __init__(self, path: Path, size: int = 65536, limit: int = 100) -> None:
        self.path, self.size, self.limit = path, size, limit
        path.touch()
        fd, state = open_regular(str(path))
        self.file = TailedFile(str(path), "t", fd, (state.st_dev, state.st_ino), 0, lambda: None)
        self.got: list[tuple[bytes, int]] = []

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)
        self.file.at_end = False
        while not self.file.at_end:
            data, taken = self.file.read(self.size, self.limit)
            if taken:
                self.got.append((data, taken))
                self.file.advance(data, taken)

    @property
    def text(self) -> bytes:
        return b"".join(data if data.endswith(b"\n") else data + b"~\n" for data, _ in self.got)


@pytest.fixture
def reading(path: Path) -> Iterator[Reading]:
    found = Reading(path)
    yield found
    found.file.close()


CASES = [
    (b"one\ntwo\n", b"one\ntwo\n"),
    (b"\n\n\n", b"\n\n\n"),
    (b"x" * 100 + b"\n", b"x" * 100 + b"\n"),
    (b"x" * 101 + b"\nnext\n", b"x" * 100 + b"~\nnext\n"),
    (b"a\n" + b"x" * 500 + b"\n\nb\n", b"a\n" + b"x" * 100 + b"~\n\nb\n"),
    (b"caf\xc3\xa9\n\xff\n", b"caf\xc3\xa9\n\xff\n"),
]


@pytest.mark.parametrize(("data", "lines"), CASES)
@pytest.mark.parametrize("size", [64, 65536])
@pytest.mark.parametrize("left_over", [b"", b"rest", b"r" * 150])
def test_whole_with_bytes_left_over(reading: Reading, data: bytes, lines: bytes, size: int, left_over: bytes) -> None:
    reading.size = size
    reading.write(data + left_over)
    assert reading.text == lines
    assert sum(taken for _, taken in reading.got) == len(data) == reading.file.offset


@pytest.mark.parametrize(("data", "lines"), CASES)
def test_a_byte_at_a_time(reading: Reading, data: bytes, lines: bytes) -> None:
    for i in range(len(data)):
        reading.write(data[i : i + 1])
    assert reading.text == lines
    assert reading.file.offset == len(data)
    with reading.path.open("rb") as file:
        assert reading.file.position().offset == 0
        assert Position("", 0, len(data), mark(reading.file.head), mark(reading.file.tail)).fits(file.fileno())


@given(st.lists(st.binary(max_size=300).map(lambda b: b.replace(b"\n", b"")), max_size=30),
       st.integers(64, 400), st.integers(64, 200), st.randoms())  # fmt: skip
def test_any_lines_in_any_pieces(lines: list[bytes], size: int, limit: int, rng: random.Random) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        reading = Reading(Path(directory) / "a.log", size, limit)
        data = b"".join(line + b"\n" for line in lines)
        at = 0
        while at < len(data):
            step = rng.randint(1, 200)
            reading.write(data[at : at + step])
            at += step
        reading.file.close()
        got = [line for block, taken in reading.got for line in block.removesuffix(b"\n").split(b"\n")]
        assert len(got) == len(lines)
        for line, whole in zip(got, lines):
            if len(whole) <= limit:
                assert line == whole
            else:
                assert whole.startswith(line)
                assert limit - 3 <= len(line) <= limit
        assert reading.file.offset == len(data)


def test_rest_is_the_line_without_end(reading: Reading) -> None:
    reading.write(b"one\ntwo")
    assert reading.file.rest(100) == (b"two", 3)
    reading.write(b"x" * 200)
    assert reading.file.rest(100) == (b"two" + b"x" * 97, 203)
    reading.write(b"\n")
    assert reading.file.rest(100) == (b"", 0)


def test_rest_that_got_its_end_just_now(reading: Reading) -> None:
    reading.write(b"two")
    with reading.path.open("ab") as file:
        file.write(b"\nmore")
    assert reading.file.rest(100) == (b"", 0)
    assert not reading.file.at_end


def test_other_bytes_before_the_position(reading: Reading) -> None:
    reading.write(b"one\ntwo\n")
    reading.path.write_bytes(b"one\n2wo\nthree\n")
    with pytest.raises(Rewritten):
        reading.file.read(100, 100)
    reading.file.rewind()
    reading.write(b"")
    assert reading.text == b"one\ntwo\none\n2wo\nthree\n"


def test_found_again_under_another_name(reading: Reading) -> None:
    reading.write(b"one\n")
    reading.file.close()
    reading.path.rename(reading.path.with_name("b"))
    reading.file.reopen()
    assert os.pread(reading.file.fd, 10, 0) == b"one\n"
    reading.file.close()
    reading.path.with_name("b").unlink()
    with pytest.raises(FileNotFoundError):
        reading.file.reopen()


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in (tmp_path / "fifo", tmp_path, "/dev/null"):
        with pytest.raises(NotRegular):
            open_regular(str(name))


def test_progress_is_the_prefix() -> None:
    moves: list[int] = []
    progress = Progress(0, (0, 0), lambda: moves.append(progress.offset))
    receipts = [progress.add(end, b"x" * end, "tail.0:7", False) for end in (10, 20, 30)]
    receipts[1].hold()
    for i in (2, 0, 1):
        receipts[i].release()
    assert (moves, progress.complete) == ([10], False)
    receipts[1].release()
    assert (moves, progress.complete, progress.tail) == ([10, 30], True, mark(b"x" * 30))


@pytest.mark.parametrize(
    ("content", "start"),
    [(b"", 0), (b"a\n", 2), (b"a\nb", 2), (b"abc", 0), (b"x" * 200, 200), (b"x\n" + b"y" * 99, 2), (b"x\n" * 80, 160)],
)
def test_start_at_the_end(path: Path, content: bytes, start: int) -> None:
    path.write_bytes(content)
    with path.open("rb") as file:
        assert line_start(file.fileno(), len(content), 100) == start
