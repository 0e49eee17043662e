"""Three serial ports that talk as fast as 115200 baud allow, parsed, over MQTT: what a gateway to meters does all day."""

import os
import time
import tty

from benchlab.lab import Run, Scenario

LINE = b"V=%06.2f A=%05.2f kWh=%08.1f\n"
SECONDS = 10
A_SECOND = 115200 // 10 // 30  # lines of 30 bytes and a port


class SerialPorts(Scenario):
    name = "serial"
    about = f"three serial ports at 115200 baud, {3 * A_SECOND} lines a second together, as JSON over MQTT"
    records = 3 * A_SECOND * SECONDS
    sink = ("mqtt", b'"volts"')

    def config(self, kind: str, run: Run) -> str:
        assert run.sink is not None
        text = f"""
[service]
state_dir = "state"
[[parser]]
name = "meter"
format = "regex"
regex = '^V=(?<volts>[\\d.]+) A=(?<amps>[\\d.]+) kWh=(?<energy>[\\d.]+)'
types = "volts:float amps:float energy:float"
[[output]]
plugin = "mqtt"
port = {run.sink.port}
format = "json_lines"
"""
        run.masters = []  # type: ignore[attr-defined]
        for i in range(3):
            master, slave = os.openpty()
            tty.setraw(slave)
            run.closing += [lambda fd=master: os.close(fd), lambda fd=slave: os.close(fd)]
            run.masters.append(master)  # type: ignore[attr-defined]
            text += f"""
[[input]]
plugin = "serial"
tag = "meter.{i}"
file = "{os.ttyname(slave)}"
bitrate = 115200
parser = "meter"
"""
        return text

    def feed(self, run: Run) -> None:
        seconds = run.records // (3 * A_SECOND)
        begin, sent = time.monotonic(), 0
        while sent < A_SECOND * seconds:
            due = min(A_SECOND * seconds, int((time.monotonic() - begin) * A_SECOND))
            while sent < due:
                line = LINE % (230 + sent % 10, sent % 16, sent / 10)
                for master in run.masters:  # type: ignore[attr-defined]
                    os.write(master, line)
                sent += 1
            time.sleep(0.004)


SCENARIO = SerialPorts()
