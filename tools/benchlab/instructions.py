"""Instructions a record, which are the same on a busy machine: valgrind counts them for two sizes of the same job, and the
difference is what the records cost, without start and stop."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

from benchlab.lab import Agent, Failed, Run, Scenario, edgebit

SMALL, LARGE = 2_000, 12_000
_COUNT = re.compile(r"I\s+refs:\s+([\d,]+)")


@dataclass
class Count:
    scenario: str
    program: str
    per_record: float


def count(scenario: Scenario, agent: Agent) -> Count:
    """Of a scenario that ends by itself (`whole`). Raises Failed."""
    totals = [_total(scenario, agent, records) for records in (SMALL, LARGE)]
    return Count(scenario.name, agent.name, (totals[1] - totals[0]) / (LARGE - SMALL))


def _total(scenario: Scenario, agent: Agent, records: int) -> int:
    run = Run(scenario, agent, records)
    try:
        scenario.prepare(run)
        config = run.dir / scenario.config_name(agent.kind)
        config.write_text(scenario.config(agent.kind, run))
        command = [*edgebit(), "-c", str(config)] if agent.kind == "edgebit" else [sys.executable, str(config)]
        env = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}
        valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        found = subprocess.run([*valgrind, *command], cwd=run.dir, env=env, capture_output=True, text=True, timeout=300,
                               stdin=subprocess.DEVNULL, check=False)  # fmt: skip
        total = _COUNT.search(found.stderr)
        if found.returncode or total is None or scenario.delivered(run) != records:
            raise Failed(f"{agent.name} under valgrind:\n{found.stderr[-3000:]}")
        return int(total[1].replace(",", ""))
    finally:
        run.close()


def main(scenarios: list[Scenario]) -> int:
    if not shutil.which("valgrind"):
        print("valgrind is not here (on Debian: apt-get install valgrind)", file=sys.stderr)
        return 1
    for scenario in scenarios:
        if not scenario.whole:
            print(f"{scenario.name}: instructions are counted only for jobs that end by themselves", file=sys.stderr)
            continue
        agents = [Agent("bare loop", "baseline")] if "baseline" in scenario.kinds else []
        counts = [count(scenario, agent) for agent in (*agents, Agent("edgebit", "edgebit"))]
        for found in counts:
            ratio = f"  {found.per_record / counts[0].per_record:.3f}" if len(counts) > 1 else ""
            print(f"{found.scenario}  {found.program:<10} {found.per_record:9.0f} instructions a record{ratio}")
    return 0
