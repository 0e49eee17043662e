"""The state directory of a running agent: its lock, the buffers in it, and what happens when it goes away.

Every few seconds it is looked at, with a stat a file and no write. If it was removed, or another file system mounted over
it, it is made again with everything that waited in it (buffer/restore.py); where that isn't possible the agent goes on in
memory and tries again, said once when it starts and once when it ends.
"""

from __future__ import annotations

import os

from edgebit.errors import StateError, reason
from edgebit.log import Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgebit.buffer.restore import RestorableBuffer
    from edgebit.buffer.streams import Lock
    from edgebit.log import Log
    from edgebit.loop import Loop

EVERY = 5.0  # seconds between two looks


class StateDir:
    """See the module's docstring.

    lock      of an agent that keeps positions or buffers there; None for one that keeps only its ledger and dead letters
    restored  called when the directory was made again: others have files there, too
    """

    def __init__(self, path: str, lock: Lock | None, buffers: Sequence[RestorableBuffer], loop: Loop, log: Log,
                 restored: Callable[[], object]) -> None:  # fmt: skip
        self._path, self._lock, self._buffers = path, lock, buffers
        self._loop, self._log, self._restored = loop, log, restored
        self._trouble = Trouble(log, loop.clock.monotonic)
        self._timer = loop.call_later(EVERY, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = self._loop.call_later(EVERY, self._on_timer)
        self.check()

    def check(self) -> None:
        """Look, and mend what can be mended."""
        moved = [buffer for buffer in self._buffers if buffer.gone or not buffer.in_place]
        there = self._lock.in_place if self._lock is not None else os.path.isdir(self._path)
        if there and not moved:
            return
        try:
            if self._lock is not None:
                self._lock.renew()
            else:
                os.makedirs(self._path, mode=0o750, exist_ok=True)
            stored = sum(buffer.restore() for buffer in moved)
        except (OSError, StateError) as error:
            for buffer in moved:
                buffer.suspend()
            self._trouble.begin(f"the state directory {self._path} was removed while the agent ran, and can't be made again "
                                f"({reason(error)})", "records wait in memory until it can")  # fmt: skip
            return
        text = f"the state directory {self._path} is made again, with {stored} records that wait in it"
        if self._trouble:
            self._trouble.end(text)
        else:
            self._log.warn(f"{text}; it, or a part of it, was removed while the agent ran")
        self._restored()

    def close(self) -> None:
        """Give back the lock."""
        self._timer.cancel()
        if self._lock is not None:
            self._lock.close()
