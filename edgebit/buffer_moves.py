"""What `edgebit buffer` changes: replay gives the records of one buffer to another, purge drops them.

Promises
- The agent is stopped: both hold the lock of the state directory.
- Records keep their names (stream and sequence) when they move, so that a collector finds those that come twice.
- A buffer is removed only when all that could be read of it is stored and synced elsewhere, or is in the ledger. What can't
  be read because of damage is in the ledger, too; a file that can't be read for another reason stops both.
- replay takes over everything or nothing, unless the disk fails meanwhile; run again, it goes on where it ended.
- Run by root, files are made as the owner of the state directory, who must be able to use them afterwards.
"""

from __future__ import annotations

import contextlib
import os
import sys

from edgebit.buffer import format
from edgebit.buffer.files import Files
from edgebit.buffer.log import Log
from edgebit.buffer.opening import segment_size
from edgebit.buffer.reader import Found, Gap, Reader
from edgebit.buffer.streams import InUse, Lock, Streams
from edgebit.buffer_places import open_reader, size
from edgebit.errors import StateError, nearest, reason
from edgebit.ledger import Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgebit.buffer_places import Place
    from edgebit.record import Chunk

_MIB = 1 << 20


# -- replay --------------------------------------------------------------------------------------------------------------


def replay(place: Place, path: str, output: str, keep: bool, agent: str = "") -> int:
    """Append what waits in the buffer at `path` to the one of `output`; the exit code. Raises EdgebitError.

    The records stay those of the agent that took them: of `agent`, or of the one that the buffer names."""
    assert place.agent is not None
    limit, own = _disk(place, output), place.agent.shared.agent_id
    with _locked(place.state_dir, "replay"):
        source = open_reader(path)
        try:
            _refuse_unread(source)
            with _as_owner(place.state_dir):
                _take_over(Streams(Files(), place.state_dir, own), source, output, limit, keep, agent)
        finally:
            source.close()
    return 0


def _disk(place: Place, output: str) -> int:
    """The option disk of an output's buffer. Raises StateError if it has none."""
    from edgebit.options import read
    from edgebit.sender import BUFFER_OPTIONS

    assert place.agent is not None
    for host, section, route in zip(
        place.agent.outputs, place.config.sections["output"], place.agent.pipeline.routes, strict=True
    ):
        if host.name == output:
            if route.open_buffer is None:
                raise StateError(f'{output} keeps its records in memory; give it storage = "filesystem" or "hybrid" in its '
                                 "[output.buffer], or name another output")  # fmt: skip
            disk: int = read(BUFFER_OPTIONS, section.buffer, "output.buffer", section.where).disk
            return disk
    names = [host.name for host in place.agent.outputs]
    near = nearest(output, names)
    raise StateError(f'{place.path} has no output called "{output}"; '
                     + (f'did you mean "{near}"?' if near else f"it has: {', '.join(names)}"))  # fmt: skip


def _take_over(streams: Streams, source: Reader, output: str, limit: int, keep: bool, agent: str) -> None:
    state_dir = os.path.dirname(streams.path)
    if any(owner == output and os.path.realpath(directory) == os.path.realpath(source.directory)
           for directory, owner in streams.all().items()):  # fmt: skip
        raise StateError(f"{source.directory} is the buffer of {output} already; there is nothing to do")
    directory = streams.of(output, os.urandom(8).hex())
    losses: list[tuple[str, int, int, str]] = []  # what the source misses
    told: list[tuple[str, int, int, str]] = []  # what the target does: it is told once, and not by the agent again

    def enter() -> None:
        _enter(state_dir, [(output, *loss) for loss in told])
        told.clear()

    log = Log(Files(), directory, limit, note=_note, keep=enter,
              lost=lambda why, count, first, stream: told.append((why, count, first, stream.hex())))  # fmt: skip
    try:
        log.open()
        target = open_reader(directory)
        try:
            present = {(item.stream, item.header.seq) for item in target.items() if isinstance(item, Found)}
            used, free = target.segment_bytes
        finally:
            target.close()
        lengths = [format.packed_length(len(chunk.tag.encode("utf-8", "surrogateescape")), 0, len(chunk.payload))
                   for chunk, _ in _pieces(source, log, present, losses)]  # fmt: skip
        named, agents = streams.identity(source.directory)
        agent = agent or named
        if agent:  # before the first record is there, so that none is ever delivered under another name
            known = {stream: name for stream, name in streams.identity(directory)[1].items()
                     if any(stream == here for here, _ in present)}  # fmt: skip
            mine = {item.stream: agents.get(item.stream, agent) for item in source.items() if isinstance(item, Found)}
            streams.adopt(directory, output, known | mine)
        _check_room(log, lengths, used, free, output, limit)
        records = 0
        for chunk, moment in _pieces(source, log, present, []):
            if log.write(chunk.tag, chunk.payload, chunk.count, chunk.seq, bytes.fromhex(chunk.stream), moment) is None:
                raise StateError(f"there is no more room for {output} after {records} records; {source.directory} is kept. "
                                 "Give its buffer more disk and run this again")  # fmt: skip
            records += chunk.count
        log.sync()
        log.save_cursor(sync=True)
    except OSError as error:
        raise StateError(f"the buffer of {output} in {directory} can't be written: {reason(error)}; {source.directory} is "
                         "kept. Mend it and run this again: it goes on where it ended") from None  # fmt: skip
    finally:
        log.close()
    other = os.path.realpath(os.path.dirname(source.directory)) != os.path.realpath(streams.path)
    if other and not agent:
        print(f"{source.directory} doesn't say which agent it is of; the records come under the id {streams.agent_id}")
    _enter(state_dir, [(output, *loss) for loss in losses])
    print(f"{records} records of {source.output or source.directory} wait for {output} now"
          + (f"; {sum(loss[1] for loss in losses)} could not be read and are in the ledger" if losses else ""))  # fmt: skip
    if other:
        print(f"{source.directory} is not in the state directory and is left as it is")
    elif not keep:
        _remove(source.directory)
        print(f"{source.directory} is removed")


def _pieces(source: Reader, log: Log, present: set[tuple[str, int]],
            losses: list[tuple[str, int, int, str]]) -> Iterator[tuple[Chunk, format.Moment]]:  # fmt: skip
    """What waits there and is not taken over yet, in chunks that the log's segments can hold; damage goes to `losses`."""
    for item in source.items():
        if isinstance(item, Gap):
            if item.waiting:
                losses.append(("damaged on disk", item.count, item.seq, item.stream))
            continue
        header = item.header
        moment = format.Moment(header.wall_ns, header.boot_ns, header.boot_id)
        for chunk in _fitting(item.chunk(), log):
            if (chunk.stream, chunk.seq) not in present:
                yield chunk, moment


def _fitting(chunk: Chunk, log: Log) -> Iterator[Chunk]:
    # Its marks stay behind: the target has not stored all that its sources gave up to there.
    if log.fits(chunk.tag, chunk.payload, None):
        yield chunk
    elif chunk.count == 1:
        raise StateError(f"a record of {size(len(chunk.payload))} doesn't fit into a segment of {size(log.largest)}; "
                         f"disk must be at least {-(-16 * len(chunk.payload) // _MIB) + 1}MiB")  # fmt: skip
    else:
        half = chunk.count // 2
        for part in (chunk.part(0, half), chunk.part(half, chunk.count)):
            yield from _fitting(part, log)


def _check_room(log: Log, lengths: list[int], used: int, free: int, output: str, limit: int) -> None:
    """Raises StateError, with how much would be enough, if chunks of these lengths don't fit. Counted with the smallest
    segments there are, so it may ask for a little more than necessary."""
    import cbor2

    smallest = log.largest
    first = format.packed_length(0, len(cbor2.dumps(log.positions)), 0)  # a segment begins with all positions
    room = max(0, smallest - log.end[1]) if log.end[1] else 0
    segments = 0
    for length in lengths:
        if length > room:
            segments += 1
            room = smallest - first
        room -= length
    more, needed = segments - free // smallest, limit
    while more > max(0, needed - used - free) // segment_size(needed) * (segment_size(needed) // smallest):
        needed += _MIB
    if more > 0:
        raise StateError(f"{size(sum(lengths))} wait and {size(free)} of {output} are free; nothing is changed. Set disk "
                         f'= "{-(-needed // _MIB)}MiB" in its [output.buffer] and run this again')  # fmt: skip


# -- purge ---------------------------------------------------------------------------------------------------------------


def purge(path: str, yes: bool) -> int:
    """Drop what waits in a buffer and remove it; the exit code. Raises EdgebitError."""
    state_dir = os.path.dirname(os.path.dirname(os.path.realpath(path)))
    if os.path.basename(os.path.dirname(os.path.realpath(path))) != "buffers":
        raise StateError(f"{path} is in no state directory: it is a copy, and may be deleted like any file")
    with _locked(state_dir, "purge"):
        reader = open_reader(path)
        try:
            _refuse_unread(reader)
            losses, records = [], 0
            for item in reader.items():
                if isinstance(item, Found):
                    losses.append(("purged by hand", item.header.count, item.header.seq, item.stream))
                    records += item.header.count
                elif item.waiting:
                    losses.append(("damaged on disk", item.count, item.seq, item.stream))
        finally:
            reader.close()
        who = reader.output or "unknown output"
        if not yes and not _confirmed(f"{records} records of {who} wait in {path}. Drop them for ever?"):
            print("nothing is changed")
            return 1
        with _as_owner(state_dir):
            _enter(state_dir, [(who, *loss) for loss in losses])  # before anything is gone
            _remove(path)
        print(f"{records} records of {who} are dropped and in the ledger as purged by hand; {path} is removed")
    return 0


def _confirmed(question: str) -> bool:
    print(f'{question} Answer "yes": ', end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return answer.strip().lower() == "yes"


# -- both ----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(state_dir: str, verb: str) -> Iterator[None]:
    with _as_owner(state_dir):
        try:
            lock = Lock(state_dir)
        except InUse as error:
            raise InUse(f"{verb} needs a stopped agent (systemctl stop edgebit): {error}") from None
    try:
        yield
    finally:
        lock.close()


@contextlib.contextmanager
def _as_owner(state_dir: str) -> Iterator[None]:
    """Root acts as the owner of the state directory, where it has one."""
    try:
        owner = os.stat(state_dir)
    except FileNotFoundError:
        raise StateError(f"there is no state directory {state_dir}") from None
    except OSError as error:
        raise StateError(f"the state directory {state_dir} can't be used: {reason(error)}; run this as root or as the "
                         "agent's user") from None  # fmt: skip
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def _refuse_unread(reader: Reader) -> None:
    for name, why in reader.unread.items():
        raise StateError(f"{reader.directory}/{name} can't be read: {why}; nothing is changed")


def _enter(state_dir: str, losses: list[tuple[str, str, int, int, str]]) -> None:
    """Enter losses (output, reason, count, first sequence, stream) into the ledger. Raises StateError."""
    if not losses:
        return
    path = os.path.join(state_dir, "ledger.json")
    ledger, files = Ledger(), Files()
    try:
        data = files.read(path)
        if data and not ledger.load(data):
            raise StateError(f"{path} can't be understood, so nothing can be entered; the agent sets it aside at its next "
                             "start, or move it away by hand, and run this again")  # fmt: skip
        for who, why, count, first, stream in losses:
            ledger.lost(who, why, count, first, stream)
        files.replace(path, ledger.to_json())
    except OSError as error:
        raise StateError(f"{path} can't be written: {reason(error)}; nothing is removed") from None


def _remove(directory: str) -> None:
    """Remove a buffer: its segments first, so that whatever is left if this ends early is still a buffer with its cursor."""
    damaged = os.path.join(directory, "damaged")
    try:
        if os.path.isdir(damaged) and not os.path.islink(damaged):
            for name in os.listdir(damaged):
                os.unlink(os.path.join(damaged, name))
            os.rmdir(damaged)
        for name in sorted(os.listdir(directory), key=_segments_first):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)
        Files().sync_directory(os.path.dirname(directory))
    except OSError as error:
        raise StateError(f"{directory} can't be removed: {reason(error)}") from None


_segments_first: Callable[[str], tuple[bool, str]] = lambda name: (not name.endswith(".seg"), name)  # noqa: E731


def _note(text: str) -> None:
    print(f"edgebit: {text}", file=sys.stderr)
