"""A buffer whose directory was removed while it is open (edgebit/buffer/restore.py). The agent: test_agent_state.py."""

import errno
import shutil

import pytest
from buffer.books import Books

from edgebit.buffer.files import Files
from edgebit.buffer.restore import RestorableBuffer, RestorableLog
from edgebit.buffer.streams import Streams
from fakes import buffers


@pytest.fixture
def books(tmp_path, monkeypatch):
    monkeypatch.setattr(buffers, "Log", RestorableLog)
    monkeypatch.setattr(buffers, "DiskBuffer", RestorableBuffer)
    streams = Streams(Files(), str(tmp_path))
    directory = streams.of("out", "a")
    books = Books(Files(), directory, disk=1 << 20, limit=64 * 1024)
    books.open().renew = lambda usurped: streams.renew(directory, "out", usurped)
    return books


def test_every_segment_used_or_free_and_the_cursor_are_made_again(books, tmp_path):
    books.put(3000, size=100)
    books.wait(2)
    for _ in range(5):
        books.buffer.ack(books.take())
    books.wait(2)
    before = sorted(path.name for path in (tmp_path / "buffers/a").iterdir())
    assert books.buffer.in_place
    shutil.rmtree(tmp_path / "buffers")
    assert not books.buffer.in_place
    waiting = books.buffer.restore()
    assert books.buffer.in_place
    assert waiting == books.buffer.records == 3000 - len(books.got)
    assert sorted(path.name for path in (tmp_path / "buffers/a").iterdir()) == before
    books.put(100)
    expected = [n for n in books.appended if n not in books.got]
    assert books.take_all() == expected
    assert books.losses == []


@pytest.mark.parametrize("part", ["one segment", "everything"])
def test_what_can_not_be_read_any_more_is_counted_and_the_rest_delivered(books, tmp_path, part):
    books.put(3000, size=100)
    books.wait(2)
    shutil.rmtree(tmp_path / "buffers")
    used = books.buffer._log._used
    assert len(used) > 3

    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    for segment in used if part == "everything" else used[1:2]:
        segment.file.pread = broken
    books.buffer.restore()
    books.put(10)
    books.take_all()
    assert len(books.got) + books.lost == 3010
    assert {loss[0] for loss in books.losses} == {"damaged on disk"}
    assert set(range(3001, 3011)) <= books.got
    assert (len(books.got) > 2000) == (part == "one segment")


def test_no_room_for_the_copies_is_tried_again_and_goes_on_where_it_ended(books, tmp_path, monkeypatch):
    books.put(3000, size=100)
    books.wait(2)
    shutil.rmtree(tmp_path / "buffers")
    create, left = Files.create, [3]

    def scarce(self, path, size):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return create(self, path, size)

    monkeypatch.setattr(Files, "create", scarce)
    with pytest.raises(OSError, match="No space left"):
        books.buffer.restore()
    books.buffer.suspend()
    books.put(1)
    books.wait(60)
    left[0] = 1000
    books.buffer.restore()
    assert list((tmp_path / "buffers").iterdir()) == [
        tmp_path / "buffers/a"
    ]  # its own files are not taken for another's
    books.wait(2)
    assert books.safe == set(range(1, 3002))
    assert books.take_all() == list(range(1, 3002))
    assert books.losses == []
