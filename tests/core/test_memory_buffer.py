"""The memory buffer: its limit, its policies, its sequence numbers; and a property test against a model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebit.plugin import Receipt
from edgebit.record import Chunk, Shape, records_size
from fakes.buffers import memory_buffer

LOG = Shape.of(("log",))


def batch(count, length=100, start=0):
    return [(0, LOG, (f"{start + i:0{length}d}",)) for i in range(count)]


def make(limit=64 * 1024, overflow="block", **options):
    losses = []
    buffer = memory_buffer(limit, overflow, losses, **options)
    return buffer, losses


def append(buffer, records, tag="t", receipt=None):
    return buffer.append(tag, records, records_size(records), receipt)


def numbers(buffer):
    """Everything that can be read, as (sequence, text number) pairs."""
    found = []
    while (chunk := buffer.read(flush=True)) is not None:
        found += [(chunk.seq + i, int(r[2][0])) for i, r in enumerate(chunk.records)]
    return found


def test_small_batches_grow_one_chunk_that_is_read_on_flush():
    buffer, _ = make()
    for i in range(10):
        assert append(buffer, batch(1, start=i)) == 1

    assert buffer.read() is None
    chunk = buffer.read(flush=True)
    assert (chunk.seq, chunk.count) == (1, 10)
    assert buffer.read(flush=True) is None


def test_full_chunk_is_read_without_flush():
    buffer, _ = make(chunk_size=4096)
    append(buffer, batch(100))
    chunk = buffer.read()
    assert chunk.seq == 1
    assert chunk.size <= 4096 + 400


def test_tags_keep_chunks_apart_and_sequences_go_on():
    buffer, _ = make()
    append(buffer, batch(2), "a")
    append(buffer, batch(3), "b")
    append(buffer, batch(1), "a")

    assert [(c.tag, c.seq, c.count) for c in iter(lambda: buffer.read(True), None)] == [("a", 1, 3), ("b", 4, 3)]


def test_ack_frees_and_rewind_hands_out_again():
    buffer, _ = make()
    append(buffer, batch(3), "a")
    append(buffer, batch(2), "b")
    first = buffer.read(True)
    second = buffer.read(True)
    buffer.rewind()
    assert buffer.read(True) is first
    buffer.ack(first)
    assert buffer.records == 2
    assert buffer.read(True) is second
    buffer.ack(second)
    assert (buffer.used, buffer.records, buffer.waiting) == (0, 0, False)


def test_blocking_buffer_takes_a_prefix_and_never_exceeds_its_limit():
    buffer, losses = make(32 * 1024)
    records = batch(1000)
    taken = append(buffer, records)
    assert 0 < taken < 1000
    assert buffer.used <= buffer.limit
    assert append(buffer, records[taken:]) == 0
    assert losses == []
    assert [n for _, n in numbers(buffer)] == list(range(taken))


def test_waiting_chunks_become_bytes_before_anything_blocks():
    """The records take about 230 bytes each decoded, 110 as bytes; the limit lies in between."""
    buffer, _ = make(64 * 1024)
    assert append(buffer, batch(400)) == 400
    assert buffer.used <= buffer.limit
    assert len(numbers(buffer)) == 400


def test_drop_newest_keeps_the_old_and_counts_what_came():
    buffer, losses = make(32 * 1024, "drop_newest")
    records = batch(1000)
    assert append(buffer, records) == 1000
    (loss,) = losses
    why, count, first = loss
    kept = numbers(buffer)
    assert (why, len(kept) + count) == ("buffer full", 1000)
    assert [n for _, n in kept] == list(range(len(kept)))
    assert first == len(kept) + 1


def test_drop_oldest_keeps_the_new_and_counts_what_went():
    buffer, losses = make(32 * 1024, "drop_oldest")
    for i in range(100):
        append(buffer, batch(10, start=10 * i))
    kept = numbers(buffer)
    gone = sum(count for _, count, _ in losses)
    assert [n for _, n in kept] == list(range(gone, 1000))
    assert [s for s, _ in kept] == list(range(gone + 1, 1001))
    assert buffer.used <= buffer.limit


def test_drop_oldest_spares_what_is_on_its_way():
    buffer, losses = make(32 * 1024, "drop_oldest")
    append(buffer, batch(50))
    on_its_way = buffer.read(True)
    for i in range(100):
        append(buffer, batch(10, start=50 + 10 * i))
    assert all(first > on_its_way.last_seq for _, _, first in losses)
    buffer.ack(on_its_way)
    assert numbers(buffer)[-1][1] == 1049


def test_record_larger_than_the_buffer_is_counted_and_costs_nobody_else():
    buffer, losses = make(16 * 1024, "drop_oldest")
    append(buffer, batch(10))
    assert append(buffer, batch(1, length=20_000)) == 1
    append(buffer, batch(5, start=10))
    assert losses == [("larger than the whole buffer", 1, 11)]
    assert numbers(buffer) == [(i + 1, i) for i in range(10)] + [(i + 2, i) for i in range(10, 15)]


@pytest.mark.parametrize("overflow", ["block", "drop_newest", "drop_oldest"])
def test_receipt_is_released_when_every_record_of_it_is_gone(overflow):
    buffer, _ = make(32 * 1024, overflow)
    safe = []
    receipt = Receipt(lambda: safe.append(True))
    append(buffer, batch(100), receipt=receipt)
    receipt.release()  # the pipeline's own hold
    assert not safe
    chunks = list(iter(lambda: buffer.read(True), None))
    for chunk in chunks[:-1]:
        buffer.ack(chunk)
        assert not safe
    buffer.ack(chunks[-1])
    assert safe == [True]


def test_what_is_left_at_the_end_is_lost_unless_its_input_reads_it_again():
    buffer, losses = make()
    append(buffer, batch(3), "syslog")
    append(buffer, batch(4), "tail", Receipt(lambda: None))
    assert buffer.close("the end") == 4
    assert losses == [("the end", 3, 1)]


APPEND = st.tuples(st.just("append"), st.sampled_from("ab"), st.integers(1, 60), st.integers(1, 400))
STEP = st.one_of(APPEND, st.tuples(st.sampled_from(["read", "flush", "ack", "rewind"])))


@settings(deadline=None)
@given(st.sampled_from(["block", "drop_oldest", "drop_newest"]), st.lists(STEP, max_size=60))
def test_any_history_keeps_the_promises(overflow, steps):
    """Nothing is delivered that wasn't appended, order holds within a tag, each sequence number is delivered or in the
    ledger, and the limit is kept."""
    buffer, losses = make(24 * 1024, overflow, chunk_size=2048)
    appended = {"a": 0, "b": 0}
    out, delivered, most_decoded = [], {}, 0
    for step, *args in steps:
        if step == "append":
            tag, count, length = args
            records = [(0, LOG, (f"{appended[tag] + i:0{length}d}",)) for i in range(count)]
            appended[tag] += buffer.append(tag, records, records_size(records))
        elif step in ("read", "flush"):
            chunk = buffer.read(step == "flush")
            if chunk is not None:
                out.append(chunk)
        elif step == "ack" and out:
            chunk = out.pop(0)
            delivered.update((chunk.seq + i, (chunk.tag, int(r[2][0]))) for i, r in enumerate(chunk.records))
            buffer.ack(chunk)
        elif step == "rewind":
            out.clear()
            buffer.rewind()
        # What decoded records have taken isn't given back for bytes: both at their largest are within the limit.
        decoded = sum(c.decoded_size for c in (*buffer._queue, *buffer._open.values()))
        most_decoded = max(most_decoded, decoded)
        last = buffer.chunk_size + Chunk.OVERHEAD  # the last one that became bytes
        assert buffer.used - decoded + most_decoded <= buffer.limit + last
        assert 0 <= buffer.used <= buffer.limit
    buffer.rewind()
    while (chunk := buffer.read(True)) is not None:
        delivered.update((chunk.seq + i, (chunk.tag, int(r[2][0]))) for i, r in enumerate(chunk.records))
        buffer.ack(chunk)
    lost = [n for _, count, first in losses for n in range(first, first + count)]
    assert (buffer.used, buffer.records) == (0, 0)
    assert sorted([*delivered, *lost]) == list(range(1, sum(appended.values()) + 1))
    for tag in appended:
        in_order = [n for _, (t, n) in sorted(delivered.items()) if t == tag]
        assert in_order == sorted(set(in_order))
