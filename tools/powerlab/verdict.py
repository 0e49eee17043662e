"""What the cuts did, judged by two truths: the followed files as they were in the end, and what the sender had sent when.

A line that is in a followed file at the end must have arrived, and the lines in their order. A syslog message can't be
read again: it may be lost if it was younger at the cut than the storage's bound, and never otherwise. Pure: no file, no
clock.
"""

import re
from dataclasses import dataclass, field

from host import round_of


def bound(storage: str, sync: str) -> float | None:
    """Seconds that a record which can't be read again may have waited and still be lost by a cut; None: any number.

    What docs/buffers.md promises: the sync interval, and before it 0.2 s until a filesystem buffer writes, or the
    `spill_after` (5 s) of a hybrid one."""
    if storage == "memory" or sync == "never":
        return None
    return (5.0 if storage == "hybrid" else 0.2) + (0.0 if sync == "always" else float(sync.removesuffix("s")))


@dataclass
class Cut:
    """One life of the machine, from power on to the cut. Times in seconds; monotonic ones where it says so."""

    number: int
    ready: float | None = None  # from power on; None: it was cut before
    after_ready: float = 0.0
    at: float = 0.0  # monotonic
    collector_up: bool = False
    first_delivery: float | None = None  # of a record of this life, after READY, or after the collector was there
    stored: int = 0  # records that the agent found on its disk when it started
    sectors_lost: int = 0
    removed: int = 0  # duplicates that the collector removed during this life
    # Filled in by `judge`:
    lost: int = 0  # syslog messages
    oldest_lost: float = 0.0  # age at the cut
    lost_old: int = 0  # older than the bound
    again: dict[str, int] = field(default_factory=dict)  # by tag: lines that came again, under other sequence numbers
    lines_missing: int = 0


@dataclass
class Judgement:
    broken: list[str] = field(default_factory=list)  # promises, each a sentence
    ghosts: int = 0  # lines that arrived and that their file lost afterwards
    delivered: dict[str, int] = field(default_factory=dict)  # by tag, each once


def judge(cuts: list[Cut], bound: float | None, allowance: float, files: dict[str, list[str]], synced_to: dict[int, int],
          sent: dict[int, list[float]], collected: dict[str, list[str]], false_reports: int = 0) -> Judgement:  # fmt: skip
    """Fill the cuts' columns in and say what was broken.

    bound      see the function
    allowance  seconds on top of it, for the way to the agent and for the sync itself
    files      by tag: the lines of a followed file at the end
    synced_to  by life: the last line of the tag "synced" that was reported as synced
    sent       by life: when message N was sent, monotonic; a life without a cut may have lost none
    collected  by tag: the texts in order of arrival, duplicates removed as far as the collector could
    false_reports  records that the agent reported as lost, and that arrived
    """
    result = Judgement()
    if false_reports:
        result.broken.append(f"{false_reports} records are reported as lost, and arrived")
    by_number = {cut.number: cut for cut in cuts}
    _judge_rig(files["synced"], synced_to, result)
    for tag, lines in files.items():
        _judge_lines(tag, lines, collected[tag], by_number, result)
    _judge_messages(sent, collected["syslog"], by_number, bound, allowance, result)
    result.delivered = {tag: len(set(texts)) for tag, texts in collected.items()}
    return result


def _judge_rig(lines: list[str], synced_to: dict[int, int], result: Judgement) -> None:
    there = {(int(r), int(n)) for r, n in re.findall(r"R(\d+) N(\d+) U", "\n".join(lines))}
    for number, last in synced_to.items():
        gone = [n for n in range(1, last + 1) if (number, n) not in there]
        if gone:
            result.broken.append(f"the test itself: the drive lost lines {gone[0]} to {gone[-1]} of life {number}, which "
                                 "had been synced")  # fmt: skip


def _judge_lines(tag: str, lines: list[str], arrived: list[str], cuts: dict[int, Cut], result: Judgement) -> None:
    times = _count(arrived)
    missing = [line for line in lines if line not in times]
    for line in missing:
        if round_of(line) in cuts:
            cuts[round_of(line)].lines_missing += 1
    if missing:
        result.broken.append(f"{len(missing)} lines are in {tag}.log and never arrived, the first is {missing[0]!r}")
    there = set(lines)
    result.ghosts += sum(line not in there for line in times)
    expected = [line for line in lines if line in times]
    got = [line for line in times if line in there]
    if got != expected:
        at = next(i for i, (one, other) in enumerate(zip(got, expected)) if one != other)
        result.broken.append(f"{tag}: out of order, {got[at]!r} came where {expected[at]!r} was due")
    for line, n in times.items():
        if round_of(line) in cuts:
            again = cuts[round_of(line)].again
            again[tag] = again.get(tag, 0) + n - 1


def _judge_messages(sent: dict[int, list[float]], arrived: list[str], cuts: dict[int, Cut], bound: float | None,
                    allowance: float, result: Judgement) -> None:  # fmt: skip
    times = _count(arrived)
    for number, moments in sent.items():
        lost = [i for i in range(len(moments)) if f"R{number} N{i + 1}" not in times]
        cut = cuts.get(number)
        if cut is None:
            if lost:
                result.broken.append(f"{len(lost)} messages of life {number} are lost, which had no cut")
            continue
        cut.lost = len(lost)
        cut.oldest_lost = max(0.0, cut.at - moments[lost[0]]) if lost else 0.0
        if bound is not None:
            cut.lost_old = sum(cut.at - moments[i] > bound + allowance for i in lost)
            if cut.lost_old:
                result.broken.append(f"cut {number}: {cut.lost_old} messages older than {bound:g} s are lost, the oldest "
                                     f"was {cut.oldest_lost:.2f} s old")  # fmt: skip
        # What survives is what came first: a hole would be a record that the order of syncs can't explain.
        if lost and len(lost) != len(moments) - lost[0]:
            result.broken.append(f"cut {number}: messages after lost ones survived (lost {len(lost)} from number "
                                 f"{lost[0] + 1} on, {len(moments)} were sent)")  # fmt: skip
    twice = sum(n - 1 for n in times.values())
    if twice:
        result.broken.append(f"{twice} messages arrived twice under different sequence numbers")
    order = [_order(text) for text in times if round_of(text)]
    if order != sorted(order):
        result.broken.append("messages arrived out of order")


def _order(text: str) -> tuple[int, int]:
    number, message = re.match(r"R(\d+) N(\d+)", text).groups()  # type: ignore[union-attr]  # round_of has matched
    return int(number), int(message)


def _count(texts: list[str]) -> dict[str, int]:
    """How often each came, in the order of its first arrival."""
    times: dict[str, int] = {}
    for text in texts:
        times[text] = times.get(text, 0) + 1
    return times


HEAD = ("cut", "after READY", "collector", "READY in", "stored", "lost (oldest)", "lost old", "removed", "synced again",
        "lazy again", "lines missing", "sectors lost")  # fmt: skip


def row(cut: Cut) -> tuple[str, ...]:
    """A line of the table."""
    return (
        str(cut.number),
        "booting" if cut.ready is None else f"{cut.after_ready:.1f} s",
        "up" if cut.collector_up else "down",
        "-" if cut.ready is None else f"{cut.ready:.0f} s",
        str(cut.stored),
        f"{cut.lost} ({cut.oldest_lost:.2f} s)" if cut.lost else "0",
        str(cut.lost_old),
        str(cut.removed),
        str(cut.again.get("synced", 0)),
        str(cut.again.get("lazy", 0)),
        str(cut.lines_missing),
        str(cut.sectors_lost),
    )


def table(cuts: list[Cut]) -> str:
    """All of them, as Markdown."""
    rows = [HEAD, tuple("---:" for _ in HEAD), *map(row, cuts)]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(HEAD))]
    return "\n".join("| " + " | ".join(c.rjust(w) for c, w in zip(cells, widths)) + " |" for cells in rows)
