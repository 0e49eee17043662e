from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from edgebit.formats import dates

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)), st.integers(0, 999))
@example(datetime(2000, 2, 29), 0)
@example(datetime(1900, 3, 1), 999)
@example(datetime(2024, 12, 31, 23, 59, 59, 999999), 999)
@example(datetime(1969, 12, 31, 23, 59, 59, 999999), 1)
def test_dates_are_those_of_the_standard_library(moment: datetime, ns: int) -> None:
    since = moment.replace(tzinfo=UTC) - EPOCH
    time_ns = since // timedelta(microseconds=1) * 1000 + ns
    assert dates.iso8601(time_ns) == moment.isoformat(timespec="microseconds") + "Z"
    assert dates.java_sql_timestamp(time_ns) == moment.isoformat(" ", timespec="microseconds")
    assert dates.epoch(time_ns) == since // timedelta(seconds=1)
    assert dates.epoch_ms(time_ns) == since // timedelta(milliseconds=1)


def test_every_day_of_four_centuries() -> None:
    day = EPOCH.replace(year=1800)
    first = (day - EPOCH).days
    for days in range(first, first + 146097):
        if days % 7 == 0 or days % 365 < 4:  # enough of them to meet every kind of year, quickly
            assert dates.iso8601(days * 86400 * 10**9)[:10] == f"{EPOCH + timedelta(days):%Y-%m-%d}"


def test_years_beyond_the_standard_library() -> None:
    """A broken clock must not make an exception."""
    assert dates.iso8601(2**63 - 1) == "2262-04-11T23:47:16.854775Z"
    assert dates.iso8601(300_000_000_000 * 10**9).startswith("11476-")


@given(st.integers(-(2**63), 2**63))
def test_seconds_keep_all_digits(time_ns: int) -> None:
    whole, _, rest = dates.seconds_text(time_ns).partition(".")
    assert len(rest) == 9
    assert int(whole + rest) == time_ns
