"""From a typed config to the parts of an agent: option tables applied, plugins imported and made, nothing opened.

All errors of a config are found in one go. `edgebit check` is this and nothing else.
"""

from __future__ import annotations

import os
import re

from edgebit import match, memory, registry, tables
from edgebit.backoff import Backoff
from edgebit.buffer.format import Moment
from edgebit.buffer.queue import Buffer
from edgebit.config.model import Section
from edgebit.deadletter import DeadLetters
from edgebit.errors import ConfigError, ConfigErrors, StateError, nearest, reason
from edgebit.log import Log, Trouble
from edgebit.options import Option, Options, Setting, multiline_ref, plugin_ref, read
from edgebit.patterns import compiled
from edgebit.pipeline import FilterStep, Pipeline, Route
from edgebit.plugin import Filter, Input, Parser, Plugin
from edgebit.sender import BUFFER_OPTIONS, Sender
from edgebit.supervisor import FilterHost, Host, InputHost, OutputHost, Shared
from edgebit.tables import SERVICE_OPTIONS, Table, place, table_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from edgebit.buffer.restore import RestorableBuffer
    from edgebit.config.model import Config
    from edgebit.loop import Clock
    from edgebit.onigmo import Pattern
    from edgebit.parsers.multiline import Definition


class Parts:
    """What build makes and the agent runs."""

    def __init__(self) -> None:
        self.inputs: list[InputHost] = []
        self.filters: list[FilterHost] = []
        self.outputs: list[OutputHost] = []
        self.pipeline: Pipeline | None = None
        self.memory: memory.Shares | None = None


def service(config: Config) -> Options:
    """The service options. Raises ConfigError."""
    return read(SERVICE_OPTIONS, config.service, "service", config.path)


def build(config: Config, svc: Options, shared: Shared, new_stream_id: Callable[[], str]) -> Parts:
    """Make all plugins and tie them together. Raises ConfigErrors."""
    builder = _Builder(config, svc, shared, new_stream_id)
    parts = builder.build()
    if builder.errors:
        raise builder.errors[0] if len(builder.errors) == 1 else ConfigErrors(builder.errors)
    return parts


class _Builder:
    def __init__(self, config: Config, svc: Options, shared: Shared, new_stream_id: Callable[[], str]) -> None:
        self.config, self.svc, self.shared, self.new_stream_id = config, svc, shared, new_stream_id
        self.errors: list[ConfigError] = []
        self.parsers: dict[str, Parser] = {}
        self.multiline: dict[str, Definition] = {}
        self.patterns: dict[object, list[Pattern]] = {}  # of options, parsers and definitions
        self.timed: dict[Options, list[Parser]] = {}  # those of its parsers that read times
        self.names: set[tuple[str, str]] = set()
        self.parts = Parts()
        self.memory = memory.Shares(0, (), 0)

    def build(self) -> Parts:
        self.errors += tables.settle(self.config)
        for section in self.config.sections["parser"]:
            self.attempt(self.parser, section, 0)
        for section in self.config.sections["multiline_parser"]:
            self.attempt(self.multiline_parser, section, 0)
        for i, section in enumerate(self.config.sections["input"]):
            self.attempt(self.input, section, i)
        try:
            self.memory = self.parts.memory = self.shares()
        except ConfigError as error:
            self.errors.append(error)
        else:
            self.shared.read_size = self.memory.read_size
        steps = [self.attempt(self.filter, s, i) for i, s in enumerate(self.config.sections["filter"])]
        routes = [self.attempt(self.output, s, i) for i, s in enumerate(self.config.sections["output"])]
        for kind, example in (("input", "cpu"), ("output", "stdout")):
            if not self.config.sections[kind]:
                one = f"[{kind.upper()}]" if self.config.classic else f"[[{kind}]]"
                example = f"Name {example}" if self.config.classic else f'plugin = "{example}"'
                problem = f"there is no {one} section, so there is nothing to do; add one, for example with {example}"
                self.errors.append(ConfigError(problem, self.config.path))
        self.parts.pipeline = Pipeline([s for s in steps if s], [r for r in routes if r], self.shared.stats,
                                       Log(self.shared.sink, "pipeline"))  # fmt: skip
        for host in self.parts.inputs:
            host.pipeline = self.parts.pipeline
        for step in self.parts.filters:
            step.pipeline = self.parts.pipeline
        return self.parts

    def attempt(self, make: Callable[[Section, int], Any], section: Section, index: int) -> Any:
        try:
            return make(section, index)
        except ConfigError as error:
            self.errors.append(error)
            return None

    def parser(self, section: Section, index: int) -> None:
        table = table_of(section, self.config.classic)
        assert table.cls is not None
        opt = self.options(table, section)
        if opt.name in self.parsers:
            raise ConfigError(f'there is another parser called "{opt.name}"', place(section, "name"), "name")
        for option in table.options:
            given = section.given(option.name.lower())
            if given is not None and option.help.startswith("without effect"):
                self.config.warn(given.where, given.key, f"has no effect with format {section.plugin}")
        self.parsers[opt.name] = self.make(table.cls, section, opt.name, opt)
        self.patterns[self.parsers[opt.name]] = self.patterns[opt]

    def multiline_parser(self, section: Section, index: int) -> None:
        from edgebit.parsers import multiline_options

        opt = self.options(table_of(section, self.config.classic), section)
        if opt.name in self.multiline:
            raise ConfigError(f'there is another multiline parser called "{opt.name}"', place(section, "name"), "name")
        definition = self.make(multiline_options.definition, section, opt, self.svc.multiline_buffer_limit)
        self.multiline[opt.name] = definition
        self.patterns[definition] = self.patterns[opt]

    def input(self, section: Section, index: int) -> None:
        table = table_of(section, self.config.classic)
        cls = table.cls
        assert cls is not None
        opt = self.options(table, section)
        host = InputHost(self.name(section, opt, index), cls.NAME, opt.tag or f"{cls.NAME}.{index}", self.shared)
        plugin = self.make(cls, section, opt, host)
        assert isinstance(plugin, Input)
        self.attach(host, plugin, opt)
        self.parts.inputs.append(host)

    def filter(self, section: Section, index: int) -> FilterStep:
        table = table_of(section, self.config.classic)
        cls = table.cls
        assert cls is not None
        opt = self.options(table, section)
        host = FilterHost(self.name(section, opt, index), cls.NAME, self.shared)
        plugin = self.make(cls, section, opt, host)
        assert isinstance(plugin, Filter)
        self.attach(host, plugin, opt)
        host.step = FilterStep(host.name, self.matcher(opt), plugin, host.stats, host.trouble)
        self.parts.filters.append(host)
        return host.step

    def output(self, section: Section, index: int) -> Route:
        table = table_of(section, self.config.classic)
        cls, format_cls = table.cls, table.format
        assert cls is not None
        opt = self.options(table, section)
        buf = read(BUFFER_OPTIONS, section.buffer, "output.buffer", section.where)
        name = self.name(section, opt, index)
        host = OutputHost(name, cls.NAME, self.shared)
        output = self.make(cls, section, opt, host)
        self.attach(host, output, opt)
        stream_id = self.new_stream_id()
        format = (
            self.make(format_cls, section, opt, self.shared.agent_id, stream_id) if format_cls is not None else None
        )

        def lost(why: str, count: int, first: int, stream: str) -> None:
            host.stats.add("lost", count)
            if self.shared.stats.ledger.lost(name, why, count, first, stream):
                host.log.warn(f"losing records: {why}; they are counted")

        clocks = BufferClocks(self.shared.loop.clock)
        own = any(setting.key.lower() == "memory" for setting in section.buffer)
        total = buf.memory if own else self.memory.share
        in_flight = total // memory.IN_FLIGHT
        limit = total - in_flight - total // memory.LOST
        buffer = Buffer(limit, buf.overflow, stream_id, lost, buf.batch_size, clocks=clocks, max_age=buf.max_age)
        clock = self.shared.loop.clock.monotonic
        sender = Sender(name, output, format, buffer, flush=self.svc.flush, retry_limit=opt.retry_limit,
                        backoff=Backoff(opt.retry_first, opt.retry_cap, clock, self.shared.random),
                        call_later=lambda s, call: self.shared.loop.call_later(s, call), clock=clock, log=host.log,
                        trouble=host.delivery_trouble, stats=host.stats, lost=lost, crashed=host.crashed,
                        most_bodies=in_flight // 2,  # while one is sent it is there twice
                        parking=DeadLetters(self.shared.state_dir, name, host.log))  # fmt: skip
        host.sender = sender
        route = Route(name, self.matcher(opt), buffer, sender)
        host.stats.gauge("buffered_bytes", lambda: route.buffer.used)
        host.stats.gauge("buffered_records", lambda: route.buffer.records)
        storage = buf.storage if buf.storage != "auto" else "memory" if output.local else "hybrid"
        if storage != "memory":
            route.open_buffer = lambda: self.open_disk_buffer(host, route, buf, limit, storage, lost, clocks)
        self.parts.outputs.append(host)
        return route

    def open_disk_buffer(self, host: OutputHost, route: Route, buf: Options, limit: int, storage: str,
                         lost: Callable[[str, int, int, str], object],
                         clocks: BufferClocks) -> RestorableBuffer:  # fmt: skip
        """The buffer of an output with what is stored of it. Raises StateError if the directory can't be used."""
        from edgebit.buffer.files import Files
        from edgebit.buffer.restore import RestorableBuffer, RestorableLog
        from edgebit.buffer.streams import Streams

        files = Files()
        streams = Streams(files, self.shared.state_dir, self.shared.agent_id)
        directory = streams.of(host.name, self.new_stream_id())
        agents = streams.identity(directory)[1]
        route.sender.agents.update(agents)
        if route.sender.format is not None:
            route.sender.format.agents = agents
        log = RestorableLog(files, directory, buf.disk, note=host.log.warn, keep=lambda: self.shared.stats.ledger.keep(),
                            lost=lambda why, count, first, stream: lost(why, count, first, stream.hex()))  # fmt: skip
        try:
            log.open()
        except OSError as error:
            raise StateError(f"{directory} can't be used for the buffer of {host.name}: {reason(error)}; the agent's user "
                             "must own it, and it needs room for the option disk") from None  # fmt: skip
        disk = RestorableBuffer(limit, buf.overflow, self.new_stream_id(), lost, buf.batch_size, clocks=clocks,
                                log=log, trouble=Trouble(host.log, clocks.monotonic), spill=storage == "hybrid",
                                spill_after=buf.spill_after, sync=buf.sync, max_age=buf.max_age)  # fmt: skip
        disk.renew = lambda usurped: streams.renew(directory, host.name, usurped)
        host.stats.gauge("disk_bytes", lambda: log.disk_used)
        host.stats.gauge("disk_bytes_written", lambda: log.bytes_written)
        host.stats.gauge("disk_syncs", lambda: log.syncs)
        host.stats.gauge(
            "write_amplification", lambda: log.bytes_written / log.payload_written if log.payload_written else 0.0
        )
        if disk.records:
            host.log.info(f"{disk.records} records from before the start wait in {directory}")
        return disk

    def shares(self) -> memory.Shares:
        """The memory of each output. Raises ConfigError if service.memory_limit is too little."""
        named: list[int | None] = []
        for section in self.config.sections["output"]:
            own = [setting for setting in section.buffer if setting.key.lower() == "memory"]
            try:
                named.append(int(read(BUFFER_OPTIONS, own, "output.buffer").memory) if own else None)
            except ConfigError:
                named.append(None)  # it is found again, and told, when the section is built
        bulk = sum(host.plugin.bulk for host in self.parts.inputs)
        where = next((setting.where for setting in self.config.service if setting.key.lower() == "memory_limit"), "")
        return memory.Shares(self.svc.memory_limit, named, bulk, where)

    # -- helpers -------------------------------------------------------------------------------------------------------

    def options(self, table: Table, section: Section) -> Options:
        """Typed options; parsers named by them are put in their place."""
        owner = section.kind.replace("_", " ") + (f" {section.plugin}" if section.plugin != section.kind else "")
        with compiled() as patterns:
            opt = read(table.options, section.settings, owner, section.where)
        timed: list[Parser] = []
        for pattern in patterns:
            if pattern.warning:
                setting = next((one for one in section.settings if pattern.text in str(one.value)), None)
                where, key = (setting.where, setting.key) if setting is not None else (section.where, section.plugin)
                self.config.warn(where, key, pattern.warning)
        for option in table.options:
            value = getattr(opt, option.attribute)
            if option.type is plugin_ref and value:
                found: Any = (
                    [self.find_parser(name, section, option) for name in value]
                    if option.multiple
                    else self.find_parser(value, section, option)
                )
                setattr(opt, option.attribute, found)
            elif option.type is multiline_ref and value:
                names = [name for part in value for name in part] if option.multiple else value
                found = [self.find_multiline(name, section, option) for name in names]
                setattr(opt, option.attribute, found)
            else:
                continue
            for one in found if isinstance(found, list) else [found]:
                patterns += self.patterns.get(one, ())
                if getattr(getattr(one, "opt", None), "time_format", None):
                    timed.append(one)
        self.patterns[opt], self.timed[opt] = patterns, timed
        return opt

    def find_parser(self, name: str, section: Section, option: Option) -> Parser:
        if name not in self.parsers:
            from edgebit.parsers.stock import STOCK

            known = {n: n for n in registry.PLUGINS["parser"] if n != "regex"}
            known |= {n: str(options["format"]) for n, options in STOCK.items()}
            if name not in known:
                raise self.unknown("parser", name, [*self.parsers, *known], section, option)
            cls = registry.find("parser", known[name])
            assert issubclass(cls, Parser)
            settings = [Setting(key, value) for key, value in STOCK.get(name, {}).items() if key != "format"]
            with compiled() as patterns:
                self.parsers[name] = cls(name, read(cls.OPTIONS, settings, f"parser {name}"))
            self.patterns[self.parsers[name]] = patterns
        return self.parsers[name]

    def find_multiline(self, name: str, section: Section, option: Option) -> Definition:
        if name not in self.multiline:
            from edgebit.parsers import multiline_options

            if name not in multiline_options.BUILT_IN:
                known = [*self.multiline, *multiline_options.BUILT_IN]
                raise self.unknown("multiline_parser", name, known, section, option)
            settings = [Setting(key, value) for key, value in multiline_options.BUILT_IN[name].items()]
            built_in = Section("multiline_parser", name, [Setting("name", name), *settings], section.where)
            opt = self.options(table_of(built_in, self.config.classic), built_in)
            self.multiline[name] = multiline_options.definition(opt, self.svc.multiline_buffer_limit)
            self.patterns[self.multiline[name]] = self.patterns[opt]
        return self.multiline[name]

    def unknown(self, kind: str, name: str, known: list[str], section: Section, option: Option) -> ConfigError:
        if any((own := one.given("name")) and own.value == name for one in self.config.sections[kind]):
            return ConfigError(f'the {kind.replace("_", " ")} "{name}" can\'t be used, as its own section is wrong',
                               place(section, option.name), option.name)  # fmt: skip
        near = nearest(name, known)
        where = f"[{kind.upper()}] section of a Parsers_File" if self.config.classic else f"[[{kind}]] section"
        hint = f'did you mean "{near}"?' if near else f"define it in a {where}"
        return ConfigError(f'no {kind.replace("_", " ")} is called "{name}"; {hint}', place(section, option.name),
                           option.name)  # fmt: skip

    def attach(self, host: Host, plugin: Plugin, opt: Options) -> None:
        """Give a host its plugin. What its parsers and regular expressions give up is in its counters."""
        host.attach(plugin)
        timed = self.timed[opt]
        if timed:
            host.stats.gauge("time_errors", lambda: sum(parser.time_errors for parser in timed))
        limited = [pattern for pattern in self.patterns[opt] if pattern.limit]
        if limited:
            host.stats.gauge("regex_given_up", lambda: sum(pattern.expired for pattern in limited))

    def make(self, cls: Callable[..., Any], section: Section, *args: Any) -> Any:
        """Construct a plugin or its like; what its constructor finds wrong with its options gets the section's place."""
        try:
            return cls(*args)
        except ConfigError as error:
            if not error.where:
                error.where = place(section, error.key) if error.key else section.where
            raise
        except (ValueError, re.error) as error:
            raise ConfigError(str(error), section.where, section.plugin) from None

    def name(self, section: Section, opt: Options, index: int) -> str:
        name: str = opt.alias or f"{section.plugin.lower()}.{index}"
        if (section.kind, name) in self.names:
            raise ConfigError(f'there is another {section.kind} called "{name}"', place(section, "alias"), "alias")
        self.names.add((section.kind, name))
        return name

    def matcher(self, opt: Options) -> Callable[[str], bool]:
        if opt.match_regex is None:
            return match.wildcard(opt.match or "*")
        by_regex = match.regex(opt.match_regex.find)
        if not opt.match:
            return by_regex
        by_wildcard = match.wildcard(opt.match)
        return lambda tag: by_wildcard(tag) or by_regex(tag)


class BufferClocks:
    """The clocks of a buffer: the loop's, and which boot of the machine this is."""

    def __init__(self, clock: Clock) -> None:
        self.monotonic = clock.monotonic
        self._clock = clock
        try:
            with open("/proc/sys/kernel/random/boot_id", "rb") as file:
                self._boot_id = bytes.fromhex(file.read(36).decode().replace("-", ""))[:8]
        except (OSError, ValueError):
            self._boot_id = os.urandom(8)

    def moment(self) -> Moment:
        return Moment(self._clock.wall_ns(), self._clock.boot_ns(), self._boot_id)


def state_dir(configured: str, env: Mapping[str, str]) -> str:
    """Where state lives, "" for nowhere; the directory itself is made when something is first written there."""
    if configured.lower() == "none":
        return ""
    if configured:
        return os.path.expanduser(configured)
    if env.get("STATE_DIRECTORY"):
        return env["STATE_DIRECTORY"].split(":")[0]  # systemd.exec(5)
    if os.geteuid() == 0:
        return "/var/lib/edgebit"
    base = env.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "edgebit")


def agent_id(hostname: str) -> str:
    """The host name and eight hex digits of a checksum of /etc/machine-id (machine-id(5) asks not to expose the id
    itself). Devices cloned with their machine-id need `agent_id` set by hand."""
    import zlib

    try:
        with open("/etc/machine-id", "rb") as file:
            mark = file.read(64).strip()
    except OSError:
        mark = b""
    return f"{hostname}-{zlib.crc32(b'edgebit' + mark):08x}" if mark else hostname


__all__ = ["Parts", "agent_id", "build", "service", "state_dir"]
