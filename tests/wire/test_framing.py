"""Splitters give the same frames however the bytes are cut up, and hold no more than their limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.wire.framing import LineSplitter, SyslogSplitter, messages

LIMIT = 16


def run(make, stream: bytes, sizes=()) -> tuple[list[str], int]:
    """Feed a stream in pieces of these sizes, then the rest; all frames and the number of truncated ones."""
    splitter = make()
    frames = []
    at = 0
    for size in sizes:
        frames += splitter.feed(stream[at : at + size])
        assert splitter.pending <= LIMIT + 10
        at += size
    frames += splitter.feed(stream[at:])
    frames += splitter.finish()
    assert splitter.pending == 0
    return frames, splitter.truncated


def three_ways(make, stream: bytes, expected: list[str], truncated: int = 0) -> None:
    """Whole, a byte at a time, and with what follows in the same read."""
    assert run(make, stream) == (expected, truncated)
    assert run(make, stream, [1] * len(stream)) == (expected, truncated)
    splitter = make()
    frames = splitter.feed(stream + b"<left over")
    assert frames[: len(expected)] == expected


def lines() -> LineSplitter:
    return LineSplitter(LIMIT)


def lines_nul() -> LineSplitter:
    return LineSplitter(LIMIT, nul=True)


LINE_CASES = {
    "one": (b"one\n", ["one"], 0),
    "several": (b"one\ntwo\nthree\n", ["one", "two", "three"], 0),
    "empty lines are lines": (b"\n\na\n\n", ["", "", "a", ""], 0),
    "one CR is stripped, others stay": (b"a\r\nb\r\r\n\rc\n", ["a", "b\r", "\rc"], 0),
    "what str.splitlines would split on": (
        "a\x0bb\x0c\x1c\x1d\x85\u2028\n".encode(),
        ["a\x0bb\x0c\x1c\x1d\x85\u2028"],
        0,
    ),
    "characters of several bytes": ("äöü€\n😀\n".encode(), ["äöü€", "😀"], 0),
    "bytes that are not UTF-8": (b"a\xff\xfeb\n", ["a\udcff\udcfeb"], 0),
    "NUL is data": (b"a\0b\n", ["a\0b"], 0),
    "exactly the limit": (b"x" * 16 + b"\n", ["x" * 16], 0),
    "one more than the limit": (b"x" * 17 + b"\ny\n", ["x" * 16, "y"], 1),
    "far more than the limit": (b"a\n" + b"x" * 1000 + b"\nb\n" + b"y" * 99 + b"\n", ["a", "x" * 16, "b", "y" * 16], 2),
    "a character across the limit": (b"x" * 15 + "€€\nb\n".encode(), ["x" * 15, "b"], 1),
    "stray continuation bytes across the limit": (b"\x80" * 20 + b"\n", ["\udc80" * 13], 1),
}


@pytest.mark.parametrize(("stream", "expected", "truncated"), LINE_CASES.values(), ids=LINE_CASES)
def test_lines(stream, expected, truncated):
    three_ways(lines, stream, expected, truncated)


def test_nul_ends_a_line_too_when_asked():
    three_ways(lines_nul, b"a\0b\nc\r\0d\0", ["a", "b", "c", "d"])


def test_the_unterminated_rest_comes_at_the_end():
    assert run(lines, b"a\nb") == (["a", "b"], 0)
    assert run(lines, b"a\nb\r") == (["a", "b"], 0)
    assert run(lines, b"a\n") == (["a"], 0)
    assert run(lines, b"") == ([], 0)


def test_the_end_inside_of_an_over_long_line():
    """It was given when it passed the limit, and isn't given again."""
    assert run(lines, b"x" * 40, [20]) == (["x" * 16], 1)


def test_a_finished_splitter_starts_anew():
    splitter = lines()
    splitter.feed(b"x" * 40)
    splitter.finish()

    assert splitter.feed(b"a\n") == ["a"]


def test_pending_is_bounded_and_told():
    splitter = lines()

    assert splitter.feed(b"abc") == []
    assert splitter.pending == 3
    for _ in range(100):
        splitter.feed(b"z" * 10)
        assert splitter.pending <= LIMIT


pieces = st.lists(st.integers(0, 40), max_size=60)
noisy = st.lists(st.sampled_from([b"\n", b"\r", b"\0", b"a", b"x" * 15, b"x" * 17, "€".encode(), b"\xff", b"\x80"]))


@given(noisy.map(b"".join), pieces)
def test_lines_do_not_depend_on_how_the_bytes_are_cut(stream, sizes):
    assert run(lines, stream, sizes) == run(lines, stream)
    assert run(lines_nul, stream, sizes) == run(lines_nul, stream)


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=4)), pieces)
def test_lines_come_back_as_they_were(texts, sizes):
    stream = "".join(text + "\n" for text in texts).encode()

    assert run(lines, stream, sizes) == (texts, 0)


# -- syslog over TCP -------------------------------------------------------------------------------------------------


def auto() -> SyslogSplitter:
    return SyslogSplitter(LIMIT)


def counted() -> SyslogSplitter:
    return SyslogSplitter(LIMIT, counted=True)


# Stream, frames and truncated with auto; the same with counted where it differs.
SYSLOG_CASES = {
    "lines": (b"<1>a\n<2>b\r\n", ["<1>a", "<2>b"], 0),
    "lines ended by NUL": (b"<1>a\0<2>b\0", ["<1>a", "<2>b"], 0),
    "counted": (b"4 <1>a5 <2>bc4 <3>d", ["<1>a", "<2>bc", "<3>d"], 0),
    "counted, with line ends inside": (b"6 <1>a\nb4 <2>c", ["<1>a\nb", "<2>c"], 0),
    "counted, with NUL inside": (b"6 <1>a\0b4 <2>c", ["<1>a\0b", "<2>c"], 0),
    "counted, with the line end counted": (b"5 <1>a\n6 <2>b\r\n5 <3>c\0", ["<1>a", "<2>b", "<3>c"], 0),
    "counted, with a line end that isn't": (b"4 <1>a\n4 <2>b\n", ["<1>a", "", "<2>b", ""], 0),
    "counted, more than ASCII": ("5 <1>ä4 <2>b".encode(), ["<1>ä", "<2>b"], 0),
    "counted, not UTF-8": (b"4 <1>\xff4 <2>b", ["<1>\udcff", "<2>b"], 0),
    "one kind after the other": (b"<1>a\n4 <2>b<3>c\n<4>d\n4 <5>e", ["<1>a", "<2>b", "<3>c", "<4>d", "<5>e"], 0),
    "one kind after the other, with NUL": (b"<1>a\0004 <2>b<3>c\0", ["<1>a", "<2>b", "<3>c"], 0),
    "counted, exactly the limit": (b"16 <1>" + b"x" * 13 + b"4 <2>b", ["<1>" + "x" * 13, "<2>b"], 0),
    "counted, over the limit": (b"17 <1>" + b"x" * 14 + b"4 <2>b", ["<1>" + "x" * 13, "<2>b"], 1),
    "counted, far over the limit": (b"999 <1>" + b"x" * 996 + b"4 <2>b", ["<1>" + "x" * 13, "<2>b"], 1),
    "counted, cut in a character": ("18 <1>xxxxxxxxxxxx€4 <2>b".encode(), ["<1>xxxxxxxxxxxx", "<2>b"], 1),
    "a line over the limit": (b"<1>" + b"x" * 50 + b"\n4 <2>b", ["<1>" + "x" * 13, "<2>b"], 1),
    "a count that starts with 0": (b"04 <1>a\n4 <2>b", ["04 <1>a", "<2>b"], 0),
    "a count nobody would send": (b"12345678 <1>a\n4 <2>b", ["12345678 <1>a", "<2>b"], 0),
    "garbage": (b"\xff\xfe\n", ["\udcff\udcfe"], 0),
}  # fmt: skip


@pytest.mark.parametrize(("stream", "expected", "truncated"), SYSLOG_CASES.values(), ids=SYSLOG_CASES)
@pytest.mark.parametrize("make", [auto, counted])
def test_syslog(make, stream, expected, truncated):
    three_ways(make, stream, expected, truncated)


def test_a_line_that_starts_with_a_number():
    """Only "<" behind it makes it a length, unless counting was asked for."""
    stream = b"12 monkeys\n1 x\n"
    three_ways(auto, stream, ["12 monkeys", "1 x"])
    three_ways(counted, stream, ["monkeys\n1 x"])


def test_what_is_left_at_the_end():
    assert run(auto, b"<1>a\n<2>b") == (["<1>a", "<2>b"], 0)
    assert run(auto, b"9 <1>a") == (["<1>a"], 0)
    assert run(auto, b"12") == (["12"], 0)
    assert run(auto, b"12 ") == (["12 "], 0)
    assert run(counted, b"12 ") == ([], 0)
    assert run(counted, b"") == ([], 0)


def test_a_huge_count_holds_no_more_than_the_limit():
    splitter = auto()
    splitter.feed(b"9999999 <1>")
    for _ in range(100):
        assert splitter.feed(b"x" * 1000) == []
        assert splitter.pending <= LIMIT + 1


def test_a_finished_syslog_splitter_starts_anew():
    splitter = auto()
    for rest in (b"9 <1>", b"<1>x", b"12", b"x" * 99):
        splitter.feed(rest)
        splitter.finish()
        assert splitter.feed(b"4 <1>a") == ["<1>a"]


syslogish = st.lists(
    st.sampled_from(
        [b"\n", b"\0", b"<", b" ", b"1", b"4 <", b"4 <1>a", b"19 <", b"x" * 15, "€".encode(), b"\xff", b"0"]
    )
)


@given(syslogish.map(b"".join), pieces)
def test_syslog_frames_do_not_depend_on_how_the_bytes_are_cut(stream, sizes):
    assert run(auto, stream, sizes) == run(auto, stream)
    assert run(counted, stream, sizes) == run(counted, stream)


texts = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=3)


@given(st.lists(st.tuples(texts, st.booleans())), pieces)
def test_any_mix_of_counted_frames_and_lines_comes_back(sent, sizes):
    stream = b""
    for text, with_count in sent:
        data = f"<1>{text}".encode()
        stream += b"%d %s" % (len(data), data) if with_count else data + b"\n"

    assert run(auto, stream, sizes) == (["<1>" + text for text, _ in sent], 0)


# -- datagrams -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("datagrams", "expected", "truncated"),
    [
        ([b"<1>a", b"<2>b"], ["<1>a", "<2>b"], 0),
        ([b"<1>a\n", b"<2>b\r\n", b"<3>c\0"], ["<1>a", "<2>b", "<3>c"], 0),
        ([b"<1>a\nb", b"\n"], ["<1>a\nb", ""], 0),
        ([b"", b"<1>a\0", b""], ["", "<1>a", ""], 0),
        (["ä".encode()[:1], "ä".encode()[1:]], ["\udcc3", "\udca4"], 0),
        ([b"x" * 17, b"y" * 16, b"z" * 18], ["x" * 16, "y" * 16, "z" * 16], 2),
    ],
)
def test_a_datagram_is_a_message(datagrams, expected, truncated):
    assert messages(datagrams, LIMIT) == (expected, truncated)


@given(st.lists(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\0", b"\xff", b"x" * 15])).map(b"".join), min_size=1))
def test_datagrams_do_not_depend_on_their_company(datagrams):
    alone = [messages([data], LIMIT) for data in datagrams]

    assert messages(datagrams, LIMIT) == ([lines[0] for lines, _ in alone], sum(n for _, n in alone))
