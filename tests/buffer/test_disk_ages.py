"""max_age counts elapsed time: a clock that is set changes nothing, a restart changes nothing, and what was written before a
reboot is as old as this boot at least."""

from __future__ import annotations

import pytest
from books import Books

from fakes.files import SimFiles

DAY = 86400 * 10**9


def aged(**settings) -> Books:
    books = Books(SimFiles(), max_age=60.0, **settings)
    books.open()
    return books


def expired(books: Books) -> int:
    return sum(count for why, count, _, _ in books.losses if why == "expired")


@pytest.mark.parametrize("step", [0, 400 * DAY, -400 * DAY], ids=["right", "ahead", "back"])
@pytest.mark.parametrize("spill", [False, True], ids=["filesystem", "hybrid"])
@pytest.mark.parametrize("restart", ["", "stop", "kill"])
def test_age_is_elapsed_time(step, spill, restart):
    """Ten old records and ten new ones, on disk when the clock is set; the first ten are over age a while later."""
    books = aged(spill=spill)
    books.put(10)
    books.wait(40)
    books.put(10)
    books.wait(10)
    books.clocks.clock.wall += step
    if restart == "stop":
        books.close()
    if restart:
        books.files.kill()
        books.open()
    books.wait(5)
    assert expired(books) == 0
    books.wait(10)
    assert books.take_all() == list(range(11, 21))
    assert expired(books) == 10
    assert books.lost == 10
    assert books.buffer.records == 0


def test_what_expires_is_dropped_without_anybody_reading():
    """In an outage nobody reads: memory is given back all the same, and on disk it is dropped when it is read."""
    books = aged()
    books.put(10)
    books.wait(70)
    assert expired(books) == 10
    assert books.buffer.used == 0
    assert books.safe == set(range(1, 11))
    assert books.take_all() == []
    assert expired(books) == 10


def test_age_over_a_reboot():
    """Nobody knows how long the machine was off: what was written before counts from the start of this boot."""
    books = aged()
    books.put(10)
    books.wait(50)
    books.close()
    books.files.kill()
    books.clocks.boot_id = b"boot-two"
    books.clocks.clock.now = 5.0  # seconds since the start
    books.open()
    books.put(10)
    books.wait(30)
    assert expired(books) == 0
    books.wait(27)  # 62 s after the start, 57 s after the new records
    assert books.take_all() == list(range(11, 21))
    assert expired(books) == 10


def test_age_over_a_reboot_with_a_backlog_that_is_read_in_time():
    books = aged()
    books.put(10)
    books.wait(50)
    books.close()
    books.clocks.boot_id = b"boot-two"
    books.clocks.clock.now = 5.0
    books.open()
    books.wait(30)
    assert books.take_all() == list(range(1, 11))
    assert books.losses == []


def test_expired_records_are_counted_once_over_a_rewind():
    books = aged(chunk_size=1024)
    for _ in range(10):
        books.put(10)
        books.wait(0.3)
    books.close()
    books.open()
    books.wait(61)
    assert books.take_all(ack=False) == []
    books.buffer.rewind()
    assert books.take_all() == []
    assert expired(books) == books.lost == 100
    assert books.buffer.records == 0


def test_no_max_age_keeps_everything():
    books = Books(SimFiles())
    books.open()
    books.put(10)
    books.wait(10**6)
    books.close()
    books.clocks.boot_id = b"boot-two"
    books.open()
    books.wait(10**6)
    assert books.take_all() == list(range(1, 11))
