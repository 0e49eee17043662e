"""Buffers on disk under crashes: power cuts and kills at any operation, again and again, and what was promised holds.

`EDGEBIT_CRASHES=100000 pytest -o faulthandler_timeout=0` makes that many; the default is two thousand, and those of the one
story. A failing case is printed as the calls that lead to it.
"""

from __future__ import annotations

import errno
import os

import pytest
from books import Books
from crash import DIRECTORY, Device, Life
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edgebit.buffer.disk import DiskBuffer
from edgebit.buffer.reader import Found, Reader
from edgebit.buffer.segment import Segment
from fakes.files import SimFile, SimFiles

CRASHES = int(os.environ.get("EDGEBIT_CRASHES", "2000"))
SEGMENT = 4096


@pytest.fixture(scope="module", autouse=True)
def _small_segments():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgebit.buffer.opening.segment_size", lambda limit: SEGMENT)
        yield


# -- any story -------------------------------------------------------------------------------------------------------

steps = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 40), st.sampled_from("ab"), st.sampled_from([5, 60, 400])),
    st.tuples(st.just("put"), st.integers(20, 60), st.sampled_from("aab"), st.sampled_from([60, 150])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.3, 1.2, 7.0])),
    st.tuples(st.just("read")),
    st.tuples(st.just("ack"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["rewind", "arrive_and_rewind", "drain"])),
)
faults = st.one_of(
    st.tuples(st.just("fail"), st.sampled_from([errno.EIO, errno.ENOSPC]), st.sampled_from(["pwrite", "sync"])),
    st.tuples(st.just("mend")),
)
ends = st.sampled_from(["cut", "cut", "kill", "stop"])
after = st.one_of(st.none(), st.integers(0, 90))
how = st.fixed_dictionaries({
    "spill": st.booleans(),
    "sync": st.sampled_from([0, 1.0]),
    "overflow": st.sampled_from(["block", "drop_oldest", "drop_newest"]),
})  # fmt: skip


def story(some_steps, lives):
    return st.lists(st.tuples(st.lists(some_steps, max_size=15), ends, after), min_size=1, max_size=lives)


def many(crashes):
    """Settings of a property test with about so many crashes."""
    return settings(max_examples=max(1, crashes // 2), deadline=None, suppress_health_check=list(HealthCheck),
                    report_multiple_bugs=False,
                    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink))  # fmt: skip


def tell(device: Device, lives: list[Life]) -> None:
    for life in lives:
        device.live(*life)
    device.finish()


@pytest.mark.slow  # thousands of crashes; each takes milliseconds
@many(CRASHES)
@given(seed=st.integers(0, 2**32), how=how, lives=story(steps, 6))
def test_nothing_promised_is_broken_by_cuts_and_kills(seed, how, lives):
    tell(Device(seed, **how), lives)


@pytest.mark.slow  # the same
@many(CRASHES // 4)
@given(seed=st.integers(0, 2**32), how=how, lives=story(st.one_of(steps, steps, steps, faults), 6))
def test_nothing_promised_is_broken_by_cuts_and_kills_of_a_disk_that_fails_at_times(seed, how, lives):
    tell(Device(seed, **how), lives)


@pytest.mark.slow  # the same
@many(CRASHES // 4)
@given(seed=st.integers(0, 2**32), spill=st.booleans(), lives=story(steps, 6))
def test_without_sync_a_kill_breaks_nothing(seed, spill, lives):
    killed: list[Life] = [(some, end if (end, at) == ("stop", None) else "kill", at) for some, end, at in lives]
    tell(Device(seed, spill=spill, sync=None), killed)


# -- one story, cut at each of its operations ------------------------------------------------------------------------

BEFORE: Life = ([("put", 30, "a", 60), ("put", 10, "b", 60), ("wait", 8.0), ("read",), ("ack", 1)], "kill", None)
STORY: list[tuple] = [
    *[("put", 12, "ab"[i % 2], 60) for i in range(6)],
    ("wait", 8.0), ("read",), ("read",), ("ack", 1), ("put", 40, "a", 150), ("wait", 1.5), ("rewind",), ("read",),
    ("read",), ("arrive_and_rewind",), ("read",),
    ("ack", 1), ("put", 60, "b", 100), ("wait", 8.0), ("drain",), ("put", 5, "a", 20), ("wait", 8.0), ("put", 5, "a", 20),
]  # fmt: skip


@pytest.mark.slow  # a few hundred stories a case
@pytest.mark.parametrize("end", ["cut", "kill"])
@pytest.mark.parametrize("spill", [False, True], ids=["filesystem", "hybrid"])
@pytest.mark.parametrize("overflow", ["block", "drop_oldest"])
def test_cut_after_every_single_operation(overflow, spill, end):
    at, complete = 0, False
    while not complete:
        device = Device(seed=at, overflow=overflow, spill=spill)
        device.live(*BEFORE)
        complete = device.live(STORY, end, at)
        device.finish()
        at += 1
    assert at > 60


def test_what_a_failed_sync_left_in_the_cache_only_is_written_again_by_the_next_process():
    """Its pages count as clean: the process is killed, the next one finds them, and a sync alone would not save them."""
    saved = 0
    for seed in range(30):
        device = Device(seed, sync=1.0)
        device.live([("put", 20, "a", 60), ("wait", 0.3), ("fail", errno.EIO, "sync"), ("wait", 0.8)], "kill")
        device.live([], "cut")
        saved += len(device.witness.safe) > 0  # the second life has told the source so
        device.finish()
    assert saved > 5


def test_a_torn_write_makes_no_wiped_chunk_whole_again():
    """All chunks begin with the same bytes: of the new one only those are on the medium, and behind them the old one."""
    first, second = (
        [("put", 28, "a", 60)],
        [("put", 41, "a", 150), ("put", 13, "a", 60), ("read",), ("put", 49, "a", 60)],
    )
    device = Device(2814, spill=False, sync=0, overflow="block")
    tell(device, [(first, "kill", None), (second, "cut", 76), ([("put", 26, "a", 150)], "cut", None)])


def test_a_torn_write_makes_no_chunk_whole_that_lacked_its_first_bytes():
    """Nobody sees that one, and so nobody wipes it: it was not synced, and all but those bytes is on the medium."""
    device = Device(1024, spill=False, sync=0, overflow="drop_oldest")
    tell(device, [([("put", 49, "a", 60)] * 4, "cut", None), ([("put", 20, "a", 60)], "cut", None)])


def test_what_is_left_of_a_segment_whose_start_was_never_on_the_medium_is_not_found_later():
    """Chunks of a use that was lost, behind the start of an older use; in the next life that start is lost, too."""
    device = Device(15191882, spill=False, sync=0, overflow="drop_oldest")
    begin = [("put", 2, "a", 5), ("wait", 0.0), ("put", 1, "a", 5), ("put", 7, "b", 60), ("put", 33, "a", 150)]
    full = [("put", 5, "a", 60), ("put", 33, "a", 150), ("read",), ("put", 51, "a", 150), ("put", 24, "a", 5)]
    tell(device, [
        ([*begin, ("put", 53, "a", 150), ("put", 24, "a", 5)], "cut", None),
        ([("put", 1, "a", 5), ("put", 1, "a", 5), *full], "cut", None),
        ([("put", 6, "a", 5), ("put", 35, "a", 150), ("put", 24, "a", 60), ("put", 37, "a", 60)], "cut", None),
    ])  # fmt: skip


@pytest.mark.parametrize("sync", [None, 0, 1.0])
def test_a_batch_whose_end_was_delivered_out_of_turn_keeps_its_start(sync):
    """Its start is on disk only and its end was in memory only: it is never written."""
    device = Device(0, spill=True, sync=sync)
    steps = [("put", 4, "a", 400), ("read",), ("read",), ("put", 20, "a", 60), ("put", 46, "a", 60)]
    device.live([*steps, ("arrive_and_rewind",)], "kill")
    device.finish()
    device = Device(0, spill=True, sync=sync)
    device.live([*steps, ("arrive_and_rewind",), ("wait", 7.0)], "kill")
    assert 1 in device.witness.safe
    device.finish()


def test_a_batch_whose_end_was_delivered_out_of_turn_with_its_segment_keeps_its_start():
    device = Device(0, spill=True, sync=None)
    steps = [("put", 11, "a", 400), ("put", 20, "a", 150), ("read",), ("put", 42, "a", 150), ("read",)]
    device.live([*steps, ("arrive_and_rewind",), ("wait", 0.0)], "kill")
    device.finish()


def test_a_batch_whose_end_was_delivered_out_of_turn_is_not_ended_by_the_start_of_another():
    device = Device(0, spill=True, sync=None)
    steps = [
        ("put", 4, "a", 400),
        ("read",),
        ("put", 14, "a", 5),
        ("put", 41, "a", 150),
        ("put", 14, "a", 400),
        ("read",),
    ]
    device.live([*steps, ("arrive_and_rewind",), ("put", 7, "a", 400)], "kill")
    device.finish()


@pytest.mark.parametrize("spill", [False, True], ids=["filesystem", "hybrid"])
@pytest.mark.parametrize("fault", [("fail", errno.EIO, "pwrite"), ("wait", 7.0)], ids=["disk fails", "disk full"])
def test_a_batch_whose_end_was_dropped_keeps_its_start(fault, spill):
    """It is larger than the whole memory, so it isn't taken whole or not at all."""
    device = Device(0, spill=spill, sync=0, overflow="drop_newest")
    device.live([("put", 6, "a", 400), fault, ("put", 120, "b", 400), ("mend",), ("wait", 7.0)], "kill")
    lost = len(device.witness.lost)
    assert 0 < lost < 120
    device.finish()
    # Where the disk was full, it couldn't be ended, and so its source was not told that it is safe.
    assert len(device.witness.arrived) >= 126 - lost or 7 not in device.witness.safe


def test_a_batch_whose_end_was_dropped_with_its_segment_keeps_its_start_over_several_starts():
    """Behind the dropped segment nothing is left: only the cursor knows that there was something."""
    device = Device(0, spill=True, sync=0, overflow="drop_oldest")
    steps = [("put", 45, "a", 150), ("put", 20, "b", 150), ("put", 37, "b", 400), ("read",), ("put", 13, "b", 400)]
    tell(device, [(steps, "cut", None), ([], "cut", None), ([], "cut", None)])


def test_what_is_left_of_a_dropped_segment_is_not_taken_for_the_newest_one():
    """Its use is higher than that of the segment that is written to after the next start."""
    device = Device(0, spill=False, sync=0, overflow="drop_oldest")
    full = [("put", 2, "a", 400), ("put", 19, "a", 60), ("read",), ("put", 19, "a", 60), ("put", 37, "b", 400)]
    lives: list[Life] = [([("put", 20, "a", 150)] * 2, "kill", None), (full, "cut", None)]
    for life in (*lives, ([("put", 7, "a", 60)], "cut", None)):
        device.live(*life)
    reader = Reader(device.sim, DIRECTORY)  # of a dead device
    found = sum(item.header.count for item in reader.items() if isinstance(item, Found))
    device.live([])
    assert device.buffer.records == found > 40
    device.finish()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_delivered_out_of_turn_at_the_end_of_the_log_is_neither_missed_nor_read_again(end):
    """The cursor is behind it; its segment is free, and what it says about the source still holds."""
    device = Device(0, spill=False, sync=None)
    device.live([("put", 3, "b", 400), ("put", 20, "a", 150)], "kill")
    device.live([("read",), ("read",), ("arrive_and_rewind",), ("drain",), ("wait", 7.0)], end)
    device.live([])
    assert device.buffer.recovered("a") == (23, 0)
    device.finish()


def test_after_a_failed_sync_no_position_counts_as_stored_before_its_records_do():
    """What is written first has the positions of all sources with it."""
    batch = [("put", 1, "a", 5), ("put", 1, "b", 5), ("put", 34, "a", 400), ("put", 5, "b", 60)]
    for spill in (False, True):
        at, complete = 0, False
        while not complete:
            device = Device(at, spill=spill, sync=0)
            device.live([("put", 1, "a", 5), ("put", 1, "b", 5)])
            complete = device.live(
                [*batch[:2], ("fail", errno.EIO, "sync"), *batch[2:], ("mend",), ("wait", 1.2)], "cut", at
            )
            device.finish()
            at += 1


def test_a_batch_that_found_a_full_buffer_is_lost_and_no_other():
    whole = 0
    for count in range(5, 25):
        device = Device(0, spill=True, sync=0, overflow="drop_newest", disk=2 * SEGMENT)
        device.live([("put", count, "b", 400)] * 20, "kill")
        lost = len(device.witness.lost)
        assert lost > 0
        whole += lost % count == 0
        device.finish()
    assert whole > 10


def test_what_a_failed_sync_has_left_on_disk_does_not_come_again_when_it_was_delivered_from_memory():
    device = Device(1, spill=False, sync=0)
    device.live([("put", 1, "a", 5), ("put", 20, "a", 60), ("fail", errno.EIO, "sync"), ("wait", 0.0), ("drain",)])
    device.finish()


@pytest.mark.parametrize("first", [20, 3400], ids=["behind another", "first of a segment"])
def test_whatever_first_bytes_a_chunk_lacks(first):
    """The same for each number of bytes up to the stream, which is another one after each cut."""
    for lacking in range(1, 30):
        books = Books(SimFiles(), disk=5 * SEGMENT, limit=24 * 1024, sync=0, spill=False)
        books.open()
        books.put(size=first)
        books.wait(1)
        before = contents(books)
        books.put(size=700)
        books.wait(1)
        name, at = changed(before, contents(books))
        written = contents(books)
        data = written[name][:at] + bytes(lacking) + written[name][at + lacking :]
        cut(books, before | {name: data, "cursor": written["cursor"]})
        books.open()
        before = contents(books)
        books.put(size=700)
        books.wait(1)
        assert changed(before, contents(books)) == (name, at)
        torn = contents(books)[name][: at + lacking] + before[name][at + lacking :]
        cut(books, before | {name: torn})
        books.open()
        assert books.take_all() == [1], f"{lacking} bytes"
        assert not books.losses


def contents(books: Books) -> dict[str, bytes]:
    return {name: books.files.read(f"{books.directory}/{name}") for name in books.files.listdir(books.directory)}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> tuple[str, int]:
    """The segment that was written, and where that begins."""
    for name in before:
        if name.endswith(".seg") and before[name] != after[name]:
            return name, next(i for i in range(SEGMENT) if before[name][i] != after[name][i]) // 8 * 8
    raise AssertionError("nothing was written")


def cut(books: Books, left: dict[str, bytes]) -> None:
    """The power goes, and this is on the medium."""
    books.files.cut()
    for name, data in left.items():
        file = books.files.open(f"{books.directory}/{name}")
        file.pwrite(data, 0)
        file.sync()


def test_kill_at_every_operation_of_a_buffer_that_is_never_synced():
    """Also in the middle of a write of its cursor: the slot before is still true, its segment isn't used again."""
    at, complete = 0, False
    while not complete:
        device = Device(0, spill=False, sync=None)
        device.live([("put", 1, "a", 60), ("put", 34, "a", 400)], "kill")
        story: list[tuple] = [("put", 27, "a", 60), ("drain",), ("put", 10, "a", 400)]
        complete = device.live(story, "kill", at)
        device.finish()
        at += 1
    assert at > 60


def test_what_is_safe_on_disk_is_no_loss_when_a_later_sync_fails():
    """Memory is full and nothing can be written any more: what a full segment's sync has saved leaves memory only."""
    device = Device(0, spill=False, sync=0, overflow="drop_oldest")
    put = ("put", 20, "a", 60)
    device.live(
        [put, put, put, ("fail", errno.EIO, "pwrite"), put, ("fail", errno.EIO, "sync"), ("put", 56, "a", 150)], "cut"
    )
    assert not device.witness.lost
    device.finish()


# -- the witness is awake --------------------------------------------------------------------------------------------


def sync_does_nothing(patch):
    patch.setattr(SimFile, "sync", lambda self: None)


def checksums_are_not_looked_at(patch):
    patch.setattr(
        Segment, "payload", lambda self, at, header: self.file.pread(header.payload_length, at + header.payload_at)
    )


def receipts_come_back_before_the_sync(patch):
    write = DiskBuffer._write
    patch.setattr(DiskBuffer, "_write", lambda self, chunk: write(self, chunk) and (chunk.release() or True))


def acknowledged_is_what_was_read(patch):
    read = DiskBuffer.read

    def read_and_ack(self, flush=False):
        chunk = read(self, flush)
        if chunk is not None:
            self.ack(chunk)
        return chunk

    patch.setattr(DiskBuffer, "read", read_and_ack)


def stream_is_always_the_same(patch):
    patch.setattr(Device, "new_stream_id", lambda self: "11" * 8)


SABOTAGE = (sync_does_nothing, checksums_are_not_looked_at, receipts_come_back_before_the_sync,
            acknowledged_is_what_was_read, stream_is_always_the_same)  # fmt: skip


def tell_many():
    steps = [
        ("put", 30, "a", 60),
        ("wait", 0.3),
        ("read",),
        ("put", 30, "a", 60),
        ("wait", 1.5),
        ("rewind",),
        ("read",),
    ]
    for seed in range(100):
        tell(Device(seed), [(steps, "cut", 30 + seed % 40), (steps, "cut", None)])


def test_a_buffer_that_keeps_its_promises_is_not_accused():
    tell_many()


@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_a_buffer_that_breaks_a_promise_is_caught(sabotage, monkeypatch):
    sabotage(monkeypatch)
    with pytest.raises((AssertionError, ValueError)) as caught:
        tell_many()
    assert "device.live(" in "".join(caught.value.__notes__)
