"""Syslog over UDP, on to a collector over HTTP as JSON."""

from benchlab import syslog_feed
from benchlab.lab import Run
from benchlab.scenarios.syslog_tcp_http import SyslogHttp
from benchlab.scenarios.syslog_udp_csv import RATE


class SyslogUdpHttp(SyslogHttp):
    name = "syslog_udp_http"
    about = f"syslog over UDP at {RATE} a second, as JSON over HTTP"
    mode = "udp"
    reference = ("syslog_udp_csv", "rsyslog")
    lossy = True

    def feed(self, run: Run) -> None:
        syslog_feed.send_udp(run.port, run.records, RATE)


SCENARIO = SyslogUdpHttp()
