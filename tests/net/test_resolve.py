"""Name look-ups: the loop never waits for them, and their thread never gets in the way."""

from __future__ import annotations

import select
import socket
import threading

import pytest

from edgebit.net import resolve
from edgebit.net.resolve import Resolver
from fakes import FakeContext, fake_loop

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 1883))]


class Names:
    """A name server: it answers from `table`, and holds back the names in `held` until they are let go."""

    def __init__(self, **table):
        self.table, self.asked = table, []
        self.held: dict[str, threading.Event] = {}

    def look_up(self, host, port, **_):
        self.asked.append(host)
        if host in self.held:
            assert self.held[host].wait(10)
        found = self.table.get(host)
        if isinstance(found, Exception):
            raise found
        if not found:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return found


@pytest.fixture
def names():
    names = Names()
    yield names
    for event in names.held.values():
        event.set()  # let the threads go


@pytest.fixture
def loop():
    loop = fake_loop()
    yield loop
    loop.close()


def asker(resolver, host="broker", port=1883):
    answers = []
    resolver.resolve(host, port, lambda found, why: answers.append((found, why)))
    assert answers == []  # never at once
    return answers


def wait(loop, *answers):
    """Real threads: turn until all have their answer, without letting the fake clock run."""
    for _ in range(1000):
        if all(answers):
            return
        select.select([loop.selector], [], [], 0.01)
        loop.turn(longest=0)
    raise AssertionError("no answer")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_numeric_address_is_answered_in_the_next_turn_without_a_thread(loop, host):
    before = threading.active_count()
    answers = asker(Resolver(loop), host)
    loop.turn(longest=0)
    assert answers[0][0][0][4][:2] == (host, 1883)
    assert answers[0][1] == ""
    assert threading.active_count() == before


def test_a_name_is_looked_up_in_the_thread(loop, names):
    names.table["broker"] = FOUND
    answers = asker(Resolver(loop, look_up=names.look_up))
    wait(loop, answers)
    assert answers == [(FOUND, "")]


def test_a_real_look_up_of_localhost(loop):
    answers = asker(Resolver(loop), "localhost")
    wait(loop, answers)
    assert answers[0][1] == ""
    assert answers[0][0][0][4][0] in ("127.0.0.1", "::1")


def test_a_failure_comes_in_the_systems_words(loop, names):
    answers = asker(Resolver(loop, look_up=names.look_up))
    wait(loop, answers)
    assert answers == [([], "temporary failure in name resolution")]


def test_what_is_no_host_name_at_all_gets_an_answer(loop):
    answers = asker(Resolver(loop), "a" * 70 + ".example")
    wait(loop, answers)
    assert answers == [([], "that is not a host name")]


def test_a_look_up_that_breaks_in_another_way_gets_an_answer_and_the_thread_lives_on(loop, names):
    names.table.update(odd=ValueError("odd"), broker=FOUND)
    resolver = Resolver(loop, look_up=names.look_up)
    odd, broker = asker(resolver, "odd"), asker(resolver)
    wait(loop, odd, broker)
    assert odd == [([], "odd")]
    assert broker == [(FOUND, "")]


def test_equal_requests_share_one_look_up(loop, names):
    names.table["broker"] = FOUND
    names.held["broker"] = threading.Event()
    resolver = Resolver(loop, look_up=names.look_up)
    first, second, other_port = asker(resolver), asker(resolver), asker(resolver, port=8883)
    names.held["broker"].set()
    wait(loop, first, second, other_port)
    assert first == second == [(FOUND, "")]
    assert names.asked == ["broker", "broker"]  # one for each port


def test_a_stuck_look_up_is_answered_at_the_time_out_and_so_are_those_behind_it(loop, names):
    names.held["broker"] = threading.Event()
    resolver = Resolver(loop, look_up=names.look_up)
    stuck, behind = asker(resolver), asker(resolver, "other")
    loop.run_for(9.9)
    assert stuck == behind == []
    loop.run_for(0.2)
    assert stuck == behind == [([], "no answer within 10 s")]
    names.table["broker"] = FOUND
    names.held["broker"].set()
    later = asker(resolver)
    wait(loop, later)
    assert later == [(FOUND, "")]
    assert stuck == [([], "no answer within 10 s")]  # the late answer is not told a second time
    assert "other" not in names.asked  # nobody waited for it any more


def test_the_last_good_address_is_used_when_the_name_server_is_away(names):
    ctx = FakeContext()
    names.table["broker"] = FOUND
    resolver = Resolver(ctx.loop, ctx.log, look_up=names.look_up)
    first = asker(resolver)
    wait(ctx.loop, first)
    del names.table["broker"]
    failed = asker(resolver)
    wait(ctx.loop, failed)
    assert failed == [(FOUND, "")]
    assert "using its last known address" in ctx.lines[-1]
    assert "debug" in ctx.lines[-1]
    names.held["broker"] = threading.Event()
    timed_out = asker(resolver)
    ctx.loop.run_for(11)
    assert timed_out == [(FOUND, "")]
    ctx.loop.close()


def test_the_cache_is_bounded_and_forgets_the_oldest(loop, names, monkeypatch):
    monkeypatch.setattr(resolve, "MAX_CACHED", 2)
    resolver = Resolver(loop, look_up=names.look_up)
    for host in ("a", "b", "c"):
        names.table[host] = FOUND
        wait(loop, asker(resolver, host))
    names.table.clear()
    a, b, c = asker(resolver, "a"), asker(resolver, "b"), asker(resolver, "c")
    wait(loop, a, b, c)
    assert [bool(answer[0][0]) for answer in (a, b, c)] == [False, True, True]


def test_too_many_requests_are_refused_not_queued(loop, names, monkeypatch):
    monkeypatch.setattr(resolve, "MAX_REQUESTS", 2)
    names.held["broker"] = threading.Event()
    resolver = Resolver(loop, look_up=names.look_up)
    first, second, third = asker(resolver), asker(resolver), asker(resolver)
    loop.turn(longest=0)
    assert third == [([], "too many look-ups are waiting")]
    loop.run_for(11)
    assert first == second == [([], "no answer within 10 s")]
    fourth = asker(resolver)  # there is room again
    loop.run_for(11)
    assert fourth == [([], "no answer within 10 s")]


def test_after_a_minute_on_one_name_another_thread_takes_over(names):
    ctx = FakeContext()
    names.held["broker"] = threading.Event()
    names.table["other"] = FOUND
    resolver = Resolver(ctx.loop, ctx.log, look_up=names.look_up)
    stuck = asker(resolver)
    while names.asked != ["broker"]:  # the thread has taken it
        pass
    ctx.loop.run_for(resolve.STUCK + 1)
    assert stuck == [([], "no answer within 10 s")]
    other = asker(resolver, "other")
    wait(ctx.loop, other)
    assert other == [(FOUND, "")]
    assert "does not come back" in "".join(ctx.lines)
    ctx.loop.close()


def test_what_one_asker_raises_does_not_take_the_answer_from_another(loop, names):
    names.table["broker"] = FOUND
    names.held["broker"] = threading.Event()
    errors = []
    loop.on_error = lambda owner, error: errors.append((owner, str(error)))
    resolver = Resolver(loop, look_up=names.look_up)

    def broken(found, why):
        raise RuntimeError("bug")

    resolver.resolve("broker", 1883, broken, "plugin")
    good = asker(resolver)
    names.held["broker"].set()
    wait(loop, good)
    assert errors == [("plugin", "bug")]
