"""The http output against a scripted server, and at the end against the real collector."""

from __future__ import annotations

import gzip
import json
import ssl

import pytest
import trustme

from edgebit.collector.directory import Directory
from edgebit.collector.server import Collector
from edgebit.errors import ConfigError
from edgebit.formats.cbor import Cbor, CborRows
from edgebit.formats.json import Json, JsonLines
from edgebit.net.listen import tcp
from edgebit.options import Setting, read
from edgebit.outputs.http import MAX_RETRY_AFTER, Http, quote
from edgebit.record import Chunk, from_dict
from fakes import FakeContext
from fakes.delivery import FakeDelivery
from fakes.http_peer import CLOSE, HttpPeer, answer


def options(**settings):
    return read(
        Http.OPTIONS, [Setting(key.replace("__", "."), value) for key, value in settings.items()], "output http"
    )


@pytest.fixture
def ctx():
    ctx = FakeContext()
    yield ctx
    ctx.loop.close()


class Send:
    """An output pointed at a peer."""

    def __init__(self, *answers, tls=None, **settings) -> None:
        self.ctx = FakeContext()
        self.peer = HttpPeer(self.ctx, *answers, tls=tls)
        if "url" not in settings:
            settings = {"host": "127.0.0.1", "port": self.peer.port, **settings}
        self.output = Http(options(**settings), self.ctx)
        self.output.open()

    def send(self, delivery: FakeDelivery | None = None) -> FakeDelivery:
        delivery = delivery or FakeDelivery(b'{"log":"x"}\n')
        self.output.deliver(delivery)
        self.ctx.loop.run_until(lambda: delivery.answers, 300)
        assert delivery.answers
        return delivery

    def close(self) -> None:
        self.output.close()
        self.peer.close()
        self.ctx.loop.close()


@pytest.fixture
def sender():
    made = []

    def start(*args, **kwargs):
        made.append(Send(*args, **kwargs))
        return made[-1]

    yield start
    for one in made:
        one.close()


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_request_names_its_records(sender):
    s = sender(uri="/logs")
    delivery = s.send(FakeDelivery(b"body", tag="syslog.pi", seq=41, count=3))
    assert delivery.answers == [("delivered",)]
    method, target, headers, body = s.peer.requests[0]
    assert (method, target, body) == ("POST", "/logs", b"body")
    assert headers["host"] == f"127.0.0.1:{s.peer.port}"
    assert headers["content-type"] == delivery.content_type
    assert headers["user-agent"].startswith("edgebit/")
    identity = {name: value for name, value in headers.items() if name.startswith("edgebit-")}
    assert identity == {"edgebit-agent": "agent-1", "edgebit-stream": "stream-1", "edgebit-sequence": "41",
                        "edgebit-count": "3", "edgebit-tag": "syslog.pi"}  # fmt: skip


def test_identity_can_be_left_out(sender):
    s = sender(identity=False, header_tag="X-Tag")
    s.send(FakeDelivery(tag="syslog.pi"))
    headers = s.peer.requests[0][2]
    assert [name for name in headers if name.startswith("edgebit-")] == []
    assert headers["x-tag"] == "syslog.pi"


@pytest.mark.parametrize(("settings", "connections"), [({}, 1), ({"net__keepalive": False}, 2)])
def test_keepalive(sender, settings, connections):
    s = sender(**settings)
    for _ in range(2):
        assert s.send().answers == [("delivered",)]
    assert len(s.peer.streams) == connections


def test_tag_that_a_header_cannot_carry(sender):
    s = sender(uri="/{tag}/{host}/{agent}", header_tag="X-Tag", http_method="PUT")
    s.send(FakeDelivery(tag="größe/a b\r\n\udcff"))
    method, target, headers, _ = s.peer.requests[0]
    assert (method, target) == ("PUT", "/gr%C3%B6%C3%9Fe%2Fa%20b%0D%0A%FF/host/agent-1")
    assert headers["edgebit-tag"] == headers["x-tag"] == "gr%C3%B6%C3%9Fe%2Fa%20b%0D%0A%FF"


def test_quote_leaves_what_is_safe():
    assert quote("a-b.c_d~e") == "a-b.c_d~e"
    assert quote("{tag}%") == "%7Btag%7D%25", "a tag can't smuggle a placeholder in"


def test_gzip(sender):
    s = sender(compress="gzip")
    body = b'{"log":"line"}\n' * 1000
    s.send(FakeDelivery(body))
    headers, sent = s.peer.requests[0][2:]
    assert headers["content-encoding"] == "gzip"
    assert len(sent) < len(body) / 10
    assert gzip.decompress(sent) == body


def test_user_and_password(sender):
    s = sender(http_user="Aladdin", http_passwd="open sesame")
    s.send()
    assert s.peer.requests[0][2]["authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617, section 2


def test_headers_of_the_user_replace_ours(sender):
    s = sender(header=["User-Agent me", "X-Key one", "X-Key two", "content-type text/weird"])
    s.send()
    headers = s.peer.requests[0][2]
    assert (headers["user-agent"], headers["x-key"], headers["content-type"]) == ("me", "two", "text/weird")


def test_header_given_twice_is_sent_twice_if_wanted(sender):
    s = sender(header=["X-Key one", "X-Key two"], allow_duplicated_headers=True)
    assert [value for name, value in s.output._fixed if name == "X-Key"] == ["one", "two"]
    assert s.send().answer == "delivered"


def test_connection_is_kept(sender):
    s = sender()
    for seq in range(1, 4):
        assert s.send(FakeDelivery(seq=seq)).answer == "delivered"
    assert len(s.peer.streams) == 1


def test_url_is_everything_in_one(sender):
    other = sender()
    s = sender(url=f"http://127.0.0.1:{other.peer.port}/a/{{tag}}?x=1")
    s.output.deliver(delivery := FakeDelivery())
    for _ in range(200):  # two loops: this one's client, the other one's server
        s.ctx.loop.turn(0)
        other.ctx.loop.turn(0)
    assert delivery.answer == "delivered"
    assert other.peer.requests[0][1] == "/a/tag?x=1"


# -- what the answers mean -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_2xx_is_delivered(sender, status):
    assert sender(answer(status)).send().answers == [("delivered",)]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_statuses_that_say_never(sender, status):
    delivery = sender(answer(status, b"bad  line\n  7\r\n")).send()
    assert delivery.answer == "reject"
    assert f"HTTP {status}" in delivery.why
    assert '"bad line 7"' in delivery.why
    assert delivery.answers[0][2] is None, "which records is for the sender to find out"


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "http_passwd"), (403, "permissions"), (404, "check uri"), (405, "http_method"), (407, "proxy"),
        (301, "to http://else.where/"), (302, "to http://else.where/"), (307, "to http://else.where/"),
        (308, "check host"), (408, "408"), (409, "409"), (418, "418"), (425, "425"),
        (429, "429"), (500, "500"), (502, "502"), (503, "503"), (504, "504"), (599, "599"),
    ],
)  # fmt: skip
def test_everything_else_is_tried_again(sender, status, advice):
    """A wrong password, a server that was moved, a server in trouble: no reason to lose data."""
    delivery = sender(answer(status, b"sorry", "Location: http://else.where/")).send()
    assert delivery.answer == "retry"
    assert advice in delivery.why
    assert '"sorry"' in delivery.why
    assert delivery.answers[0][2] is None


def test_reason_is_one_short_line(sender):
    why = sender(answer(500, b"<html>\n" + b"x" * 100_000)).send().why
    assert len(why) < 300
    assert "\n" not in why


def test_reason_names_the_server_and_never_the_password(sender):
    s = sender(answer(401), http_user="me", http_passwd="hunter2")
    why = s.send().why
    assert why.startswith(f"http://127.0.0.1:{s.peer.port}: HTTP 401")
    assert "hunter2" not in why


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["Retry-After: 17"], 17.0),
        (["Retry-After: 0"], 0.0),
        (["Retry-After: 86400"], MAX_RETRY_AFTER),
        (["Retry-After: Thu, 01 Jan 2026 00:01:30 GMT"], 90.0),  # the fake clock's wall begins with that year
        (["Retry-After: Wed, 31 Dec 2025 00:00:00 GMT"], 0.0),
        (["Retry-After: Sun, 22 Nov 2099 10:00:30 GMT", "Date: Sun, 22 Nov 2099 10:00:00 GMT"], 30.0),  # clock is wrong
        (["Retry-After: soon"], None),
        (["Retry-After: -5"], None),
        ([f"Retry-After: {'9' * 400}"], None),
        (["Retry-After: Thu, 99 Jan 2026 00:00:00 GMT"], None),
        ([], None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(sender, status, headers, seconds):
    assert sender(answer(status, b"", *headers)).send().answers[0][2] == seconds


def test_server_that_is_not_there(sender):
    s = sender()
    s.peer.listener.close()
    delivery = s.send()
    assert delivery.answer == "retry"
    assert "connection refused" in delivery.why


def test_slow_server(sender):
    s = sender(None, response_timeout="20s")
    before = s.ctx.clock.now
    delivery = s.send()
    assert (delivery.answer, s.ctx.clock.now - before) == ("retry", pytest.approx(20))
    assert "no complete answer within 20 s" in delivery.why
    assert s.send().answer == "delivered"


def test_stale_connection_is_no_failure(sender):
    s = sender(answer(), CLOSE)
    assert s.send().answer == "delivered"
    assert s.send(FakeDelivery(seq=2)).answers == [("delivered",)]
    assert len(s.peer.streams) == 2


def test_closed_with_a_delivery_on_its_way(sender):
    s = sender(None)
    s.output.deliver(delivery := FakeDelivery())
    s.ctx.loop.run_until(lambda: s.peer.requests)
    s.output.close()
    s.output.close()
    s.ctx.loop.run_for(100)
    assert delivery.answers == [], "unanswered is taken as retry"
    s.output.open()
    assert s.send().answer == "delivered"


def test_tls(sender, tmp_path):
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    s = sender(tls=server)
    s.output = Http(options(host="127.0.0.1", port=s.peer.port, tls=True, tls__ca_file=str(tmp_path / "ca.pem")), s.ctx)
    assert s.send().answer == "delivered"
    s.output.close()
    s.output = Http(options(host="127.0.0.1", port=s.peer.port, tls=True), s.ctx)
    delivery = s.send()
    assert delivery.answer == "retry"
    assert delivery.why.startswith(f"https://127.0.0.1:{s.peer.port}: certificate verify failed")


# -- options -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "port", "uri", "tls"),
    [
        ("http://logs.example", "logs.example", 0, "/", False),
        ("https://logs.example/in/{tag}?k=v", "logs.example", 0, "/in/{tag}?k=v", True),
        ("HTTPS://logs.example:8443", "logs.example", 8443, "/", True),
        ("http://[::1]:9880/x", "::1", 9880, "/x", False),
        ("http://[fe80::1]/", "fe80::1", 0, "/", False),
    ],
)
def test_url_taken_apart(ctx, url, host, port, uri, tls):
    opt = Http(options(url=url), ctx).opt
    assert (opt.host, opt.port, opt.uri, opt.tls) == (host, port, uri, tls)


@pytest.mark.parametrize(
    ("settings", "key", "words"),
    [
        ({"url": "logs.example"}, "url", "must be like"),
        ({"url": "ftp://logs.example/"}, "url", "must be like"),
        ({"url": "http:///x"}, "url", "must be like"),
        ({"url": "http://:80/x"}, "url", "must be like"),
        ({"url": "http://logs.example?x"}, "url", "must be like"),
        ({"url": "http://me:secret@logs.example/"}, "url", "http_user"),
        ({"url": "http://logs.example:99999/"}, "url", "not a port"),
        ({"url": "http://logs.example/#x"}, "url", '"#"'),
        ({"url": "http://logs.example/", "host": "other"}, "url", "either"),
        ({"url": "http://logs.example/", "uri": "/x"}, "url", "either"),
        ({"url": "http://logs.example/", "tls": True}, "url", "https:"),
        ({"uri": "/{tga}"}, "uri", 'did you mean "{tag}"?'),
        ({"uri": "/{tag"}, "uri", "placeholder"),
        ({"uri": "/a b"}, "uri", "percent-encode"),
        ({"uri": "/ä"}, "uri", "percent-encode"),
        ({"header": ["Content-Length 5"]}, "header", "set by edgebit"),
        ({"header": ["Edgebit-Stream 5"]}, "header", "set by edgebit"),
        ({"header": ["X:Y z"]}, "header", "not a header name"),
        ({"header": {"X-Y": "a\r\nEvil: b"}}, "header", "printable"),
        ({"header_tag": "X Y"}, "header", "not a header name"),
    ],
)
def test_options_that_are_wrong(ctx, settings, key, words):
    opt = options(**settings)
    with pytest.raises(ConfigError) as found:
        Http(opt, ctx)
    assert found.value.key == key
    assert words in found.value.message


def test_host_header_omits_the_usual_port(ctx):
    for settings, host in (
        ({"host": "a"}, "a"), ({"host": "a", "tls": True}, "a"), ({"host": "a", "port": 443}, "a:443"),
        ({"url": "https://[::1]:8443"}, "[::1]:8443"),
    ):  # fmt: skip
        assert dict(Http(options(**settings), ctx)._fixed)["Host"] == host


# -- the whole way -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", ["none", "gzip"])
@pytest.mark.parametrize("format_class", [Json, JsonLines, Cbor, CborRows])
def test_output_to_collector(ctx, tmp_path, format_class, compress):
    """On one loop: three batches, the second one twice, in each format; the file has each record once."""
    bound = tcp("127.0.0.1", 0)
    collector = Collector(ctx, Directory(str(tmp_path), ctx.log), bound)
    port = bound.sock.getsockname()[1]
    output = Http(options(port=port, compress=compress), ctx)
    form = format_class(read(format_class.OPTIONS, [], "format"), ctx.agent_id, "stream-1")
    second = 10**9
    records = [from_dict(1_767_225_600 * second + n * second // 2, {"n": n, "text": f"größe {n}"}) for n in range(9)]
    for first in (0, 3, 3, 6):
        delivery = FakeDelivery(chunk=Chunk("a.b", records[first : first + 3], seq=first + 1))
        delivery.body, delivery.content_type = form.encode(delivery.chunk), form.content_type
        output.deliver(delivery)
        ctx.loop.run_until(lambda: delivery.answers)  # noqa: B023 - run at once
        assert delivery.answers == [("delivered",)]
    assert [json.loads(line) for line in (tmp_path / "a.b.jsonl").read_text().splitlines()] == [
        {"date": 1_767_225_600 + n / 2, "n": n, "text": f"größe {n}"} for n in range(9)
    ]
    stream = collector.directory.received.stats()["streams"][0]
    expected = {"agent": "agent-1", "stream": "stream-1", "records": 9, "duplicates": 3, "tags": {"a.b": 9}, "last": 9,
                "missing": 0, "gaps": []}  # fmt: skip
    assert {key: stream[key] for key in expected} == expected
    output.close()
    collector.close()


# -- a request for each record -----------------------------------------------------------------------------------------


def by_record(*records):
    chunk = Chunk("t", [from_dict(1, fields) for fields in records], seq=5)
    return FakeDelivery(chunk=chunk, count=len(records))


def one(body, **headers):
    return {"b": {"text": body}, "h": headers}


KEYS = {"body_key": "$b['text']", "headers_key": "$h"}


def test_body_and_headers_from_each_record(sender):
    s = sender(**KEYS, identity=False)
    assert s.send(by_record(one("é", **{"X-A": "1", "content-type": "text/x"}), one("two", n=5))).answer == "delivered"
    (_, _, first, body), (_, _, second, other) = s.peer.requests
    assert (body, first["x-a"], first["content-type"]) == ("é".encode(), "1", "text/x")
    assert (other, second["content-type"]) == (b"two", "application/x-ndjson")


def test_records_that_the_server_has_are_not_sent_twice_after_a_retry(sender):
    s = sender(answer(200), answer(500), answer(200), **KEYS)
    records = [one("1"), one("2"), one("3")]
    assert s.send(by_record(*records)).answer == "retry"
    assert s.send(by_record(*records)).answer == "delivered"
    assert [body for *_, body in s.peer.requests] == [b"1", b"2", b"2", b"3"]
    assert [headers["edgebit-sequence"] for *_, headers, _ in s.peer.requests] == ["5", "6", "6", "7"]


@pytest.mark.parametrize("bad", [{"h": {}}, {"b": {"text": 5}, "h": {}}, {"b": {"text": "x"}}, one("x", **{"a b": "y"}),
                                 one("x", a="line\nend")])  # fmt: skip
def test_record_that_makes_no_request_is_rejected_alone(sender, bad):
    s = sender(**KEYS)
    delivery = s.send(by_record(one("1"), bad))
    assert (delivery.answer, delivery.answers[0][2]) == ("reject", [1])
    assert len(s.peer.requests) == 1


def test_refused_record_is_named(sender):
    s = sender(answer(200), answer(400), **KEYS)
    assert s.send(by_record(one("1"), one("2"), one("3"))).answers[0][2] == [1]


def test_body_key_needs_headers_key(ctx):
    with pytest.raises(ConfigError, match="go together"):
        Http(options(body_key="b"), ctx)
