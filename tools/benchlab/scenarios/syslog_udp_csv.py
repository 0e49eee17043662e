"""The same over UDP, at a rate that a receiver can keep up with; what is lost all the same is the kernel's."""

import time

from benchlab import syslog_feed
from benchlab.lab import Run
from benchlab.scenarios.syslog_tcp_csv import SyslogCsv

RATE = 50_000  # a second


class SyslogUdp(SyslogCsv):
    name = "syslog_udp_csv"
    about = f"syslog over UDP at {RATE} a second, as CSV into a file"
    mode = "udp"
    reference = ("syslog_udp_csv", "rsyslog")
    lossy = True

    def is_ready(self, run: Run) -> bool:
        with open("/proc/net/udp") as file:
            bound = f":{run.port:04X} " in file.read()
        if bound:
            time.sleep(0.2)
        return bound

    def feed(self, run: Run) -> None:
        syslog_feed.send_udp(run.port, run.records, RATE)


SCENARIO = SyslogUdp()
