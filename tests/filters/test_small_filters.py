"""stdout, sysinfo and expect."""

import json
import os

import pytest

from edgebit import __version__
from edgebit.errors import ConfigError
from edgebit.record import Shape, from_dict
from fakes.context import FakeFilterContext
from fakes.filters import filtered, make_filter


def test_stdout_prints_as_fluent_bit_does_and_changes_nothing():
    ctx = FakeFilterContext()
    made = make_filter("stdout", ctx=ctx)
    fields = {"s": 'a"b', "n": 5, "f": 1.5, "b": True, "x": None, "m": {"k": [1, "2"]}, "bad": "\udcff"}
    records = [from_dict(1_700_000_000_123_456_789, fields), (5, Shape.of(("a",), {"src": "x"}), (1,))]
    assert made.process("my.tag", records) is records
    assert ctx.output == (
        b'[0] my.tag: [1700000000.123456789, {}, {"s"=>"a"b", "n"=>5, "f"=>1.500000, "b"=>true, "x"=>nil, '
        b'"m"=>{"k"=>[1, "2"]}, "bad"=>"\xff"}]\n[1] my.tag: [0.000000005, {"src"=>"x"}, {"a"=>1}]\n'
    )
    assert make_filter("stdout", ctx=ctx).idle


def test_sysinfo_adds_what_is_asked_for():
    settings = [("hostname_key", "host"), ("fluentbit_version_key", "v"), ("os_name_key", "os"), ("Kernel_Version_Key", "k"),
                ("os_version_key", "ov")]  # fmt: skip
    expected = [
        ("v", __version__),
        ("os", "linux"),
        ("host", "host"),
        ("ov", os.uname().version),
        ("k", os.uname().release),
    ]
    assert filtered("sysinfo", settings, [{"a": 1}, {"host": "old", "b": 2}]) == [
        [("a", 1), *expected],
        [("b", 2), *expected],
    ]
    with pytest.raises(ConfigError, match="nothing to add"):
        make_filter("sysinfo")


R = {"a": 1, "n": None, "s": "x", "m": {"k": "v"}}


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        (("key_exists", "a"), ""),
        (("key_exists", "$m['k']"), ""),
        (("key_exists", "no"), "no is not there"),
        (("key_not_exists", "no"), ""),
        (("key_not_exists", "$m['k']"), "$m['k'] is there"),
        (("key_val_is_null", "n"), ""),
        (("key_val_is_null", "a"), "a is not null"),
        (("key_val_is_null", "no"), "no is not there"),
        (("key_val_is_not_null", "a"), ""),
        (("key_val_is_not_null", "n"), "n is null"),
        (("key_val_eq", "s x"), ""),
        (("key_val_eq", "$m['k'] v"), ""),
        (("key_val_eq", "a 1"), ""),
        (("key_val_eq", "s y z"), "s is not y z"),
    ],
)
def test_expect_rules(rule, wrong):
    ctx = FakeFilterContext()
    assert filtered("expect", [rule], [R], ctx=ctx) == [list(R.items())]
    assert len(ctx.lines) == bool(wrong) == ctx.stats.get("failed")
    if wrong:
        assert f"a record of t is not as expected: {wrong}: {json.dumps(R)}" in ctx.lines[0]
    result = filtered("expect", [rule, ("action", "result_key"), ("result_key", "ok")], [R, {**R, "ok": 0}])
    assert result == [[("ok", not wrong), *R.items()]] * 2


def test_expect_exit_stops_the_agent_once_and_keeps_the_records():
    ctx = FakeFilterContext()
    assert len(filtered("expect", [("key_exists", "q"), ("action", "exit")], [R, R], ctx=ctx)) == 2
    assert ctx.status == 255
    assert len(ctx.lines) == 1


def test_expect_does_not_fill_the_log():
    ctx = FakeFilterContext()
    made = make_filter("expect", ("key_exists", "q"), ctx=ctx)
    for _ in range(2):
        made.process("t", [from_dict(0, R)] * 100)
    assert len(ctx.lines) == 10
    ctx.loop.run_for(61)
    made.process("t", [from_dict(0, R)])
    assert len(ctx.lines) == 11
    assert ctx.stats.get("failed") == 201
