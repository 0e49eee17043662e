"""Time formats: the option `time_format` and its companions, Fluent Bit's strptime with the same letters.

    %Y %y %C        year, year of the century (00-68 are 20xx), century
    %m %b %B %h     month as a number or an English name, full or abbreviated, in any case
    %d %e %j        day of the month, day of the year
    %a %A           day of the week, read and ignored
    %H %k %I %l %p  hour, AM or PM
    %M %S           minute, second (60 is a leap second)
    %L              fraction of a second, 1 to 9 digits, which must be there
    %s              seconds since the epoch
    %z %Z           offset (Z, +hh, +hhmm, +hh:mm) or abbreviation (UTC, CET, PDT, ...)
    %D %F %R %T     %m/%d/%y, %Y-%m-%d, %H:%M, %H:%M:%S
    %n %t           any amount of white space, also none, as white space in the format is; %% is a percent sign

A format reads a text from its start; what follows is ignored. A field out of its range makes it fail; a day that its
month doesn't have is taken as that many days later. Without %z or %Z the zone is `offset`, else `zone`, else the
system's if `local`, else UTC; a zone in the text always wins (in Fluent Bit the system's does).

Where the year is missing it is the current one, as in Fluent Bit, or a neighbouring one if that brings the time nearer and
within 31 days of now: "Dec 31" read on New Year's Day isn't a time in the future. Where the date is missing it is the
day that brings the time nearest to now. With ``year="current"`` it is the current year or day, as there.

A result is nanoseconds since the epoch, from 1970 to 2262; anything else counts as not parsed.

Pure but for what belongs to the zone: `time.mktime` and `time.localtime` know the system's, zoneinfo reads its own.
"""

from __future__ import annotations

import re
import time

from edgebit.options import BadValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SECOND = 10**9
_END = 2**63 // _SECOND  # the last second whose nanoseconds fit 64 bits with a sign
_DAY = 86400
_TURN = 31 * _DAY  # so near a year must bring a time to be taken rather than the current one
_MEMORY = 512  # known seconds kept; cleared when full
_LONGEST = 64  # characters of a text that is worth remembering
_LONGEST_FORMAT = 128  # characters, %D and its like written out
_STABLE = 900 * _SECOND  # what depends on today is worked out again so often; zones change on this grid

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HOURS_EAST = {
    "Z": 0, "UT": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "MET": 1, "CEST": 2, "MEST": 2,
    "EET": 2, "EEST": 3, "MSK": 3, "IST": 5.5, "ICT": 7, "WIB": 7, "HKT": 8, "SGT": 8, "AWST": 8, "JST": 9, "KST": 9,
    "ACST": 9.5, "ACDT": 10.5, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13, "NST": -3.5, "NDT": -2.5, "ART": -3,
    "BRT": -3, "AST": -4, "ADT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
    "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "SAST": 2, "WAT": 1, "CAT": 2, "EAT": 3, "PKT": 5,
}  # fmt: skip


def _names(words: tuple[str, ...]) -> str:
    return "(?i:" + "|".join(f"{w[:3]}(?:{w[3:]})?" if len(w) > 3 else w for w in words) + ")"


_SPACE = r"[ \t-\r]*+"
# letter: (expression, lowest, highest). A number takes as many digits as can still be in its range, never one back.
_FIELDS = {
    "Y": ("[0-9]{1,4}", 0, 9999),
    "y": ("[0-9]{1,2}", 0, 99),
    "C": ("[0-9]{1,2}", 0, 99),
    "m": ("[01][0-9]|[0-9]", 1, 12),
    "b": (_names(_MONTHS), 1, 12),
    "d": ("[0-3][0-9]|[0-9]", 1, 31),
    "j": ("[0-2][0-9]{0,2}|3[0-6][0-9]?|[0-9]{1,2}", 1, 366),
    "H": ("[0-2][0-9]|[0-9]", 0, 23),
    "I": ("[01][0-9]|[0-9]", 1, 12),
    "p": ("(?i:[ap]m)", 0, 1),
    "M": ("[0-5][0-9]|[0-9]", 0, 59),
    "S": ("[0-6][0-9]|[0-9]", 0, 60),
    "L": ("[0-9]{1,9}", 0, 999_999_999),
    "s": ("[0-9]{1,12}", 0, _END),
    "z": ("(?i:Z|UTC?|GMT|[ECMP][SD]T)|[+-][0-9]{2}(?::?[0-9]{2})?", -_DAY, _DAY),
    "Z": ("[A-Za-z]{1,5}", -_DAY, _DAY),
}
_SYNONYMS = {"B": "b", "h": "b", "A": "a"}
_SPACED = {"e": "d", "k": "H", "l": "I"}  # padded with a space
_WHOLE = {"D": "%m/%d/%y", "F": "%Y-%m-%d", "R": "%H:%M", "T": "%H:%M:%S"}
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?")


def time_format(value: object) -> str:
    """The type of the option: a format whose specifiers are all known. Raises BadValue."""
    if not isinstance(value, str):
        raise BadValue('a time format such as "%Y-%m-%dT%H:%M:%S"')
    _compile(value)
    return value


def time_offset(value: object) -> int:
    """The type of the option: "+0100", "-03:30" or "Z", as seconds east. Raises BadValue."""
    text = str(value).strip()
    found = _OFFSET.fullmatch(text)
    if text.upper() != "Z" and (found is None or int(found[2]) > 14 or int(found[3] or 0) > 59):
        raise BadValue('an offset such as "+0100", "-03:30" or "Z"')
    return _seconds_east(text)


def time_zone(value: object) -> str:
    """The type of the option: the IANA name of a zone that this system knows. Raises BadValue."""
    from zoneinfo import ZoneInfo  # only for those who name a zone

    try:
        return ZoneInfo(str(value).strip()).key
    except (ValueError, OSError, LookupError):  # not a name, a directory, not there
        raise BadValue('the name of a time zone that this system knows, such as "Europe/Lisbon"') from None


def _seconds_east(text: str) -> int:
    """Of an offset or abbreviation. Raises KeyError for an unknown one."""
    if text[0] in "+-":
        digits = text[1:].replace(":", "")
        seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
        return -seconds if text[0] == "-" else seconds
    return int(_HOURS_EAST[text.upper()] * 3600)


def _days(year: int, month: int, day: int) -> int:
    """Days from the epoch to a date of the Gregorian calendar. The year begins in March, so leap days come last."""
    if month <= 2:
        year, month = year - 1, month + 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719_469


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _compile(text: str) -> tuple[list[str], list[str], bool]:
    """The expressions of a format's elements, the letters of those that are groups, and whether what stands before %L
    ends with a character that no field can take. Raises BadValue."""
    elements: list[str] = []
    letters: list[str] = []
    marked = False
    for whole, meaning in _WHOLE.items():
        text = "%%".join(part.replace("%" + whole, meaning) for part in text.split("%%"))
    if len(text) > _LONGEST_FORMAT:
        raise BadValue(f"a time format of at most {_LONGEST_FORMAT} characters")
    chars = iter(text)
    before = ""
    for char in chars:
        if char.isspace():
            elements.append(_SPACE)
        elif char != "%":
            elements.append(re.escape(char))
        else:
            letter = next(chars, "")
            char = ""
            if letter in ("n", "t"):
                elements.append(_SPACE)
            elif letter == "%":
                elements.append("%")
            elif _SYNONYMS.get(letter, letter) == "a":
                elements.append(_names(_WEEKDAYS))
            else:
                spaced = letter in _SPACED or letter == "z"
                letter = _SYNONYMS.get(letter, _SPACED.get(letter, letter))
                if letter not in _FIELDS:
                    raise BadValue(f'a time format; "%{letter}" is not a specifier that it knows')
                if letter in letters:
                    raise BadValue(f'a time format; "%{letter}" or its like is in it twice')
                if letter == "L":
                    marked = bool(before) and not before.isalnum() and not before.isspace() and before not in "+-"
                letters.append(letter)
                elements.append((_SPACE if spaced else "") + f"((?>{_FIELDS[letter][0]}))")
        before = char
    if not letters:
        raise BadValue('a time format such as "%Y-%m-%dT%H:%M:%S"')
    return elements, letters, marked


class TimeFormat:
    """A compiled format. `parse` costs 0.1 to 0.4 µs for a second seen before, some 4 µs for a new one.

    offset   seconds east of UTC for texts without a zone, or None
    zone     IANA name for these, "" for none
    local    the system's zone for these
    strict   False: a text that stops to fit is taken as far as it fits, without its fraction
    year     "turn" or "current": where a missing year or day is taken from
    """

    def __init__(self, text: str, *, offset: int | None = None, zone: str = "", local: bool = False,
                 strict: bool = True, year: str = "turn") -> None:  # fmt: skip
        self.text, self.strict = text, strict
        self._offset: int | None = offset
        self._local, self._turns = local, year == "turn"
        self._zone: Any = None
        if zone:
            from zoneinfo import ZoneInfo

            self._zone = ZoneInfo(zone)
        elements, self._letters, marked = _compile(text)
        # Leniently, each element and all after it are optional; being atomic, they never give back what they took.
        self._match = re.compile(
            "".join(elements) if strict else "(?:".join(elements) + ")?" * (len(elements) - 1)
        ).match
        self._fraction = self._letters.index("L") + 1 if "L" in self._letters else 0
        self._remembers = (strict and marked) if self._fraction else True
        self._relative = not {"s", "Y", "y", "C"}.intersection(self._letters)  # to today
        # Seconds already known, by the text before the fraction. In a format with a fraction, they hold for texts whose
        # fraction begins at `_mark` and is followed by `_tail`, as in the one read last.
        self._known: dict[str, int] = {}
        self._mark, self._tail = 0, ""
        self._era = 0

    def parse(self, text: str, now_ns: int) -> int | None:
        """Nanoseconds since the epoch, or None if the text doesn't fit. `now_ns` only completes what is missing."""
        if self._relative and now_ns // _STABLE != self._era:
            self._era = now_ns // _STABLE
            self._known.clear()
        if not self._fraction:
            second = self._known.get(text)
            return second if second is not None else self._read(text, now_ns)
        second = self._known.get(text[: self._mark])
        if second is not None and text.endswith(self._tail):
            digits = text[self._mark : len(text) - len(self._tail)]
            if digits.isdigit() and digits.isascii() and len(digits) <= 9:
                return second + int(digits) * _SCALE[len(digits)]
        return self._read(text, now_ns)

    def _read(self, text: str, now_ns: int) -> int | None:
        """The way for what isn't known yet."""
        found = self._match(text)
        if found is None:
            return None
        got: dict[str, int] = {}
        whole = True
        for letter, value in zip(self._letters, found.groups()):
            number = -_DAY - 1 if value is None else _number(letter, value)
            if not _FIELDS[letter][1] <= number <= _FIELDS[letter][2]:
                whole = False
                break
            got[letter] = number
        if not whole and (self.strict or not got):
            return None
        seconds = self._seconds(got, now_ns // _SECOND)
        if seconds is None or not 0 <= seconds < _END:
            return None
        fraction = 0
        if self._fraction and whole:
            digits = found[self._fraction]
            if digits is None:
                return seconds * _SECOND  # only leniently
            fraction = int(digits) * _SCALE[len(digits)]
        if self._remembers and len(text) <= _LONGEST:
            self._remember(text, found, seconds * _SECOND)
        return seconds * _SECOND + fraction

    def _remember(self, text: str, found: re.Match[str], second: int) -> None:
        if self._fraction:
            start, end = found.span(self._fraction)
            tail = text[end:]
            if tail[:1].isdigit():
                return  # a tenth digit: the fraction's end couldn't be told without reading
            if (start, tail) != (self._mark, self._tail):
                self._known.clear()
                self._mark, self._tail = start, tail
            text = text[:start]
        if len(self._known) >= _MEMORY:
            self._known.clear()
        self._known[text] = second

    # -- the calendar ------------------------------------------------------------------------------------------------

    def _seconds(self, got: dict[str, int], now: int) -> int | None:
        """Seconds since the epoch from the fields."""
        if "s" in got:
            return got["s"]
        hour = got.get("H", got.get("I", 0))
        if "p" in got and hour <= 12:
            hour = hour % 12 + 12 * got["p"]
        clock = hour * 3600 + got.get("M", 0) * 60 + got.get("S", 0)
        east = got.get("z", got.get("Z"))
        if not self._relative:
            year = got.get("Y")
            if year is None:
                short = got.get("y", 0)
                year = 100 * got["C"] + short if "C" in got else short + (2000 if short <= 68 else 1900)
            return self._utc(_date(got, year) * _DAY + clock, east)
        today = now + self._shift(now)
        if not got.keys().isdisjoint("mbdj"):
            this_year = time.gmtime(today).tm_year
            if not self._turns:
                return self._utc(_date(got, this_year) * _DAY + clock, east)
            years = [this_year, this_year - 1, this_year + 1]
            if got.get("d") == 29 and got.get("m", got.get("b")) == 2:
                years = [year for year in years if _is_leap(year)] or years
            days = [_date(got, year) for year in years]
        else:
            days = [today // _DAY]
            if self._turns:
                days += [days[0] - 1, days[0] + 1]
        times = [seconds for day in days if (seconds := self._utc(day * _DAY + clock, east)) is not None]
        return min(times, key=lambda seconds: min(abs(seconds - now), _TURN), default=None)

    def _utc(self, civil: int, east: int | None) -> int | None:
        """From what a clock on the wall shows, as seconds since 1970-01-01 there. None if far out of range."""
        if not -_DAY <= civil <= _END + _DAY:
            return None
        if east is None:
            east = self._offset
        if east is not None:
            return civil - east
        if self._zone is not None:
            from datetime import datetime, timedelta

            return int((datetime(1970, 1, 1) + timedelta(seconds=civil)).replace(tzinfo=self._zone).timestamp())
        if self._local:
            try:
                return int(time.mktime((*time.gmtime(civil)[:8], -1)))
            except OverflowError:  # a system whose time ends in 2038
                return None
        return civil

    def _shift(self, now: int) -> int:
        """Seconds east of UTC at the moment `now`."""
        if self._offset is not None:
            return int(self._offset)
        if self._zone is not None:
            from datetime import datetime

            delta = datetime.fromtimestamp(now, self._zone).utcoffset()
            return int(delta.total_seconds()) if delta is not None else 0
        return time.localtime(now).tm_gmtoff if self._local else 0


_SCALE: tuple[int, ...] = tuple(10 ** (9 - n) for n in range(10))  # by the number of digits of a fraction


def _number(letter: str, value: str) -> int:
    """A field's text as a number; below every range for an abbreviation that nobody knows."""
    if letter == "b":
        return next(i for i, name in enumerate(_MONTHS, 1) if name.startswith(value[:3].lower()))
    if letter == "p":
        return int(value[0] in "pP")
    if letter in ("z", "Z"):
        try:
            return _seconds_east(value)
        except KeyError:
            return -_DAY - 1
    return int(value)


def _date(got: dict[str, int], year: int) -> int:
    """Days since the epoch of the month and day among the fields, in that year; what is missing is the first."""
    month, day = got.get("m", got.get("b")), got.get("d")
    if month is None and day is None and "j" in got:
        return _days(year, 1, 1) + got["j"] - 1
    return _days(year, month or 1, 1) + (day or 1) - 1
