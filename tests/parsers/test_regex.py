"""Lines by a regular expression; the data of the compatibility cases are from Fluent Bit's own answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.errors import ConfigError
from edgebit.options import Setting, read
from edgebit.parsers.regex import Regex
from edgebit.plugin import LOG
from edgebit.record import Shape, to_dict

NOW = 1_767_225_600 * 10**9
S = 10**9


def parser(regex, **options):
    settings = [Setting(key, value, "edgebit.toml:3") for key, value in {"regex": regex, **options}.items()]
    return Regex("p", read(Regex.OPTIONS, settings, "parser regex"))


def parsed(parser_, *lines):
    """(seconds or "now", fields) of each line."""
    records, _ = parser_.parse_lines(lines, NOW)
    return [("now" if r[0] == NOW else r[0] / S, to_dict(r)) for r in records]


def test_groups_become_fields_in_their_order():
    p = parser(r"^(?<when>\S+ \S+) (?<unit>[a-z]+)\[(?<slot>\d+)\] (?<msg>.*)$", time_key="when",
               time_format="%Y-%m-%d %H:%M:%S")  # fmt: skip
    records, misses = p.parse_lines(["2024-03-01 08:00:00 motor[3] started", "2024-03-01 23:59:59 fan[12] stop"], NOW)

    assert misses == 0
    assert records == [
        (1709280000 * S, Shape.of(("unit", "slot", "msg")), ("motor", "3", "started")),
        (1709337599 * S, Shape.of(("unit", "slot", "msg")), ("fan", "12", "stop")),
    ]


def test_groups_without_text_give_no_field():
    p = parser(r'^(?<t>\d+) (?<dev>\w+)(?: err=(?<err>\w+))?(?: note="(?<note>[^"]*)")?$', time_key="t",
               time_format="%s")  # fmt: skip

    assert parsed(p, "1 pump", "2 pump err=E12", '3 pump note="checked"', '4 pump err=E13 note=""') == [
        (1, {"dev": "pump"}),
        (2, {"dev": "pump", "err": "E12"}),
        (3, {"dev": "pump", "note": "checked"}),
        (4, {"dev": "pump", "err": "E13"}),
    ]


def test_empty_values_can_be_kept():
    p = parser(
        r"^(?<t>\d+);(?<a>[^;]*);(?<b>[^;]*);?(?<c>z)?$", time_key="t", time_format="%s", skip_empty_values="off"
    )

    assert parsed(p, "5;x;;z", "6;;") == [(5, {"a": "x", "b": "", "c": "z"}), (6, {"a": "", "b": "", "c": ""})]


def test_line_that_does_not_match_is_kept_whole():
    p = parser(r"^(?<t>\d+) (?<value>-?\d+)$", time_key="t", time_format="%s")
    records, misses = p.parse_lines(["1 20", "sensor offline", "2 21"], NOW)

    assert misses == 1
    assert records[1] == (NOW, LOG, ("sensor offline",))
    assert p.parse_lines(["x"], NOW, Shape.of(("message",)))[0] == [(NOW, Shape.of(("message",)), ("x",))]
    assert p.parse("sensor offline", NOW) is None
    assert p.parse("1 20", NOW) == records[0]


def test_match_without_any_field_is_no_match():
    assert parser("^(?<text>.*)$").parse("", NOW) is None
    assert parser("^(?<text>.*)$", skip_empty_values=False).parse("", NOW) == (NOW, Shape.of(("text",)), ("",))


def test_time_of_3164_lines_without_year():
    p = parser(r"^<(?<prio>\d{1,3})>(?<stamp>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (?<node>\S+) (?<prog>[^\[:]+)"
               r"(?:\[(?<pid>\d+)\])?: ?(?<text>.*)$",
               time_key="stamp", time_format="%b %d %H:%M:%S", types="prio:integer pid:integer",
               time_year="current")  # fmt: skip

    assert parsed(
        p, "<34>Oct 11 22:14:15 gw01 su: auth failed", "<13>Feb  5 17:32:18 10.0.0.9 cron[211]: job done"
    ) == [
        (1791756855, {"prio": 34, "node": "gw01", "prog": "su", "text": "auth failed"}),
        (1770312738, {"prio": 13, "node": "10.0.0.9", "prog": "cron", "pid": 211, "text": "job done"}),
    ]


def test_time_of_5424_lines_is_kept():
    p = parser(r"^<(?<prio>\d{1,3})>1 (?<stamp>\S+) (?<node>\S+) (?<sd>-|(?:\[(?:\\.|[^\]])*\])+)(?: (?<text>.*))?$",
               time_key="stamp", time_format="%Y-%m-%dT%H:%M:%S.%L%z", time_keep="On")  # fmt: skip

    assert parsed(p, r'<34>1 2024-10-11T22:14:15.003Z gw [meta seq="1"][x@1 a="b\]c"] done') == [
        (
            1728684855.003,
            {
                "prio": "34",
                "stamp": "2024-10-11T22:14:15.003Z",
                "node": "gw",
                "sd": r'[meta seq="1"][x@1 a="b\]c"]',
                "text": "done",
            },
        )
    ]


def test_types():
    p = parser(r"^(?<t>\S+) (?<i>\S+) (?<f>\S+) (?<b>\S+) (?<h>\S+) (?<s>\S+)$", time_key="t", time_format="%s",
               types="i:integer f:float b:bool h:hex s:string")  # fmt: skip
    lines = ["0 42 21.5 true ff 7", "1 -7 -0.125 false 0x1F 007", "2 0 3 TRUE 0 1.0", "3 12abc 1e3 yes 7fffffff x",
             "4 9007199254740993 2.5e-7 False 0 y"]  # fmt: skip

    assert [tuple(fields.values()) for _, fields in parsed(p, *lines)] == [
        (42, 21.5, True, 255, "7"),
        (-7, -0.125, False, 31, "007"),
        (0, 3.0, True, 0, "1.0"),
        (12, 1000.0, "yes", 2147483647, "x"),
        (9007199254740993, 2.5e-07, False, 0, "y"),
    ]


def test_time_that_does_not_fit_stays_in_the_record_and_is_counted():
    p = parser(r"^(?<ts>\S+) (?<v>.*)$", time_key="ts", time_format="%Y-%m-%d")

    assert parsed(p, "2024-01-02 good", "yesterday bad", "2024-13-45 worse") == [
        (1704153600, {"v": "good"}),
        ("now", {"ts": "yesterday", "v": "bad"}),
        ("now", {"ts": "2024-13-45", "v": "worse"}),
    ]
    assert p.time_errors == 2


def test_time_key_without_a_format_is_an_ordinary_field():
    assert parsed(parser(r"^(?<time>\d+)$"), "5") == [("now", {"time": "5"})]


def test_time_offset_and_kept_time():
    p = parser(r"^(?<ts>\S+ \S+) (?<v>.*)$", time_key="ts", time_format="%d.%m.%Y %H:%M:%S", time_offset="-0330",
               time_keep="true")  # fmt: skip

    assert parsed(p, "29.02.2024 22:00:00 b") == [(1709256600, {"ts": "29.02.2024 22:00:00", "v": "b"})]


def test_types_reach_a_kept_time():
    p = parser(r"^(?<t>\d+)$", time_key="t", time_format="%s", time_keep=True, types={"t": "integer"})

    assert parsed(p, "7") == [(7, {"t": 7})]


def test_two_groups_of_one_name_are_two_fields():
    record = parser("^(?<a>x)(?<a>y)$").parse("xy", NOW)

    assert record == (NOW, Shape.of(("a", "a")), ("x", "y"))
    assert parser("^(?:(?<a>x)|(?<a>y))$").parse("y", NOW) == (NOW, Shape.of(("a",)), ("y",))


def test_search_reaches_later_lines_and_any_place():
    assert parser("^(?<b>b.)$").parse("a\nbc", NOW) == (NOW, Shape.of(("b",)), ("bc",))
    assert parser(r"(?<n>\d+)").parse("ab 12", NOW) == (NOW, Shape.of(("n",)), ("12",))


def test_shapes_kept_at_hand_are_bounded():
    names = [f"g{i}" for i in range(10)]
    p = parser("^" + "".join(f"(?<{name}>[^,]*)," for name in names))
    for i in range(1, 1024):
        record = p.parse("".join("x," if i >> bit & 1 else "," for bit in range(10)), NOW)
        assert record[1].names == tuple(name for bit, name in enumerate(names) if i >> bit & 1)

    assert len(p._shapes) == 256


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"regex": "^no (group)$"}, 'edgebit.toml:3: regex: must be a regular expression with named groups'),
        ({"regex": r"(?<a>\g<a>)"}, "subexpression call"),
        ({"types": "a:integr"}, '"integr" is none of them, did you mean "integer"?'),
        ({"time_format": "%Q"}, '"%Q" is not a specifier'),
        ({"time_offset": "noon"}, "an offset such as"),
        ({"time_zone": "Europe/Lisbon", "time_offset": "+0100", "time_format": "%s"}, "time_zone: excludes"),
        ({"time_year": "next"}, "one of turn, current"),
    ],
)  # fmt: skip
def test_bad_options(options, words):
    with pytest.raises(ConfigError) as caught:
        parser(**{"regex": "(?<a>.)", **options})

    assert words in str(caught.value)


def test_regex_is_required():
    with pytest.raises(ConfigError, match='needs the option "regex"'):
        Regex("p", read(Regex.OPTIONS, [], "parser regex"))


@given(st.lists(st.text(alphabet=st.characters(), max_size=30), max_size=5))
def test_every_line_gives_a_record(lines):
    p = parser(r"^(?<t>\S+) (?<i>\S*)(?<rest>.*)$", time_key="t", time_format="%Y-%m-%d", types="i:integer rest:float")
    records, misses = p.parse_lines(lines, NOW)

    assert len(records) == len(lines)
    assert sum(1 for _, shape, values in records if shape is LOG and values[0] in lines) == misses
    assert all(len(shape.names) == len(values) for _, shape, values in records)
