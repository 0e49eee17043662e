"""Keys that Fluent Bit has and edgebit hasn't: what to do instead.

A key that leaves every record as it is, is ignored with one warning; one that would change what is kept, lost, or who may
read it, is an error. Where the value asks for what edgebit does anyway, or the key means nothing without another one that is
told (`harmless`), nothing is said.
"""

from __future__ import annotations

_OFF = ("off", "false", "no")
_ON = ("on", "true", "yes")


class Foreign:
    """A key without a counterpart. `fatal`: running without it would be wrong."""

    __slots__ = ("advice", "fatal", "harmless")

    def __init__(self, advice: str, harmless: tuple[str, ...] = (), fatal: bool = False) -> None:
        self.advice, self.harmless, self.fatal = advice, harmless, fatal

    def applies(self, value: object) -> bool:
        """Whether there is something to say about a key with this value."""
        return "*" not in self.harmless and str(value).lower() not in self.harmless


_THREADS = Foreign("is not needed: one thread does everything and nothing in it blocks; leave it out", _OFF)
_NET = Foreign("has no effect here; a connection that fails is tried again with back-off. Leave it out")
_CHUNKS = Foreign("is not needed: what a buffer holds in memory is bounded by its option memory; leave it out")
_STATUS = Foreign("there is no HTTP server yet; kill -USR1 writes all counters to the log", _OFF)
_DETAIL = Foreign("", ("*",))
_TLS_OFF = Foreign("is not possible with this plugin; records would go unprotected", _OFF, fatal=True)

_SERVICE = {
    "daemon": Foreign("edgebit stays in the foreground; let systemd start it (systemd/edgebit.service)", _OFF),
    "http_server": _STATUS, "http_listen": _DETAIL, "http_port": _DETAIL,
    "http_monitoring": _STATUS, "health_check": _STATUS,
    "hc_*": _DETAIL,
    "hot_reload": Foreign("there is no reload yet; restart edgebit, its buffers survive that", _OFF),
    "hot_reload.*": _DETAIL,
    "flush.adaptive": Foreign("a full batch goes at once, whatever flush says; leave it out", _OFF),
    "flush.adaptive.*": _DETAIL,
    "storage.checksum": Foreign("what is on disk always has checksums here; leave it out", (*_ON, *_OFF)),
    "storage.metrics": Foreign("the counters of buffers are in the statistics; kill -USR1 writes them to the log",
                               (*_ON, *_OFF)),
    "storage.max_chunks_up": _CHUNKS,
    "storage.backlog.mem_limit": Foreign("is not needed: a backlog is read back a batch at a time; leave it out"),
    "storage.backlog.flush_on_shutdown": Foreign("a backlog stays on disk for the next start; leave it out", _OFF),
    "storage.delete_irrecoverable_chunks": Foreign("damage on disk is skipped and counted by itself, and its room used "
                                                   "again; leave it out", _ON),
    "storage.trim_files": Foreign("is not needed: the size of a buffer on disk is fixed; leave it out", _OFF),
    "storage.inherit": Foreign("is always so: an input without storage.type takes that of [SERVICE]; leave it out", _ON),
    "storage.keep.rejected": Foreign("records that a collector refuses are always kept, as dead letters in the state "
                                     "directory; leave it out", _ON),
    "storage.rejected.*": Foreign("dead letters are in the state directory, in bounded space; leave it out"),
    "dns.*": Foreign("names are looked up by the system's resolver; see resolv.conf(5)"),
    "json.convert_nan_to_null": Foreign("is always so, because nan is not JSON; leave it out", (*_ON, *_OFF)),
    "coro_stack_size": Foreign("there are no coroutines; leave it out"),
    "sp.*": Foreign("there is no stream processor; leave it out"),
    "enable_chunk_trace": Foreign("there is no tap; use an output stdout", _OFF),
    "security.fips_mode": Foreign("is a matter of the system's OpenSSL here", _OFF, fatal=True),
    "windows.*": Foreign("edgebit runs on Linux; leave it out"),
}  # fmt: skip

_LOG = {
    "log_level": Foreign("holds for the whole agent: set Log_Level in [SERVICE]"),
    "log_suppress_interval": Foreign("is not needed: a trouble is logged once when it begins and once when it ends"),
}

_KINDS: dict[str, dict[str, Foreign]] = {
    "service": _SERVICE,
    "input": {
        **_LOG,
        "threaded": _THREADS,
        "thread.*": _THREADS,
        "workers": Foreign(_THREADS.advice, ("0", "1")),
        "routable": Foreign("an input whose records go nowhere; take it out instead", _ON, fatal=True),
        "rate_gate.*": Foreign("limit with a filter throttle, or let a full buffer hold the input back", fatal=True),
        "storage.pause_on_chunks_overlimit": Foreign("a full buffer always makes its inputs wait here; leave it out",
                                                     (*_ON, *_OFF)),
        "host": Foreign("has no effect on this input; where an input listens is said by Listen"),
        "listen": Foreign("has no effect, because this input listens nowhere; leave it out"),
        "net.*": Foreign("has no effect on inputs; leave it out"),
        "tls": _TLS_OFF, "tls.*": _TLS_OFF,
    },
    "filter": {**_LOG},
    # Keys of parsers of another format: Fluent Bit takes them with any, and does nothing with them.
    "parser": {
        "types": Foreign("has no effect on this format: values have types already; a filter type_converter can change them"),
        "regex": Foreign("has no effect on this format; leave it out, or say Format regex"),
        "skip_empty_values": Foreign("has no effect on this format; leave it out"),
        "logfmt_no_bare_keys": Foreign("has no effect on this format; leave it out"),
    },
    "output": {
        **_LOG,
        "workers": Foreign("is not needed: deliveries overlap without threads, and batches stay in order; leave it out",
                           ("0", "1")),
        "host": _NET, "port": _NET, "net.*": _NET,
        "net.source_address": Foreign("the system's routing chooses the address; see ip-route(8), src"),
        "net.proxy_env_ignore": Foreign("HTTP_PROXY in the environment is never looked at; leave it out", (*_ON, *_OFF)),
        "tls": _TLS_OFF, "tls.*": Foreign("is of no use without TLS, which this plugin hasn't", fatal=True),
        "tls.verify": Foreign("is of no use without TLS", (*_ON, *_OFF)),
    },
}  # fmt: skip

# Keys of one plugin.
_TLS = {
    "tls.debug": Foreign("what TLS finds wrong is in the log in plain words; leave it out", ("0", "1", *_OFF)),
    "tls.windows.*": Foreign("edgebit runs on Linux; leave it out"),
}
_API = Foreign(
    "needs Kubernetes' API server, which edgebit doesn't ask; pod, namespace, container and its id come from the "
    "tag. Leave it out",
    _OFF,
)
_PLUGINS: dict[tuple[str, str], dict[str, Foreign]] = {
    ("filter", "kubernetes"): {
        "kube_*": _API, "labels": _API, "annotations": _API, "owner_references": _API, "namespace_*": _API,
        "use_kubelet": _API, "kubelet_*": _API, "cache_use_docker_id": _API, "dns_*": _API, "buffer_size": _API,
        "tls.*": _API, "dummy_meta": _API, "aws_*": _API, "use_pod_association": _API, "set_platform": _API,
        "k8s-logging.parser": _API,
        "k8s-logging.exclude": Foreign("needs Kubernetes' API server, so pods that exclude themselves are collected, too; "
                                       "tail's exclude_path can leave their files out", _OFF),
        "use_journal": Foreign("there is no input systemd; tail the files in /var/log/containers", _OFF, fatal=True),
    },
    ("output", "file"): {
        "enable_strftime": Foreign("times in names are not there; use rotate, or logrotate with dateext", _OFF, fatal=True),
        "max_dynamic_files": Foreign("is not needed: at most 32 files are held open; leave it out"),
        "fallback_*": Foreign("is not needed: names have only parts of the tag in them; leave it out"),
    },
    ("output", "http"): {
        **_TLS,
        "proxy": Foreign("there are no proxies; host and port must be those of the server, or of a relay", fatal=True),
        "oauth2.*": Foreign("there is no OAuth; get a token and give it with header Authorization", _OFF, fatal=True),
        "aws_auth": Foreign("requests can't be signed for AWS; send to a collector that does", _OFF, fatal=True),
        "aws_*": Foreign("is of no use without aws_auth, which is not there"),
        "net.io_timeout": Foreign("response_timeout is the limit, for sending as well; set that", ("0", "0s")),
        "log_response_payload": Foreign("what a server says to a refusal is always in the log; leave it out", (*_ON, *_OFF)),
        "http.read_idle_timeout": Foreign("response_timeout is the limit for the whole answer; leave it out"),
    },
    ("output", "mqtt"): _TLS,
    ("output", "null"): {"format": _DETAIL, "json_date_*": _DETAIL},  # nothing is written
    ("output", "syslog"): _TLS,
    ("output", "tcp"): _TLS,
}  # fmt: skip


def foreign(kind: str, plugin: str, key: str) -> Foreign | None:
    """What is known about a key that the option tables don't have; `kind` is "service" or that of a section."""
    for table in (_PLUGINS.get((kind, plugin.lower())), _KINDS.get(kind)):
        if table is None:
            continue
        found = table.get(key)
        if found is not None:
            return found
        for pattern, row in table.items():
            if pattern.endswith("*") and key.startswith(pattern[:-1]):
                return row
    return None
