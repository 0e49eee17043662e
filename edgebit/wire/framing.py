"""Splitters: bytes as they come from a stream in, complete lines or messages out.

They do no input or output, hold a bounded number of bytes, and give the same frames however the bytes were cut up.
Nothing that a peer sends makes them fail: a frame over the limit is truncated, counted in `truncated`, and its rest
skipped; the stream goes on behind it. Frames are text (UTF-8; bytes that aren't become surrogate escapes), without
their line end. Work is done a block at a time, one decode and one split a read, because a cost a line is what counts.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Splitter(Protocol):
        """What the splitters have in common."""

        @property
        def truncated(self) -> int:
            """Frames cut at the limit so far."""
            ...

        @property
        def pending(self) -> int:
            """Bytes held of a frame that isn't complete."""
            ...

        def feed(self, data: bytes) -> list[str]:
            """The frames that these bytes complete, in order."""
            ...

        def finish(self) -> list[str]:
            """The stream has ended: what is left of it as a frame, or nothing. Ready for a new stream afterwards."""
            ...


def _cut(data: bytes | bytearray, limit: int) -> bytes | bytearray:
    """The first `limit` bytes, or up to three fewer so as not to cut a character; there must be more than `limit`."""
    stop = limit
    while stop > max(limit - 3, 0) and data[stop] & 0xC0 == 0x80:
        stop -= 1
    return data[:stop]


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "surrogateescape")


class LineSplitter:
    """Lines that end with LF, or CR LF, or with NUL too if `nul`. Empty lines are lines.

    `limit` is the longest line in bytes; a CR before the LF counts.
    """

    __slots__ = ("_limit", "_nul", "_rest", "_skipping", "truncated")

    def __init__(self, limit: int, *, nul: bool = False) -> None:
        self._limit, self._nul = limit, nul
        self._rest = bytearray()
        self._skipping = False  # inside of a line that was already given, truncated
        self.truncated = 0

    @property
    def pending(self) -> int:
        return len(self._rest)

    def feed(self, data: bytes) -> list[str]:
        if self._nul and b"\0" in data:
            data = data.replace(b"\0", b"\n")
        end = data.rfind(b"\n")
        if end < 0:
            return self._hold(data)
        start = 0
        if self._skipping:
            self._skipping = False
            start = data.find(b"\n") + 1
            if start > end:
                return self._hold(data[start:])
        block: bytes | bytearray = data[start:end]
        if self._rest:
            block = self._rest + block
            self._rest = bytearray()
        lines = self._split(block)
        if end + 1 < len(data):
            lines += self._hold(data[end + 1 :])
        return lines

    def finish(self) -> list[str]:
        rest, self._rest, self._skipping = self._rest, bytearray(), False
        return self._split(rest) if rest else []

    def _split(self, block: bytes | bytearray) -> list[str]:
        text = _text(block)
        lines = text.split("\n")
        # A character is at most 4 bytes, so nothing needs measuring unless a line is near the limit.
        if len(block) > self._limit and max(map(len, lines)) * 4 > self._limit:
            lines = [_text(self._bounded(line)) for line in block.split(b"\n")]
        if "\r" in text:
            lines = [line.removesuffix("\r") for line in lines]
        return lines

    def _bounded(self, line: bytes | bytearray) -> bytes | bytearray:
        if len(line) <= self._limit:
            return line
        self.truncated += 1
        return _cut(line, self._limit)

    def _hold(self, data: bytes) -> list[str]:
        """Keep bytes without a line end; more than the limit of them is a line, truncated."""
        if self._skipping:
            return []
        self._rest += data
        if len(self._rest) <= self._limit:
            return []
        lines = self.finish()
        self._skipping = True
        return lines


# RFC 6587, 3.4.1: MSG-LEN SP SYSLOG-MSG, and MSG-LEN doesn't begin with 0. More than seven digits are not believed:
# one line of text that happens to look like a length must not swallow what comes in the next days.
_COUNT = re.compile(rb"([1-9][0-9]{0,6}) ")
_COUNT_PRI = re.compile(rb"([1-9][0-9]{0,6}) (?=<)")
_COUNT_MAYBE = re.compile(rb"[1-9][0-9]{0,6} ?\Z")  # all there is so far could become one of the above
# The line end in front of a counted frame. A search for a literal first byte is a memchr, much quicker than for a set
# of two, so the second is used only where there is a NUL.
_SWITCH = re.compile(rb"\n(?=[1-9][0-9]{0,6} )")
_SWITCH_PRI = re.compile(rb"\n(?=[1-9][0-9]{0,6} <)")
_SWITCH_NUL = re.compile(rb"[\n\0](?=[1-9][0-9]{0,6} )")
_SWITCH_NUL_PRI = re.compile(rb"[\n\0](?=[1-9][0-9]{0,6} <)")


class SyslogSplitter:
    """Syslog messages on a TCP connection (RFC 6587): counted in octets, or ended by LF or NUL.

    Which of the two is told for each frame by how it starts, so that any sender will do: a length, a space and "<" make
    a counted frame, everything else a line. With `counted` the "<" isn't asked for. A count that is none doesn't end
    the connection: what is there is taken as a line, and after its end counting is tried again.

    `limit` is the longest message in bytes. A line end within a counted frame's last two bytes is stripped, as some
    senders count it; others stay.
    """

    __slots__ = ("_count", "_cut", "_frame", "_head", "_in_line", "_left", "_limit", "_lines", "_switch", "_switch_nul")

    def __init__(self, limit: int, *, counted: bool = False) -> None:
        self._limit = limit
        self._count = _COUNT if counted else _COUNT_PRI
        self._switch = _SWITCH if counted else _SWITCH_PRI
        self._switch_nul = _SWITCH_NUL if counted else _SWITCH_NUL_PRI
        self._lines = LineSplitter(limit, nul=True)
        self._in_line = False  # the next byte belongs to a line
        self._head = b""  # the start of a frame, too short to tell which kind it is
        self._left = 0  # bytes still to come of a counted frame
        self._frame = bytearray()  # what there is of it, at most one byte over the limit
        self._cut = 0  # counted frames cut at the limit

    @property
    def truncated(self) -> int:
        return self._cut + self._lines.truncated

    @property
    def pending(self) -> int:
        return len(self._head) + len(self._frame) + self._lines.pending

    def feed(self, data: bytes) -> list[str]:
        frames: list[str] = []
        if self._head:
            data, self._head = self._head + data, b""
        at, end = 0, len(data)
        if self._left:
            at = self._continue(data, frames)
        # In ASCII, and that is most of it, bytes and characters have the same numbers: decode once and cut the text.
        text = data.decode("ascii") if data.isascii() else ""
        switch = (self._switch_nul if b"\0" in data else self._switch).search
        while at < end:
            if not self._in_line:
                at = self._counted(data, text, at, frames)
                if at == end:
                    break
                if _COUNT_MAYBE.match(data, at):
                    self._head = data[at:]
                    break
            # Lines up to the next counted frame, or up to the last line end: what follows could be a frame's start.
            found = switch(data, at)
            stop = found.end() if found else max(data.rfind(b"\n", at), data.rfind(b"\0", at)) + 1
            self._in_line = not stop
            frames += self._lines.feed(data[at : stop or end])
            at = stop or end
        return frames

    def finish(self) -> list[str]:
        if self._left:
            self._left = 0
            return [self._complete()] if self._frame else []
        self._in_line = False
        frames = self._lines.feed(self._head) + self._lines.finish()
        self._head = b""
        return frames

    def _counted(self, data: bytes, text: str, at: int, frames: list[str]) -> int:
        """Take counted frames while there are any; where what isn't one starts. `text` is the data if it is ASCII."""
        match, end, limit = self._count.match, len(data), self._limit
        while found := match(data, at):
            start = found.end()
            at = start + int(found[1])
            if at > end or at - start > limit:
                self._frame += data[start : min(at, start + limit + 1)]
                if at > end:
                    self._left = at - end
                    return end
                frames.append(self._complete())
                continue
            frame = text[start:at] if text else _text(data[start:at])
            frames.append(frame if frame[-1] > "\r" else _stripped(frame))
        return at

    def _continue(self, data: bytes, frames: list[str]) -> int:
        """More of a counted frame; where it ends."""
        here = min(self._left, len(data))
        room = self._limit + 1 - len(self._frame)
        self._frame += data[: min(here, room)]
        self._left -= here
        if not self._left:
            frames.append(self._complete())
        return here

    def _complete(self) -> str:
        frame, self._frame = self._frame, bytearray()
        if len(frame) > self._limit:
            self._cut += 1
            return _text(_cut(frame, self._limit))
        return _stripped(_text(frame))


def messages(datagrams: list[bytes], limit: int) -> tuple[list[str], int]:
    """A message for each datagram (RFC 5426), and how many of them were over `limit` bytes and cut."""
    # All at once if no line end is in any of them; a character can't begin in one and end in the next.
    text = _text(b"\n".join(datagrams))
    lines = text.split("\n")
    if len(lines) == len(datagrams) and "\0" not in text and max(map(len, datagrams)) <= limit:
        return lines, 0
    long = sum(len(data) > limit for data in datagrams)
    return [_stripped(_text(_cut(data, limit) if len(data) > limit else data)) for data in datagrams], long


def _stripped(frame: str) -> str:
    """Without its line end: LF, CR LF or NUL."""
    if frame.endswith("\n"):
        return frame[:-2] if frame.endswith("\r\n") else frame[:-1]
    return frame.removesuffix("\0")
