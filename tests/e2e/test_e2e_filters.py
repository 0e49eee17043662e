"""Filters in a real process: one that prints to a reader that is slow."""

import fcntl
import subprocess
import sys
import termios

CONFIG = """
[service]
state_dir = "state"
[[input]]
plugin = "tail"
path = "big.log"
tag = "t"
read_from_head = true
exit_on_eof = true
[[filter]]
plugin = "stdout"
[[output]]
plugin = "file"
path = "out"
format = "plain"
"""
LINES = 20_000


def waiting(pipe):
    """Bytes that wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_slow_reader_of_what_a_filter_prints_gets_all_of_it_and_nothing_is_lost(tmp_path):
    (tmp_path / "edgebit.toml").write_text(CONFIG)
    (tmp_path / "big.log").write_text("".join(f"{i:060d}\n" for i in range(LINES)))
    with subprocess.Popen([sys.executable, "-m", "edgebit", "-c", "edgebit.toml"], cwd=tmp_path, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as agent:  # fmt: skip
        while waiting(agent.stdout) < 60_000:  # nobody reads until the pipe is full
            assert agent.poll() is None
        printed = agent.stdout.readlines()
        assert agent.wait(10) == 0
    assert [int(line.rsplit(b'"', 2)[1]) for line in printed] == list(range(LINES))
    assert (tmp_path / "out/t").read_text().count("\n") == LINES
