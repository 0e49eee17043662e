"""Keeping and dropping records by their fields; the data of the compatibility cases are from Fluent Bit's own answers."""

import pytest

from edgebit.errors import ConfigError
from edgebit.filters.grep import Grep
from edgebit.log import DEBUG, Log, Sink
from edgebit.options import Setting, read
from edgebit.record import MAX_SHAPES, Shape, from_dict

DATA = {
    "pump1": {"dev": "pump1", "level": "info", "temp": 21.5, "pos": {"hall": "A", "row": 3}},
    "pump2": {"dev": "pump2", "level": "error", "temp": 80, "pos": {"hall": "B", "row": 1}},
    "fan1": {"dev": "fan1", "level": "warn", "temp": -4, "note": "cold"},
    "fan2": {"dev": "fan2", "level": "debug"},
    "fan3": {"dev": "fan3", "level": "critical"},
    "fan4": {"dev": "fan4", "level": "critical", "note": "cold start"},
}
RECORDS = [from_dict(i, fields) for i, fields in enumerate(DATA.values())]


class Silent:
    """A context of which a filter asks only the log."""

    def __init__(self):
        self.lines = []
        self.log = Log(Sink(DEBUG, self.lines.append), "grep.0")


def grep(*settings, ctx=None):
    options = read(Grep.OPTIONS, [Setting(key, value, "edgebit.toml:7") for key, value in settings], "filter grep")
    return Grep(options, ctx or Silent())


def kept(*settings, records=RECORDS):
    """The `dev` of the records that stay."""
    return [record[2][0] for record in grep(*settings).process("t", records)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([("Regex", "dev ^pump")], ["pump1", "pump2"]),
        ([("Regex", "note .")], ["fan1", "fan4"]),  # a record without the field is dropped
        ([("Exclude", "level ^(debug|info)$")], ["pump2", "fan1", "fan3", "fan4"]),
        ([("Regex", "$pos['hall'] ^[AB]$")], ["pump1", "pump2"]),
        ([("Exclude", "$pos['hall'] B")], ["pump1", "fan1", "fan2", "fan3", "fan4"]),
        ([("Exclude", "note cold"), ("Exclude", "dev 1$"), ("Regex", "level r")], ["pump2", "fan3"]),
        ([("Logical_Op", "and"), ("Regex", "level ^(info|warn|error)$"), ("Regex", "dev 1$")], ["pump1", "fan1"]),
        ([("Logical_Op", "or"), ("Regex", "level ^error$"), ("Regex", "note cold")], ["pump2", "fan1", "fan4"]),
        ([("Logical_Op", "and"), ("Exclude", "level critical"), ("Exclude", "note cold")],
         ["pump1", "pump2", "fan1", "fan2", "fan3"]),
        ([("Logical_Op", "or"), ("Exclude", "level critical"), ("Exclude", "note cold")], ["pump1", "pump2", "fan2"]),
        ([("Regex", "level /^ERROR$/i")], ["pump2"]),
        # native tables
        ([("regex", {"level": "r", "dev": "^p"})], ["pump2"]),
        ([("exclude", [{"dev": "fan"}, "level info"])], ["pump2"]),
        ([("regex", {"$pos['hall']": "A"})], ["pump1"]),
        ([], list(DATA)),
        ([("logical_op", "or")], list(DATA)),
    ],
)  # fmt: skip
def test_rules(settings, expected):
    assert kept(*settings) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([("Regex", "level ."), ("Exclude", "level debug")], ["pump1", "pump2", "fan1", "fan3", "fan4"]),
        ([("Exclude", "$pos['row'] ^1$"), ("Exclude", "temp 21")], ["fan1", "fan2", "fan3", "fan4"]),
        ([("Exclude", "level   debug")], ["pump1", "pump2", "fan1", "fan3", "fan4"]),
        ([("Regex", "level r"), ("Regex", "note cold")], ["fan1", "fan4"]),
    ],
)
def test_where_it_differs_from_fluent_bit(settings, expected):
    assert kept(*settings) == expected


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        (21.5, r"^21\.5$", True),
        (7, "^7$", True),
        (True, "^true$", True),
        (False, "^false$", True),
        (None, "^null$", True),
        ("", "^$", True),
        ([1], ".*", False),
        ({"a": 1}, ".*", False),
    ],
)
def test_values_that_are_no_text_match_by_their_json_text(value, pattern, expected):
    assert kept(("regex", f"x {pattern}"), records=[from_dict(0, {"x": value})]) == ([value] if expected else [])


def test_several_regex_rules_without_operator_are_explained_once():
    ctx = Silent()
    grep(("regex", "a b"), ("regex", "c d"), ctx=ctx)
    grep(("regex", "a b"), ("exclude", "c d"), ctx=ctx)

    assert len(ctx.lines) == 1
    assert 'logical_op = "and"' in ctx.lines[0]


def test_records_are_not_touched_and_keep_their_order():
    result = grep(("exclude", "dev pump1")).process("t", RECORDS)

    assert all(a is b for a, b in zip(result, RECORDS[1:], strict=True))


def test_two_filters_do_not_share_what_they_worked_out():
    assert kept(("regex", "dev pump1")) == ["pump1"]
    assert kept(("regex", "dev pump2")) == ["pump2"]


def test_shapes_beyond_the_bound_get_nothing_compiled():
    shape = Shape(("dev",), interned=False)

    assert kept(("regex", "dev x"), records=[(0, shape, ("x",)), (0, shape, ("y",))]) == ["x"]
    assert not shape.cache
    assert len(Shape._interned) <= MAX_SHAPES


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([("regex", "level")], "edgebit.toml:7: regex: must be a text such as"),
        ([("regex", 5)], "must be a text such as"),
        ([("regex", "$pos['hall']A")], "must be a text such as"),
        ([("regex", "$1 x")], "record accessor"),
        ([("exclude", "level (")], '")" is missing'),
        ([("exclude", {"level": r"\K"})], "has no equal"),
        ([("logical_op", "xor")], "one of legacy, and, or"),
        ([("logical_op", "and"), ("regex", "a b"), ("exclude", "a c")], "rules of one kind"),
    ],
)
def test_bad_options(settings, words):
    with pytest.raises(ConfigError) as caught:
        grep(*settings)

    assert words in str(caught.value)
