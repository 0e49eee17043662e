"""SeparatorSplitter: whole, a byte at a time, with bytes left over; bounded whatever comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.wire.separator import SeparatorSplitter

CASES = [
    (b";", b"a;b;;c;", ["a", "b", "", "c"], 0),
    (b"\x03", b"21.4\x0321.5\x03rest", ["21.4", "21.5"], 4),
    (b"--", b"a-b--c---d--", ["a-b", "c", "-d"], 0),
    (b"ab", b"aab" + b"aaab", ["a", "aa"], 0),
    (b"\r\r\n", b"x\r\ny\r\r\n", ["x\r\ny"], 0),
    (b";", b"\xff\xc3\xa9;", ["\udcff\u00e9"], 0),
]


def feed(splitter: SeparatorSplitter, data: bytes, step: int) -> list[str]:
    return [frame for i in range(0, len(data), step) for frame in splitter.feed(data[i : i + step])]


@pytest.mark.parametrize(("separator", "data", "frames", "pending"), CASES)
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_frames_do_not_depend_on_how_the_bytes_are_cut(separator, data, frames, pending, step):
    splitter = SeparatorSplitter(separator, 100)
    assert feed(splitter, data, step) == frames
    assert splitter.pending == pending


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_frame_over_the_limit_is_cut_counted_and_its_rest_skipped(step):
    splitter = SeparatorSplitter(b"--", 8)
    assert feed(splitter, b"0123456789abcdef" * 10 + b"--next--", step) == ["01234567", "next"]
    assert splitter.truncated == 1


@pytest.mark.parametrize("step", [1, 1000])
def test_a_frame_of_exactly_the_limit_is_whole(step):
    splitter = SeparatorSplitter(b"--", 8)
    assert feed(splitter, b"01234567--x--", step) == ["01234567", "x"]
    assert splitter.truncated == 0


def test_an_endless_frame_holds_no_more_than_a_piece_of_separator():
    splitter = SeparatorSplitter(b"<end>", 100)
    for _ in range(1000):
        splitter.feed(b"x" * 1000)
    assert len(splitter._rest) < 5
    assert splitter.pending == 0
    assert splitter.feed(b"<end>ok<end>") == ["ok"]


def test_finish_gives_what_is_left_and_starts_anew():
    splitter = SeparatorSplitter(b";", 100)
    splitter.feed(b"a;par")
    assert splitter.finish() == ["par"]
    assert splitter.finish() == []
    assert splitter.feed(b"tial;") == ["tial"]


@given(st.lists(st.binary(max_size=12)), st.integers(1, 9), st.sampled_from([b";", b"ab", b"aab", b"--"]))
def test_any_bytes_cut_in_any_way_give_what_split_gives(pieces, limit, separator):
    data = b"".join(pieces)
    whole, cut = SeparatorSplitter(separator, limit), SeparatorSplitter(separator, limit)
    frames = whole.feed(data) + whole.finish()
    assert [frame for piece in pieces for frame in cut.feed(piece)] + cut.finish() == frames
    assert cut.truncated == whole.truncated
    *ended, rest = data.split(separator)
    model = [f.decode("utf-8", "surrogateescape") for f in [*ended, *([rest] if rest else [])]]
    assert len(frames) == len(model)
    for frame, full in zip(frames, model):
        raw = frame.encode("utf-8", "surrogateescape")
        full_raw = full.encode("utf-8", "surrogateescape")
        assert full_raw.startswith(raw)
        assert len(raw) > limit - 4 or raw == full_raw
        assert len(raw) <= limit
