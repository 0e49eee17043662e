"""A backlog of 100 MiB on disk, sent to a broker that has come back: as it lies there (cbor_rows), without decoding.

First an agent that has nobody to deliver to stores it, which isn't measured; then another start delivers it.
"""

import time

from benchlab import syslog_feed
from benchlab.lab import Failed, Run, Scenario

BACKLOG = 100 << 20


class Drain(Scenario):
    name = "drain_mqtt"
    about = "100 MiB of backlog from disk over MQTT at QoS 1, as cbor_rows"
    records = 980_000  # of about 108 bytes
    sink = ("mqtt", b"")
    on_disk = from_start = True

    def output(self, run: Run) -> str:
        assert run.sink is not None
        port = run.sink.port if run.filled else 1  # type: ignore[attr-defined]
        return f'"mqtt"\nport = {port}\nqos = 1\nformat = "cbor_rows"'

    def config(self, kind: str, run: Run) -> str:
        if not hasattr(run, "filled"):
            run.filled = False  # type: ignore[attr-defined]
        text = syslog_feed.edgebit("tcp", run.port, self.output(run))
        return text + '[output.buffer]\nstorage = "filesystem"\ndisk = "160MiB"\nsync = "never"\n'

    def prepare(self, run: Run) -> None:
        run.start()
        syslog_feed.send_tcp(run.port, run.records)
        run.stop()
        used = sum(p.stat().st_size for p in (run.dir / "state").rglob("*") if p.is_file())
        if used < BACKLOG * 0.9:
            raise Failed(f"the backlog has {used} bytes only\n{run.log()}")
        run.filled = True  # type: ignore[attr-defined]
        time.sleep(0.2)


class DrainMqtt(Drain):
    pass


SCENARIO = DrainMqtt()
