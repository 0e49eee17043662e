"""The agent: runs the parts that build has made. Start, the order of a turn's end, drain, stop.

The life of an agent: outputs are opened, then inputs; READY goes to systemd when every input is open (or when those that
can't be opened have had their time); turns until SIGTERM or SIGINT, or until every input has ended; then inputs stop
reading, the buffers drain for at most `grace` seconds, what is left is counted as lost, everything is closed. A second
signal ends the drain at once.
"""

from __future__ import annotations

import os
import signal

from edgebit import __version__, build, memory
from edgebit.errors import ConfigError, StateError, reason
from edgebit.log import LEVELS, Log
from edgebit.loop import Loop
from edgebit.notify import Notifier
from edgebit.reporter import Reporter
from edgebit.signals import OURS
from edgebit.state import StateDir
from edgebit.stats import Stats
from edgebit.supervisor import Host, Shared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgebit.buffer.restore import RestorableBuffer
    from edgebit.config.model import Config
    from edgebit.log import Sink
    from edgebit.loop import Timer
    from edgebit.net.resolve import Resolver
    from edgebit.supervisor import InputHost


class Agent:
    """Built from a config; raises ConfigError when the config is wrong. Nothing is opened before `run`."""

    def __init__(self, config: Config, env: Mapping[str, str], sink: Sink, loop: Loop | None = None) -> None:
        svc = build.service(config)
        sink.level = LEVELS[svc.log_level]
        self.loop = loop or Loop()
        self.loop.on_error = self._on_error
        self.log = Log(sink, "agent")
        self.stats = Stats()
        self._resolver: Resolver | None = None
        hostname = svc.hostname or os.uname().nodename
        self.shared = Shared(self.loop, sink, self.stats, hostname=hostname,
                             agent_id=svc.agent_id or build.agent_id(hostname),
                             state_dir=build.state_dir(svc.state_dir, env), random=_random,
                             resolver=self._get_resolver)  # fmt: skip
        try:
            parts = build.build(config, svc, self.shared, lambda: os.urandom(8).hex())
        except ConfigError:
            self.loop.close()
            raise
        assert parts.pipeline is not None
        assert parts.memory is not None
        self._memory = parts.memory
        self.inputs, self.outputs, self.pipeline = parts.inputs, parts.outputs, parts.pipeline
        self.filters = parts.filters
        self._config = config
        self._svc = svc
        self._notifier = Notifier(env, self.log)
        told = self.pipeline.routes if svc.report_losses else ()
        self._reporter = Reporter(self.stats.ledger, told, self.shared.state_dir, self.loop, self.log)
        self._state: StateDir | None = None
        self._commit_timer: Timer | None = None
        self.ready = False
        self._terminal = False  # started by a person, whose terminal may go away
        self.stopping = False
        self._changed = False
        self.status = 0  # the exit code of a run that a plugin ended
        self.shared.changed = self._on_change
        self.shared.exit = self._on_exit
        for host in self.inputs:
            host.on_exit = lambda status, host=host: self._on_input_end(host, status)  # type: ignore[misc]  # a default binds
        self.loop.end_of_turn = self._end_of_turn
        self.loop.on_signal = self._on_signal

    @property
    def warnings(self) -> list[str]:
        """What is not wrong with the configuration but worth knowing, a line each."""
        return self._config.warnings

    @property
    def summary(self) -> str:
        """ "2 inputs, 1 filter, 1 output" """
        counts = (("input", self.inputs), ("filter", self.pipeline.filters), ("output", self.outputs))
        return ", ".join(f"{len(many)} {kind}{'' if len(many) == 1 else 's'}" for kind, many in counts)

    @property
    def memory(self) -> str:
        """What service.memory_limit comes to and who gets what of it."""
        shares, size = self._memory, memory.size
        parts = [f"{size(of)} for {route.name}" for of, route in zip(shares.outputs, self.pipeline.routes)]
        return f"memory limit {size(shares.limit)}: " + ", ".join([f"{size(shares.work)} for the work", *parts])

    # -- life ----------------------------------------------------------------------------------------------------------

    def run(self, signals: bool = True) -> int:
        """Run until stopped; the exit code."""
        if signals:
            self._terminal = os.isatty(0)
            nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            self.loop.handle_signals(*(number for number in OURS if number != signal.SIGHUP or not nohup))
            _tune_collector()
        try:
            self.start()
            self.loop.run()
        finally:
            if signals:  # from now on there is nothing they could do
                signal.pthread_sigmask(signal.SIG_BLOCK, OURS)
            self.close()
        return self.status

    def start(self) -> None:
        """Open everything. What can't be opened is tried again by its host."""
        if self._svc.log_file:
            self.shared.sink.open(self._svc.log_file)
        self.log.info(
            f"edgebit {__version__} starts: {self.summary}; agent {self.shared.agent_id}, process {os.getpid()}"
        )
        for warning in self.warnings:
            self.log.warn(warning)
        self._open_state()
        for host in [*self.outputs, *self.filters, *self.inputs]:  # nothing is taken that has nowhere to go
            host.start()
        self.loop.call_later(self._svc.ready_timeout, self._ready_anyhow)
        if self._notifier.watchdog:
            self._watchdog()

    def _open_state(self) -> None:
        """Take the state directory and open the buffers in it. Raises StateError."""
        path, lock = self.shared.state_dir, None
        on_disk = [route for route in self.pipeline.routes if route.open_buffer is not None]
        if not path:
            if on_disk:
                raise StateError('a buffer on disk needs a state directory, and service.state_dir is "none"')
            return
        if on_disk or any(host.plugin.keeps_state for host in self.inputs):
            from edgebit.buffer.streams import Lock

            lock = Lock(path)
        else:
            try:
                os.makedirs(path, mode=0o750, exist_ok=True)
            except OSError as error:
                self.log.warn(f"cannot make the state directory: {reason(error)}; dead letters and the ledger can't be "
                              "kept. Make it, or name another one in service.state_dir")  # fmt: skip
        buffers: list[RestorableBuffer] = []
        if os.path.isdir(path):
            self._state = StateDir(path, lock, buffers, self.loop, self.log, self._on_restored)
        self._reporter.load()
        for route in on_disk:
            assert route.open_buffer is not None
            buffers.append(route.open_buffer())
            route.buffer = route.sender.buffer = buffers[-1]
        for directory, owner in self.orphans().items():
            self.log.warn(f"{directory} holds records of {owner or 'an unknown output'}, which is not configured; they are "
                          "kept. See: edgebit buffer ls")  # fmt: skip

    def orphans(self) -> dict[str, str]:
        """Buffers on disk that belong to no output of this configuration: directory -> its former output."""
        from edgebit.buffer.files import Files
        from edgebit.buffer.streams import Streams

        if not self.shared.state_dir:
            return {}
        names = {route.name for route in self.pipeline.routes if route.open_buffer is not None}
        try:
            return Streams(Files(), self.shared.state_dir).orphans(names)
        except OSError:
            return {}

    def stop(self, why: str) -> None:
        """Stop reading and drain; the loop ends when the buffers are empty or `grace` is over."""
        if self.stopping:
            return
        self.stopping = True
        self.log.info(f"{why}: stopping, up to {self._svc.grace:g} s to deliver what is left")
        self._reporter.tell()
        self._notifier.send("STOPPING=1")
        for host in self.inputs:
            host.stop()
        for step in self.filters:
            step.stop()  # what they keep joins what is delivered now
        for route in self.pipeline.routes:
            route.sender.drain()
        self.loop.call_later(self._svc.grace, self.loop.stop)

    def close(self) -> None:
        """Close everything and account for what is left."""
        for output in self.outputs:
            assert output.sender is not None
            output.sender.close()
            output.shut()
        # Inputs last: what became safe during the drain is in the positions that they save now.
        for host in [*self.filters, *self.inputs]:
            host.shut()
        for route in self.pipeline.routes:
            again = route.buffer.close("not delivered before the stop")
            stored = route.buffer.records if route.open_buffer is not None and not route.buffer.gone else 0
            for _, _, records, _, receipt in route.parked:
                if receipt is None:
                    self.stats.counters("output", route.name).add("lost", len(records))
                    self.stats.ledger.lost(route.name, "not delivered before the stop", len(records))
                else:
                    again += len(records)
            if stored:
                self.log.info(f"{stored} records for {route.name} wait on disk for the next start")
            if again:
                self.log.info(f"{again} records for {route.name} are not delivered yet; their inputs kept the position "
                              "and read them again at the next start")  # fmt: skip
        self._reporter.save()
        if self._state is not None:
            self._state.close()
        for line in self.stats.lines():
            self.log.info(line)
        self.log.info("stopped")
        self.loop.close()

    # -- the end of a turn -----------------------------------------------------------------------------------------------

    def _end_of_turn(self) -> None:
        # Records of this turn are in the buffers or parked. First of all make them durable, by policy: only then may a
        # source be told, and nothing is promised before.
        self._commit()
        # Outputs next: what they deliver at once makes room.
        self.pipeline.pump()
        # Parked records have waited longest; then the inputs whose records all found a place may read again.
        self.pipeline.unpark()
        # State last: it depends on all of the above.
        if self._changed:
            self._changed = False
            self._check_ready()
            self._check_ended()
        if self.stopping and self.pipeline.idle:
            self.loop.stop()

    def _commit(self) -> None:
        due = self.pipeline.commit()
        if due is None:
            return
        when = self.loop.clock.monotonic() + due
        timer = self._commit_timer
        if timer is not None and timer.call is not None:
            if timer.when <= when:
                return  # a turn comes in time; setting a timer every turn would cost more than it
            timer.cancel()
        self._commit_timer = self.loop.call_at(when, lambda: None)  # the end of that turn commits

    # -- events ----------------------------------------------------------------------------------------------------------

    def _on_change(self) -> None:
        self._changed = True

    def _on_restored(self) -> None:
        self._reporter.save(anew=True)
        for host in self.inputs:
            host.plugin.state_lost()

    def _on_input_end(self, host: InputHost, status: int) -> None:
        """An input ends the agent; but not before others that end it as well have been read to their ends."""
        host.wants_exit = status
        ends = ("exit_on_eof", "exit_after_oneshot")
        waiting = [other for other in self.inputs if other.wants_exit is None and other.state in ("open", "opening")
                   and any(getattr(other.plugin.opt, key, False) for key in ends)]  # fmt: skip
        if not waiting:
            failed = next((other.wants_exit for other in self.inputs if other.wants_exit), 0)
            self._on_exit("the end of the input is reached", failed)

    def _on_exit(self, why: str, status: int) -> None:
        if not self.stopping:
            self.status = status
        self.stop(why)

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGUSR1:
            for line in self.stats.lines():
                self.log.info(line)
        elif number == signal.SIGHUP and not self._terminal:
            self.log.warn("SIGHUP: the configuration is read at the start only; restart the agent to change it")
        elif self.stopping:
            self.log.warn("second signal: not waiting for deliveries any longer")
            self.loop.stop()
        else:
            self.stop(signal.Signals(number).name)

    def _on_error(self, owner: object, error: Exception) -> None:
        """Something raised inside the loop. A plugin is restarted; an error of our own is told and survived."""
        if isinstance(owner, Host):
            owner.crashed(error)
            return
        import traceback

        self.log.error("internal error, please report it:")
        for line in "".join(traceback.format_exception(error)).splitlines():
            self.log.error(line)

    def _check_ready(self) -> None:
        if not self.ready and all(host.state in ("open", "finished") for host in self.inputs):
            self._become_ready("")

    def _ready_anyhow(self) -> None:
        if not self.ready:
            waiting = [host.name for host in self.inputs if host.state not in ("open", "finished")]
            self._become_ready(f"waiting for {', '.join(waiting)}")

    def _become_ready(self, status: str) -> None:
        self.ready = True
        self._notifier.send(f"READY=1\nSTATUS={status or 'all inputs are open'}")
        self.log.info(f"ready{': ' + status if status else ''}")
        self.loop.call_later(1.0, _load_encoder)

    def _check_ended(self) -> None:
        if not self.stopping and all(host.state == "finished" for host in self.inputs):
            self.stop("all inputs have ended")

    def _watchdog(self) -> None:
        # Sent from the loop itself: a loop that hangs sends nothing and systemd restarts the service.
        self._notifier.send("WATCHDOG=1")
        self.loop.call_later(self._notifier.watchdog / 2, self._watchdog)

    def _get_resolver(self) -> Resolver:
        if self._resolver is None:
            from edgebit.net.resolve import Resolver

            self._resolver = Resolver(self.loop)
        return self._resolver


def _tune_collector() -> None:
    """Let the garbage collector look less often, and not at the program itself.

    Records come and go by the thousand and are freed by their reference counts; the default makes the collector look at
    those in the buffers again and again, for a tenth of all time. What it is needed for, cycles, is rare here.
    """
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _load_encoder() -> None:
    """What turns records into bytes when memory gets short is loaded while there is some."""
    import cbor2  # noqa: F401  # 1.4 MB


def _random() -> float:
    """Uniform in [0, 1), for jitter; not the random module, which costs a megabyte of tables and hashlib."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
