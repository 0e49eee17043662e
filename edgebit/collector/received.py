"""Which records a collector has: per stream the sequence numbers received, so that duplicates and gaps are arithmetic.

A record is named for ever by (agent, stream, sequence), sequences start at 1 (see docs on delivery identity). What has
come is kept as merged intervals, one while nothing is missing, so a stream of any length takes a few hundred bytes.
Everything is bounded: intervals a stream, streams, tags a stream, losses a stream. Where a bound forces something to be
forgotten, the mistake is made on the side of a duplicate, never of a lost record.

What an agent says it has lost (records of the tag edgebit.loss) is kept beside the intervals and explains gaps.

Pure bookkeeping: no file, no clock, no network. The JSON forms here are on disk and in GET /stats; add keys, but don't
change what the present ones mean.
"""

from __future__ import annotations

import json
from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Span = tuple[int, int]  # first and last sequence, both included

MAX_SPANS = 1024  # intervals a stream: a stream delivered in order needs one
MAX_STREAMS = 4096  # 4096 streams x 1024 intervals x ~150 bytes: the worst a hostile sender can do is bounded
MAX_TAGS = 256  # tags counted by name a stream
MAX_LOSSES = 256  # losses kept a stream, the newest ones
SHOWN_GAPS = 100  # gaps listed one by one in the statistics; `missing` counts all
MAX_SEQUENCE = 2**63 - 1
OTHER_TAGS = "(other tags)"


class Spans:
    """A set of sequence numbers as sorted, merged intervals. Up to `floor` nothing is remembered."""

    __slots__ = ("floor", "limit", "missing_below", "spans")

    def __init__(
        self, spans: Iterable[Span] = (), floor: int = 0, missing_below: int = 0, limit: int = MAX_SPANS
    ) -> None:
        self.spans: list[Span] = list(spans)
        self.floor, self.missing_below, self.limit = floor, missing_below, limit

    def absent(self, first: int, last: int) -> list[Span]:
        """What of first..last is not in the set, in order. At or below the floor everything counts as absent."""
        spans = self.spans
        if not spans or first > spans[-1][1]:  # the next batch of a healthy stream
            return [(first, last)]
        found = []
        for lo, hi in spans[bisect_left(spans, first, key=_last) :]:
            if lo > last:
                break
            if first < lo:
                found.append((first, lo - 1))
            first = hi + 1
        if first <= last:
            found.append((first, last))
        return found

    def add(self, first: int, last: int) -> None:
        """Put first..last into the set."""
        first = max(first, self.floor + 1)
        if first > last:
            return
        spans = self.spans
        start = stop = bisect_left(spans, first - 1, key=_last)  # the first one that touches or follows
        while stop < len(spans) and spans[stop][0] <= last + 1:
            first, last = min(first, spans[stop][0]), max(last, spans[stop][1])
            stop += 1
        spans[start:stop] = [(first, last)]
        if len(spans) > self.limit:
            # Forgetting the lowest span risks a duplicate; closing a gap would turn away the late records that fill it.
            lo, hi = spans.pop(0)
            self.missing_below += lo - 1 - self.floor
            self.floor = hi

    def gaps(self) -> list[Span]:
        """The intervals between 1 (or the floor) and the highest sequence that never came."""
        before, found = self.floor, []
        for lo, hi in self.spans:
            if lo > before + 1:
                found.append((before + 1, lo - 1))
            before = hi
        return found

    @property
    def missing(self) -> int:
        """How many sequence numbers below the highest one never came."""
        return self.missing_below + sum(hi - lo + 1 for lo, hi in self.gaps())

    @property
    def highest(self) -> int:
        return self.spans[-1][1] if self.spans else self.floor


def _last(span: Span) -> int:
    return span[1]


class Loss:
    """What an agent has told of a loss: `count` records out of first..last. Losses far apart may come as one, so there may
    be fewer than that."""

    __slots__ = ("count", "first", "last", "reason")

    def __init__(self, reason: str, first: int, last: int, count: int) -> None:
        if not 0 < first <= last <= MAX_SEQUENCE or not 0 < count <= last - first + 1:
            raise ValueError("no such sequence numbers")
        self.reason, self.first, self.last, self.count = reason, first, last, count

    def replaces(self, other: Loss) -> bool:
        """Whether this is the same loss told again; it may have grown in the meantime."""
        return self.reason == other.reason and self.first <= other.first and other.last <= self.last

    def state(self) -> dict[str, Any]:
        return {"reason": self.reason, "first": self.first, "last": self.last, "count": self.count}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Loss:
        return cls(str(state["reason"]), int(state["first"]), int(state["last"]), int(state["count"]))


class Stream:
    """What came of one stream, or (agent and stream "") without any identity."""

    __slots__ = ("agent", "duplicates", "heard", "losses", "name", "records", "spans", "tags")

    def __init__(self, agent: str, name: str) -> None:
        self.agent, self.name = agent, name
        self.spans = Spans()
        self.records = self.duplicates = 0
        self.heard = 0  # number of the batch that came last
        self.tags: dict[str, int] = {}
        self.losses: list[Loss] = []  # as the agent has told them

    def explain(self, loss: Loss) -> None:
        """The agent says what became of these records."""
        if any(known.replaces(loss) for known in self.losses):
            return
        self.losses = [known for known in self.losses if not loss.replaces(known)][1 - MAX_LOSSES :] + [loss]

    def explained(self) -> dict[str, int]:
        """How many of the missing records the agent has told the reason of, by reason."""
        gaps, left = self.spans.gaps(), self.spans.missing
        found: dict[str, int] = {}
        for loss in self.losses:
            overlap = sum(max(0, min(hi, loss.last) - max(lo, loss.first) + 1) for lo, hi in gaps)
            count = min(overlap, loss.count, left)
            if count:
                left -= count
                found[loss.reason] = found.get(loss.reason, 0) + count
        return found

    def lost_after(self) -> dict[str, int]:
        """What the agent says it has lost behind the last record that came, by reason: no gap tells of these."""
        found: dict[str, int] = {}
        for loss in self.losses:
            count = min(loss.count, loss.last - max(self.spans.highest, loss.first - 1))
            if count > 0:
                found[loss.reason] = found.get(loss.reason, 0) + count
        return found

    def count(self, tag: str, records: int, duplicates: int) -> None:
        self.records += records
        self.duplicates += duplicates
        if tag not in self.tags and len(self.tags) >= MAX_TAGS:
            tag = OTHER_TAGS
        self.tags[tag] = self.tags.get(tag, 0) + records

    def stats(self) -> dict[str, Any]:
        """As in GET /stats."""
        out: dict[str, Any] = {"agent": self.agent, "stream": self.name, "records": self.records,
                               "duplicates": self.duplicates, "tags": dict(self.tags)}  # fmt: skip
        if self.name:
            reasons = self.explained()
            out |= {"last": self.spans.highest, "missing": self.spans.missing, "gaps": self.spans.gaps()[:SHOWN_GAPS],
                    "explained": sum(reasons.values()), "reasons": reasons,
                    "lost_after": self.lost_after(), "losses": [loss.state() for loss in self.losses]}  # fmt: skip
        return out

    def state(self) -> dict[str, Any]:
        """As in the state file."""
        spans = self.spans
        return {"agent": self.agent, "stream": self.name, "records": self.records, "duplicates": self.duplicates,
                "tags": self.tags, "spans": spans.spans, "floor": spans.floor, "missing_below": spans.missing_below,
                "heard": self.heard, "losses": [loss.state() for loss in self.losses]}  # fmt: skip

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Stream:
        """The inverse of `state`. Raises KeyError, TypeError or ValueError on anything else."""
        stream = cls(str(state["agent"]), str(state["stream"]))
        spans = [(int(lo), int(hi)) for lo, hi in state["spans"]]
        stream.spans = Spans(spans, int(state["floor"]), int(state["missing_below"]))
        stream.records, stream.duplicates = int(state["records"]), int(state["duplicates"])
        stream.heard = int(state["heard"])
        stream.tags = {str(tag): int(n) for tag, n in state["tags"].items()}
        stream.losses = [Loss.from_state(loss) for loss in state.get("losses", ())]  # not in states of earlier versions
        return stream


class Received:
    """All streams. `batches` counts those entered and is the number of the last."""

    def __init__(self) -> None:
        self.streams: dict[tuple[str, str], Stream] = {}
        self.batches = 0
        self.forgotten = 0  # streams given up because there were too many

    def absent(self, agent: str, stream: str, first: int, count: int) -> list[Span]:
        """Which of these sequence numbers are new. Without a stream id all are."""
        known = self.streams.get((agent, stream))
        if known is None or not stream:
            return [(first, first + count - 1)]
        return known.spans.absent(first, first + count - 1)

    def enter(self, agent: str, stream: str, tag: str, first: int, count: int, new: int) -> Stream:
        """A batch of `count` records from sequence `first` is written, `new` of them had not been there."""
        self.batches += 1
        entry = self._stream(agent, stream)
        if stream:
            entry.spans.add(first, first + count - 1)
        entry.count(tag, new, count - new)
        return entry

    def explain(self, agent: str, lines: Iterable[str]) -> None:
        """Records of the tag edgebit.loss of this agent, as JSON. What isn't understood explains nothing."""
        for line in lines:
            try:
                told = json.loads(line)
                stream = str(told["stream"])
                loss = Loss(
                    str(told["reason"])[:200],
                    int(told["first_sequence"]),
                    int(told["last_sequence"]),
                    int(told["count"]),
                )
            except (ValueError, KeyError, TypeError, OverflowError):
                continue
            if agent and 0 < len(stream) <= 64:
                self._stream(agent, stream).explain(loss)

    def _stream(self, agent: str, stream: str) -> Stream:
        key = (agent, stream)
        entry = self.streams.get(key)
        if entry is None:
            if len(self.streams) >= MAX_STREAMS:
                del self.streams[min(self.streams, key=lambda k: self.streams[k].heard)]
                self.forgotten += 1
            entry = self.streams[key] = Stream(agent, stream)
        entry.heard = self.batches
        return entry

    # -- what others see -----------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """The totals and every stream, as GET /stats answers them."""
        streams = [stream.stats() for stream in self._sorted()]
        keys = ("records", "duplicates", "missing", "explained")
        totals = {key: sum(stream.get(key, 0) for stream in streams) for key in keys}
        return {"batches": self.batches, **totals, "forgotten_streams": self.forgotten, "streams": streams}

    def summary(self) -> str:
        """The same for a person to read."""
        stats = self.stats()
        lines = [f"{number(stats['records'], 'record')} in {number(stats['batches'], 'batch')}, "
                 f"{number(stats['duplicates'], 'duplicate')} removed, {stats['missing'] or 'none'} missing"
                 + (f", {stats['explained']} of them explained" if stats["explained"] else "")]  # fmt: skip
        for stream in stats["streams"]:
            who = f"agent {stream['agent']}, stream {stream['stream']}" if stream["stream"] else "without identity"
            text = f"{who}: {number(stream['records'], 'record')}"
            if stream["stream"]:
                text += f", {number(stream['duplicates'], 'duplicate')}, {_missing(stream)}"
            lines.append(text)
            width = max(map(len, stream["tags"]), default=0)
            lines += [f"    {tag:{width}}  {count}" for tag, count in sorted(stream["tags"].items())]
        if self.forgotten:
            lines.append(f"{number(self.forgotten, 'stream')} forgotten: more than {MAX_STREAMS} were seen")
        return "\n".join(lines)

    def state(self) -> dict[str, Any]:
        return {"version": 1, "batches": self.batches, "forgotten": self.forgotten,
                "streams": [stream.state() for stream in self.streams.values()]}  # fmt: skip

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Received:
        """The inverse of `state`. Raises KeyError, TypeError or ValueError on anything else."""
        if state["version"] != 1:
            raise ValueError(f"version {state['version']} is not 1")
        received = cls()
        received.batches, received.forgotten = int(state["batches"]), int(state["forgotten"])
        for one in state["streams"]:
            stream = Stream.from_state(one)
            received.streams[stream.agent, stream.name] = stream
        return received

    def _sorted(self) -> list[Stream]:
        return [self.streams[key] for key in sorted(self.streams)]


def number(count: int, noun: str) -> str:
    """ "1 batch", "2 batches"."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{count} {noun if count == 1 else plural}"


def _missing(stream: dict[str, Any]) -> str:
    """ "missing 120 (sequence 5 to 124), explained by the agent: buffer full, oldest dropped"."""
    text = "none missing"
    if stream["missing"]:
        text = f"missing {stream['missing']} (sequence {_spans(stream['gaps'])}), "
        if not stream["explained"]:
            text += "not explained"
        elif stream["explained"] == stream["missing"] and len(stream["reasons"]) == 1:
            text += f"explained by the agent: {next(iter(stream['reasons']))}"
        else:
            text += f"{stream['explained']} of them explained by the agent: {_reasons(stream['reasons'])}"
    if stream["lost_after"]:
        text += f"; behind them the agent has lost {_reasons(stream['lost_after'])}"
    return text


def _reasons(counts: dict[str, int]) -> str:
    return "; ".join(f"{count}: {reason}" for reason, count in counts.items())


def _spans(spans: list[Span]) -> str:
    """ "1 to 4, 9", ten intervals at most."""
    shown = ", ".join(str(lo) if lo == hi else f"{lo} to {hi}" for lo, hi in spans[:10])
    return shown + (" and more" if len(spans) > 10 else "")
