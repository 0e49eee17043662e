"""proc, health and random."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgebit.inputs.health import Health
from edgebit.inputs.proc import SIZES, Proc
from edgebit.inputs.random import Random
from edgebit.net import listen
from edgebit.options import Setting, read
from fakes import FakeContext


@pytest.fixture
def ctx():
    context = FakeContext()
    yield context
    context.loop.close()


def build(cls, ctx: FakeContext, **settings: object):
    return cls(read(cls.OPTIONS, [Setting(k, v) for k, v in settings.items()], "input"), ctx)


def process(root: Path, pid: int, command: bytes, status: str = "") -> None:
    (root / str(pid) / "fd").mkdir(parents=True)
    (root / str(pid) / "cmdline").write_bytes(command)
    (root / str(pid) / "status").write_text(status)
    for fd in range(3):
        (root / str(pid) / "fd" / str(fd)).touch()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(Proc, "PROC", str(tmp_path))
    process(
        tmp_path, 7, b"/usr/sbin/crond\0-n\0", "Name:\tcrond\nVmPeak:\t    6084 kB\nVmRSS:\t    3000 kB\nThreads:\t1\n"
    )
    process(tmp_path, 10, b"crond\0")
    process(tmp_path, 9, b"")
    (tmp_path / "self").mkdir()
    return tmp_path


def test_a_process_that_runs_and_one_that_ends(ctx, root):
    proc = build(Proc, ctx, proc_name="crond")
    proc.open()
    ctx.loop.run_for(1.5)
    sizes = {f"mem.{name}": 0 for name in SIZES} | {"mem.VmPeak": 6_084_000, "mem.VmRSS": 3_000_000}
    assert ctx.records == [{"alive": True, "proc_name": "crond", "pid": 7, **sizes, "fd": 3}]
    assert list(ctx.records[0]) == ["alive", "proc_name", "pid", *(f"mem.{name}" for name in SIZES), "fd"]
    (root / "7" / "cmdline").unlink()
    ctx.loop.run_for(1)
    assert ctx.records[1]["pid"] == 10
    (root / "10" / "cmdline").unlink()
    ctx.loop.run_for(1)
    nothing = {f"mem.{name}": 0 for name in SIZES}
    assert ctx.records[2] == {"alive": False, "proc_name": "crond", "pid": -1, **nothing, "fd": 0}
    proc.close()


def test_alert_only_when_it_does_not_run(ctx, root):
    for name in ("crond", "sshd"):
        proc = build(Proc, ctx, proc_name=name, alert="on", mem="off", fd="off")
        proc.open()
        ctx.loop.run_for(1.5)
        proc.close()
    assert ctx.records == [{"alive": False, "proc_name": "sshd", "pid": -1}]


def test_this_very_process(ctx):
    name = Path("/proc/self/cmdline").read_bytes().partition(b"\0")[0].decode().rpartition("/")[2]
    proc = build(Proc, ctx, proc_name=name)
    proc.open()
    ctx.loop.run_for(1.5)
    assert ctx.records[0]["alive"]
    assert ctx.records[0]["mem.VmRSS"] > 1_000_000 or ctx.records[0]["pid"] != os.getpid()
    proc.close()


def test_health_of_a_server_that_goes_away(ctx):
    bound = listen.tcp("127.0.0.1", 0)
    port = bound.sock.getsockname()[1]
    health = build(Health, ctx, host="127.0.0.1", port=port, add_host="on", add_port="on")
    health.open()
    ctx.loop.run_until(lambda: len(ctx.records) == 2)
    bound.close()
    ctx.loop.run_until(lambda: len(ctx.records) == 3)
    health.close()
    assert ctx.records == [{"alive": alive, "hostname": "127.0.0.1", "port": port} for alive in (True, True, False)]


def test_health_alerts_only(ctx):
    bound = listen.tcp("127.0.0.1", 0)
    health = build(Health, ctx, host="127.0.0.1", port=bound.sock.getsockname()[1], alert=True)
    health.open()
    ctx.loop.run_for(5)
    assert ctx.records == []
    bound.close()
    ctx.loop.run_until(lambda: ctx.records)
    assert ctx.records == [{"alive": False}]
    health.close()


def test_random_numbers_and_their_end(ctx):
    source = build(Random, ctx, samples=3, interval_sec=2)
    source.open()
    ctx.loop.run_for(30)
    assert ctx.ended
    numbers = [record["rand_value"] for record in ctx.records]
    assert len(set(numbers)) == 3
    assert all(0 <= number < 2**64 for number in numbers)
