"""paho is loaded without what only costs memory, and nobody else notices."""

import subprocess
import sys

SCRIPT = """
import sys
import edgebit.net.mqtt
for name in ("ssl", "_ssl", "_hashlib", "urllib.request", "http.client", "hashlib"):
    assert name not in sys.modules, name
import hashlib, ssl, urllib.request
assert ssl.SSLContext and urllib.request.urlopen
assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
assert hashlib.new("sha256").name == "sha256"
"""


def test_paho_without_what_it_brings_along():
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], check=True, timeout=60)


def test_what_is_loaded_already_stays():
    script = "import hashlib, ssl, sys; import edgebit.net.mqtt; assert sys.modules['ssl'] is ssl; "
    subprocess.run([sys.executable, "-c", script + "assert sys.modules['hashlib'] is hashlib"], check=True, timeout=60)
