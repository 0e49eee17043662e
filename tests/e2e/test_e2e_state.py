"""State directories in the real world: another user's, read-only, broken or taken away while the agent runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.harness import SBIN, agent, collector, free_port, json_lines, needs, running, wait_until

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for another user, or to mount something")

CONFIG = """
[service]
flush = "50ms"
[[input]]
plugin = "dummy"
tag = "t"
rate = 100
sequence_key = "n"
[[output]]
plugin = "http"
url = "http://127.0.0.1:{port}/"
retry.first = "50ms"
retry.cap = "200ms"
[output.buffer]
storage = "filesystem"
disk = "1MiB"
"""


def command(*args):
    return subprocess.run([*map(str, args)], capture_output=True, text=True, env={**os.environ, "PATH": SBIN})


@pytest.fixture
def mount():
    """Mounts, and gives back at the end; skips the test where mounting isn't allowed."""
    places = []

    def run(*args):
        done = command("mount", *args)
        if done.returncode:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")
        places.append(args[-1])

    yield run
    for place in reversed(places):
        subprocess.run(["umount", "-l", place], check=True)


def refused(directory, user=""):
    """The log of an agent that ends with 73 and says what to do."""
    path = directory / "edgebit.toml"
    path.write_text(CONFIG.format(port=9).replace("[service]", f"[service]\nstate_dir = '{directory}/state'", 1))
    args = [sys.executable, "-m", "edgebit", "run", "-c", str(path)]
    if user:
        args = ["setpriv", f"--reuid={user}", "--clear-groups", *args]
    with running(directory, command=args) as process:
        assert process.process.wait(10) == 73, process.log
        assert "Traceback" not in process.log
        return process.log


@as_root
@needs("setpriv")
@pytest.mark.parametrize("where", ["state", "state/buffers"])
def test_directory_of_another_user_is_a_clear_error(tmp_path, where):
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    (tmp_path / "state/buffers").mkdir(parents=True)
    if where == "state/buffers":
        shutil.chown(tmp_path / "state", "nobody")
    log = refused(tmp_path, "nobody")
    assert f"{tmp_path}/{where}" in log
    assert "Permission denied" in log
    assert "agent's user" in log


@as_root
def test_read_only_file_system_at_the_start_is_a_clear_error(tmp_path, mount):
    (tmp_path / "state").mkdir()
    mount("-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path / "state")
    assert f"the state directory {tmp_path}/state can't be used: Read-only file system" in refused(tmp_path)


def goes_on(directory, port):
    """Start the agent again, with a collector: what the first one had stored arrives without a gap. How many it was."""
    with collector(directory, port), agent(directory, CONFIG.format(port=port)) as process:
        process.wait_log("records from before the start wait")
        found = int(re.findall(r"(\d+) records from before the start", process.log)[-1])
        wait_until(lambda: len(json_lines(directory / "got/t.jsonl")) > found + 10)
        assert process.stop() == 0
        assert "lost by" not in process.log
    numbers = [record["n"] for record in json_lines(directory / "got/t.jsonl")]
    assert numbers == [*range(found), *range(len(numbers) - found)]
    return found


@as_root
@needs("mkfs.ext4")
def test_file_system_that_breaks_under_the_agent_and_is_replaced(tmp_path, mount):
    """ext4 finds an error and makes itself read-only, as on a dying card. The agent goes on in memory; when something that
    works is mounted over it, what was stored on the broken one goes there, and nothing is lost."""
    state, image, port = tmp_path / "state", tmp_path / "image", free_port()
    state.mkdir()
    with open(image, "wb") as file:
        file.truncate(8 << 20)
    assert command("mkfs.ext4", "-q", "-F", image).returncode == 0
    mount("-o", "loop,errors=remount-ro", image, state)
    device = command("losetup", "-n", "-O", "NAME", "-j", image).stdout.strip()
    trigger = Path(f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error")
    if not trigger.exists():
        pytest.skip("this kernel can't break ext4 on request")
    with agent(tmp_path, CONFIG.format(port=port)) as process:
        process.wait_log("ready")
        wait_until(lambda: any(state.glob("buffers/*/000000.seg")))
        trigger.write_text("test")
        process.wait_log("Read-only file system; keeping records in memory and trying again")
        assert process.process.poll() is None
        mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", state)
        process.wait_log("is made again, with")
        process.wait_log("the disk works again")
        process.kill()
    assert goes_on(tmp_path, port) > 100


def test_state_directory_that_a_person_removes(tmp_path):
    """rm -rf of all of it under an agent with a backlog: it is made again, and a kill -9 after that loses nothing of it."""
    port = free_port()
    with agent(tmp_path, CONFIG.format(port=port)) as process:
        process.wait_log("ready")
        wait_until(lambda: any(path.read_bytes()[:4] == b"EDGB" for path in tmp_path.glob("state/buffers/*/*.seg")))
        shutil.rmtree(tmp_path / "state")
        process.wait_log("is made again, with")
        assert len(process.warnings) == 2, process.log  # this, and that the collector is away
        process.kill()
    assert goes_on(tmp_path, port) > 100
