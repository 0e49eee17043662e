"""Counters by plugin, and the ledger of losses.

Counters only go up; gauges are read from functions when somebody asks. The ledger has an entry for each
(output or input, reason) with the number of records and the first and last sequence, so that every record that did not
arrive is accounted for. Nothing here does input or output.
"""

from __future__ import annotations

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


class Loss:
    """One line of the ledger. first and last are 0 for records that never got a sequence number."""

    __slots__ = ("count", "first", "last")

    def __init__(self) -> None:
        self.count = self.first = self.last = 0


class Stats:
    """All counters of the process, by (kind, instance name)."""

    def __init__(self) -> None:
        self.plugins: dict[tuple[str, str], Counters] = {}
        self.ledger: dict[tuple[str, str], Loss] = {}

    def counters(self, kind: str, name: str) -> Counters:
        return self.plugins.setdefault((kind, name), Counters())

    def lost(self, who: str, why: str, count: int, first: int = 0) -> bool:
        """Enter a loss: `who` is the plugin's name, `first` the first sequence number. True if it is a new entry."""
        if not count:
            return False
        new = (who, why) not in self.ledger
        entry = self.ledger.setdefault((who, why), Loss())
        entry.count += count
        if first:
            entry.first = entry.first or first
            entry.last = max(entry.last, first + count - 1)
        return new

    def lines(self) -> list[str]:
        """The state as text, a line a plugin, then a line a loss."""
        out = []
        for (kind, name), counters in self.plugins.items():
            pairs = " ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}"
                             for k, v in counters.snapshot().items())  # fmt: skip
            out.append(f"{kind} {name}: {pairs or 'nothing yet'}")
        for (who, why), loss in self.ledger.items():
            span = f" (sequence {loss.first} to {loss.last})" if loss.first else ""
            out.append(f"lost by {who}: {loss.count} records, {why}{span}")
        return out
