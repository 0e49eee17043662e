"""ENOSPC and EIO at every operation, and a file system that is really full: what was accepted is kept, the agent goes on,
one log line when it starts, one when it ends."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest
from books import Books

from edgebit.buffer.files import Files
from fakes.files import SimFile, SimFiles

SEGMENT = 4096
DISK = 5 * SEGMENT
LIMIT = 24 * 1024


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch):
    monkeypatch.setattr("edgebit.buffer.opening.segment_size", lambda limit: SEGMENT)


def story(files, fault_from=None, fault_for=1, error=0, **settings) -> Books:
    """Records come, are read and acknowledged in part, time passes; then the disk has long been well again, and everything
    is delivered. The fault hits each operation from the number `fault_from` on, `fault_for` of them."""
    books = Books(files, disk=DISK, limit=LIMIT, **settings)
    books.open()
    if fault_from is not None:
        first = files.op + fault_from
        files.fail_at = lambda op, step, path: error if first <= op < first + fault_for else None
    for i in range(12):
        assert books.put(6, size=40) == 6
        books.wait(0.3)
        if i % 3 == 2:
            chunk = books.take()
            if chunk is not None:
                books.buffer.ack(chunk)
    files.fail_at = {}
    books.wait(30)
    for _ in range(5):  # reading rests for a second after a fault
        books.take_all()
        books.wait(2)
    return books


def operations(**settings) -> int:
    """How many operations with files the story takes after the start."""
    files = SimFiles()
    books = Books(files, disk=DISK, limit=LIMIT, **settings)
    books.open()
    start = files.op
    files = SimFiles()
    return story(files, **settings).files.op - start


HOW = [{"sync": 0}, {"sync": 1.0}, {"sync": None}, {"spill": True, "spill_after": 0.5, "sync": 1.0}]
how = pytest.mark.parametrize("settings", HOW, ids=["always", "1s", "never", "hybrid"])


def judge(books: Books) -> None:
    assert books.losses == []
    assert books.got == set(books.appended)
    assert books.safe == set(books.appended)
    assert books.buffer.records == 0


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@how
def test_one_fault_at_every_operation(settings, error):
    last = operations(**settings)
    faulty = 0
    for at in range(1, last + 1):
        books = story(SimFiles(seed=at), at, 1, error, **settings)
        judge(books)
        faulty += bool(books.notes)
        begun = [line for line in books.notes if "keeping records in memory and trying again" in line]
        ended = [line for line in books.notes if "the disk works again" in line]
        assert len(begun) == len(ended) <= 1, f"a fault at operation {at}: {books.notes}"
        assert len(books.notes) <= 2, books.notes
    assert faulty > last // 4, "the faults were hardly noticed"


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@how
def test_a_disk_that_fails_for_long_from_every_operation_on(settings, error):
    for at in range(1, operations(**settings) + 1, 3):
        books = story(SimFiles(seed=at), at, 10**6, error, **settings)
        judge(books)
        assert len(books.notes) <= 2, books.notes
        if books.notes:
            assert "trying again" in books.notes[0]
            assert "the disk works again" in books.notes[1]


def test_disk_fails_for_good_and_memory_is_full():
    """Then, and only then, inputs have to wait; what was taken is still delivered from memory."""
    files = SimFiles()
    books = Books(files, disk=DISK, limit=LIMIT)
    books.open()
    books.put(20)
    books.wait(2)
    files.fail_at = lambda op, step, path: errno.EIO if step in ("pwrite", "sync") else None
    taken = 0
    while (n := books.put(20, size=60)) == 20:
        taken += n
        books.wait(0.5)
        assert books.buffer.used <= LIMIT
    assert taken > 40
    assert books.take_all() == books.appended
    assert books.losses == []
    assert len([line for line in books.notes if "warn" in line]) == 1, books.notes


def test_file_system_full_at_the_start_takes_what_there_is():
    files = SimFiles(capacity=3 * SEGMENT)
    books = Books(files, disk=DISK, limit=LIMIT)
    books.open()
    assert any("could be reserved: No space left on device" in note for note in books.notes)
    books.put(30)
    books.close()
    books.open()
    assert books.take_all() == books.appended


def write_for_ever(file, data: bytes) -> None:
    while file.write(data):
        pass


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system of its own")
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_on_a_really_full_file_system_a_buffer_goes_on(tmp_path, kind):
    """Another program fills it to the last byte; records are taken, synced, delivered, and found again after a restart."""
    where = tmp_path / "small"
    where.mkdir()
    if kind == "ext4":
        image = tmp_path / "image"
        image.write_bytes(bytes(8 << 20))
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", image], check=True)
        mount = ["mount", "-o", "loop", image, where]
    else:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip(f"{kind} can't be mounted here")
    try:
        books = Books(Files(), str(where / "buffers/a"), disk=DISK, limit=LIMIT, overflow="drop_oldest", sync=0)
        books.open()
        with open(where / "filler", "wb", buffering=0) as filler:
            for size in (65536, 1):  # the last byte, too
                with pytest.raises(OSError, match="No space left on device"):  # noqa: PT012 - it is the loop that must end so
                    while filler.write(bytes(size)):
                        pass
        for _ in range(40):  # several times around the segments
            books.put(20, size=60)
            books.wait(0.1)
            if chunk := books.take():
                books.buffer.ack(chunk)
        assert not [note for note in books.notes if "disk" in note], books.notes
        books.close()
        books.open()
        books.take_all()
        assert len(books.got) + books.lost == len(books.appended) == 800
        assert not any("damaged" in loss[0] for loss in books.losses)
        assert books.notes == []
        books.close()
    finally:
        subprocess.run(["umount", where], check=True)


def test_directory_that_can_not_be_made_is_an_error_at_the_start():
    files = SimFiles()
    files.readonly = True
    with pytest.raises(OSError, match="Read-only file system"):
        Books(files).open()


def test_directory_becomes_read_only_and_heals():
    files = SimFiles()
    books = Books(files, disk=DISK, limit=LIMIT)
    books.open()
    books.put(5)
    books.wait(2)
    files.readonly = True
    books.put(5)
    books.wait(10)
    assert len(books.notes) == 1
    assert "Read-only file system" in books.notes[0]
    assert books.safe == set(range(1, 6))
    files.readonly = False
    books.wait(3)
    assert len(books.notes) == 2
    assert books.safe == set(range(1, 11))
    files.kill()
    books.open()
    assert books.take_all() == list(range(1, 11))
    assert books.losses == []


@pytest.mark.parametrize("clean", [True, False], ids=["stop", "kill"])
@pytest.mark.parametrize("delivered", [True, False], ids=["free", "backlog"])
def test_a_bad_sector_is_damage_and_no_reason_not_to_start(delivered, clean, monkeypatch):
    """Reading it fails, for ever: what it is in is missed, and all other segments are delivered."""
    for name, size in (("_PIECE", 256), ("_BLOCK", 512), ("_SEARCH", 1024)):
        monkeypatch.setattr(f"edgebit.buffer.segment.{name}", size)
    pread, bad = SimFile.pread, ("", 0)

    def fail(self, length, at):
        if self.path.endswith(bad[0] or "?") and at < bad[1] + 256 and bad[1] < at + length:
            raise OSError(errno.EIO, "Input/output error")
        return pread(self, length, at)

    monkeypatch.setattr(SimFile, "pread", fail)
    missed = 0
    for number in range(5):
        for sector in range(256, SEGMENT, 256):
            bad = ("", 0)
            books = Books(SimFiles(), disk=DISK, limit=LIMIT, sync=0)
            books.open()
            for _ in range(12):
                books.put(6, size=40)
                books.wait(1)
            if delivered:
                books.take_all()
                books.wait(10)
            if clean:
                books.close()
            books.files.kill()
            bad = (f"{number:06}.seg", sector)
            books.open()
            assert books.put(6, size=40) == 6
            for _ in range(8):  # reading rests for a second after a fault
                books.take_all()
                books.wait(2)
            assert books.got >= set(books.appended[-6:]), bad
            lost = set(books.appended) - books.got
            assert len(lost) <= SEGMENT // 100
            assert books.lost >= len(lost) if clean else books.lost <= len(lost)
            missed += bool(lost)
            if lost:
                assert any("can't be read in places" in line for line in books.notes) or books.losses
    assert (missed > 5) is not delivered
