"""thermal: zones, the fall-back to hardware monitors, machines with neither, sensors that answer with errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebit.errors import ConfigError
from edgebit.inputs.thermal import LOOK_AGAIN, Thermal
from edgebit.options import Setting, read
from fakes import FakeContext


@pytest.fixture
def ctx():
    context = FakeContext()
    yield context
    context.loop.close()


@pytest.fixture
def sys(tmp_path, monkeypatch):
    monkeypatch.setattr(Thermal, "SYS", str(tmp_path))
    return tmp_path


def write(root: Path, **files: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text + "\n")


def build(ctx: FakeContext, **settings: str) -> Thermal:
    return Thermal(read(Thermal.OPTIONS, [Setting(k, v) for k, v in settings.items()], "thermal"), ctx)


def test_a_record_a_zone_in_the_order_of_their_numbers(sys, ctx):
    for n in (10, 2, 0):
        write(sys / "thermal" / f"thermal_zone{n}", type=f"zone-{n}", temp=str(40_000 + n * 100))
    write(sys / "thermal" / "cooling_device0", type="fan")
    thermal = build(ctx)
    thermal.open()
    ctx.loop.run_for(1)
    assert ctx.records == [
        {"name": "thermal_zone0", "type": "zone-0", "temp": 40.0},
        {"name": "thermal_zone2", "type": "zone-2", "temp": 40.2},
        {"name": "thermal_zone10", "type": "zone-10", "temp": 41.0},
    ]
    assert len(ctx.emitted) == 1
    thermal.close()


def test_chosen_by_name_and_by_type(sys, ctx):
    for n, kind in enumerate(("cpu-thermal", "gpu-thermal", "battery")):
        write(sys / "thermal" / f"thermal_zone{n}", type=kind, temp="-5000")
    thermal = build(ctx, name_regex="[01]$", type_regex="^gpu")
    thermal.open()
    ctx.loop.run_for(1)
    assert ctx.records == [{"name": "thermal_zone1", "type": "gpu-thermal", "temp": -5.0}]
    thermal.close()


def test_a_bad_regex_is_an_error_of_the_config(ctx):
    with pytest.raises(ConfigError, match="must be a regular expression"):
        build(ctx, type_regex="(")


def test_hardware_monitors_when_there_are_no_zones(sys, ctx):
    write(sys / "hwmon" / "hwmon0", name="nct6775", temp1_input="31000", temp2_input="32500", temp2_label="CPUTIN")
    write(sys / "hwmon" / "hwmon1", name="fan_only", fan1_input="900")
    thermal = build(ctx)
    thermal.open()
    ctx.loop.run_for(1)
    assert ctx.records == [
        {"name": "hwmon0", "type": "nct6775", "temp": 31.0},
        {"name": "hwmon0", "type": "CPUTIN", "temp": 32.5},
    ]
    thermal.close()


def test_a_machine_without_sensors_says_so_once_and_looks_again_rarely(sys, ctx):
    thermal = build(ctx)
    thermal.open()
    ctx.loop.run_for(3 * LOOK_AGAIN)
    assert ctx.records == []
    assert len(ctx.lines) == 1
    assert "no temperature sensors" in ctx.lines[0]
    write(sys / "thermal" / "thermal_zone0", type="late", temp="1000")
    ctx.loop.run_for(LOOK_AGAIN + 5)
    assert len(ctx.records) > 3
    assert "there are temperature sensors now" in ctx.lines[1]
    assert not ctx.losses
    thermal.close()


def test_a_sensor_that_answers_with_an_error_costs_only_itself(sys, ctx):
    write(sys / "thermal" / "thermal_zone0", type="asleep", temp="")
    write(sys / "thermal" / "thermal_zone1", type="cpu", temp="50000")
    (sys / "thermal" / "thermal_zone2").mkdir()  # just going away: no type
    thermal = build(ctx)
    thermal.open()
    ctx.loop.run_for(2)
    assert [r["type"] for r in ctx.records] == ["cpu", "cpu"]
    assert ctx.stats.get("unreadable") == 2
    assert ctx.lines == []
    thermal.close()
