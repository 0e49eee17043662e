"""The http input: what a body may be, tags, and that the answer comes only when records are safe."""

from __future__ import annotations

import gzip
import json

import pytest

from edgebit.errors import ConfigError
from edgebit.inputs.http import Http
from edgebit.options import Setting, read
from fakes import FakeContext
from fakes.http_peer import HttpTalker


class Running:
    def __init__(self, **settings: object) -> None:
        self.ctx = FakeContext()
        given = {"listen": "127.0.0.1", "port": 0, **settings}
        self.input = Http(read(Http.OPTIONS, [Setting(*item) for item in given.items()], "input http"), self.ctx)
        self.input.open()
        self.port = self.input._server._listener._bound.sock.getsockname()[1]
        self.talkers: list[HttpTalker] = []

    def talker(self) -> HttpTalker:
        self.talkers.append(HttpTalker(self.ctx, self.port))
        return self.talkers[-1]

    def send(
        self, path: str, body: bytes, *headers: str, method: str = "POST", kind: str = "application/json"
    ) -> HttpTalker:
        talker = self.talker()
        head = [f"{method} {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers]
        if kind:
            head.append(f"Content-Type: {kind}")
        talker.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        return talker

    def post(self, *args, **kwargs) -> int:
        """Post, let the records be safe at once, and return the status."""
        before = len(self.ctx.receipts)
        talker = self.send(*args, **kwargs)
        for _ in range(5):
            self.ctx.loop.turn(longest=0)
        for receipt in self.ctx.receipts[before:]:
            receipt.release()
        return talker.receive()[0]

    def close(self) -> None:
        self.input.close()
        self.input.close()
        for talker in self.talkers:
            talker.close()
        self.ctx.loop.close()

    @property
    def tags(self) -> dict[str, list[dict[str, object]]]:
        return {tag: [dict(zip(r[1].names, r[2])) for r in records] for tag, records, _ in self.ctx.emitted}


@pytest.fixture
def run():
    running = []

    def start(**settings):
        running.append(Running(**settings))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def ctx():
    context = FakeContext()
    yield context
    context.loop.close()


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b'{"v": 1, "u": "\xc3\xa9"}', [{"v": 1, "u": "é"}]),
        (b'[{"v": 2}, {"v": 3}]\n', [{"v": 2}, {"v": 3}]),
        (b'{"v": 1}\n{"v": 2}{"v": 3}\r\n', [{"v": 1}, {"v": 2}, {"v": 3}]),
        (b'{\n  "v": {"w": [1, null]}\n}', [{"v": {"w": [1, None]}}]),
        (b"[]", []),
        (b"{}", [{}]),
    ],
)
def test_json(run, body, records):
    server = run()
    assert server.post("/", body) == 201
    assert server.ctx.records == records


@pytest.mark.parametrize("body", [b'{"v": ', b"", b"  ", b"[1,2]", b'[{"v":1},2]', b'{"v":1} x', b"42", b"[" * 3000])
def test_a_bad_body_is_refused_whole(run, body):
    server = run()
    assert server.post("/x", body) == 400
    assert server.ctx.emitted == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"a=1&b=x+y%20%C3%A9&c=", {"a": "1", "b": "x y é", "c": ""}),
        (b"\na=1&&=2&d\n", {"a": "1"}),
        (b"nothing", None),
        (b"&".join(b"k%d=v" % n for n in range(1001)), None),
    ],
)
def test_forms(run, body, expected):
    server = run()
    status = server.post("/", body, kind="application/x-www-form-urlencoded")
    assert status == (400 if expected is None else 201)
    assert server.ctx.records == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("method", "kind"), [("GET", ""), ("PUT", "application/json"), ("POST", "text/plain"), ("POST", "")]
)
def test_other_methods_and_types_are_refused(run, method, kind):
    assert run().post("/", b"{}", method=method, kind=kind) == 400


def test_a_packed_body_and_a_type_with_parameters(run):
    server = run()
    status = server.post(
        "/", gzip.compress(b'{"v":1}'), "Content-Encoding: gzip", kind="Application/JSON; charset=utf-8"
    )
    assert (status, server.ctx.records) == (201, [{"v": 1}])


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("/", "tag"), ("/site.a", "site.a"), ("/deep/path", "deep_path"), ("/a/b-c", "a_b_c"), ("/a?q=1", "a"),
        ("/a%20b%2fc", "a_b_c"), ("/%C3%A9", "__"), ("/A_9/", "A_9_"), ("//", "_"),
    ],
)  # fmt: skip
def test_the_path_is_the_tag(run, path, tag):
    server = run()
    server.post(path, b"{}")
    assert list(server.tags) == [tag]


def test_tag_key_sorts_records_by_their_own(run):
    server = run(tag_key="t")
    assert server.post("/p", b'[{"t":"x","v":1},{"v":2},{"t":"x","v":3},{"t":4}]') == 201
    assert server.tags == {"x": [{"t": "x", "v": 1}, {"t": "x", "v": 3}], "p": [{"v": 2}, {"t": 4}]}


def test_the_client_s_address(run):
    server = run(add_remote_addr="on")
    server.post("/", b'{"v":1}')
    server.post("/", b'{"v":2}', "X-Forwarded-For: 192.0.2.7, 10.0.0.1")
    assert server.ctx.records == [{"v": 1, "REMOTE_ADDR": "127.0.0.1"}, {"v": 2, "REMOTE_ADDR": "192.0.2.7"}]
    server = run(add_remote_addr="on", remote_addr_key="from")
    server.post("/", b'{"v":1}')
    assert server.ctx.records == [{"v": 1, "from": "127.0.0.1"}]


def test_the_answer_comes_when_all_records_are_safe(run):
    server = run(tag_key="t", successful_response_code="200", success_header=["X-One a b", "X-Two c"])
    talker = server.send("/p", b'[{"t":"x"},{"v":2}]')
    server.ctx.loop.run_for(1)
    first, second = server.ctx.receipts
    second.release()
    server.ctx.loop.run_for(5)
    assert not talker._complete()
    first.release()
    status, headers, body = talker.receive()
    assert (status, body, headers["x-one"], headers["x-two"]) == (200, b"", "a b", "c")


@pytest.mark.parametrize("header", [{"X Y": "1"}, {"X": "a\nb"}, {"X": "é"}, {"Content-Length": "3"}])
def test_headers_that_would_break_the_answer_are_refused(ctx, header):
    with pytest.raises(ConfigError, match="success_header"):
        Http(read(Http.OPTIONS, [Setting("success_header", header)], "input http"), ctx)


def test_what_is_not_safe_in_time_is_to_be_sent_again(run):
    server = run(answer_timeout="5s")
    talker = server.send("/", b"{}")
    status, headers, _ = talker.receive()
    assert (status, headers["retry-after"]) == (503, "1")
    assert server.ctx.clock.now >= 1005
    assert server.ctx.stats.get("answer_timeouts") == 1
    server.ctx.receipts[0].release()  # too late: nobody waits
    server.ctx.loop.run_for(1)
    assert not talker.held


def test_taken_is_answered_at_once(run):
    server = run(answer="taken", successful_response_code=204)
    assert server.send("/", b"{}").receive()[0] == 204
    assert server.ctx.receipts == []


def test_while_the_buffers_are_full_senders_come_again(run):
    server = run()
    server.input.pause()
    status, headers, body = server.send("/", b"{}").receive()
    assert (status, headers["retry-after"]) == (503, "1")
    assert b"full" in body
    assert server.ctx.emitted == []
    server.input.resume()
    assert server.post("/", b"{}") == 201


def test_at_a_stop_what_is_safe_is_answered_and_the_rest_told_to_come_again(run):
    server = run()
    saved, lost = server.send("/", b'{"v":1}'), server.send("/", b'{"v":2}')
    server.ctx.loop.run_until(lambda: len(server.ctx.receipts) == 2)
    server.input.stop()
    server.input.pause()  # the supervisor does, after a stop
    status, _, body = server.send("/", b"{}").receive()
    assert (status, b"the agent stops" in body) == (503, True)
    server.ctx.receipts[0].release()
    server.input.close()
    assert (saved.receive()[0], lost.receive()[0]) == (201, 503)


def test_health(run):
    assert run().post("/health", b"", method="GET") == 400
    talker = run(enable_health_endpoint="on").send("/health", b"", method="GET")
    status, _, body = talker.receive()
    assert (status, json.loads(body)["status"]) == (200, "ok")


def test_a_body_that_is_too_big_is_refused(run):
    assert run(buffer_max_size="1K").post("/", b'{"v":"' + b"x" * 3000 + b'"}') == 413
