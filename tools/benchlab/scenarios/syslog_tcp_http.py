"""Syslog over TCP, on to a collector over HTTP as JSON."""

from benchlab import syslog_feed
from benchlab.lab import Run, Scenario


class SyslogHttp(Scenario):
    name = "syslog_tcp_http"
    about = "syslog over TCP, parsed, as JSON over HTTP"
    kinds = ("edgebit", "fluent-bit")
    records = 300_000
    mode = "tcp"
    sink = ("http", b'"message":')
    reference = ("syslog_tcp_csv", "rsyslog")

    def config(self, kind: str, run: Run) -> str:
        assert run.sink is not None
        if kind == "fluent-bit":
            (run.dir / "parsers.conf").write_text(syslog_feed.FLUENT_BIT_PARSER)
            http = f"    name http\n    host 127.0.0.1\n    port {run.sink.port}\n    format json"
            return syslog_feed.fluent_bit(self.mode, run.port, http)
        return syslog_feed.edgebit(
            self.mode, run.port, f'"http"\nurl = "http://127.0.0.1:{run.sink.port}/"\nformat = "json"'
        )

    def feed(self, run: Run) -> None:
        syslog_feed.send_tcp(run.port, run.records)


SCENARIO = SyslogHttp()
