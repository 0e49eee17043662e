"""The loop: one selector, timers, signals, a wake-up, and a clock that is handed in.

It promises: one turn is (1) wait until a descriptor is ready or a timer is due, (2) due timers and signals, (3)
readable descriptors, (4) the end-of-turn hook, which the agent fills with the ordered steps of the design, (5)
writable descriptors. A timer or call set during a turn runs in the next one, so nobody can starve the descriptors by
re-arming. A callback that raises is handed to `on_error` with its owner; one broken plugin can't stop the loop.

Monotonic time only; what the wall says is nobody's business here. It must not know plugins, buffers or records.

About epoll, which is what `selectors` uses on Linux: (a) EPOLLHUP and EPOLLERR are reported for every registered
descriptor, whatever it waits for, and come as readable and writable; so a watch that wants nothing is not registered
at all, and one that does must answer a hang-up (an empty read, an error) by closing, or the loop spins. (b) Regular
files can't be registered (EPERM): they never block. (c) A closed descriptor vanishes from the set by itself and its
number is reused, hence `Watch.close` must come before ``os.close``.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import signal
import socket
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Clock(Protocol):
        def monotonic(self) -> float:
            """Seconds, never going back; for every interval and time-out."""
            ...

        def wall_ns(self) -> int:
            """Nanoseconds since the epoch; only to stamp records."""
            ...

        def boot_ns(self) -> int:
            """Nanoseconds since the machine was started, suspend included; for what is compared over restarts."""
            ...


READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class SystemClock:
    """The real clock."""

    monotonic = staticmethod(time.monotonic)
    wall_ns = staticmethod(time.time_ns)

    @staticmethod
    def boot_ns() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Timer:
    """Something to happen later; `cancel` may be called at any time and more than once."""

    __slots__ = ("_loop", "call", "owner", "when")

    def __init__(self, loop: Loop, when: float, call: Callable[[], object] | None, owner: object) -> None:
        self._loop, self.when, self.call, self.owner = loop, when, call, owner

    def cancel(self) -> None:
        if self.call is not None:
            self.call = None  # stays in the heap for now: lazy deletion
            self._loop.note_cancelled()


class Watch:
    """Interest in one descriptor. `want` tells what to wait for; wanting nothing is cheap and keeps the watch."""

    __slots__ = ("_loop", "events", "fd", "on_read", "on_write", "owner")

    def __init__(self, loop: Loop, fd: int, on_read: Callable[[], object] | None,
                 on_write: Callable[[], object] | None, owner: object) -> None:  # fmt: skip
        self._loop, self.fd, self.owner = loop, fd, owner
        self.on_read, self.on_write = on_read, on_write
        self.events = 0

    def want(self, read: bool = False, write: bool = False) -> None:
        events = (READ if read else 0) | (WRITE if write else 0)
        if events == self.events or self.fd < 0:
            return
        selector = self._loop.selector
        if not self.events:
            selector.register(self.fd, events, self)
        elif not events:
            selector.unregister(self.fd)
        else:
            selector.modify(self.fd, events, self)
        self.events = events

    def close(self) -> None:
        """Forget the descriptor; the owner closes it afterwards."""
        self.want()
        self.fd = -1


class Loop:
    """See the module's docstring. `on_error(owner, error)` is called for what callbacks raise."""

    def __init__(self, clock: Clock | None = None, selector: selectors.BaseSelector | None = None,
                 on_error: Callable[[object, Exception], None] | None = None) -> None:  # fmt: skip
        self.clock: Clock = clock or SystemClock()
        self.selector = selector or selectors.DefaultSelector()
        self.on_error = on_error
        self.end_of_turn: Callable[[], object] = lambda: None
        self.on_signal: Callable[[int], object] = lambda signum: None
        self.turns = 0
        self._timers: list[tuple[float, int, Timer]] = []
        self._cancelled = 0  # of them
        self._order = itertools.count()  # equal times run in the order in which they were set
        self.stopping = False
        self._old_handlers: dict[int, Any] = {}
        # Written by other threads (call_threadsafe) and, through set_wakeup_fd, by signals; so the loop wakes up.
        self._wake_in, self._wake_out = socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self._calls: deque[tuple[Callable[[], object], object]] = deque()  # append and popleft are thread-safe
        self.watch(self._wake_in.fileno(), self._on_wake).want(read=True)

    # -- what plugins and the agent ask for --------------------------------------------------------------------------

    def call_at(self, when: float, call: Callable[[], object], owner: object = None) -> Timer:
        """Run `call` in a later turn, at the monotonic time `when` or as soon after as possible."""
        timer = Timer(self, when, call, owner)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_later(self, seconds: float, call: Callable[[], object], owner: object = None) -> Timer:
        return self.call_at(self.clock.monotonic() + seconds, call, owner)

    def call_threadsafe(self, call: Callable[[], object], owner: object = None) -> None:
        """Run `call` in the loop's thread soon; the only method that other threads may use."""
        self._calls.append((call, owner))
        self._wake()

    def watch(self, fd: int, on_read: Callable[[], object] | None = None,
              on_write: Callable[[], object] | None = None, owner: object = None) -> Watch:  # fmt: skip
        """Watch a descriptor; nothing is waited for until `Watch.want`."""
        return Watch(self, fd, on_read, on_write, owner)

    def handle_signals(self, *signums: int) -> None:
        """Deliver these signals to `on_signal` inside the loop. Only in the main thread."""
        # The C-level handler writes the number to the wake-up socket; the Python-level one has nothing left to do.
        signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)
        for signum in signums:
            self._old_handlers[signum] = signal.signal(signum, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signums)  # those that were held come now

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Turn after turn until `stop`."""
        self.stopping = False
        while not self.stopping:
            self.turn()

    def stop(self) -> None:
        """Let `run` return after this turn."""
        self.stopping = True

    def turn(self, longest: float | None = None) -> None:
        """One turn, waiting at most `longest` seconds (None: until something happens)."""
        events = self.selector.select(self._patience(longest))
        self.turns += 1
        self._run_timers()
        self._run_events(events, READ)
        self._guard(self.end_of_turn, None)
        self._run_events(events, WRITE)

    def close(self) -> None:
        """Give back descriptors and signal handlers."""
        if self._old_handlers:
            signal.set_wakeup_fd(-1)
            for signum, handler in self._old_handlers.items():
                signal.signal(signum, handler)
            self._old_handlers.clear()
        self.selector.close()
        self._wake_in.close()
        self._wake_out.close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def note_cancelled(self) -> None:
        """A timer in the heap is dead. Time-outs are set and cancelled with every request, and most are a minute long, so
        the dead are swept out when they are the majority: constant cost a timer, and a bounded heap."""
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled > len(self._timers) // 2:
            self._timers = [entry for entry in self._timers if entry[2].call is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _patience(self, longest: float | None) -> float | None:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
            self._cancelled = max(0, self._cancelled - 1)
        if self._calls:
            return 0
        if self._timers:
            due = max(0.0, self._timers[0][0] - self.clock.monotonic())
            return due if longest is None else min(due, longest)
        return longest

    def _run_timers(self) -> None:
        # The number taken first is the border between timers of this turn and those that they set.
        now, border = self.clock.monotonic(), next(self._order)
        later = []
        while self._timers and self._timers[0][0] <= now:
            entry = heapq.heappop(self._timers)
            if entry[1] > border:
                later.append(entry)
            elif (call := entry[2].call) is not None:
                entry[2].call = None
                self._guard(call, entry[2].owner)
        for entry in later:
            heapq.heappush(self._timers, entry)

    def _run_events(self, events: list[tuple[selectors.SelectorKey, int]], which: int) -> None:
        for key, ready in events:
            watch: Watch = key.data
            # An earlier callback of this turn may have closed it or changed its mind.
            if ready & watch.events & which:
                call = watch.on_read if which == READ else watch.on_write
                if call is not None:
                    self._guard(call, watch.owner)

    def _guard(self, call: Callable[[], object], owner: object) -> None:
        try:
            call()
        except Exception as error:  # a plugin may raise anything; its owner is restarted, the loop goes on
            if self.on_error is None:
                raise
            self.on_error(owner, error)

    def _on_wake(self) -> None:
        try:
            data = self._wake_in.recv(4096)
        except BlockingIOError:
            data = b""
        for _ in range(len(self._calls)):
            self._guard(*self._calls.popleft())
        for number in data:
            if number:
                self._guard(lambda number=number: self.on_signal(number), None)  # type: ignore[misc]  # default binds it

    def _wake(self) -> None:
        try:
            self._wake_out.send(b"\0")
        except (BlockingIOError, OSError):
            pass  # full: a wake-up is already waiting; closed: nobody listens any more
