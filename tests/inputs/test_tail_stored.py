"""Tail after a crash with buffers on disk: it goes on exactly behind what each output has stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tail_rig import Rig

from edgebit.inputs.checkpoint import mark

CONTENT = "".join(f"line {n}\n" for n in range(100)).encode()


def stored(path: Path, *positions: int, check: int | None = None) -> dict[str, list[tuple[int, int]]]:
    data = path.read_bytes()
    found = [
        (at, mark(data[max(0, at - 256) : at])[1] if check is None else check) if at >= 0 else (-1, 0)
        for at in positions
    ]
    return {f"plugin.0:{path.stat().st_ino}": found}


def line(n: int) -> int:
    """Where line n begins."""
    return len("".join(f"line {i}\n" for i in range(n)))


@pytest.fixture
def rig(tmp_path, monkeypatch):
    """Starts a tail whose outputs have stored the file up to the given positions."""
    path = tmp_path / "a.log"
    path.write_bytes(CONTENT)
    rigs = []

    def make(*positions: int, check: int | None = None, **options: Any) -> Rig:
        known = stored(path, *positions, check=check)
        monkeypatch.setattr(
            "fakes.context.FakeContext.recovered", lambda self, tag, source: known.get(source, [(-1, 0)])
        )
        rigs.append(Rig(tmp_path, **{"read_from_head": True, **options}))
        return rigs[-1]

    yield make
    for one in rigs:
        one.close()


def test_reading_goes_on_behind_what_is_stored(rig):
    assert rig(line(40)).run() == [f"line {n}" for n in range(40, 100)]


def test_everything_is_stored_already(rig):
    r = rig(len(CONTENT))
    assert r.run() == []
    r.write("a.log", "more\n")
    assert r.run(0.3) == ["more"]


def test_nothing_is_known(rig):
    assert len(rig(-1).run()) == 100


def test_position_whose_content_is_another_is_not_used(rig):
    assert len(rig(line(40), check=12345).run()) == 100


def test_position_beyond_the_end_is_not_used(rig, tmp_path):
    r = rig(len(CONTENT) + 50, check=1)
    assert len(r.run()) == 100


def test_outputs_that_differ_get_batches_that_end_where_each_of_them_is(rig):
    """The smallest position is read from; a batch never crosses another one, and says what may be stored already."""
    r = rig(line(40), line(10), line(70))
    assert r.run() == [f"line {n}" for n in range(10, 100)]
    seen = [(receipt.mark[1], receipt.again) for receipt in r.ctx.receipts]
    assert seen == [(line(40), True), (line(70), True), (len(CONTENT), False)]


def test_output_that_knows_nothing_gets_everything(rig):
    r = rig(line(40), -1)
    assert len(r.run()) == 100
    assert [(receipt.mark[1], receipt.again) for receipt in r.ctx.receipts] == [(line(40), True), (len(CONTENT), False)]
