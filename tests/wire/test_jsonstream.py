"""JSON in a stream: however it is cut, with and without separators, broken, endless, deep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.wire.jsonstream import JsonStream

DOC = (
    '{"a": [1, -2.5e+10, true, false, null, "x\\u00e9\\n\\"q\\\\ \\ud83d\\ude00"],'
    ' "b": {"c": -0.5, "d": [], "e": {}}, "é": "ü"}'
)
VALUE = {"a": [1, -2.5e10, True, False, None, 'xé\n"q\\ 😀'], "b": {"c": -0.5, "d": [], "e": {}}, "é": "ü"}

STREAMS = [
    (DOC, [VALUE]),
    (DOC * 2 + "\r\n\n" + DOC, [VALUE] * 3),
    (f" {DOC} , {DOC},\n", [VALUE] * 2),
    ('{\n"a"\n:\n[\n1\n,\n2\n]\n}\n{"b"\n:1}', [{"a": [1, 2]}, {"b": 1}]),
    (f"[1,{DOC}][]", [[1, VALUE], []]),
    (f"plain\r\n{DOC}\n  indented\n{DOC} rest\n{DOC}", ["plain", VALUE, "indented", VALUE, "rest", VALUE]),
    ('{"cut":\n' + f"{DOC}\n{DOC}\n", ['{"cut":', VALUE, VALUE]),
    ('{"cut": "te\n' + f"{DOC}\n", ['{"cut": "te', VALUE]),
    ('{"a":1,}\n{"b":NaN}\n42\n"text"\n}\n{"c":3}', ['{"a":1,}', '{"b":NaN}', "42", '"text"', "}", {"c": 3}]),
    ('{"lone":"\\ud800"}\n{"c":3}', ['{"lone":"\\ud800"}', {"c": 3}]),
    ('{"n":' + "9" * 5000 + '}\n{"c":3}', ['{"n":' + "9" * 5000 + "}", {"c": 3}]),
    ("[" * 65 + "]" * 65 + "\n{}", ["[" * 65 + "]" * 65, {}]),
    ("[" * 5000 + "\n{}", ["[" * 5000, {}]),
    ("[" * 64 + "]" * 64 + "[[]," * 40 + "1" + "]" * 40, None),
    ("  \n \n , \n", []),
    (" " * 50_000 + "x\n" + " " * 50_000 + "{}", ["x", {}]),
]


def run(pieces: list[bytes], limit: int = 100_000, separator: str = "\n") -> list[object]:
    stream = JsonStream(limit, separator)
    found = [value for piece in pieces for value in stream.feed(piece)]
    return found + stream.finish()


@pytest.mark.parametrize(("text", "expected"), STREAMS)
def test_the_same_values_however_it_is_cut(text, expected):
    data = text.encode()
    whole = run([data])
    if expected is not None:
        assert whole == expected
    cuts = range(len(data) + 1) if len(data) < 1000 else range(0, len(data), len(data) // 10)
    for at in cuts:
        assert run([data[:at], data[at:]]) == whole, data[:at]
    size = 1 if len(data) < 1000 else 1000
    assert run([data[i : i + size] for i in range(0, len(data), size)]) == whole


ATOMS = ["{", "}", "[", "]", '"', ",", ":", "\\", "\\u", "d8", "00", "1", "-", ".", "e", "true", "nul", "\n", " ", "a",
         '"a":', '{"a":1}', "[1]", "é", '"x"']  # fmt: skip


@given(st.lists(st.sampled_from(ATOMS), max_size=20).map("".join), st.integers(0, 30))
def test_no_text_makes_it_fail_or_depends_on_where_it_is_cut(text, at):
    data = text.encode()
    whole = run([data])
    assert run([data[:at], data[at:]]) == whole
    assert run([data[i : i + 1] for i in range(len(data))]) == whole
    assert JsonStream(1000).whole(data) == whole


def test_values_come_at_once():
    stream = JsonStream(1000)
    assert stream.feed(DOC.encode()) == [VALUE]
    assert stream.feed(b'{"a":') == []
    assert stream.pending == 5
    assert stream.feed(b"1}") == [{"a": 1}]
    assert stream.pending == 0


@pytest.mark.parametrize("separator", ["\n", ";;"])
@pytest.mark.parametrize("start", ['{"a":"', "text"])
def test_what_is_too_long_is_cut_and_skipped_up_to_the_separator(separator, start):
    data = (start + "x" * 5000 + separator + '{"b":1}').encode()
    for size in (1, 7, 10_000):
        stream = JsonStream(100, separator)
        found = [value for i in range(0, len(data), size) for value in stream.feed(data[i : i + size])]
        assert found == [(start + "x" * 100)[:100], {"b": 1}]
        assert stream.truncated == 1
        assert stream.pending == 0


def test_bytes_that_are_not_utf8_and_characters_that_are_cut():
    assert run([b'{"a":"\xff\xc3', b'\xa9"}\n\xfe']) == [{"a": "\udcffé"}, "\udcfe"]


def test_another_separator():
    assert run([b"one;", b'{"a":1};two'], separator=";") == ["one", {"a": 1}, "two"]
