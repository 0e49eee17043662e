"""Input thermal: the temperatures that the machine measures.

One record a zone, fields as in Fluent Bit: name ("thermal_zone0"), type ("cpu-thermal") and temp, a double in degrees
Celsius. Read from the kernel's files directly (Documentation/driver-api/thermal/sysfs-api.rst); a machine without
thermal zones is searched for hardware monitors (Documentation/hwmon/sysfs-interface.rst), where name is "hwmon0" and
type the sensor's label or the chip's name. A machine may have neither, as virtual ones do: that is said once, and
looked at again every ten minutes, in case a driver is loaded late.
"""

from __future__ import annotations

import os
import re

from edgebit.inputs.sampling import INTERVAL, Sampled
from edgebit.options import BadValue, Option
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

SHAPE = Shape.of(("name", "type", "temp"))
LOOK_AGAIN = 600.0  # seconds, while there is nothing to read


def regex(value: object) -> re.Pattern[str]:
    """A regular expression, found anywhere in the text."""
    try:
        return re.compile(str(value))
    except re.error as error:
        raise BadValue(f"a regular expression ({error})") from None


def _line(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline().strip()


def _entries(folder: str, prefix: str) -> list[str]:
    """The names that are the prefix and a number, in the order of the numbers."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted((n for n in names if n.startswith(prefix) and n[len(prefix) :].isdigit()),
                  key=lambda n: int(n[len(prefix) :]))  # fmt: skip


class Thermal(Sampled):
    """Temperatures in degrees Celsius, a record a zone.

    Paused, it takes no samples. A zone that can't be read at the moment (its driver says so) is left out.
    """

    NAME = "thermal"
    WHAT = "the temperatures"
    PSUTIL = False
    OPTIONS = (
        *INTERVAL,
        Option("name_regex", regex, None, "only zones whose name matches"),
        Option("type_regex", regex, None, "only zones whose type matches"),
    )
    SYS = "/sys/class"  # tests have their own

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._look_at = 0.0  # monotonic; not before then, while there is nothing to read

    def baseline(self) -> None:
        self._look_at = 0.0
        self._sensors()

    def measure(self, elapsed: float) -> list[Record]:
        now_ns = self.ctx.clock.wall_ns()
        found: list[Record] = []
        for name, kind, path in self._sensors():
            try:
                found.append((now_ns, SHAPE, (name, kind, int(_line(path)) / 1000)))  # in thousandths of a degree
            except (OSError, ValueError):  # a driver may answer EAGAIN or EINVAL while its sensor sleeps
                self.ctx.stats.add("unreadable")
        return found

    def _sensors(self) -> list[tuple[str, str, str]]:
        """Name, type and file of each sensor asked for; says so when there are none, and when there are again."""
        now = self.ctx.clock.monotonic()
        if now < self._look_at:
            return []
        by_name, by_type = self.opt.name_regex, self.opt.type_regex
        found = [
            (name, kind, path)
            for name, kind, path in self._zones() or self._monitors()
            if (by_name is None or by_name.search(name)) and (by_type is None or by_type.search(kind))
        ]
        if found and self._look_at:
            self._look_at = 0.0
            self.ctx.log.info("there are temperature sensors now")
        elif not found:
            if not self._look_at:
                which = " that match" if by_name or by_type else ""
                self.ctx.log.warn(f"this machine has no temperature sensors{which}; looks again every 10 minutes")
            self._look_at = now + LOOK_AGAIN
        return found

    def _zones(self) -> list[tuple[str, str, str]]:
        """The thermal zones."""
        folder = f"{self.SYS}/thermal"
        found = []
        for name in _entries(folder, "thermal_zone"):
            try:
                found.append((name, _line(f"{folder}/{name}/type"), f"{folder}/{name}/temp"))
            except OSError:
                continue  # it has just gone
        return found

    def _monitors(self) -> list[tuple[str, str, str]]:
        """The temperatures of the hardware monitors."""
        found = []
        folder = f"{self.SYS}/hwmon"
        for name in _entries(folder, "hwmon"):
            try:
                chip = _line(f"{folder}/{name}/name")
                inputs = sorted(n for n in os.listdir(f"{folder}/{name}") if re.fullmatch(r"temp\d+_input", n))
            except OSError:
                continue
            for file in inputs:
                try:
                    kind = _line(f"{folder}/{name}/{file[:-5]}label")
                except OSError:
                    kind = chip
                found.append((name, kind, f"{folder}/{name}/{file}"))
        return found
