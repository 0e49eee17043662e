"""The checkpoint file: there and back, and whatever else may stand in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.inputs import checkpoint
from edgebit.inputs.checkpoint import Damaged, Position, mark

POSITION = Position("/var/log/caf\udce9.log", 2**63, 2**40, mark(b"x" * 256), mark(b"y" * 256))


def rows(positions: list[Position]) -> list[tuple[object, ...]]:
    return [(p.path, p.ino, p.offset, p.head, p.tail) for p in positions]


@pytest.mark.parametrize("sync", [False, True])
def test_there_and_back(tmp_path: Path, sync: bool) -> None:
    path = str(tmp_path / "x")
    assert checkpoint.load(path) is None
    for positions in ([], [POSITION], [POSITION] * 3):
        checkpoint.save(path, positions, ["/a", "", "*.b"], sync)
        loaded = checkpoint.load(path)
        assert loaded is not None
        assert rows(loaded[0]) == rows(positions)
        assert loaded[1] == ["/a", "", "*.b"]
    assert os.listdir(tmp_path) == ["x"]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_bounded(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    checkpoint.save(path, [POSITION] * 10_000, [], False)
    loaded = checkpoint.load(path)
    assert loaded is not None
    assert len(loaded[0]) == checkpoint.MAX_POSITIONS


def test_failed_save_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "x")
    checkpoint.save(path, [POSITION], [], False)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, [], [], True)
    loaded = checkpoint.load(path)
    assert loaded is not None
    assert rows(loaded[0]) == rows([POSITION])


@given(st.integers(0), st.integers(0, 255), st.booleans())
def test_any_damage_is_noticed(at: int, byte: int, cut: bool) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x"
        checkpoint.save(str(path), [POSITION], ["p"], False)
        data = bytearray(path.read_bytes())
        at %= len(data)
        if cut:
            del data[at:]
        elif data[at] == byte:
            return
        else:
            data[at] = byte
        path.write_bytes(data)
        with pytest.raises(Damaged):
            checkpoint.load(str(path))


@pytest.mark.parametrize(
    "body",
    ["[]", "{}", '{"paths": [], "files": 3}', '{"paths": [], "files": [["a", 1, 2]]}', "[" * 100_000, "nonsense",
     '{"paths": [], "files": [["a", 1, 0, 5, 0, 0, 0]]}', '{"paths": [], "files": [["a", 1, 999, 5, 0, 257, 0]]}',
     '{"paths": [], "files": [["a", 1, 0.5, 0, 0, 0, 0]]}', '{"paths": [], "files": [[3, 1, 0, 0, 0, 0, 0]]}'],
)  # fmt: skip
def test_content_that_makes_no_sense(tmp_path: Path, body: str) -> None:
    """With a right checksum: written by another program, or by a bug."""
    from zlib import crc32

    path = tmp_path / "x"
    path.write_bytes(b"edgebit-tail 1 %08x\n%s" % (crc32(body.encode()), body.encode()))
    with pytest.raises(Damaged, match="makes no sense"):
        checkpoint.load(str(path))


def test_fits(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\ntwo\nthree\n")
    with path.open("rb") as file:
        fd = file.fileno()
        assert Position("", 0, 8, mark(b"one\ntwo\n"), mark(b"one\ntwo\n")).fits(fd)
        assert Position("", 0, 8, mark(b"one"), mark(b"wo\n")).fits(fd)
        assert Position("", 0, 0, mark(b""), mark(b"")).fits(fd)
        assert not Position("", 0, 8, mark(b"ONE"), mark(b"wo\n")).fits(fd)
        assert not Position("", 0, 9, mark(b"one"), mark(b"wo\n")).fits(fd)
        assert not Position("", 0, 80, mark(b"one"), mark(b"wo\n")).fits(fd)
