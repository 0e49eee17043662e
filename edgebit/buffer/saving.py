"""When the cursor of a log is saved: a second after it moved, synced every five while it moves and once when it rests. So a
kill brings again what a second has delivered, a power cut what five have; and where nothing moves nothing is written.

What tells of a loss is saved at once, lest it be told again. Where the owner doesn't sync, the cursor isn't synced either.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.buffer.log import Log
    from edgebit.buffer.queue import Clocks

_SAVE, _SYNC = 1.0, 5.0  # seconds between two, at least


class CursorSaver:
    """`sync`: the owner's interval, which may be longer than ours."""

    def __init__(self, log: Log, clocks: Clocks, sync: float | None) -> None:
        self._log, self._clocks = log, clocks
        self._sync_interval = None if sync is None else max(_SYNC, sync)
        self._tried = self._synced = float("-inf")  # when

    @property
    def fails(self) -> bool:
        """The last try failed."""
        return self._log.cursor_fails

    @property
    def due(self) -> float | None:
        """When it is to be saved or synced, by the monotonic clock; None if there is nothing to say."""
        log, due = self._log, None
        if log.moved:
            due = self._tried + (0.0 if log.told else _SAVE)
        elif not log.cursor_synced and self._sync_interval is not None:
            due = self._synced + self._sync_interval
        return due if due is None or not log.cursor_fails else max(due, self._tried + _SAVE)

    def save(self, next_seq: int, clean: bool) -> None:
        """`next_seq`: of the owner's stream. Raises OSError."""
        now = self._tried = self._clocks.monotonic()
        self._log.cursor.next_seq = next_seq
        self._log.save_cursor(self._sync_interval is not None and self._synced + self._sync_interval <= now, clean)
        if self._log.cursor_synced:
            self._synced = now
