"""Receives records over HTTP and writes them to one file of JSON lines for each tag.

It is the other end of the http output, and takes JSON and CBOR from anybody else. Records that carry
edgebit's identity (agent, stream, sequence) are written once however often they come, and what is missing
is known at any time: GET / and GET /stats tell, and so does the summary at the end (Ctrl-C). Records of
the tag edgebit.loss explain gaps; they are written like all others.

There is no authentication: it listens on this machine only unless --listen says otherwise.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from edgebit.log import Log
    from edgebit.loop import Loop, Timer, Watch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgebit collect`."""
    add = parser.add_argument
    add("-l", "--listen", default="127.0.0.1:9880", metavar="ADDRESS:PORT",
        help="where to listen, numeric; [::]:9880 is every interface (default: %(default)s)")  # fmt: skip
    add("-o", "--output", default="collected", metavar="DIRECTORY",
        help="where the files go; made if it isn't there (default: %(default)s)")  # fmt: skip
    add("-q", "--quiet", action="store_true", help="don't show what arrives")
    add("--show", action="store_true", help="show the records and not only a line a batch")
    add("--fsync", action="store_true", help="sync each batch to the disk before it is answered: survives a power cut")
    add("--count", type=int, default=0, metavar="N", help="end when N records have been written (default: never)")


def main(options: argparse.Namespace) -> int:
    """Collect until SIGINT, SIGTERM or --count; the exit code. Raises EdgebitError for what the user must mend."""
    import signal

    from edgebit.collector.directory import Directory
    from edgebit.collector.live import Live, printable
    from edgebit.collector.server import Collector
    from edgebit.log import Log, Sink
    from edgebit.loop import Loop
    from edgebit.net.connect import where
    from edgebit.net.listen import tcp

    log = Log(Sink(), "collect")
    loop = Loop(on_error=lambda owner, error: _report(log, error))
    ctx = CollectorContext(loop, log)
    bound = directory = collector = None
    try:
        bound = tcp(*_address(options.listen))
        directory = Directory(options.output, log, options.fsync)
        received = directory.received
        at_start = sum(stream.records for stream in received.streams.values())

        def enough() -> None:
            if options.count and sum(s.records for s in received.streams.values()) - at_start >= options.count:
                loop.stop()

        live = None if options.quiet else Live(ctx, _stdout, records=options.show, **_terminal(options.show))
        collector = Collector(ctx, directory, bound, live, enough)
        loop.on_signal = lambda signum: loop.stop()
        loop.handle_signals(signal.SIGINT, signal.SIGTERM)
        _stdout(f"collecting at http://{where(bound.sock.getsockname())} into {options.output}\n")
        loop.run()
        collector.close()
        _stdout("\n".join(printable(line) for line in received.summary().split("\n")) + "\n")
    finally:
        for part in (collector, directory, bound, loop):
            if part is not None:
                part.close()
    return 0


class CollectorContext:
    """What the HTTP server and the rest may ask of the program; see plugin.Context."""

    def __init__(self, loop: Loop, log: Log) -> None:
        from edgebit.stats import Counters

        self.loop, self.clock, self.log = loop, loop.clock, log
        self.name, self.hostname, self.agent_id, self.state_dir = "collect", "", "", ""
        self.read_size = 65536
        self.stats = Counters()

    def watch(self, fd: int, on_read: Any = None, on_write: Any = None) -> Watch:
        return self.loop.watch(fd, on_read, on_write, self)

    def call_later(self, seconds: float, call: Any) -> Timer:
        return self.loop.call_later(seconds, call, self)

    def resolve(self, host: str, port: int, done: Any) -> None:
        done([], "a collector looks no names up")

    def lost(self, why: str) -> None:
        self.log.error(why)


def _address(text: str) -> tuple[str, int]:
    """ "127.0.0.1:9880", "[::1]:9880", ":9880" or "9880" as address and port. Raises ConfigError."""
    from edgebit.errors import ConfigError
    from edgebit.net.listen import address
    from edgebit.options import BadValue

    host, _, port = text.rpartition(":")
    try:
        if not (port.isascii() and port.isdecimal() and int(port) < 65536):
            raise BadValue('an address and a port such as "127.0.0.1:9880" or "[::]:9880"')
        return address(host.strip("[]") or "127.0.0.1"), int(port)
    except BadValue as error:
        raise ConfigError(f'must be {error}, not "{text}"', key="--listen") from None


def _terminal(whole: bool) -> dict[str, Any]:
    """How to show things: cut to the width and in colour on a terminal, plain elsewhere."""
    import os
    import sys

    if not sys.stdout.isatty():
        return {"width": 0 if whole else 200, "colour": False}
    columns = 0 if whole else os.get_terminal_size(sys.stdout.fileno()).columns
    return {"width": columns, "colour": "NO_COLOR" not in os.environ}


def _stdout(text: str) -> None:
    import sys

    sys.stdout.write(text)
    sys.stdout.flush()


def _report(log: Log, error: Exception) -> None:
    import traceback

    log.error("internal error, please report it: " + "".join(traceback.format_exception(error)).rstrip())
