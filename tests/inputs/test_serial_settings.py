"""A serial port's settings, the errors of opening one, and the driver's counters."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios

import pytest

from edgebit.errors import SourceError
from edgebit.inputs import serial_settings
from edgebit.inputs.serial import Serial
from edgebit.inputs.serial_settings import Errors, explain, open_port, refused
from edgebit.options import Options, Setting, read
from edgebit.stats import Counters


def options(**settings: object) -> Options:
    return read(Serial.OPTIONS, [Setting(k, v) for k, v in settings.items()], "input serial")


@pytest.fixture
def slave():
    """The end of a pseudo-terminal that a program opens by its path."""
    ends = os.openpty()
    yield ends[1]
    for fd in ends:
        os.close(fd)


@pytest.fixture
def opened(slave):
    """Opens it as a port with these settings."""
    ports = []

    def make(**settings: object):
        path = os.ttyname(slave)
        ports.append(open_port(path, options(file=path, **settings)))
        return ports[-1]

    yield make
    for port in ports:
        port.close()


# -- settings ----------------------------------------------------------------------------------------------------------


def test_settings_reach_the_terminal(opened, slave):
    """A pseudo-terminal keeps all but the character size and whether there is parity (tty_ioctl(4))."""
    opened(bitrate=9600, parity="odd", stopbits="2", xonxoff=True)
    iflag, _, cflag, lflag, _, speed, _ = termios.tcgetattr(slave)
    assert speed == termios.B9600
    assert cflag & termios.PARODD
    assert cflag & termios.CSTOPB
    assert iflag & termios.IXON
    assert iflag & termios.IXOFF
    assert not lflag & (termios.ECHO | termios.ICANON)


def test_other_settings_reach_the_terminal_too(opened, slave):
    opened(bitrate=921600, parity="even", stopbits=1, rtscts=True)
    iflag, _, cflag, _, _, speed, _ = termios.tcgetattr(slave)
    assert speed == termios.B921600
    assert not cflag & termios.PARODD
    assert not cflag & termios.CSTOPB
    assert cflag & termios.CRTSCTS
    assert not iflag & termios.IXON


def test_a_bit_rate_without_a_constant(opened, slave):
    opened(bitrate=250_000)
    assert serial_settings.settings(slave)[1] == 250_000


@pytest.mark.parametrize(
    ("settings", "flags", "speed", "wrong"),
    [
        ({}, termios.CS8, 115200, []),
        ({}, termios.CS8, 0, []),  # the system doesn't tell
        ({}, termios.CS8, 115384, []),  # what a divider can do
        ({"bitrate": 921600}, termios.CS8, 9600, ["bitrate 921600 (it is at 9600)"]),
        ({"bytesize": 7}, termios.CS8, 115200, ["bytesize 7"]),
        ({"bytesize": 7}, termios.CS7, 115200, []),
        ({"parity": "even"}, termios.CS8, 115200, ["parity even"]),
        ({"parity": "even"}, termios.CS8 | termios.PARENB, 115200, []),
        ({"parity": "odd"}, termios.CS8 | termios.PARENB, 115200, ["parity odd"]),
        ({"parity": "odd"}, termios.CS8 | termios.PARENB | termios.PARODD, 115200, []),
        ({"parity": "mark"}, termios.CS8 | termios.PARENB | termios.PARODD, 115200, ["parity mark"]),
        ({"parity": "space"}, termios.CS8 | termios.PARENB | 0o10000000000, 115200, []),
        ({}, termios.CS8 | termios.PARENB, 115200, ["parity none"]),
        ({}, termios.CS8 | termios.PARODD, 115200, []),  # of no effect without PARENB
        ({"stopbits": "2"}, termios.CS8, 115200, ["stopbits 2"]),
        ({"stopbits": 1.5}, termios.CS8 | termios.CSTOPB, 115200, []),
        ({"rtscts": True}, termios.CS8, 115200, ["rtscts"]),
        ({"rtscts": True, "bytesize": 5}, termios.CS7, 300, ["bitrate 115200 (it is at 300)", "bytesize 5", "rtscts"]),
    ],
)
def test_what_the_device_did_not_do(settings, flags, speed, wrong):
    assert refused(options(file="x", **settings), (flags, speed)) == wrong


def test_a_device_that_sets_another_bit_rate_is_an_error(slave, monkeypatch):
    monkeypatch.setattr(serial_settings, "settings", lambda fd: (termios.CS8, 9600))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SourceError, match=r"doesn't do bitrate 921600 \(it is at 9600\); set what it does"):
        open_port(os.ttyname(slave), options(file="x", bitrate=921600))
    assert len(os.listdir("/proc/self/fd")) == before


# -- errors ------------------------------------------------------------------------------------------------------------


def open_error(path: str, **settings: object) -> str:
    with pytest.raises(SourceError) as caught:
        open_port(path, options(file=path, **settings))
    return str(caught.value)


def test_a_port_that_is_not_there(tmp_path):
    path = f"{tmp_path}/ttyUSB7"
    assert open_error(path) == (
        f"{path}: No such file or directory; is it plugged in? (/dev/serial/by-id has names that don't change)"
    )


def test_a_file_is_not_a_serial_port(tmp_path):
    (tmp_path / "file").write_text("")
    assert open_error(f"{tmp_path}/file") == f"{tmp_path}/file: not a serial port"
    assert open_error(str(tmp_path)) == f"{tmp_path}: Is a directory"


def test_a_port_in_use(opened, slave):
    opened()
    assert "in use by another program" in open_error(os.ttyname(slave))
    opened(exclusive="off")


def test_a_port_that_may_not_be_opened_names_the_group(tmp_path):
    (tmp_path / "port").write_text("")
    assert explain(f"{tmp_path}/port", PermissionError(errno.EACCES, "Permission denied")).startswith(
        f"{tmp_path}/port: Permission denied; add the user that edgebit runs as to the group "
    )
    assert explain("/nowhere/port", PermissionError(errno.EACCES, "")).endswith("to the group dialout")


def test_a_bit_rate_that_the_driver_refuses():
    error = ValueError("Failed to set custom baud rate (7): [Errno 22] Invalid argument")
    assert "the port refuses its settings: Failed to set custom baud rate (7)" in explain("/dev/ttyS0", error)


# -- the driver's counters ---------------------------------------------------------------------------------------------


def test_a_device_without_error_counters_has_no_gauges(opened):
    stats = Counters()
    assert Errors.of(opened().fileno(), stats) is None
    assert stats.snapshot() == {}


def test_error_counters_are_gauges(monkeypatch):
    """The kernel's structure, filled as a driver would; no pseudo-terminal has it."""
    counts = list(range(20))

    def ioctl(fd, request, data):
        if fd != 5 or request != 0x545D:
            raise OSError(errno.ENOTTY, "")
        data[:] = struct.pack("=20i", *counts)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    stats = Counters()
    errors = Errors.of(5, stats)
    assert stats.snapshot() == {
        "framing_errors": 6, "overruns": 7, "parity_errors": 8, "breaks": 9, "buffer_overruns": 10
    }  # fmt: skip
    counts[7] = 70
    assert stats.snapshot()["overruns"] == 70
    errors.close()
    counts[7] = 700
    assert stats.snapshot()["overruns"] == 70  # the number 5 may be another file by now
    assert Errors.of(6, Counters()) is None
