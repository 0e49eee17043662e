"""Syslog messages: RFC 5424, RFC 3164 as it is really sent, and either of them told by how it starts.

Field names are Fluent Bit's: pri, time, host, ident, pid, msgid, extradata, message. All values are text; a part that
isn't there has no field, and the nil value "-" of RFC 5424 stays "-". `time` keeps the stamp as it was sent and also
gives the record its time; a stamp that is none, or lies outside of 1970 to 2261, leaves the time of arrival.

More is accepted than by the expressions that come with Fluent Bit: stamps without a fraction, a PROCID that is text, no
MSG, several elements of structured data with "]" in their values, a BOM; for RFC 3164 a missing host, tag, stamp or
PRI, years and fractions in the stamp, and the ISO stamp that rsyslog sends.

The expressions hardly go back over what they have passed: classes are repeated possessively, and a group that is
repeated or optional ends where nothing else can begin, so their time is linear in the length of a line, whatever is in
it. (Groups are not possessive themselves: before CPython 3.11.5, and so in Debian 12, one that fails half-way leaves
its place in the line wrong, gh-106052.) No clock is read; of the host only its time zone is asked for (see stamps.py).
"""

from __future__ import annotations

import re

from edgebit.options import Option
from edgebit.parsers.stamps import Stamps, iso_ns, zone
from edgebit.plugin import LOG, Parser
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgebit.options import Options
    from edgebit.record import Record

_PARTS = ("pri", "time", "host", "ident", "pid", "msgid", "extradata", "message")

# RFC 5424, section 6: <PRI>1 SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA [SP MSG].
# Within an element of structured data only a quoted value may hold "]"; a backslash in it quotes the next character.
_RFC5424 = re.compile(
    r"<([0-9]{1,3})>1 ([^ ]++) ([^ ]++) ([^ ]++) ([^ ]++) ([^ ]++) "
    r'(-|(?:\[[^"\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*"[^"\]]*+)*\])+)'
    r"(?: \ufeff?+(.++)?|\Z)",
    re.DOTALL,
)
# The same for a batch: lines that each begin with a line feed. Every line is found; one that isn't as they nearly always are
# is in the last group, for the expression above. One call for hundreds of lines costs half of as many calls.
_RFC5424_LINES = re.compile(
    r"\n(?:<([0-9]{1,3})>1 ([^ \n]++) ([^ \n]++) ([^ \n]++) ([^ \n]++) ([^ \n]++) "
    r'(-|(?:\[[^"\]\n]*+(?:"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"[^"\]\n]*+)*\])+)'
    r" \ufeff?+(.++)|(.*+))"
)
_SHAPE_5424 = Shape.of(_PARTS)
_SHAPE_5424_SILENT = Shape.of(_PARTS[:-1])

# RFC 3164, section 4.1, and what is sent in its name. A tag ends with a colon or has a pid in brackets; a first word
# that isn't one is the host. So the words of a message without a tag ("host last message repeated 3 times") stay whole.
_TAG = r"(?:([^ :\[]++)(?:\[([^\] ]++)\]:?+|:) *+)?(.++)?"
_RFC3164 = re.compile(
    r"(?:<([0-9]{1,3})>)?"
    r"([A-Z][a-z]{2} [ 0-3]?[0-9] (?:[0-9]{4} )?[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9}+)?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]++)"
    r":?+ (?:([^ ]++)(?<![:\]]) )?" + _TAG,
    re.DOTALL,
)
# As above; "nearly always" is: a PRI, a stamp without year and fraction, a host, a tag with a colon, a message.
_RFC3164_LINES = re.compile(
    r"\n(?:<([0-9]{1,3})>([A-Z][a-z][a-z] [ 0-3][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9])"
    r" ([^ \n]++)(?<![:\]]) ([^ :\[\n]++)(?:\[([^\] \n]++)\])?: *+(.++)|(.*+))"
)
_PRI_ONLY = re.compile(r"<([0-9]{1,3})>(?!1 )()()" + _TAG, re.DOTALL)  # "1 " would be a broken RFC 5424
_SHAPE = Shape.of(_PARTS[:5] + _PARTS[7:])
_SHAPE_NO_PID = Shape.of(name for name in _SHAPE.names if name != "pid")
_SHAPE_NO_HOST = Shape.of(name for name in _SHAPE.names if name != "host")


def _rfc5424(line: str, now_ns: int) -> Record | None:
    found = _RFC5424.match(line)
    if found is None:
        return None
    values = found.groups()
    stamp = iso_ns(values[1])
    if stamp is None:
        stamp = now_ns
    if values[7] is None:
        return (stamp, _SHAPE_5424_SILENT, values[:7])
    return (stamp, _SHAPE_5424, values)


class _Messages(Parser):
    """A parser that takes the lines of a batch in one go."""

    def one_by_one(self, lines: Sequence[str], now_ns: int, raw: Shape) -> tuple[list[Record], int]:
        return super().parse_lines(lines, now_ns, raw)

    def rest(self, line: str, now_ns: int, raw: Shape, missed: list[str]) -> Record:
        """A line that isn't as they nearly always are."""
        record = self.parse(line, now_ns)
        if record is None:
            missed.append(line)
            return (now_ns, raw, (line,))
        return record

    def lines_5424(self, lines: Sequence[str], now_ns: int, raw: Shape) -> tuple[list[Record], int]:
        found = _RFC5424_LINES.findall("\n" + "\n".join(lines))
        if len(found) != len(lines):  # a message has line ends of its own
            return self.one_by_one(lines, now_ns, raw)
        missed: list[str] = []
        return [
            (iso_ns(values[1]) or now_ns, _SHAPE_5424, values[:8])
            if values[7]
            else self.rest(values[8], now_ns, raw, missed)
            for values in found
        ], len(missed)


class Rfc5424(_Messages):
    """Parses RFC 5424: <34>1 2003-10-11T22:14:15.003Z host app 123 ID47 - text."""

    NAME = "syslog-rfc5424"

    def parse(self, line: str, now_ns: int) -> Record | None:
        return _rfc5424(line, now_ns)

    def parse_lines(self, lines: Sequence[str], now_ns: int, raw: Shape = LOG) -> tuple[list[Record], int]:
        return self.lines_5424(lines, now_ns, raw)


class Rfc3164(_Messages):
    """Parses RFC 3164 and its relatives: <34>Oct 11 22:14:15 host app[123]: text."""

    NAME = "syslog-rfc3164"
    OPTIONS = (Option("time_zone", zone, None, "of stamps that name none: local, utc, or an offset such as +0100"),)

    def __init__(self, name: str, opt: Options) -> None:
        super().__init__(name, opt)
        self._stamps = Stamps(opt.time_zone)

    def parse(self, line: str, now_ns: int) -> Record | None:
        found = _RFC3164.match(line)
        if found is None:
            found = _PRI_ONLY.match(line)
            if found is None:
                return None
            stamp = now_ns
        else:
            stamp = self._stamps.ns(found[2], now_ns)
        pri, when, host, ident, pid, message = values = found.groups()
        if pri and when and ident and message:  # nearly always; the rest takes the slower way
            if host:
                if pid:
                    return (stamp, _SHAPE, values)
                return (stamp, _SHAPE_NO_PID, (pri, when, host, ident, message))
            if pid:
                return (stamp, _SHAPE_NO_HOST, (pri, when, ident, pid, message))
        shape = Shape.of([name for name, value in zip(_SHAPE.names, values) if value])
        return (stamp, shape, tuple([value for value in values if value]))

    def parse_lines(self, lines: Sequence[str], now_ns: int, raw: Shape = LOG) -> tuple[list[Record], int]:
        return self.lines_3164(lines, now_ns, raw)

    def lines_3164(self, lines: Sequence[str], now_ns: int, raw: Shape) -> tuple[list[Record], int]:
        found = _RFC3164_LINES.findall("\n" + "\n".join(lines))
        if len(found) != len(lines):  # a message has line ends of its own
            return self.one_by_one(lines, now_ns, raw)
        known, ns = self._stamps.known(now_ns), self._stamps.ns
        missed: list[str] = []
        return [
            (known(when) or ns(when, now_ns), _SHAPE, (pri, when, host, ident, pid, message))
            if pid
            else (known(when) or ns(when, now_ns), _SHAPE_NO_PID, (pri, when, host, ident, message))
            if message
            else self.rest(line, now_ns, raw, missed)
            for pri, when, host, ident, pid, message, line in found
        ], len(missed)


class Syslog(Rfc3164):
    """Parses RFC 5424 and RFC 3164, whichever a line is."""

    NAME = "syslog"

    def parse(self, line: str, now_ns: int) -> Record | None:
        return _rfc5424(line, now_ns) or super().parse(line, now_ns)

    def parse_lines(self, lines: Sequence[str], now_ns: int, raw: Shape = LOG) -> tuple[list[Record], int]:
        # Senders stay with one kind; a batch that begins with the other one only takes longer.
        if lines and ">1 " in lines[0][:7]:
            return self.lines_5424(lines, now_ns, raw)
        return self.lines_3164(lines, now_ns, raw)
