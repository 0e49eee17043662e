from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.errors import ConfigError
from edgebit.record import Chunk, Shape
from fakes.formats import T0, chunk_of, make_format

# Characters that UTF-8 has. NUL and lone CR are left to themselves: Python's csv module stumbles over the first.
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def encode(*fields: dict[str, Any], **options: object) -> str:
    return make_format("csv", **options).encode(chunk_of(*fields)).decode("utf-8", "surrogateescape")


VALUES = {"i": 5, "f": 1.5, "b": True, "n": None, "m": {"a": 1, "b": ["x", 2.5, None]}, "l": [], "s": 'say "hi", ok'}


def test_layout_of_fluent_bit() -> None:
    assert encode(VALUES, csv_quote="fluent-bit") == (
        '1700000000.123456789,5,1.500000,true,nil,{"a"=>1, "b"=>["x", 2.500000, nil]},[],"say "hi", ok"\n'
    )


def test_layout_of_rfc4180() -> None:
    assert encode(VALUES) == (
        '1700000000.123456789,5,1.500000,true,nil,"{""a""=>1, ""b""=>[""x"", 2.500000, nil]}","[]","say ""hi"", ok"\n'
    )


def test_quotes_are_doubled_on_the_fast_path_of_text_only_too() -> None:
    assert encode({"a": '"', "b": 'x"y'}) == '1700000000.123456789,"""","x""y"\n'
    assert encode({"a": '"', "b": 'x"y'}, csv_quote="fluent-bit") == '1700000000.123456789,""","x"y"\n'


def test_text_that_looks_like_nested_values_or_quotes() -> None:
    assert encode({"a": "{x}", "n": 1}) == '1700000000.123456789,"{x}",1\n'
    assert encode({"a": "{x}", "n": 1}, csv_quote="fluent-bit") == '1700000000.123456789,"{x}",1\n'
    assert encode({"a": "[", "n": 1}) == '1700000000.123456789,"[",1\n'


@pytest.mark.parametrize("quote", ["rfc4180", "fluent-bit"])
def test_few_or_empty_values(quote: str) -> None:
    assert encode({}, {"a": ""}, {"a": "", "b": ""}, {"a": None}, csv_quote=quote) == (
        '1700000000.123456789\n1700000001.123456789,""\n1700000002.123456789,"",""\n1700000003.123456789,nil\n'
    )
    assert make_format("csv").encode(Chunk("t", [])) == b""


def test_text_and_other_values_in_turn() -> None:
    assert encode({"a": "x"}, {"a": 1}, {"a": 'y"'}, {"b": "z"}, {"a": "x"}) == (
        '1700000000.123456789,"x"\n1700000001.123456789,1\n1700000002.123456789,"y"""\n'
        '1700000003.123456789,"z"\n1700000004.123456789,"x"\n'
    )


@pytest.mark.parametrize(("name", "sign"), [("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), ("space", " "), ("comma", ","),
                                            (";", ";"), ("|", "|"), ("¦", "¦")])  # fmt: skip
def test_delimiters(name: str, sign: str) -> None:
    assert encode({"a": "x", "b": 1}, {"a": "x", "b": "y"}, delimiter=name) == (
        f'1700000000.123456789{sign}"x"{sign}1\n1700000001.123456789{sign}"x"{sign}"y"\n'
    )


@pytest.mark.parametrize("bad", ['"', "x", "5", "", ";;", "\n", ".", "-", "\udc80"])
def test_delimiters_that_would_make_nonsense_are_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="delimiter: must be comma, tab, space or one other character"):
        make_format("csv", delimiter=bad)


def test_column_names_come_only_first() -> None:
    assert encode({"a": 1}, {"b": 2}, {"a": 3}, csv_column_names=True, csv_column_names_again=False) == (
        'timestamp,"a"\n1700000000.123456789,1\n1700000001.123456789,2\n1700000002.123456789,3\n'
    )


def test_column_names_come_first_and_where_the_fields_change() -> None:
    assert encode({"a": 1, 'b"': "x"}, {"a": 2, 'b"': "y"}, {"c": 3}, csv_column_names=True) == (
        'timestamp,"a","b"""\n1700000000.123456789,1,"x"\n1700000001.123456789,2,"y"\n'
        'timestamp,"c"\n1700000002.123456789,3\n'
    )
    assert encode({'b"': "x"}, csv_column_names=True, csv_quote="fluent-bit").startswith('timestamp,"b""\n')


def test_column_names_are_one_line_whatever_is_in_them() -> None:
    assert encode({"a\nb\r\nc": 1}, csv_column_names=True).splitlines()[0] == 'timestamp,"a b c"'


def test_sequence_column() -> None:
    body = make_format("csv", sequence_key="n", csv_column_names=True).encode(chunk_of({"a": "x"}, {"b": 1}, seq=41))
    assert body.decode() == ('timestamp,"n","a"\n1700000000.123456789,41,"x"\n'
                             'timestamp,"n","b"\n1700000001.123456789,42,1\n')  # fmt: skip


def test_bytes_that_were_not_utf8_come_out_as_they_were() -> None:
    body = make_format("csv").encode(chunk_of({"a": b"caf\xe9 \xff\xfe".decode("utf-8", "surrogateescape")}))
    assert body == b'1700000000.123456789,"caf\xe9 \xff\xfe"\n'


@pytest.mark.parametrize(("time_ns", "stamp"), [(0, "0.000000000"), (999_999_999, "0.999999999"),
    (10**9, "1.000000000"), (-1, "-0.000000001"), (-1_500_000_000, "-1.500000000")])  # fmt: skip
def test_times_near_the_epoch(time_ns: int, stamp: str) -> None:
    assert make_format("csv").encode(chunk_of({}, time_ns=time_ns)).decode() == stamp + "\n"


@given(st.lists(st.lists(text, min_size=1, max_size=5), max_size=4), st.sampled_from([",", ";", "\t", " "]))
def test_text_is_read_back_by_the_csv_module(rows: list[list[str]], delimiter: str) -> None:
    records = [(T0, Shape.of([f"c{i}" for i in range(len(row))]), tuple(row)) for row in rows]
    body = make_format("csv", delimiter=delimiter).encode(Chunk("t", records))
    found = list(csv.reader(io.StringIO(body.decode(), newline=""), delimiter=delimiter, strict=True))
    assert found == [["1700000000.123456789", *row] for row in rows]


nested = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(text, v, max_size=3), max_leaves=5)  # fmt: skip


@given(st.lists(nested, min_size=1, max_size=5))
def test_columns_are_found_again_whatever_the_values_are(row: list[Any]) -> None:
    records = [(T0, Shape.of([f"c{i}" for i in range(len(row))]), tuple(row))]
    body = make_format("csv").encode(Chunk("t", records))
    (found,) = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
    assert len(found) == len(row) + 1
    assert [cell for value, cell in zip(row, found[1:], strict=True) if isinstance(value, str)] == [
        value for value in row if isinstance(value, str)
    ]


def test_ltsv() -> None:
    assert make_format("ltsv").encode(chunk_of({"a": 'x"', "b%s": 1.5}, {"m": {"k": None}})).decode() == (
        '"time":1700000000.123457\t"a":"x""\t"b%s":1.500000\n"time":1700000001.123457\t"m":{"k"=>nil}\n'
    )


def test_ltsv_delimiters() -> None:
    body = make_format("ltsv", delimiter="comma", label_delimiter="space").encode(chunk_of({"a": 1, "b": "x y"}))
    assert body == b'"time" 1700000000.123457,"a" 1,"b" "x y"\n'
    body = make_format("ltsv", delimiter="%", label_delimiter="=").encode(chunk_of({"a": 1}))
    assert body == b'"time"=1700000000.123457%"a"=1\n'


@pytest.mark.parametrize("values", [("x", 'say "hi"\n'), ("%s", None), (1, 2.5)])
def test_many_ltsv_records_are_written_as_single_ones_are(values: tuple[Any, ...]) -> None:
    ltsv = make_format("ltsv")
    records = [{"a%": values[0], "b": values[1], "n": str(i)} for i in range(40)]
    chunk = chunk_of(*records)
    assert ltsv.encode(chunk) == b"".join(ltsv.encode(chunk.part(i, i + 1)) for i in range(40))
