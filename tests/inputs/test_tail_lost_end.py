"""A followed file that a power cut made shorter: reading goes on at the last place that is still what it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tail_rig import Rig

from edgebit.inputs import checkpoint

LINE = 100  # bytes
LINES = 2_000

Cut = Callable[[int], Rig]


def text(first: int, last: int, what: str = "line") -> str:
    return "".join(f"{what} {n}".ljust(LINE - 1) + "\n" for n in range(first, last))


@pytest.fixture
def boots(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it for another boot."""
    number = [1]
    monkeypatch.setattr(checkpoint, "boot_id", lambda: f"boot {number[0]}")

    def another() -> None:
        number[0] += 1

    return another


@pytest.fixture
def rig(tmp_path: Path, boots: Callable[[], None]) -> Iterator[Rig]:
    """A tail whose 200,000 bytes were all delivered, and which is stopped."""
    rig = Rig(tmp_path, "a.log", read_from_head=True)
    for n in range(0, LINES, 50):  # as it grows in life
        rig.write("a.log", text(n, n + 50))
        rig.run(0.2)
        rig.release()
    rig.run(1.1)
    assert len(rig.lines) == LINES
    rig.close()
    yield rig
    rig.close()


@pytest.mark.parametrize("lost", [1, 100, 5_000, 30_000])
@pytest.mark.parametrize("new", [0, LINES * 2])
def test_goes_on_near_the_cut(rig: Rig, tmp_path: Path, boots: Callable[[], None], lost: int, new: int) -> None:
    """Also when the file has already grown past the old position again."""
    os.truncate(tmp_path / "a.log", LINES * LINE - lost)
    boots()
    rig.write("a.log", "~\n" + text(0, new, "new"))
    rig.start()
    rig.run()
    came = [line.rstrip() for line in rig.lines]
    rest = (tmp_path / "a.log").read_text().split("\n")[:-1]
    assert came == [line.rstrip() for line in rest[-len(came) :]], "in order, without a hole, to the end"
    twice = len(came) - new
    assert twice * LINE <= 3 * lost + checkpoint.ANCHOR_GAP + 2 * LINE + 5_000  # the last: one batch
    assert "a.log lost its end when the machine went down; going on at byte" in rig.log
    assert rig.ctx.stats.get("shortened") == 1


def test_zeros_where_the_end_was(rig: Rig, tmp_path: Path, boots: Callable[[], None]) -> None:
    """Some file systems keep the size and lose the content."""
    with (tmp_path / "a.log").open("r+b") as file:
        file.seek(-500, os.SEEK_END)
        file.write(bytes(500))
    boots()
    rig.write("a.log", text(0, 3, "new"))
    rig.start()
    came = [line.strip(" \0") for line in rig.run()]
    assert came[-3:] == ["new 0", "new 1", "new 2"]
    assert 3 < len(came) < 300


def test_one_cut_after_the_other(rig: Rig, tmp_path: Path, boots: Callable[[], None]) -> None:
    for _ in range(2):
        os.truncate(tmp_path / "a.log", (tmp_path / "a.log").stat().st_size - 2_000)
        boots()
        rig.start()
        assert 0 < len(rig.run()) < 300
        rig.release()
        rig.close()


def test_what_outputs_had_stored_of_the_lost_end_is_not_believed(
    rig: Rig, tmp_path: Path, boots: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(tmp_path / "a.log", 180_000)
    boots()
    monkeypatch.setattr("fakes.context.FakeContext.recovered", lambda self, tag, source: [(200_000, 7), (179_000, 8)])
    rig.write("a.log", text(0, 8_000, "new"))
    rig.start()
    came = rig.run()
    assert came[-8_000].rstrip() == "new 0"


@pytest.mark.parametrize("other_boot", [False, True])
def test_truncated_on_purpose_is_read_from_its_start(
    rig: Rig, tmp_path: Path, boots: Callable[[], None], other_boot: bool
) -> None:
    """In the same boot whatever its content is; in another if it is different content."""
    if other_boot:
        boots()
        (tmp_path / "a.log").write_text(text(0, 50, "other"))
    else:
        os.truncate(tmp_path / "a.log", 5_000)
    rig.start()
    assert len(rig.run()) == 50
    assert "truncated or rewritten while edgebit was stopped" in rig.log


def test_anchors_are_few_and_ever_farther_apart() -> None:
    anchors: list[checkpoint.Anchor] = []
    for offset in range(5_000, 64 << 20, 5_000):
        checkpoint.anchored(anchors, offset, (256, offset))
        assert len(anchors) <= checkpoint.MAX_ANCHORS
        known = [0, *(at for at, _, _ in anchors)]
        assert known[-1] == offset
        for older, newer in pairwise(known):
            assert newer - older <= 3 * (offset - newer) + 5_000 * 2
