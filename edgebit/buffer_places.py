"""Which buffers on disk a command line means, and how they are shown to a person. Opens nothing for writing."""

from __future__ import annotations

import os

from edgebit import build
from edgebit.buffer.files import Files
from edgebit.buffer.reader import Reader
from edgebit.buffer.streams import INFO, Streams
from edgebit.errors import StateError, reason
from edgebit.formats.dates import iso8601
from edgebit.loop import SystemClock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from edgebit.agent import Agent
    from edgebit.buffer.format import Header
    from edgebit.buffer.reader import Gap


class Place:
    """The state directory and the configuration that the command line means; either may be missing."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.agent: Agent | None = None
        self.path = options.config
        if options.config:
            from edgebit.agent import Agent
            from edgebit.config import load
            from edgebit.log import ERROR, Sink

            self.config = load(options.config, os.environ)
            self.agent = Agent(self.config, os.environ, Sink(ERROR))
            self.agent.loop.close()
        if options.state_dir or self.agent is None:
            self.state_dir = build.state_dir(options.state_dir or "", os.environ)
        else:
            self.state_dir = self.agent.shared.state_dir

    @property
    def outputs(self) -> set[str] | None:
        """Names of the outputs with a buffer on disk; None without a configuration."""
        if self.agent is None:
            return None
        return {route.name for route in self.agent.pipeline.routes if route.open_buffer is not None}

    def find(self, target: str | None) -> list[str]:
        """The directories of the buffers that `target` means. Raises StateError if there are none of that kind."""
        if target and (os.sep in target or os.path.isdir(target)):
            if is_buffer(target):
                return [os.path.normpath(target)]
            if not os.path.isdir(os.path.join(target, "buffers")):
                raise StateError(f"{target} is no directory of a buffer and no state directory: there are no segments "
                                 "(NNNNNN.seg) and no directory buffers in it")  # fmt: skip
            self.state_dir, target = os.path.normpath(target), None
        try:
            found = Streams(Files(), self.state_dir).all()
        except OSError as error:
            raise unreadable(self.state_dir, error) from None
        if not target:
            if not os.path.isdir(self.state_dir):
                raise StateError(f"there is no state directory {self.state_dir}; say which one with -c FILE, --state-dir "
                                 "DIR or the path of a buffer")  # fmt: skip
            return list(found)
        named = [path for path, owner in found.items() if target in (owner, os.path.basename(path))]
        if not named:
            known = ", ".join(sorted({owner or os.path.basename(path) for path, owner in found.items()})) or "none"
            raise StateError(f"{self.state_dir} has no buffer of an output called {target}; it has: {known}")
        return named

    def find_one(self, target: str) -> str:
        """The one directory that is meant. Raises StateError."""
        found = self.find(target)
        if len(found) != 1:
            raise StateError(f"{target} is not one buffer but {len(found)}; name one by its directory: "
                             + ", ".join(found))  # fmt: skip
        return found[0]


def is_buffer(path: str) -> bool:
    """Whether a directory has the files of a buffer. Raises StateError if it can't be read."""
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        raise StateError(f"there is no directory {path}") from None
    except OSError as error:
        raise unreadable(path, error) from None
    return INFO in names or any(name.endswith(".seg") for name in names)


def open_reader(path: str) -> Reader:
    """Raises StateError."""
    try:
        return Reader(Files(), path)
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: str, error: OSError) -> StateError:
    hint = "; run this as root or as the agent's user" if isinstance(error, PermissionError) else ""
    return StateError(f"cannot read {path}: {reason(error)}{hint}")


def running(directory: str) -> int:
    """The process that uses the state directory which a buffer is in, or 0. By a look at its lock file only."""
    try:
        with open(os.path.join(directory, "..", "..", "lock"), "rb") as lock:
            pid = int(lock.read(32))
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return pid if b"edgebit" in file.read() else 0
    except (OSError, ValueError):
        return 0


# -- for people --------------------------------------------------------------------------------------------------------


def told(gap: Gap) -> str:
    """A gap for a person."""
    if not gap.count:
        return f"{gap.segment}: cannot be read{f' from offset {gap.at} on' if gap.at else ''}: {gap.why}"
    records = "1 record" if gap.count == 1 else f"{gap.count} records"
    sequence = f"sequence {gap.seq} to {gap.seq + gap.count - 1} of stream {gap.stream}"
    delivered = "" if gap.waiting else " (delivered before, no loss)"
    return f"{gap.segment} offset {gap.at}: {records}, {sequence}: {gap.why}{delivered}"


def size(value: int) -> str:
    """ "0 B", "512 B", "1.5 MiB"."""
    number = float(value)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.1f} {unit}" if unit != "B" else f"{value} B"
        number /= 1024
    return f"{number:.1f} GiB"


def stamp(header: Header | None) -> str:
    """When a chunk was stored, by the clock that the device had then, in UTC."""
    return iso8601(header.wall_ns)[:19] + "Z" if header is not None else "-"


def age(header: Header | None) -> str:
    """How long ago a chunk was stored: by the time since boot where that is this one, else by the date."""
    if header is None:
        return "-"
    now = build.BufferClocks(SystemClock()).moment()
    same_boot = header.boot_id == now.boot_id
    seconds = (now.boot_ns - header.boot_ns if same_boot else now.wall_ns - header.wall_ns) // 10**9
    if seconds < 0:
        return "?"
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
