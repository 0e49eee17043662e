"""What the agent takes of the machine's memory: at rest, and in an outage no more on top than its limit and the work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from benchlab.memory import MIB, Case, measure

pytestmark = [
    pytest.mark.slow,  # an agent that fills its buffers, 10 s each
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="measured with one Python only"),
]
TOLERANCE = MIB // 2  # of the kernel's account, and of where the allocator happens to put things


@pytest.mark.parametrize("case", [
    Case(4 * MIB, "hybrid", disk=4 * MIB),
    Case(4 * MIB, "memory", "drop_oldest", service='memory_limit = "5MiB"', buffer=False),
], ids=lambda case: f"{case.storage}-{case.overflow}")  # fmt: skip
def test_an_outage_takes_the_limit_and_a_mebibyte_for_the_work(case: Case) -> None:
    figures = measure(case)
    assert figures.rest < 22e6
    assert figures.sent > 4 * MIB  # it was full
    assert 2 * MIB < figures.growth < case.memory + MIB + TOLERANCE
