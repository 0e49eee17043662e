"""nest and lift: which fields, prefixes, order, and records that don't fit."""

import pytest

from edgebit.errors import ConfigError
from edgebit.record import from_dict
from fakes.context import FakeFilterContext
from fakes.filters import filtered, make_filter

NEST = ("operation", "nest")
LIFT = ("operation", "lift")


@pytest.mark.parametrize(
    ("settings", "record", "expected"),
    [
        (
            [NEST, ("wildcard", "a*"), ("nest_under", "m")],
            {"a1": 1, "b": 2, "a2": 3},
            {"b": 2, "m": {"a1": 1, "a2": 3}},
        ),
        ([NEST, ("wildcard", "a"), ("nest_under", "m")], {"a": 1, "ab": 2}, {"ab": 2, "m": {"a": 1}}),
        ([NEST, ("wildcard", ["b", "a*"]), ("nest_under", "m")], {"a": 1, "b": 2}, {"m": {"a": 1, "b": 2}}),
        ([NEST, ("wildcard", "q*"), ("nest_under", "m")], {"a": 1}, {"a": 1}),
        (
            [NEST, ("wildcard", "a*"), ("nest_under", "m"), ("remove_prefix", "a")],
            {"ab": 1, "a": 2},
            {"m": {"b": 1, "": 2}},
        ),
        ([NEST, ("wildcard", "a"), ("nest_under", "m"), ("add_prefix", "p.")], {"a": 1}, {"m": {"p.a": 1}}),
        ([NEST, ("wildcard", "a"), ("nest_under", "m"), ("prefix_with", "p.")], {"a": 1}, {"m": {"p.a": 1}}),
        ([NEST, ("wildcard", "a"), ("nest_under", "m")], {"m": 0, "a": 1}, {"m": {"a": 1}}),
        ([LIFT, ("nested_under", "m")], {"m": {"a": 1, "b": {"c": 2}}, "x": 3}, {"x": 3, "a": 1, "b": {"c": 2}}),
        ([LIFT, ("nested_under", "m"), ("add_prefix", "m_")], {"m": {"a": 1}}, {"m_a": 1}),
        ([LIFT, ("nested_under", "m"), ("remove_prefix", "a_")], {"m": {"a_b": 1, "c": 2}}, {"b": 1, "c": 2}),
        ([LIFT, ("nested_under", "m")], {"x": 1, "m": {"x": 2, "m": 3}}, {"x": 2, "m": 3}),
        ([LIFT, ("nested_under", "m")], {"x": 1, "m": {}}, {"x": 1}),
        ([LIFT, ("nested_under", "m")], {"x": 1, "m": [1]}, {"x": 1, "m": [1]}),
        ([LIFT, ("nested_under", "m")], {"x": 1}, {"x": 1}),
    ],
)
def test_operations(settings, record, expected):
    assert filtered("nest", settings, [record, record]) == [list(expected.items())] * 2


def test_records_of_one_shape_with_different_maps():
    records = [{"m": {"a": 1}}, {"m": {"b": 2, "a": 3}}, {"m": "no map"}, {"m": {"a": 4}}]
    ctx = FakeFilterContext()
    assert filtered("nest", [LIFT, ("nested_under", "m")], records * 2, ctx=ctx) == [
        [("a", 1)], [("b", 2), ("a", 3)], [("m", "no map")], [("a", 4)],
    ] * 2  # fmt: skip
    assert len(ctx.lines) == 1


def test_maps_with_ever_new_names_do_not_fill_the_memory():
    made = make_filter("nest", LIFT, ("nested_under", "m"))
    records = [from_dict(0, {"m": {f"k{i}": i}}) for i in range(1000)]
    assert [record[2] for record in made.process("t", records)] == [(i,) for i in range(1000)]
    assert len(records[0][1].cache[made][1]) <= 256


def test_unchanged_batch_is_the_same_list():
    records = [from_dict(0, {"a": 1})]
    assert make_filter("nest", NEST, ("wildcard", "q"), ("nest_under", "m")).process("t", records) is records


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ([("operation", "lft"), ("nested_under", "m")], 'did you mean "lift"?'),
        ([NEST, ("wildcard", "a")], "nest_under"),
        ([LIFT], "nested_under"),
        ([NEST, ("nest_under", "m")], "wildcard"),
        ([LIFT, ("nested_under", "m"), ("add_prefix", "a"), ("remove_prefix", "b")], "excludes add_prefix"),
    ],
)
def test_what_is_wrong_is_named(settings, names):
    with pytest.raises(ConfigError) as error:
        make_filter("nest", *settings)
    assert names in str(error.value)
