"""Importing paho-mqtt without what it brings along and edgebit doesn't use: 9 MB down to 2.

paho imports ssl (TLS is done in stream.py, under it), urllib.request (for proxies), and hashlib (for web sockets), which
loads OpenSSL. While it is imported, small stand-ins are in their places; afterwards everybody else gets the real
ones. What is loaded already is left alone: it costs nothing more.
"""

from __future__ import annotations

import sys
from types import ModuleType

# What paho's code names at run time: in `except` clauses, whenever its socket raises BlockingIOError.
_SSL_NAMES = ("SSLWantReadError", "SSLWantWriteError")
# hashlib falls back on these when there is no OpenSSL, and complains loudly without them.
_BUILT_IN_HASHES = ("_md5", "_sha1", "_sha3", "_blake2")


def import_paho() -> None:
    """Import paho.mqtt.client, or have it imported already."""
    if "paho.mqtt.client" in sys.modules:
        return
    ssl = ModuleType("ssl")
    for name in _SSL_NAMES:
        setattr(ssl, name, type(name, (OSError,), {}))
    stand_ins: dict[str, ModuleType | None] = {"ssl": ssl, "urllib.request": ModuleType("urllib.request")}
    lean_hashes = "hashlib" not in sys.modules and _has_built_in_hashes()
    if lean_hashes:
        stand_ins["_hashlib"] = None  # importing it fails
    placed = [name for name in stand_ins if name not in sys.modules]
    sys.modules.update({name: stand_ins[name] for name in placed})  # type: ignore[misc]  # None is how to block a module
    try:
        import paho.mqtt.client  # noqa: F401
    finally:
        for name in placed:
            del sys.modules[name]
        if lean_hashes:
            sys.modules.pop("hashlib", None)  # the next who imports it gets OpenSSL's


def _has_built_in_hashes() -> bool:
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in _BUILT_IN_HASHES)
