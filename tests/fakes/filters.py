"""A filter as the agent would make it from settings, and what it makes of records given as dicts."""

from __future__ import annotations

from typing import Any

from edgebit import registry
from edgebit.options import Setting, read
from edgebit.plugin import Filter
from edgebit.record import from_dict, to_dict
from fakes.context import FakeFilterContext


def make_filter(plugin: str, *settings: tuple[str, object], ctx: FakeFilterContext | None = None) -> Filter:
    """Settings are (key, value) in the order of the file. Raises ConfigError."""
    cls = registry.find("filter", plugin)
    assert issubclass(cls, Filter)
    options = read(cls.OPTIONS, [Setting(key, value, "f.toml:7") for key, value in settings], f"filter {plugin}")
    return cls(options, ctx or FakeFilterContext())


def filtered(plugin: str, settings: list[tuple[str, object]], records: list[dict[str, Any]], tag: str = "t",
             ctx: FakeFilterContext | None = None) -> list[list[tuple[str, Any]]]:  # fmt: skip
    """The fields of the records that go on, in order."""
    made = make_filter(plugin, *settings, ctx=ctx)
    return [
        list(to_dict(record).items()) for record in made.process(tag, [from_dict(i, r) for i, r in enumerate(records)])
    ]
