from __future__ import annotations

import os
import pty
import socket
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgebit.net.writing import SlowWriter, own_description
from edgebit.options import Options
from edgebit.outputs.stdout import Stdout
from fakes import FakeContext
from fakes.delivery import FakeDelivery

LINES = b"".join(b"line %d of many\n" % n for n in range(20_000))  # several times what a pipe holds


class Ends:
    """Both ends of what stands in for standard output, and the output on it."""

    def __init__(self, ctx: FakeContext, read_end: int, write_end: int) -> None:
        self.ctx, self.read_end, self.write_end = ctx, read_end, write_end
        self.open = [read_end, write_end]
        self.outs: list[Stdout] = []

    def out(self) -> Stdout:
        out = Stdout(Options({"format": "text"}), self.ctx)
        out.fd = self.write_end
        out.open()
        self.outs.append(out)
        return out

    def close(self, fd: int) -> None:
        self.open.remove(fd)
        os.close(fd)

    def turn(self, times: int = 20) -> None:
        for _ in range(times):
            self.ctx.loop.turn(longest=0)

    def read(self, size: int, done: Callable[[], object]) -> bytes:
        """Read little by little, as a slow reader does, until so many bytes have come and `done` holds.

        A terminal hands on what is written to it in its own time, so it may be written before it can be read.
        """
        found = bytearray()
        watch = self.ctx.watch(self.read_end, on_read=lambda: found.extend(os.read(self.read_end, 10_000)))
        watch.want(read=True)
        while not (done() and len(found) >= size):
            self.ctx.loop.turn()
        self.turn()
        watch.close()
        return bytes(found)


@pytest.fixture
def ctx() -> Iterator[FakeContext]:
    ctx = FakeContext()
    yield ctx
    ctx.loop.close()


def a_pipe() -> tuple[int, int]:
    return os.pipe()


def a_terminal() -> tuple[int, int]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    return master, slave


def a_socket() -> tuple[int, int]:
    """Standard output under systemd. It can't be opened anew."""
    ours, theirs = socket.socketpair()
    return theirs.detach(), ours.detach()


@pytest.fixture(params=[a_pipe, a_terminal, a_socket])
def ends(request: pytest.FixtureRequest, ctx: FakeContext) -> Iterator[Ends]:
    ends = Ends(ctx, *request.param())
    yield ends
    for out in ends.outs:
        out.close()
        out.close()  # may be called twice
    for fd in ends.open:
        os.close(fd)


@pytest.fixture
def pipe(ctx: FakeContext) -> Iterator[Ends]:
    ends = Ends(ctx, *a_pipe())
    yield ends
    for out in ends.outs:
        out.close()
    for fd in ends.open:
        os.close(fd)


def test_a_batch_is_delivered_when_all_of_it_is_written(ends: Ends) -> None:
    out, delivery = ends.out(), FakeDelivery(LINES)
    out.deliver(delivery)
    ends.turn()
    assert not delivery.answer, "more than fits has been written"
    assert ends.read(len(LINES), lambda: delivery.answer) == LINES
    assert delivery.answer == "delivered"


def test_batch_after_batch(ends: Ends) -> None:
    out, bodies = ends.out(), [b"1\n", b"2\n" * 5000, b"3\n"]
    found = b""
    for body in bodies:
        delivery = FakeDelivery(body)
        out.deliver(delivery)
        found += ends.read(len(body), lambda delivery=delivery: delivery.answer)
        assert delivery.answer == "delivered"
    assert found == b"".join(bodies)


def test_a_reader_that_has_stopped_does_not_block(ends: Ends) -> None:
    """Whoever blocks here hangs, and the test run with it."""
    out, delivery = ends.out(), FakeDelivery(LINES)
    out.deliver(delivery)
    ends.turn(200)
    assert not delivery.answers


def test_a_shared_descriptor_is_left_as_it_is(ends: Ends) -> None:
    """A shell must not find its terminal non-blocking afterwards."""
    out, delivery = ends.out(), FakeDelivery(b"1\n")
    out.deliver(delivery)
    ends.read(2, lambda: delivery.answer)
    assert os.get_blocking(ends.write_end)
    out.close()
    os.fstat(ends.write_end)


def test_a_reader_that_goes_away(pipe: Ends) -> None:
    out, delivery = pipe.out(), FakeDelivery(LINES)
    out.deliver(delivery)
    pipe.turn()
    pipe.close(pipe.read_end)
    pipe.turn()
    assert delivery.answer == "retry"
    assert delivery.why == "cannot write to standard output: Broken pipe"
    again = FakeDelivery(b"1\n")
    out.deliver(again)
    pipe.turn()
    assert again.answer == "retry"


def test_close_in_the_middle_answers_no_more(ends: Ends) -> None:
    out, delivery = ends.out(), FakeDelivery(LINES)
    out.deliver(delivery)
    ends.turn()
    out.close()
    ends.turn()
    assert not delivery.answers


def test_two_outputs_on_one_pipe_leave_each_others_lines_whole(pipe: Ends) -> None:
    one, two = pipe.out(), pipe.out()
    first = FakeDelivery(b"".join(b"first %d\n" % n for n in range(30_000)))
    second = FakeDelivery(b"".join(b"second %d\n" % n for n in range(30_000)))
    one.deliver(first)
    two.deliver(second)
    lines = pipe.read(len(first.body + second.body), lambda: first.answer and second.answer).splitlines(keepends=True)
    assert b"".join(line for line in lines if line.startswith(b"first")) == first.body
    assert b"".join(line for line in lines if line.startswith(b"second")) == second.body
    assert len(lines) == 60_000


def test_lines_longer_than_a_pipe_takes_at_once(pipe: Ends) -> None:
    body = b"x" * 100_000 + b"\ny\n"
    out, delivery = pipe.out(), FakeDelivery(body)
    out.deliver(delivery)
    assert pipe.read(len(body), lambda: delivery.answer) == body


def test_json_gets_the_line_end_it_has_not(pipe: Ends) -> None:
    out, delivery = pipe.out(), FakeDelivery(b"[]")
    out.deliver(delivery)
    assert pipe.read(3, lambda: delivery.answer) == b"[]\n"


def test_an_empty_batch_is_delivered(pipe: Ends) -> None:
    out, delivery = pipe.out(), FakeDelivery(b"")
    out.deliver(delivery)
    assert pipe.read(0, lambda: delivery.answer) == b""
    assert delivery.answer == "delivered"


@pytest.mark.parametrize("flags", [0, os.O_APPEND])
def test_standard_output_is_a_file(ctx: FakeContext, tmp_path: Path, flags: int) -> None:
    path = tmp_path / "out"
    ends = Ends(ctx, -1, os.open(path, os.O_WRONLY | os.O_CREAT | flags))
    out = ends.out()
    for body in (b"1\n", b"2\n"):
        delivery = FakeDelivery(body)
        out.deliver(delivery)
        assert delivery.answer == "delivered"
    out.close()
    os.close(ends.write_end)
    assert path.read_bytes() == b"1\n2\n"


@pytest.mark.parametrize("flags", [0, os.O_APPEND])
def test_the_disk_is_full(ctx: FakeContext, tmp_path: Path, flags: int) -> None:
    """No torn line, and no hole of zeros before the next one."""
    import resource

    path = tmp_path / "out"
    ends = Ends(ctx, -1, os.open(path, os.O_WRONLY | os.O_CREAT | flags))
    out = ends.out()
    out.deliver(FakeDelivery(b"first\n"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        failed = FakeDelivery(b"second line\n")
        out.deliver(failed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed.why == "cannot write to standard output: File too large"
    out.deliver(FakeDelivery(b"second line\n"))
    out.close()
    os.close(ends.write_end)
    assert path.read_bytes() == b"first\nsecond line\n"


@pytest.mark.parametrize(("path", "answer"), [("/dev/null", "delivered"), ("/dev/full", "retry")])
def test_devices_that_epoll_does_not_take(ctx: FakeContext, path: str, answer: str) -> None:
    ends = Ends(ctx, -1, os.open(path, os.O_WRONLY))
    out = ends.out()
    for _ in range(2):
        delivery = FakeDelivery(LINES)
        out.deliver(delivery)
        assert delivery.answer == answer
    out.close()
    os.close(ends.write_end)


def test_a_descriptor_that_is_not_open_is_an_error_at_open(ctx: FakeContext) -> None:
    fd = os.dup(2)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file"):
        Ends(ctx, -1, fd).out()


def test_a_blocking_pipe_is_not_given_more_than_it_has_room_for(ctx: FakeContext) -> None:
    """Where the pipe can't be opened anew (another user's), writes are small and only made when there is room."""
    read_end, write_end = os.pipe()
    shared = os.dup(write_end)
    writer, answers = SlowWriter(ctx, shared), []
    assert os.get_blocking(shared)
    writer.write(LINES, answers.append)
    for _ in range(200):
        ctx.loop.turn(longest=0)  # hangs if it writes into a full pipe
    assert not answers
    ends = Ends(ctx, read_end, write_end)
    assert ends.read(len(LINES), lambda: answers) == LINES
    assert answers == [""]
    writer.close()
    os.close(read_end)
    os.close(write_end)


def test_a_pipe_of_our_own_is_non_blocking_and_a_socket_a_duplicate() -> None:
    for make, blocking in ((a_pipe, False), (a_terminal, False), (a_socket, True)):
        read_end, write_end = make()
        own = own_description(write_end)
        assert os.get_blocking(own) is blocking, make
        assert not os.get_inheritable(own)
        for fd in (own, read_end, write_end):
            os.close(fd)
