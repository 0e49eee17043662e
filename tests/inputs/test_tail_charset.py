"""Tail of files that are not UTF-8: lines, offsets, cuts and restarts are those of the file's bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tail_rig import Rig

from edgebit.inputs.tail_charset import generic_name, sniff, unicode_name
from edgebit.options import BadValue

# U+0A0D, U+0D0A and U+010A have the byte of a line end in them; one of them before the line end moves it to an odd place.
LINES = ["plain", "", "caf\u00e9 \u0a0d\u0d0a", "\u010a", "\u0a00\u000d", "\U0001f600 \u20ac", "x" * 60, "last"]
TEXT = "".join(line + "\n" for line in LINES)
EXPECTED = [line.removesuffix("\r") for line in LINES]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("option", ["auto", "it"])
@pytest.mark.parametrize("chunk", [64, 65536])
def test_utf_16(tmp_path: Path, codec: str, option: str, chunk: int) -> None:
    data = ("\ufeff" + TEXT).encode(codec)
    rig = Rig(tmp_path, read_from_head=True, offset_key="at", buffer_chunk_size=chunk, buffer_max_size=200,
              unicode_encoding=codec if option == "it" else "auto")  # fmt: skip
    for i in range(0, len(data), 3):  # a character in two writes
        rig.write("a.log", data[i : i + 3])
        if i % 7 == 0:
            rig.run(0.2)
    assert rig.run() == EXPECTED
    assert [r["at"] for r in rig.ctx.records][:3] == [0, 14, 16]
    assert data[rig.ctx.records[-1]["at"] :].decode(codec) == "last\n"
    rig.release()
    rig.write("a.log", "after\n".encode(codec))
    rig.restart()
    assert rig.run() == ["after"]
    rig.close()


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_long_lines_and_reading_from_the_end(tmp_path: Path, codec: str) -> None:
    (tmp_path / "a.log").write_bytes(("\u010a" * 500 + "\nold\nunfini").encode(codec))
    rig = Rig(tmp_path, unicode_encoding=codec, buffer_max_size=101, buffer_chunk_size=64)
    rig.write("a.log", ("shed\n" + "\u010a" * 500 + "\nend\n" + "\u010a" * 500 + "\nnot ended").encode(codec))
    assert rig.run() == ["unfinished", "\u010a" * 50, "end", "\u010a" * 50]
    rig.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [("ShiftJIS", "日本語 ソ表"), ("GBK", "中文"), ("Big5", "功能"), ("UHC", "한국어"), ("GB18030", "中文€"),
     ("Win1252", "café €"), ("windows-1251", "привет"), ("latin1", "é")],
)  # fmt: skip
def test_other_sets_of_characters(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "a.log").write_bytes(f"{text}\r\n{text * 110}\n".encode(generic_name(name)))
    rig = Rig(tmp_path, read_from_head=True, generic_encoding=name, buffer_max_size=102)
    first, cut = rig.run()
    assert first == text
    assert (text * 110).startswith(cut)
    assert len(cut.encode(generic_name(name))) >= 98
    rig.close()


def test_bytes_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"ok\n\x81\xff\xff\nok\n")
    rig = Rig(tmp_path, read_from_head=True, generic_encoding="ShiftJIS")
    lines = rig.run()
    assert lines[0] == lines[2] == "ok"
    assert "\ufffd" in lines[1]
    rig.close()


@pytest.mark.parametrize(("head", "codec"), [(b"", ""), (b"a", ""), (b"\xff\xfea\0", "utf-16-le"), (b"plain", "utf-8"),
                                             (b"\0a\0b", "utf-16-be"), (b"\xfe\xff\x4e\x2d", "utf-16-be"),
                                             (b"a\0b\0", "utf-16-le"),
                                             ("日本語".encode(), "utf-8"), (b"a\0\0\0b\0c\0\0", "utf-8")])  # fmt: skip
def test_sniff(head: bytes, codec: str) -> None:
    assert sniff(head) == codec


@pytest.mark.parametrize(("name", "check"), [("utf-16", unicode_name), ("klingon", unicode_name), ("klingon", generic_name),
                                             ("utf-16", generic_name), ("utf-7", generic_name), ("rot13", generic_name),
                                             ("base64", generic_name)])  # fmt: skip
def test_names_that_are_none(name: str, check: Any) -> None:
    with pytest.raises(BadValue):
        check(name)
