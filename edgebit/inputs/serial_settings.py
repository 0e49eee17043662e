"""Opening a serial port, making sure of its settings, and reading its error counters; the serial input's other half.

The only place that knows pyserial, termios and their errors. Numbers of ioctls and layouts are those of Linux on ARM,
x86 and RISC-V (asm-generic/termbits.h, linux/serial.h); where a call isn't known, the question isn't asked.
"""

from __future__ import annotations

import errno
import os
import struct

from edgebit.errors import reason
from edgebit.plugin import SourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.options import Options
    from edgebit.stats import Counters

TCGETS2 = 0x802C542A  # ioctl: the settings with the bit rates as numbers
_TERMIOS2 = struct.Struct("=4IB19s2I")  # iflag, oflag, cflag, lflag, line, cc, ispeed, ospeed
TIOCGICOUNT = 0x545D  # ioctl: the driver's counters
_ICOUNTER = struct.Struct("=20i")  # cts dsr rng dcd rx tx frame overrun parity brk buf_overrun, 9 reserved
_COUNTERS = {"framing_errors": 6, "overruns": 7, "parity_errors": 8, "breaks": 9, "buffer_overruns": 10}

_CMSPAR = 0o10000000000
_PTY = range(136, 144)  # major numbers of pseudo-terminals, which have no wire and ignore how it would be set
_TOLERANCE = 0.03  # of the bit rate; a receiver loses the last bit of a character at about 5 %


def open_port(path: str, opt: Options) -> Any:
    """An open pyserial port with the settings asked for. Raises SourceError with advice."""
    import termios

    import serial

    try:
        port = serial.Serial(
            path, opt.bitrate, opt.bytesize, opt.parity[0].upper(), float(opt.stopbits), 0, opt.xonxoff, opt.rtscts,
            dsrdtr=opt.dsrdtr, exclusive=opt.exclusive or None)  # fmt: skip
    except (OSError, ValueError, termios.error) as error:  # a SerialException is an OSError
        raise SourceError(explain(path, error)) from None
    try:
        fd = port.fileno()
        attributes = termios.tcgetattr(fd)
        # pyserial sets 0, with which a read of nothing gives b"" just as a hang-up does; with 1 it says EAGAIN.
        attributes[6][termios.VMIN] = 1
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
        wrong = refused(opt, settings(fd), os.major(os.fstat(fd).st_rdev) in _PTY)
    except (OSError, termios.error) as error:
        port.close()
        raise SourceError(explain(path, error)) from None
    if wrong:
        port.close()
        raise SourceError(f"{path}: the device doesn't do {', '.join(wrong)}; set what it does")
    return port


def explain(path: str, error: Exception) -> str:
    """The system's words for what went wrong at opening, and what to do about it."""
    if isinstance(error, ValueError):  # pyserial's answer to a bit rate that the driver refuses
        return f"{path}: the port refuses its settings: {error}"
    number = getattr(error, "errno", None)
    for cause in (error, error.__context__):  # termios.error has no errno; pyserial wraps it in text
        if number is None and cause is not None and cause.args and isinstance(cause.args[0], int):
            number = cause.args[0]
    if number is None:
        return f"{path}: cannot set up the port: {reason(error)}"
    advice = ""
    if number == errno.ENOENT:
        advice = "; is it plugged in? (/dev/serial/by-id has names that don't change)"
    elif number in (errno.EACCES, errno.EPERM):
        advice = f"; add the user that edgebit runs as to the group {_group(path)}"
    elif number in (errno.EAGAIN, errno.EBUSY):
        return f"{path}: in use by another program; stop that one, or share the bytes with it (exclusive = off)"
    elif number == errno.ENOTTY:
        return f"{path}: not a serial port"
    return f"{path}: {os.strerror(number)}{advice}"


def _group(path: str) -> str:
    """Who may use the port, as the system has it; dialout on Raspberry Pi OS and Debian."""
    import grp

    try:
        return grp.getgrgid(os.stat(path).st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"


def settings(fd: int) -> tuple[int, int]:
    """The control flags of the port and its bit rate as it really is, 0 if the system doesn't say."""
    import fcntl
    import termios

    data = bytearray(_TERMIOS2.size)
    try:
        fcntl.ioctl(fd, TCGETS2, data)
    except OSError:
        return termios.tcgetattr(fd)[2], 0
    fields = _TERMIOS2.unpack(data)
    return fields[2], fields[6] or fields[7]


def refused(opt: Options, real: tuple[int, int], pty: bool = False) -> list[str]:
    """What was asked for and isn't so, in words; `real` is what `settings` gives."""
    import termios

    flags, speed = real
    wrong = []
    if speed and abs(speed - opt.bitrate) > opt.bitrate * _TOLERANCE:
        wrong.append(f"bitrate {opt.bitrate} (it is at {speed})")
    if pty:
        return wrong
    if flags & termios.CSIZE != (termios.CS5, termios.CS6, termios.CS7, termios.CS8)[opt.bytesize - 5]:
        wrong.append(f"bytesize {opt.bytesize}")
    parity = {
        "none": 0,
        "even": termios.PARENB,
        "odd": termios.PARENB | termios.PARODD,
        "mark": termios.PARENB | termios.PARODD | _CMSPAR,
        "space": termios.PARENB | _CMSPAR,
    }[opt.parity]
    mask = termios.PARENB | termios.PARODD | _CMSPAR if parity else termios.PARENB
    if flags & mask != parity:
        wrong.append(f"parity {opt.parity}")
    if bool(flags & termios.CSTOPB) != (opt.stopbits != "1"):
        wrong.append(f"stopbits {opt.stopbits}")
    if opt.rtscts and not flags & termios.CRTSCTS:
        wrong.append("rtscts")
    return wrong


class Errors:
    """Gauges of what the driver counts: characters that arrived damaged or not at all. Read when somebody asks.

    They are the kernel's numbers since the device was plugged in; after closing, the last ones known.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._last: tuple[int, ...] = (0,) * 20

    @classmethod
    def of(cls, fd: int, stats: Counters) -> Errors | None:
        """None, and no gauges, if the device has no such counters (a pseudo-terminal, some USB adapters)."""
        errors = cls(fd)
        if not errors.read():
            return None
        for name, index in _COUNTERS.items():
            stats.gauge(name, lambda index=index: errors.value(index))  # type: ignore[misc]  # default binds it
        return errors

    def read(self) -> bool:
        import fcntl

        data = bytearray(_ICOUNTER.size)
        try:
            fcntl.ioctl(self._fd, TIOCGICOUNT, data)
        except OSError:
            return False
        self._last = _ICOUNTER.unpack(data)
        return True

    def value(self, index: int) -> int:
        if self._fd >= 0:
            self.read()
        return self._last[index]

    @property
    def overruns(self) -> int:
        """Characters that were lost because nobody read them in time, by the hardware and by the driver."""
        return self.value(_COUNTERS["overruns"]) + self.value(_COUNTERS["buffer_overruns"])

    def close(self) -> None:
        self.read()
        self._fd = -1
