"""Syslog over TCP into a CSV file: the job that every agent has."""

from benchlab import syslog_feed
from benchlab.lab import Lines, Run, Scenario


class SyslogCsv(Scenario):
    name = "syslog_tcp_csv"
    about = "syslog over TCP, parsed, as CSV into a file"
    kinds = ("edgebit", "rsyslog", "fluent-bit")
    records = 300_000
    reference = ("syslog_tcp_csv", "rsyslog")
    mode = "tcp"

    def config(self, kind: str, run: Run) -> str:
        out = run.dir / "out.csv"
        run.lines = Lines(out)  # type: ignore[attr-defined]
        if kind == "rsyslog":
            return syslog_feed.rsyslog("im" + self.mode, run.port, out)
        if kind == "fluent-bit":
            (run.dir / "parsers.conf").write_text(syslog_feed.FLUENT_BIT_PARSER)
            file = f"    name file\n    path {run.dir}\n    file out.csv\n    format csv"
            return syslog_feed.fluent_bit(self.mode, run.port, file)
        return syslog_feed.edgebit(self.mode, run.port, f'"file"\npath = "{run.dir}"\nfile = "out.csv"\nformat = "csv"')

    def feed(self, run: Run) -> None:
        syslog_feed.send_tcp(run.port, run.records)

    def delivered(self, run: Run) -> int:
        return run.lines.look()  # type: ignore[attr-defined]


SCENARIO = SyslogCsv()
