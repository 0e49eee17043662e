"""What is used with only half of what it imports is loaded without the other half, and nobody else notices."""

import subprocess
import sys

SCRIPT = """
import sys
import edgebit.outputs.mqtt
from edgebit.inputs.lean import import_psutil
import_psutil()
others = ("logging", "platform", "subprocess", "uuid", "paho")
for name in ("ssl", "_ssl", "_hashlib", "urllib.request", "http.client", "hashlib", *others):
    assert name not in sys.modules, name
import psutil, subprocess
assert subprocess.run
assert psutil.cpu_times() and psutil.virtual_memory() and psutil.disk_io_counters and psutil.net_io_counters()
"""


def test_mqtt_and_psutil_without_what_they_might_bring_along():
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], check=True, timeout=60)


def test_what_is_loaded_already_stays():
    script = "import subprocess, sys; from edgebit.inputs.lean import import_psutil; import_psutil(); "
    script += "assert sys.modules['subprocess'] is subprocess"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
