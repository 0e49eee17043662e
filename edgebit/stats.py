"""Counters by plugin, and the ledger of losses with them.

Counters only go up; gauges are read from functions when somebody asks. Nothing here does input or output.
"""

from __future__ import annotations

from edgebit.ledger import Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Counters:
    """The counters and gauges of one plugin: ``counters.add("records", 3)``."""

    __slots__ = ("gauges", "values")

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.gauges: dict[str, Callable[[], float]] = {}

    def add(self, name: str, n: int = 1) -> None:
        self.values[name] = self.values.get(name, 0) + n

    def get(self, name: str) -> int:
        return self.values.get(name, 0)

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        self.gauges[name] = read

    def snapshot(self) -> dict[str, float]:
        """All counters and gauges now."""
        return {**self.values, **{name: read() for name, read in self.gauges.items()}}


class Stats:
    """All counters of the process, by (kind, instance name)."""

    def __init__(self) -> None:
        self.plugins: dict[tuple[str, str], Counters] = {}
        self.ledger = Ledger()

    def counters(self, kind: str, name: str) -> Counters:
        return self.plugins.setdefault((kind, name), Counters())

    def lines(self) -> list[str]:
        """The state as text, a line a plugin, then a line a loss."""
        out = []
        for (kind, name), counters in self.plugins.items():
            pairs = " ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}"
                             for k, v in counters.snapshot().items())  # fmt: skip
            out.append(f"{kind} {name}: {pairs or 'nothing yet'}")
        out += self.ledger.lines()
        return out
