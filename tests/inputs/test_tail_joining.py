"""Tail of lines that belong together: what is joined, when it comes, and that nothing of it is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tail_rig import Rig

from edgebit.errors import ConfigError
from edgebit.inputs.tail import Tail
from edgebit.inputs.tail_legacy import DockerMode, FirstLine
from edgebit.options import Setting, read
from edgebit.parsers.json import Json
from edgebit.parsers.multiline import Definition
from edgebit.parsers.regex import Regex
from edgebit.record import to_dict
from fakes import FakeContext

Start = Callable[..., Rig]


def parser(regex: str, **options: Any) -> Regex:
    return Regex("p", read(Regex.OPTIONS, [Setting("regex", regex), *(Setting(*o) for o in options.items())], "parser"))


def is_plus(text: str) -> bool:
    return text.startswith("+")


def is_begin(text: str) -> bool:
    return text.startswith("BEGIN")


BLOCK = Definition(
    "block", rules=[(("start_state",), is_begin, "cont"), (("cont",), is_plus, "cont")], flush_timeout=4.0
)


@pytest.fixture
def start(start: Start, tmp_path: Path) -> Start:
    def make(path: str = "*.log", joined: dict[str, Any] | None = None, **options: Any) -> Rig:
        for name in ("a.log", "b.log"):  # so that lines are seen at once, not when names are looked for
            (tmp_path / name).touch()
        return start(path, joined={"multiline_parser": [BLOCK]} if joined is None else joined, **options)

    return make


def test_blocks_are_joined_over_reads_and_a_waiting_one_is_flushed(start: Start) -> None:
    rig = start(path_key="file", offset_key="at", buffer_chunk_size=64)
    rig.write("a.log", "BEGIN a\n+ 1\n")
    rig.write("b.log", "BEGIN z\n")
    assert rig.run(1) == []
    rig.write("a.log", "+ 2\nalone\nBEGIN b\n+ 3")
    assert rig.run(0.5) == ["BEGIN a\n+ 1\n+ 2\n", "alone\n"]
    assert rig.run(5) == ["BEGIN a\n+ 1\n+ 2\n", "alone\n", "BEGIN z\n", "BEGIN b\n"]
    rig.write("a.log", " end\nBEGIN c\n")
    rig.run(0.5)
    assert list(rig.ctx.records[0]) == ["log", "file", "at"]
    assert [r["at"] for r in rig.ctx.records] == [0, 16, 0, 22, 30]
    assert rig.run(5)[-2:] == ["+ 3 end\n", "BEGIN c\n"]


def test_times_are_those_of_first_lines(start: Start) -> None:
    rig = start()
    rig.write("a.log", "BEGIN a\n")
    rig.run(0.5)
    then = rig.ctx.clock.wall_ns()
    rig.write("a.log", "+ 1\n")
    rig.run(5)
    assert rig.ctx.emitted[0][1][0][0] < then


@pytest.mark.parametrize("released", [True, False])
def test_killed_with_half_a_block(start: Start, released: bool) -> None:
    """The position is released only up to where the block begins."""
    rig = start()
    rig.write("a.log", "one\nBEGIN a\n+ 1\n")
    assert rig.run(1) == ["one\n"]
    if released:
        rig.release()
    rig.run(1.9)
    rig.kill()
    rig.write("a.log", "+ 2\nend\n")
    rig.start()
    assert rig.run(5) == ["one\n"] * (not released) + ["BEGIN a\n+ 1\n+ 2\n", "end\n"]


def test_position_waits_for_the_older_of_two_blocks(start: Start) -> None:
    """A record that is complete may have begun behind one that is not."""
    cri = Definition("cri", "equal", match_string="F", key_content="log", key_pattern="_p", key_group="stream",
                     flush_timeout=60, parser=parser(r"^(?<stream>\w+) (?<_p>\w) (?<log>.*)$"))  # fmt: skip
    rig = start(joined={"multiline_parser": [cri]})
    rig.write("a.log", "out P a\nerr F 1\n")
    rig.run(1)
    rig.write("a.log", "err F 2\nerr P x\n")
    assert rig.run(1) == ["1", "2"]
    rig.release()
    rig.run(2)
    rig.kill()
    rig.write("a.log", "out F b\nerr F y\n")
    rig.start()
    assert rig.run(1) == ["1", "2", "ab", "xy"]
    rig.release()
    rig.restart()
    assert rig.run() == []


@pytest.mark.parametrize("ending", ["stop", "rotate", "truncate", "eof"])
def test_half_a_block_is_handed_over_at_the_end(start: Start, tmp_path: Path, ending: str) -> None:
    (tmp_path / "a.log").write_text("BEGIN a\n+ 1\n+ 2")
    rig = start("a.log", rotate_wait=1, exit_on_eof=ending == "eof")
    rig.run(0.3)
    if ending == "stop":
        rig.tail.stop()
    elif ending == "rotate":
        os.rename(tmp_path / "a.log", tmp_path / "a.log.1")
        rig.run(1.9)
    elif ending == "truncate":
        os.truncate(tmp_path / "a.log", 0)
        rig.write("a.log", "new\n")
        rig.run(0.3)
    expected = ["BEGIN a\n+ 1\n" if ending in ("stop", "truncate") else "BEGIN a\n+ 1\n+ 2\n"]
    assert rig.lines == expected + ["new\n"] * (ending == "truncate")
    assert rig.ctx.exited == (ending == "eof")
    if ending == "stop":
        rig.release()
        rig.close()
        rig.write("a.log", "\n")
        rig.start()
        assert rig.run(5) == ["+ 2\n"], "not again what was handed over"


def test_nothing_is_handed_over_while_paused(start: Start) -> None:
    rig = start()
    rig.write("a.log", "BEGIN a\n")
    rig.run(1)
    rig.tail.pause()
    rig.write("a.log", "+ 1\n")
    assert rig.run(20) == []
    rig.tail.resume()
    assert rig.run(1) == [], "what was written meanwhile continues it"
    assert rig.run(5) == ["BEGIN a\n+ 1\n"]


def test_what_outputs_stored_differently_is_read_from_the_smaller_position(start: Start, tmp_path: Path) -> None:
    rig = start()
    rig.write("a.log", "BEGIN a\n+ 1\n" * 3)
    rig.run()
    assert [receipt.again for receipt in rig.ctx.receipts] == [False] * len(rig.ctx.receipts)


# -- the older ways ----------------------------------------------------------------------------------------------------

WHEN = r"^(?<n>\d+) (?<text>.*)"


def texts(done: tuple[list[Any], list[Any]]) -> list[dict[str, Any]]:
    return [to_dict(record) for record in done[0]]


@pytest.mark.parametrize(
    ("lines", "records"),
    [
        (["1 a", " b", "", "c", "2 d"], [{"n": 1, "text": "a\n b\n\nc"}, {"n": 2, "text": "d"}]),
        (["before", "1 a", "more"], [{"log": "before"}, {"n": 1, "text": "a\nmore"}]),
        (["1 a", "k=v", "tail", "k=w"], [{"n": 1, "text": "a", "k": "w"}]),  # of equal names the last counts
        (["1 ", "x"], [{"n": 1, "log": "x"}]),  # an empty field is none
        (["loose"], [{"log": "loose"}]),
    ],
)
@pytest.mark.parametrize("each", [False, True])
def test_first_line(lines: list[str], records: list[dict[str, Any]], each: bool) -> None:
    joiner = FirstLine(parser(WHEN, types="n:integer"), [parser("^k=(?<k>.*)")], 4.0, "log")
    done = []
    for part in [[line] for line in lines] if each else [lines]:
        done += texts(joiner.feed(part, 1, 0.0))
    assert joiner.flush(3.9)[0] == []
    assert done + texts(joiner.flush(4.0)) == records
    assert joiner.oldest is None


def test_first_line_in_tail(start: Start) -> None:
    rig = start(joined={"multiline": True, "parser_firstline": parser(WHEN)}, path_key="file", multiline_flush=1)
    rig.write("a.log", "loose\n1 a\n\n more\n")
    rig.run(5)
    assert [list(r) for r in rig.ctx.records] == [["file", "log"], ["file", "n", "text"]]
    assert rig.ctx.records[1]["text"] == "a\n\n more"


def test_docker_mode() -> None:
    lines = ['{"log":"a ","stream":"stdout","time":"t1"}', '{"log":"b\\n","stream":"stdout","time":"t2"}', "no json",
             '{"log":"\\u00e9\\n","stream":"stderr","time":"t3"}', '{"log":"c","stream":"stdout","time":"t4"}']  # fmt: skip
    joiner = DockerMode(4.0, None, None, "log")
    done = joiner.feed(lines, 1, 0.0, range(5))
    assert [r["log"] for r in texts(done)] == [
        '{"log":"a b\\n","stream":"stdout","time":"t2"}',"no json",
        '{"log":"é\\n","stream":"stderr","time":"t3"}']  # fmt: skip
    assert joiner.oldest == 4
    json = Json("docker", read(Json.OPTIONS, [], "parser"))
    joiner = DockerMode(4.0, parser(r"^(?<first>\S)"), json, "log")
    got = texts(joiner.feed([lines[0], lines[1], '{"log":"  at x\\n"}', lines[3]], 1, 0.0))
    assert got == [{"log": "a b\n  at x\n"}]
    assert texts(joiner.flush()) == [{"log": "é\n", "stream": "stderr", "time": "t3"}]


def test_multiline_without_a_first_line_is_an_error() -> None:
    opt = read(Tail.OPTIONS, [Setting("path", "x"), Setting("multiline", "on")], "input tail")
    ctx = FakeContext()
    with pytest.raises(ConfigError, match="first lines"):
        Tail(opt, ctx)  # type: ignore[arg-type]  # the fake's emit takes what a context's does
    ctx.loop.close()
