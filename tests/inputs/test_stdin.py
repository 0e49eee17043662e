"""stdin: pipes, terminals, files and /dev/null; JSON, lines, parsers; the end."""

from __future__ import annotations

import os
import select
import sys
import tty

import pytest

from edgebit.inputs.stdin import Stdin, event
from edgebit.options import Options, Setting, read
from edgebit.plugin import Parser, SourceError
from edgebit.record import Shape, to_dict
from fakes import FakeContext

NOW = 1_767_225_600 * 10**9


@pytest.fixture
def ctx():
    context = FakeContext()
    yield context
    context.loop.close()


@pytest.fixture
def pipe():
    """Both ends; a test closes the writing one by setting it to -1."""
    ends = list(os.pipe())
    yield ends
    for fd in ends:
        if fd >= 0:
            os.close(fd)


def end(pipe: list[int]) -> None:
    os.close(pipe[1])
    pipe[1] = -1


def stdin(ctx: FakeContext, fd: int, parser: Parser | None = None, **settings: object) -> Stdin:
    opt = read(Stdin.OPTIONS, [Setting(k, v) for k, v in settings.items()], "input stdin")
    opt.parser = parser
    return Stdin(opt, ctx, fd)


def settle(ctx: FakeContext, turns: int = 10) -> None:
    for _ in range(turns):
        ctx.loop.turn(longest=0)


def fill(fd: int) -> None:
    while True:
        os.write(fd, b"x" * 4095 + b"\n")


SENT = b'{"a":1}\nplain text\n\n{"b":{"c":[1,null]}}{"d":2}\r\n[1.5,{"e":3}]\n{"broken":\n[[7,{}],{"f":4}]\nlast'
GOT = [{"a": 1}, {"log": "plain text"}, {"b": {"c": [1, None]}}, {"d": 2}, {"e": 3}, {"log": '{"broken":'}, {"f": 4},
       {"log": "last"}]  # fmt: skip


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_pipe_however_it_is_cut(ctx, pipe, step):
    source = stdin(ctx, pipe[0])
    source.open()
    for i in range(0, len(SENT), step):
        os.write(pipe[1], SENT[i : i + step])
        settle(ctx, 2)
    assert ctx.records == GOT[: len(ctx.records)]  # "last" may be what shows that the object before is broken
    assert len(ctx.records) >= 5
    end(pipe)
    ctx.loop.run_until(lambda: ctx.ended)
    assert ctx.records == GOT
    assert ctx.stats.get("unparsed") == 3
    source.close()


def test_times(ctx, pipe):
    source = stdin(ctx, pipe[0])
    source.open()
    os.write(pipe[1], b'{"a":1}\n[5,{"a":1}]\n[[5.25,{"m":1}],{"a":1}]\n')
    settle(ctx)
    assert [record[0] for record in ctx.emitted[0][1]] == [ctx.clock.wall, 5 * 10**9, 5_250_000_000]
    assert [record[1].metadata for record in ctx.emitted[0][1]] == [{}, {}, {"m": 1}]
    assert ctx.emitted[0][2] == len(b'{"a":1}\n[5,{"a":1}]\n[[5.25,{"m":1}],{"a":1}]\n')
    source.close()


@pytest.mark.parametrize(
    "value",
    [[], [1], [1, 2], [{"a": 1}, 1], ["1", {"a": 1}], [True, {}], [-1, {}], [1e300, {}], [10**30, {}], [[], {}],
     [[None], {}], [[1, 2], {}], [1, {}, {}], [float("inf"), {}], 5, "x", None],
)  # fmt: skip
def test_what_is_no_event(value):
    assert event(value, NOW) is None


@pytest.mark.parametrize(
    ("seconds", "nanoseconds"), [(1700000000.25, 250_000_000), (1700000000.1, 99_999_904), (1700000001.0, 0)]
)
def test_the_fraction_of_a_time_is_exactly_the_doubles(seconds, nanoseconds):
    assert event([seconds, {}], NOW)[0] == int(seconds) * 10**9 + nanoseconds


def test_an_empty_object_is_a_record_without_fields():
    assert to_dict(event({}, NOW)) == {}


@pytest.mark.parametrize("size", [0, 1, 65536, 200_000])
def test_a_regular_file_is_read_a_block_a_turn_to_its_end(ctx, tmp_path, size):
    (tmp_path / "in").write_bytes((b'{"n":1}\n' * (size // 8 + 1))[:size])
    fd = os.open(tmp_path / "in", os.O_RDONLY)
    source = stdin(ctx, fd)
    source.open()
    ctx.loop.run_until(lambda: ctx.ended, seconds=1)
    assert ctx.ended
    assert sum(raw for _, _, raw in ctx.emitted) == size - (0 if size % 8 == 0 else size)
    assert len(ctx.records) == -(-size // 8)
    assert max([raw for _, _, raw in ctx.emitted], default=0) <= 65536
    source.close()
    os.close(fd)


def test_dev_null_is_an_end_at_once(ctx):
    fd = os.open("/dev/null", os.O_RDONLY)
    source = stdin(ctx, fd)
    source.open()
    ctx.loop.run_until(lambda: ctx.ended, seconds=1)
    assert ctx.ended
    assert ctx.records == []
    source.resume()  # harmless: there is nothing to read any more
    source.close()
    os.close(fd)


def test_a_terminal_stays_blocking_and_ends_when_it_hangs_up(ctx):
    master, slave = os.openpty()
    tty.setraw(slave)
    source = stdin(ctx, slave)
    source.open()
    os.write(master, b"typed\n")
    assert select.select([slave], [], [], 10)[0]  # a terminal's bytes arrive in a thread of the kernel's
    settle(ctx)
    assert ctx.records == [{"log": "typed"}]
    assert os.get_blocking(slave)  # the shell has the same open file
    os.close(master)
    ctx.loop.run_until(lambda: ctx.ended or ctx.losses, seconds=1)
    assert ctx.ended or ctx.losses
    before = ctx.loop.turns
    ctx.loop.run_for(100)
    assert ctx.loop.turns - before <= 2  # a dead terminal is readable for ever
    source.close()
    os.close(slave)


def test_control_d_is_the_end(ctx):
    master, slave = os.openpty()
    source = stdin(ctx, slave)
    source.open()
    os.write(master, b"x\n\x04")
    assert select.select([slave], [], [], 10)[0]
    ctx.loop.run_until(lambda: ctx.ended, seconds=1)
    assert ctx.records == [{"log": "x"}]
    source.close()
    os.close(master)
    os.close(slave)


def test_paused_the_writer_waits(ctx, pipe):
    source = stdin(ctx, pipe[0])
    source.open()
    source.pause()
    os.set_blocking(pipe[1], False)
    with pytest.raises(BlockingIOError):
        fill(pipe[1])
    settle(ctx)
    assert not ctx.emitted
    source.resume()
    settle(ctx, 100)
    assert len(ctx.records) >= 16
    source.close()


def test_a_pause_while_a_file_is_handed_over(ctx, tmp_path):
    (tmp_path / "in").write_bytes(b"x\n" * 200_000)
    fd = os.open(tmp_path / "in", os.O_RDONLY)
    source = stdin(ctx, fd)
    plain = ctx.emit
    ctx.emit = lambda *args: (plain(*args), source.pause())
    source.open()
    settle(ctx, 50)
    assert len(ctx.emitted) == 1
    source.resume()
    settle(ctx, 50)
    assert len(ctx.emitted) == 2
    source.close()
    os.close(fd)


class Upper(Parser):
    def parse(self, line, now_ns):
        return (now_ns, Shape.of(("up",)), (line.upper(),)) if line.isalpha() else None


def test_a_parser_gets_the_lines_even_if_they_are_json(ctx, pipe):
    source = stdin(ctx, pipe[0], Upper("upper", Options()))
    source.open()
    os.write(pipe[1], b'abc\n{"a":1}\n')
    settle(ctx)
    assert ctx.records == [{"up": "ABC"}, {"log": '{"a":1}'}]
    assert ctx.stats.get("unparsed") == 1
    source.close()


def test_a_long_line_is_cut_and_counted(ctx, pipe):
    source = stdin(ctx, pipe[0], buffer_size="1KiB")
    source.open()
    os.write(pipe[1], b"y" * 5000 + b"\nnext\n")
    settle(ctx)
    assert ctx.records == [{"log": "y" * 1024}, {"log": "next"}]
    assert ctx.stats.get("truncated") == 1
    source.close()


def test_stop_hands_over_what_was_read(ctx, pipe):
    source = stdin(ctx, pipe[0])
    source.open()
    os.write(pipe[1], b"half a l")
    settle(ctx)
    source.stop()
    assert ctx.records == [{"log": "half a l"}]
    source.close()
    source.close()


def test_closed_standard_input_is_a_missing_source(ctx, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="standard input is closed"):
        stdin(ctx, 0).open()
