"""Format syslog: messages of RFC 5424 or RFC 3164, made of the fields that the options name.

    <PRI>1 2023-11-14T22:13:20.123456Z host app procid msgid [structured data] BOM message        (RFC 5424, 6)
    <PRI>Nov 14 22:13:20 host app[pid]: message                                                   (RFC 3164, 4.1)

The layout is Fluent Bit's, its UTC in RFC 3164 included. A message that begins with ``<PRI>`` is a whole one already and
goes on as it is. What would break the layout is mended: blanks in a header field become "_"; in a stream, where each
message is a line, line ends within one become "#012" and "#015", as rsyslog writes them.

`encode` gives lines for a stream, `encode_each` bare messages for datagrams.
"""

from __future__ import annotations

import re

from edgebit.formats.cells import utf8
from edgebit.formats.dates import iso8601
from edgebit.formats.raw import plain
from edgebit.options import BadValue, Option, boolean, size, string
from edgebit.plugin import Format
from edgebit.record_accessor import MISSING, Accessor, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.options import Options
    from edgebit.record import Chunk, Record

SEVERITIES = {name: n for n, names in enumerate((
    ("emerg", "emergency", "panic"), ("alert",), ("crit", "critical"), ("err", "error"), ("warning", "warn"),
    ("notice",), ("info", "informational"), ("debug",))) for name in names}  # fmt: skip
_FACILITIES = {name: n for n, name in enumerate(
    ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
     "security", "console", "solaris-cron", *(f"local{i}" for i in range(8))))}  # fmt: skip
_NOT_HEADER = re.compile(r"[^!-~]")
_NOT_SD_NAME = re.compile(r'[^!-~]|[="\]]')
_SD_ESCAPE = re.compile(r'(["\\\]])')
_WHOLE = re.compile(r"<[0-9]{1,3}>")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONGEST = {"hostname": 255, "appname": 48, "procid": 128, "msgid": 32}  # RFC 5424, 6


def _number(value: Any, names: dict[str, int], most: int) -> int | None:
    text = str(value).strip().lower()
    if text.isdecimal() and len(text) < 3:
        return int(text) if int(text) <= most else None
    return names.get(text)


def severity(value: object) -> int:
    """0 to 7, or a name."""
    found = _number(value, SEVERITIES, 7)
    if found is None:
        raise BadValue("a severity: 0 to 7, emerg, alert, crit, err, warning, notice, info or debug")
    return found


def facility(value: object) -> int:
    """0 to 23, or a name."""
    found = _number(value, _FACILITIES, 23)
    if found is None:
        raise BadValue("a facility: 0 to 23, or a name such as user, daemon or local0")
    return found


def key(value: object) -> Accessor | None:
    """A field."""
    text = string(value)
    return parse(text) if text else None


def sd_key(value: object) -> Accessor:
    """A field that has a map."""
    return parse(string(value))


def sd_preset(value: object) -> str:
    """Structured data as it stands in a message."""
    text = string(value).strip()
    if text in ("", "-"):
        return ""
    if not re.fullmatch(r'(\[[!-~]+( [!-~]+="([^"\\\]]|\\.)*")*\])+', text):
        raise BadValue('"-" or structured data such as [id@32473 name="value"]')
    return text


def _pair(name: str, what: str, preset: Option) -> tuple[Option, Option]:
    return Option(f"syslog_{name}_key", key, None, f"field with the {what}", default_text='""'), preset


def _text(name: str, what: str) -> tuple[Option, Option]:
    return _pair(name, what, Option(f"syslog_{name}_preset", string, "", f"the {what} if the record has none"))


class Syslog(Format):
    """Syslog messages."""

    NAME = "syslog"
    OPTIONS = (
        Option("syslog_format", ("rfc5424", "rfc3164"), "rfc5424", "layout of the messages"),
        Option("syslog_maxsize", size, 0, "bytes that a message is cut to; 0: it isn't"),
        *_pair("severity", "severity", Option("syslog_severity_preset", severity, 6, "the severity if the record has none")),
        *_pair("facility", "facility", Option("syslog_facility_preset", facility, 1, "the facility if the record has none")),
        *_text("hostname", "host name"),
        *_text("appname", "application name"),
        *_text("procid", "process id"),
        *_text("msgid", "type of the message"),
        Option("syslog_message_key", key, None, "field with the message", default_text='""'),
        Option("syslog_sd_key", sd_key, [], "field with a map that becomes structured data named like it", multiple=True),
        Option("syslog_sd_preset", sd_preset, "", "structured data if the record has none"),
        Option("allow_longer_sd_id", boolean, False, "names in structured data may be longer than 32 characters"),
    )  # fmt: skip
    content_type = "text/plain"
    stream = True

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        self._header = [(name, getattr(opt, f"syslog_{name}_key"), getattr(opt, f"syslog_{name}_preset"))
                        for name in _LONGEST]  # fmt: skip
        self._sd_keys: list[Accessor] = opt.syslog_sd_key
        self._longest_sd = 1 << 16 if opt.allow_longer_sd_id else 32
        self._layout = self._rfc5424 if opt.syslog_format == "rfc5424" else self._rfc3164

    def encode(self, chunk: Chunk) -> bytes:
        escaped = [data.replace(b"\n", b"#012").replace(b"\r", b"#015") for data in self.encode_each(chunk)]
        return b"".join([data + b"\n" for data in escaped])

    def encode_each(self, chunk: Chunk) -> list[bytes]:
        most = self.opt.syslog_maxsize
        out = []
        for record in chunk.records:
            data = utf8(self._message(record))
            if most and len(data) > most:
                while most and data[most] & 0xC0 == 0x80:  # not in the middle of a character
                    most -= 1
                data, most = data[:most], self.opt.syslog_maxsize
            out.append(data)
        return out

    def _message(self, record: Record) -> str:
        opt = self.opt
        message = _field(opt.syslog_message_key, record)
        if message is not None and message[:1] == "<" and _WHOLE.match(message):
            return message
        level = _field(opt.syslog_severity_key, record)
        origin = _field(opt.syslog_facility_key, record)
        if level is None or (number := _number(level, SEVERITIES, 7)) is None:
            number = opt.syslog_severity_preset
        if origin is None or (group := _number(origin, _FACILITIES, 23)) is None:
            group = opt.syslog_facility_preset
        header = []
        for name, where, preset in self._header:
            text = _field(where, record)
            text = preset if text is None else text
            header.append(_NOT_HEADER.sub("_", text)[: _LONGEST[name]])
        return self._layout(f"<{group * 8 + number}>", record, header, message)

    def _rfc5424(self, pri: str, record: Record, header: list[str], message: str | None) -> str:
        data = "".join([self._structured(key, record) for key in self._sd_keys]) or self.opt.syslog_sd_preset or "-"
        head = " ".join([f"{pri}1", iso8601(record[0]), *(text or "-" for text in header), data])
        return head if message is None else f"{head} \ufeff{message}"

    def _rfc3164(self, pri: str, record: Record, header: list[str], message: str | None) -> str:
        when = iso8601(record[0])
        host, app, pid, _ = header
        out = f"{pri}{_MONTHS[int(when[-22:-20]) - 1]} {int(when[-19:-17]):2d} {when[-16:-8]} "
        if host:
            out += f"{host} "
        if app:
            out += f"{app}[{pid}]: " if pid else f"{app}: "
        return out + (message or "")

    def _structured(self, accessor: Accessor, record: Record) -> str:
        value = accessor.get(record)
        if not isinstance(value, dict):
            return ""
        last = [step for step in (accessor.key, *accessor.path) if isinstance(step, str)][-1]
        out = [self._sd_name(last)]
        for name, one in value.items():
            if one is not None:
                text = _SD_ESCAPE.sub(r"\\\1", plain(one))
                out.append(f'{self._sd_name(str(name))}="{text}"')
        return f"[{' '.join(out)}]"

    def _sd_name(self, text: str) -> str:
        return _NOT_SD_NAME.sub("_", text)[: self._longest_sd]


def _field(where: Accessor | None, record: Record) -> str | None:
    if where is None:
        return None
    value = where.get(record)
    return None if value is MISSING or value is None else plain(value)
