"""Parsers that are there by name without a section of their own: those that Fluent Bit's parsers.conf defines.

Each is written as a section would be, and made only when somebody uses it; a [[parser]] section of the same name goes
before. Names, fields and times are Fluent Bit's; the expressions are our own, and their time is linear in the length of a
line, whatever is in it. json, logfmt, syslog-rfc3164 and syslog-rfc5424 are formats already (registry.py). Those with a
"_" in front belong to built-in multiline parsers.
"""

from __future__ import annotations

_ISO = "%Y-%m-%dT%H:%M:%S.%L"
_CLF = "%d/%b/%Y:%H:%M:%S %z"  # the Common Log Format of web servers
_STAMP = r"\[(?<time>[^\]]*+)\]"
# "GET /a path HTTP/1.1": the last word is the protocol, if there is more than a path.
_PATH = r"(?<path>[^\" ]++(?: ++[^\" ]++)*?)"
_REQUEST = rf'"(?<method>[^" ]++)(?: ++{_PATH}(?: ++[^" ]*+)?)?"'
_QUOTED = r'"(?<referer>[^"]*+)" "(?<agent>[^"]*+)"'
_MAC = r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"


def _fields(names: str) -> str:
    """Words with blanks between, each a field."""
    return " ".join(f"(?<{name}>[^ ]*+)" for name in names.split())


STOCK: dict[str, dict[str, object]] = {
    "apache": {
        "format": "regex",
        "regex": rf"^(?<host>[^ ]*+) [^ ]*+ (?<user>[^ ]*+) {_STAMP} {_REQUEST} (?<code>[^ ]*+) (?<size>[^ ]*+)"
                 rf"(?: {_QUOTED})?$",
        "time_format": _CLF,
    },
    "apache2": {
        "format": "regex",
        "regex": rf'^(?<host>[^ ]*+) [^ ]*+ (?<user>[^ ]*+) {_STAMP} "(?<method>[^" ]++)(?: ++(?<path>[^ ]++) ++[^" ]*+)?" '
                 r'(?<code>[^ ]*+) (?<size>[^ ]*+)(?: "(?<referer>[^"]*+)" "(?<agent>.*)")?$',
        "time_format": _CLF,
    },
    "apache_error": {
        "format": "regex",
        "regex": r"^\[[^ ]*+ (?<time>[^\]]*+)\] \[(?<level>[^\]]*+)\](?: \[pid (?<pid>[^\]]*+)\])?"
                 r"(?: \[client (?<client>[^\]]*+)\])? (?<message>.*)$",
    },
    "nginx": {
        "format": "regex",
        "regex": rf"^{_fields('remote host user')} {_STAMP} {_REQUEST} (?<code>[^ ]*+) (?<size>[^ ]*+) {_QUOTED}",
        "time_format": _CLF,
    },
    "k8s-nginx-ingress": {
        "format": "regex",
        "regex": rf"^(?<host>[^ ]*+) - (?<user>[^ ]*+) {_STAMP} {_REQUEST} (?<code>[^ ]*+) (?<size>[^ ]*+) {_QUOTED} "
                 rf"{_fields('request_length request_time')} \[(?<proxy_upstream_name>[^ \]]*+)\] "
                 r"(?:\[(?<proxy_alternative_upstream_name>[^ \]]*+)\] )?"
                 + _fields("upstream_addr upstream_response_length upstream_response_time upstream_status reg_id"),
        "time_format": _CLF,
    },
    "docker": {"format": "json", "time_format": _ISO, "time_keep": True},
    "docker-daemon": {
        "format": "regex",
        "regex": r'time="(?<time>[^ "]*+)" level=(?<level>[^ ]*+) msg="(?<msg>[^ ].*)"',
        "time_format": _ISO, "time_keep": True,
    },
    "syslog-rfc3164-local": {
        "format": "regex",
        "regex": r"^<(?<pri>[0-9]++)>(?<time>[^ ]*+ {1,2}[^ ]*+ [^ ]*+) (?<ident>[a-zA-Z0-9_/.-]*+)(?:\[(?<pid>[0-9]++)\])?"
                 r"(?:[^:]*+:)? *+(?<message>.*)$",
        "time_format": "%b %d %H:%M:%S", "time_keep": True,
    },
    "mongodb": {
        "format": "regex",
        "regex": r"^(?<time>[^ ]++)\s++(?<severity>\w)\s++(?<component>[^ ]++)\s++\[(?<context>[^\]]++)\]\s++"
                 r"(?<message>\S++(?:\s++\S++)*?)(?:\s++(?<ms>\d++)ms)?\s*+$",
        "time_format": _ISO, "time_keep": True,
    },
    "envoy": {
        "format": "regex",
        "regex": rf'^\[(?<start_time>[^\]]*+)\] "(?<method>[^" ]++)(?: ++{_PATH})? ++(?<protocol>[^" ]++)" '
                 + _fields("code response_flags bytes_received bytes_sent duration x_envoy_upstream_service_time")
                 + r' "(?<x_forwarded_for>[^" ]*+)" "(?<user_agent>[^"]*+)" "(?<request_id>[^"]*+)" "(?<authority>[^" ]*+)" '
                 r'"(?<upstream_host>[^" ]*+)"',
        "time_key": "start_time", "time_format": _ISO + "%z", "time_keep": True,
    },
    "istio-envoy-proxy": {
        "format": "regex",
        "regex": rf'^\[(?<start_time>[^\]]*+)\] "(?<method>[^" ]++)(?: ++{_PATH})? ++(?<protocol>[^" ]++)" '
                 + _fields("response_code response_flags response_code_details connection_termination_details "
                           "upstream_transport_failure_reason bytes_received bytes_sent duration "
                           "x_envoy_upstream_service_time")
                 + r' "(?<x_forwarded_for>[^" ]*+)" "(?<user_agent>[^"]*+)" "(?<x_request_id>[^"]*+)" '
                 r'"(?<authority>[^" ]*+)" "(?<upstream_host>[^" ]*+)" '
                 + _fields("upstream_cluster upstream_local_address downstream_local_address downstream_remote_address "
                           "requested_server_name route_name"),
        "time_key": "start_time", "time_format": _ISO + "%z", "time_keep": True,
    },
    "cri": {
        "format": "regex",
        "regex": r"^(?<time>[^ ]++) (?<stream>stdout|stderr) (?<logtag>[^ ]*+) (?<message>.*)$",
        "time_format": _ISO + "%z", "time_keep": True,
    },
    # For names of container logs, and tags made of their paths.
    "kube-custom": {
        "format": "regex",
        "regex": r"^(?:(?:(?<tag>[^.]++)\.)?.*containers[./])?(?<pod_name>[a-z0-9][-a-z0-9.]*+)_(?<namespace_name>[^_]++)_"
                 r"(?<container_name>.+)-(?<docker_id>[a-z0-9]{64})\.log$",
    },
    "kmsg-netfilter-log": {
        "format": "regex",
        "regex": r"^<(?<pri>[0-9]{1,5})>1 (?<time>[^ ]++) (?<host>[^ ]++) kernel - - - \[[0-9. ]*+\] (?<logprefix>[^ ]*?) ?"
                 rf"IN=(?<in>[^ ]*+) OUT=(?<out>[^ ]*+) MAC=(?<macsrc>{_MAC}):(?<macdst>{_MAC}):"
                 r"(?<ethtype>[0-9a-f]{2}:[0-9a-f]{2}) SRC=(?<saddr>[^ ]*+) DST=(?<daddr>[^ ]*+) LEN=(?<len>[^ ]*+) "
                 r"TOS=(?<tos>[^ ]*+) PREC=(?<prec>[^ ]*+) TTL=(?<ttl>[^ ]*+) ID=(?<id>[^ ]*+) (?:[CDMF]++ )*"
                 r"PROTO=(?<proto>[^ ]*+)(?: SPT=(?<sport>[0-9]++) DPT=(?<dport>[0-9]++))?(?: LEN=(?<protolen>[0-9]++))?"
                 r"(?: WINDOW=(?<window>[0-9]++))?(?: RES=(?<res>0x[0-9a-fA-F]++))?"
                 r"(?: (?<flag>[A-Z]++(?!=)(?: [A-Z]++(?!=))*))?(?: URGP=(?<urgp>[0-9]++))?",
        "time_format": _ISO + "%z",
    },
    "_ml_cri": {
        "format": "regex",
        "regex": r"^(?<time>[^ ]++) (?<stream>stdout|stderr) (?<_p>[FP]) (?<log>.*)$",
        "skip_empty_values": False, "time_format": _ISO + "%z", "time_keep": True, "time_strict": False,
    },
    "_ml_json_docker": {"format": "json", "time_format": _ISO, "time_keep": True, "time_strict": False},
}  # fmt: skip
