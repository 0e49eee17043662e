"""A log of movie views under the classic configuration: tail, a regular expression, CSV.

The baseline is the plainest loop in Python that does the job: read, split, match, groupdict, join, write.
"""

from functools import cache

from benchlab.lab import Failed, Lines, Run, Scenario

CONFIG = """
[SERVICE]
flush 1
daemon Off
log_level info
parsers_file parsers.conf

[INPUT]
name tail
path ./movies.log
parser custom_parser
read_from_head true
tag movie_recommendation
exit_on_eof on

[FILTER]
name record_modifier
match movie_recommendation

[OUTPUT]
name file
match *
format csv
file out.csv
path ./output
"""
PARSERS = """
[PARSER]
Name custom_parser
Format regex
Regex ^(?<time>[^,]+),(?<user>[^,]+),(?<method>[^ ]+) (?<path>.*)
"""
LOOP = r"""
import re, time
match = re.compile(r"^(?P<time>[^,]+),(?P<user>[^,]+),(?P<method>[^ ]+) (?P<path>.*)").match
source = open("movies.log", "rb", buffering=0)
out = open("output/out.csv", "wb", buffering=0)
rest = b""
while block := source.read(65536):
    lines = (rest + block).split(b"\n")
    rest = lines.pop()
    now = "%.9f" % time.time()
    rows = []
    for line in lines:
        found = match(line.decode())
        record = found.groupdict() if found else {"log": line.decode()}
        rows.append(now + "," + ",".join(['"' + value + '"' for value in record.values()]))
    out.write(("\n".join(rows) + "\n").encode())
"""


@cache
def log(count: int) -> bytes:
    lines = []
    for i in range(count):
        user, minute = 1 + i * 7919 % 900_000, i % 130
        when = f"2024-02-{1 + i // 40_000 % 28:02d}T{i // 1700 % 24:02d}:{i // 29 % 60:02d}:{i % 60:02d}"
        if i % 50 == 49:
            lines.append(f"{when},{user},GET /rate/the+movie+number+{i % 9000}+2001={1 + i % 5}")
        else:
            lines.append(f"{when},{user},GET /data/m/the+movie+number+{i % 9000}+1994/{minute}.mpg")
    return ("\n".join(lines) + "\n").encode()


class MovieLog(Scenario):
    name = "movie_log"
    about = "tail + regex + CSV, classic configuration, from start to exit"
    kinds = ("edgebit", "baseline", "fluent-bit")
    records = 1_000_000
    reference = ("movie_log", "bare loop")
    whole = True

    def config(self, kind: str, run: Run) -> str:
        return LOOP if kind == "baseline" else CONFIG

    def config_name(self, kind: str) -> str:
        return "base.py" if kind == "baseline" else "fluent-bit.conf"

    def prepare(self, run: Run) -> None:
        (run.dir / "movies.log").write_bytes(log(run.records))
        (run.dir / "parsers.conf").write_text(PARSERS)
        (run.dir / "output").mkdir()

    def delivered(self, run: Run) -> int:
        return Lines(run.dir / "output" / "out.csv").look()

    def after(self, run: Run) -> None:
        with open(run.dir / "output" / "out.csv", "rb") as file:
            first = file.readline().split(b",", 1)[1]
        expected = log(run.records)[:200].split(b"\n")[0]
        when, user, request = expected.split(b",")
        method, path = request.split(b" ", 1)
        if first != b'"%s","%s","%s","%s"\n' % (when, user, method, path):
            raise Failed(f"{run.agent.name} wrote {first!r}")


SCENARIO = MovieLog()
