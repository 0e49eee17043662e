"""edgebit buffer on a real agent whose collector is away: while it runs, after kill -9, and under another name."""

import json
import subprocess
import sys

import pytest
from e2e.harness import ROOT, agent, collector, free_port, json_lines, wait_until

pytestmark = pytest.mark.slow

CONFIG = """
[service]
flush = "100ms"
[[input]]
plugin = "dummy"
rate = 100
tag = "t"
[[output]]
plugin = "http"
alias = "{name}"
url = "http://127.0.0.1:{port}/"
retry.first = "100ms"
retry.cap = "500ms"
[output.buffer]
storage = "filesystem"
disk = "2MiB"
"""


def buffer(directory, *args):
    """Exit code, standard output and error of `edgebit buffer ARGS`."""
    done = subprocess.run([sys.executable, "-m", "edgebit", "buffer", *map(str, args)], cwd=ROOT, capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_backlog_is_seen_while_the_agent_runs_and_delivered_under_another_name(tmp_path):
    port = free_port()
    state, config = tmp_path / "state", tmp_path / "edgebit.toml"

    def stored():
        code, out, err = buffer(tmp_path, "cat", "old", "-c", config)
        assert (code, err) == (0, "")
        return [(line["stream"], line["sequence"]) for line in map(json.loads, out.splitlines())]

    with agent(tmp_path, CONFIG.format(name="old", port=port)) as process:
        process.wait_log("cannot deliver")
        wait_until(lambda: len(stored()) > 200)
        for verb in ("ls", "stat", "verify"):
            assert buffer(tmp_path, verb, "-c", config)[0] == 0
        assert f"by process {process.process.pid}" in buffer(tmp_path, "stat", state)[1]
        code, _, err = buffer(tmp_path, "replay", "old", "--to", "old", "-c", config)
        assert (code, "replay needs a stopped agent" in err) == (73, True)
        process.kill()
        waiting = stored()
    assert waiting == [(waiting[0][0], n) for n in range(1, len(waiting) + 1)]
    config.write_text(config.read_text().replace('"old"', '"new"'))
    assert "(orphan)" in buffer(tmp_path, "ls", "-c", config)[1]
    code, out, err = buffer(tmp_path, "replay", "old", "--to", "new", "-c", config)
    assert (code, err) == (0, "")
    assert f"{len(waiting)} records of old wait for new now" in out
    with collector(tmp_path, port) as collecting, agent(tmp_path, CONFIG.format(name="new", port=port)) as process:
        wait_until(lambda: len(json_lines(tmp_path / "got/t.jsonl")) > len(waiting))
        assert process.stop() == 0
        assert collecting.stop() == 0
    assert f"stream {waiting[0][0]}: {len(waiting)} records, 0 duplicates, none missing" in collecting.out
    assert "is not configured" not in process.log
