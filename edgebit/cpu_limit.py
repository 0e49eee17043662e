"""A call that may take only so much CPU time: the last resort against regular expressions on hostile text.

`re` looks for pending signals while it goes back and forth, so a timer of the process (setitimer(2), ITIMER_VIRTUAL) whose
handler raises can end a search. The timer counts the time that this process computes, so a busy machine ends nothing. It is
armed around one call only, costs 2 µs, and works in the main thread; elsewhere the call is simply made.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

_armed = False
_ready = False


class Expired(Exception):
    """The call took too long."""


def _on_alarm(number: int, frame: object) -> None:
    if _armed:
        raise Expired


def limited(call: Callable[[str], T], text: str, seconds: float) -> T:
    """What the call returns. Raises Expired."""
    import signal  # the timer is for texts that are rare
    import threading

    global _armed, _ready
    if threading.current_thread() is not threading.main_thread():
        return call(text)
    if not _ready:
        signal.signal(signal.SIGVTALRM, _on_alarm)
        _ready = True
    try:
        try:
            _armed = True
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
            return call(text)
        finally:
            _armed = False
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except Expired:  # also if it came just after the call, before the timer was taken back
        _armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        raise
