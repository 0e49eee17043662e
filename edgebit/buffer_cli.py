"""Looks at buffers on disk and moves what is in them: of an agent that runs, of one that is stopped, or copied from a
device that is dead. ls, stat, cat, verify and export change nothing, take no lock and may be used at any time; they see
what is on disk, not what a running agent holds in memory only. replay and purge need a stopped agent.

Without TARGET it is about all buffers of the state directory: the one that --state-dir says, or the configuration, or
else the usual one. TARGET is a directory of a buffer (also a copy, anywhere), a state directory, or the name of an output.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from edgebit import build
from edgebit.buffer.reader import Found, Gap, Reader
from edgebit.buffer_places import Place, age, open_reader, running, size, stamp, told, unreadable
from edgebit.errors import EdgebitError, StateError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO, NoReturn

    from edgebit.plugin import Format
    from edgebit.record import Chunk, Shape

SECOND_LOOK = 1.5  # seconds; a running agent writes its cursor once a second


class BufferUsageError(EdgebitError):
    """The command line was wrong."""

    exit_code = 64  # EX_USAGE of sysexits.h


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BufferUsageError(f"{message}\n{self.format_usage().strip()}")


def main(args: list[str]) -> int:
    """`edgebit buffer ARGS`; the exit code. Raises EdgebitError for what the user must mend."""
    options = _parser().parse_args(args)
    code: int = options.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("edgebit buffer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(
        name: str, run: Callable[[argparse.Namespace], int], help: str, target: str = "?"
    ) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=help, description=help)
        if target:
            one.add_argument("target", metavar="TARGET", nargs=None if target == "1" else target,
                             help="a directory of a buffer, a state directory, or an output's name")  # fmt: skip
        one.add_argument("-c", "--config", metavar="FILE", help="the agent's configuration")
        one.add_argument("--state-dir", metavar="DIR", help="the state directory, when there is no configuration")
        one.set_defaults(run=run)
        return one

    def selection(one: argparse.ArgumentParser) -> None:
        one.add_argument("--all", action="store_true", help="also what is delivered and not overwritten yet")
        one.add_argument("--tag", metavar="GLOB", default="*", help='only tags like this, "*" is any run of characters')

    verb("ls", _ls, "a line a buffer: whose it is, what waits in it, since when (the time it was stored)")
    verb("stat", _stat, "everything about a buffer; reads all of it")
    cat = verb("cat", _cat, "print the records that wait as JSON lines")
    selection(cat)
    cat.add_argument("--limit", metavar="N", type=_count, default=0, help="no more than N records, the oldest ones")
    verify = verb(
        "verify", _verify, "check every checksum; exit code 1 if something that should be there can't be read"
    )
    verify.add_argument("-q", "--quiet", action="store_true", help="print damage only")
    export = verb("export", _export, "write the records that wait to a file, or nothing at all if that fails", "")
    export.add_argument("file", metavar="FILE", help="a new file; compressed if its name ends with .gz")
    export.add_argument("target", metavar="TARGET", nargs="?", help="as for the others; by default all buffers")
    export.add_argument("--format", choices=("json_lines", "cbor_rows", "cbor"), default="json_lines")
    export.add_argument(
        "--agent", metavar="NAME", help="agent id in cbor_rows; by default this machine's or the config's"
    )
    selection(export)
    replay = verb("replay", _replay, "give what waits in a buffer (an orphan, a copy) to an output, under the names that "
                  "the records have; stopped agent", "1")  # fmt: skip
    replay.add_argument("--to", metavar="OUTPUT", required=True, help="the output that shall deliver it")
    replay.add_argument("--agent", metavar="NAME", default="", help="whose records these are; by default the agent's that "
                        "the buffer names")  # fmt: skip
    replay.add_argument("--keep", action="store_true", help="don't remove the directory from the state directory")
    letters = verb("deadletters", _deadletters, "what a collector refused for good: a line an output, or the records of one "
                   "output as JSON lines, the oldest first", "")  # fmt: skip
    letters.add_argument("output", metavar="OUTPUT", nargs="?", help="print the dead letters of this one")
    purge = verb("purge", _purge, "drop what waits in a buffer, with an entry in the ledger; stopped agent", "1")
    purge.add_argument("--yes", action="store_true", help="don't ask")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


# -- ls, stat, verify ----------------------------------------------------------------------------------------------------


def _ls(options: argparse.Namespace) -> int:
    place = Place(options)
    rows = [("DIRECTORY", "OUTPUT", "RECORDS", "BYTES", "OLDEST", "AGE", "NEWEST")]
    for path in place.find(options.target):
        reader = open_reader(path)
        try:
            found = reader.summary()
        except OSError as error:
            raise unreadable(path, error) from None
        finally:
            reader.close()
        output = reader.output or "?"
        if place.outputs is not None and reader.output not in place.outputs:
            output += " (orphan)"
        if reader.unread:
            output += " (unreadable files: see verify)"
        oldest, newest = found.oldest, found.newest
        rows.append((path, output, str(found.records), size(found.bytes), stamp(oldest), age(oldest), stamp(newest)))
    if len(rows) == 1:
        print(f"there are no buffers on disk in {place.state_dir}")
        return 0
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) if i in (2, 3) else cell.ljust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]  # fmt: skip
        print("  ".join(cells).rstrip())
    return 0


def _stat(options: argparse.Namespace) -> int:
    paths = Place(options).find(options.target)
    for i, path in enumerate(paths):
        if i:
            print()
        reader = open_reader(path)
        try:
            _print_stat(reader)
        finally:
            reader.close()
    return 0


def _print_stat(reader: Reader) -> None:
    totals: dict[str, int] = {}
    streams: dict[str, list[int]] = {}  # id -> first, last, records
    chunks = payload = lost = 0
    gaps: list[Gap] = []
    oldest = newest = None
    for item in reader.items():
        if isinstance(item, Gap):
            gaps.append(item)
            lost += item.count
            continue
        header = item.header
        chunks, payload = chunks + 1, payload + len(item.payload)
        oldest, newest = oldest or header, header
        totals[item.tag] = totals.get(item.tag, 0) + header.count
        span = streams.setdefault(item.stream, [header.seq, header.last_seq, 0])
        span[:] = min(span[0], header.seq), max(span[1], header.last_seq), span[2] + header.count
    used, free = reader.segment_bytes
    pid = running(reader.directory)
    print(f"directory   {reader.directory}")
    print(f"output      {reader.output or 'not known: stream.json is missing or damaged'}")
    print(f"in use      {f'by process {pid}; what it holds in memory only is not counted' if pid else 'no'}")
    print(f"waiting     {sum(totals.values())} records in {chunks} chunks, {size(payload)}")
    print(f"oldest      {stamp(oldest)}" + (f", {age(oldest)} ago" if oldest else ""))
    print(f"newest      {stamp(newest)}")
    for tag, count in sorted(totals.items()):
        print(f"tag         {tag}  {count}")
    for stream, (first, last, count) in streams.items():
        print(f"stream      {stream}  {count} records, sequence {first} to {last}")
    print(f"segments    {size(used)} in use, {size(free)} free")
    cursor = reader.cursor
    if cursor is None:
        print("cursor      none that can be read: everything counts as waiting")
    else:
        print(f"cursor      use {cursor.use}, offset {cursor.offset}; {cursor.acked} of {cursor.written} records delivered, "
              f"{'clean stop' if cursor.clean else 'no clean stop'}")  # fmt: skip
    for source, position in positions(reader):
        print(f"position    {source}  {position}")
    print(f"damage      {f'{lost} records in {len(gaps)} places; see: edgebit buffer verify' if gaps else 'none'}")


def positions(reader: Reader) -> list[tuple[str, int]]:
    """How far sources were stored, by the newest segment: it begins with all positions and each chunk adds its own."""
    import cbor2

    found: dict[str, int] = {}
    for segment in reversed(reader.segments):
        try:
            for _, header in segment.headers():
                if header.marks:
                    found |= {str(name): int(mark[0]) for name, mark in cbor2.loads(header.marks).items()}
        except (OSError, ValueError, TypeError, AttributeError, LookupError, cbor2.CBORError):
            pass  # they are shown for a person; without them there is nothing to show
        if found:
            break
    return sorted(found.items())


def _verify(options: argparse.Namespace) -> int:
    damaged = False
    for path in Place(options).find(options.target):
        chunks, gaps = _look(path)
        if any(gap.waiting for gap in gaps) and running(path):
            # What an agent writes, delivers and overwrites at this moment looks like damage; real damage stays.
            time.sleep(SECOND_LOOK)
            before = {gap.key for gap in gaps}
            chunks, gaps = _look(path)
            gaps = [gap for gap in gaps if gap.key in before]
        for gap in gaps:
            print(f"{path}: {told(gap)}")
        damaged = damaged or any(gap.waiting for gap in gaps)
        if not options.quiet:
            print(f"{path}: {chunks} chunks are whole" + (f", {len(gaps)} places are not" if gaps else ""))
    return 1 if damaged else 0


def _look(path: str) -> tuple[int, list[Gap]]:
    reader = open_reader(path)
    try:
        items = list(map(_without_payload, reader.items(every=True)))
    finally:
        reader.close()
    gaps = [item for item in items if isinstance(item, Gap)]
    return len(items) - len(gaps), gaps


def _without_payload(item: Found | Gap) -> Gap | None:
    return item if isinstance(item, Gap) else None


# -- cat, export ---------------------------------------------------------------------------------------------------------


def _chunks(paths: Sequence[str], options: argparse.Namespace) -> Iterator[Chunk]:
    """What was chosen, oldest first, a buffer after the other; damage is told on standard error."""
    from edgebit import match

    wanted = match.wildcard(options.tag)
    for path in paths:
        reader = open_reader(path)
        try:
            for item in reader.items(options.all):
                if isinstance(item, Found):
                    if wanted(item.tag):
                        yield item.chunk()
                elif item.waiting or not item.count:
                    print(f"edgebit: {path}: {told(item)}", file=sys.stderr)
        finally:
            reader.close()


class _Named:
    """A format that writes each record with its tag and stream as fields, behind the date and the sequence."""

    def __init__(self, name: str) -> None:
        from edgebit import registry
        from edgebit.options import Setting, read
        from edgebit.plugin import Format

        cls = registry.find("format", name)
        assert issubclass(cls, Format)
        self.format: Format = cls(read(cls.OPTIONS, [Setting("sequence_key", "sequence")], f"format {name}"))
        self._shapes: dict[Shape, Shape] = {}

    def encode(self, chunk: Chunk) -> bytes:
        from edgebit.record import Chunk, Shape

        records = []
        for time_ns, shape, values in chunk.records:
            named = self._shapes.get(shape)
            if named is None:
                named = Shape.of(("tag", "stream", *shape.names))
                if shape.interned:
                    self._shapes[shape] = named
            records.append((time_ns, named, (chunk.tag, chunk.stream, *values)))
        return self.format.encode(Chunk(chunk.tag, records, seq=chunk.seq, stream=chunk.stream))


def _cat(options: argparse.Namespace) -> int:
    lines = _Named("json_lines")
    left = options.limit
    for chunk in _chunks(Place(options).find(options.target), options):
        if options.limit and chunk.count > left:
            chunk = chunk.part(0, left)
        sys.stdout.write(lines.encode(chunk).decode())
        left -= chunk.count
        if left == 0:
            break
    return 0


def _export(options: argparse.Namespace) -> int:
    place = Place(options)
    paths = place.find(options.target)
    if options.format == "cbor_rows":
        from edgebit.formats.cbor import CborRows
        from edgebit.options import Options

        own = place.agent.shared.agent_id if place.agent is not None else build.agent_id(os.uname().nodename)
        encoder: Format | _Named = CborRows(Options(), options.agent or own)
    else:
        encoder = _Named(options.format)
    records = 0
    try:
        raw = open(options.file, "xb")  # noqa: SIM115 - closed below, and removed if anything fails
    except FileExistsError:
        raise StateError(f"{options.file} exists already; name a new file") from None
    except OSError as error:
        raise StateError(f"cannot write {options.file}: {reason(error)}") from None
    try:
        with raw, _compressed(raw, options.file) as out:
            for chunk in _chunks(paths, options):
                out.write(encoder.encode(chunk))
                records += chunk.count
            if out is not raw:
                out.close()
            raw.flush()
            os.fsync(raw.fileno())
    except BaseException as error:
        os.unlink(options.file)
        if isinstance(error, OSError):
            raise StateError(f"cannot write {options.file}: {reason(error)}; it is removed again") from None
        raise
    print(f"{records} records of {len(paths)} buffer{'' if len(paths) == 1 else 's'} are in {options.file}")
    return 0


def _compressed(raw: IO[bytes], name: str) -> IO[bytes]:
    if not name.endswith(".gz"):
        return raw
    import gzip

    return gzip.GzipFile(fileobj=raw, mode="wb")  # type: ignore[return-value]  # it has what is used of IO[bytes]


def _deadletters(options: argparse.Namespace) -> int:
    from edgebit import deadletter

    state_dir = Place(options).state_dir
    try:
        found = deadletter.kept(state_dir)
        if options.output is None:
            for output, paths in sorted(found.items()):
                count = total = 0
                for path in paths:
                    with open(path, "rb") as file:
                        count += sum(1 for _ in file)
                    total += os.path.getsize(path)
                print(f"{output}  {count} dead letters, {size(total)}")
            if not found:
                print(f"there are no dead letters in {state_dir}")
            return 0
        name = deadletter.file_name(options.output)
        if name not in found:
            raise StateError(f"{state_dir} has no dead letters of an output called {options.output}; it has some of: "
                             + (", ".join(sorted(found)) or "none"))  # fmt: skip
        for path in found[name]:
            with open(path, errors="surrogateescape") as file:
                for line in file:
                    sys.stdout.write(line.encode("utf-8", "replace").decode())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unreadable(state_dir, error) from None
    return 0


# -- replay, purge -------------------------------------------------------------------------------------------------------


def _replay(options: argparse.Namespace) -> int:
    from edgebit import buffer_moves

    place = Place(options)
    if place.agent is None:
        raise BufferUsageError("replay needs the agent's configuration: it says how much the output may hold (-c FILE)")
    to = place.state_dir  # the target may be another state directory, a copied one
    path = place.find_one(options.target)
    place.state_dir = to
    return buffer_moves.replay(place, path, options.to, options.keep, options.agent)


def _purge(options: argparse.Namespace) -> int:
    from edgebit import buffer_moves

    place = Place(options)
    return buffer_moves.purge(place.find_one(options.target), options.yes)
