"""Importing paho-mqtt, and psutil, without what they bring along and edgebit doesn't use: 9 MB down to 2.

paho imports ssl (TLS is done in stream.py, under it), urllib.request (for proxies), and hashlib (for web sockets), which
loads OpenSSL; and logging, platform, urllib.parse and uuid (for loggers, Windows, proxies and client ids of its own making).
While it is imported, small stand-ins are in their places; afterwards everybody else gets the real ones. What is loaded
already is left alone: it costs nothing more.
"""

from __future__ import annotations

import sys
from types import ModuleType

# What paho's code names at run time: in `except` clauses, whenever its socket raises BlockingIOError.
_SSL_NAMES = ("SSLWantReadError", "SSLWantWriteError")
_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
# hashlib falls back on these when there is no OpenSSL, and complains loudly without them.
_BUILT_IN_HASHES = ("_md5", "_sha1", "_sha3", "_blake2")


def import_paho() -> None:
    """Import paho.mqtt.client, or have it imported already."""
    if "paho.mqtt.client" in sys.modules:
        return
    ssl = ModuleType("ssl")
    for name in _SSL_NAMES:
        setattr(ssl, name, type(name, (OSError,), {}))
    logging, platform = ModuleType("logging"), ModuleType("platform")
    for name, level in _LEVELS.items():
        setattr(logging, name, level)
    platform.system = lambda: "Linux"  # type: ignore[attr-defined]  # asked at once, for the sake of Windows
    stand_ins: dict[str, ModuleType | None] = {"ssl": ssl, "logging": logging, "platform": platform}
    for name in ("urllib.request", "urllib.parse", "uuid"):
        stand_ins[name] = ModuleType(name)
    lean_hashes = "hashlib" not in sys.modules and _has_built_in_hashes()
    if lean_hashes:
        stand_ins["_hashlib"] = None  # importing it fails
    with _instead(stand_ins):
        import paho.mqtt.client  # noqa: F401
    if lean_hashes:
        sys.modules.pop("hashlib", None)  # the next who imports it gets OpenSSL's


def import_psutil() -> None:
    """Import psutil without subprocess, which it has for a class that starts programs."""
    with _instead({"subprocess": ModuleType("subprocess")}):
        import psutil  # noqa: F401


class _instead:
    """While this is entered, modules that are not loaded yet are others; None is how to block one."""

    def __init__(self, modules: dict[str, ModuleType | None]) -> None:
        self._modules = {name: module for name, module in modules.items() if name not in sys.modules}

    def __enter__(self) -> None:
        sys.modules.update(self._modules)  # type: ignore[arg-type]  # None is allowed

    def __exit__(self, *_: object) -> None:
        for name in self._modules:
            del sys.modules[name]


def _has_built_in_hashes() -> bool:
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in _BUILT_IN_HASHES)
