"""What of a buffer's disk fails, how often in a row, and when it is tried again.

Writing, reading and saving the cursor fail each by itself, but it is one disk: one line in the log when the first of them
fails, however many different things fail then, and one when all work again.
"""

from __future__ import annotations

from edgebit.errors import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from edgebit.buffer.queue import Clocks

    class Trouble(Protocol):
        def __bool__(self) -> bool: ...

        def begin(self, why: str, advice: str = ...) -> None: ...

        def end(self, text: str) -> None: ...


WRITING, READING, CURSOR = "writing", "reading", "cursor"
TRIES = 3  # failures in a row after which it is tried in another place
_RETRY = 1.0  # seconds between two tries


class Health:
    """See the module's docstring. `until` says before which time writing or reading is not tried again."""

    def __init__(self, trouble: Trouble, clocks: Clocks) -> None:
        self._trouble, self._clocks, self._why = trouble, clocks, ""
        self._failures: dict[str, int] = {}  # in a row
        self.until = {WRITING: 0.0, READING: 0.0, CURSOR: 0.0}

    def failed(self, what: str, doing: str, error: OSError) -> int:
        """How often it has failed now, in a row."""
        self._failures[what] = self._failures.get(what, 0) + 1
        self.pause(what)
        if not self._trouble:
            self._why = f"cannot {doing}: {reason(error)}"
        self._trouble.begin(self._why, "keeping records in memory and trying again")
        return self._failures[what]

    def works(self, what: str) -> None:
        if self._failures.pop(what, 0) and not self._failures:
            self._trouble.end("the disk works again")

    def fails(self, what: str) -> bool:
        return what in self._failures

    def pause(self, what: str) -> None:
        """Don't try for a while: it has failed, or there is no room."""
        self.until[what] = self._clocks.monotonic() + _RETRY

    def rests(self, what: str) -> bool:
        return self._clocks.monotonic() < self.until[what]

    def go_on(self, what: str) -> None:
        """Try at once, unless it fails: there may be room again."""
        if what not in self._failures:
            self.until[what] = 0.0
