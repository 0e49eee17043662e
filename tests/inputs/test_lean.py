"""paho is loaded without what only costs memory, and nobody else notices."""

import subprocess
import sys

SCRIPT = """
import sys
import edgebit.net.mqtt
from edgebit.net.lean import import_psutil
import_psutil()
others = ("logging", "platform", "subprocess", "uuid")
for name in ("ssl", "_ssl", "_hashlib", "urllib.request", "http.client", "hashlib", *others):
    assert name not in sys.modules, name
import hashlib, logging, platform, psutil, ssl, subprocess, urllib.request, uuid
assert logging.getLogger() and platform.machine and subprocess.run and urllib.parse.quote and uuid.uuid4()
assert psutil.cpu_times() and psutil.virtual_memory() and psutil.disk_io_counters and psutil.net_io_counters()
assert ssl.SSLContext and urllib.request.urlopen
assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
assert hashlib.new("sha256").name == "sha256"
"""


def test_paho_without_what_it_brings_along():
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], check=True, timeout=60)


def test_what_is_loaded_already_stays():
    script = "import hashlib, ssl, sys; import edgebit.net.mqtt; assert sys.modules['ssl'] is ssl; "
    subprocess.run([sys.executable, "-c", script + "assert sys.modules['hashlib'] is hashlib"], check=True, timeout=60)
