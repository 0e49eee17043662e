"""Input http: records posted as JSON or as a form.

The path is the tag, as in Fluent Bit: /a/b-c is a_b_c, / is the tag that is configured. A body is one object, an array of
objects, or objects one after the other; it is taken whole or refused whole with 400.

**The answer is a promise.** It is given when the records are safe: written to the buffers on disk that take them, or
delivered, or dropped by a buffer that may and counted. So a sender that repeats what was not answered loses nothing; it
may send something twice. Outputs send such records at once, so that takes as
long as their collectors take. With `answer = "taken"` the
answer is given at once, for senders that can't wait, and promises as much as the buffer's memory does. While the buffers
are full, and while the agent stops, the answer is 503 with Retry-After before the body is read.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote_to_bytes

from edgebit.errors import ConfigError
from edgebit.inputs.added import Added
from edgebit.inputs.receiver import LISTEN
from edgebit.net import listen
from edgebit.net.http_server import JSON, HttpServer, Request, Response
from edgebit.options import Option, boolean, duration, integer, mapping, size, string
from edgebit.plugin import Input, Receipt
from edgebit.record import from_dict
from edgebit.wire.jsontext import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.loop import Timer
    from edgebit.options import Options
    from edgebit.plugin import InputContext
    from edgebit.record import Record

_TAG = bytes(c if (c < 128 and chr(c).isalnum()) or c in b"_." else ord("_") for c in range(256))
_FIELDS = 1000  # of a form
_HEADER = re.compile(r"[!#-'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e]*")  # RFC 9110, 5.6.2 and 5.5
_OURS = ("connection", "content-length", "content-type", "date", "transfer-encoding")
_BODIES = 4  # times buffer_max_size that the bodies of all requests may take together


class Http(Input):
    """JSON records that are posted over HTTP/1.1.

    Paused, it answers 503 with Retry-After: senders come again.
    """

    NAME = "http"
    OPTIONS = (
        LISTEN,
        Option("port", integer, 9880, "port to listen on; 0: any free one", minimum=0, maximum=65535),
        Option("tag_key", string, "", "the tag is the text of this field; of the path where a record has none"),
        Option("successful_response_code", ("201", "200", "204"), "201", "the answer when all went well"),
        Option("success_header", mapping, [], "headers of that answer, a table; repeatable", multiple=True),
        Option("buffer_max_size", size, 4_000_000, "bytes of the longest body, as sent and as unpacked",
               minimum=256, maximum=256 << 20),
        Option("buffer_chunk_size", size, 512_000, "without effect: as much is read as there is, up to 64 KiB"),
        Option("http2", boolean, True, "without effect: clients talk HTTP/1.1"),
        Option("add_remote_addr", boolean, False, "add the client's address: the first one of X-Forwarded-For, or who"
               " connected"),
        Option("remote_addr_key", string, "REMOTE_ADDR", "the field for it"),
        Option("enable_health_endpoint", boolean, False, "answer GET /health with 200"),
        Option("answer", ("safe", "taken"), "safe", "safe: when the records are on disk or delivered; taken: as soon as"
               " they are in a buffer"),
        Option("answer_timeout", duration, 30.0, "how long an answer waits for that; then it is 503, and the sender may"
               " send them twice", minimum=0.1),
        Option("max_connections", integer, 128, "connections at a time; more are closed and counted", minimum=1),
        Option("idle_timeout", duration, 60.0, "time after which a silent connection is closed", minimum=1),
    )  # fmt: skip

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        self._server: HttpServer | None = None
        self.waiting: set[_Answer] = set()
        self._remote = Added(opt.remote_addr_key) if opt.add_remote_addr else None
        self._stopping = False
        self._code = int(opt.successful_response_code)
        self._headers = tuple((name, str(value)) for name, value in opt.success_header)
        for name, value in self._headers:
            if not _HEADER.fullmatch(f"{name}: {value}") or name.lower() in _OURS:
                raise ConfigError(
                    f"{name} can't be set here, or its value can't stand in a header", key="success_header"
                )
        ctx.stats.gauge("connections", lambda: len(self._server.connections) if self._server is not None else 0)
        ctx.stats.gauge("waiting_answers", lambda: len(self.waiting))

    # -- life ----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        self._stopping = False
        bound = listen.tcp(self.opt.listen, self.opt.port)
        self._server = HttpServer(self.ctx, self._handle, max_body=self.opt.buffer_max_size,
                                  max_held=_BODIES * self.opt.buffer_max_size,
                                  max_connections=self.opt.max_connections, idle_timeout=self.opt.idle_timeout)  # fmt: skip
        self._server.open(bound)
        self.ctx.log.info(f"listening on {bound.label}")

    def close(self) -> None:
        for answer in list(self.waiting):
            answer.give(answer.response or _later("the records are not safe yet; send them again later"))
        if self._server is not None:
            self._server.close()
            self._server = None

    def pause(self) -> None:
        if not self._stopping:
            self._refuse("the buffers are full; send it again later")

    def resume(self) -> None:
        self._refuse("")

    def stop(self) -> None:
        """No more is taken; what was taken is answered when it is safe, while the agent delivers what is left."""
        self._stopping = True
        self._refuse("the agent stops; send it again later")

    def _refuse(self, why: str) -> None:
        assert self._server is not None
        self._server.refusing = why

    # -- requests ------------------------------------------------------------------------------------------------------

    def _handle(self, request: Request) -> Response | None:
        assert self._server is not None
        if request.method == "GET" and request.path == "/health" and self.opt.enable_health_endpoint:
            return Response(200, '{"status":"ok"}\n', JSON)
        if request.method != "POST":
            return Response(400, "records are sent with POST\n")
        if self._server.refusing:  # since its head was read
            return _later(self._server.refusing)
        try:
            found = _objects(request)
        except ValueError as error:
            self.ctx.stats.add("refused")
            self.ctx.log.debug(f"refused a request of {request.peer}: {error}")
            return Response(400, f"{error}\n")
        if not found:
            return self.success()
        now_ns = self.ctx.clock.wall_ns()
        batches = self._by_tag(request, [from_dict(now_ns, fields) for fields in found])
        answer = _Answer(self, request, len(batches)) if self.opt.answer == "safe" else None
        raw = len(request.body) // len(batches)
        for tag, records in batches.items():
            self.ctx.emit(tag, records, raw, Receipt(answer.safe, awaited=True) if answer is not None else None)
        return self.success() if answer is None else None

    def success(self) -> Response:
        """The answer when all went well."""
        return Response(self._code, headers=self._headers)

    def _by_tag(self, request: Request, records: list[Record]) -> dict[str, list[Record]]:
        # Without the first "/". Bytes, not characters: a letter that isn't ASCII makes as many "_" as there.
        path = unquote_to_bytes(request.path.encode("latin-1"))[1:].partition(b"?")[0]
        tag = path.translate(_TAG).decode("ascii") or self.ctx.tag
        key = self.opt.tag_key
        if not key and self._remote is None:
            return {tag: records}
        tags = [tag] * len(records)
        if key:
            tags = [_tag(record, key) or tag for record in records]
        if self._remote is not None:
            peer = request.header("x-forwarded-for").partition(",")[0].strip() or request.peer.rpartition(":")[0]
            records = self._remote(records, [(peer,)] * len(records))
        batches: dict[str, list[Record]] = {}
        for name, record in zip(tags, records):
            batches.setdefault(name, []).append(record)
        return batches


class _Answer:
    """A request that isn't answered yet. `response`: what to answer, once that is known."""

    __slots__ = ("_input", "_left", "_request", "_timer", "response")

    def __init__(self, input: Http, request: Request, batches: int) -> None:
        self._input, self._request, self._left = input, request, batches
        self._timer: Timer = input.ctx.call_later(input.opt.answer_timeout, self._expired)
        self.response: Response | None = None
        input.waiting.add(self)

    def safe(self) -> None:
        """One batch is."""
        self._left -= 1
        if not self._left and self.response is None:
            self.response = self._input.success()
            self._timer.cancel()
            # Not from within what has made it safe: the answer may bring the next request, and that more records.
            self._input.ctx.call_later(0, lambda: self.give(self.response))

    def give(self, response: Response | None) -> None:
        """Answer, once."""
        if self in self._input.waiting and response is not None:
            self._input.waiting.discard(self)
            self._timer.cancel()
            self.response = response
            self._request.respond(response)

    def _expired(self) -> None:
        self._input.ctx.stats.add("answer_timeouts")
        self.give(_later("the records are not safe yet; send them again later"))


def _later(why: str) -> Response:
    return Response(503, why + "\n", headers=[("Retry-After", "1")])


def _objects(request: Request) -> list[dict[str, Any]]:
    """The records in a body. Raises ValueError saying what is wrong with it."""
    media = request.header("content-type").partition(";")[0].strip().lower()
    text = request.body.decode("utf-8", "surrogateescape")
    if media == "application/x-www-form-urlencoded":
        pairs = "&".join(pair.strip() for pair in text.split("&") if "=" in pair[1:])
        form = dict(parse_qsl(pairs, keep_blank_values=True, errors="surrogateescape", max_num_fields=_FIELDS))
        if not form:
            raise ValueError("there is no name=value in the form")
        return [form]
    if media not in ("application/json", "application/x-ndjson"):
        raise ValueError("the content type must be application/json or application/x-www-form-urlencoded")
    found = values(text)
    if not found:
        raise ValueError("the body must be JSON objects or an array of them")
    records = [item for value in found for item in (value if isinstance(value, list) else (value,))]
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("what is in an array must be an object")
    return records


def _tag(record: Record, key: str) -> str:
    index = record[1].index.get(key)
    value = record[2][index] if index is not None else ""
    return value if isinstance(value, str) else ""
