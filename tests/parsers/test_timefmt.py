"""Time formats: what each letter reads, which zone holds, and that the memory of known seconds never tells."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.options import BadValue
from edgebit.parsers.timefmt import TimeFormat, time_format, time_offset, time_zone


def ns(*parts, nano=0):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 10**9 + nano


NOW = ns(2026, 1, 1)


def read(text_format, text, now=NOW, **zone):
    return TimeFormat(text_format, **zone).parse(text, now)


@pytest.mark.parametrize(
    ("text_format", "text", "expected"),
    [
        ("%Y-%m-%dT%H:%M:%S", "2024-02-29T12:00:00", ns(2024, 2, 29, 12)),
        ("%Y-%m-%d %H:%M:%S", "2024-3-1 8:0:9", ns(2024, 3, 1, 8, 0, 9)),
        ("%d.%m.%Y", "01.02.2024 later text", ns(2024, 2, 1)),
        ("%F %T", "2024-05-01 01:02:03", ns(2024, 5, 1, 1, 2, 3)),
        ("%D %R", "05/01/24 23:59", ns(2024, 5, 1, 23, 59)),
        ("%d/%b/%Y:%H:%M:%S %z", "10/Oct/2000:13:55:36 -0700", ns(2000, 10, 10, 20, 55, 36)),
        ("%A, %d %B %Y", "wednesday, 01 MAY 2024", ns(2024, 5, 1)),
        ("%a %h %e %H:%M:%S %Y", "Wed May  1 10:00:00 2024", ns(2024, 5, 1, 10)),
        ("%y%m%d", "240501", ns(2024, 5, 1)),
        ("%y", "68", ns(2068, 1, 1)),
        ("%y", "70", ns(1970, 1, 1)),
        ("%C%y-%m", "2101-03", ns(2101, 3, 1)),
        ("%Y %j", "2024 366", ns(2024, 12, 31)),
        ("%Y%j", "2024060", ns(2024, 2, 29)),
        ("%Y %I:%M %p", "2024 12:05 am", ns(2024, 1, 1, 0, 5)),
        ("%Y %l:%M%p", "2024  1:05PM", ns(2024, 1, 1, 13, 5)),
        ("%Y %k", "2024  7", ns(2024, 1, 1, 7)),
        ("%Y%n%m%t%d", "2024 \t 05 06", ns(2024, 5, 6)),
        ("%Y%%%m", "2024%05", ns(2024, 5, 1)),
        ("%Y %H:%M:%S", "2024 23:59:60", ns(2024, 1, 2)),
        ("%s", "1700000000", 1700000000 * 10**9),
        ("%s", "0000000001", 10**9),
        ("%s.%L", "1700000000.25", 1700000000 * 10**9 + 250_000_000),
        ("%s.%L", "1700000002.999999999", 1700000002 * 10**9 + 999_999_999),
        ("%Y-%m-%d %S%L", "2024-01-01 12345", ns(2024, 1, 1, 0, 0, 12, nano=345_000_000)),
        ("%Y %S.%L", "2024 01.1234567891", ns(2024, 1, 1, 0, 0, 1, nano=123_456_789)),  # the tenth digit is left over
        ("%Y %S.%Lx", "2024 01.1234567891x", None),
        ("%S.%L %Y", "01 2024", None),  # a fraction must be there
        ("%Y-%m-%dT%H:%M:%S", "2024-01-01T00:00:05.678", ns(2024, 1, 1, 0, 0, 5)),
        ("%Y-%m-%d", "2024-01", None),
        ("%Y-%m-%d", "2024-13-45", None),
        ("%Y-%m-%d", "2024-00-01", None),
        ("%Y-%m-%d", "2024-01-32", None),
        ("%Y-%m-%d", "2024-01-45", ns(2024, 1, 4)),  # no day begins with 45, so it is the 4th and then a 5
        ("%Y-%m-%d", "2023-02-29", ns(2023, 3, 1)),
        ("%Y %H:%M", "2024 24:00", None),
        ("%Y-%m-%d", "", None),
        ("%Y-%m-%d", "yesterday", None),
        ("%Y", "1969", None),
        ("%Y", "2262", ns(2262, 1, 1)),
        ("%Y", "2263", None),
        ("%s", "999999999999", None),
        ("T%Y", "t2024", None),  # names are in any case, other text isn't
    ],
)
def test_format_reads(text_format, text, expected):
    assert read(text_format, text) == expected


@pytest.mark.parametrize(
    ("zone", "seconds"),
    [
        ("Z", 0),
        ("z", 0),
        ("UTC", 0),
        ("UT", 0),
        ("GMT", 0),
        ("+02:00", 7200),
        ("+0530", 19800),
        ("-03", -10800),
        (" -0330", -12600),
        ("PDT", -25200),
    ],
)
def test_offsets(zone, seconds):
    assert read("%Y%z", "2024" + zone, offset=3600) == ns(2024, 1, 1) - seconds * 10**9


def test_abbreviations_of_zones():
    assert read("%Y %Z", "2024 CEST") == ns(2024, 1, 1) - 7200 * 10**9
    assert read("%Y %Z", "2024 XYZ") is None
    assert read("%Y%z", "2024XYZ") is None


def test_zone_of_texts_that_name_none():
    text_format, text = "%Y-%m-%d %H:%M:%S", "2024-07-01 12:00:00"

    assert read(text_format, text) == ns(2024, 7, 1, 12)
    assert read(text_format, text, offset=-12600) == ns(2024, 7, 1, 15, 30)
    assert read(text_format, text, zone="Europe/Lisbon") == ns(2024, 7, 1, 11)
    assert read(text_format, "2024-01-01 12:00:00", zone="Europe/Lisbon") == ns(2024, 1, 1, 12)


@pytest.fixture
def lisbon(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Lisbon")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("lisbon")
def test_zone_of_the_system():
    assert read("%Y-%m-%d %H", "2024-07-01 12", local=True) == ns(2024, 7, 1, 11)
    assert read("%Y-%m-%d %H", "2024-01-01 12", local=True) == ns(2024, 1, 1, 12)
    assert read("%Y-%m-%d %H %z", "2024-07-01 12 +0000", local=True) == ns(2024, 7, 1, 12)  # the text's own zone wins
    assert read("%H:%M", "00:30", now=ns(2024, 7, 1, 23, 40), local=True, year="current") == ns(2024, 7, 1, 23, 30)


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("Dec 31 23:59:59", ns(2026, 1, 1), ns(2025, 12, 31, 23, 59, 59)),
        ("Jan  1 00:00:01", ns(2025, 12, 31, 23, 59), ns(2026, 1, 1, 0, 0, 1)),
        ("Mar  7 00:00:00", ns(2026, 11, 25), ns(2026, 3, 7)),  # not next year, which would be nearer
        ("Dec 31 00:00:00", ns(2026, 2, 25), ns(2026, 12, 31)),
        ("Feb 29 12:00:00", ns(2025, 1, 20), ns(2024, 2, 29, 12)),  # rather the last one than a day that wasn't
        ("Feb 29 12:00:00", ns(2026, 1, 20), ns(2026, 3, 1, 12)),  # none within a year
    ],
)
def test_missing_year_is_the_current_one_but_at_its_turn(text, now, expected):
    assert read("%b %d %H:%M:%S", text, now) == expected


def test_missing_year_can_be_the_current_one():
    assert read("%b %d", "Dec 31", ns(2026, 1, 1), year="current") == ns(2026, 12, 31)
    assert read("%b %d", "Dec 31", ns(2026, 1, 1), year="current", offset=-3600) == ns(2025, 12, 31, 1)


def test_missing_date_is_the_nearest_or_the_current_day():
    assert read("%H:%M", "23:59", ns(2026, 1, 1, 0, 1)) == ns(2025, 12, 31, 23, 59)
    assert read("%H:%M", "00:01", ns(2025, 12, 31, 23, 59)) == ns(2026, 1, 1, 0, 1)
    assert read("%H:%M", "23:59", ns(2026, 1, 1, 0, 1), year="current") == ns(2026, 1, 1, 23, 59)
    assert read("%H:%M", "12:00", ns(2026, 1, 1, 12), zone="Asia/Tokyo") == ns(2026, 1, 1, 3)


def test_known_times_move_on_with_the_days():
    """The same text means another day tomorrow, whatever is remembered of it."""
    day = TimeFormat("%H:%M:%S.%L")

    for date in (ns(2026, 1, 1, 12), ns(2026, 1, 2, 12), ns(2026, 1, 1, 12)):
        assert day.parse("12:00:00.5", date) == date + 500_000_000


def test_lenient_takes_what_fits():
    def lenient(text_format, text):
        return read(text_format, text, strict=False)

    assert lenient("%Y-%m-%d %H:%M:%S", "2024-07-01 12") == ns(2024, 7, 1, 12)
    assert lenient("%Y-%m-%d %H:%M:%S", "2024-07-01 noon") == ns(2024, 7, 1)
    assert lenient("%Y-%m-%d", "2024-13-01") == ns(2024, 1, 1)  # up to the month
    assert lenient("%Y %S.%L", "2024 05") == ns(2024, 1, 1, 0, 0, 5)
    assert lenient("%Y %S.%L %H", "2024 05.5 x") == ns(2024, 1, 1, 0, 0, 5)  # without its fraction
    assert lenient("%Y %S.%L", "2024 05.5") == ns(2024, 1, 1, 0, 0, 5, nano=500_000_000)
    assert lenient("%Y-%m-%d", "yesterday") is None


@pytest.mark.parametrize("text", ["2024-06-01T12:00:00.{}+02:00", "2024-06-01T12:00:00.{}Z", "2024-06-01T12:00:01.{}Z"])
def test_known_seconds_read_as_new_ones_do(text):
    """Fractions, tails and heads in any order give what a fresh format gives."""
    fractions = ["5", "123", "123456789", "1234567891", "", "12a", "٣", "²", "0", "-1", " 1", "1_0"]
    warm = TimeFormat("%Y-%m-%dT%H:%M:%S.%L%z")
    warm.parse("2024-06-01T12:00:00.1+02:00", NOW)

    for fraction in [*fractions, *reversed(fractions)]:
        stamp = text.format(fraction)
        assert warm.parse(stamp, NOW) == read("%Y-%m-%dT%H:%M:%S.%L%z", stamp), stamp


def test_memory_is_bounded():
    format_ = TimeFormat("%s.%L")
    for second in range(3000):
        format_.parse(f"{second}.5", NOW)
    format_.parse("1." + "5" * 1000, NOW)

    assert 0 < len(format_._known) <= 512
    assert all(len(text) <= 64 for text in format_._known)


@pytest.mark.parametrize(
    ("text_format", "words"),
    [
        ("%Y-%q", '"%q"'),
        ("%f", '"%f"'),
        ("%", '"%" is not'),
        ("%Y %Y", '"%Y" or its like is in it twice'),
        ("%L %L", "twice"),
        ("no field", "a time format such as"),
        ("", "a time format such as"),
        ("%Y" + "x" * 200, "at most"),
        (5, "a time format such as"),
    ],
)
def test_bad_formats_are_refused_when_the_configuration_is_read(text_format, words):
    with pytest.raises(BadValue) as caught:
        time_format(text_format)

    assert words in str(caught.value)


def test_offset_option():
    assert [time_offset(t) for t in ("+0100", "-03:30", "Z", "+02")] == [3600, -12600, 0, 7200]
    for bad in ("", "1", "+1", "CET", "+2500", "+0170", None):
        with pytest.raises(BadValue, match="an offset"):
            time_offset(bad)


def test_zone_option():
    assert time_zone("Europe/Lisbon") == "Europe/Lisbon"
    for bad in ("", "Mars/Base", "Europe", "../etc/passwd", "/etc/passwd", "a\0b"):
        with pytest.raises(BadValue, match="time zone"):
            time_zone(bad)


moments = st.datetimes(datetime(1970, 1, 2), datetime(2261, 12, 30))


@given(moments, st.integers(-14 * 60, 14 * 60))
def test_what_strftime_writes_is_read_back(moment, minutes):
    stamp = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    micros = (stamp - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    assert read("%Y-%m-%dT%H:%M:%S.%L%z", stamp.strftime("%Y-%m-%dT%H:%M:%S.%f%z")) == micros * 1000
    whole = micros // 10**6 * 10**9
    for text_format in ("%d/%b/%Y:%H:%M:%S %z", "%A %B %d %I:%M:%S %p %Y %z", "%j %Y %T %z"):
        assert read(text_format, stamp.strftime(text_format)) == whole


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_and_no_format_raises_anything_else(text_format, text):
    try:
        time_format(text_format)
    except BadValue:
        return
    for strict in (True, False):
        result = TimeFormat(text_format, strict=strict).parse(text, NOW)
        assert result is None or 0 <= result < 2**63


@given(st.lists(st.sampled_from(["%Y", "%m", "%d", "%H", "%S", "%L", "%z", "%s", "-", ":", " ", ".", "T"]), max_size=8),
       st.lists(st.text(alphabet="0123456789-:+ .TZ", max_size=24), max_size=6))  # fmt: skip
def test_memory_never_changes_a_result(parts, texts):
    text_format = "".join(parts)
    try:
        time_format(text_format)
    except BadValue:
        return
    warm = TimeFormat(text_format)
    for text in texts + texts:
        assert warm.parse(text, NOW) == read(text_format, text)
