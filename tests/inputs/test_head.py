"""head: bytes, lines, a field a line; files that are short, missing, none."""

from __future__ import annotations

import os

import pytest

from edgebit.inputs.head import Head
from edgebit.options import Setting, read
from fakes import FakeContext


@pytest.fixture
def ctx():
    context = FakeContext()
    yield context
    context.loop.close()


def build(ctx: FakeContext, path: object, **settings: object) -> Head:
    given = [Setting(k, v) for k, v in {"file": str(path), **settings}.items()]
    return Head(read(Head.OPTIONS, given, "head"), ctx)


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("up 12 days\nsecond\n", {}, {"head": "up 12 days\nsecond\n"}),
        ("0123456789", {"buf_size": "4", "key": "k"}, {"k": "0123"}),
        ("x" * 300, {}, {"head": "x" * 256}),
        ("", {}, {"head": ""}),
        ("a\r\nb\nc\nd", {"lines": 3}, {"head": "a\r\nb\nc\n"}),
        ("a\nb", {"lines": 3}, {"head": "a\nb"}),
        ("a\nb\n", {"lines": 2}, {"head": "a\nb\n"}),
        ("a\nb\nc\n", {"lines": 2, "split_line": "on"}, {"line0": "a", "line1": "b"}),
        ("a\n", {"lines": 2, "split_line": "on"}, {"line0": "a", "line1": ""}),
        ("", {"split_line": True}, {f"line{n}": "" for n in range(10)}),
    ],
)
def test_what_is_read(ctx, tmp_path, text, settings, expected):
    path = tmp_path / "f"
    path.write_bytes(text.encode())
    head = build(ctx, path, **settings)
    head.open()
    ctx.loop.run_for(1.5)
    assert ctx.records == [expected]
    head.close()


def test_the_path_comes_last_or_with_split_line_first(ctx, tmp_path):
    (tmp_path / "f").write_text("a\n")
    for split, keys in ((False, ["head", "path"]), (True, ["path", "line0"])):
        head = build(ctx, tmp_path / "f", add_path=True, lines=1, split_line=split)
        head.open()
        ctx.loop.run_for(1.5)
        assert list(ctx.records[-1]) == keys
        assert ctx.records[-1]["path"] == str(tmp_path / "f")
        head.close()


def test_it_is_read_anew_each_time_and_told_when_it_has_gone(ctx, tmp_path):
    path = tmp_path / "f"
    path.write_text("1")
    head = build(ctx, path, interval_sec="2")
    head.open()
    ctx.loop.run_for(3)
    path.write_text("2")
    ctx.loop.run_for(2)
    assert ctx.records == [{"head": "1"}, {"head": "2"}]
    path.unlink()
    ctx.loop.run_for(2)
    assert ctx.losses == [f"cannot read the file: No such file or directory: {path}"]
    head.close()


def test_a_fifo_does_not_make_it_wait(ctx, tmp_path):
    os.mkfifo(tmp_path / "f")
    head = build(ctx, tmp_path / "f")
    head.open()
    ctx.loop.run_for(1.5)
    assert "is not a file" in ctx.losses[0]
    head.close()
