"""What systemd and the person at the keyboard see: exit codes, messages, the unit."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.harness import ROOT, Process, needs, wait_until

from edgebit.errors import ConfigError

pytestmark = [pytest.mark.slow, pytest.mark.every_python]

GOOD = """\
[[input]]
plugin = 'dummy'
rate = 1
[[output]]
plugin = 'stdout'
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("dummy", "dumy", ':2: plugin: no input is called "dumy"; did you mean "dummy"?'),
        ("rate", "rat", ':3: rat: input dummy has no such option; did you mean "rate"?'),
        ("rate = 1", "rate = 'x'", ":3: rate: must be"),
        ("plugin = 'stdout'", "", ':4: plugin: a [[output]] section needs the key "plugin"'),
        ("[[output]]", "[[ouput]]", ':4: ouput: no such section; did you mean "output"?'),
        ("rate = 1", "rate = 1 2", ":3: "),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_wrong_config_exits_78_with_file_line_key_and_the_nearest_name(tmp_path, command, old, new, said):
    path = tmp_path / "c.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    done = subprocess.run([sys.executable, "-m", "edgebit", command, "-c", str(path)], capture_output=True, text=True,
                          cwd=ROOT, timeout=20)  # fmt: skip
    assert done.returncode == 78
    assert f"edgebit: {path}{said}" in done.stderr
    assert "Traceback" not in done.stderr


@needs("systemd-analyze")
def test_unit_is_valid():
    done = subprocess.run([str(shutil.which("systemd-analyze")), "verify", str(ROOT / "systemd/edgebit.service")],
                          capture_output=True, text=True, timeout=30)  # fmt: skip
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


def test_unit_does_not_restart_on_a_config_error():
    unit = (ROOT / "systemd/edgebit.service").read_text()
    assert f"\nRestartPreventExitStatus={ConfigError.exit_code}\n" in unit
    for line in ("Type=notify", "User=edgebit", "StateDirectory=edgebit", "NoNewPrivileges=yes"):
        assert f"\n{line}\n" in unit
    assert re.search(r"^SupplementaryGroups=.*dialout", unit, re.M)
    assert re.search(r"^MemoryMax=", unit, re.M)


def starting(directory):
    """An agent that has only just begun to start: its signals wait."""
    (directory / "c.toml").write_text(GOOD)
    process = Process(directory, "run", "-c", "c.toml", env={"STATE_DIRECTORY": str(directory / "state")})
    status = Path(f"/proc/{process.process.pid}/status")
    wait_until(lambda: int(status.read_text().split("SigBlk:")[1].split()[0], 16) & 1 << signal.SIGUSR1 - 1)
    return process


def test_signals_in_the_first_moment_do_what_they_do_later(tmp_path):
    agent = starting(tmp_path)
    try:
        agent.process.send_signal(signal.SIGHUP)
        agent.process.send_signal(signal.SIGUSR1)
        agent.wait_log("input dummy.0:")  # the counters
        agent.wait_log("restart the agent to change it")
        assert agent.stop() == 0
        assert "[agent] stopped" in agent.log
        agent = starting(tmp_path)
        assert "ready" not in agent.log.partition("stopped")[2]
        assert agent.stop() == 0
        assert agent.log.count("[agent] stopped") == 2
    finally:
        agent.kill()
