"""Parsing a field of records; the data of the compatibility cases are from Fluent Bit's own answers."""

import pytest

from edgebit.errors import ConfigError
from edgebit.filters.parser import Parser
from edgebit.log import DEBUG, Log, Sink
from edgebit.options import Setting, read
from edgebit.parsers.json import Json
from edgebit.parsers.regex import Regex
from edgebit.record import Shape, from_dict, to_dict
from edgebit.stats import Counters

S = 10**9
J = Json("j", read(Json.OPTIONS, [], "parser"))


class Context:
    """Of which the filter asks only the log and the counters."""

    def __init__(self):
        self.lines, self.stats = [], Counters()
        self.log = Log(Sink(DEBUG, self.lines.append), "parser.0")


def regex(pattern, **options):
    settings = [Setting(key, value) for key, value in {"regex": pattern, **options}.items()]
    return Regex("p", read(Regex.OPTIONS, settings, "parser"))


KV = regex(r"^t=(?<t>\d+)$", types="t:integer")


def parser_filter(*parsers, **options):
    settings = [Setting("parser", "p"), *(Setting(key, value) for key, value in options.items())]
    opt = read(Parser.OPTIONS, settings, "filter parser")
    vars(opt)["parser"] = list(parsers)
    return Parser(opt, Context())


def parsed(filter, *rows):
    return [to_dict(record) for record in filter.process("t", [from_dict(S, row) for row in rows])]


def test_record_becomes_what_the_field_parses_to():
    kv = regex(r"^(?<ts>\d+) t=(?<t>\d+)$", time_key="ts", time_format="%s", types="t:integer")
    filter = parser_filter(kv, key_name="log")
    rows = [{"log": "1700000000 t=21", "host": "a"}, {"log": "no match", "host": "b"}, {"host": "c"}, {"log": 5}]
    records = [from_dict(i * S, row) for i, row in enumerate(rows)]

    assert filter.process("t", records) == [from_dict(1_700_000_000 * S, {"t": 21}), *records[1:]]
    assert filter.ctx.stats.get("unparsed") == 1


def test_other_fields_can_stay():
    row = {"first": 1, "log": "t=21", "host": "a"}

    assert parsed(parser_filter(KV, key_name="log"), row) == [{"t": 21}]
    assert parsed(parser_filter(KV, key_name="log", reserve_data=True), row) == [{"t": 21, "first": 1, "host": "a"}]
    kept = parsed(parser_filter(KV, key_name="log", reserve_data="on", preserve_key="on"), row)
    assert [list(fields.items()) for fields in kept] == [[("t", 21), ("first", 1), ("log", "t=21"), ("host", "a")]]


def test_new_field_goes_before_an_old_one_of_its_name():
    filter = parser_filter(KV, key_name="log", reserve_data=True)

    assert filter.process("t", [from_dict(S, {"t": "old", "log": "t=22"})]) == [from_dict(S, {"t": 22})]


def test_first_parser_that_takes_it_counts():
    filter = parser_filter(J, regex(r"^(?<key>\w+)=(?<value>\w+)$"), regex("^(?<text>.*)$"), key_name="log",
                           reserve_data=True)  # fmt: skip

    assert parsed(filter, {"log": '{"a":[1]}', "n": 1}, {"log": "k=v", "n": 2}, {"log": "something else", "n": 3},
                  {"log": 5, "n": 4}) == [
        {"a": [1], "n": 1}, {"key": "k", "value": "v", "n": 2}, {"text": "something else", "n": 3}, {"log": 5, "n": 4},
    ]  # fmt: skip


def test_field_deep_inside_stays_where_it_is():
    filter = parser_filter(KV, key_name="$a['b'][0]", reserve_data=True)

    assert parsed(filter, {"a": {"b": ["t=3"]}, "c": 1}) == [{"t": 3, "a": {"b": ["t=3"]}, "c": 1}]
    assert parsed(parser_filter(KV, key_name="$a", reserve_data=True), {"a": "t=3"}) == [{"t": 3, "a": "t=3"}]


def test_records_keep_their_own_times_and_metadata():
    filter = parser_filter(KV, key_name="log")
    shape = Shape.of(("log",), {"m": 1})
    out = filter.process("t", [(i // 2, shape, (f"t={i}",)) for i in range(5)])

    assert [(time_ns, values) for time_ns, _, values in out] == [(0, (0,)), (0, (1,)), (1, (2,)), (1, (3,)), (2, (4,))]
    assert {record[1] for record in out} == {Shape.of(("t",), {"m": 1})}


def test_what_is_missing_is_said():
    with pytest.raises(ConfigError, match='needs the option "parser"'):
        read(Parser.OPTIONS, [Setting("key_name", "log")], "filter parser")
    assert "preserve_key does nothing" in str(parser_filter(KV, key_name="x", preserve_key=True).ctx.lines)
