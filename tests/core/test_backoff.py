"""Back-off: grows to the cap, spreads over the whole range, forgets only after a stable period."""

from edgebit.backoff import Backoff
from fakes import FakeClock


def delays(random, count, clock=None):
    backoff = Backoff(1.0, 60.0, (clock or FakeClock()).monotonic, lambda: random)
    return [backoff.failed() for _ in range(count)]


def test_highest_delay_doubles_up_to_the_cap():
    assert [round(d, 3) for d in delays(1.0, 8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_reaches_down_to_a_tenth_even_at_the_cap():
    assert [round(d, 3) for d in delays(0.0, 8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6, 6]


def test_ten_thousand_failures_stay_at_the_cap():
    assert delays(1.0, 10_000)[-1] == 60.0


def test_peers_wish_is_the_least():
    backoff = Backoff(1.0, 60.0, FakeClock().monotonic, lambda: 0.5)
    assert backoff.failed(at_least=100) > 100


def test_short_success_does_not_reset():
    clock = FakeClock()
    backoff = Backoff(1.0, 60.0, clock.monotonic, lambda: 1.0)
    for _ in range(5):
        backoff.failed()
    backoff.worked()
    clock.advance(59)
    assert backoff.failed() == 32
    backoff.worked()
    clock.advance(30)
    backoff.worked()  # a stable period counts from the first success
    clock.advance(31)
    assert backoff.failed() == 1
