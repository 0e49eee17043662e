"""The sentence of README and docs/buffers.md, as a test: what a power cut and a kill -9 cost at most."""

from __future__ import annotations

import pytest

from edgebit.record import Shape, records_size
from fakes.buffers import FakeClocks, disk_buffer
from fakes.files import SimFiles

SHAPE = Shape.of(("n",))
STEP = 0.05  # seconds between two records, and between two turns of the loop


def lose(storage: str, how: str, after: float, seed: int = 0, **options) -> tuple[float, float]:
    """A record every STEP seconds to a collector that is away, then a cut or kill. The age of the oldest record that was
    lost, and of the oldest one whose source had not been told that it is safe, in seconds."""
    from edgebit.plugin import Receipt

    sim, clocks = SimFiles(seed), FakeClocks()
    options = {"spill": storage == "hybrid", "stream_id": "11" * 8, **options}
    buffer = disk_buffer(sim, "/d", clocks=clocks, disk=1 << 20, **options)
    began, safe = clocks.monotonic(), set()
    n = 0
    while clocks.monotonic() - began < after:
        records = [(n, SHAPE, (n,))]
        receipt = Receipt(lambda n=n: safe.add(n))
        assert buffer.append("t", records, records_size(records), receipt) == 1
        receipt.release()
        buffer.commit()
        n += 1
        clocks.clock.advance(STEP)
        deadline = buffer.deadline
        if deadline is not None and deadline <= STEP:
            buffer.commit()  # the owner's timer
    sim.cut() if how == "cut" else sim.kill()
    again = disk_buffer(sim, "/d", clocks=clocks, disk=1 << 20, **{**options, "stream_id": "22" * 8})
    found = set()
    while (chunk := again.read()) is not None:
        found |= {record[2][0] for record in chunk.records}
    assert safe <= found, "a source was told that it may forget what is lost now"
    lost = [i for i in range(n) if i not in found]
    untold = [i for i in range(n) if i not in safe]
    return max(((n - i) * STEP for i in lost), default=0.0), max(((n - i) * STEP for i in untold), default=0.0)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("storage", "bound"), [("hybrid", 6.0), ("filesystem", 1.2)])
def test_power_cut_costs_no_more_than_the_bound(storage, bound, seed):
    """hybrid: spill_after (5 s) and sync (1 s); filesystem: 0.2 s and sync."""
    lost, untold = lose(storage, "cut", 7.0 + seed * 0.37, seed)
    assert lost <= bound + 2 * STEP
    assert untold <= bound + 2 * STEP


@pytest.mark.parametrize(("storage", "bound"), [("hybrid", 5.0), ("filesystem", 0.2)])
def test_kill_costs_no_more_than_what_was_not_written_yet(storage, bound):
    for after in (7.0, 7.8, 8.6):
        assert lose(storage, "kill", after)[0] <= bound + 2 * STEP


def test_bounds_follow_their_options():
    assert lose("hybrid", "cut", 5.0, spill_after=1.0, sync=0.5)[0] <= 1.5 + 2 * STEP
    assert lose("filesystem", "cut", 5.0, sync=0)[0] <= 2 * STEP


def test_bound_is_not_met_by_accident():
    """A hybrid buffer that has not spilled yet has nothing on disk."""
    assert lose("hybrid", "kill", 4.0)[0] == pytest.approx(4.0, abs=2 * STEP)
