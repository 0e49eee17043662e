"""What the parsers of fields have in common: their time and type options, and what these do to a record.

A format's parser finds names and values; `FieldParser.finish` takes the record's time from one of them, converts others,
and decodes what decoders.py is for. What is to be done is worked out once for each shape.

A time that doesn't fit `time_format` leaves the field where it is, and the record gets the time of reading; that is
counted in `time_errors`. (Fluent Bit removes the field or gives up the line, depending on the format.)
"""

from __future__ import annotations

from edgebit.errors import ConfigError
from edgebit.options import Option, boolean, string, without_effect
from edgebit.parsers.decoders import Decoders, step
from edgebit.parsers.timefmt import TimeFormat, time_format, time_offset, time_zone
from edgebit.parsers.types import CONVERTERS, type_table
from edgebit.plugin import Parser
from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.options import Options
    from edgebit.record import Record

FIELD_OPTIONS = (
    Option("time_key", string, "time", "the field with the record's time, if time_format is set"),
    Option("time_format", time_format, "", "how the time is written, as in strptime, %L for a fraction of a second"),
    Option("time_keep", boolean, False, "keep the field that the time was taken from"),
    Option("time_strict", boolean, True, "the whole of time_format must fit; off: as far as it does"),
    Option("time_offset", time_offset, None, 'zone of times that name none, such as "+0100"; without it UTC'),
    Option("time_system_timezone", boolean, False, "times that name no zone are in the system's zone"),
    Option("time_zone", time_zone, "", 'zone of times that name none, such as "Europe/Lisbon"'),
    Option("time_year", ("turn", "current"), "turn",
           "where the year is missing: the current one, but near New Year the one that is less than a month away; "
           "or always the current one"),
    Option("decode_field_as", step, [], "DECODER FIELD [try_next|do_next]: replaces the field's value; decoders are json, "
           "escaped, escaped_utf8 and mysql_quoted", multiple=True),
    Option("decode_field", step, [], "DECODER FIELD [try_next|do_next]: adds the keys of a JSON object in the field",
           multiple=True),
)  # fmt: skip
TYPES_OPTION = Option("types", type_table, {}, 'conversions such as "size:integer temp:float"; also bool, hex, string')


def of_other_formats(*names: str) -> tuple[Option, ...]:
    """Options that only another format has: Fluent Bit takes them in any definition, so they are taken, and warned of."""
    return without_effect("of another format", *names)


class FieldParser(Parser):
    """A parser whose fields get the common treatment. `plain` says that there is none, so `finish` can be skipped."""

    def __init__(self, name: str, opt: Options) -> None:
        super().__init__(name, opt)
        self._time = _time_format(opt) if opt.time_format else None
        types = opt.types if TYPES_OPTION in self.OPTIONS else {}
        self._convert = {field: CONVERTERS[kind] for field, kind in types.items()}
        self._decoders = Decoders(opt.decode_field, opt.decode_field_as)
        decodes = bool(opt.decode_field or opt.decode_field_as)
        self.plain = self._time is None and not self._convert and not decodes
        self.finish: Callable[[int, Shape, tuple[Any, ...]], Record] = (
            self._finish_and_decode if decodes else self._finish
        )

    def _finish_and_decode(self, now_ns: int, shape: Shape, values: tuple[Any, ...]) -> Record:
        return self._decoders.apply(self._finish(now_ns, shape, values))

    def _finish(self, now_ns: int, shape: Shape, values: tuple[Any, ...]) -> Record:
        """The record with these fields."""
        plan = shape.cache.get(self)
        if plan is None:
            plan = self._plan(shape)
        time_at, without_time, conversions = plan
        stamp = values[time_at] if time_at >= 0 else None
        if conversions:
            mutable = list(values)
            for at, convert in conversions:
                if isinstance(mutable[at], str):
                    mutable[at] = convert(mutable[at])
            values = tuple(mutable)
        if isinstance(stamp, str):
            time_ns = self._time.parse(stamp, now_ns)  # type: ignore[union-attr]  # a plan has a time only if there is a format
            if time_ns is None:
                self.time_errors += 1
            elif without_time is None:
                now_ns = time_ns
            else:
                return (time_ns, without_time, values[:time_at] + values[time_at + 1 :])
        return (now_ns, shape, values)

    def _plan(self, shape: Shape) -> tuple[int, Shape | None, list[tuple[int, Callable[[str], Any]]]]:
        """Where the time is (-1: nowhere), the shape without it (None: it stays), and what is to be converted."""
        at = shape.index.get(self.opt.time_key, -1) if self._time is not None else -1
        without = Shape.of(shape.names[:at] + shape.names[at + 1 :]) if at >= 0 and not self.opt.time_keep else None
        conversions = [(i, convert) for i, name in enumerate(shape.names)
                       if (convert := self._convert.get(name)) is not None]  # fmt: skip
        plan = (at, without, conversions)
        if shape.interned:
            shape.cache[self] = plan
        return plan


def _time_format(opt: Options) -> TimeFormat:
    if opt.time_zone and (opt.time_offset is not None or opt.time_system_timezone):
        raise ConfigError("excludes time_offset and time_system_timezone: only one zone can hold", key="time_zone")
    return TimeFormat(opt.time_format, offset=opt.time_offset, zone=opt.time_zone, local=opt.time_system_timezone,
                      strict=opt.time_strict, year=opt.time_year)  # fmt: skip
