"""What a person, an upgrade or a downgrade does to a buffer between two starts: no backlog is destroyed by it."""

from __future__ import annotations

import pytest
from books import DIRECTORY, Books

from edgebit.buffer import format
from fakes.files import SimFiles

MIB = 1 << 20


def with_backlog(chunks=40, **settings) -> Books:
    books = Books(SimFiles(), **settings)
    books.open()
    for _ in range(chunks):
        books.put(50, size=200)
        books.wait(0.3)
    return books


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("sizes", [(1, 4), (4, 1), (2, 3), (16, 1)])
def test_disk_made_larger_or_smaller_keeps_the_backlog(sizes, clean):
    before, after = (size * MIB for size in sizes)
    books = with_backlog(disk=before)
    if clean:
        books.close()
    books.files.kill()
    books.open(disk=after)
    books.put(50, size=200)
    books.wait(2)
    books.files.kill()
    books.open()
    assert books.take_all() == books.appended
    assert books.losses == []
    books.put(50, size=200)
    books.wait(2)
    books.close()
    books.open()
    names = [name for name in books.files.listdir(DIRECTORY) if name.endswith(".seg")]
    total = sum(len(books.files.read(f"{DIRECTORY}/{name}", 1 << 30)) for name in names)
    assert after * 3 // 4 <= total <= after
    assert books.take_all() == books.appended[-50:]


@pytest.mark.parametrize("change", [{"limit": 16 * 1024}, {"limit": MIB}, {"chunk_size": 2048}, {"spill": True},
                                    {"overflow": "drop_oldest"}, {"sync": 0}])  # fmt: skip
def test_other_options_keep_the_backlog(change):
    books = with_backlog()
    books.files.kill()
    books.open(**change)
    assert books.take_all() == books.appended
    assert books.losses == []


def newer(files: SimFiles, name: str) -> bytes:
    """Make a segment look as if a later version had written it: another version, another layout behind it."""
    path = f"{DIRECTORY}/{name}"
    data = files.read(path)
    data = data[:4] + bytes((format.VERSION + 1,)) + bytes(reversed(data[5:200])) + data[200:]
    file = files.open(path)
    file.pwrite(data, 0)
    file.close()
    return data


def test_unknown_version_is_set_aside_untouched_and_the_rest_goes_on():
    books = with_backlog(disk=MIB)
    books.close()
    use = {}
    for name in books.files.listdir(DIRECTORY):
        if name.endswith(".seg") and (header := format.parse(books.files.read(f"{DIRECTORY}/{name}"))):
            use[header.use] = name
    victim = use[2]
    data = newer(books.files, victim)
    books.notes.clear()
    books.open()
    said = f"{victim} is set aside, not used and not changed: its format version {format.VERSION + 1} is not known here"
    assert books.notes == [said]
    books.take_all()
    assert len(books.got) + books.lost == len(books.appended)
    assert 0 < books.lost < len(books.appended) // 2
    for _ in range(100):  # around all segments, several times
        books.put(50, size=200)
        books.wait(0.3)
        books.take_all()
    books.close()
    assert books.files.read(f"{DIRECTORY}/{victim}") == data
    assert len(books.got) + books.lost == len(books.appended)


def test_all_of_an_unknown_version_and_no_room_beside_it():
    """A downgrade with a full buffer: it is not destroyed; memory has to do."""
    books = with_backlog(chunks=200, disk=MIB, overflow="drop_oldest")
    books.close()
    for name in books.files.listdir(DIRECTORY):
        if name.endswith(".seg"):
            newer(books.files, name)
    books.notes.clear()
    books.open()
    assert len(books.notes) == 17
    assert "records wait in memory only" in books.notes[16]
    assert books.put(50) == 50
    books.wait(3)
    assert books.take_all() == books.appended[-50:]
    assert len(books.got) + books.lost == len(books.appended)  # those set aside count as lost for this version


def test_cursor_of_an_unknown_version_delivers_again():
    books = with_backlog(chunks=4)
    books.take_all()
    books.close()
    data = bytearray(books.files.read(f"{DIRECTORY}/cursor"))
    data[4] = data[512 + 4] = 9
    file = books.files.open(f"{DIRECTORY}/cursor")
    file.pwrite(bytes(data), 0)
    books.open()
    assert books.take_all() == books.appended
    assert books.losses == []


def test_files_that_are_not_ours_are_left_alone():
    books = with_backlog(chunks=4)
    books.close()
    books.files.replace(f"{DIRECTORY}/notes.txt", b"by hand")
    books.files.makedirs(f"{DIRECTORY}/folder.seg")
    books.open()
    assert books.take_all() == books.appended
    assert books.files.read(f"{DIRECTORY}/notes.txt") == b"by hand"


def test_what_was_delivered_out_of_turn_comes_only_once_also_after_a_crash():
    books = with_backlog(chunks=40, limit=16 * 1024)  # most of it is on disk only
    first, second = books.take(), books.take()
    assert first is not None
    assert second is not None
    books.buffer.arrived(second)
    books.buffer.rewind()
    books.wait(1)
    books.files.cut()
    books.open()
    there = {record[2][0] for record in second.records}
    for ack in (False, True):  # also while what is before it is on its way
        assert set(books.take_all(ack=ack)) == set(books.appended) - there
        books.buffer.rewind()
    assert books.losses == []
    assert books.buffer.records == 0


def test_cursor_is_synced_while_it_moves_and_at_rest():
    """What was delivered some seconds before a cut, or a second before a kill, does not come again."""
    for end, seconds in (("cut", 6), ("kill", 1.1)):
        books = with_backlog()
        for _ in range(5):
            books.take_all()
            books.put(50, size=200)
            books.wait(seconds)
        getattr(books.files, end)()
        books.open()
        assert books.take_all() == books.appended[-50:]


def test_a_loss_is_kept_before_the_cursor_says_that_it_was_told():
    """A cut between the two tells it twice; the other way round nobody would ever know of it."""
    books = with_backlog(chunks=20, disk=MIB)
    path = max(path for path in books.files.written if path.endswith(".seg") and books.files.written[path])
    books.files.kill()
    books.files.open(path).pwrite(b"damage", 300)
    buffer, kept = books.open(), []
    buffer._log._keep = lambda: kept.append((books.files.written[f"{DIRECTORY}/cursor"], list(books.losses)))
    before = books.files.written[f"{DIRECTORY}/cursor"]
    books.take_all(ack=False)
    buffer.commit()
    assert kept == [(before, books.losses)]
    assert books.lost > 0
    books.files.cut()
    losses = list(books.losses)
    books.open()
    books.take_all()
    assert books.losses == losses
