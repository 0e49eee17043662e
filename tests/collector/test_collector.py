"""The collector over HTTP, and as the command that a person runs."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import cbor2
import pytest

from edgebit import collector as command
from edgebit.collector.directory import Batch, Directory, Outcome
from edgebit.collector.live import LINES, Live, printable
from edgebit.collector.server import Collector, path_tag
from edgebit.errors import ConfigError, SourceError, StateError
from edgebit.net.listen import tcp
from edgebit.record import encode_payload, from_dict
from fakes import FakeContext
from fakes.http_peer import HttpTalker


class Desk:
    """A collector on a fake loop, and talkers to it."""

    def __init__(self, path) -> None:
        self.path, self.ctx = path, FakeContext()
        self.talkers: list[HttpTalker] = []
        self.collector: Collector | None = None
        self.start()

    def start(self) -> None:
        self.stop()
        bound = tcp("127.0.0.1", 0)
        self.port = bound.sock.getsockname()[1]
        self.collector = Collector(self.ctx, Directory(str(self.path), self.ctx.log), bound)

    def stop(self) -> None:
        for talker in self.talkers:
            talker.close()
        self.talkers.clear()
        if self.collector is not None:
            self.collector.close()
            self.collector = None

    def close(self) -> None:
        self.stop()
        self.ctx.loop.close()

    def talker(self) -> HttpTalker:
        self.talkers.append(HttpTalker(self.ctx, self.port))
        return self.talkers[-1]

    def ask(self, body: bytes, *headers: str, path: str = "/", method: str = "POST", kind: str = "application/json",
            talker: HttpTalker | None = None, pieces: int = 0) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
        talker = talker or (self.talkers[0] if self.talkers else self.talker())
        talker.send(request(body, *headers, path=path, method=method, kind=kind), pieces)
        answer = talker.receive()
        if answer[1].get("connection") == "close":
            talker.close()
            self.talkers.remove(talker)
        return answer

    def stats(self) -> dict:
        return json.loads(self.ask(b"", method="GET", path="/stats")[2])

    def file(self, tag: str) -> list[dict]:
        return [json.loads(line) for line in (self.path / f"{tag}.jsonl").read_text().splitlines()]

    @property
    def files(self) -> list[str]:
        return sorted(name for name in os.listdir(self.path) if not name.startswith("."))


def request(body: bytes, *headers: str, path: str = "/", method: str = "POST", kind: str = "application/json") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *headers]
    lines += [f"Content-Type: {kind}"] if kind else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def identity(first: int, count: int, agent: str = "pi", stream: str = "s1", tag: str = "t") -> list[str]:
    return [f"Edgebit-Agent: {agent}", f"Edgebit-Stream: {stream}", f"Edgebit-Sequence: {first}",
            f"Edgebit-Count: {count}", f"Edgebit-Tag: {tag}"]  # fmt: skip


def numbered(first: int, count: int) -> bytes:
    return "".join(f'{{"n":{n}}}\n' for n in range(first, first + count)).encode()


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.close()


ROWS = {"v": 1, "agent": "pi", "stream": "s9", "tag": "rows", "seq": 7, "count": 2}
ROWS_PAYLOAD = encode_payload(
    [from_dict(1_500_000_000, {"n": 1, "t": "ä"}), from_dict(2_000_000_000, {"n": 2, "t": "\udcff"})]
)


@pytest.mark.parametrize("pieces", [0, 1])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'[{"n":1,"t":"x"},{"n":2}]'),
        ("application/json", b'{"n":1,"t":"x"}{"n":2}'),
        ("application/x-ndjson", b'{"n":1,"t":"x"}\n{"n":2}\n'),
        ("application/cbor", cbor2.dumps([{"n": 1, "t": "x"}, {"n": 2}])),
        ("application/cbor", cbor2.dumps({"n": 1, "t": "x"}) + cbor2.dumps({"n": 2})),
        ("", b'{"n":1,"t":"x"}\n{"n":2}\n'),
    ],
)
def test_body_in_every_form_a_byte_at_a_time(desk, kind, body, pieces):
    status, headers, said = desk.ask(body, "Edgebit-Tag: t", kind=kind, pieces=pieces)
    assert (status, json.loads(said)) == (200, {"records": 2, "duplicates": 0})
    assert headers["content-type"] == "application/json"
    assert desk.file("t") == [{"n": 1, "t": "x"}, {"n": 2}]


def test_gzip_body(desk):
    assert desk.ask(gzip.compress(numbered(1, 100)), "Content-Encoding: gzip", path="/z")[0] == 200
    assert len(desk.file("z")) == 100


def test_cbor_rows_bring_their_identity_along(desk):
    """A message that came by another way than our http output, so without its headers."""
    body = cbor2.dumps({**ROWS, "data": cbor2.loads(ROWS_PAYLOAD)})
    for _ in range(2):
        assert desk.ask(body, kind="application/cbor")[0] == 200
    assert desk.file("rows") == [{"date": 1.5, "n": 1, "t": "ä"}, {"date": 2.0, "n": 2, "t": "\udcff"}]
    assert desk.stats()["streams"][0].items() >= {
        "agent": "pi", "stream": "s9", "records": 2, "duplicates": 2, "last": 8, "missing": 6, "gaps": [[1, 6]],
    }.items()  # fmt: skip


def test_cbor_rows_that_are_damaged_are_no_record(desk):
    body = cbor2.dumps({**ROWS, "count": 3, "data": cbor2.loads(ROWS_PAYLOAD)})
    assert desk.ask(body, kind="application/cbor")[0] == 400
    assert desk.files == []


def test_plain_map_with_a_key_v(desk):
    """A voltage, not the version of an envelope."""
    assert desk.ask(cbor2.dumps({"v": 1, "data": 5}), kind="application/cbor")[0] == 200
    assert desk.file("http") == [{"v": 1, "data": 5}]


@pytest.mark.parametrize(
    ("headers", "path", "name"),
    [
        (["Edgebit-Tag: a%2Fb%20c"], "/x", "a%2Fb%20c"),
        ([], "/a/b-c", "a_b_c"),
        ([], "/", "http"),
        ([], "/%2e%2e/etc", "%2E._etc"),
        ([], "/x?tag=y", "x"),
    ],
)
def test_tag(desk, headers, path, name):
    assert desk.ask(b"{}", *headers, path=path)[0] == 200
    assert desk.files == [name + ".jsonl"]


def test_path_as_tag():
    assert [path_tag(p) for p in ("/", "//", "/a/b-c", "/app.log", "/a%20b")] == [
        "http",
        "http",
        "a_b_c",
        "app.log",
        "a_b",
    ]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"nonsense", [], 400),
        (b'{"n":1}{"n":', [], 400),
        (b"[1]", [], 400),
        (b"[]", [], 400),
        (b"", [], 400),
        (b'{"n":1}', ["Edgebit-Sequence: one"], 400),
        (b'{"n":1}', ["Edgebit-Sequence: -1"], 400),
        (b'{"n":1}', ["Edgebit-Sequence: ٣".encode().decode("latin-1")], 400),
        (b'{"n":1}', identity(2**63 - 1, 1), 400),
        (b'{"n":1}', identity(1, 2), 400),
        (b'{"n":1}', ["Edgebit-Tag: " + "x" * 2000], 400),
        (b'{"n":1}', ["Content-Encoding: gzip"], 400),
        (b'{"n":1}', ["Content-Encoding: zstd"], 415),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_written(desk, body, headers, status):
    assert desk.ask(body, *headers)[0] == status
    assert desk.files == []
    assert desk.stats()["batches"] == 0


def test_csv_is_refused_with_what_is_taken(desk):
    status, _, said = desk.ask(b"1,2\n", kind="text/csv")
    assert status == 415
    assert b"JSON lines" in said
    assert desk.stats()["rejected"] == 1


def test_a_client_that_is_refused_all_the_time_does_not_fill_the_log(desk):
    for _ in range(50):
        desk.ask(b"nonsense")
    assert len(desk.ctx.lines) == 1
    desk.ctx.clock.advance(11)
    desk.ask(b"nonsense")
    assert "51 requests refused so far" in desk.ctx.lines[1]


def test_zip_bomb(desk):
    assert desk.ask(gzip.compress(b" " * 100_000_000), "Content-Encoding: gzip")[0] == 413
    assert desk.files == []


def test_methods_and_paths(desk):
    assert desk.ask(b"{}", method="PUT")[0] == 200
    status, headers, _ = desk.ask(b"", method="DELETE")
    assert (status, headers["allow"]) == (405, "GET, HEAD, POST, PUT")
    assert desk.ask(b"", method="GET", path="/nothing")[0] == 404
    status, headers, said = desk.ask(b"", method="GET")
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert said.startswith(b"1 record in 1 batch")


def test_duplicates_and_gaps_of_two_agents(desk):
    for agent, first, count in (("a1", 1, 5), ("a2", 1, 5), ("a1", 4, 4), ("a1", 10, 1), ("a2", 1, 5)):
        assert desk.ask(numbered(first, count), *identity(first, count, agent))[0] == 200
    a1, a2 = desk.stats()["streams"]
    assert (a1["records"], a1["duplicates"], a1["missing"], a1["gaps"]) == (8, 2, 2, [[8, 9]])
    assert (a2["records"], a2["duplicates"], a2["missing"], a2["gaps"]) == (5, 5, 0, [])
    assert [record["n"] for record in desk.file("t")] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7, 10]


def test_gap_is_explained_by_the_agent_s_loss_record(desk):
    """Over HTTP, and still after a restart."""
    desk.ask(numbered(1, 4), *identity(1, 4))
    loss = {"output": "http.0", "stream": "s1", "reason": "buffer full, oldest dropped", "count": 120,
            "first_sequence": 5, "last_sequence": 124, "total": 120}  # fmt: skip
    desk.ask(json.dumps([loss]).encode(), *identity(125, 1, tag="edgebit.loss"))
    for _ in range(2):
        said = desk.ask(b"", method="GET")[2].decode()
        assert "missing 120 (sequence 5 to 124), explained by the agent: buffer full, oldest dropped\n" in said
        assert desk.stats()["explained"] == 120
        desk.start()
    assert desk.file("edgebit.loss") == [loss]


def test_restart_removes_duplicates_still(desk):
    desk.ask(numbered(1, 5), *identity(1, 5))
    desk.start()
    assert json.loads(desk.ask(numbered(1, 6), *identity(1, 6))[2]) == {"records": 1, "duplicates": 5}
    assert [record["n"] for record in desk.file("t")] == [1, 2, 3, 4, 5, 6]


def test_state_is_written_once_a_second_at_most(desk):
    state = desk.path / ".edgebit-collect.json"
    written = state.stat().st_ino
    for first in range(1, 50):
        desk.ask(numbered(first, 1), *identity(first, 1))
    assert state.stat().st_ino == written
    desk.ctx.loop.run_for(1.1)
    assert state.stat().st_ino != written
    assert b'"spans":[[1,49]]' in state.read_bytes()


def test_connections_side_by_side(desk):
    """Requests cut in two on twenty connections, the halves interleaved."""
    talkers = [desk.talker() for _ in range(20)]
    wholes = [request(numbered(1 + 5 * n, 5), *identity(1 + 5 * n, 5)) for n in range(20)]
    for talker, whole in zip(talkers, wholes):
        talker.send(whole[:-10])
    for talker, whole in zip(reversed(talkers), reversed(wholes)):
        talker.send(whole[-10:])
    assert all(talker.receive()[0] == 200 for talker in talkers)
    stream = desk.stats()["streams"][0]
    assert (stream["records"], stream["missing"], stream["last"]) == (100, 0, 100)


def test_full_disk(desk, monkeypatch):
    def full(batch):
        raise OSError(28, "No space left on device")

    desk.ask(numbered(1, 1), *identity(1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(desk.collector.directory, "put", full)
        for _ in range(3):
            status, headers, said = desk.ask(numbered(2, 1), *identity(2, 1))
            assert (status, headers["retry-after"]) == (503, "5")
            assert b"No space left on device" in said
    assert desk.ask(numbered(2, 1), *identity(2, 1))[0] == 200
    assert [record["n"] for record in desk.file("t")] == [1, 2]
    warned = [line for line in desk.ctx.lines if "debug" not in line]
    assert len(warned) == 2
    assert "writing again" in warned[1]


# -- live lines ----------------------------------------------------------------------------------------------------------


class Screen:
    def __init__(self, **settings) -> None:
        self.ctx, self.lines = FakeContext(), []
        self.live = Live(self.ctx, self.lines.append, **settings)

    def show(self, *new: str, tag: str = "t", duplicates: int = 0, gap=None) -> str:
        batch = Batch(tag, [*new, *["{}"] * duplicates])
        self.live.show(batch, Outcome(new, duplicates, gap))
        return "".join(self.lines)


@pytest.fixture
def screen():
    made = []

    def start(**settings):
        made.append(Screen(**settings))
        return made[-1]

    yield start
    for one in made:
        one.ctx.loop.close()


def test_live_line_has_time_tag_count_and_first_record(screen):
    text = screen().show('{"a":1}', '{"a":2}', tag="cpu")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  cpu + 2  a=1\n", text)


def test_live_line_fits_the_terminal(screen):
    line = screen(width=50).show('{"a":"' + "x" * 500 + '"}').rstrip("\n")
    assert len(line) == 50
    assert line.endswith("…")


def test_live_tells_of_duplicates_and_gaps(screen):
    text = screen().show('{"a":1}', duplicates=2, gap=(5, 7))
    assert "2 duplicates removed" in text
    assert "missing so far: 3 records, sequence 5 to 7" in text


def test_live_line_starts_with_the_text_of_a_record(screen):
    text = screen().show('{"date":1.5,"pri":"13","procid":"-","message":"hello"}', tag="syslog")
    assert text.endswith("1  hello  pri=13\n")


def test_live_in_colour(screen):
    assert screen(colour=True).show('{"a":1}').count("\033[0m") == 2


def test_flood_does_not_flood_the_terminal(screen):
    s = screen()
    for _ in range(400):
        s.show('{"a":1}', "{}")
    assert len(s.lines) == LINES
    s.ctx.loop.run_for(1.0)
    s.ctx.loop.run_for(0.1)
    assert s.lines[LINES:] == [f"          … and {2 * (400 - LINES)} more records in {400 - LINES} batches\n"]
    s.show('{"a":1}')
    assert len(s.lines) == LINES + 2


def test_records_shown_in_full_and_bounded(screen):
    s = screen(records=True)
    s.show(*[f'{{"n":{n}}}' for n in range(4000)])
    assert [line.split()[-1] for line in s.lines] == [f'{{"n":{n}}}' for n in range(LINES)]
    s.ctx.loop.run_for(1.1)
    assert s.lines[-1] == f"          … and {4000 - LINES} more records\n"


def test_what_came_over_the_network_cannot_drive_the_terminal(screen):
    text = screen().show('{"a":"\x9b2J\x7f"}', tag="\033[31m")
    assert "\x9b" not in text
    assert "\033" not in text
    assert printable("plain ä") == "plain ä"


def test_reader_that_went_away(screen):
    s = screen()

    def broken(text):
        raise BrokenPipeError(32, "Broken pipe")

    s.live._write = broken
    for _ in range(3):
        s.show('{"a":1}')
    assert len(s.ctx.lines) == 1
    assert "collecting goes on" in s.ctx.lines[0]


# -- the command ---------------------------------------------------------------------------------------------------------


def settings(tmp_path, **changed) -> SimpleNamespace:
    return SimpleNamespace(**{"listen": "127.0.0.1:0", "output": str(tmp_path), "quiet": True, "show": False,
                              "fsync": False, "count": 0, **changed})  # fmt: skip


@pytest.mark.parametrize("listen", ["here", "127.0.0.1:http", "example.com:80", "1.2.3.4:99999", "127.0.0.1:"])
def test_listen_that_is_wrong(tmp_path, listen):
    with pytest.raises(ConfigError, match="--listen"):
        command.main(settings(tmp_path, listen=listen))


@pytest.mark.parametrize(
    ("text", "place"),
    [("1.2.3.4:5", ("1.2.3.4", 5)), ("[::1]:5", ("::1", 5)), (":5", ("127.0.0.1", 5)), ("5", ("127.0.0.1", 5))],
)
def test_listen(text, place):
    assert command._address(text) == place


def test_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SourceError, match="another process has this port"):
            command.main(settings(tmp_path, listen=f"127.0.0.1:{port}"))


def test_directory_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot collect into"):
        command.main(settings(tmp_path, output=str(tmp_path / "file")))


def start(tmp_path, *arguments: str) -> tuple[subprocess.Popen, int]:
    process = subprocess.Popen([sys.executable, "-m", "edgebit", "collect", "-l", "127.0.0.1:0", "-o", str(tmp_path / "out"),
                                *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    line = process.stdout.readline()
    found = re.search(r":(\d+) into", line)
    assert found, line
    return process, int(found[1])


def exchange(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(data)
        return sock.recv(65536)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_with_a_summary(tmp_path, signum):
    process, port = start(tmp_path)
    assert b"200" in exchange(port, request(numbered(1, 3), *identity(1, 3)))
    process.send_signal(signum)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "3  n=1" in out
    assert out.endswith("3 records in 1 batch, 0 duplicates removed, none missing\n"
                        "agent pi, stream s1: 3 records, 0 duplicates, none missing\n    t  3\n")  # fmt: skip


@pytest.mark.slow
def test_kill_minus_nine_and_again(tmp_path):
    process, port = start(tmp_path, "--quiet")
    assert b"200" in exchange(port, request(numbered(1, 3), *identity(1, 3)))
    process.kill()
    process.communicate(timeout=10)
    process, port = start(tmp_path, "--quiet", "--count", "2")
    assert b'"duplicates": 3' in exchange(port, request(numbered(1, 5), *identity(1, 5)))
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0, "--count ends it"
    assert out.startswith("5 records in 2 batches, 3 duplicates removed, none missing\n")
    lines = (tmp_path / "out" / "t.jsonl").read_text().splitlines()
    assert lines == ['{"n":1}', '{"n":2}', '{"n":3}', '{"n":4}', '{"n":5}']
