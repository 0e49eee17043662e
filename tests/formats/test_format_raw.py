from __future__ import annotations

from typing import Any

import pytest

from edgebit.errors import ConfigError
from fakes.formats import chunk_of, make_format


@pytest.mark.parametrize(("template", "fields", "expected"), [
    ("$log", {"log": "a line é\udcff"}, b"a line \xc3\xa9\xff\n"),
    ("log", {"log": "x"}, b"x\n"),
    ("$n $f $b $m $l $x", {"n": 5, "f": 1.5, "b": True, "m": {"k": "é"}, "l": [1], "x": None},
     '5 1.500000 true {"k":"é"} [1] null\n'.encode()),
    ("[$TAG|$TAG[1]|$TAG[7]] $a['b'][0]!", {"a": {"b": ["deep"]}}, b"[door.open|open|] deep!\n"),
    ("$a $missing.", {"a": 1}, b'1 \n'),
    ("$gone", {"a": 1, "b": "é"}, '{"a":1,"b":"é"}\n'.encode()),
    ("cost: 5$ $a", {"a": 1}, b"cost: 5$ 1\n"),
])  # fmt: skip
def test_templates(template: str, fields: dict[str, Any], expected: bytes) -> None:
    assert make_format("raw", raw_message_key=template).encode(chunk_of(fields, tag="door.open")) == expected


def test_the_key_is_needed() -> None:
    with pytest.raises(ConfigError, match="raw_message_key"):
        make_format("raw")
