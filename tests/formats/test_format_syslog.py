"""Syslog messages: the layouts of RFC 5424 and 3164 as Fluent Bit fills them, and what would break them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.errors import ConfigError
from edgebit.parsers.syslog import Rfc5424
from fakes.formats import chunk_of, make_format

KEYS = {f"syslog_{name}_key": name for name in
        ("severity", "facility", "hostname", "appname", "procid", "msgid", "message")}  # fmt: skip
ALL = {"severity": 3, "facility": "local0", "hostname": "gw1", "appname": "door", "procid": 42, "msgid": "ID47",
       "message": "open ü"}  # fmt: skip
T = "2023-11-14T22:13:20.123456Z"


def one(fields: dict[str, Any], **options: object) -> str:
    return make_format("syslog", **options).encode_each(chunk_of(fields))[0].decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(("fields", "options", "expected"), [
    (ALL, KEYS, f"<131>1 {T} gw1 door 42 ID47 - \ufeffopen ü"),
    (ALL, {**KEYS, "syslog_format": "rfc3164"}, "<131>Nov 14 22:13:20 gw1 door[42]: open ü"),
    ({"message": "x"}, KEYS, f"<14>1 {T} - - - - - \ufeffx"),
    ({"message": "x"}, {}, f"<14>1 {T} - - - - -"),
    ({"message": "x"}, {"syslog_format": "rfc3164"}, "<14>Nov 14 22:13:20 "),
    ({"appname": "a", "message": "x"}, {**KEYS, "syslog_format": "rfc3164"}, "<14>Nov 14 22:13:20 a: x"),
    ({"n": 1}, {"syslog_severity_preset": "err", "syslog_facility_preset": 23, "syslog_hostname_preset": "h",
                "syslog_appname_preset": "a", "syslog_procid_preset": "p", "syslog_msgid_preset": "m"},
     f"<187>1 {T} h a p m -"),
    ({"severity": "ERROR", "facility": 2.0, "message": True}, KEYS, f"<11>1 {T} - - - - - \ufefftrue"),
    ({"severity": "9", "facility": "x"}, KEYS, f"<14>1 {T} - - - - -"),
    ({"hostname": "a b\nc", "appname": "é" * 50, "procid": None}, KEYS, f"<14>1 {T} a_b_c {'_' * 48} - - -"),
    ({"sd@1 x": {"k": 'a"]\\', "n": 1.5, "x=y": None, "ok": True, "l": [1]}}, {"syslog_sd_key": ["sd@1 x"]},
     rf'<14>1 {T} - - - - [sd@1_x k="a\"\]\\" n="1.500000" ok="true" l="[1\]"]'),
    ({"a": {}, "b": {"k": 1}}, {"syslog_sd_key": ["a", "b"]}, f'<14>1 {T} - - - - [a][b k="1"]'),
    ({"a" * 40: {"k": 1}}, {"syslog_sd_key": ["a" * 40]}, f'<14>1 {T} - - - - [{"a" * 32} k="1"]'),
    ({"a" * 40: {"k": 1}}, {"syslog_sd_key": ["a" * 40], "allow_longer_sd_id": True},
     f'<14>1 {T} - - - - [{"a" * 40} k="1"]'),
    ({"m": {"d": {"k": 1}, "t": "deep"}}, {"syslog_sd_key": ["$m['d']"], "syslog_message_key": "$m['t']"},
     f'<14>1 {T} - - - - [d k="1"] \ufeffdeep'),
    ({"a": 1}, {"syslog_sd_preset": '[x@1 y="z"]'}, f'<14>1 {T} - - - - [x@1 y="z"]'),
    ({"message": "<34>Oct 11 22:14:15 host su: x"}, KEYS, "<34>Oct 11 22:14:15 host su: x"),
    ({"message": "<html>"}, KEYS, f"<14>1 {T} - - - - - \ufeff<html>"),
])  # fmt: skip
def test_messages(fields: dict[str, Any], options: dict[str, object], expected: str) -> None:
    assert one(fields, **options) == expected


def test_a_stream_has_a_line_a_message() -> None:
    fmt = make_format("syslog", syslog_message_key="m", syslog_format="rfc3164")
    chunk = chunk_of({"m": "two\nlines\r"}, {"m": "x"})
    assert fmt.encode(chunk) == b"<14>Nov 14 22:13:20 two#012lines#015\n<14>Nov 14 22:13:21 x\n"
    assert fmt.encode_each(chunk)[0] == b"<14>Nov 14 22:13:20 two\nlines\r"


def test_messages_are_cut_only_when_asked_and_between_characters() -> None:
    head = len("<14>Nov 14 22:13:20 ")
    text = {"m": "ü" * 2000}
    options = {"syslog_message_key": "m", "syslog_format": "rfc3164"}
    assert len(one(text, **options)) == head + 2000
    assert one(text, syslog_maxsize=head + 5, **options) == "<14>Nov 14 22:13:20 üü"
    assert one(text, syslog_maxsize=head + 6, **options) == "<14>Nov 14 22:13:20 üüü"


@pytest.mark.parametrize(
    ("option", "value"), [("severity_preset", 8), ("facility_preset", "x"), ("sd_preset", "[x y]")]
)
def test_values_that_no_receiver_would_take(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"syslog_{option}: must be"):
        make_format("syslog", **{f"syslog_{option}": value})


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=10)
names = st.sampled_from([*ALL, "sd"])


@given(st.dictionaries(names, scalars | st.dictionaries(st.text(min_size=1, max_size=5), scalars, max_size=3)))
def test_our_own_parser_reads_every_message(fields: dict[str, Any]) -> None:
    from edgebit.options import read
    from edgebit.record import to_dict

    line = one(fields, syslog_sd_key=["sd"], **KEYS)
    found = Rfc5424("p", read(Rfc5424.OPTIONS, [], "parser")).parse(line, 0)
    message = fields.get("message")
    if found is None:
        assert isinstance(message, str)
        assert message.startswith("<")
        return
    if isinstance(message, str) and message and not message.startswith("<"):
        assert to_dict(found)["message"].removeprefix("\ufeff") == message
