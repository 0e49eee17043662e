"""An agent with nothing to do but to look at the machine: five metrics, over MQTT. What it costs to have it."""

import time

from benchlab.lab import Run, Scenario

SECONDS = 30
INPUTS = ("cpu", "mem", "disk", "netif", "thermal")


class Idle(Scenario):
    name = "idle"
    about = "five metrics at 1s over MQTT; a record is a second"
    every = "1s"
    sink = ("mqtt", b'"date"')
    records = SECONDS

    def config(self, kind: str, run: Run) -> str:
        assert run.sink is not None
        text = f"""
[service]
state_dir = "state"
[[output]]
plugin = "mqtt"
port = {run.sink.port}
format = "json_lines"
"""
        for name in INPUTS:
            text += f'[[input]]\nplugin = "{name}"\ninterval = "{self.every}"\n'
            text += 'interface = "lo"\n' if name == "netif" else ""
        return text

    def feed(self, run: Run) -> None:
        time.sleep(run.records)

    def delivered(self, run: Run) -> int:
        return run.records  # seconds


SCENARIO = Idle()
