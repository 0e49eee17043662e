"""Lines of key=value pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.options import Setting, read
from edgebit.parsers.logfmt import Logfmt
from edgebit.record import Shape, to_dict

NOW = 1_767_225_600 * 10**9


def parser(**options):
    return Logfmt("p", read(Logfmt.OPTIONS, [Setting(k, v) for k, v in options.items()], "parser logfmt"))


def fields(line, **options):
    record = parser(**options).parse(line, NOW)
    return None if record is None else to_dict(record)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('level=info msg="door open" door=3 armed', {"level": "info", "msg": "door open", "door": "3", "armed": True}),
        (r'msg="say \"hi\"" path="C:\\tmp" quoted=""', {"msg": 'say "hi"', "path": "C:\\tmp", "quoted": ""}),
        ("   spaced=1    more=2", {"spaced": "1", "more": "2"}),
        ('a= b=1 c="" d', {"a": "", "b": "1", "c": "", "d": True}),
        ("=z", {"z": True}),
        ("f=g=h", {"f": "g", "h": True}),
        ("nope!", {"nope!": True}),
        (r'a="\t\n\u00e9\ud83d\ude00\ud800\q\/"', {"a": "\t\n\u00e9😀\ufffdq/"}),
        (r'a="C:\new"', {"a": "C:\new"}),
        ('a="cut', {"a": "cut"}),
        ('a="cut\\', {"a": "cut\\"}),
        ('a="b"c=d', {"a": "b", "c": "d"}),
        ('a=b"c"', {"a": "b", "c": True}),
        ("t=21,5°C", {"t": "21,5°C"}),
        ("bytes=\udcff", {"bytes": "\udcff"}),
        ("a=1 a=2", {"a": "2"}),
        ("", None),
        (' = "" ', None),
    ],
)
def test_pairs(line, expected):
    assert fields(line) == expected


def test_two_equal_keys_are_two_fields():
    assert parser().parse("a=1 a=2", NOW) == (NOW, Shape.of(("a", "a")), ("1", "2"))


def test_bare_keys_can_be_refused():
    assert fields("a=1 b", logfmt_no_bare_keys="on") is None
    assert fields('a=1 b= c=""', logfmt_no_bare_keys="on") == {"a": "1", "b": "", "c": ""}


def test_types_leave_other_fields_as_they_are():
    assert fields(r'n=1 bare s="a\"b"', types="n:integer bare:integer") == {"n": 1, "bare": True, "s": 'a"b'}


def test_time():
    p = parser(time_key="ts", time_format="%Y-%m-%dT%H:%M:%SZ")

    assert p.parse("ts=2024-04-01T06:00:00Z level=info", NOW) == (1711951200 * 10**9, Shape.of(("level",)), ("info",))
    assert p.parse("ts=soon v=2", NOW) == (NOW, Shape.of(("ts", "v")), ("soon", "2"))
    assert p.parse("ts v=2", NOW) == (NOW, Shape.of(("ts", "v")), (True, "2"))
    assert p.time_errors == 1


@given(st.text(alphabet=st.characters() | st.sampled_from(' ="\\u'), max_size=60))
def test_any_text_parses_or_does_not(text):
    record = parser(types="a:integer").parse(text, NOW)

    assert record is None or len(record[1].names) == len(record[2]) > 0


@given(st.dictionaries(st.text("abc_.-09", min_size=1), st.text(st.characters(exclude_categories=["Cs"]))))
def test_quoted_values_are_read_back(pairs):
    line = " ".join(key + '="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for key, value in pairs.items())

    assert (fields(line) or {}) == pairs


def test_hostile_line_takes_linear_time():
    """64 KiB of what could make a careless expression go back and forth; it ends the test run if it does."""
    for line in ('a="' + '\\"' * 32768, 'a="' * 21845, "=" * 65536, "a" * 65536, '"' * 65536, "\\" * 65536):
        parser().parse(line, NOW)
