"""Adding fields and taking some out; the data of the compatibility cases are from Fluent Bit's own answers."""

from datetime import date
from uuid import UUID

import pytest

from edgebit.errors import ConfigError
from edgebit.filters.record_modifier import RecordModifier
from edgebit.options import Setting, read
from edgebit.record import Shape, from_dict, to_dict

PUMP = {"dev": "pump1", "level": "info", "temp": 21.5, "pos": {"hall": "A", "row": 3}}
FAN = {"dev": "fan1", "level": "warn", "temp": -4, "note": "cold"}
BARE = {"dev": "fan2", "level": "debug"}
RECORDS = [from_dict(i, fields) for i, fields in enumerate((PUMP, FAN, BARE))]


def modifier(*settings):
    options = read(
        RecordModifier.OPTIONS, [Setting(k, v, "edgebit.toml:7") for k, v in settings], "filter record_modifier"
    )
    return RecordModifier(options, None)  # it asks nothing of its context


def modified(*settings, records=RECORDS):
    return [list(to_dict(record).items()) for record in modifier(*settings).process("t", records)]


def test_fields_are_added_and_removed():
    assert modified(("Record", "site  porto"), ("Record", 'room  "control room"'), ("Remove_key", "level"),
                    ("Remove_key", "temp")) == [
        [("dev", "pump1"), ("pos", {"hall": "A", "row": 3}), ("site", "porto"), ("room", "control room")],
        [("dev", "fan1"), ("note", "cold"), ("site", "porto"), ("room", "control room")],
        [("dev", "fan2"), ("site", "porto"), ("room", "control room")],
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["Allowlist_key", "Whitelist_key"])
def test_only_listed_fields_stay(key):
    assert modified((key, "dev"), (key, "pos"), ("Record", "kept yes")) == [
        [("dev", "pump1"), ("pos", {"hall": "A", "row": 3}), ("kept", "yes")],
        [("dev", "fan1"), ("kept", "yes")],
        [("dev", "fan2"), ("kept", "yes")],
    ]


def test_keys_are_compared_without_case_and_by_prefix():
    assert modified(("remove_key", ["LEV*", "Temp"]), records=RECORDS[1:]) == [
        [("dev", "fan1"), ("note", "cold")],
        [("dev", "fan2")],
    ]
    assert modified(("allowlist_key", ["*"]), records=RECORDS[2:]) == [list(BARE.items())]
    assert modified(("allowlist_key", "N*"), records=RECORDS) == [[("note", "cold")]]


def test_added_field_takes_the_place_of_one_with_its_name():
    assert modified(("record", {"dev": "other"}), records=RECORDS[2:]) == [[("level", "debug"), ("dev", "other")]]
    assert modified(("record", "a 1"), ("record", "a 2"), records=RECORDS[2:]) == [[*BARE.items(), ("a", "2")]]


def test_tables_keep_the_type_of_their_values():
    pairs = {"n": 5, "on": True, "f": 0.5, "tags": ["a", {"b": 1}]}

    assert modified(("record", pairs), records=RECORDS[2:]) == [[*BARE.items(), *pairs.items()]]


def test_uuid_is_new_for_each_record_and_last():
    results = modifier(("uuid_key", "id"), ("record", "site porto")).process("t", RECORDS + RECORDS)
    ids = [record[2][-1] for record in results]

    assert all(record[1].names[-2:] == ("site", "id") for record in results)
    assert all(UUID(text).version == 4 for text in ids)
    assert len(set(ids)) == len(RECORDS) * 2


def test_empty_records_are_dropped_also_when_all_are():
    assert modified(("remove_key", "*")) == []
    assert modified(("remove_key", ["dev", "level"])) == [
        [("temp", 21.5), ("pos", {"hall": "A", "row": 3})],
        [("temp", -4), ("note", "cold")],
    ]


def test_time_stays_and_shapes_are_shared():
    first, second = modifier(("record", "a b")).process("t", [from_dict(5, BARE), from_dict(6, BARE)])

    assert (first[0], second[0]) == (5, 6)
    assert first[1] is second[1] is Shape.of(("dev", "level", "a"))


def test_of_doubled_names_all_are_removed():
    record = (0, Shape.of(("a", "b", "a")), (1, 2, 3))

    assert modified(("remove_key", "a"), records=[record]) == [[("b", 2)]]
    assert modifier(("record", "c d")).process("t", [record])[0][2] == (1, 2, 3, "d")


def test_shapes_beyond_the_bound_get_nothing_compiled():
    shape = Shape(("x", "y"), interned=False)

    assert modified(("remove_key", "x"), records=[(0, shape, (1, 2))]) == [[("y", 2)]]
    assert not shape.cache


def test_two_filters_do_not_share_what_they_worked_out():
    assert modified(("record", "a 1"), records=RECORDS[2:]) == [[*BARE.items(), ("a", "1")]]
    assert modified(("record", "a 2"), records=RECORDS[2:]) == [[*BARE.items(), ("a", "2")]]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([("record", "site")], "edgebit.toml:7: record: must be a table such as"),
        ([("record", {"d": date(2026, 1, 1)})], "(d is something else)"),
        ([("record", {"d": float("nan")})], "(d is something else)"),
        ([("record", {"d": [{"e": float("inf")}]})], "(d is something else)"),
        ([("remove_key", "a"), ("allowlist_key", "b")], "remove_key: excludes allowlist_key"),
        ([("remove_key", "a"), ("whitelist_key", "b")], "remove_key: excludes allowlist_key"),
        ([("remove_kay", "a")], 'did you mean "remove_key"?'),
    ],
)
def test_bad_options(settings, words):
    with pytest.raises(ConfigError) as caught:
        modifier(*settings)

    assert words in str(caught.value)
