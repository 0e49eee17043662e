"""The ledger of losses: every record that was dropped, expired, rejected, damaged or given up, by output, reason and stream,
with sequence numbers, so that a gap at the collector always has an explanation.

Losses before a record has a number (what the kernel dropped in front of an input) are counted by input, reason and time,
and told to every output that takes the input's tag.

It is kept across restarts (``<state_dir>/ledger.json``, written at most once a second and at the stop) and tells each
output's collector what was lost as records of the tag `edgebit.loss`. What was told and is safe is marked as reported; so
a loss is told at least once, over crashes, too. Totals are in every record: telling one twice does no harm.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Key = tuple[str, str, str, str]

TAG = "edgebit.loss"
_RANGES = 32  # spans of sequence numbers kept an entry until they are reported; then the nearest ones are joined


class Entry:
    """Losses of one output for one reason in one stream. `spans` are those not reported yet, as [first, last, count]; first
    and last are 0 for records that never got a sequence number.

    With `input` it is about what that input missed, `who` is an output that shall be told, and spans are times in
    nanoseconds since the epoch. The one with `who` "" is told to nobody; it has the total, and one span for all of it.
    """

    __slots__ = ("count", "input", "reason", "spans", "stream", "who")

    def __init__(self, who: str, reason: str, stream: str, count: int = 0, spans: list[list[int]] | None = None,
                 input: str = "") -> None:  # fmt: skip
        self.who, self.reason, self.stream, self.count, self.input = who, reason, stream, count, input
        self.spans = spans or []

    @property
    def key(self) -> Key:
        return (self.who, self.reason, self.stream, self.input)

    def add(self, count: int, first: int) -> None:
        self.count += count
        last = first + count - 1 if first else 0
        if self.spans and (self.spans[-1][1] + 1 == first or not first):
            self.spans[-1][1] = max(self.spans[-1][1], last)
            self.spans[-1][2] += count
            return
        self.spans.append([first, last, count])
        self._bound()

    def add_at(self, count: int, now_ns: int) -> None:
        """A loss at an input: one span, unless there are several because one is being told."""
        self.count += count
        self.spans.append([now_ns, now_ns, count])
        if not self.who:
            self.join(0)
        self._bound()

    def join(self, start: int) -> None:
        """Make one of the spans from this index on; only of those that nobody is telling now."""
        if len(self.spans) > start + 1:
            firsts, lasts, counts = zip(*self.spans[start:])
            self.spans[start:] = [[min(firsts), max(lasts), sum(counts)]]

    def _bound(self) -> None:
        if len(self.spans) > _RANGES:
            # Joined spans claim more than they should; their count stays exact.
            one, two = self.spans.pop(0), self.spans[0]
            self.spans[0] = [min(one[0], two[0]) or two[0], max(one[1], two[1]), one[2] + two[2]]


class Ledger:
    """All entries. `changed` is called when there is something new to keep; call `keep` to have it kept before you go on."""

    def __init__(self, changed: Callable[[], object] = lambda: None, keep: Callable[[], object] = lambda: None) -> None:
        self.entries: dict[Key, Entry] = {}
        self.changed, self.keep = changed, keep

    def lost(self, who: str, reason: str, count: int, first: int = 0, stream: str = "") -> bool:
        """Enter a loss; True if it is the first of its kind."""
        if not count:
            return False
        new = not any(entry.who == who and entry.reason == reason for entry in self.entries.values())
        self._entry(Entry(who, reason, stream)).add(count, first)
        self.changed()
        return new

    def lost_at(self, input: str, reason: str, count: int, now_ns: int, outputs: Sequence[str]) -> None:
        """Enter what an input missed, to be told to these outputs."""
        if count:
            for who in ("", *outputs):
                self._entry(Entry(who, reason, "", input=input)).add_at(count, now_ns)
            self.changed()

    def _entry(self, wanted: Entry) -> Entry:
        entry = self.entries.setdefault(wanted.key, wanted)
        if len(self.entries) > 1000:
            self._merge_oldest()
        return entry

    def _merge_oldest(self) -> None:
        """Streams come and go with crashes; their losses stay in the total of the output."""
        old = next((entry for entry in self.entries.values() if entry.stream), None)
        if old is not None:
            del self.entries[old.key]
            merged = Entry(old.who, old.reason, "")
            self.entries.setdefault(merged.key, merged).count += old.count

    def lines(self) -> list[str]:
        """A line an output and reason, then one an input and reason."""
        totals: dict[tuple[str, str], list[int]] = {}
        for entry in self.entries.values():
            if entry.input:
                continue
            total = totals.setdefault((entry.who, entry.reason), [0, 0, 0])
            total[0] += entry.count
            for first, last, _ in entry.spans:
                total[1] = first if not total[1] else min(total[1], first or total[1])
                total[2] = max(total[2], last)
        return [
            f"lost by {who}: {count} records, {why}" + (f" (sequence {first} to {last})" if first else "")
            for (who, why), (count, first, last) in totals.items()
        ] + [
            f"missed by {entry.input}: {entry.count}, {entry.reason}" + "".join(map(_times, entry.spans))
            for entry in self.entries.values()
            if entry.input and not entry.who
        ]

    # -- telling the collector ---------------------------------------------------------------------------------------

    def unreported(self, who: str) -> list[tuple[Entry, list[int]]]:
        return [(entry, span) for entry in self.entries.values() if entry.who == who for span in entry.spans]

    def reported(self, entry: Entry, span: list[int]) -> None:
        """The collector has been told of this span (unless it has grown since)."""
        if span in entry.spans:
            entry.spans.remove(span)
            self.changed()

    # -- over restarts -----------------------------------------------------------------------------------------------

    def to_json(self) -> bytes:
        import json

        rows = [
            [e.who, e.reason, e.stream, e.count, e.spans, *([e.input] if e.input else [])]
            for e in self.entries.values()
        ]
        return json.dumps({"version": 1, "entries": rows}).encode() + b"\n"

    def load(self, data: bytes) -> bool:
        """Take over what `to_json` gave; False if it can't be read."""
        import json

        try:
            found: dict[str, Any] = json.loads(data)
            for who, why, stream, count, spans, *more in found["entries"]:
                spans = [[int(n) for n in span] for span in spans if len(span) == 3]
                entry = Entry(str(who), str(why), str(stream), int(count), spans, str(more[0]) if more else "")
                self.entries[entry.key] = entry
        except (ValueError, KeyError, TypeError):
            return False
        return True


def _times(span: list[int]) -> str:
    import time

    first, last = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ns // 10**9)) for ns in span[:2])
    return f" ({first})" if first == last else f" ({first} to {last})"
