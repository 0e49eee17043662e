"""Damage on disk: every byte flipped in turn, every length truncated in turn, of every file of a small buffer.

It opens, delivers every chunk that is untouched, and counts the rest; nothing is delivered that was never appended, or
twice with different content. Then it goes on: it takes a new record, and delivers that, too, after another start.
"""

from __future__ import annotations

import json

import pytest
from books import DIRECTORY, Books

from edgebit.buffer import format
from edgebit.buffer.cursor import Cursor
from edgebit.buffer.streams import COPY, INFO, Streams
from fakes.files import SimFiles

SEGMENT = 768
DISK = 3 * SEGMENT
PATTERNS = (0x01, 0x80, 0xFF)  # the lowest bit, the highest, all
COUNTS = (1, 2, 3)  # records of the chunks, in turn
CHUNKS = 8


@pytest.fixture
def _small_segments(monkeypatch):
    monkeypatch.setattr("edgebit.buffer.opening.segment_size", lambda limit: SEGMENT)


pytestmark = pytest.mark.usefixtures("_small_segments")


class Story:
    """A buffer's files at a moment at which its process is gone, and what was in them.

    chunks   (segment file, from, to, numbers) of each chunk that is not acknowledged
    counted  how many of these records the cursor file knows of: those must be delivered or counted as lost
    """

    def __init__(self, used_before: bool, clean: bool) -> None:
        books = Books(SimFiles(), disk=DISK, limit=64 * 1024, sync=0)
        books.open()
        for i in range(30 if used_before else 0):  # once around: old chunks behind the new ones in every segment
            books.put(COUNTS[i % 3])
            books.wait(1)
            books.take_all()
        first = len(books.appended)
        ends = []
        for i in range(CHUNKS):
            books.put(COUNTS[i % 3])
            books.wait(1)
            ends.append(len(books.appended))
        if clean:
            books.close()
        self.files = {name: books.files.read(f"{DIRECTORY}/{name}") for name in books.files.listdir(DIRECTORY)}
        self.numbers = books.appended[first:]
        self.acked = set(books.appended[:first])
        self.names = dict(books.delivered)
        self.chunks = []
        ends = [first, *ends]
        found = sorted(
            (header.use, at, name, header)
            for name, data in self.files.items()
            if name.endswith(".seg")
            for at, header in all_chunks(data)
            if header.before >= first
        )
        assert len(found) == CHUNKS
        assert len({name for _, _, name, _ in found}) > 1, "it is in one segment only"
        for (_, at, name, header), start, end in zip(found, ends, ends[1:]):
            self.chunks.append((name, at, at + header.length, books.appended[start:end]))
        cursor = Cursor.newest(self.files["cursor"])
        self.counted = max(0, cursor.written - first) if cursor is not None else 0

    def life_after(self, name: str, data: bytes) -> Books:
        """Open the buffer with this file replaced, and deliver what is there; then go on, and start again."""
        files = SimFiles()
        files.makedirs(DIRECTORY)
        for other, content in self.files.items():
            content = data if other == name else content
            files.create(f"{DIRECTORY}/{other}", len(content)).pwrite(content, 0)
        books = Books(files, disk=DISK, limit=64 * 1024, sync=0)
        books.opened = 1  # the life before was the first
        books._offered = max(self.numbers)
        books.delivered |= self.names
        buffer = books.open()
        order = [n for n in books.take_all() if n not in self.acked]
        assert order == sorted(set(order)), "delivered out of order, or twice"
        assert set(order) <= set(self.numbers)
        assert buffer.records == 0, "some seem to wait when everything was delivered or counted"
        books.put(1, size=400)
        buffer.commit()
        assert books.take_all(ack=False) == [max(self.numbers) + 1], "it does not go on"
        books.close()
        lost = books.lost
        books.open()
        assert books.take_all() == [max(self.numbers) + 1], "the next start does not find what was written after"
        assert books.lost == lost, "the same loss is counted again"
        books.close()
        return books

    def judge(self, books: Books, touched: set[int]) -> None:
        """`touched`: records whose bytes were damaged; everything else is to be delivered."""
        delivered = books.got & set(self.numbers)
        missing = set(self.numbers) - touched - delivered
        assert not missing, f"{sorted(missing)} were not touched and are not delivered"
        gone = len(self.numbers) - len(delivered)
        unknown = len(self.numbers) - self.counted
        assert gone - unknown <= books.lost <= gone, f"{gone} are gone, {books.lost} are counted: {books.losses}"

    def in_range(self, name: str, start: int, end: int) -> set[int]:
        """Numbers of the records of chunks that have a byte in there."""
        return {
            n for file, at, upto, numbers in self.chunks if file == name and at < end and upto > start for n in numbers
        }


def all_chunks(data: bytes):
    """Place and header of every whole chunk in a segment's bytes, of whatever use."""
    at = 0
    while (found := format.find(data, at, None)) is not None:
        yield found
        at = found[0] + 1


STORIES = [(used, clean) for used in (False, True) for clean in (False, True)]
stories = pytest.mark.parametrize(("used_before", "clean"), STORIES)


@stories
def test_undamaged_everything_comes_back(used_before, clean):
    story = Story(used_before, clean)
    books = story.life_after("", b"")
    story.judge(books, set())
    assert books.losses == []


def cases(data: bytes, patterns=PATTERNS):
    """(what was done, from, to, the damaged bytes) for every byte flipped and every length truncated."""
    for at in range(len(data)):
        for pattern in patterns:
            yield f"byte {at} xor {pattern:#x}", at, at + 1, data[:at] + bytes([data[at] ^ pattern]) + data[at + 1 :]
        yield f"truncated to {at}", at, len(data), data[:at]


@pytest.mark.slow
@stories
def test_every_byte_flipped_and_every_length_of_a_segment(used_before, clean):
    story = Story(used_before, clean)
    for name, data in story.files.items():
        if name.endswith(".seg"):
            for what, start, end, damaged in cases(data, PATTERNS if clean else PATTERNS[-1:]):
                try:
                    story.judge(story.life_after(name, damaged), story.in_range(name, start, end))
                except Exception as error:
                    raise AssertionError(f"{name}, {what}: {error}") from error


@pytest.mark.slow
@stories
def test_every_byte_flipped_and_every_length_of_the_cursor(used_before, clean):
    """It is a hint: what is acknowledged may come again, everything else comes as ever."""
    story = Story(used_before, clean)
    for what, _, _, damaged in cases(story.files["cursor"], PATTERNS[:1]):
        try:
            story.judge(story.life_after("cursor", damaged), set())
        except Exception as error:
            raise AssertionError(f"{what}: {error}") from error


@pytest.mark.parametrize("name", [INFO, COPY])
def test_every_byte_flipped_and_every_length_of_what_names_the_output(name):
    """The backlog stays with its output, and the damage is mended."""
    files = SimFiles()
    directory = Streams(files, "/state").of("http.0", "aa")
    books = Books(files, directory)
    books.open()
    books.put(3)
    books.close()
    good = files.read(f"{directory}/{name}")
    for what, _, _, damaged in cases(good):
        files.replace(f"{directory}/{name}", damaged)
        assert Streams(files, "/state").of("http.0", "bb") == directory, what
        assert Streams(files, "/state").orphans({"http.0"}) == {}, what
        assert json.loads(files.read(f"{directory}/{name}"))["output"] == "http.0", what
    books.open()
    assert books.take_all() == [1, 2, 3]


def test_nothing_says_any_more_whose_buffer_it_is():
    """It is kept and told; the output gets a new one."""
    files = SimFiles()
    directory = Streams(files, "/state").of("http.0", "aa")
    Books(files, directory).open()
    files.replace(f"{directory}/{INFO}", b"{")
    files.replace(f"{directory}/{COPY}", b"")
    assert Streams(files, "/state").of("http.0", "bb") != directory
    assert Streams(files, "/state").orphans({"http.0"}) == {directory: ""}
