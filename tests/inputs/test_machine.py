"""cpu, mem, disk and netif: psutil reads files of ours instead of the kernel's, so each figure is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from edgebit.inputs.cpu import Cpu
from edgebit.inputs.disk import Disk
from edgebit.inputs.mem import Mem, readable
from edgebit.inputs.netif import Netif
from edgebit.options import Setting, read
from edgebit.plugin import SourceError
from fakes import FakeContext

TICK = 1 / os.sysconf("SC_CLK_TCK")


class Proc:
    """A /proc of a few files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "net").mkdir()

    def cpu(self, *cores: tuple[int, ...]) -> None:
        """Ticks of user, nice, system, idle, iowait, irq, softirq, steal for each core."""
        total = [sum(column) for column in zip(*cores)]
        rows = [("cpu", total), *((f"cpu{n}", core) for n, core in enumerate(cores))]
        text = "".join(f"{name} {' '.join(map(str, ticks))} 0 0\n" for name, ticks in rows)
        (self.root / "stat").write_text(text + "intr 1\n")

    def mem(self, **kib: int) -> None:
        rows = {**kib, "Shmem": 1, "Active": 1, "Inactive": 1}  # psutil warns when these are missing
        (self.root / "meminfo").write_text("".join(f"{name}: {value} kB\n" for name, value in rows.items()))
        (self.root / "vmstat").write_text("pswpin 0\npswpout 0\n")

    def disks(self, **sectors: tuple[int, int]) -> None:
        rows = (f"8 0 {name} 1 0 {r} 0 1 0 {w} 0 0 0 0 0 0 0 0 0 0\n" for name, (r, w) in sectors.items())
        (self.root / "diskstats").write_text("".join(rows))

    def net(self, **columns: tuple[int, ...]) -> None:
        rows = (f"{name:>6}: {' '.join(map(str, values))}\n" for name, values in columns.items())
        (self.root / "net" / "dev").write_text("Inter-| ...\n face | ...\n" + "".join(rows))


@pytest.fixture
def proc(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    return Proc(tmp_path)


@pytest.fixture
def ctx():
    context = FakeContext()
    yield context
    context.loop.close()


def build(cls, ctx, **settings):
    return cls(read(cls.OPTIONS, [Setting(k, v) for k, v in settings.items()], cls.NAME), ctx)


def ticks(seconds: float) -> int:
    return round(seconds / TICK)


# -- cpu -------------------------------------------------------------------------------------------------------------


def test_cpu_over_all_cores_and_for_each(proc, ctx):
    idle = (0, 0, 0, 0, 0, 0, 0, 0)
    proc.cpu(idle, idle)
    cpu = build(Cpu, ctx)
    cpu.open()
    #         user        nice        system      idle iowait    irq        softirq    steal
    proc.cpu((ticks(0.3), ticks(0.1), ticks(0.2), 40, ticks(5), ticks(0.1), ticks(0.1), ticks(9)), idle)
    ctx.loop.run_for(1)
    assert ctx.records == [
        {"cpu_p": 40.0, "user_p": 20.0, "system_p": 20.0, "cpu0.p_cpu": 80.0, "cpu0.p_user": 40.0,
         "cpu0.p_system": 40.0, "cpu1.p_cpu": 0.0, "cpu1.p_user": 0.0, "cpu1.p_system": 0.0}
    ]  # fmt: skip
    assert list(ctx.records[0])[:4] == ["cpu_p", "user_p", "system_p", "cpu0.p_cpu"]
    assert all(type(value) is float for value in ctx.records[0].values())
    assert ctx.emitted[0][0] == "tag"
    assert ctx.emitted[0][1][0][0] == ctx.clock.wall
    cpu.close()


def test_cpu_measures_the_time_that_went_by(proc, ctx):
    """The loop was held up for 3 s: 2 s of work are 50 % of 4 s, not 200 % of 1 s."""
    proc.cpu((0,) * 8)
    cpu = build(Cpu, ctx)
    cpu.open()
    proc.cpu((ticks(2), 0, 0, 0, 0, 0, 0, 0))
    ctx.clock.advance(4)
    ctx.loop.run_until(lambda: ctx.emitted)
    assert ctx.records[0]["cpu_p"] == 50.0
    cpu.close()


def test_cpu_counters_that_go_back_or_race_ahead(proc, ctx):
    proc.cpu((ticks(5), 0, ticks(5), 0, 0, 0, 0, 0))
    cpu = build(Cpu, ctx)
    cpu.open()
    proc.cpu((ticks(1), 0, ticks(90), 0, 0, 0, 0, 0))
    ctx.loop.run_for(1)
    assert set(ctx.records[0].values()) == {0.0, 100.0}
    cpu.close()


def test_cpu_core_switched_off_and_on(proc, ctx):
    core = (0,) * 8
    proc.cpu(core, core)
    cpu = build(Cpu, ctx)
    cpu.open()
    proc.cpu(core)
    ctx.loop.run_for(1)
    assert ctx.records == []
    ctx.loop.run_for(1)
    assert [len(r) for r in ctx.records] == [6]
    proc.cpu(core, core)
    ctx.loop.run_for(2)
    assert [len(r) for r in ctx.records] == [6, 9]
    cpu.close()


def test_cpu_of_one_process(ctx):
    cpu = build(Cpu, ctx, pid=os.getpid())
    cpu.open()
    ctx.loop.run_for(1)
    assert list(ctx.records[0]) == ["cpu_p", "user_p", "system_p"]
    assert all(0 <= value <= 100 for value in ctx.records[0].values())
    cpu.close()


@pytest.mark.parametrize("cls", [Cpu, Mem])
def test_a_process_that_ends_and_one_that_is_not_there(cls, ctx):
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        sampler = build(cls, ctx, pid=child.pid)
        sampler.open()
        ctx.loop.run_for(1)
        assert len(ctx.records) == 1
        child.stdin.write(b"\n")
        child.stdin.close()
        child.wait()
    ctx.loop.run_until(lambda: ctx.losses)
    assert str(child.pid) in ctx.losses[0]
    sampler.close()
    with pytest.raises(SourceError, match=str(child.pid)):
        sampler.open()


# -- mem -------------------------------------------------------------------------------------------------------------


def test_mem_in_kib_and_used_is_all_that_is_not_free(proc, ctx):
    proc.mem(MemTotal=1000, MemFree=300, MemAvailable=700, Buffers=100, Cached=200, SwapTotal=50, SwapFree=20)
    mem = build(Mem, ctx)
    mem.open()
    ctx.loop.run_for(1)
    assert ctx.records == [
        {"Mem.total": 1000, "Mem.used": 700, "Mem.free": 300, "Swap.total": 50, "Swap.used": 30, "Swap.free": 20}
    ]
    assert all(type(value) is int for value in ctx.records[0].values())
    mem.close()


def test_mem_without_proc_is_a_missing_source(proc, ctx):
    mem = build(Mem, ctx)
    mem.open()
    ctx.loop.run_until(lambda: ctx.losses)
    assert ctx.losses[0].startswith("cannot read the memory figures: No such file or directory")
    mem.close()


def test_mem_of_one_process(ctx):
    mem = build(Mem, ctx, pid=os.getpid())
    mem.open()
    ctx.loop.run_for(1)
    record = ctx.records[0]
    assert list(record)[-2:] == ["proc_bytes", "proc_hr"]
    assert record["proc_bytes"] > 2**20
    assert record["proc_hr"] == readable(record["proc_bytes"])
    mem.close()


@pytest.mark.parametrize(
    ("size", "text"), [(512, "512b"), (1536, "1.5K"), (12_897_485, "12.3M"), (3 * 2**30, "3.0G"), (2**50, "1024.0T")]
)
def test_readable(size, text):
    assert readable(size) == text


# -- disk ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def blocks(tmp_path, monkeypatch):
    """A card with two partitions, a USB disk with one, an NVMe disk, and what lives on top of them."""
    root = tmp_path / "sys"
    links = root / "class"
    links.mkdir(parents=True)
    for name, place in {
        "mmcblk0": "devices/platform/mmc/block/mmcblk0",
        "mmcblk0p1": "devices/platform/mmc/block/mmcblk0/mmcblk0p1",
        "sda": "devices/usb/block/sda",
        "sda1": "devices/usb/block/sda/sda1",
        "nvme0n1": "devices/pci/nvme/nvme0/nvme0n1",
        "loop0": "devices/virtual/block/loop0",
        "dm-0": "devices/virtual/block/dm-0",
    }.items():
        folder = root / place
        folder.mkdir(parents=True)
        if name.endswith(("p1", "a1")):
            (folder / "partition").write_text("1\n")
        (links / name).symlink_to(folder)
    monkeypatch.setattr(Disk, "SYS", str(links))


ALL = {"mmcblk0": (10, 20), "mmcblk0p1": (10, 20), "sda": (1, 2), "sda1": (1, 2), "nvme0n1": (100, 200),
       "loop0": (5000, 5000), "dm-0": (7000, 7000)}  # fmt: skip


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(
    ("dev_name", "read_sectors", "written_sectors"),
    [
        (None, 111, 222),
        ("mmcblk0", 10, 20),
        ("mmcblk0p1", 10, 20),
        ("sd*", 1, 2),  # the partition is part of the disk
        ("sda?", 1, 2),
        ("dm-0", 7000, 7000),
    ],
)
def test_disk_counts_nothing_twice(proc, ctx, dev_name, read_sectors, written_sectors):
    proc.disks(**dict.fromkeys(ALL, (0, 0)))
    disk = build(Disk, ctx, **({"dev_name": dev_name} if dev_name else {}))
    disk.open()
    proc.disks(**ALL)
    ctx.loop.run_for(2)
    assert ctx.records == [
        {"read_size": read_sectors * 512, "write_size": written_sectors * 512},
        {"read_size": 0, "write_size": 0},
    ]
    disk.close()


@pytest.mark.usefixtures("blocks")
def test_disk_unplugged_and_back_with_counters_from_zero(proc, ctx):
    proc.disks(sda=(1000, 1000), mmcblk0=(10, 10))
    disk = build(Disk, ctx)
    disk.open()
    proc.disks(mmcblk0=(11, 10))
    ctx.loop.run_for(1)
    proc.disks(sda=(4, 4), mmcblk0=(12, 10))
    ctx.loop.run_for(1)
    proc.disks(sda=(5, 6), mmcblk0=(3, 3))
    ctx.loop.run_for(1)
    assert ctx.records == [
        {"read_size": 512, "write_size": 0},
        {"read_size": 512, "write_size": 0},
        {"read_size": 512, "write_size": 1024},
    ]
    disk.close()


@pytest.mark.usefixtures("blocks")
def test_disk_that_is_not_there_names_those_that_are(proc, ctx):
    proc.disks(sda=(0, 0))
    with pytest.raises(SourceError, match="no disk is named sdb; block devices here: sda"):
        build(Disk, ctx, dev_name="sdb").open()
    proc.disks(loop0=(0, 0))
    with pytest.raises(SourceError, match="there is no physical disk"):
        build(Disk, ctx).open()


@pytest.mark.usefixtures("blocks")
def test_disk_named_goes_away(proc, ctx):
    proc.disks(sda=(0, 0), mmcblk0=(0, 0))
    disk = build(Disk, ctx, dev_name="sda")
    disk.open()
    proc.disks(mmcblk0=(0, 0))
    ctx.loop.run_until(lambda: ctx.losses)
    assert "no disk is named sda" in ctx.losses[0]
    assert ctx.records == []
    disk.close()


# -- netif -----------------------------------------------------------------------------------------------------------


def columns(rx: int, tx: int) -> tuple[int, ...]:
    """rx and tx bytes, packets a tenth of them, and every other column a digit of its own."""
    return (rx, rx // 10, 2, 3, 4, 5, 6, 7, tx, tx // 10, 8, 9, 10, 11, 12, 13)


def test_netif_by_exact_name(proc, ctx):
    proc.net(lo=columns(0, 0), eth1=columns(100, 200), eth10=columns(0, 0))
    netif = build(Netif, ctx, interface="eth1", test_at_init="on")
    netif.open()
    proc.net(lo=columns(9, 9), eth1=columns(150, 300), eth10=columns(7, 7))
    ctx.loop.run_for(1)
    assert ctx.records == [
        {"eth1.rx.bytes": 50, "eth1.rx.packets": 5, "eth1.rx.errors": 0,
         "eth1.tx.bytes": 100, "eth1.tx.packets": 10, "eth1.tx.errors": 0}
    ]  # fmt: skip
    netif.close()


def test_netif_without_a_name_is_all_but_the_loopback(proc, ctx):
    proc.net(lo=columns(0, 0), eth0=columns(0, 0), wlan0=columns(0, 0))
    netif = build(Netif, ctx)
    netif.open()
    proc.net(lo=columns(9, 9), eth0=columns(1, 0), wlan0=columns(2, 0))
    ctx.loop.run_for(1)
    assert [next(iter(record.items())) for record in ctx.records] == [("eth0.rx.bytes", 1), ("wlan0.rx.bytes", 2)]
    netif.close()


def test_netif_that_comes_goes_and_counts_from_zero(proc, ctx):
    proc.net(eth0=columns(0, 0))
    netif = build(Netif, ctx)
    netif.open()
    proc.net(eth0=columns(0, 0), wwan0=columns(5000, 0))  # appears: what it had before is not of this interval
    ctx.loop.run_for(1)
    proc.net(eth0=columns(0, 0), wwan0=columns(5100, 0))
    ctx.loop.run_for(1)
    proc.net(eth0=columns(0, 0))
    ctx.loop.run_for(1)
    proc.net(eth0=columns(0, 0), wwan0=columns(3, 0))
    ctx.loop.run_for(1)
    proc.net(eth0=columns(0, 0), wwan0=columns(2, 0))  # wrapped or reset
    ctx.loop.run_for(1)
    assert [r["wwan0.rx.bytes"] for r in ctx.records if "wwan0.rx.bytes" in r] == [100, 0]
    assert not ctx.losses
    netif.close()


def test_netif_verbose_has_all_columns(proc, ctx):
    proc.net(eth0=(0,) * 16)
    netif = build(Netif, ctx, verbose=True)
    netif.open()
    proc.net(eth0=tuple(range(1, 17)))
    ctx.loop.run_for(1)
    assert {k.removeprefix("eth0."): v for k, v in ctx.records[0].items()} == {
        "rx.bytes": 1, "rx.packets": 2, "rx.errors": 3, "rx.drop": 4, "rx.fifo": 5, "rx.frame": 6,
        "rx.compressed": 7, "rx.multicast": 8, "tx.bytes": 9, "tx.packets": 10, "tx.errors": 11, "tx.drop": 12,
        "tx.fifo": 13, "tx.collisions": 14, "tx.carrier": 15, "tx.compressed": 16,
    }  # fmt: skip
    netif.close()


def test_netif_missing_at_open_and_later(proc, ctx):
    proc.net(eth0=columns(0, 0))
    with pytest.raises(SourceError, match="network interface wwan0 is not there; there are: eth0"):
        build(Netif, ctx, interface="wwan0").open()
    netif = build(Netif, ctx, interface="eth0")
    netif.open()
    proc.net(lo=columns(0, 0))
    ctx.loop.run_until(lambda: ctx.losses)
    assert ctx.losses == ["network interface eth0 is not there; there are: lo"]
    netif.close()


# -- the machine that the tests run on -------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Cpu, Mem, Netif])
def test_on_the_real_machine(cls, ctx):
    sampler = build(cls, ctx)
    sampler.open()
    ctx.loop.run_for(2)
    assert all(value >= 0 for record in ctx.records for value in record.values())
    assert not ctx.losses
    if cls is not Netif:  # a sandbox may have no interface
        assert len(ctx.records) == 2
    sampler.close()
