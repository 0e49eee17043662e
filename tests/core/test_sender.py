"""The sender: batching, window, order, retries, splitting, draining."""

from itertools import pairwise

import pytest

from edgebit.backoff import Backoff
from edgebit.log import INFO, Log, Sink, Trouble
from edgebit.options import BadValue
from edgebit.record import Shape, records_size
from edgebit.sender import Sender, retry_limit
from edgebit.stats import Counters
from fakes import fake_loop
from fakes.buffers import memory_buffer
from fakes.output import FakeOutput

LOG = Shape.of(("log",))


class Kilobytes:
    content_type = "text/plain"

    def encode(self, chunk):
        return bytes(1000)


class Bench:
    """A sender with its buffer and a fake output; verbs for the tests."""

    def __init__(
        self,
        window=1,
        auto="",
        limit=None,
        memory=256 * 1024,
        chunk_size=4096,
        format=None,
        overflow="block",
        most_bodies=1 << 40,
    ):
        self.loop = fake_loop()
        self.lines, self.losses, self.parked, self.crashes = [], [], [], []
        self.output = FakeOutput(window, auto)
        self.buffer = memory_buffer(memory, overflow, self.losses, self.loop.clock, chunk_size=chunk_size)
        log = Log(Sink(INFO, self.lines.append, self.loop.clock.wall_ns), "output")
        self.stats = Counters()
        self.sender = Sender(
            "fake.0", self.output, format, self.buffer, flush=1.0,
            backoff=Backoff(1.0, 60.0, self.loop.clock.monotonic, lambda: 1.0), retry_limit=limit,
            call_later=self.loop.call_later, clock=self.loop.clock.monotonic,
            log=log, trouble=Trouble(log, self.loop.clock.monotonic), stats=self.stats,
            lost=lambda *loss: self.losses.append(loss[:3]), parking=self, crashed=self.crashes.append,
            most_bodies=most_bodies,
        )  # fmt: skip
        self.loop.end_of_turn = self.sender.pump
        self.sender.start()
        self.count = 0

    def park(self, chunk, why):
        self.parked.append((chunk.seq, chunk.count, why))

    def append(self, count, tag="t", pump=True):
        records = [(0, LOG, (f"{self.count + i:080d}",)) for i in range(count)]
        self.count += count
        assert self.buffer.append(tag, records, records_size(records)) == count
        if pump:
            self.sender.pump()

    def fill_chunks(self, chunks):
        """Append until so many chunks are full."""
        while len(self.buffer._queue) < chunks:
            self.append(1, pump=False)


@pytest.fixture
def bench():
    benches = []

    def make(**options):
        benches.append(Bench(**options))
        return benches[-1]

    yield make
    for each in benches:
        each.loop.close()


def test_few_records_wait_for_the_flush_interval(bench):
    b = bench(auto="delivered")
    b.append(3)
    b.loop.run_for(0.9)
    assert b.output.got == []
    b.loop.run_for(0.2)
    assert b.output.got == [("t", 1, 3)]


def test_full_chunk_goes_at_once(bench):
    b = bench(auto="delivered")
    b.fill_chunks(1)
    b.loop.turn(0)
    assert len(b.output.got) == 1


def test_batches_on_their_way_are_bounded_in_bytes(bench):
    b = bench(window=16, most_bodies=3000, format=Kilobytes())
    b.fill_chunks(8)
    b.loop.run_for(5)
    assert len(b.output.pending) == 3
    b.output.answer("delivered", which=(0,))
    b.loop.run_for(5)
    assert len(b.output.pending) == 3
    small = bench(window=16, most_bodies=300, format=Kilobytes())  # one may always go
    small.fill_chunks(3)
    small.loop.run_for(5)
    assert len(small.output.pending) == 1


def test_idle_sender_sets_no_timer(bench):
    b = bench(auto="delivered")
    b.append(1)
    b.loop.run_for(5)
    turns = b.loop.turns
    b.loop.run_for(3600)
    assert b.loop.turns - turns <= 1


def test_window_bounds_what_is_on_its_way(bench):
    b = bench(window=3)
    b.fill_chunks(8)
    b.loop.run_for(2)
    assert len(b.output.pending) == 3
    b.output.answer("delivered")
    b.loop.turn(0)
    assert len(b.output.pending) == 3
    assert len(b.output.got) == 4


def test_cursor_moves_over_the_acknowledged_prefix_only(bench):
    b = bench(window=3)
    b.fill_chunks(3)
    b.loop.run_for(2)
    before = b.buffer.records
    b.output.answer("delivered", which=(1, 2))
    assert b.buffer.records == before
    b.output.answer("delivered")
    assert b.buffer.records < before / 2


def test_everything_arrives_in_order_after_a_failure_in_the_middle(bench):
    b = bench(window=3)
    b.fill_chunks(5)
    b.loop.run_for(2)
    b.output.answer("delivered")
    b.output.answer("retry", "broken pipe", which=(0, 1, 2)[: len(b.output.pending)])
    b.loop.run_for(2)
    b.output.auto = "delivered"
    for delivery in list(b.output.pending):
        b.output.pending.remove(delivery)
        delivery.delivered()
    b.loop.run_for(5)
    first_seen = list(dict.fromkeys(b.output.sequences()))
    assert first_seen == list(range(1, b.count + 1))
    assert b.sender.empty


def test_what_was_delivered_out_of_turn_is_not_lost_when_the_buffer_drops(bench):
    b = bench(window=2, memory=32 * 1024, overflow="drop_oldest")
    b.fill_chunks(2)
    b.loop.run_for(2)
    b.output.answer("retry", "no", which=(0,))
    b.output.answer("delivered")
    for _ in range(600):  # during the back-off
        b.append(1)
    b.output.auto = "delivered"
    b.loop.run_for(100)
    arrived = [n for i, (_, seq, count) in enumerate(b.output.got) if i != 0 for n in range(seq, seq + count)]
    lost = [n for _, count, first in b.losses for n in range(first, first + count)]
    assert lost
    assert sorted(arrived + lost) == list(range(1, b.count + 1))


def test_no_new_batch_starts_while_a_failed_one_waits_for_the_others(bench):
    b = bench(window=2)
    b.fill_chunks(4)
    b.loop.run_for(2)
    b.output.answer("retry", "no", which=(0,))
    b.loop.run_for(100)
    assert len(b.output.got) == 2  # the second is still on its way, so nothing is repeated yet
    b.output.answer("delivered")
    b.loop.run_for(100)
    assert b.output.got[2] == b.output.got[0]
    assert len(b.output.got) == 3  # one shows whether it works again, before a window of them is encoded
    b.output.auto = "delivered"
    b.output.answer("delivered")
    b.loop.run_for(100)
    assert b.output.got.count(b.output.got[1]) == 1  # delivered out of turn: not sent twice
    assert sorted(set(b.output.sequences())) == list(range(1, b.count + 1))


def test_retries_for_ever_with_growing_pauses_and_two_log_lines(bench):
    b = bench()
    b.append(1)
    times = []
    for _ in range(10):
        b.loop.run_until(lambda: b.output.pending, 200)
        times.append(b.loop.clock.now)
        b.output.answer("retry", "connection refused (127.0.0.1:1883)")
    pauses = [round(b - a) for a, b in pairwise(times)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    b.loop.run_until(lambda: b.output.pending, 200)
    b.output.answer("delivered")
    assert b.losses == []
    assert len(b.lines) == 2
    assert "cannot deliver: connection refused (127.0.0.1:1883); trying again" in b.lines[0]
    assert "delivering again" in b.lines[1]


def test_peers_retry_after_is_honoured(bench):
    b = bench()
    b.append(1)
    b.loop.run_for(2)
    b.output.answer("retry", "busy", 120.0)
    b.loop.run_for(119)
    assert b.output.pending == []
    b.loop.run_for(5)
    assert len(b.output.pending) == 1


def test_retry_limit_gives_the_batch_up_and_counts_it(bench):
    b = bench(limit=2)
    b.append(5)
    for _ in range(3):
        b.loop.run_until(lambda: b.output.pending, 200)
        b.output.answer("retry", "no")
    b.loop.run_for(100)
    assert b.output.got == [("t", 1, 5)] * 3
    assert b.losses == [("retry_limit reached", 5, 1)]
    assert b.sender.empty
    b.append(1)
    b.output.auto = "delivered"
    b.loop.run_for(100)
    assert b.output.got[-1] == ("t", 6, 1)


@pytest.mark.parametrize(
    ("limit", "then"),
    [
        (None, "trying again until it works"),
        (2, "tried again 2 times, then dropped"),
        (0, "not tried again (retry_limit)"),
    ],
)
def test_the_log_says_what_becomes_of_what_cannot_be_delivered(bench, limit, then):
    b = bench(limit=limit)
    b.append(1)
    b.loop.run_until(lambda: b.output.pending, 200)
    b.output.answer("retry", "no")
    b.loop.run_for(5)
    (line,) = [line for line in b.lines if "cannot deliver: no" in line]
    assert then in line


@pytest.mark.parametrize("bad", [0, 3, 7, 12])
def test_rejected_batch_is_split_until_the_bad_record_is_alone(bench, bad):
    b = bench()
    b.append(13)
    b.loop.run_until(lambda: b.output.pending, 5)
    good = []
    for _ in range(100):
        if not b.output.pending:
            break
        chunk = b.output.pending[0].chunk
        if chunk.seq <= bad + 1 <= chunk.last_seq:
            b.output.answer("reject", "400 bad field")
        else:
            good += range(chunk.seq, chunk.seq + chunk.count)
            b.output.answer("delivered")
        b.loop.turn(0)
    assert good == [n for n in range(1, 14) if n != bad + 1]
    assert b.parked == [(bad + 1, 1, "400 bad field")]
    assert b.losses == [("rejected by the collector", 1, bad + 1)]
    assert b.sender.empty


def test_output_that_knows_the_bad_records_saves_the_search(bench):
    b = bench()
    b.append(6)
    b.loop.run_until(lambda: b.output.pending, 5)
    b.output.auto = "delivered"
    b.output.answer("reject", "bad", [1, 4])
    b.loop.run_for(1)
    assert b.output.got[1:] == [("t", 1, 1), ("t", 3, 2), ("t", 6, 1)]
    assert [seq for seq, _, _ in b.parked] == [2, 5]


def test_collector_that_rejects_everything_gets_a_few_records_a_pause_not_the_backlog(bench):
    b = bench()
    b.append(200)
    for _ in range(2000):
        if b.loop.clock.now > 1000 + 120:
            break
        if b.output.pending:
            b.output.answer("reject", "400 wrong path")
        b.loop.turn(120)
    assert 10 <= len(b.parked) <= 120
    assert len(b.lines) <= 3
    b.output.auto = "delivered"
    for delivery in list(b.output.pending):
        b.output.pending.remove(delivery)
        delivery.delivered()
    b.loop.run_for(200)
    assert b.sender.empty
    gone = {seq for seq, _, _ in b.parked}
    assert {*b.output.sequences()} >= set(range(1, 201)) - gone


def test_retry_in_the_middle_of_splitting_goes_on_where_it_was(bench):
    b = bench()
    b.append(4)
    b.loop.run_until(lambda: b.output.pending, 5)
    b.output.answer("reject", "bad")
    b.loop.turn(0)
    b.output.answer("delivered")  # 1-2
    b.loop.turn(0)
    b.output.answer("retry", "down")  # 3-4
    b.loop.run_for(5)
    assert b.output.got == [("t", 1, 4), ("t", 1, 2), ("t", 3, 2), ("t", 3, 2)]


def test_nothing_overtakes_a_batch_that_is_being_split(bench):
    b = bench(window=4)
    b.append(4)
    b.loop.run_until(lambda: b.output.pending, 5)
    b.output.answer("reject", "bad")
    b.append(2)
    b.loop.run_for(3)
    assert b.output.got == [("t", 1, 4), ("t", 1, 2)]


def test_record_that_its_format_cannot_write_is_parked_alone(bench):
    class Picky:
        content_type = "x"

        def encode(self, chunk):
            if chunk.seq <= 3 <= chunk.last_seq:
                raise OverflowError("too wide")
            return b"ok"

    b = bench(format=Picky(), auto="delivered")
    b.output.opt = type("opt", (), {"format": "picky"})
    b.append(5)
    b.loop.run_for(3)
    assert b.parked == [(3, 1, "cannot be written as picky: OverflowError: too wide")]
    assert sorted(b.output.sequences()) == [1, 2, 4, 5]


def test_output_that_sends_records_one_by_one_gets_them_so(bench):
    class Each:
        content_type = ""

        def encode(self, chunk):
            raise AssertionError("nobody wants it")

        def encode_each(self, chunk):
            return [record[2][0].encode() for record in chunk.records]

    b = bench()
    b.sender.format = Each()
    b.output.each = True
    b.append(3)
    b.loop.run_for(1.5)
    (delivery,) = b.output.pending
    assert (delivery.body, len(delivery.bodies)) == (b"", 3)


def test_output_that_raises_is_reported_and_its_records_wait(bench):
    b = bench()

    def deliver(delivery):
        raise ZeroDivisionError("oops")

    b.output.deliver, original = deliver, b.output.deliver
    b.append(2)
    b.loop.run_for(1.5)
    assert [str(e) for e in b.crashes] == ["oops"]
    b.output.deliver, b.output.auto = original, "delivered"
    b.loop.run_for(100)
    assert b.output.got == [("t", 1, 2)]


def test_closed_output_gets_nothing_and_its_deliveries_are_repeated(bench):
    b = bench()
    b.append(2)
    b.loop.run_for(2)
    b.sender.halt("unplugged")
    b.loop.run_for(100)
    assert len(b.output.got) == 1
    b.output.auto = "delivered"
    b.sender.start()
    b.loop.run_for(100)
    assert b.output.got == [("t", 1, 2), ("t", 1, 2)]


def test_late_answers_count_only_once(bench):
    b = bench()
    b.append(1)
    b.loop.run_for(2)
    delivery = b.output.pending[0]
    delivery.delivered()
    delivery.delivered()
    delivery.retry("no")
    delivery.reject("no")
    b.loop.run_for(100)
    assert b.stats.get("records") == 1
    assert b.output.got == [("t", 1, 1)]


def test_draining_sends_at_once_and_retries_quickly(bench):
    b = bench()
    b.append(1)
    b.sender.drain()
    b.loop.turn(0)
    assert len(b.output.pending) == 1
    for _ in range(6):
        b.output.answer("retry", "no")
        b.loop.run_until(lambda: b.output.pending, 1.1)
        assert b.output.pending


def test_outage_backlog_consists_of_full_chunks(bench):
    b = bench()
    b.append(1)
    b.loop.run_for(2)
    b.output.answer("retry", "down", 1000.0)
    for _ in range(200):
        b.append(1)
        b.loop.run_for(1.1)
    assert len(b.buffer._queue) < 20


def test_dropping_the_oldest_during_an_outage_goes_on(bench):
    b = bench(memory=16 * 1024, overflow="drop_oldest")
    b.append(1)
    b.loop.run_for(2)
    b.output.answer("retry", "down", 1000.0)
    for _ in range(300):
        b.append(1)
    b.output.auto = "delivered"
    b.loop.run_for(3000)
    lost = sorted(n for _, count, first in b.losses for n in range(first, first + count))
    assert lost
    assert sorted({*b.output.sequences()[1:], *lost}) == list(range(1, 302))
    assert b.sender.empty


@pytest.mark.parametrize(("text", "limit"), [(5, 5), ("3", 3), ("no_retries", 0), ("no_limits", None), (False, None),
                                             ("False", None), ("off", None)])  # fmt: skip
def test_retry_limit_spellings(text, limit):
    assert retry_limit(text) == limit


@pytest.mark.parametrize("text", [0, -1, "x", "", None, True])
def test_bad_retry_limits(text):
    with pytest.raises(BadValue):
        retry_limit(text)
