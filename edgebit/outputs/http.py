"""HTTP output: each batch is the body of one request, in the format that was chosen, to a fixed or templated URI.

Every request names its records (agent, stream, first sequence, count, tag) in headers, so that a collector can drop
duplicates and prove that nothing is missing. What a status means is decided with loss in mind: only an answer that
says "this body, never" rejects; everything that a person can mend, a wrong password or path included, is tried again,
with a reason that says what to change.
"""

from __future__ import annotations

import zlib

from edgebit.errors import ConfigError, nearest
from edgebit.net.http_client import HttpClient
from edgebit.net.tls import TLS_OPTIONS, ClientTLS
from edgebit.options import Option, Options, boolean, duration, integer, mapping, string
from edgebit.plugin import Output
from edgebit.record_accessor import Accessor, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar

    from edgebit.plugin import Context, Delivery
    from edgebit.record import Record

MAX_RETRY_AFTER = 3600.0  # seconds; a server, or a wrong clock here or there, must not silence a device for a day
_SHOWN = 200  # characters of an error response's body that go into the reason

# Statuses that say: these bytes, never. The sender then bisects and parks the bad record.
_REJECT = {400: "bad request", 413: "too large", 422: "not accepted"}
# Statuses that a person has to do something about; until then the records wait.
_ADVICE = {
    401: "not authorised; check http_user and http_passwd, or the authorization header",
    403: "forbidden; the server knows the user but does not allow this: check its permissions, http_user and uri",
    404: "not found; check uri",
    405: "method not allowed; check http_method and uri",
    415: "the server does not take this kind of body; check format and compress",
    407: "a proxy in between wants authentication; check host and port",
}
_PLACEHOLDERS = ("tag", "host", "agent")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, 2.3
# Framing is h11's business; the identity is what duplicates are found by.
_RESERVED = frozenset(("content-length", "transfer-encoding", "connection", "content-encoding", "expect"))


def accessor(value: object) -> Accessor | None:
    """A field."""
    return parse(string(value)) if value else None


class Http(Output):
    """Sends batches with HTTP POST or PUT; one kept-alive connection, one request at a time."""

    NAME = "http"
    FORMATS = ("json", "json_lines", "json_stream", "msgpack", "gelf", "cbor", "cbor_rows", "csv")
    CLASSIC: ClassVar[dict[str, str]] = {"identity": "off", "allow_duplicated_headers": "on"}
    OPTIONS = (
        Option("url", string, "", 'everything in one: "https://host:port/path"; sets host, port, tls and uri'),
        Option("host", string, "127.0.0.1", "name or address of the server"),
        Option("port", integer, 0, "TCP port; 0 means 80, or 443 with tls", minimum=0, maximum=65535),
        Option("uri", string, "/", "path of the request; {tag}, {host} and {agent} are replaced"),
        Option("http_method", ("post", "put"), "post", "method of the request"),
        Option("compress", ("none", "gzip"), "none", "how bodies are compressed"),
        Option("compress_level", integer, 6, "effort of compress: 1 is fastest, 9 smallest", minimum=1, maximum=9),
        Option(
            "identity",
            boolean,
            True,
            "name the records in headers (Edgebit-Agent, -Stream, -Sequence, -Count, -Tag), so "
            "that the server can drop duplicates and see gaps",
        ),
        Option("header", mapping, [], 'a header to add, "NAME VALUE"; replaces one of ours', multiple=True),
        Option("allow_duplicated_headers", boolean, False, "send a header given twice twice; if off the last one wins"),
        Option("header_tag", string, "", "name of a header that carries the tag"),
        Option("http_user", string, "", "user name for basic authentication"),
        Option("http_passwd", string, "", "password for basic authentication", secret=True),
        Option("connect_timeout", duration, 10.0, "limit for name look-up, TCP and TLS together", minimum=0.1,
               also=("net.connect_timeout",)),
        Option("response_timeout", duration, 60.0, "limit without progress until the answer is complete", minimum=0.1,
               also=("http.response_timeout",)),
        Option("keepalive_idle_timeout", duration, 30.0, "an unused connection is closed after this", minimum=0,
               also=("net.keepalive_idle_timeout",)),
        Option("net.keepalive", boolean, True, "use a connection for more than one request"),
        Option("body_key", accessor, None, "field whose text is the body of a request for each record, instead of a format; "
               "with headers_key", default_text='""'),
        Option("headers_key", accessor, None, "field with a map of headers for that request", default_text='""'),
        *TLS_OPTIONS,
    )  # fmt: skip

    def __init__(self, opt: Options, ctx: Context) -> None:
        if opt.url:
            opt = _with_url(opt)
        super().__init__(opt, ctx)
        host, port, tls = opt.host, opt.port or (443 if opt.tls else 80), opt.tls
        self._method = opt.http_method.upper()
        self._uri = opt.uri if opt.uri.startswith("/") else "/" + opt.uri
        _check_template(self._uri)
        self._fixed = self._fixed_headers(host, port, tls)
        if opt.header_tag:
            _check_header(opt.header_tag, "")
        self._client = HttpClient(ctx, host, port, tls=ClientTLS(opt).context, server_name=opt.tls_vhost,
                                  connect_timeout=opt.connect_timeout, response_timeout=opt.response_timeout,
                                  idle_timeout=opt.keepalive_idle_timeout if opt.net_keepalive else -1.0)  # fmt: skip
        self._where = f"{'https' if tls else 'http'}://{_authority(host, port, tls)}"
        self._delivery: Delivery | None = None
        if (opt.body_key is None) != (opt.headers_key is None):
            raise ConfigError("body_key and headers_key go together", key="body_key" if opt.body_key else "headers_key")
        self._records: Sequence[Record] = ()
        self._at = 0  # which record of the delivery is on its way (body_key)
        self._taken = ("", 0)  # stream, and the sequence number of the first record that the server doesn't have

    def deliver(self, delivery: Delivery) -> None:
        self._delivery = delivery
        if self.opt.body_key is None:
            self._request(delivery, delivery.body, {"Content-Type": delivery.content_type})
            return
        # After a retry the same records come again; those that the server has are not sent twice.
        stream, taken = self._taken
        chunk = delivery.chunk
        self._records = chunk.records
        self._at = min(max(0, taken - chunk.seq), chunk.count) if stream == delivery.stream_id else 0
        self._next_record(delivery)

    def close(self) -> None:
        self._client.close()
        self._delivery = None

    def _request(self, delivery: Delivery, body: bytes, headers: dict[str, str]) -> None:
        """Send one request; `headers` are those that the user's replace."""
        opt, chunk, tag = self.opt, delivery.chunk, quote(delivery.chunk.tag)
        if opt.identity:
            headers["Edgebit-Agent"] = quote(delivery.agent_id)
            headers["Edgebit-Stream"] = quote(delivery.stream_id)
            headers["Edgebit-Sequence"] = str(chunk.seq + self._at)
            headers["Edgebit-Count"] = str(chunk.count if opt.body_key is None else 1)
            headers["Edgebit-Tag"] = tag
        if opt.header_tag:
            headers[opt.header_tag] = tag
        if opt.compress == "gzip":
            packer = zlib.compressobj(opt.compress_level, zlib.DEFLATED, 31)  # 31: with a gzip header and trailer
            body = packer.compress(body) + packer.flush()
            headers["Content-Encoding"] = "gzip"
        own = {name.lower() for name, _ in self._fixed}
        all_headers = self._fixed + [(name, value) for name, value in headers.items() if name.lower() not in own]
        uri = self._uri
        if "{" in uri:
            uri = uri.replace("{tag}", tag).replace("{host}", quote(self.ctx.hostname))
            uri = uri.replace("{agent}", quote(delivery.agent_id))
        self._client.request(self._method, uri, all_headers, body, self._answered)

    def _next_record(self, delivery: Delivery) -> None:
        """With body_key: the request for the next record, or the end."""
        chunk, opt = delivery.chunk, self.opt
        self._taken = (delivery.stream_id, chunk.seq + self._at)
        if self._at == chunk.count:
            self._delivery = None
            delivery.delivered()
            return
        record = self._records[self._at]
        body, given = opt.body_key.get(record), opt.headers_key.get(record)
        headers = {"Content-Type": delivery.content_type}
        try:
            if not isinstance(body, str) or not isinstance(given, dict):
                raise ValueError("it has no text in body_key, or no map in headers_key")
            for name, value in given.items():
                if isinstance(value, str):
                    _check_header(name, value)
                    headers = {n: v for n, v in headers.items() if n.lower() != name.lower()}
                    headers[name] = value
        except (ValueError, ConfigError) as error:
            self._delivery = None
            delivery.reject(f"{self._where}: {error}", [self._at])
            return
        self._request(delivery, body.encode("utf-8", "surrogateescape"), headers)

    def _answered(self, status: int, headers: dict[str, str], body: bytes, why: str) -> None:
        delivery = self._delivery
        if delivery is None:
            return
        if 200 <= status < 300:
            if self.opt.body_key is not None:
                self._at += 1
                self._next_record(delivery)
                return
            self._delivery = None
            delivery.delivered()
            return
        self._delivery = None
        if not status:
            delivery.retry(f"{self._where}: {why}")
            return
        text = " ".join(body[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
        said = f'; the server says: "{text}"' if text else ""
        if status in _REJECT:
            which = None if self.opt.body_key is None else [self._at]
            delivery.reject(f"{self._where}: HTTP {status}, {_REJECT[status]}{said}", which)
            return
        if 300 <= status < 400:
            target = headers.get("location", "")
            advice = "redirected" + (f" to {target[:_SHOWN]}" if target else "") + "; check host, port, tls and uri"
        else:
            advice = _ADVICE.get(status, "")
        why = f"{self._where}: HTTP {status}" + (f", {advice}" if advice else "") + said
        delivery.retry(why, retry_after(headers, self.ctx.clock.wall_ns() / 1e9))

    def _fixed_headers(self, host: str, port: int, tls: bool) -> list[tuple[str, str]]:
        """The headers that are the same for every request: ours, then the user's, which replace them."""
        from edgebit import __version__

        opt = self.opt
        headers = [("Host", _authority(host, port, tls)), ("User-Agent", f"edgebit/{__version__}")]
        if opt.http_user or opt.http_passwd:
            from binascii import b2a_base64

            pair = f"{opt.http_user}:{opt.http_passwd}".encode()
            headers.append(("Authorization", "Basic " + b2a_base64(pair, newline=False).decode()))
        given: list[tuple[str, str]] = []
        for name, value in opt.header:
            value = str(value)
            _check_header(name, value)
            if not opt.allow_duplicated_headers:
                given = [pair for pair in given if pair[0].lower() != name.lower()]
            given.append((name, value))
        replaced = {name.lower() for name, _ in given}
        return [pair for pair in headers if pair[0].lower() not in replaced] + given


def quote(text: str) -> str:
    """Percent-encoded for a path or a header; the bytes of text that was not UTF-8 are kept."""
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in data)


def retry_after(headers: dict[str, str], now: float) -> float | None:
    """What the server asked for, in seconds (RFC 9110, 10.2.3), at most MAX_RETRY_AFTER; None if nothing usable.

    A date is measured against the response's own Date if it has one: the clock here may be wrong by years.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdecimal() and len(text) < 10:
        return min(float(text), MAX_RETRY_AFTER)
    until = _http_date(text)
    if until is None:
        return None
    base = _http_date(headers.get("date", ""))
    return min(max(0.0, until - (now if base is None else base)), MAX_RETRY_AFTER)


def _http_date(text: str) -> float | None:
    from email.utils import parsedate_to_datetime  # heavy, and servers that send dates are rare

    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _authority(host: str, port: int, tls: bool) -> str:
    """The host with the port if it isn't the scheme's own, as in a URL and in the Host header."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port == (443 if tls else 80) else f"{shown}:{port}"


def _with_url(opt: Options) -> Options:
    """The same options with `url` taken apart into those it stands for. Raises ConfigError."""
    scheme, _, rest = opt.url.partition("://")
    authority, slash, path = rest.partition("/")
    if scheme.lower() not in ("http", "https") or not authority or authority[0] == ":" or "?" in authority:
        raise ConfigError(f'must be like "https://host:port/path", not "{opt.url}"', key="url")
    if "@" in authority:
        raise ConfigError("must not contain a user or password; use http_user and http_passwd", key="url")
    if "#" in path:
        raise ConfigError('must not contain "#"', key="url")
    if opt.host != "127.0.0.1" or opt.port or opt.uri != "/":
        raise ConfigError("stands for host, port and uri; give either url or those", key="url")
    if scheme.lower() == "http" and opt.tls:
        raise ConfigError('begins with "http:" but tls is on; write "https:" or remove tls', key="url")
    host, colon, port = authority.rpartition(":")
    if not colon or "]" in port:  # no port; the colons are those of an IPv6 address
        host, port = authority, ""
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(f'"{port}" is not a port', key="url")
    return Options({**opt.__dict__, "host": host.strip("[]"), "port": int(port or 0), "uri": slash + path or "/",
                    "tls": scheme.lower() == "https"})  # fmt: skip


def _check_template(uri: str) -> None:
    if not uri.isascii() or not uri.isprintable() or " " in uri or "#" in uri:
        raise ConfigError('must be ASCII without blanks and "#"; percent-encode other characters', key="uri")
    for part in uri.split("{")[1:]:
        name, brace, _ = part.partition("}")
        if not brace or name not in _PLACEHOLDERS:
            near = nearest(name, list(_PLACEHOLDERS))
            hint = f'did you mean "{{{near}}}"?' if near else "there are {tag}, {host} and {agent}"
            raise ConfigError(f'has no placeholder "{{{name}}}"; {hint}', key="uri")


def _check_header(name: str, value: str) -> None:
    token = name.replace("-", "").replace("_", "").replace(".", "")
    if not (token.isascii() and token.isalnum()):
        raise ConfigError(f'"{name}" is not a header name', key="header")
    if name.lower() in _RESERVED or name.lower().startswith("edgebit-"):
        raise ConfigError(f'"{name}" is set by edgebit itself', key="header")
    if not value.isascii() or any(not (char.isprintable() or char == "\t") for char in value):
        raise ConfigError(f'the value of "{name}" must be printable ASCII', key="header")
