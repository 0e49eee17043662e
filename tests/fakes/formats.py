"""Formats as the agent builds them, and chunks to feed them with."""

from __future__ import annotations

from typing import Any, cast

from edgebit import registry
from edgebit.options import Setting, read
from edgebit.plugin import Format
from edgebit.record import Chunk, from_dict

T0 = 1_700_000_000_123_456_789  # 2023-11-14T22:13:20.123456789Z


def make_format(name: str, agent_id: str = "agent", stream_id: str = "stream", **options: object) -> Format:
    """A format with these options; "__" in a name stands for "."."""
    cls = cast("type[Format]", registry.find("format", name))
    settings = [Setting(key.replace("__", "."), value) for key, value in options.items()]
    return cls(read(cls.OPTIONS, settings, f"format {name}"), agent_id, stream_id)


def chunk_of(*fields: dict[str, Any], time_ns: int = T0, tag: str = "t", seq: int = 1) -> Chunk:
    """A chunk with these records, a second apart."""
    return Chunk(tag, [from_dict(time_ns + i * 10**9, one) for i, one in enumerate(fields)], seq=seq)
