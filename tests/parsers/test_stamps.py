"""Time stamps with and without a year and a zone."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.options import BadValue
from edgebit.parsers import stamps
from edgebit.parsers.stamps import Stamps, iso_ns, zone

S = 10**9


def ns(*fields: int, fraction: int = 0, tz: timezone = UTC) -> int:
    return int(datetime(*fields, tzinfo=tz).timestamp()) * S + fraction


@pytest.fixture
def berlin():
    """The host's zone is Berlin's: UTC+1, UTC+2 in summer."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


# -- ISO -------------------------------------------------------------------------------------------------------------

ISO = {
    "2003-10-11T22:14:15.003Z": ns(2003, 10, 11, 22, 14, 15, fraction=3_000_000),
    "2003-10-11T22:14:15Z": ns(2003, 10, 11, 22, 14, 15),
    "1985-04-12T19:20:50.52-04:00": ns(1985, 4, 12, 23, 20, 50, fraction=520_000_000),
    "2003-08-24T05:14:15.000003-07:00": ns(2003, 8, 24, 12, 14, 15, fraction=3_000),
    "2003-08-24T05:14:15+05:30": ns(2003, 8, 23, 23, 44, 15),
    "2003-08-24T05:14:15+0530": ns(2003, 8, 23, 23, 44, 15),
    "2003-10-11T22:14:15.123456789Z": ns(2003, 10, 11, 22, 14, 15, fraction=123_456_789),
    "2003-10-11T22:14:15.1234567891234Z": ns(2003, 10, 11, 22, 14, 15, fraction=123_456_789),
    "2016-12-31T23:59:60Z": ns(2017, 1, 1, 0, 0, 0),
    "1970-01-01T00:00:00Z": 0,
    "2024-02-29T00:00:00Z": ns(2024, 2, 29, 0, 0, 0),
    "2000-02-29T00:00:00Z": ns(2000, 2, 29, 0, 0, 0),
}


@pytest.mark.parametrize("stamp", ISO)
def test_iso(stamp):
    """Both when its second is seen for the first time and when it is known."""
    stamps._seconds.clear()
    stamps._offsets.clear()

    assert iso_ns(stamp) == ISO[stamp]
    assert iso_ns(stamp) == ISO[stamp]


BAD_ISO = """- Z x 2003-10-11 2003-10-11T22:14:15 2003-10-11T22:14:15.003 2003-10-11T22:14:15.Z 2003-10-11T22:14:15,003Z
2003-13-11T22:14:15Z 2003-00-11T22:14:15Z 2003-02-29T22:14:15Z 1900-02-29T22:14:15Z 2003-04-31T22:14:15Z
2003-10-11T24:14:15Z 2003-10-11T22:60:15Z 2003-10-11T22:14:61Z 2003-10-11T22:14:15+24:00 2003-10-11T22:14:15+01:60
2003-10-11T22:14:15.0a3Z 2003-10-11T22:14:15.1_0Z 2003-10-11T22:14:15.+1Z 2003-10-11t22:14:15Z 2003-10-11T22:14:15.Z
2003-10-11T22:14:15xZ 2003-10-11T22:14:15x5Z 2003-10-11T22:14:15x5+01:00 2003-10-11T22:14:15.+01:00
9999-12-31T23:59:59Z 1969-12-31T23:59:59Z 0000-01-01T00:00:00Z""".split()  # noqa: SIM905  # as a list it would take thirty lines


@pytest.mark.parametrize("stamp", BAD_ISO)
def test_not_iso(stamp):
    """Even when the cache knows the second."""
    iso_ns("2003-10-11T22:14:15+01:00")

    assert iso_ns(stamp) is None


moments = st.datetimes(datetime(1970, 1, 2), datetime(2261, 12, 30))
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments, offsets)
def test_any_iso_stamp_agrees_with_datetime(moment, tz):
    moment = moment.replace(tzinfo=tz)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)

    assert iso_ns(moment.isoformat()) == (since.days * 86400 + since.seconds) * S + since.microseconds * 1000


@given(st.text("0123456789-+:.TZ ", max_size=30))
def test_no_text_upsets_it(text):
    if text:
        iso_ns(text)
        Stamps(0).ns(text, 1)


def test_the_caches_are_bounded():
    parser = Stamps(0)
    for i in range(2000):
        iso_ns(f"2003-10-11T22:{i % 60:02d}:{i // 60:02d}+{i // 100:02d}:{i % 60:02d}")
        parser.ns(f"Oct 11 {i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}", ns(2003, 10, 11))

    assert 0 < len(stamps._seconds) <= 512
    assert 0 < len(stamps._offsets) <= 512
    assert 0 < len(parser._seconds) <= 512


# -- BSD -------------------------------------------------------------------------------------------------------------

NOON = ns(2003, 10, 11, 12, 0, 0)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("Oct 11 22:14:15", ns(2003, 10, 11, 22, 14, 15)),
        ("Oct  1 22:14:15", ns(2003, 10, 1, 22, 14, 15)),
        ("Oct 1 22:14:15", ns(2003, 10, 1, 22, 14, 15)),
        ("Oct 11 22:14:15.25", ns(2003, 10, 11, 22, 14, 15, fraction=250_000_000)),
        ("Oct 11 1999 22:14:15", ns(1999, 10, 11, 22, 14, 15)),
        ("2003-10-11T22:14:15.5+01:00", ns(2003, 10, 11, 21, 14, 15, fraction=500_000_000)),
        ("2003-10-11T22:14:15.5", ns(2003, 10, 11, 22, 14, 15, fraction=500_000_000)),
        ("2003-10-11T22:14:15.12345678912", ns(2003, 10, 11, 22, 14, 15, fraction=123_456_789)),
        ("Nix 11 22:14:15", NOON),
        ("Feb 30 22:14:15", NOON),
        ("Oct 11 25:14:15", NOON),
        ("2003-10-11T22:14:15.x", NOON),
        ("2003-10-11T22:14:1", NOON),
    ],
)
def test_without_a_zone(stamp, expected):
    parser = Stamps(0)

    assert parser.ns(stamp, NOON) == expected
    assert parser.ns(stamp, NOON) == expected


@pytest.mark.parametrize(
    ("now", "stamp", "expected"),
    [
        ((2026, 1, 1, 0, 0, 5), "Dec 31 23:59:58", (2025, 12, 31, 23, 59, 58)),
        ((2025, 12, 31, 23, 59, 58), "Jan  1 00:00:03", (2026, 1, 1, 0, 0, 3)),
        ((2026, 1, 20, 0, 0, 0), "Dec 30 00:00:00", (2025, 12, 30, 0, 0, 0)),
        ((2026, 11, 25, 0, 0, 0), "Mar  7 00:00:00", (2026, 3, 7, 0, 0, 0)),
        ((2026, 6, 15, 0, 0, 0), "Jan  1 00:00:00", (2026, 1, 1, 0, 0, 0)),
        ((2024, 3, 1, 0, 0, 0), "Feb 29 23:00:00", (2024, 2, 29, 23, 0, 0)),
        ((2025, 1, 1, 0, 0, 0), "Feb 29 23:00:00", (2024, 2, 29, 23, 0, 0)),
    ],
)
def test_the_year_is_the_current_one_but_at_its_turn(now, stamp, expected):
    assert Stamps(0).ns(stamp, ns(*now)) == ns(*expected)


def test_a_year_is_not_believed_for_ever():
    """A stamp in the cache must not keep its year when a year has gone by, or the clock was set."""
    parser = Stamps(0)

    assert parser.ns("Oct 11 22:14:15", ns(2003, 10, 11)) == ns(2003, 10, 11, 22, 14, 15)
    assert parser.ns("Oct 11 22:14:15", ns(2004, 10, 11)) == ns(2004, 10, 11, 22, 14, 15)
    assert parser.ns("Oct 11 22:14:15", ns(2002, 10, 11)) == ns(2002, 10, 11, 22, 14, 15)


def test_a_fixed_offset():
    assert Stamps(3600).ns("Oct 11 22:14:15", NOON) == ns(2003, 10, 11, 21, 14, 15)


def test_the_offset_of_the_host_is_that_of_the_day(berlin):
    parser = Stamps(None)

    assert parser.ns("Jul 11 22:14:15", ns(2003, 7, 11)) == ns(2003, 7, 11, 20, 14, 15)
    assert parser.ns("Dec 11 22:14:15", ns(2003, 12, 11)) == ns(2003, 12, 11, 21, 14, 15)


def test_the_hour_that_comes_twice(berlin):
    """At 3 o'clock on 26 October 2003 it became 2 o'clock again: now tells which of the two is meant."""
    parser = Stamps(None)

    assert parser.ns("Oct 26 02:30:00", ns(2003, 10, 26, 0, 30, 1)) == ns(2003, 10, 26, 0, 30, 0)
    assert parser.ns("Oct 26 02:30:00", ns(2003, 10, 26, 1, 30, 1)) == ns(2003, 10, 26, 1, 30, 0)


def test_the_hour_that_never_was(berlin):
    """On 30 March 2003 the clock went from 2 to 3; a stamp in between is off by no more than that hour."""
    found = Stamps(None).ns("Mar 30 02:30:00", ns(2003, 3, 30, 1, 30, 0))

    assert abs(found - ns(2003, 3, 30, 1, 0, 0)) <= 1800 * S


@pytest.mark.parametrize(
    ("text", "expected"),
    [("local", None), ("UTC", 0), ("+0100", 3600), ("-03:30", -12600), ("+1400", 50400)],
)
def test_zones(text, expected):
    assert zone(text) == expected


@pytest.mark.parametrize("text", ["", "CET", "0100", "+1", "+2400", "+0160", 1])
def test_what_is_not_a_zone(text):
    with pytest.raises(BadValue, match='"local", "utc" or an offset'):
        zone(text)
