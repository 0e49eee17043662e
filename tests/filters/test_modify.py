"""modify: every rule and every condition, order, and what may not be."""

import pytest

from edgebit.errors import ConfigError
from edgebit.record import Shape, from_dict, to_dict
from fakes.filters import filtered, make_filter

R = {"a": 1, "b": "x", "bc": True}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([("Set", "b new")], {"a": 1, "bc": True, "b": "new"}),
        ([("set", 'z "two words"')], {**R, "z": "two words"}),
        ([("set", "z two words")], {**R, "z": "two words"}),
        ([("set", {"n": 5, "l": [1]})], {**R, "n": 5, "l": [1]}),
        ([("set", "b a(b")], {"a": 1, "bc": True, "b": "a(b"}),
        ([("Add", "b no"), ("Add", "z yes")], {**R, "z": "yes"}),
        ([("add_if_not_present", "z yes")], {**R, "z": "yes"}),
        ([("remove", "b")], {"a": 1, "bc": True}),
        ([("remove", "B")], R),
        ([("remove_wildcard", "b")], {"a": 1}),
        ([("remove_wildcard", "b*")], {"a": 1}),
        ([("remove_regex", "^.$")], {"bc": True}),
        ([("remove", ["a", "b", "bc"])], {}),
        ([("rename", "a z")], {"z": 1, "b": "x", "bc": True}),
        ([("rename", "a b")], R),
        ([("rename", "no z")], R),
        ([("hard_rename", "bc a")], {"b": "x", "a": True}),
        ([("hard_rename", "a z")], {"z": 1, "b": "x", "bc": True}),
        ([("copy", "a z")], {"a": 1, "z": 1, "b": "x", "bc": True}),
        ([("copy", "a b")], R),
        ([("hard_copy", "bc a")], {"b": "x", "bc": True, "a": True}),
        ([("hard_copy", "a a"), ("hard_rename", "a a")], R),
        ([("rename", {"a": "z"})], {"z": 1, "b": "x", "bc": True}),
        ([("move_to_start", "b")], {"b": "x", "bc": True, "a": 1}),
        ([("move_to_end", "a*")], {"b": "x", "bc": True, "a": 1}),
        ([("move_to_end", "zz")], R),
        # In the order of the file, whatever the kind.
        ([("set", "z 1"), ("rename", "z y"), ("set", "z 2")], {**R, "y": "1", "z": "2"}),
        ([("rename", "a z"), ("rename", "z y")], {"y": 1, "b": "x", "bc": True}),
    ],
)
def test_rules(rules, expected):
    assert filtered("modify", rules, [R]) == [list(expected.items())]


D = {"s": "abc", "n": 21.5, "t": True, "x": None, "m": {"k": "v", "n": 3}}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("Key_exists s", True),
        ("key_exists no", False),
        ("key_exists $m['k']", True),
        ("key_exists $m['no']", False),
        ("key_does_not_exist no", True),
        ("key_does_not_exist $m['no']", True),
        ("key_does_not_exist $m['k']", False),
        ("a_key_matches ^[mn]$", True),
        ("a_key_matches ^q", False),
        ("no_key_matches ^q", True),
        ("no_key_matches s", False),
        ("key_value_equals s abc", True),
        ("key_value_equals s ab", False),
        ("key_value_equals n 21.5", True),
        ("key_value_equals t true", True),
        ("key_value_equals x null", True),
        ("key_value_equals $m['n'] 3", True),
        ("key_value_equals m v", False),
        ("key_value_equals no abc", False),
        ("key_value_does_not_equal s x", True),
        ("key_value_does_not_equal s abc", False),
        ("key_value_does_not_equal no x", False),
        ("key_value_does_not_equal $m['no'] x", False),
        ("key_value_matches s ^a.c$", True),
        ("key_value_matches t ^tr", True),
        ("key_value_matches s q", False),
        ("key_value_does_not_match s q", True),
        ("key_value_does_not_match s a", False),
        ("key_value_does_not_match no q", False),
        ("matching_keys_have_matching_values ^[st]$ [a-z]", True),
        ("matching_keys_have_matching_values ^[sn]$ [a-z]", False),
        ("matching_keys_have_matching_values ^q .", True),
        ("matching_keys_do_not_have_matching_values ^[sn]$ [a-z]", True),
        ("matching_keys_do_not_have_matching_values ^s$ a", False),
        ('key_value_equals s "abc"', True),
    ],
)
def test_conditions(condition, holds):
    records = filtered("modify", [("condition", condition), ("add", "done yes")], [D])
    assert (("done", "yes") in records[0]) is holds


def test_all_conditions_have_to_hold_on_the_record_as_it_came():
    settings = [("condition", "key_exists a"), ("remove", "a"), ("condition", "key_value_equals b x"), ("set", "c 1")]
    assert filtered("modify", settings, [R, {"a": 1, "b": "y"}, {"b": "x"}]) == [
        [("b", "x"), ("bc", True), ("c", "1")],
        [("a", 1), ("b", "y")],
        [("b", "x")],
    ]


def test_a_batch_that_nothing_applies_to_is_the_same_list_and_metadata_stay():
    made = make_filter("modify", ("condition", "key_exists no"), ("remove", "a"))
    records = [from_dict(0, R)]
    assert made.process("t", records) is records
    record = (0, Shape.of(("a",), {"m": 1}), (1,))
    assert make_filter("modify", ("set", "b 2")).process("t", [record])[0][1].metadata == {"m": 1}


def test_shapes_that_are_not_interned_take_the_same_way(monkeypatch):
    monkeypatch.setattr("edgebit.record.MAX_SHAPES", 0)
    record = from_dict(0, {"never seen before": 1, "b": 2})
    got = make_filter("modify", ("rename", '"never seen before" z'), ("copy", "b c")).process("t", [record] * 2)
    assert [to_dict(one) for one in got] == [{"z": 1, "b": 2, "c": 2}] * 2
    assert not record[1].cache


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        ("rename", "a", "old new"),
        ("rename", "a b c", "old new"),
        ("set", "a", "level info"),
        ("remove", "a b", "quotes"),
        ("remove_regex", "a(b", "regular expression"),
        ("condition", "key_exist a", "key_exists"),
        ("condition", "key_value_equals a", "a value"),
        ("condition", "key_value_matches a (", "regular expression"),
        ("renam", "a b", 'did you mean "rename"?'),
    ],
)
def test_what_is_wrong_is_named(key, value, names):
    with pytest.raises(ConfigError, match=r"f\.toml:7") as error:
        make_filter("modify", (key, value))
    assert names in str(error.value)


def test_without_a_rule_there_is_nothing_to_do():
    with pytest.raises(ConfigError, match="no rule"):
        make_filter("modify", ("condition", "key_exists a"))
