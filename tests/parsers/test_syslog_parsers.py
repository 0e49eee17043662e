"""Syslog messages as the RFCs have them and as they are really sent."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit import registry
from edgebit.options import Setting, read
from edgebit.plugin import LOG
from edgebit.record import to_dict

NOW = 1_065_910_000 * 10**9  # 2003-10-11T22:06:40Z
AT_2214 = 1_065_910_455 * 10**9  # 2003-10-11T22:14:15Z


def make(name: str, **settings: object):
    cls = registry.find("parser", name)
    return cls(name, read(cls.OPTIONS, [Setting(*item) for item in settings.items()], f"parser {name}"))


PARSERS = {
    "syslog-rfc5424": make("syslog-rfc5424"),
    "syslog-rfc3164": make("syslog-rfc3164", time_zone="utc"),
    "syslog": make("syslog", time_zone="utc"),
}


def parse(name: str, line: str) -> dict | None:
    record = PARSERS[name].parse(line, NOW)
    return record and to_dict(record)


# -- RFC 5424 --------------------------------------------------------------------------------------------------------


def case_5424(line, **fields):
    return pytest.param(line, fields, id=line[:60])


CASES_5424 = [
    # the examples of section 6.5
    case_5424(
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed for lonvick on /dev/pts/8",
        pri="34", time="2003-10-11T22:14:15.003Z", host="mymachine.example.com", ident="su", pid="-", msgid="ID47",
        extradata="-", message="'su root' failed for lonvick on /dev/pts/8",
    ),
    case_5424(
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
        pri="165", time="2003-08-24T05:14:15.000003-07:00", host="192.0.2.1", ident="myproc", pid="8710", msgid="-",
        extradata="-", message="%% It's time to make the do-nuts.",
    ),
    case_5424(
        '<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" '
        'eventSource="Application" eventID="1011"] \ufeffAn application event log entry...',
        pri="165", time="2003-10-11T22:14:15.003Z", host="mymachine.example.com", ident="evntslog", pid="-",
        msgid="ID47", extradata='[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]',
        message="An application event log entry...",
    ),
    case_5424(
        '<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" '
        'eventSource="Application" eventID="1011"][examplePriority@32473 class="high"]',
        pri="165", time="2003-10-11T22:14:15.003Z", host="mymachine.example.com", ident="evntslog", pid="-",
        msgid="ID47", extradata='[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]'
        '[examplePriority@32473 class="high"]',
    ),
    # what Fluent Bit's stock expression refuses or gets wrong
    case_5424(
        "<34>1 2003-10-11T22:14:15Z h app worker-3 - - text",
        pri="34", time="2003-10-11T22:14:15Z", host="h", ident="app", pid="worker-3", msgid="-", extradata="-",
        message="text",
    ),
    case_5424(
        '<34>1 - - - - - [a b="x\\]y\\"z\\\\"][c d="]"][e] m [n]',
        pri="34", time="-", host="-", ident="-", pid="-", msgid="-",
        extradata='[a b="x\\]y\\"z\\\\"][c d="]"][e]', message="m [n]",
    ),
    case_5424("<34>1 - - - - - -", pri="34", time="-", host="-", ident="-", pid="-", msgid="-", extradata="-"),
    case_5424("<34>1 - - - - - - ", pri="34", time="-", host="-", ident="-", pid="-", msgid="-", extradata="-"),
    case_5424("<34>1 - - - - - - \ufeff", pri="34", time="-", host="-", ident="-", pid="-", msgid="-", extradata="-"),
    case_5424(
        "<34>1 - - - - - -  a\nb\udcff ",
        pri="34", time="-", host="-", ident="-", pid="-", msgid="-", extradata="-", message=" a\nb\udcff ",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), CASES_5424)
@pytest.mark.parametrize("name", ["syslog-rfc5424", "syslog"])
def test_rfc5424(name, line, fields):
    assert parse(name, line) == fields


@pytest.mark.parametrize(
    "line",
    [
        "",
        "text",
        "<34>1 ",
        "<34>1 - - - - -",
        "<34>1 - - - - - ",
        "<34>1 - - - - - x",
        "<34>1 - - - - - -x",
        "<34>1 - - - - - [a",
        '<34>1 - - - - - [a b="c] text',
        '<34>1 - - - - - [a b="c\\"] text',
        "<3456>1 - - - - - - x",
    ],
)
@pytest.mark.parametrize("name", ["syslog-rfc5424", "syslog"])
def test_not_rfc5424(name, line):
    """Nor does `syslog` take a broken one for an RFC 3164 message that begins with "1"."""
    assert parse(name, line) is None


def test_the_time_is_that_of_the_stamp():
    parser = PARSERS["syslog-rfc5424"]

    assert parser.parse("<34>1 2003-10-11T22:14:15.003Z - - - - -", NOW)[0] == AT_2214 + 3_000_000
    assert parser.parse("<34>1 2003-10-11T23:14:15+01:00 - - - - -", NOW)[0] == AT_2214
    assert parser.parse("<34>1 - - - - - -", NOW)[0] == NOW
    assert parser.parse("<34>1 yesterday - - - - -", NOW)[0] == NOW


# -- RFC 3164 --------------------------------------------------------------------------------------------------------

T = "Oct 11 22:14:15"

CASES_3164 = [
    # section 5.4 of the RFC
    case_5424(
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        pri="34", time=T, host="mymachine", ident="su", message="'su root' failed for lonvick on /dev/pts/8",
    ),
    case_5424(
        "<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time",
        pri="165", time="Aug 24 05:34:00", host="CST", message="1987 mymachine myproc[10]: %% It's time",
    ),
    case_5424(
        "<0>1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's All Folks!",
        pri="0", message="1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's All Folks!",
    ),
    # local style and the network's, with and without pid
    case_5424(f"<13>{T} su[12]: text", pri="13", time=T, ident="su", pid="12", message="text"),
    case_5424(f"<13>{T} su: text", pri="13", time=T, ident="su", message="text"),
    case_5424(f"<13>{T} h su[12]: text", pri="13", time=T, host="h", ident="su", pid="12", message="text"),
    case_5424(f"<13>{T} h su[12] text", pri="13", time=T, host="h", ident="su", pid="12", message="text"),
    case_5424(f"<13>{T} fe80::1 su: text", pri="13", time=T, host="fe80::1", ident="su", message="text"),
    case_5424(f"<13>{T} h postfix/smtpd[12]: a: b[1]", pri="13", time=T, host="h", ident="postfix/smtpd", pid="12",
              message="a: b[1]"),
    case_5424(f"<13>{T} h sshd(pam_unix)[12]: text", pri="13", time=T, host="h", ident="sshd(pam_unix)", pid="12",
              message="text"),
    case_5424(f"<6>{T} pi kernel: [    1.0] usb 1-1", pri="6", time=T, host="pi", ident="kernel",
              message="[    1.0] usb 1-1"),
    # no tag: all of it is the message
    case_5424(f"<13>{T} h last message repeated 3 times", pri="13", time=T, host="h",
              message="last message repeated 3 times"),
    case_5424(f"<13>{T} h su:", pri="13", time=T, host="h", ident="su"),
    case_5424(f"<13>{T} h ", pri="13", time=T, host="h"),
    case_5424(f"<13>{T} word", pri="13", time=T, message="word"),
    # stamps
    case_5424("<13>Oct  1 22:14:15 h su: x", pri="13", time="Oct  1 22:14:15", host="h", ident="su", message="x"),
    case_5424("<13>Oct 1 22:14:15 h su: x", pri="13", time="Oct 1 22:14:15", host="h", ident="su", message="x"),
    case_5424("<13>Oct 11 22:14:15.123 h su: x", pri="13", time="Oct 11 22:14:15.123", host="h", ident="su",
              message="x"),
    case_5424("<166>Oct 11 2003 22:14:15: %ASA-6-302013: Built", pri="166", time="Oct 11 2003 22:14:15",
              ident="%ASA-6-302013", message="Built"),
    case_5424("<13>2003-10-11T22:14:15.123456+02:00 h su[1]: x", pri="13", time="2003-10-11T22:14:15.123456+02:00",
              host="h", ident="su", pid="1", message="x"),
    # no stamp, as from Python's SysLogHandler; no PRI, as in a log file
    case_5424("<14>text with words", pri="14", message="text with words"),
    case_5424("<14>app: text", pri="14", ident="app", message="text"),
    case_5424("<14>", pri="14"),
    case_5424(f"{T} h su[1]: x", time=T, host="h", ident="su", pid="1", message="x"),
    case_5424(f"<13>{T} h su: a\nb\udcff", pri="13", time=T, host="h", ident="su", message="a\nb\udcff"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), CASES_3164)
@pytest.mark.parametrize("name", ["syslog-rfc3164", "syslog"])
def test_rfc3164(name, line, fields):
    assert parse(name, line) == fields


@pytest.mark.parametrize("line", ["", "Use the BFG!", "<>", "<1234>x", "<x>y", "Oct 11", " <13>x", "<34>1 x"])
def test_not_rfc3164(line):
    assert parse("syslog-rfc3164", line) is None
    assert parse("syslog", line) is None


def test_the_zone_of_stamps_is_an_option():
    line = "<13>Oct 11 22:14:15 h su: x"

    assert make("syslog-rfc3164", time_zone="utc").parse(line, NOW)[0] == AT_2214
    assert make("syslog", time_zone="+0100").parse(line, NOW)[0] == AT_2214 - 3600 * 10**9
    local = time.mktime((2003, 10, 11, 22, 14, 15, 0, 0, -1))
    assert make("syslog").parse(line, NOW)[0] == local * 10**9


def test_a_message_without_a_stamp_has_the_time_of_its_arrival():
    assert PARSERS["syslog"].parse("<14>text", NOW)[0] == NOW


# -- both ------------------------------------------------------------------------------------------------------------


def test_lines_that_do_not_match_are_kept_whole_in_their_place():
    lines = ["<14>a", "what?", "<34>1 - - - - - - b"]
    records, misses = PARSERS["syslog"].parse_lines(lines, NOW)

    assert misses == 1
    assert [to_dict(record).get("message") for record in records] == ["a", None, "b"]
    assert records[1] == (NOW, LOG, ("what?",))


HOSTILE = {
    "open structured data": "<34>1 - - - - - " + "[" * 65536,
    "many elements": "<34>1 - - - - - " + "[a]" * 20000 + "x",
    "open quotes": '<34>1 - - - - - [a b="' + "\\" * 65535,
    "quotes by the thousand": "<34>1 - - - - - [" + '"' * 65535,
    "escapes": '<34>1 - - - - - [a b="' + '\\"' * 32768,
    "one long word": "<34>1 " + "x" * 65536,
    "a long host": "<13>Oct 11 22:14:15 " + "x" * 65536,
    "colons": "<13>Oct 11 22:14:15 " + ":" * 65536,
    "brackets": "<13>Oct 11 22:14:15 a" + "[" * 65536,
    "a long pid": "<13>Oct 11 22:14:15 a[" + "1" * 65536,
    "blanks": "<13>Oct 11 22:14:15 a:" + " " * 65536,
    "digits": "<" + "1" * 65536,
    "a long fraction": "<13>2003-10-11T22:14:15." + "1" * 65536 + " h a: b",
    "a long fraction in RFC 5424": "<13>1 2003-10-11T22:14:15." + "1" * 65536 + "Z - - - - -",
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", PARSERS)
def test_a_hostile_line_costs_what_its_length_does(name, line):
    """Going back even once for every character would take minutes."""
    start = time.perf_counter()
    PARSERS[name].parse(line, NOW)

    assert time.perf_counter() - start < 0.1


@given(st.text('<>1 34:[]-"\\=aT.OctZ+\ufeff\n\udcff', max_size=80))
def test_no_line_upsets_a_parser(line):
    for prefix in ("", "<34>1 ", "<34>1 - - - - - ", "<13>Oct 11 22:14:15 ", "<13>2003-10-11T22:14:15"):
        for parser in PARSERS.values():
            record = parser.parse(prefix + line, NOW)
            if record is not None:
                assert len(record[1].names) == len(record[2])
                assert all(record[2])


# -- batches ---------------------------------------------------------------------------------------------------------

WORD = st.text('aZ0:[]<> .-"\\\r\t\u00e9\udcff\ufeff', max_size=6)
STAMP = st.sampled_from(
    [
        "Oct 11 22:14:15",
        "Oct  1 22:14:15",
        "Oct 11 2003 22:14:15",
        "Oct 11 22:14:15.5",
        "Oct 1 22:14:15",
        "Xyz 11 22:14:15",
    ]
    + ["2003-10-11T22:14:15Z", "2003-10-11T22:14:15.003+01:00", "Oct 41 22:14:15"]
)
HEAD = st.sampled_from(["<34>", "<3>", "", "<34>1 ", "<>", "<1234>"])
BSD_LINE = st.builds("{}{} {} {}{} {}".format, HEAD, STAMP, WORD, st.sampled_from(["app", "a b", "", "a:b", "[7]"]),
                     st.sampled_from([":", "[12]:", "[12]", "[1 2]:", "[]:", ""]), WORD)  # fmt: skip
IETF_LINE = st.builds("{}1 {} {} app {} {} {}{}".format, HEAD, STAMP, WORD, WORD, WORD,
                      st.sampled_from(["-", '[a b="c"]', '[a b="]"][c]', "[a", '[a b="\\"]']),
                      st.just("") | WORD.map(" {}".format))  # fmt: skip


@pytest.mark.parametrize("name", PARSERS)
@given(lines=st.lists(BSD_LINE | IETF_LINE | WORD | st.just("a\nb"), max_size=6))
def test_a_batch_gives_what_its_lines_give(name, lines):
    parser = PARSERS[name]
    singly = [parser.parse(line, NOW) for line in lines]
    assert parser.parse_lines(lines, NOW, LOG) == (
        [record or (NOW, LOG, (line,)) for record, line in zip(singly, lines)],
        singly.count(None),
    )
