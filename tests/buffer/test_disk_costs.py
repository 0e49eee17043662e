"""What a buffer on disk may cost the card: syncs are shared by what is written together."""

from __future__ import annotations

import pytest
from books import Books

from fakes.files import SimFiles


@pytest.mark.parametrize("overflow", ["block", "drop_oldest"])
def test_memory_that_is_short_costs_no_sync_for_each_chunk(overflow):
    """A hybrid buffer whose collector is away writes all that comes; 200 batches, one sync for many of them."""
    books = Books(SimFiles(), disk=1 << 20, limit=64 * 1024, spill=True, overflow=overflow)
    buffer = books.open()
    for _ in range(200):
        assert books.put(10, size=100) == 10
        buffer.commit()
    log = buffer._log
    assert log.payload_written > 150_000
    assert log.syncs < 30
    assert books.take_all() == books.appended
