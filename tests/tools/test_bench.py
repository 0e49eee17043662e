"""tools/bench: its figures are what it says they are, and a step back in the cost of a record shows.

Times are too noisy for that, so instructions are counted, relative to a bare loop in the same Python that does the job.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from benchlab import instructions, lab, meter  # noqa: E402
from benchlab.scenarios import movie_log, syslog_file_json  # noqa: E402

pytestmark = pytest.mark.slow  # runs agents, under valgrind

# About a tenth above what it was when this was written: 0.61 and 0.43.
LIMITS = ((movie_log.SCENARIO, 0.70), (syslog_file_json.SCENARIO, 0.47))


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="counted with one Python only")
@pytest.mark.skipif(
    shutil.which("valgrind") is None, reason="valgrind is not installed (tools/test installs it as root)"
)
@pytest.mark.parametrize(("scenario", "limit"), LIMITS, ids=lambda value: getattr(value, "name", None))
def test_instructions_a_record_stay_below_those_of_a_bare_loop(scenario: lab.Scenario, limit: float) -> None:
    bare = instructions.count(scenario, lab.Agent("bare loop", "baseline")).per_record
    ours = instructions.count(scenario, lab.Agent("edgebit", "edgebit")).per_record
    assert ours / bare < limit, f"{ours:.0f} instructions a record, {bare:.0f} in a bare loop"


def test_a_busy_process_is_seen_to_be_busy() -> None:
    code = "import os, time\nwhile time.process_time() < 0.5: pass\nprint(1, flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        spent, memory = meter.read(process.pid), meter.memory(process.pid)
        process.kill()
    assert 0.5 <= spent.cpu < 1.5
    assert 4e6 < memory.rss <= memory.peak < 60e6
    assert 0 < memory.pss <= memory.rss


def test_a_run_gives_a_table_and_json(tmp_path: Path) -> None:
    command = [ROOT / "tools" / "bench", "syslog_tcp_mqtt", "--only", "edgebit", "--runs", "1", "--records", "5000"]
    done = subprocess.run([sys.executable, *command, "--json", tmp_path / "out.json"], capture_output=True, text=True,
                          timeout=60, check=True)  # fmt: skip
    assert "syslog_tcp_mqtt" in done.stdout
    (result,) = [r for r in json.loads((tmp_path / "out.json").read_text())["results"] if r["program"] == "edgebit"]
    assert result["median"]["records"] == 5000
    assert result["median"]["lost"] == 0
    assert 0 < result["median"]["per_record"] < 1000
    assert result["median"]["wire"] > 5000 * 50
