"""The loop: order within a turn, timers, wake-ups, signals, errors."""

import os
import signal
import threading

import pytest

from edgebit.loop import Loop
from fakes import fake_loop


@pytest.fixture
def loop():
    loop = fake_loop()
    yield loop
    loop.close()


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def test_timers_run_in_order_of_time_then_of_setting(loop):
    seen = []
    loop.call_later(2, lambda: seen.append("late"))
    loop.call_later(1, lambda: seen.append("first"))
    loop.call_later(1, lambda: seen.append("second"))

    loop.run_for(3)

    assert seen == ["first", "second", "late"]


def test_cancelled_timer_never_runs(loop):
    seen = []
    timer = loop.call_later(1, lambda: seen.append("no"))
    timer.cancel()
    timer.cancel()

    loop.run_for(2)

    assert seen == []


def test_cancelled_timers_do_not_pile_up(loop):
    """A request sets a time-out of a minute and cancels it a moment later, all day long."""
    keep = [loop.call_later(100, lambda: None) for _ in range(50)]
    for _ in range(10_000):
        loop.call_later(60, lambda: None).cancel()
    assert len(loop._timers) < 300
    seen = []
    loop.call_later(1, lambda: seen.append(1))
    loop.run_for(2)
    assert seen == [1]
    assert all(timer.call is not None for timer in keep)


def test_timer_set_by_a_timer_runs_in_a_later_turn(loop):
    turns = []

    def again():
        turns.append(loop.turns)
        if len(turns) < 3:
            loop.call_later(0, again)

    loop.call_later(0, again)
    loop.run_for(1)

    assert turns == [turns[0], turns[0] + 1, turns[0] + 2]


def test_a_timer_rearming_itself_for_now_does_not_starve_a_descriptor(loop, pipe):
    reader, writer = pipe
    read = []
    loop.watch(reader, lambda: read.append(os.read(reader, 10))).want(read=True)
    os.write(writer, b"x")

    def spin():
        loop.call_later(0, spin)

    spin()
    loop.turn()

    assert read == [b"x"]


def test_order_within_a_turn_is_timers_reads_hook_writes(loop, pipe):
    reader, writer = pipe
    seen = []
    os.write(writer, b"x")
    loop.watch(reader, lambda: seen.append("read")).want(read=True)
    loop.watch(writer, None, lambda: seen.append("write")).want(write=True)
    loop.call_later(0, lambda: seen.append("timer"))
    loop.end_of_turn = lambda: seen.append("hook")

    loop.turn()

    assert seen == ["timer", "read", "hook", "write"]


def test_watch_closed_by_an_earlier_callback_of_the_turn_is_not_called(loop):
    pairs = [os.pipe() for _ in range(2)]
    watches = []
    seen = []

    def read(i):
        seen.append(i)
        watches[1 - i].close()

    for i, (reader, writer) in enumerate(pairs):
        os.write(writer, b"x")
        watches.append(loop.watch(reader, lambda i=i: read(i)))
        watches[i].want(read=True)

    loop.turn()

    assert len(seen) == 1
    for watch in watches:
        watch.close()
    for pair in pairs:
        for fd in pair:
            os.close(fd)


def test_callback_that_raises_is_reported_with_its_owner_and_the_loop_goes_on(loop):
    errors, seen = [], []
    loop.on_error = lambda owner, error: errors.append((owner, str(error)))
    loop.call_later(1, lambda: 1 / 0, owner="plugin")
    loop.call_later(1, lambda: seen.append("next"))

    loop.run_for(2)

    assert errors == [("plugin", "division by zero")]
    assert seen == ["next"]


def test_call_from_another_thread_wakes_a_waiting_loop():
    loop = Loop()  # the real clock and selector: the thread's call must end a real wait
    thread = threading.Thread(target=lambda: loop.call_threadsafe(loop.stop))
    loop.call_later(0, thread.start)

    loop.run()

    thread.join()
    loop.close()


def test_signal_is_delivered_inside_the_loop():
    loop = Loop()
    got = []
    loop.on_signal = lambda number: (got.append(number), loop.stop())
    loop.handle_signals(signal.SIGUSR2)
    loop.call_later(0, lambda: os.kill(os.getpid(), signal.SIGUSR2))
    before = signal.getsignal(signal.SIGUSR2)

    loop.run()
    loop.close()

    assert got == [signal.SIGUSR2]
    assert signal.getsignal(signal.SIGUSR2) != before  # handlers are given back
