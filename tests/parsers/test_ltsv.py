"""Lines of tab-separated label:value fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.options import Setting, read
from edgebit.parsers.ltsv import Ltsv
from edgebit.record import Shape, to_dict

NOW = 1_767_225_600 * 10**9


def parser(**options):
    return Ltsv("p", read(Ltsv.OPTIONS, [Setting(k, v) for k, v in options.items()], "parser ltsv"))


def fields(line):
    record = parser().parse(line, NOW)
    return None if record is None else to_dict(record)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a:1\tb:2", {"a": "1", "b": "2"}),
        ("time:10:00\tnote:a b:c", {"time": "10:00", "note": "a b:c"}),
        ("note:\tcount:6", {"note": "", "count": "6"}),
        ("A-b_c.9:x", {"A-b_c.9": "x"}),
        ("a:1\t\tb:2\t", {"a": "1", "b": "2"}),
        ("a:1\r", {"a": "1"}),
        ("a:1\r\nb:2", {"a": "1"}),
        ("a:\udcff", {"a": "\udcff"}),
        ("", None),
        ("\t\t", None),
        ("text", None),
        ("a:1\ttext", None),
        ("text\ta:1", None),
        ("a b:1", None),
        (":1", None),
        ("é:1", None),
        ("a:1\té:1", None),
    ],
)
def test_fields(line, expected):
    assert fields(line) == expected


def test_bad_labels_stay_bad():
    """The verdict is remembered with the shape."""
    assert [fields("b!d:1"), fields("b!d:1"), fields("good:1"), fields("good:1")] == [None, None, *[{"good": "1"}] * 2]


def test_time_and_types():
    p = parser(time_format="%d/%b/%Y:%H:%M:%S %z", types="temp:float count:integer")
    lines = ["time:01/May/2024:10:00:00 +0200\ttemp:21.25\tcount:5\tnote:a b:c",
             "time:01/May/2024:10:00:01 +0000\tnote:\tcount:6", "time:soon\tcount:7"]  # fmt: skip

    assert p.parse_lines(lines, NOW) == (
        [
            (1714550400 * 10**9, Shape.of(("temp", "count", "note")), (21.25, 5, "a b:c")),
            (1714557601 * 10**9, Shape.of(("note", "count")), ("", 6)),
            (NOW, Shape.of(("time", "count")), ("soon", 7)),
        ],
        0,
    )
    assert p.time_errors == 1


@given(st.text(alphabet=st.characters() | st.sampled_from("ab:\t\r"), max_size=40))
def test_any_text_parses_or_does_not(text):
    record = parser().parse(text, NOW)

    assert record is None or len(record[1].names) == len(record[2]) > 0


@given(
    st.dictionaries(st.text("abc_.-09", min_size=1), st.text(st.characters(exclude_characters="\t\r\n")), min_size=1)
)
def test_what_is_written_is_read_back(pairs):
    assert fields("\t".join(f"{label}:{value}" for label, value in pairs.items())) == pairs
