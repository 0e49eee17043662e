"""Adds what this machine is to records: each option names the field that one thing is written to.

The fields come last, in the order of the options below, in place of those that have their names. `edgebit_version_key` is
Fluent Bit's `fluentbit_version_key`, which is taken, too; the version is edgebit's. Read once, at the start.
"""

from __future__ import annotations

import os

from edgebit import __version__
from edgebit.errors import ConfigError
from edgebit.filters.layout import appended, picker_or_none
from edgebit.options import Option, string
from edgebit.plugin import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.filters.layout import Pick
    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record, Shape


class Sysinfo(Filter):
    """Adds what this machine is to records."""

    NAME = "sysinfo"
    OPTIONS = (
        Option("edgebit_version_key", string, "", "field for the version of edgebit", also=("fluentbit_version_key",)),
        Option("os_name_key", string, "", 'field for the operating system, "linux"'),
        Option("hostname_key", string, "", "field for the host name"),
        Option("os_version_key", string, "", "field for the version of the system, as `uname -v` has it"),
        Option("kernel_version_key", string, "", "field for the version of the kernel, as `uname -r` has it"),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        machine = os.uname()
        found = {
            opt.edgebit_version_key: __version__,
            opt.os_name_key: machine.sysname.lower(),
            opt.hostname_key: ctx.hostname,
            opt.os_version_key: machine.version,
            opt.kernel_version_key: machine.release,
        }
        found.pop("", None)
        if not found:
            raise ConfigError("sysinfo has nothing to add: give one of its options, for example hostname_key")
        self._names, self._values = tuple(found), tuple(found.values())

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        added = self._values
        out = []
        known: Shape | None = None  # records of one shape come in runs
        for time_ns, shape, values in records:
            if shape is not known:
                known = shape
                target, pick = shape.cache.get(self) or self._plan(shape)
            values += added
            out.append((time_ns, target, values if pick is None else pick(values)))
        return out

    def _plan(self, shape: Shape) -> tuple[Shape, Pick | None]:
        layout = appended(shape.names, self._names)
        pick = picker_or_none([at for _, at in layout], len(shape.names) + len(self._names))
        plan = (shape.derive([name for name, _ in layout]), pick)
        if shape.interned:
            shape.cache[self] = plan
        return plan
