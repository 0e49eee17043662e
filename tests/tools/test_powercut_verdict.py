"""The verdict of tools/powercut: each promise, when it is kept and when it is broken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LAB = Path(__file__).parents[2] / "tools" / "powerlab"


@pytest.fixture(scope="module")
def lab() -> Iterator[object]:
    sys.path.insert(0, str(LAB))
    import verdict

    yield verdict
    sys.path.remove(str(LAB))


def line(life: int, n: int) -> str:
    return f"R{life} N{n} U1.00 ----"


def message(life: int, n: int) -> str:
    return f"R{life} N{n}"


class Story:
    """Two lives of five lines and messages each; the first one ends with a cut at second 100. All arrived."""

    def __init__(self, lab) -> None:
        self.lab = lab
        self.cut = lab.Cut(1, ready=20.0, at=100.0)
        self.lines = [line(life, n) for life in (1, 2) for n in range(1, 6)]
        self.files = {"synced": list(self.lines), "lazy": []}
        self.collected = {"synced": list(self.lines), "lazy": [],
                          "syslog": [message(life, n) for life in (1, 2) for n in range(1, 6)]}  # fmt: skip
        self.sent = {1: [91.0, 93.0, 95.0, 97.0, 99.5], 2: [120.0] * 5}
        self.synced_to = {1: 5}
        self.false_reports = 0

    def judge(self, bound: float | None = 1.0):
        return self.lab.judge([self.cut], bound, 0.5, self.files, self.synced_to, self.sent, self.collected,
                              self.false_reports)  # fmt: skip


@pytest.fixture
def story(lab) -> Story:
    return Story(lab)


def test_everything_arrived(story):
    assert story.judge().broken == []
    assert (story.cut.lost, story.cut.again["synced"]) == (0, 0)


def test_what_arrived_is_reported_as_lost(story):
    story.false_reports = 7
    assert story.judge().broken == ["7 records are reported as lost, and arrived"]


def test_a_line_that_is_in_its_file_and_never_arrived(story):
    story.collected["synced"].remove(line(1, 3))

    assert "1 lines are in synced.log and never arrived" in story.judge().broken[0]
    assert story.cut.lines_missing == 1


def test_a_line_that_its_file_lost_after_it_arrived_is_no_harm(story):
    story.collected["lazy"] = [line(1, 1)]

    result = story.judge()

    assert result.broken == []
    assert result.ghosts == 1


def test_lines_twice_are_counted(story):
    story.collected["synced"][5:5] = [line(1, 4), line(1, 5)]

    assert story.judge().broken == []
    assert story.cut.again["synced"] == 2


def test_lines_out_of_order(story):
    story.collected["synced"][1:3] = [line(1, 3), line(1, 2)]

    assert "out of order" in story.judge().broken[0]


def test_a_young_message_may_be_lost(story):
    story.collected["syslog"].remove(message(1, 5))

    assert story.judge().broken == []
    assert (story.cut.lost, story.cut.oldest_lost, story.cut.lost_old) == (1, 0.5, 0)


def test_an_old_message_may_not_be_lost(story):
    for n in (4, 5):
        story.collected["syslog"].remove(message(1, n))

    assert "cut 1: 1 messages older than 1 s are lost, the oldest was 3.00 s old" in story.judge().broken[0]
    assert (story.cut.lost, story.cut.lost_old) == (2, 1)


def test_without_a_bound_only_the_followed_files_count(story):
    for n in range(1, 6):
        story.collected["syslog"].remove(message(1, n))

    assert story.judge(None).broken == []
    assert story.cut.lost == 5


def test_a_hole_is_no_work_of_a_power_cut(story):
    """Young as it is: what came later survived."""
    story.sent[1] = [99.8] * 5
    story.collected["syslog"].remove(message(1, 4))

    assert "messages after lost ones survived" in story.judge().broken[0]


def test_a_message_lost_in_a_life_without_a_cut(story):
    story.collected["syslog"].remove(message(2, 5))

    assert "1 messages of life 2 are lost, which had no cut" in story.judge().broken[0]


def test_a_message_twice(story):
    story.collected["syslog"].append(message(1, 1))

    assert "1 messages arrived twice" in story.judge().broken[0]


def test_messages_out_of_order(story):
    story.collected["syslog"].reverse()

    assert "messages arrived out of order" in story.judge().broken


def test_a_drive_that_loses_what_was_synced_spoils_the_test(story):
    story.files["synced"].remove(line(1, 2))

    assert "the test itself: the drive lost lines 2 to 2 of life 1" in story.judge().broken[0]


def test_a_line_that_was_cut_and_continued_by_the_next_life_counts_as_one(story):
    joined = line(1, 5)[:-3] + line(2, 1)
    story.files["synced"][4:6] = [joined]
    story.collected["synced"][5:6] = [joined]

    assert story.judge().broken == []


def test_the_table_has_a_row_for_each_cut(story):
    story.judge()

    rows = story.lab.table([story.cut]).splitlines()

    assert len(rows) == 3
    assert len({len(row) for row in rows}) == 1
    assert rows[2].split("|")[4].strip() == "20 s"
