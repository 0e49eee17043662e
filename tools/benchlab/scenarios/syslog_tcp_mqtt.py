"""Syslog over TCP, on to a broker over MQTT as CBOR, each message acknowledged (QoS 1)."""

from benchlab import syslog_feed
from benchlab.lab import Run, Scenario


class SyslogMqtt(Scenario):
    name = "syslog_tcp_mqtt"
    about = "syslog over TCP, parsed, as CBOR over MQTT at QoS 1"
    records = 300_000
    sink = ("mqtt", b"gmessage")  # CBOR: a text of seven letters
    reference = ("syslog_tcp_csv", "rsyslog")
    format, mode = "cbor", "tcp"

    def config(self, kind: str, run: Run) -> str:
        assert run.sink is not None
        return syslog_feed.edgebit(
            self.mode, run.port, f'"mqtt"\nport = {run.sink.port}\nqos = 1\nformat = "{self.format}"'
        )

    def feed(self, run: Run) -> None:
        syslog_feed.send_tcp(run.port, run.records)


SCENARIO = SyslogMqtt()
