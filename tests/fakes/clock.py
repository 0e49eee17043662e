"""A clock that jumps to the next timer instead of waiting for it.

Descriptors are real: the selector looks whether one is ready now, and only if none is, time moves. So a test that talks
over loopback or a pty runs as fast as the kernel, and one that waits a day for a timer takes no time.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable

from edgebit.loop import Loop


class FakeClock:
    """Starts at an arbitrary monotonic time and at 2026-01-01T00:00:00Z on the wall."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall = 1_767_225_600 * 10**9

    def monotonic(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return self.wall

    def boot_ns(self) -> int:
        return round(self.now * 10**9)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.wall += round(seconds * 10**9)


class JumpingSelector(selectors.DefaultSelector):  # type: ignore[valid-type,misc]  # the platform's class, chosen at run time
    """Polls; where the real one would wait, it advances the fake clock by the whole time-out."""

    PATIENCE = 10.0  # real seconds for something only a descriptor can bring; then the test has hung

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            events = super().select(self.PATIENCE)
            assert events, "the loop waits for a descriptor that never becomes ready"
            return events
        self._clock.advance(timeout)
        return []


class FakeLoop(Loop):
    """A loop with helpers for tests."""

    clock: FakeClock

    def run_for(self, seconds: float) -> None:
        """Turn until the fake clock has moved by so many seconds."""
        self.run_until(lambda: False, seconds)

    def run_until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Turn until the condition holds, or for so many fake seconds."""
        end = self.clock.now + seconds
        for _ in range(1_000_000):
            if condition() or self.clock.now >= end:
                return
            self.turn(longest=end - self.clock.now)
        raise AssertionError("a million turns and no end: the loop spins")


def fake_loop(clock: FakeClock | None = None) -> FakeLoop:
    clock = clock or FakeClock()
    return FakeLoop(clock, JumpingSelector(clock))
