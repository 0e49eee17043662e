"""exec: lines, pieces, parsers; runs that fail, take too long or never end; exit codes."""

from __future__ import annotations

import select
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebit.errors import ConfigError
from edgebit.inputs.exec import Exec
from edgebit.options import Setting, read
from edgebit.parsers.json import Json
from fakes import FakeContext


@pytest.fixture
def ctx():
    context = FakeContext()
    yield context
    context.loop.close()


def build(ctx: FakeContext, command: str, **settings: object) -> Exec:
    return Exec(read(Exec.OPTIONS, [Setting(k, v) for k, v in {"command": command, **settings}.items()], "exec"), ctx)


def until(ctx: FakeContext, condition: Callable[[], object]) -> None:
    """Turn until the condition holds; where only the child can bring it about, the clock goes at its real pace."""
    for _ in range(5000):
        if condition():
            return
        ctx.loop.turn(longest=0)
        if not select.select([ctx.loop.selector.fileno()], [], [], 0.002)[0]:
            ctx.clock.advance(0.002)
    raise AssertionError("it didn't happen in 10 s")


def once(ctx: FakeContext, command: str, **settings: object) -> list[object]:
    """What one run of the command gives."""
    source = build(ctx, command, oneshot="true", **settings)
    source.open()
    until(ctx, lambda: ctx.ended)
    source.close()
    return [record["exec"] for record in ctx.records]


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (r"printf 'a 1\nb 2\n\nc 3\n'; echo $((40 + 2))", ["a 1", "b 2", "", "c 3", "42"]),
        (r"printf 'a\r\nlast'", ["a\r", "last"]),
        ("true", []),
        ("cat", []),  # standard input is empty
        ("printf 'é' | head -c 1", ["\udcc3"]),
        ("sh -c 'echo one; exec >&-; sleep 0.05'", ["one"]),
        ("printf '%s\\n' $(seq 50000)", [str(n) for n in range(1, 50001)]),
    ],
)
def test_a_record_a_line(ctx, command, lines):
    assert once(ctx, command) == lines


def test_a_long_line_comes_in_pieces_that_lose_nothing(ctx):
    line = "é" * 20 + "a" * 50
    pieces = once(ctx, f"printf '%s\\n%s\\n' {line} end", buf_size=17)
    assert "".join(pieces[:-1]) == line
    assert pieces[-1] == "end"
    assert {len(piece.encode()) for piece in pieces[:-2]} == {16}


def test_what_the_parser_does_not_take_is_kept(ctx):
    source = build(ctx, "echo '{\"v\":1}'; echo oops", oneshot=True)
    source.opt.parser = Json("json", read(Json.OPTIONS, [], "parser"))
    source.open()
    until(ctx, lambda: ctx.ended)
    assert ctx.records == [{"v": 1}, {"exec": "oops"}]
    assert ctx.stats.get("unparsed") == 1
    source.close()


@pytest.mark.parametrize(
    ("command", "propagate", "code"),
    [("exit 7", True, 7), ("exit 7", False, 0), ("kill -TERM $$", True, 143), ("true", True, 0)],
)
def test_the_end_of_a_oneshot(ctx, command, propagate, code):
    once(ctx, command, exit_after_oneshot=True, propagate_exit_code=propagate)
    assert (ctx.exited, ctx.status) == (True, code)


def test_without_exit_after_oneshot_only_the_input_ends(ctx):
    once(ctx, "exit 3")
    assert not ctx.exited
    assert ctx.stats.get("failed") == 1


@pytest.mark.parametrize("settings", [{"exit_after_oneshot": True}, {"oneshot": True, "propagate_exit_code": True}])
def test_options_without_effect_are_refused(ctx, settings):
    with pytest.raises(ConfigError, match="needs"):
        build(ctx, "true", **settings)


def test_at_an_interval(ctx):
    source = build(ctx, "echo x", interval_sec=10)
    source.open()
    ctx.loop.run_for(9)
    assert ctx.records == []
    for n in range(1, 4):
        assert 1000 + 10 * n - 1 <= ctx.clock.now < 1000 + 10 * n + 1
        ctx.loop.run_for(1)  # to the timer at least
        until(ctx, lambda n=n: ctx.stats.get("runs") == n)
        ctx.loop.run_for(1000 + 10 * n + 9 - ctx.clock.now)
    assert ctx.records == [{"exec": "x"}] * 3
    source.pause()
    ctx.loop.run_for(50)
    assert ctx.stats.get("runs") == 3
    source.close()


def gone(group: int) -> bool:
    """No process of the group runs; a dead one that nobody has waited for yet doesn't count."""
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats.append(path.read_text().rpartition(")")[2].split())
        except OSError:  # it has just ended
            continue
    return not any(int(fields[2]) == group and fields[0] != "Z" for fields in stats)


@pytest.mark.parametrize("command", ["sleep 60", "trap '' TERM; echo; sleep 60", "sleep 60 & echo $$"])
def test_a_run_that_takes_too_long_is_ended_with_all_that_it_started(ctx, command):
    source = build(ctx, command, timeout=5, interval_sec=2)
    source.open()
    ctx.loop.run_for(2)
    group = source._run._process.pid
    until(ctx, lambda: "trap" not in command or ctx.records)
    ctx.loop.run_for(4.5)
    until(ctx, lambda: ctx.stats.get("runs") or ctx.loop.run_for(0.5))
    assert ctx.stats.get("failed") == 1
    assert ctx.stats.get("skipped") >= 2
    assert sum("takes longer than the interval" in line for line in ctx.lines if "WARN" in line.upper()) == 1
    source.close()
    until(ctx, lambda: gone(group))


def test_stop_hands_over_what_was_printed_and_ends_the_command(ctx):
    source = build(ctx, "echo whole; printf part; sleep 60", oneshot=True)
    source.open()
    until(ctx, lambda: len(ctx.records) == 1 and not ctx.loop.turn(longest=0))
    process = source._run._process
    source.stop()
    assert [record["exec"] for record in ctx.records] == ["whole", "part"]
    assert process.returncode is not None
    until(ctx, lambda: gone(process.pid))
    source.close()


def test_paused_it_lets_the_command_wait(ctx):
    source = build(ctx, "yes", oneshot=True, timeout=3)
    source.open()
    until(ctx, lambda: ctx.records)
    source.pause()
    before = len(ctx.records)
    ctx.loop.run_for(5)
    assert len(ctx.records) == before
    source.resume()  # and it was not ended for taking too long
    until(ctx, lambda: len(ctx.records) > before)
    source.close()
