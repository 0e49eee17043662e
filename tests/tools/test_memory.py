"""What the agent takes of the machine's memory: at rest, and in an outage no more on top than its limit and the work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trustme

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from benchlab.memory import MIB, Case, measure

pytestmark = [
    pytest.mark.slow,  # an agent at rest, 3 s each, and one that fills its buffers, 10 s
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="measured with one Python only"),
]
TOLERANCE = MIB // 2  # of the kernel's account, and of where the allocator happens to put things


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_agent_at_rest_takes_22_megabytes_and_26_with_tls(tmp_path: Path, tls: bool) -> None:
    """19.2 and 25.1 without bytecode when this was written; the rest is for other machines' libraries."""
    files = None
    if tls:
        ca = trustme.CA()
        files = (tmp_path / "ca.pem", tmp_path / "broker.pem")
        ca.cert_pem.write_to_path(str(files[0]))
        ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(files[1]))
    figures = measure(Case(8 * MIB), files, outage=False)
    assert 15e6 < figures.rest < (26e6 if tls else 22e6)


@pytest.mark.parametrize("case", [
    Case(4 * MIB, "hybrid", disk=4 * MIB),
    Case(4 * MIB, "memory", "drop_oldest", service='memory_limit = "5MiB"', buffer=False),
], ids=lambda case: f"{case.storage}-{case.overflow}")  # fmt: skip
def test_an_outage_takes_the_limit_and_a_mebibyte_for_the_work(case: Case) -> None:
    figures = measure(case)
    assert figures.sent > 4 * MIB  # it was full
    assert 2 * MIB < figures.growth < case.memory + MIB + TOLERANCE
