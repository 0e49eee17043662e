"""Which plugins there are: a name and where its class is. Imported only when used; a new plugin is a new line here."""

from __future__ import annotations

from edgebit.errors import ConfigError, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.plugin import Plugin

PLUGINS: dict[str, dict[str, str]] = {
    "input": {
        "cpu": "edgebit.inputs.cpu:Cpu",
        "disk": "edgebit.inputs.disk:Disk",
        "dummy": "edgebit.inputs.dummy:Dummy",
        "exec": "edgebit.inputs.exec:Exec",
        "head": "edgebit.inputs.head:Head",
        "health": "edgebit.inputs.health:Health",
        "http": "edgebit.inputs.http:Http",
        "mem": "edgebit.inputs.mem:Mem",
        "netif": "edgebit.inputs.netif:Netif",
        "proc": "edgebit.inputs.proc:Proc",
        "random": "edgebit.inputs.random:Random",
        "serial": "edgebit.inputs.serial:Serial",
        "stdin": "edgebit.inputs.stdin:Stdin",
        "syslog": "edgebit.inputs.syslog:Syslog",
        "tail": "edgebit.inputs.tail:Tail",
        "tcp": "edgebit.inputs.tcp:Tcp",
        "thermal": "edgebit.inputs.thermal:Thermal",
        "udp": "edgebit.inputs.udp:Udp",
    },
    # A parser's name here is its format; each can also be used by that name without a [[parser]] section.
    "parser": {
        "json": "edgebit.parsers.json:Json",
        "logfmt": "edgebit.parsers.logfmt:Logfmt",
        "ltsv": "edgebit.parsers.ltsv:Ltsv",
        "regex": "edgebit.parsers.regex:Regex",
        "syslog": "edgebit.parsers.syslog:Syslog",
        "syslog-rfc3164": "edgebit.parsers.syslog:Rfc3164",
        "syslog-rfc3164-local": "edgebit.parsers.syslog:Rfc3164",
        "syslog-rfc5424": "edgebit.parsers.syslog:Rfc5424",
    },
    "filter": {
        "expect": "edgebit.filters.expect:Expect",
        "grep": "edgebit.filters.grep:Grep",
        "kubernetes": "edgebit.filters.kubernetes:Kubernetes",
        "log_to_metrics": "edgebit.filters.log_to_metrics:LogToMetrics",
        "modify": "edgebit.filters.modify:Modify",
        "multiline": "edgebit.filters.multiline:Multiline",
        "nest": "edgebit.filters.nest:Nest",
        "parser": "edgebit.filters.parser:Parser",
        "record_modifier": "edgebit.filters.record_modifier:RecordModifier",
        "rewrite_tag": "edgebit.filters.rewrite_tag:RewriteTag",
        "script": "edgebit.filters.script:Script",
        "stdout": "edgebit.filters.stdout:Stdout",
        "sysinfo": "edgebit.filters.sysinfo:Sysinfo",
        "throttle": "edgebit.filters.throttle:Throttle",
        "type_converter": "edgebit.filters.type_converter:TypeConverter",
    },
    "format": {
        "cbor": "edgebit.formats.cbor:Cbor",
        "cbor_rows": "edgebit.formats.cbor:CborRows",
        "csv": "edgebit.formats.csv:Csv",
        "gelf": "edgebit.formats.gelf:Gelf",
        "json": "edgebit.formats.json:Json",
        "json_lines": "edgebit.formats.json:JsonLines",
        "json_stream": "edgebit.formats.json:JsonStream",
        "ltsv": "edgebit.formats.csv:Ltsv",
        "msgpack": "edgebit.formats.msgpack:Msgpack",
        "out_file": "edgebit.formats.json:OutFile",
        "plain": "edgebit.formats.json:Plain",
        "raw": "edgebit.formats.raw:Raw",
        "syslog": "edgebit.formats.syslog:Syslog",
        "template": "edgebit.formats.text:Template",
        "text": "edgebit.formats.text:Text",
    },
    "output": {
        "counter": "edgebit.outputs.counter:Counter",
        "file": "edgebit.outputs.file:File",
        "http": "edgebit.outputs.http:Http",
        "mqtt": "edgebit.outputs.mqtt:Mqtt",
        "null": "edgebit.outputs.null:Null",
        "stdout": "edgebit.outputs.stdout:Stdout",
        "syslog": "edgebit.outputs.syslog:Syslog",
        "tcp": "edgebit.outputs.tcp:Tcp",
        "udp": "edgebit.outputs.udp:Udp",
    },
}

# What Fluent Bit has and we don't: what to use instead.
_PROMETHEUS = "use exec with curl and the address of the metrics"
_HTTP = "use http with format json, and header for the key, if its records may be plain JSON objects"
_COLLECTOR = "use http with format json and let Telegraf, Vector or a Fluent Bit in between write there"
_CLOUD = "use http or mqtt and let a collector, or the provider's IoT gateway, write there"
INSTEAD: dict[str, dict[str, str]] = {
    "filter": {
        "alter_size": "",
        "aws": "add what you need with record_modifier, or ask for it in a script",
        "checklist": "look the value up in a script",
        "ecs": "",
        "geoip2": "look the address up in a script, with the geoip2 package",
        "lua": 'write the function in Python, for the filter "script"; it may return what it returned in Lua',
        "nightfall": "",
        "tensorflow": "",
        "wasm": 'write the function in Python, for the filter "script"',
    },
    "input": {
        "blob": "",
        "collectd": "let collectd's write_http plugin send to the input http",
        "docker": 'use exec with "docker stats --no-stream --format json" and parser json',
        "docker_events": 'use exec with "docker events --format json", oneshot and parser json',
        "ebpf": "",
        "elasticsearch": "let the sender post plain JSON to the input http",
        "etw": "it is for Windows",
        "event_type": "",
        "fluentbit_metrics": "the agent's own counters are written to its log on SIGUSR1",
        "forward": "let the sender use its http output with format json, and the input http here",
        "gpu_metrics": "use exec with the vendor's tool",
        "kafka": "",
        "kmsg": 'use exec with "dmesg --follow" and oneshot, or tail the file that rsyslog writes',
        "kubernetes_events": 'use exec with "kubectl get events --watch --output json" and oneshot',
        "lib": "it is for programs that embed Fluent Bit",
        "mqtt": "it is no client there but a broker of a kind; use exec with mosquitto_sub, oneshot and parser json",
        "nginx_metrics": _PROMETHEUS,
        "node_exporter_metrics": "use cpu, mem, disk, netif and thermal",
        "opentelemetry": "let the sender post plain JSON to the input http",
        "podman_metrics": 'use exec with "podman stats --no-stream --format json" and parser json',
        "process_exporter_metrics": "use proc",
        "prometheus_remote_write": "",
        "prometheus_scrape": _PROMETHEUS,
        "prometheus_textfile": "use tail",
        "splunk": "let the sender post plain JSON to the input http",
        "statsd": "use udp with format none and a parser",
        "stream_processor": "",
        "systemd": 'use exec with "journalctl --follow --output json", oneshot and parser json; or let journald forward to'
        " syslog",
        "unix_socket": "use syslog with mode unix_udp or unix_tcp",
        "windows_exporter_metrics": "it is for Windows",
        "winevtlog": "it is for Windows",
        "winlog": "it is for Windows",
        "winstat": "it is for Windows",
    },
    "output": {
        "azure": _HTTP, "azure_blob": "", "azure_kusto": "", "azure_logs_ingestion": "", "bigquery": "", "chronicle": "",
        "cloudwatch_logs": _CLOUD, "datadog": _HTTP,
        "es": _COLLECTOR, "opensearch": _COLLECTOR,
        "exit": "stop the agent with SIGTERM; Exit_On_Eof of tail and oneshot of exec end it by themselves",
        "flowcounter": "use counter; SIGUSR1 writes the counters of all plugins to the log",
        "forward": "use http with format msgpack or json, and an HTTP source at the receiver (in_http, @type http)",
        "gelf": "use tcp, udp or http with format gelf",
        "influxdb": _COLLECTOR,
        "kafka": "use http with a Kafka REST proxy, or mqtt with a bridge to Kafka", "kafka-rest": "use http with json",
        "kinesis_firehose": _CLOUD, "kinesis_streams": _CLOUD,
        "lib": "it is for programs that embed Fluent Bit",
        "logdna": _HTTP, "loki": _COLLECTOR, "nats": "use mqtt; a NATS server speaks it", "nrlogs": _HTTP,
        "opentelemetry": _COLLECTOR, "oracle_log_analytics": "", "parseable": "use http with json",
        "pgsql": _COLLECTOR, "plot": "use file with format csv",
        "prometheus_exporter": "edgebit serves no metrics; send them with http", "prometheus_remote_write": _COLLECTOR,
        "retry": "it is for tests of Fluent Bit", "s3": _CLOUD, "skywalking": _COLLECTOR, "slack": "", "splunk": _HTTP,
        "stackdriver": _CLOUD, "td": _HTTP, "vivo_exporter": "", "websocket": "use http or mqtt",
    },
}  # fmt: skip


PLANNED = ("forward",)  # of these: what is to come


def find(kind: str, name: str, where: str = "", key: str = "") -> type[Plugin]:
    """The class of a plugin, imported now. Raises ConfigError naming the nearest one."""
    table = PLUGINS[kind]
    place = table.get(name.lower())
    if place is None:
        instead = INSTEAD.get(kind, {}).get(name.lower())
        if instead is not None:
            hint = f"; {instead}" if instead else ""
            yet = " yet" if name.lower() in PLANNED else ""
            raise ConfigError(f"Fluent Bit's {kind} {name.lower()} is not in edgebit{yet}{hint}", where, key)
        near = nearest(name, list(table))
        hint = f'did you mean "{near}"?' if near else f"there are: {', '.join(sorted(table))}"
        raise ConfigError(f'no {kind} is called "{name}"; {hint}', where, key)
    import importlib

    module, _, cls = place.partition(":")
    found: type[Plugin] = getattr(importlib.import_module(module), cls)
    return found
