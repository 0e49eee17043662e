"""msgpack against bytes written down from its specification, and read back by a reader of the test's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.formats.msgpack import pack
from edgebit.record import Chunk, Shape
from fakes.formats import T0, chunk_of, make_format


def unpack(data: bytes, at: int = 0) -> tuple[Any, int]:
    """The value at a place and where it ends."""
    first = data[at]
    sized = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
    numbers = {0xCC: (1, False), 0xCD: (2, False), 0xCE: (4, False), 0xCF: (8, False),
               0xD0: (1, True), 0xD1: (2, True), 0xD2: (4, True), 0xD3: (8, True)}  # fmt: skip
    if first < 0x80 or first >= 0xE0:
        return (first if first < 0x80 else first - 256), at + 1
    if first in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[first], at + 1
    if first == 0xCB:
        import struct

        return struct.unpack_from(">d", data, at + 1)[0], at + 9
    if first in numbers:
        size, signed = numbers[first]
        return int.from_bytes(data[at + 1 : at + 1 + size], "big", signed=signed), at + 1 + size
    if first == 0xD7:
        assert data[at + 1] == 0
        return (int.from_bytes(data[at + 2 : at + 6], "big"), int.from_bytes(data[at + 6 : at + 10], "big")), at + 10
    width = sized.get(first, 0)
    size = int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else first & (0x1F if first >= 0xA0 else 0x0F)
    at += 1 + width
    if first in (0xC4, 0xC5, 0xC6):
        return data[at : at + size], at + size
    if 0xA0 <= first < 0xC0 or first in (0xD9, 0xDA, 0xDB):
        return data[at : at + size].decode("utf-8", "surrogateescape"), at + size
    items = []
    is_map = first < 0x90 or first >= 0xDE
    for _ in range(size * 2 if is_map else size):
        item, at = unpack(data, at)
        items.append(item)
    return (dict(zip(items[::2], items[1::2])) if is_map else items), at


@pytest.mark.parametrize(("value", "hexed"), [
    (None, "c0"), (True, "c3"), (False, "c2"), (0, "00"), (127, "7f"), (128, "cc80"), (256, "cd0100"),
    (65536, "ce00010000"), (1 << 32, "cf0000000100000000"), ((1 << 64) - 1, "cfffffffffffffffff"), (-1, "ff"),
    (-32, "e0"), (-33, "d0df"), (-129, "d1ff7f"), (-32769, "d2ffff7fff"), (-(1 << 63), "d38000000000000000"),
    (1.5, "cb3ff8000000000000"), ("", "a0"), ("é", "a2c3a9"), ("x" * 32, "d920" + "78" * 32), ("\udcff", "a1ff"),
    ([], "90"), ({}, "80"), ({"a": [1]}, "81a16191 01".replace(" ", "")), (b"\x00", "c40100"),
])  # fmt: skip
def test_known_bytes(value: object, hexed: str) -> None:
    assert pack(value).hex() == hexed


def test_an_event() -> None:
    assert make_format("msgpack").encode(chunk_of({"a": 1, "b": "x"})).hex() == (
        "92" "92" "d700" "6553f100" "075bcd15" "80" "82" "a161" "01" "a162" "a178"
    )  # fmt: skip
    shape = Shape.of(("a",), {"site": "porto"})
    event, end = unpack(data := make_format("msgpack").encode(Chunk("t", [(T0, shape, (1,))])))
    assert (event, end) == ([[(1_700_000_000, 123_456_789), {"site": "porto"}], {"a": 1}], len(data))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.text(max_size=5), values, max_size=18), max_size=2))
def test_everything_comes_back(records: list[dict[str, Any]]) -> None:
    data, at, found = make_format("msgpack").encode(chunk_of(*records)), 0, []
    while at < len(data):
        (_, fields), at = unpack(data, at)
        found.append(fields)
    assert found == records


@pytest.mark.parametrize("size", [255, 256, 65535, 65536])
def test_long_texts_lists_and_maps(size: int) -> None:
    for value in ("x" * size, [1] * size, {str(i): i for i in range(size)}, b"y" * size):
        assert unpack(data := pack(value)) == (value, len(data))


def test_integers_beyond_64_bits_become_doubles() -> None:
    assert math.isclose(unpack(pack(1 << 70))[0], 2.0**70)
    assert math.isclose(unpack(pack(-(1 << 70)))[0], -(2.0**70))
