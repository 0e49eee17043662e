"""The two kinds of time stamps that syslog has: ISO ones with a zone, and BSD ones without year and zone.

Pure but for the rules of the host's time zone (time.localtime); no clock is read, "now" is handed in. What
is the same for many stamps after another, their whole second, is worked out once and kept in a bounded cache.

A time outside of 1970 to 2261 is taken for none: 64 bits of nanoseconds couldn't hold it.
"""

from __future__ import annotations

import re
import time

from edgebit.options import BadValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_S = 10**9
_SCALE: tuple[int, ...] = tuple(
    10 ** (9 - n) for n in range(10)
)  # what a fraction of so many digits is to be multiplied with
_ENTRIES = 512  # of a cache; then it starts anew
_BELIEVED = 900 * _S  # how long the year and the daylight saving time found for a stamp hold for its equals
_TURN = 31 * 86400 * _S  # so near a year must bring a stamp to be taken rather than the current one
_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * i : 3 * i + 3]: i + 1 for i in range(12)}
_DAYS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9})[0-9]*)?"
    r"(Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])?"
)
_BSD = re.compile(r"([A-Z][a-z]{2}) +([0-9]{1,2}) (?:([0-9]{4}) )?([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?")


def zone(value: object) -> int | None:
    """Seconds east of UTC for "utc", "+0100" or "-03:30"; None for "local". To be used as the type of an `Option`."""
    text = str(value).strip().lower()
    if text == "local":
        return None
    if text == "utc":
        return 0
    if not re.fullmatch(r"[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9]", text):
        raise BadValue('"local", "utc" or an offset such as "+0100"')
    return _offset(text)


def _offset(text: str) -> int:
    seconds = int(text[1:3]) * 3600 + int(text[-2:]) * 60
    return -seconds if text[0] == "-" else seconds


_seconds: dict[str, int] = {}  # "2003-10-11T22:14:15" as if in UTC, in ns
_offsets: dict[str, int] = {}  # "+01:00" in ns


def iso_ns(stamp: str) -> int | None:
    """Nanoseconds since the epoch of an RFC 3339 stamp with any number of digits behind the second, as RFC 5424, 6.2.3
    restricts it ("T" and "Z", a zone always); None if it isn't one."""
    try:
        if stamp[-1] == "Z":
            second, digits = _seconds[stamp[:19]], stamp[20:-1]
        else:
            second, digits = _seconds[stamp[:19]] - _offsets[stamp[-6:]], stamp[20:-6]
        after = stamp[19]
        if after == "." and digits.isdecimal():
            return second + _SCALE[len(digits)] * int(digits)  # in this order: int() is never given a thousand digits
        if not digits and after in "Z+-":
            return second
    except (KeyError, IndexError):
        pass  # a second or a zone seen for the first time, or not that kind of stamp
    found = _ISO.fullmatch(stamp)
    if found is None or not found[8]:
        return None
    utc = _utc(*map(int, found.group(1, 2, 3, 4, 5, 6)))
    if utc is None:
        return None
    offset = 0 if found[8] == "Z" else _offset(found[8])
    _keep(_seconds, stamp[:19], utc * _S)
    _keep(_offsets, found[8], offset * _S)
    return (utc - offset) * _S + _fraction(found[7])


class Stamps:
    """Times of stamps that may lack a year and a zone: "Oct 11 22:14:15", "Oct  1 2003 22:14:15.003", and ISO ones.

    offset  seconds east of UTC of stamps without a zone; None for the host's time zone, whatever holds there that day

    Without a year it is the current one, or a neighbouring one if that brings the stamp nearer and within 31 days of now:
    at New Year a stamp of December is last year's, and one of January from a clock that is a little ahead is next year's.
    Of the hour that a clock shows twice when daylight saving time ends, it is the one that is nearer to now.
    """

    def __init__(self, offset: int | None) -> None:
        self._offset = offset
        self._seconds: dict[str, int] = {}
        self._from = self._until = 0  # what now must be between for the cache to hold

    def known(self, now_ns: int) -> Callable[[str], int | None]:
        """For a batch: a function from stamps that were seen before to their nanoseconds; None for others."""
        if not self._from <= now_ns < self._until:
            self._seconds.clear()
            self._from, self._until = now_ns, now_ns + _BELIEVED
        return self._seconds.get

    def ns(self, stamp: str, now_ns: int) -> int:
        """Nanoseconds since the epoch, or `now_ns` if it isn't a stamp."""
        if not self._from <= now_ns < self._until:
            self.known(now_ns)
        found = self._seconds.get(stamp)
        if found is not None:
            return found
        if stamp[0] <= "9":
            found = iso_ns(stamp)
            if found is not None:
                return found
        second, point, fraction = stamp.partition(".")
        if point and not fraction.isdecimal():
            return now_ns
        base = self._seconds.get(second)
        if base is None:
            base = self._second(second, now_ns)
            if base is None:
                return now_ns
            _keep(self._seconds, second, base)
        return base + _fraction(fraction[:9])

    def _second(self, text: str, now_ns: int) -> int | None:
        year, this = 0, time.gmtime(now_ns // _S)[0]
        if found := _BSD.fullmatch(text):
            year = int(found[3] or 0)
            rest = [_MONTHS.get(found[1], 0), *map(int, found.group(2, 4, 5, 6))]
        elif found := _ISO.fullmatch(text):
            year, *rest = map(int, found.groups()[:6])
        else:
            return None
        years = (year,) if year else (this, this - 1, this + 1)
        found_in = [times for y in years if (times := list(self._epoch(y, *rest)))]
        nearest = [min(times, key=lambda t: abs(t - now_ns)) for times in found_in]
        return min(nearest, key=lambda t: min(abs(t - now_ns), _TURN), default=None)

    def _epoch(self, year: int, month: int, day: int, hour: int, minute: int, second: int) -> Iterator[int]:
        """What times a clock in the zone shows this: one as a rule, two or none when it is put back or forward."""
        utc = _utc(year, month, day, hour, minute, second)
        if utc is None:
            return
        if self._offset is not None:
            yield (utc - self._offset) * _S
            return
        around = {time.localtime(utc + day).tm_gmtoff for day in (-86400, 86400)}
        found = [t for offset in around if time.localtime(t := utc - offset).tm_gmtoff == offset]
        yield from (t * _S for t in found or [utc - min(around)])


def _keep(cache: dict[str, int], key: str, value: int) -> None:
    if len(cache) >= _ENTRIES:
        cache.clear()
    cache[key] = value


def _fraction(digits: str | None) -> int:
    return int(digits) * _SCALE[len(digits)] if digits else 0


def _utc(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    """Seconds since the epoch of a time in UTC; None if the calendar has no such time. A leap second is the next one."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (1970 <= year < 2262 and 1 <= month <= 12 and 1 <= day <= _DAYS[month] - (month == 2 and not leap)):
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    # Counted in years that begin in March, so that the odd day is at the end of one.
    year -= month < 3
    days = year * 365 + year // 4 - year // 100 + year // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60 + second
