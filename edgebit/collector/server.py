"""The collector as an HTTP service: requests in, batches to the directory, what is known about them at GET /stats.

A POST is answered with 200 only when its records are in their file (and synced, with --fsync). Status codes are meant
for the http output: 400 and 415 say "this body, never", 503 "not now, the disk doesn't take it".
"""

from __future__ import annotations

import json
from urllib.parse import unquote

from edgebit.collector import bodies
from edgebit.collector.directory import Batch, Directory
from edgebit.collector.received import number
from edgebit.errors import reason
from edgebit.log import Trouble
from edgebit.net.http_server import JSON, HttpServer, Request, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.collector.live import Live
    from edgebit.net.listen import Bound
    from edgebit.plugin import Context

SAVE_EVERY = 1.0  # seconds
MAX_NAME = 1024  # bytes of a tag, an agent's or a stream's name
MAX_BODY = 16 << 20  # bytes; a full batch of the http output has about 100 KiB, if its batch_size is not changed
_RETRY_LATER = (("Retry-After", "5"),)


class Collector:
    """Serves on `bound` until `close`.

    live       shows what arrives, or None
    on_batch   called after each batch that was written
    """

    def __init__(self, ctx: Context, directory: Directory, bound: Bound, live: Live | None = None,
                 on_batch: Callable[[], object] = lambda: None) -> None:  # fmt: skip
        self.ctx, self.directory, self._live, self._on_batch = ctx, directory, live, on_batch
        self._disk = Trouble(ctx.log, ctx.clock.monotonic)
        self._saving = False
        self._quiet_until = 0.0
        self.rejected = 0  # requests that were answered with 400 or 415
        self._server = HttpServer(ctx, self._handle, max_body=MAX_BODY, max_held=4 * MAX_BODY, max_connections=256)
        self._server.open(bound)

    def close(self) -> None:
        """Stop serving and write the state."""
        self._server.close()
        self.directory.close()

    def _handle(self, request: Request) -> Response:
        if request.method in ("POST", "PUT"):
            return self._collect(request)
        if request.method not in ("GET", "HEAD"):
            return Response(405, "POST records, or GET /stats\n", headers=[("Allow", "GET, HEAD, POST, PUT")])
        if request.path == "/stats":
            return Response(200, json.dumps(self.directory.received.stats() | {"rejected": self.rejected}), JSON)
        if request.path == "/":
            return Response(200, self.directory.received.summary() + "\n")
        return Response(404, "there are / and /stats; records are sent with POST to any path\n")

    def _collect(self, request: Request) -> Response:
        try:
            batch = read_batch(request)
        except ValueError as error:
            self._refused(f"refused a request of {request.peer} for {request.path[:100]}: {error}")
            return Response(415 if isinstance(error, bodies.UnknownType) else 400, f"{error}\n")
        try:
            outcome = self.directory.put(batch)
        except OSError as error:
            why = f"cannot write to {self.directory.path}: {reason(error)}"
            self._disk.begin(why, "senders are told to come again")
            return Response(503, why + "\n", headers=_RETRY_LATER)
        self._disk.end("writing again")
        if not self._saving:
            self._saving = True
            self.ctx.call_later(SAVE_EVERY, self._save)
        if self._live is not None:
            self._live.show(batch, outcome)
        self._on_batch()
        return Response(200, json.dumps({"records": len(outcome.new), "duplicates": outcome.duplicates}) + "\n", JSON)

    def _refused(self, why: str) -> None:
        """Count it; a client that tries the same again and again gets a log line every ten seconds."""
        self.rejected += 1
        now = self.ctx.clock.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + 10.0
            self.ctx.log.warn(f"{why} ({number(self.rejected, 'request')} refused so far)")

    def _save(self) -> None:
        self._saving = False
        try:
            self.directory.save()
        except OSError as error:
            self._disk.begin(f"cannot write the state in {self.directory.path}: {reason(error)}",
                             "the journal keeps it meanwhile")  # fmt: skip


def read_batch(request: Request) -> Batch:
    """The records of a request and who they are. Raises ValueError saying what is wrong with it."""
    media = request.header("content-type").partition(";")[0].strip().lower()
    envelope: dict[str, Any] = {}
    if media == "application/cbor":
        lines, envelope = _cbor(request.body)
    else:
        lines = bodies.lines(media, request.body)
    # A message that was carried here by others (MQTT, a file) has its identity inside.
    tag, agent, stream = (_name(request, f"edgebit-{key}") or str(envelope.get(key, ""))[:MAX_NAME]
                          for key in ("tag", "agent", "stream"))  # fmt: skip
    first = _number(request, "edgebit-sequence") or int(envelope.get("seq", 0))
    count = _number(request, "edgebit-count") or int(envelope.get("count", 0))
    if count and count != len(lines):
        raise ValueError(f"{count} records were announced and {len(lines)} came")
    if not lines:
        raise ValueError("there is no record in it")
    if not (agent and stream and first > 0):
        stream, first = "", 0  # no identity: taken as it comes
    return Batch(tag or path_tag(request.path), lines, agent, stream, first)


def path_tag(path: str) -> str:
    """The tag that a path stands for, as in Fluent Bit's http input: /a/b-c is a_b_c; "http" if there is none."""
    text = unquote(path, errors="replace").strip("/")[:MAX_NAME]
    return "".join(c if (c.isascii() and c.isalnum()) or c in "_." else "_" for c in text) or "http"


def _cbor(body: bytes) -> tuple[list[str], dict[str, Any]]:
    """The lines of a CBOR body, with the envelope if it is a cbor_rows message (docs/cbor-rows.md), which has the same
    content type. Its time becomes the field `date`, in seconds."""
    from edgebit.formats.cbor import decode_rows

    try:
        envelope, records = decode_rows(body)
    except ValueError as error:
        lines = bodies.cbor_lines(body)
        if lines and {"v", "stream", "data"} <= json.loads(lines[0]).keys():
            raise error from None  # an envelope that is damaged is not a record
        return lines, {}
    dicts = [{"date": time_ns / 1e9, **dict(zip(shape.names, values))} for time_ns, shape, values in records]
    return bodies.encode(dicts), envelope


def _name(request: Request, header: str) -> str:
    text = unquote(request.header(header), errors="replace")
    if len(text) > MAX_NAME:
        raise ValueError(f"{header} is longer than {MAX_NAME} characters")
    return text


def _number(request: Request, header: str) -> int:
    text = request.header(header)
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ValueError(f"{header} is not a number")
    return int(text)
