"""docs/buffer-format.md says what the code does: its tables are the Structs, its example is what `pack` writes."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from struct import Struct

import cbor2
import pytest

from edgebit.buffer import cursor, format
from edgebit.buffer.cursor import Cursor
from edgebit.record import decode_payload, to_dict

PAGE = (Path(__file__).resolve().parents[2] / "docs/buffer-format.md").read_text()
TABLES = [
    [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in table.strip().splitlines()]
    for table in re.findall(r"\| --- \| --- \| --- \| --- \|\n((?:\|.*\|\n)+)", PAGE)
]
EXAMPLE = bytes.fromhex("".join(line[6:54] for line in re.findall(r"^[0-9a-f]{4}  .*$", PAGE, re.MULTILINE)))


def fields(struct: Struct) -> list[tuple[int, int]]:
    """Offset and length of each field of a Struct, padding left out."""
    found, at = [], 0
    for count, kind in re.findall(r"(\d*)([a-zA-Z])", struct.format.lstrip("<")):
        size = int(count or 1) if kind in "sx" else Struct("<" + kind).size
        for _ in range(1 if kind in "sx" else int(count or 1)):
            if kind != "x":
                found.append((at, size))
            at += size
    assert at == struct.size
    return found


@pytest.mark.parametrize(("struct", "table"), [(format._HEADER, 0), (cursor._CURSOR, 1)])
def test_table_of_fields(struct, table):
    assert [(int(at), int(size)) for at, size, _, _ in TABLES[table]] == fields(struct)


def test_sizes_in_the_text():
    assert f"## The header of a chunk, {format.HEADER_SIZE} bytes" in PAGE
    assert f"has {cursor.SLOT} bytes, a sector" in PAGE
    assert f"how many, at most {cursor.MOST_HOLES}" in PAGE
    assert f"Version {format.VERSION}." in PAGE
    assert f"at most {format.MAX_TAG}" in PAGE
    assert f"`{format.MAGIC.decode()}`" in PAGE
    assert f"`{cursor._CURSOR_MAGIC.decode()}`" in PAGE


def test_flags():
    assert (format.CONTINUES, cursor.CLEAN) == (1, 1)  # "bit 0" of each


def test_example_is_read_as_the_page_says():
    header = format.parse(EXAMPLE)
    assert header is not None
    assert len(EXAMPLE) == header.length == 152
    assert (header.tag, header.count, header.seq, header.use, header.before) == (b"env", 2, 41, 7, 40)
    assert (header.wall_ns, header.boot_ns) == (1_700_000_000 * 10**9, 3600 * 10**9)
    assert cbor2.loads(header.marks) == {"x": [300, 7]}
    payload = EXAMPLE[header.payload_at : header.payload_at + header.payload_length]
    assert zlib.crc32(payload) == header.crc
    assert [to_dict(record) for record in decode_payload(payload)] == [
        {"sensor": "t1", "celsius": 21.5}, {"sensor": "t2", "celsius": None}]  # fmt: skip
    assert (len(header.tag), len(header.marks), len(payload)) == (3, 8, 54)


def test_example_is_what_is_written():
    header = format.parse(EXAMPLE)
    assert header is not None
    payload = EXAMPLE[header.payload_at : header.payload_at + header.payload_length]
    written = format.pack(
        tag=header.tag, payload=payload, count=header.count, seq=header.seq, stream=header.stream, use=header.use,
        before=header.before, wall_ns=header.wall_ns, boot_ns=header.boot_ns, boot_id=header.boot_id, marks=header.marks,
    )  # fmt: skip
    assert written == EXAMPLE


def test_cursor_by_the_table():
    """Each field is where the table says, by writing a cursor with a different value in each."""
    data = Cursor(1, 2, 3, 4, b"streamid", 5, True, writes=6, holes=((7, 8), (9, 10)), uses=11).pack()
    rows = {name: data[int(at) : int(at) + int(size)] for at, size, name, _ in TABLES[1]}
    crc = rows.pop("crc")
    assert int.from_bytes(crc, "little") == zlib.crc32(data[:508])
    assert [int.from_bytes(rows["holes"][at : at + 8], "little") for at in (0, 8, 16, 24)] == [7, 8, 9, 10]
    assert not any(rows.pop("holes")[32:])
    assert (rows.pop("magic"), rows.pop("stream")) == (b"EDGC", b"streamid")
    assert {name: int.from_bytes(value, "little") for name, value in rows.items()} == {
        "version": 1, "flags": 1, "hole count": 2, "writes": 6, "use": 1, "offset": 2, "acknowledged": 3, "written": 4,
        "next sequence": 5, "uses": 11}  # fmt: skip


def test_page_is_a_page():
    assert PAGE.count("\n") < 100
    assert "TODO" not in PAGE
