"""docs/buffers.md names every option with its default, and every reason of a loss that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgebit.options import shown
from edgebit.sender import BUFFER_OPTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/buffers.md").read_text()
SOURCES = [ROOT / "edgebit" / name for name in ("sender.py", "agent.py", "buffer_moves.py")]
SOURCES += sorted((ROOT / "edgebit/buffer").glob("*.py"))


@pytest.mark.parametrize("option", BUFFER_OPTIONS, ids=lambda option: option.name)
def test_option_with_its_default(option):
    rows = re.findall(rf"^\| `{option.name} = (.*?)` \|", PAGE, re.MULTILINE)
    assert [row.strip('"').removesuffix("s") for row in rows] == [shown(option).removesuffix("s")]


def test_no_option_that_isn_t_there():
    assert set(re.findall(r"^\| `(\w+) = ", PAGE, re.MULTILINE)) == {option.name for option in BUFFER_OPTIONS}


def test_every_reason():
    said = {
        reason
        for path in SOURCES
        for reason in re.findall(r"(?:lost|_skip|close|append)\(\(?(?:[\w.]+, )?\"([a-z ,_]{7,})\"", path.read_text())
    }
    assert len(said) >= 9, said
    table = PAGE.partition("| reason |")[2].partition("\n## ")[0]
    for reason in said:
        assert reason in table, reason
