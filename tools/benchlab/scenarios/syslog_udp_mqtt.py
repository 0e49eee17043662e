"""Syslog over UDP, on to a broker over MQTT as CBOR, each message acknowledged (QoS 1)."""

from benchlab import syslog_feed
from benchlab.lab import Run
from benchlab.scenarios.syslog_tcp_mqtt import SyslogMqtt
from benchlab.scenarios.syslog_udp_csv import RATE


class SyslogUdpMqtt(SyslogMqtt):
    name = "syslog_udp_mqtt"
    about = f"syslog over UDP at {RATE} a second, as CBOR over MQTT at QoS 1"
    mode = "udp"
    reference = ("syslog_udp_csv", "rsyslog")
    lossy = True

    def feed(self, run: Run) -> None:
        syslog_feed.send_udp(run.port, run.records, RATE)


SCENARIO = SyslogUdpMqtt()
