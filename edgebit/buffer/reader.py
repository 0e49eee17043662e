"""Looks into the directory of a log without changing it: one that an agent uses at the moment, a stopped agent's, a copy.

Promises
- Nothing is opened for writing, and no lock is taken.
- Whatever is in the files, nothing but a directory that can't be listed raises: what can't be read is told as a `Gap`.
- A `Found` chunk is whole, its checksums say so, also while an agent writes and reuses segments. What looks damaged is
  looked at again: it is no gap if its segment has been begun anew since. A cursor that is up to a second old can still
  make a gap of what was delivered in the meantime; who must know looks twice (edgebit buffer verify does).

It sees what the agent would find at its next start, with one difference: chunks of a batch that was not written to its
end, or behind a gap that a power cut left, are handed out, too. On a device that never starts again they are all there is.
"""

from __future__ import annotations

import json
from itertools import zip_longest

from edgebit.buffer import format
from edgebit.buffer.cursor import Cursor
from edgebit.buffer.holes import Holes
from edgebit.buffer.segment import Segment, in_order, is_settled
from edgebit.buffer.streams import INFO
from edgebit.errors import reason
from edgebit.record import Chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgebit.buffer.files import Files
    from edgebit.buffer.format import Header


GONE = "damaged: not there any more"
DROPPED = "their segment is not there any more: dropped when the buffer was full, or damaged"


class Found:
    """A chunk that is whole. `waiting`: it is not acknowledged."""

    __slots__ = ("at", "header", "payload", "segment", "waiting")

    def __init__(self, segment: str, at: int, header: Header, payload: bytes, waiting: bool) -> None:
        self.segment, self.at, self.header, self.payload, self.waiting = segment, at, header, payload, waiting

    @property
    def stream(self) -> str:
        return self.header.stream.hex()

    @property
    def tag(self) -> str:
        return self.header.tag.decode("utf-8", "surrogateescape")

    def chunk(self) -> Chunk:
        return Chunk(
            self.tag, None, 0, self.header.seq, payload=self.payload, count=self.header.count, stream=self.stream
        )


class Gap:
    """`count` records from sequence `seq` of `stream` that should be in `segment` from the place `at` on, and why they
    aren't. The numbers are what the chunks around say; count is 0 where a file can't be read at all."""

    __slots__ = ("at", "count", "segment", "seq", "stream", "waiting", "why")

    def __init__(self, segment: str, at: int, count: int, seq: int, stream: str, why: str, waiting: bool) -> None:
        self.segment, self.at, self.count, self.seq, self.stream = segment, at, count, seq, stream
        self.why, self.waiting = why, waiting

    @property
    def key(self) -> tuple[str, int, int]:
        """The same for the same records, however often one looks."""
        return self.stream, self.seq, self.count


class Summary:
    """What is waiting, by a look at the first and the last chunk: records, bytes of the segments from the one to the
    other, and their headers."""

    __slots__ = ("bytes", "newest", "oldest", "records")

    def __init__(self) -> None:
        self.records = self.bytes = 0
        self.oldest: Header | None = None
        self.newest: Header | None = None


class Reader:
    """See the module's docstring. Raises OSError if the directory can't be listed.

    output    whose buffer it is, "" if that isn't known
    cursor    how far the collector has acknowledged; None without one, then everything waits
    segments  with chunks, oldest first
    blank     bytes of segments that never held one
    unread    files that can't be read: name -> why
    """

    def __init__(self, files: Files, directory: str) -> None:
        self.files, self.directory = files, directory
        self.output = self._read_output()
        self.cursor = self._read_cursor()
        self.segments: list[Segment] = []
        self.blank = 0
        self.unread: dict[str, str] = {}
        for name in files.listdir(directory):
            if name.endswith(".seg"):
                self._open(name)
        in_order(self.segments)

    def close(self) -> None:
        for segment in self.segments:
            segment.file.close()

    def _read_output(self) -> str:
        try:
            return str(json.loads(self.files.read(f"{self.directory}/{INFO}"))["output"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _read_cursor(self) -> Cursor | None:
        try:
            return Cursor.newest(self.files.read(f"{self.directory}/cursor"))
        except OSError:
            return None

    def _open(self, name: str) -> None:
        try:
            segment = Segment(name, self.files.open_readonly(f"{self.directory}/{name}"))
        except FileNotFoundError:
            return  # an agent has just removed it
        except OSError as error:
            self.unread[name] = reason(error)
            return
        try:
            segment.first()
        except format.UnknownVersion as error:
            self.unread[name] = f"its format version {error} is not known here; a newer edgebit wrote it"
        except OSError as error:
            self.unread[name] = reason(error)
        if segment.use and not self._is_settled(segment):
            self.segments.append(segment)
            return
        self.blank += segment.size if name not in self.unread else 0
        segment.file.close()

    def _is_settled(self, segment: Segment) -> bool:
        try:
            return self.cursor is not None and is_settled(segment, self.cursor)
        except OSError:
            return False  # whoever reads it says so

    # -- all of it ---------------------------------------------------------------------------------------------------

    @property
    def begin(self) -> tuple[int, int, int]:
        """Use and place of the oldest chunk that waits, and how many records were written before it."""
        cursor = self.cursor or Cursor()
        for segment in self.segments:
            if segment.use == cursor.use:
                return cursor.use, cursor.offset, cursor.acked
            if segment.use > cursor.use:
                # What the cursor points to is gone.
                return segment.use, 0, cursor.acked if self.cursor is not None else -1
        return cursor.use + 1, 0, cursor.acked

    def items(self, every: bool = False) -> Iterator[Found | Gap]:
        """What waits, oldest first, each payload checked; with `every` also what was acknowledged and is still there."""
        for name, why in self.unread.items():
            yield Gap(name, 0, 0, 0, "", why, True)
        use, at, passed = self.begin
        if every:
            yield from self._acknowledged(use, at)
        yield from self._waiting(use, at, passed)

    def _acknowledged(self, use: int, end: int) -> Iterator[Found | Gap]:
        for segment in self.segments:
            try:
                for at, header in segment.headers():
                    if (segment.use, at) >= (use, end):
                        return
                    if header.count:
                        yield self._one(segment, at, header, False)
            except OSError as error:
                yield Gap(segment.name, 0, 0, 0, "", reason(error), False)

    def _waiting(self, use: int, start: int, passed: int) -> Iterator[Found | Gap]:
        last: Header | None = None
        holes = self.cursor.holes if self.cursor is not None else Holes()
        place = ("-", 0)  # behind the last chunk
        torn = False
        for segment, following in zip_longest(self.segments, self.segments[1:]):
            if segment.use < use or torn:
                continue
            at = begin = start if segment.use == use else 0
            if last is None:
                place = (segment.name, begin)
            try:
                for at, header in segment.headers(begin):
                    if following is not None and header.after > following.before:
                        break  # written again, because the first time was not known to have succeeded
                    if passed < 0:
                        passed = header.before
                    if header.after <= passed:
                        continue  # written again, too
                    if torn := self._torn(segment, at, header):
                        break
                    missing = sum(stop - start for start, stop in holes.between(passed, header.before))
                    if missing and not self._changed(segment):
                        yield self._missing(place, header, missing, last)
                    if header.count and not holes.cover(header.before, header.after):
                        yield self._one(segment, at, header, True)
                    passed, last, place = header.after, header, (segment.name, at + header.length)
            except OSError as error:
                yield Gap(segment.name, at, 0, 0, "", reason(error), True)
        missing = sum(stop - start for start, stop in holes.between(passed, self.cursor.written)) if self.cursor else 0
        if self.cursor is not None and missing and passed >= 0:
            seq = last.last_seq + 1 if last is not None else max(1, self.cursor.next_seq - missing)
            stream = last.stream if last is not None else self.cursor.stream
            yield Gap(*place, missing, seq, stream.hex(), GONE, True)

    def _one(self, segment: Segment, at: int, header: Header, waiting: bool) -> Found | Gap:
        payload = segment.payload(at, header)
        if payload is not None:
            return Found(segment.name, at, header, payload, waiting)
        # What an agent has overwritten meanwhile was delivered before.
        waiting = waiting and not self._changed(segment)
        return Gap(segment.name, at, header.count, header.seq, header.stream.hex(), "damaged: wrong checksum", waiting)

    def _missing(self, place: tuple[str, int], header: Header, count: int, last: Header | None) -> Gap:
        follows = last is not None and last.stream == header.stream
        seq = last.last_seq + 1 if last is not None and follows else max(1, header.seq - count)
        why = DROPPED if last is not None and header.use > last.use + 1 else GONE
        return Gap(*place, count, seq, header.stream.hex(), why, True)

    def _torn(self, segment: Segment, at: int, header: Header) -> bool:
        """The normal end of a log: from here on only chunks that were being written and were never said to be there."""
        if header.after <= (self.cursor.written if self.cursor is not None else 0):
            return False
        if segment.payload(at, header) is not None:
            return False
        later = self.segments[self.segments.index(segment) + 1 :]
        behind = (segment.scan(at + header.length), *(other.scan() for other in later))
        return not any(good for scan in behind for _, _, good in scan)

    def _changed(self, segment: Segment) -> bool:
        """An agent has begun this segment anew since it was opened here."""
        segment.forget_block()
        try:
            header = segment.header(0)
        except (format.UnknownVersion, OSError):
            return False
        return header is not None and header.use != segment.use

    # -- a glance ----------------------------------------------------------------------------------------------------

    def summary(self) -> Summary:
        """See Summary. Reads no more than two segments. Raises OSError if even that fails."""
        found = Summary()
        use, at, acked = self.begin
        waiting = [segment for segment in self.segments if segment.use >= use]
        if not waiting:
            return found
        newest_end = at
        for segment in waiting:
            headers = segment.headers(at if segment.use == use else 0)
            header = next((header for _, header in headers if header.count), None)
            if header is not None:
                found.oldest = header
                break
        last = waiting[-1]
        for place, header in last.headers(at if last.use == use else 0):
            if self._torn(last, place, header):
                break
            newest_end = place + header.length
            if header.count:
                found.newest = header
        if found.oldest is None or found.newest is None:
            found.oldest = None
            return found
        start, stop = max(acked, found.oldest.before), found.newest.after
        holes = self.cursor.holes if self.cursor is not None else Holes()
        found.records = sum(end - at for at, end in holes.between(start, stop))
        found.bytes = sum(segment.size for segment in waiting[:-1]) + newest_end - at
        return found

    @property
    def segment_bytes(self) -> tuple[int, int]:
        """Bytes of the segments that hold something that waits, and of those that can be written to."""
        use = self.begin[0]
        used = sum(segment.size for segment in self.segments if segment.use >= use)
        return used, self.blank + sum(segment.size for segment in self.segments) - used
