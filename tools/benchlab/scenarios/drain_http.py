"""The same backlog to a collector over HTTP, as cbor_rows."""

from benchlab.lab import Run
from benchlab.scenarios.drain_mqtt import Drain


class DrainHttp(Drain):
    name = "drain_http"
    about = "100 MiB of backlog from disk over HTTP, as cbor_rows"
    sink = ("http", b"")

    def output(self, run: Run) -> str:
        assert run.sink is not None
        port = run.sink.port if run.filled else 1  # type: ignore[attr-defined]
        return f'"http"\nurl = "http://127.0.0.1:{port}/"\nformat = "cbor_rows"'


SCENARIO = DrainHttp()
