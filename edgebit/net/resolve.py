"""Host names to addresses without blocking the loop: edgebit's only helper thread.

getaddrinfo has no non-blocking form and may take the system's resolver half a minute, so it runs in a daemon thread,
started when the first name is to be looked up. Everything else stays in the loop's thread: requests wait in a bounded
queue, equal ones share one look-up, each has its own time-out. A numeric address needs no thread but is answered in a
later turn as well, so that callers have one order of events. When a look-up fails, the last good answer is used
instead: on an edge the name server is away more often than the peer has moved.
"""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from queue import SimpleQueue
    from typing import Any

    from edgebit.log import Log
    from edgebit.loop import Loop, Timer

    Done = Callable[[list[Any], str], object]

TIMEOUT = 10.0  # seconds that a request waits
MAX_REQUESTS = 256  # waiting at once; a request is some 500 bytes
MAX_CACHED = 64  # names whose last good answer is remembered
STUCK = 60.0  # seconds on one name, after which another thread takes over; the system's own limit is about 30
MAX_STUCK = 3  # threads given up on; beyond that something is broken for good and cached answers have to do


class _Lookup:
    """One name on its way, and who waits for it."""

    __slots__ = ("host", "port", "since", "waiting")

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.waiting: list[tuple[Done, object, Timer]] = []
        self.since = 0.0  # when the thread took it (written by the thread); 0 while it is in the queue


def _look_up(host: str, port: int, **how: Any) -> list[Any]:
    """getaddrinfo, which loads the tables of international names (300 KB) for any text, but not for bytes."""
    plain = host.isascii() and max(map(len, host.split("."))) < 64  # else text, for the better error
    return socket.getaddrinfo(host.encode() if plain else host, port, **how)


class Resolver:
    """See the module's docstring. `look_up` is getaddrinfo, or a test's own."""

    def __init__(self, loop: Loop, log: Log | None = None, timeout: float = TIMEOUT,
                 look_up: Callable[..., list[Any]] | None = None) -> None:  # fmt: skip
        self._loop, self._log, self._timeout, self._look_up = loop, log, timeout, look_up or _look_up
        self._lookups: dict[tuple[str, int], _Lookup] = {}
        self._cache: dict[tuple[str, int], list[Any]] = {}
        self._waiting = 0
        self._queue: SimpleQueue[_Lookup] | None = None
        self._current: _Lookup | None = None  # what the newest thread works on (written by the thread)
        self._stuck = 0

    def resolve(self, host: str, port: int, done: Done, owner: object = None) -> None:
        """Call `done(addresses, "")` with getaddrinfo's list for a stream socket, or `done([], why)`: once, in a later
        turn, after at most the time-out. `owner` is who answers for an exception that `done` raises."""
        try:
            found = _look_up(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            pass  # a name then
        else:
            self._loop.call_later(0, lambda: done(found, ""), owner)
            return
        if self._waiting >= MAX_REQUESTS:
            self._loop.call_later(0, lambda: done([], "too many look-ups are waiting"), owner)
            return
        lookup = self._lookups.get((host, port))
        if lookup is None:
            lookup = self._lookups[host, port] = _Lookup(host, port)
            self._hand_over(lookup)
        self._waiting += 1
        timer = self._loop.call_later(self._timeout, lambda: self._expired(lookup, waiter), owner)
        waiter = (done, owner, timer)
        lookup.waiting.append(waiter)

    # -- in the loop's thread ----------------------------------------------------------------------------------------

    def _hand_over(self, lookup: _Lookup) -> None:
        now = self._loop.clock.monotonic()
        busy = self._current
        if self._queue is not None and busy is not None and now - busy.since > STUCK and self._stuck < MAX_STUCK:
            self._stuck += 1
            if self._log is not None:
                self._log.warn(f"the look-up of {busy.host} does not come back; starting another thread")
            self._start(self._queue)
        if self._queue is None:
            from queue import SimpleQueue

            self._queue = SimpleQueue()
            self._start(self._queue)
        self._queue.put(lookup)

    def _start(self, queue: SimpleQueue[_Lookup]) -> None:
        import threading

        # A daemon: a stuck look-up must not hold up the end of the process.
        self._current = None
        threading.Thread(target=self._work, args=(queue,), name="resolver", daemon=True).start()

    def _expired(self, lookup: _Lookup, waiter: tuple[Done, object, Timer]) -> None:
        lookup.waiting.remove(waiter)
        self._waiting -= 1
        if not lookup.waiting:
            self._forget(lookup)  # the thread skips it, and the next request starts afresh
        self._tell(lookup, [], f"no answer within {self._timeout:g} s", waiter[0])

    def _forget(self, lookup: _Lookup) -> None:
        if self._lookups.get((lookup.host, lookup.port)) is lookup:
            del self._lookups[lookup.host, lookup.port]

    def _finished(self, lookup: _Lookup, found: list[Any], why: str) -> None:
        self._forget(lookup)
        if found:
            self._cache.pop((lookup.host, lookup.port), None)
            self._cache[lookup.host, lookup.port] = found  # to the end: the front is the oldest
            if len(self._cache) > MAX_CACHED:
                del self._cache[next(iter(self._cache))]
        waiting, lookup.waiting = lookup.waiting, []
        self._waiting -= len(waiting)
        for done, owner, timer in waiting:
            timer.cancel()
            # Each in a call of its own: what one raises is its owner's trouble, not that of the others.
            self._loop.call_later(0, lambda done=done: self._tell(lookup, found, why, done), owner)  # type: ignore[misc]  # default binds it

    def _tell(self, lookup: _Lookup, found: list[Any], why: str, done: Done) -> None:
        if not found and (old := self._cache.get((lookup.host, lookup.port))):
            if self._log is not None:
                self._log.debug(f"cannot look up {lookup.host}: {why}; using its last known address")
            found = old
        done(found, "" if found else why)

    # -- in the helper thread ----------------------------------------------------------------------------------------

    def _work(self, queue: SimpleQueue[_Lookup]) -> None:
        while True:
            lookup = queue.get()
            if not lookup.waiting:
                continue  # all who asked have given up
            lookup.since = self._loop.clock.monotonic()
            self._current = lookup
            found: list[Any] = []
            try:
                found, why = self._look_up(lookup.host, lookup.port, type=socket.SOCK_STREAM), ""
            except socket.gaierror as error:
                why = (error.strerror or str(error)).lower()
            except UnicodeError:
                why = "that is not a host name"
            except Exception as error:  # noqa: BLE001  # whatever it is, somebody waits for an answer
                why = str(error) or type(error).__name__
            if self._current is lookup:
                self._current = None
            self._loop.call_threadsafe(lambda job=lookup, got=found, text=why: self._finished(job, got, text))  # type: ignore[misc]  # defaults bind them
