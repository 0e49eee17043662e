"""A file of syslog messages, parsed, as JSON lines into a file: a job that ends by itself, for counting instructions."""

import json

from benchlab import syslog_feed
from benchlab.lab import Failed, Lines, Run, Scenario

CONFIG = """
[service]
state_dir = "none"
[[input]]
plugin = "tail"
tag = "s"
path = "messages.log"
parser = "syslog-rfc3164"
read_from_head = true
exit_on_eof = true
[[output]]
plugin = "file"
file = "out.json"
format = "json_lines"
"""
LOOP = r"""
import calendar, json, re, time
match = re.compile(r"<(?P<pri>[0-9]{1,3})>(?P<time>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}) (?P<host>[^ ]+) "
                   r"(?P<ident>[^ :\[]+)(?:\[(?P<pid>[^\]]+)\])?: (?P<message>.*)").match
dumps = json.JSONEncoder(separators=(",", ":")).encode
source = open("messages.log", "rb", buffering=0)
out = open("out.json", "wb", buffering=0)
rest = b""
when = 0.0
seen = ""
while block := source.read(65536):
    lines = (rest + block).split(b"\n")
    rest = lines.pop()
    rows = []
    for line in lines:
        record = match(line.decode()).groupdict()
        if record["time"] != seen:
            seen = record["time"]
            when = float(calendar.timegm(time.strptime("2026 " + seen, "%Y %b %d %H:%M:%S")))
        rows.append(dumps({"date": when} | record))
    out.write(("\n".join(rows) + "\n").encode())
"""


class SyslogFile(Scenario):
    name = "syslog_file_json"
    about = "a file of syslog messages, parsed, as JSON lines into a file"
    kinds = ("edgebit", "baseline")
    records = 300_000
    reference = ("syslog_file_json", "bare loop")
    whole = True

    def config(self, kind: str, run: Run) -> str:
        return LOOP if kind == "baseline" else CONFIG

    def prepare(self, run: Run) -> None:
        (run.dir / "messages.log").write_bytes(b"\n".join(syslog_feed.messages(run.records)) + b"\n")

    def delivered(self, run: Run) -> int:
        return Lines(run.dir / "out.json").look()

    def after(self, run: Run) -> None:
        with open(run.dir / "out.json", "rb") as file:
            first = json.loads(file.readline())
        if list(first) != ["date", "pri", "time", "host", "ident", "pid", "message"] or first["host"] != "gw0":
            raise Failed(f"{run.agent.name} wrote {first!r}")


SCENARIO = SyslogFile()
