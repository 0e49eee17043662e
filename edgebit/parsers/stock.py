"""Parsers that are there by name without a section of their own.

Each is written as a section would be, and made only when somebody uses it; a [[parser]] section of the same name goes
before. Those with a "_" in front belong to built-in multiline parsers.
"""

from __future__ import annotations

_ISO = "%Y-%m-%dT%H:%M:%S.%L"

STOCK: dict[str, dict[str, object]] = {
    "_ml_cri": {
        "format": "regex",
        "regex": r"^(?<time>[^ ]++) (?<stream>stdout|stderr) (?<_p>[FP]) (?<log>.*)$",
        "skip_empty_values": False, "time_format": _ISO + "%z", "time_keep": True, "time_strict": False,
    },
    "_ml_json_docker": {"format": "json", "time_format": _ISO, "time_keep": True, "time_strict": False},
}  # fmt: skip
