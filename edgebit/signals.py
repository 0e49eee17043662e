"""Signals before the loop runs and after it has ended. Imports nothing heavy: it is what `edgebit run` begins with."""

from __future__ import annotations

import contextlib
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Within, signals wait until the loop takes them (Loop.handle_signals), so that none ends a process that is starting;
    those that come when the loop is closed are forgotten."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OURS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, OURS)
        for number in OURS:
            signal.signal(number, signal.signal(number, signal.SIG_IGN))  # ignoring forgets the one that waits
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
