"""Configurations that a person, an editor or a card has spoilt: a clear error or a good start, never a traceback.

Good ones are cut off at every third byte, and each of their lines is spoilt in six of many ways: left out, doubled, cut,
changed, moved; each time the agent is built of what is there, if it can be. All is the same in every run.
"""

import random
from pathlib import Path

import pytest

from edgebit.agent import Agent
from edgebit.config import load
from edgebit.errors import ConfigError
from edgebit.log import Sink
from fakes.clock import fake_loop

HERE = Path(__file__).parent
GOOD = {name: (HERE / name).read_bytes() for name in ("good.conf", "good.toml", "good-parsers.conf")}
PIECES = [b"[", b"]", b'"', b"'", b"${", b"}", b"\\", b"(", b"*", b"#", b"-1", b"9" * 25]
VALUES = [b"-1", b"0", b"nan", b"1e999", b"{}", b"[1]", b"true", b"9" * 5000]


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """Builds an agent of a text, or finds an error that says where; True if it can be built."""
    monkeypatch.chdir(tmp_path)
    for name, data in GOOD.items():
        (tmp_path / name).write_bytes(data)
    env = {"SITE": "porto", "STATE_DIRECTORY": str(tmp_path)}

    def attempt(name, data):
        (tmp_path / name).write_bytes(data)
        main = "good.conf" if name == "good-parsers.conf" else name
        loop = fake_loop()
        try:
            Agent(load(main, env), env, Sink(write=lambda line: None), loop)
        except ConfigError as error:
            for line in str(error).split("\n"):
                assert line.startswith(tuple(f"{one}:" for one in GOOD)), line
                assert "\0" not in line
            return False
        finally:
            loop.close()
        return True

    return attempt


def lines_mutated(data, rng):
    """Texts with one line spoilt."""
    lines = data.split(b"\n")
    for i, line in enumerate(lines):
        around = lines[:i], lines[i + 1 :]
        at = rng.randrange(len(line) + 1)
        spoilt = [
            [], [line, line], [line[:at]], [line[at:]], [b" " * 8 + line], [line.lstrip()], [line + b"\r"], [line + b" x"],
            [line.replace(b" ", b"")], [line.replace(b" ", b"\t")], [line.replace(b"=", b"")], [line.upper()],
            [line[:at] + bytes([rng.randrange(256)]) + line[at + 1 :]], [line[:at] + b"\0" + line[at:]],
            [line[:at] + rng.choice(PIECES) + line[at:]], [line.rpartition(b" ")[0] + b" " + rng.choice(VALUES)],
            [rng.choice(lines)],
        ]  # fmt: skip
        for new in rng.sample(spoilt, 6):
            yield b"\n".join([*around[0], *new, *around[1]])


@pytest.mark.parametrize("name", GOOD)
def test_good_ones_are_good(attempt, name):
    assert attempt(name, GOOD[name])


@pytest.mark.slow  # some seconds of building agents
@pytest.mark.parametrize("name", GOOD)
def test_cut_off_anywhere(attempt, name):
    data = GOOD[name]
    assert {attempt(name, data[:end]) for end in range(0, len(data), 3)} == {True, False}


@pytest.mark.slow  # some seconds of building agents
@pytest.mark.parametrize("name", GOOD)
def test_a_line_spoilt(attempt, name):
    outcomes = [attempt(name, data) for data in lines_mutated(GOOD[name], random.Random(4))]
    assert 0.2 < sum(outcomes) / len(outcomes) < 0.9  # both happen a lot
