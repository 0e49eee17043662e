from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.record import Chunk, Shape
from fakes.formats import T0, chunk_of, make_format

text = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)  # surrogates too
values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | text | st.binary(max_size=4),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(text, v, max_size=3), max_leaves=5)  # fmt: skip


def test_layout() -> None:
    fields = {"key": "text", "n": 5, "f": 1.5, "b": True, "x": None, "m": {"x": 1}, "a": [1, "2"], "q": 'say "hi"\n'}
    assert make_format("text").encode(chunk_of(fields, {}, tag="my.tag", seq=100)).decode() == (
        '[0] my.tag: [[1700000000.123456789, {}], {"key"=>"text", "n"=>5, "f"=>1.500000, "b"=>true, "x"=>nil, '
        '"m"=>{"x"=>1}, "a"=>[1, "2"], "q"=>"say "hi"\n"}]\n'
        "[1] my.tag: [[1700000001.123456789, {}], {}]\n"
    )


def test_equal_names_are_all_shown() -> None:
    body = make_format("text").encode(Chunk("t", [(T0, Shape.of(("a", "a")), (1, 2))]))
    assert body == b'[0] t: [[1700000000.123456789, {}], {"a"=>1, "a"=>2}]\n'


def test_percent_signs_in_names_and_values_and_the_tag() -> None:
    body = make_format("text").encode(chunk_of({"100%s": "%d"}, tag="%s"))
    assert body == b'[0] %s: [[1700000000.123456789, {}], {"100%s"=>"%d"}]\n'


def test_bytes_that_were_not_utf8_come_out_as_they_were() -> None:
    raw = b"caf\xe9 \xff"
    body = make_format("text").encode(chunk_of({"log": raw.decode("utf-8", "surrogateescape"), "ä": "😀"}))
    assert body == b'[0] t: [[1700000000.123456789, {}], {"log"=>"caf\xe9 \xff", "\xc3\xa4"=>"\xf0\x9f\x98\x80"}]\n'


def test_surrogates_that_stand_for_no_byte() -> None:
    body = make_format("text").encode(chunk_of({"a": "\ud83d|\udcff"}))
    assert body == b'[0] t: [[1700000000.123456789, {}], {"a"=>"\xef\xbf\xbd|\xff"}]\n'


@pytest.mark.parametrize("name", ["text", "csv", "ltsv", "template", "plain", "out_file", "json"])
@given(records=st.lists(st.dictionaries(text, values, max_size=4), max_size=3), tag=text)
def test_no_record_makes_a_format_fail(name: str, records: list[dict[str, Any]], tag: str) -> None:
    body = make_format(name).encode(chunk_of(*records, tag=tag))
    assert body.count(b"1700000000.123456789") == (1 if records and name in ("text", "csv", "out_file") else 0)


def template(line: str, *fields: dict[str, Any]) -> str:
    return make_format("template", template=line).encode(chunk_of(*fields)).decode()


def test_template() -> None:
    line = "[{time}] {s}|{i}|{f}|{n}|{m}|{missing} {u"
    assert template(line, {"s": "a b", "i": 42, "f": 1.5, "n": None, "m": {"x": ["y"]}}) == (
        '[1700000000.123457] a b|42|1.500000|nil|{"x"=>["y"]}|{missing} {u\n'
    )


def test_template_without_fields_and_with_percent_signs() -> None:
    assert template("100%s {a} {}", {"a": "{b}", "b": 1}, {}) == "100%s {b} {}\n100%s {a} {}\n"


def test_template_default() -> None:
    body = make_format("template").encode(chunk_of({"message": "hello"}, {"other": 1}))
    assert body == b"1700000000.123457 hello\n1700000001.123457 {message}\n"


def test_metadata_of_events_stands_with_the_time() -> None:
    shape = Shape.of(("a",), {"site": "porto", "n": 5})
    assert make_format("text").encode(Chunk("t", [(T0, shape, (1,))])) == (
        b'[0] t: [[1700000000.123456789, {"site"=>"porto", "n"=>5}], {"a"=>1}]\n'
    )
