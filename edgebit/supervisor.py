"""Hosts: one around each input, filter and output. A host is the plugin's Context and keeps it alive.

It promises: a source or peer that isn't there is tried again with back-off for ever, logged once when the trouble starts
and once when it ends; a plugin that raises is closed and opened again, with its traceback in the log the first time;
callbacks that a plugin left behind when it was closed are never run; pause and resume reach a plugin only while it is
open, and one that was opened while held starts paused.
"""

from __future__ import annotations

from edgebit.backoff import Backoff
from edgebit.errors import EdgebitError, reason
from edgebit.log import Log, Trouble
from edgebit.plugin import READ_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from edgebit.log import Sink
    from edgebit.loop import Loop, Timer, Watch
    from edgebit.net.resolve import Resolver
    from edgebit.net.writing import Printer
    from edgebit.pipeline import FilterStep, Pipeline
    from edgebit.plugin import Filter, Input, Origin, Output, Plugin, Receipt
    from edgebit.record import Record
    from edgebit.sender import Sender
    from edgebit.stats import Stats

HELD_LONG = 10.0  # seconds that a full buffer may hold an input before that is worth a line
REOPEN_FIRST, REOPEN_CAP = 0.5, 10.0  # seconds; a re-plugged device should be back before a person looks


class Shared:
    """What all hosts share; made once by the agent."""

    def __init__(self, loop: Loop, sink: Sink, stats: Stats, *, hostname: str, agent_id: str, state_dir: str,
                 random: Callable[[], float], resolver: Callable[[], Resolver]) -> None:  # fmt: skip
        self.loop, self.sink, self.stats = loop, sink, stats
        self.hostname, self.agent_id, self.state_dir = hostname, agent_id, state_dir
        self.random, self.resolver = random, resolver
        self.read_size = READ_SIZE
        self.changed: Callable[[], object] = lambda: None  # called when a host's state changes
        self.exit: Callable[[str, int], object] = lambda why, status: None  # ends the agent


class Host:
    """The Context of a plugin; see plugin.Context for the methods that plugins use."""

    kind = ""
    plugin: Any = None

    def __init__(self, name: str, plugin_name: str, shared: Shared) -> None:
        self.name, self.shared = name, shared
        self.clock = shared.loop.clock
        self.hostname, self.agent_id, self.state_dir = shared.hostname, shared.agent_id, shared.state_dir
        self.stats = shared.stats.counters(self.kind, name)
        self.log = Log(shared.sink, f"{self.kind}:{plugin_name}:{name}")
        self.trouble = Trouble(self.log, self.clock.monotonic)
        self.state = "new"  # new | opening | open | waiting | stopped | closed | finished
        self._backoff = Backoff(REOPEN_FIRST, REOPEN_CAP, self.clock.monotonic, shared.random)
        self._life = 0  # callbacks belong to one life, from an open to the next close
        self._retry: Timer | None = None
        self._crashes: set[str] = set()

    def attach(self, plugin: Plugin) -> None:
        self.plugin = plugin

    @property
    def read_size(self) -> int:
        return self.shared.read_size

    # -- what plugins call -------------------------------------------------------------------------------------------

    def watch(self, fd: int, on_read: Callable[[], object] | None = None,
              on_write: Callable[[], object] | None = None) -> Watch:  # fmt: skip
        return self.shared.loop.watch(fd, on_read, on_write, self)

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        life = self._life
        return self.shared.loop.call_later(seconds, lambda: call() if life == self._life else None, self)

    def resolve(self, host: str, port: int, done: Callable[[list[Any], str], object]) -> None:
        life = self._life
        answer: Callable[[list[Any], str], object] = lambda found, why: done(found, why) if life == self._life else None  # noqa: E731 - a def would need its types twice
        self.shared.resolver().resolve(host, port, answer, self)

    def lost(self, why: str) -> None:
        if self.state in ("open", "opening"):
            self._down(why)

    # -- what the agent and the loop call ------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the plugin, or see to it that it gets opened."""
        self._retry = None
        self.state = "opening"
        try:
            self.plugin.open()
        except (EdgebitError, OSError) as error:
            self._down(reason(error))
            return
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it is tried again like a missing device
            self.crashed(error)
            return
        if self.state != "opening":  # it was lost, or had ended, before open was over
            return
        self.state = "open"
        self._backoff.worked()
        self.trouble.end("open again")
        self.opened()
        self.shared.changed()

    def opened(self) -> None:
        """The plugin is open now."""

    def went_down(self, why: str) -> None:
        """The plugin is closed now and will be opened again."""

    def crashed(self, error: Exception) -> None:
        """A callback of the plugin raised: tell the whole story once, then treat it like a lost source."""
        why = f"internal error: {reason(error)}"
        if why not in self._crashes and len(self._crashes) < 20:
            self._crashes.add(why)
            import traceback

            for line in "".join(traceback.format_exception(error)).splitlines():
                self.log.error(line)
        if self.state not in ("closed", "finished"):
            self._down(why)

    def shut(self) -> None:
        """Close for good."""
        if self._retry is not None:
            self._retry.cancel()
        self.state = "closed"
        self._close()

    def _close(self) -> None:
        self._life += 1
        try:
            self.plugin.close()
        except Exception as error:  # noqa: BLE001 - closing must go on, whatever the plugin does
            self.log.error(f"closing failed: {reason(error)}")

    def _down(self, why: str) -> None:
        self._close()
        self.state = "waiting"
        self.trouble.begin(why)
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self.shared.loop.call_later(self._backoff.failed(), self.start, self)
        self.went_down(why)
        self.shared.changed()


class InputHost(Host):
    """An input's Context, and the pipeline's Source."""

    kind = "input"
    plugin: Input

    def __init__(self, name: str, plugin_name: str, tag: str, shared: Shared) -> None:
        super().__init__(name, plugin_name, shared)
        self.tag = tag
        self.pipeline: Pipeline | None = None
        self.on_exit: Callable[[int], object] = lambda status: None
        self.wants_exit: int | None = None  # it has asked for the end of the agent, with this exit status
        self._held = False
        self._held_long: Timer | None = None
        self._holding = Trouble(self.log, self.clock.monotonic)

    @property
    def patient(self) -> bool:
        return self.plugin.patient

    def emit(self, tag: str, records: list[Record], raw: int = 0, receipt: Receipt | None = None) -> None:
        assert self.pipeline is not None
        self.pipeline.emit(self, tag, records, raw, receipt)

    def recovered(self, tag: str, source: str) -> list[tuple[int, int]]:
        assert self.pipeline is not None
        return self.pipeline.recovered(tag, source)

    def missed(self, why: str, count: int, tag: str = "") -> None:
        assert self.pipeline is not None
        self.stats.add("missed", count)
        outputs = self.pipeline.takers(tag or self.tag)
        self.shared.stats.ledger.lost_at(self.name, why, count, self.clock.wall_ns(), outputs)

    def finished(self) -> None:
        if self.state != "closed":
            self._close()
            self.state = "finished"
            self.log.debug("the source has ended")
            self.shared.changed()

    def exit_agent(self, status: int = 0) -> None:
        self.on_exit(status)

    def hold(self) -> None:
        if not self._held:  # several buffers may be full
            self._held_long = self.shared.loop.call_later(HELD_LONG, self._say_held, self)
        self._held = True
        self.stats.add("pauses")
        if self.state == "open":
            self.log.debug("paused: an output has to catch up")
            self.plugin.pause()

    def unhold(self) -> None:
        self._held = False
        if self._held_long is not None:
            self._held_long.cancel()
        self._holding.end("reading again")
        if self.state == "open":
            self.log.debug("resumed")
            self.plugin.resume()

    def _say_held(self) -> None:
        self._holding.begin("paused, for a buffer is full that may not drop", "reading goes on when there is room")

    def opened(self) -> None:
        if self._held:
            self.plugin.pause()

    def stop(self) -> None:
        """The agent is stopping: take no more."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self.state == "open":
            try:
                self.plugin.stop()
            except Exception as error:  # noqa: BLE001 - stopping must go on, whatever the plugin does
                self.log.error(f"stopping failed: {reason(error)}")
        # Not closed yet: positions may still become safe while the buffers drain; but nothing is read any more.
        if self.state == "open" and not self._held:
            self.plugin.pause()
        self.state = "stopped" if self.state == "open" else self.state


class FilterHost(Host):
    """A filter's Context. A filter is never down: one whose timer raised is told about and kept as it is."""

    kind = "filter"
    plugin: Filter

    def __init__(self, name: str, plugin_name: str, shared: Shared) -> None:
        super().__init__(name, plugin_name, shared)
        self.pipeline: Pipeline | None = None
        self.step: FilterStep | None = None
        self._printer: Printer | None = None

    @property
    def origin(self) -> Origin | None:
        return self.step.origin if self.step is not None else None

    @property
    def held(self) -> bool:
        return self.step is not None and self.step.held

    def emit(self, tag: str, records: list[Record], kept: Sequence[Origin] = (), onward: bool = False) -> bool:
        assert self.pipeline is not None
        assert self.step is not None
        return self.pipeline.emit_again(self.step, tag, records, kept, onward)

    def print(self, data: bytes) -> None:
        if self._printer is None:
            from edgebit.net.writing import Printer

            self._printer = Printer(self)
        if not self._printer.write(data, self._print_done) and self.pipeline is not None and self.step is not None:
            self.pipeline.hold_for(self.step)

    def _print_done(self) -> None:
        if self.pipeline is not None and self.step is not None:
            self.pipeline.resume_for(self.step)

    @property
    def printed(self) -> bool:
        return self._printer is None or self._printer.idle

    def _close(self) -> None:
        super()._close()
        if self._printer is not None:
            self._printer.close()
            self._printer = None

    def exit_agent(self, status: int = 0) -> None:
        # Not now: a batch is on its way through the filters.
        self.shared.loop.call_later(0, lambda: self.shared.exit(f"{self.name} asked for it", status))

    def stop(self) -> None:
        """The inputs have ended."""
        if self.state == "open":
            self.state = "stopped"
            try:
                self.plugin.stop()
            except Exception as error:  # noqa: BLE001 - stopping must go on, whatever the plugin does
                self.log.error(f"stopping failed: {reason(error)}")

    def _down(self, why: str) -> None:
        self.stats.add("errors")
        self.trouble.begin(why, "the filter goes on")
        if self.state == "opening":
            self.state = "open"


class OutputHost(Host):
    """An output's Context; tells its sender when deliveries may go out."""

    kind = "output"
    plugin: Output

    def __init__(self, name: str, plugin_name: str, shared: Shared) -> None:
        super().__init__(name, plugin_name, shared)
        self.sender: Sender | None = None
        self.delivery_trouble = Trouble(self.log, self.clock.monotonic)

    def opened(self) -> None:
        if self.sender is not None:
            self.sender.start()

    def went_down(self, why: str) -> None:
        if self.sender is not None:
            self.sender.halt(why)
