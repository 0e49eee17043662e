"""The command line: run, check, convert, plugins, buffer, collect. Each command imports what it needs, when it runs."""

from __future__ import annotations

import sys

from edgebit import __version__
from edgebit.errors import EdgebitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgebit.config.model import Config
    from edgebit.options import Option

USAGE = """\
usage: edgebit run -c FILE          run the agent (also: edgebit -c FILE); FILE is TOML or Fluent Bit's classic .conf
       edgebit check -c FILE        check a configuration and say what is wrong with it
       edgebit convert FILE         print a Fluent Bit configuration as TOML
       edgebit plugins [NAME]       list the plugins, or one with its options
       edgebit buffer VERB ...      look at buffers on disk and move them (edgebit buffer --help)
       edgebit collect [OPTIONS]    run the embedded collector (edgebit collect --help)
       edgebit --version

run takes Fluent Bit's options, too: -v, -q log more or errors only; -l FILE log there; -f SECONDS flush; -w DIR work
there; -D check only; -R FILE parsers; -b DIR storage.path; and instead of FILE, or on top of it, -i INPUT -t TAG,
-F FILTER -m MATCH, -o OUTPUT -m MATCH, each with options as -p KEY=VALUE:

       edgebit -i cpu -t metrics -o stdout -m '*'

A configuration that is wrong exits with 78 and names file, line and key."""


class UsageError(EdgebitError):
    """The command line was wrong."""

    exit_code = 64  # EX_USAGE of sysexits.h


def main(argv: list[str] | None = None) -> int:
    """Run a command; the exit code."""
    args = sys.argv[1:] if argv is None else argv
    try:
        code = _command(args)
        sys.stdout.flush()  # here, where a reader that has gone is expected
        return code
    except EdgebitError as error:
        for line in str(error).split("\n"):
            print(f"edgebit: {line}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; that is no error of ours.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        return 130


def _command(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(USAGE, file=sys.stdout if args else sys.stderr)
        return 0 if args else UsageError.exit_code
    commands: dict[str, Callable[[list[str]], int]] = {
        "run": _run, "check": _check, "convert": _convert, "plugins": _plugins, "buffer": _buffer, "collect": _collect,
    }  # fmt: skip
    first, rest = args[0], args[1:]
    if first in ("-V", "--version", "version"):
        print(f"edgebit {__version__}")
        return 0
    if first in commands:
        if rest and rest[0] in ("-h", "--help") and first not in ("collect", "buffer"):
            print(USAGE)
            return 0
        return commands[first](rest)
    if first.startswith("-"):
        return _run(args)
    from edgebit.errors import nearest

    near = nearest(first, list(commands))
    raise UsageError(f'no command is called "{first}"' + (f'; did you mean "{near}"?' if near else "") + "\n" + USAGE)


def _config_path(args: list[str], command: str) -> str:
    """The FILE of ``-c FILE``, ``-cFILE``, ``--config FILE`` or ``--config=FILE``."""
    path = ""
    left = list(args)
    while left:
        arg = left.pop(0)
        if arg in ("-c", "--config"):
            if not left:
                raise UsageError(f"{arg} needs a file")
            path = left.pop(0)
        elif arg.startswith("--config="):
            path = arg.partition("=")[2]
        elif arg.startswith("-c") and len(arg) > 2:
            path = arg[2:]
        else:
            raise UsageError(f'{command} does not know "{arg}"\n{USAGE}')
    if not path:
        raise UsageError(f"{command} needs a configuration: edgebit {command} -c FILE")
    return path


def _run(args: list[str]) -> int:
    from edgebit.signals import held

    with held():
        return _run_agent(args)


def _run_agent(args: list[str]) -> int:
    import os

    from edgebit.config.commandline import CommandLine, Wrong
    from edgebit.log import Sink

    try:
        line = CommandLine(args)
    except Wrong as wrong:
        raise UsageError(f"{wrong}\n{USAGE}") from None
    if line.flags & {"h", "V"}:
        return _command(["-h" if "h" in line.flags else "-V"])
    if not line.path and not line.sections:
        raise UsageError("run needs a configuration: edgebit run -c FILE")
    if line.workdir:
        try:
            os.chdir(line.workdir)
        except OSError as error:
            raise UsageError(f"cannot work in {line.workdir}: {error.strerror}") from None
    config = line.load(os.environ)
    if "D" in line.flags:
        return _report(config)
    from edgebit.agent import Agent

    return Agent(config, os.environ, Sink()).run()


def _check(args: list[str]) -> int:
    import os

    from edgebit.config import load

    return _report(load(_config_path(args, "check"), os.environ))


def _report(config: Config) -> int:
    import os

    from edgebit.agent import Agent
    from edgebit.log import ERROR, Sink

    path = config.path
    agent = Agent(config, os.environ, Sink(ERROR))
    agent.loop.close()
    for warning in agent.warnings:
        print(f"warning: {warning}")
    print(f"{path}: the configuration is valid: {agent.summary}")
    print(f"{path}: {agent.memory}")
    for directory, owner in agent.orphans().items():
        print(f"{path}: {directory} holds records of {owner or 'an unknown output'}, which is not configured with a buffer "
              f"on disk; they are kept. See: edgebit buffer ls -c {path}")  # fmt: skip
    return 0


def _convert(args: list[str]) -> int:
    import os

    from edgebit.config import load
    from edgebit.convert import convert

    if len(args) != 1 or args[0].startswith("-"):
        raise UsageError("convert needs one file: edgebit convert fluent-bit.conf > edgebit.toml")
    config = load(args[0], os.environ)
    if not config.classic:
        raise UsageError(f"{args[0]} is TOML already")
    print(convert(config), end="")
    return 0


def _buffer(args: list[str]) -> int:
    from edgebit import buffer_cli

    return buffer_cli.main(args)


def _collect(args: list[str]) -> int:
    import argparse

    from edgebit import collector

    parser = argparse.ArgumentParser(prog="edgebit collect", description=collector.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    collector.add_arguments(parser)
    return collector.main(parser.parse_args(args))


# -- plugins -----------------------------------------------------------------------------------------------------------


def _plugins(args: list[str]) -> int:
    from edgebit import registry

    if not args:
        for kind, table in registry.PLUGINS.items():
            print(f"{kind}s:")
            for name in table:
                print(f"  {name:<20} {_summary(registry.find(kind, name))}")
        print(
            "\nedgebit plugins NAME shows the options of one; service and multiline_parser are sections that have some, too."
        )
        return 0
    shown = 0
    if args[0].lower() in ("service", "multiline_parser"):
        print(_describe_section(args[0].lower()))
        return 0
    for kind, table in registry.PLUGINS.items():
        if args[0].lower() in table:
            print(("\n" if shown else "") + _describe(kind, args[0].lower()), end="")
            shown += 1
    if not shown:
        from edgebit.errors import nearest

        near = nearest(args[0], [name for table in registry.PLUGINS.values() for name in table])
        raise UsageError(f'no plugin is called "{args[0]}"' + (f'; did you mean "{near}"?' if near else ""))
    return 0


def _summary(cls: type) -> str:
    return (cls.__doc__ or "").strip().split("\n")[0]


def _describe(kind: str, name: str) -> str:
    import inspect

    from edgebit import registry, sender, tables
    from edgebit.plugin import Output

    cls = registry.find(kind, name)
    common = tables.COMMON.get(kind, ())
    out = [f"{kind} {name}", "", *(f"  {line}" for line in inspect.cleandoc(cls.__doc__ or "").splitlines()), ""]
    if issubclass(cls, Output):
        own: tuple[Option, ...] = (*tables.format_option(cls), *cls.OPTIONS)
    else:
        own = cls.OPTIONS
    out += _table(f"options of {name}", own)
    out += _table(f"options of every {kind}", common) if common else []
    if kind == "output":
        out += _table("options in [output.buffer]", sender.BUFFER_OPTIONS)
        if issubclass(cls, Output) and cls.FORMATS:
            out.append(f"  A format has options too: edgebit plugins {cls.FORMATS[0]}")
    return "\n".join(out) + "\n"


def _describe_section(name: str) -> str:
    from edgebit import tables
    from edgebit.parsers import multiline_options

    if name == "service":
        return "\n".join(_table("options in [service]", tables.SERVICE_OPTIONS))
    built_in = f"  there without a definition: {', '.join(multiline_options.BUILT_IN)}"
    return "\n".join([*_table("options of a [[multiline_parser]]", multiline_options.OPTIONS), built_in])


def _table(title: str, options: Iterable[Option]) -> list[str]:
    import textwrap

    from edgebit.options import shown

    lines = [f"  {title}"]
    for option in options:
        head = f"    {option.name} = {option.type_name}"
        lines.append(f"{head}  (default {shown(option)})" if shown(option) != "required" else f"{head}  (required)")
        lines += textwrap.wrap(option.help, 100, initial_indent="        ", subsequent_indent="        ")
    return [*lines, ""] if len(lines) > 1 else [f"  {title}: none", ""]
