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
        "mem": "edgebit.inputs.mem:Mem",
        "netif": "edgebit.inputs.netif:Netif",
        "serial": "edgebit.inputs.serial:Serial",
        "stdin": "edgebit.inputs.stdin:Stdin",
        "syslog": "edgebit.inputs.syslog:Syslog",
        "tail": "edgebit.inputs.tail:Tail",
        "thermal": "edgebit.inputs.thermal:Thermal",
    },
    # A parser's name here is its format; each can also be used by that name without a [[parser]] section.
    "parser": {
        "json": "edgebit.parsers.json:Json",
        "logfmt": "edgebit.parsers.logfmt:Logfmt",
        "ltsv": "edgebit.parsers.ltsv:Ltsv",
        "regex": "edgebit.parsers.regex:Regex",
        "syslog": "edgebit.parsers.syslog:Syslog",
        "syslog-rfc3164": "edgebit.parsers.syslog:Rfc3164",
        "syslog-rfc5424": "edgebit.parsers.syslog:Rfc5424",
    },
    "filter": {
        "grep": "edgebit.filters.grep:Grep",
        "record_modifier": "edgebit.filters.record_modifier:RecordModifier",
    },
    "format": {
        "cbor": "edgebit.formats.cbor:Cbor",
        "cbor_rows": "edgebit.formats.cbor:CborRows",
        "csv": "edgebit.formats.csv:Csv",
        "json": "edgebit.formats.json:Json",
        "json_lines": "edgebit.formats.json:JsonLines",
        "json_stream": "edgebit.formats.json:JsonStream",
        "ltsv": "edgebit.formats.csv:Ltsv",
        "out_file": "edgebit.formats.json:OutFile",
        "plain": "edgebit.formats.json:Plain",
        "template": "edgebit.formats.text:Template",
        "text": "edgebit.formats.text:Text",
    },
    "output": {
        "file": "edgebit.outputs.file:File",
        "http": "edgebit.outputs.http:Http",
        "mqtt": "edgebit.outputs.mqtt:Mqtt",
        "stdout": "edgebit.outputs.stdout:Stdout",
    },
}


def find(kind: str, name: str, where: str = "", key: str = "") -> type[Plugin]:
    """The class of a plugin, imported now. Raises ConfigError naming the nearest one."""
    table = PLUGINS[kind]
    place = table.get(name.lower())
    if place is None:
        near = nearest(name, list(table))
        hint = f'did you mean "{near}"?' if near else f"there are: {', '.join(sorted(table))}"
        raise ConfigError(f'no {kind} is called "{name}"; {hint}', where, key)
    import importlib

    module, _, cls = place.partition(":")
    found: type[Plugin] = getattr(importlib.import_module(module), cls)
    return found
