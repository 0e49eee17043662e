"""The time of a record as formats write it. Pure arithmetic, always UTC, any year.

All functions take wall time in nanoseconds since the epoch, as records have it. Digits that a form has no room for are
cut, not rounded, except in `seconds_float`, which is a double with what precision that leaves (about 0.2 µs).
"""

from __future__ import annotations

from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SECOND = 10**9
_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def seconds_float(time_ns: int) -> float:
    """Seconds as a double."""
    return time_ns / _SECOND


def seconds_text(time_ns: int) -> str:
    """Seconds with all nine digits, ``1700000000.123456789``."""
    if time_ns >= _SECOND:
        text = str(time_ns)
        return f"{text[:-9]}.{text[-9:]}"
    seconds, rest = divmod(abs(time_ns), _SECOND)
    return f"{'-' if time_ns < 0 else ''}{seconds}.{rest:09d}"


def epoch(time_ns: int) -> int:
    """Whole seconds."""
    return time_ns // _SECOND


def epoch_ms(time_ns: int) -> int:
    """Whole milliseconds."""
    return time_ns // 10**6


def iso8601(time_ns: int) -> str:
    """``2023-11-14T22:13:20.123456Z``."""
    seconds, rest = divmod(time_ns, _SECOND)
    day, clock = _second(seconds)
    return f"{day}T{clock}.{rest // 1000:06d}Z"


def java_sql_timestamp(time_ns: int) -> str:
    """``2023-11-14 22:13:20.123456``."""
    seconds, rest = divmod(time_ns, _SECOND)
    day, clock = _second(seconds)
    return f"{day} {clock}.{rest // 1000:06d}"


# What json_date_format takes, as Fluent Bit calls it.
FORMATS: dict[str, Callable[[int], float | int | str]] = {
    "double": seconds_float,
    "iso8601": iso8601,
    "java_sql_timestamp": java_sql_timestamp,
    "epoch": epoch,
    "epoch_ms": epoch_ms,
}


@lru_cache(16)  # records of a batch mostly share their second
def _second(seconds: int) -> tuple[str, str]:
    """Day and time of day."""
    days, second = divmod(seconds, 86400)
    year = 1970 + days * 400 // 146097  # 400 years have 146097 days; the guess is at most one off
    while days < _new_year(year):
        year -= 1
    while days >= _new_year(year + 1):
        year += 1
    day = days - _new_year(year)
    leap = _new_year(year + 1) - _new_year(year) == 366
    for month, length in enumerate(_MONTHS, 1):
        length += leap and month == 2
        if day < length:
            break
        day -= length
    return f"{year:04d}-{month:02d}-{day + 1:02d}", f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def _new_year(year: int) -> int:
    """Days from 1970-01-01 to the first day of a year in the Gregorian calendar."""
    past = year - 1
    return 365 * (year - 1970) + past // 4 - past // 100 + past // 400 - 477  # 477 leap days up to 1969
