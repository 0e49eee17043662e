"""Keeps tail's checkpoint: reads it at the start, writes it at most every `db.interval` while positions move.

What can't be read is said once and set aside; what can't be written is said once and tried again. Neither stops tail.
"""

from __future__ import annotations

import os

from edgebit.errors import reason
from edgebit.inputs import checkpoint
from edgebit.inputs.checkpoint import is_database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from edgebit.inputs.checkpoint import Position
    from edgebit.inputs.tail_once import Said, Timers
    from edgebit.options import Options
    from edgebit.plugin import InputContext

_SAVE_AGAIN = 30.0  # seconds until a checkpoint that could not be written is tried again


class Keeper:
    """The checkpoint of one tail. `collect` gives the positions to write."""

    def __init__(self, opt: Options, ctx: InputContext, said: Said, timers: Timers,
                 collect: Callable[[], list[Position]]) -> None:  # fmt: skip
        self._ctx, self._said, self._timers, self._collect = ctx, said, timers, collect
        self._interval, self._sync = opt.db_interval, opt.db_sync
        here = "" if all(map(os.path.isabs, opt.path)) else os.getcwd()  # what relative names are relative to
        self._patterns = [here, *opt.path, "", *opt.exclude_path]
        self._path = _path(opt.db, ctx)
        self._database = ""  # of Fluent Bit: taken over once, and left as it is
        if opt.db and self._path and is_database(self._path):
            self._database, self._path = self._path, f"{self._path}.edgebit"
        self._saved_at = ctx.clock.monotonic()
        self._dirty = True
        self.closed = False
        self._boot = checkpoint.boot_id()
        self.rebooted = False  # the positions that were loaded are from another boot

    def load(self) -> tuple[list[Position], bool]:
        """Positions to continue from, and whether the same paths were followed then, so that other files are new."""
        path, log = self._path, self._ctx.log
        if not path:
            log.info("no state directory and no db: positions are not kept over a restart")
            return [], False
        try:
            loaded = checkpoint.load(path)
        except (checkpoint.Damaged, OSError) as error:
            why = str(error) if isinstance(error, checkpoint.Damaged) else reason(error)
            log.warn(f"cannot use the positions in {path}: {why}; it is kept as {path}.bad. Starting as for the first "
                     "time: see read_from_head")  # fmt: skip
            try:
                os.replace(path, f"{path}.bad")
            except OSError:
                pass  # then saving fails too, and says so
            return [], False
        if loaded is None:
            return self._taken_over(), False
        positions, patterns, boot = loaded
        self.rebooted = boot != self._boot
        if patterns[:1] != self._patterns[:1]:  # started somewhere else: the same names are other files
            positions = [position for position in positions if os.path.isabs(position.path)]
        return positions, patterns == self._patterns

    def _taken_over(self) -> list[Position]:
        """From Fluent Bit's database, at the very first start."""
        if not self._database:
            return []
        from edgebit.inputs import tail_import

        try:
            positions = tail_import.positions(self._database)
        except checkpoint.Damaged as error:
            self._ctx.log.warn(f"cannot take positions over from {self._database}: {error}")
            return []
        self._ctx.log.info(f"going on where Fluent Bit's tail stopped: {len(positions)} files in {self._database}; "
                           f"positions are kept in {self._path} from now on")  # fmt: skip
        return positions

    def moved(self) -> None:
        """A position changed: save it soon."""
        self._dirty = True
        if self._path and not self.closed:
            self._timers.after("save", self._saved_at + self._interval - self._ctx.clock.monotonic(), self.save)

    def lost(self) -> None:
        """The file was removed: save it again."""
        self._dirty = True
        self.save()

    def save(self, last: bool = False) -> None:
        """Write the checkpoint now, if anything changed."""
        self._saved_at = self._ctx.clock.monotonic()
        if not self._path or not self._dirty:
            return
        sync = self._sync in ("extra", "full") or (last and self._sync == "normal")
        try:
            checkpoint.save(self._path, self._collect(), self._patterns, sync, self._boot)
        except OSError as error:
            self._said.warn("save", f"cannot save positions: {reason(error)}; trying again. Until then a crash means "
                            "that lines are sent twice")  # fmt: skip
            if not last:
                self._timers.after("save", _SAVE_AGAIN, self.save)
        else:
            self._dirty = False
            self._said.over("save", "positions are saved again")


def _path(db: str, ctx: InputContext) -> str:
    if db:
        return "" if db.lower() == "off" else os.path.expanduser(db)
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in ctx.name)
    return os.path.join(ctx.state_dir, f"{name}.positions") if ctx.state_dir else ""
