"""Importing psutil without what it brings along and edgebit doesn't use.

It imports subprocess, for a class that starts programs. Meanwhile a stand-in is in its place; afterwards everybody else
gets the real one. If that is loaded already, it costs nothing more and is left alone.
"""

from __future__ import annotations

import sys
from types import ModuleType


def import_psutil() -> None:
    """Import psutil, or have it imported already."""
    lean = "subprocess" not in sys.modules
    if lean:
        sys.modules["subprocess"] = ModuleType("subprocess")
    try:
        import psutil  # noqa: F401
    finally:
        if lean:
            del sys.modules["subprocess"]
