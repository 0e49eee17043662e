"""Exponential back-off with full jitter after the cap, reset only after a stable period.

Full jitter (a uniform choice from zero to the capped delay) spreads a fleet that lost the same collector at the same
moment; jitter before the cap would bring them all back in step once they have reached it. A single success doesn't
reset the delay: something that works for a second and fails again would otherwise be hammered.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """first, cap    seconds: the first delay and the longest one
    random           a function that gives a float in [0, 1)
    """

    def __init__(self, first: float, cap: float, monotonic: Callable[[], float], random: Callable[[], float]) -> None:
        self.first, self.cap = first, cap
        self._monotonic, self._random = monotonic, random
        self._failures = 0
        self._worked_since: float | None = None

    def failed(self, at_least: float = 0.0) -> float:
        """Seconds to wait now. `at_least` is what the peer asked for; jitter comes on top of it."""
        now = self._monotonic()
        if self._worked_since is not None and now - self._worked_since >= self.cap:
            self._failures = 0
        self._worked_since = None
        ceiling = min(self.cap, self.first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        # Never less than a tenth: full jitter may choose zero, and a tight loop helps nobody.
        return max(at_least, ceiling * 0.1) + self._random() * ceiling * 0.9

    def worked(self) -> None:
        """It works now; a period counts as stable from here until the next failure."""
        if self._worked_since is None:
            self._worked_since = self._monotonic()
