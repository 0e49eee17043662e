"""serial on pseudo-terminals: what a sensor writes into one end, the input reads at the other."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
import time
import tty
from pathlib import Path

import pytest

from edgebit.errors import ConfigError
from edgebit.inputs.serial import Serial, separator
from edgebit.options import BadValue, Options, Setting, read
from edgebit.plugin import LOG, Parser, SourceError
from edgebit.record import Shape
from fakes import FakeContext


class Device:
    """A device on a wire: `write` is what it sends; `unplug` pulls the cable."""

    def __init__(self) -> None:
        self.fd, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)

    def write(self, data: bytes) -> None:
        """Send, and see the bytes arrive: the kernel hands them over in a thread of its own."""
        there = self._waiting() + len(data)
        assert os.write(self.fd, data) == len(data)
        deadline = time.monotonic() + 10
        while self._waiting() < there:
            assert time.monotonic() < deadline

    def _waiting(self) -> int:
        count = bytearray(4)
        fcntl.ioctl(self.slave, termios.FIONREAD, count)
        return int.from_bytes(count, sys.byteorder)

    def unplug(self) -> None:
        for fd in (self.fd, self.slave):
            if fd >= 0:
                os.close(fd)
        self.fd = self.slave = -1


@pytest.fixture
def devices():
    made: list[Device] = []

    def make() -> Device:
        made.append(Device())
        return made[-1]

    yield make
    for device in made:
        device.unplug()


@pytest.fixture
def device(devices):
    return devices()


@pytest.fixture
def ctx():
    context = FakeContext()
    yield context
    context.loop.close()


def options(**settings: object) -> Options:
    return read(Serial.OPTIONS, [Setting(k, v) for k, v in settings.items()], "input serial")


@pytest.fixture
def serial(ctx, device):
    """Makes an input on the device, open."""
    made: list[Serial] = []

    def make(**settings: object) -> Serial:
        made.append(Serial(options(**{"file": device.path, **settings}), ctx))
        made[-1].open()
        return made[-1]

    yield make
    for one in made:
        one.close()


def messages(ctx: FakeContext) -> list[object]:
    return [record["msg"] for record in ctx.records]


def settle(ctx: FakeContext, turns: int = 3) -> None:
    """Turn until the input has read what there is; a turn without an event takes no time."""
    for _ in range(turns):
        ctx.loop.turn(longest=0)


def gone(ctx: FakeContext) -> None:
    """Turn until the input has noticed; a hang-up is there as soon as the other end is closed."""
    settle(ctx)
    assert ctx.losses


# -- framing ---------------------------------------------------------------------------------------------------------

SENT = b"temp=21.4\r\ntemp=21.5\n\r\n\ntemp=\xff\xc2\xb0C\nrest"
LINES = ["temp=21.4", "temp=21.5", "temp=\udcff\u00b0C"]


def test_lines_as_they_come(serial, device, ctx):
    serial()
    device.write(SENT)
    settle(ctx)
    assert messages(ctx) == LINES
    assert ctx.emitted[0][0] == "tag"
    assert ctx.emitted[0][2] == len(SENT)
    assert ctx.emitted[0][1][0][0] == ctx.clock.wall


def test_lines_a_byte_at_a_time(serial, device, ctx):
    serial()
    for byte in SENT:
        device.write(bytes((byte,)))
        settle(ctx)
    assert messages(ctx) == LINES


def test_a_line_over_the_limit_is_cut_and_counted(serial, device, ctx):
    serial(buffer_max_size=16)
    device.write(b"x" * 500 + b"\nnext\n")
    settle(ctx)
    assert messages(ctx) == ["x" * 16, "next"]
    assert ctx.stats.get("truncated") == 1


@pytest.mark.parametrize(
    ("given", "sent", "got"),
    [
        (";", b"1;2;;3;4", ["1", "2", "3"]),
        (r"\r", b"1\r2\r", ["1", "2"]),
        (r"\r\n", b"1\r\n2\r\n", ["1", "2"]),
        (r"\x03", b"\x021\x03\x022\x03", ["\x021", "\x022"]),
        ("END", b"1\nENDE2END", ["1\n", "E2"]),
    ],
)
def test_a_separator_of_ones_own(serial, device, ctx, given, sent, got):
    serial(separator=given)
    for i in range(0, len(sent), 3):
        device.write(sent[i : i + 3])
        settle(ctx)
    assert messages(ctx) == got


@pytest.mark.parametrize(
    ("text", "result"),
    [(r"\n", b"\n"), ("\n", b"\n"), (r"a\t\0\\n", b"a\t\0\\n"), (r"\x1fb", b"\x1fb"), ("é", b"\xc3\xa9"), (7, b"7")],
)
def test_escapes_of_the_separator(text, result):
    assert separator(text) == result


@pytest.mark.parametrize("text", ["", r"\q", r"\x1", "a\\"])
def test_a_separator_that_is_none(text):
    with pytest.raises(BadValue, match="text such as"):
        separator(text)


def test_skip_first_drops_the_end_of_a_line_that_began_before_us(serial, device, ctx):
    serial(skip_first=True)
    device.write(b"1.4\ntemp=")
    settle(ctx)
    device.write(b"21.5\n")
    settle(ctx)
    assert messages(ctx) == ["temp=21.5"]
    assert ctx.stats.get("partial_dropped") == 1
    assert ctx.misses == {}, "its beginning was never ours"


def test_raw_gives_bytes_as_they_come(serial, device, ctx):
    serial(mode="raw", key="data")
    for part in (b"\x00\xff\n", b"21.4\n21.5\n"):
        device.write(part)
        settle(ctx)
    assert ctx.records == [{"data": "\x00\udcff\n"}, {"data": "21.4\n21.5\n"}]


def test_raw_waits_for_min_bytes_and_gives_the_rest_at_the_end(serial, device, ctx):
    port = serial(mode="raw", min_bytes=4)
    for part in (b"ab", b"c", b"def", b"gh"):
        device.write(part)
        settle(ctx)
    assert messages(ctx) == ["abcdef"]
    port.stop()
    assert messages(ctx) == ["abcdef", "gh"]


# -- what becomes of a line --------------------------------------------------------------------------------------------


def test_json_goes_on_after_garbage(serial, device, ctx):
    serial(format="json")
    device.write(b'"t":1}\n{"t":2}\nboot v1.2 {\n{"t":3}{"t":4}\n[5]\n6\n' + b"[" * 3000 + b'\n{"t":7}\n')
    settle(ctx)
    assert messages(ctx) == [
        '"t":1}', {"t": 2}, "boot v1.2 {", {"t": 3}, {"t": 4}, [5], "6", "[" * 3000, {"t": 7}
    ]  # fmt: skip
    assert ctx.stats.get("unparsed") == 4


class Pairs(Parser):
    """name=value; anything else doesn't match."""

    def parse(self, line, now_ns):
        name, equals, value = line.partition("=")
        return (now_ns, Shape.of((name,)), (value,)) if equals else None


def test_a_parser_makes_the_fields_and_what_it_refuses_is_kept(ctx, device):
    opt = options(file=device.path, key="line")
    opt.parser = Pairs("pairs", Options())
    port = Serial(opt, ctx)
    port.open()
    device.write(b"temp=21.4\nready.\n")
    settle(ctx)
    assert ctx.records == [{"temp": "21.4"}, {"line": "ready."}]
    assert ctx.stats.get("unparsed") == 1
    assert ctx.emitted[0][1][1][1] is not LOG
    port.close()


# -- plugged and unplugged ---------------------------------------------------------------------------------------------


def test_unplugged_in_the_middle_of_a_line(serial, device, ctx):
    """What was complete is there; "temp=2" of "temp=21.4" is not, but counted."""
    serial()
    device.write(b"temp=21.3\ntemp=2")
    settle(ctx)
    device.unplug()
    gone(ctx)
    assert messages(ctx) == ["temp=21.3"]
    assert ctx.stats.get("partial_dropped") == 1
    assert len(ctx.losses) == 1
    assert ctx.losses[0].startswith(f"{device.path}: the device is gone (")


def test_after_a_hang_up_the_loop_is_quiet(serial, device, ctx):
    """A dead terminal is readable for ever; nobody may listen to it any more."""
    serial()
    device.unplug()
    gone(ctx)
    ctx.call_later(100, lambda: None)
    before, start = ctx.loop.turns, ctx.clock.now
    ctx.loop.run_for(100)
    assert ctx.clock.now - start == pytest.approx(100)
    assert ctx.loop.turns - before <= 2
    assert len(ctx.losses) == 1


def test_nothing_to_read_is_no_hang_up(serial, device, ctx):
    """A second reader, where the port is shared, may be quicker."""
    port = serial(exclusive=False)
    port._on_read()
    assert not ctx.losses
    device.write(b"1\n")
    settle(ctx)
    assert messages(ctx) == ["1"]


def test_unplugged_while_paused(serial, device, ctx):
    port = serial()
    port.pause()
    device.unplug()
    before = ctx.loop.turns
    ctx.loop.run_for(10)
    assert ctx.loop.turns - before <= 2
    assert not ctx.losses
    port.resume()
    gone(ctx)
    assert len(ctx.losses) == 1


def test_replugged_under_another_number_behind_the_same_link(devices, ctx, tmp_path: Path):
    link = tmp_path / "usb-Sensor-if00"
    first, second = devices(), devices()
    link.symlink_to(first.path)
    port = Serial(options(file=str(link)), ctx)
    port.open()
    first.write(b"from the first\nhal")
    settle(ctx)
    first.unplug()
    gone(ctx)
    link.unlink()
    with pytest.raises(SourceError, match="No such file or directory; is it plugged in"):
        port.open()
    link.symlink_to(second.path)
    port.open()
    second.write(b"from the second\n")
    settle(ctx)
    assert messages(ctx) == ["from the first", "from the second"]
    port.close()
    port.close()


def test_paused_reads_nothing_and_resumed_reads_what_waits(serial, device, ctx):
    port = serial()
    port.pause()
    device.write(b"1\n2\n")
    settle(ctx)
    assert not ctx.emitted
    port.resume()
    settle(ctx)
    assert messages(ctx) == ["1", "2"]


def test_stop_drops_a_partial_line_once(serial, device, ctx):
    port = serial()
    device.write(b"1\n2")
    settle(ctx)
    port.stop()
    port.close()
    assert messages(ctx) == ["1"]
    assert ctx.stats.get("partial_dropped") == 1
    assert ctx.misses == {"cut off by the end of the port": 1}


def test_closed_and_opened_again_leaks_no_descriptor(serial):
    port = serial()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        port.close()
        port.open()
    assert len(os.listdir("/proc/self/fd")) == before


# -- options ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "needs the path of one port"),
        ({"file": "/dev/a", "port": "/dev/b"}, "needs the path of one port"),
        ({"file": "/dev/a", "mode": "raw", "separator": ";"}, "bytes as they come"),
        ({"file": "/dev/a", "mode": "raw", "format": "json"}, "bytes as they come"),
        ({"file": "/dev/a", "min_bytes": 100, "buffer_max_size": 50}, "must not be more than buffer_max_size"),
        ({"file": "/dev/a", "parity": "evne"}, 'did you mean "even"'),
        ({"file": "/dev/a", "bytesize": 9}, "at most 8"),
        ({"file": "/dev/a", "bitrate": 0}, "at least 1"),
        ({"file": "/dev/a", "bitrate": "fast"}, "a whole number"),
        ({"file": "/dev/a", "separator": r"\q"}, "unknown escape"),
    ],
)
def test_bad_options(settings, words, ctx):
    with pytest.raises(ConfigError, match=words):
        Serial(options(**settings), ctx)


def test_a_parser_and_json_exclude_each_other(ctx):
    opt = options(file="/dev/a", format="json")
    opt.parser = Pairs("pairs", Options())
    with pytest.raises(ConfigError, match="either a parser or format json"):
        Serial(opt, ctx)


def test_what_the_driver_lost_is_missed(serial, device, ctx, monkeypatch):
    """The counters of the kernel's structure, from when it was opened on; no pseudo-terminal has them."""
    counts = [0] * 20
    counts[7], counts[10] = 1000, 20
    plain = fcntl.ioctl

    def ioctl(fd, request, *data):
        if request != 0x545D:
            return plain(fd, request, *data)
        data[0][:] = struct.pack("=20i", *counts)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    port = serial()
    counts[7] += 3
    counts[10] += 4
    ctx.loop.run_for(25)
    assert ctx.misses == {"characters overrun in the driver": 7}
    counts[7] += 1
    port.close()
    assert ctx.misses == {"characters overrun in the driver": 8}
    port.open()
    ctx.loop.run_for(25)
    assert sum(ctx.misses.values()) == 8
    assert len([line for line in ctx.lines if "warn" in line]) == 1
