"""Figures as a table for people."""

from __future__ import annotations

from benchlab.lab import Cost, Scenario

_HEAD = ("scenario", "program", "µs/record", "ratio", "wall s", "MB/s/core", "peak MB", "RSS MB", "PSS MB", "wake-ups/s",
         "disk MB", "wire MB", "start s", "lost")  # fmt: skip


def table(scenarios: dict[tuple[str, str], Scenario], medians: dict[tuple[str, str], Cost]) -> str:
    rows: list[tuple[str, ...]] = [_HEAD]
    for (name, program), cost in medians.items():
        base = medians.get(scenarios[name, program].reference or ("", ""))
        rows.append((
            name, program, f"{cost.per_record:.2f}",
            f"{cost.per_record / base.per_record:.2f}" if base else "-",
            f"{cost.wall:.1f}",
            f"{cost.wire / 1e6 / cost.cpu:.0f}" if cost.wire and cost.cpu else "-",
            _mb(cost.peak_rss), _mb(cost.rss), _mb(cost.pss),
            f"{cost.wakeups / cost.wall:.1f}" if cost.wall else "-", _mb(cost.disk), _mb(cost.wire),
            f"{cost.startup:.2f}" if cost.startup else "-", f"{cost.lost:.0f}",
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))).rstrip()
             for row in rows]  # fmt: skip
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f}" if size else "-"
