"""Runs a function of a Python file on each record: the counterpart of Fluent Bit's Lua filter.

    def process(tag, timestamp, record):     # the option `call` names the function
        record["celsius"] = (record.pop("fahrenheit") - 32) / 1.8
        return record

`record` is a dict of its own, to be changed at will; `timestamp` is in seconds. What the function returns says what goes on:

* a dict, or a list of dicts: these records, with the time of the old one;
* None or True: the record with what was changed in it;
* False, an empty list or an empty dict: nothing, the record is dropped and counted;
* ``(code, timestamp, record)`` as in Lua: -1 drops the record, 0 leaves it as it came, 1 takes time and record (or list of
  records), 2 takes the record and leaves the time.

The file is run once, when the configuration is read, also by `edgebit check`. If the function raises, or returns what no
record can hold, the record goes on as it came, is counted (`errors`), and the first such errors are in the log. The agent
has one thread: a function that takes its time holds up everything, and one that never returns stops the agent (the
watchdog of systemd restarts it). Options that Lua's types need are accepted and have no effect. Costs 2 µs a record, and
what the function takes.
"""

from __future__ import annotations

from edgebit.errors import ConfigError, reason
from edgebit.options import Option, boolean, string, without_effect
from edgebit.plugin import Filter
from edgebit.record import to_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record

_SECOND = 10**9
_TOLD = 5  # different errors that are told; all are counted


class Unfit(Exception):
    """What the function returned is no record; the text completes "the function returned"."""


class Script(Filter):
    """Runs a function of a Python file on each record."""

    NAME = "script"
    OPTIONS = (
        Option("script", string, "", "the Python file"),
        Option("code", string, "", "the program itself, instead of a file"),
        Option("call", string, "process", "name of the function"),
        Option("time_as_table", boolean, False, 'the timestamp is {"sec": ..., "nsec": ...}, exact to the nanosecond'),
        *without_effect("an exception never stops the agent", "protected_mode"),
        *without_effect("Python keeps integers and lists apart", "type_int_key", "type_array_key"),
        *without_effect("null is None", "enable_flb_null"),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        self._call = self._load()
        self._errors: set[str] = set()

    def _load(self) -> Callable[[str, Any, dict[str, Any]], Any]:
        opt = self.opt
        if bool(opt.script) == bool(opt.code):
            raise ConfigError('script needs one of the options "script", the name of a file, and "code"', key="script")
        name, source, key = opt.script or "code", opt.code, "script" if opt.script else "code"
        if opt.script:
            try:
                with open(opt.script, "rb") as file:
                    source = file.read()
            except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
                raise ConfigError(f"cannot read {opt.script}: {reason(error)}", key=key) from None
        space: dict[str, Any] = {"__name__": "edgebit_script", "__file__": name}
        try:
            exec(compile(source, name, "exec"), space)
        except SyntaxError as error:
            raise ConfigError(f"{name}:{error.lineno}: {error.msg}", key=key) from None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's program may raise anything
            raise ConfigError(f"{name} raised an exception: {_said(error, name)}", key=key) from None
        function = space.get(opt.call)
        if not callable(function):
            raise ConfigError(f'there is no function "{opt.call}" in {name}; the option "call" names it', key="call")
        return function  # type: ignore[no-any-return]

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        call, as_table, nested = self._call, self.opt.time_as_table, _NESTED
        out: list[Record] = []
        failed = 0
        for record in records:
            time_ns = record[0]
            fields = to_dict(record)
            if not nested.isdisjoint(map(type, record[2])):
                fields = _copied(fields)
            when: Any = {"sec": time_ns // _SECOND, "nsec": time_ns % _SECOND} if as_table else time_ns / _SECOND
            try:
                answer = call(tag, when, fields)
                if answer is None or answer is True:
                    answer = fields
                if type(answer) is dict and answer:
                    out.append(_record(time_ns, record, answer))
                else:
                    out += self._answer(answer, record)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's program may raise anything; the record is kept
                failed += 1
                out.append(record)
                self._tell(error)
        if failed:
            self.ctx.stats.add("errors", failed)
        return out

    def _answer(self, answer: Any, record: Record) -> list[Record]:
        time_ns = record[0]
        if isinstance(answer, tuple):
            if len(answer) != 3 or isinstance(answer[0], bool) or answer[0] not in (-1, 0, 1, 2):
                raise Unfit(f"{answer!r:.100}, which is not (code, timestamp, record) with a code of -1, 0, 1 or 2")
            code, when, answer = answer
            if code == -1:
                return []
            if code == 0:
                return [record]
            if code == 1:
                time_ns = time_ns if when == time_ns / _SECOND else _time_ns(when)
        elif answer is False:
            return []
        several = answer if isinstance(answer, list) else [answer]
        return [_record(time_ns, record, one) for one in several if one != {}]

    def _tell(self, error: BaseException) -> None:
        name = self.opt.script or "code"
        why = f"the function returned {error}" if isinstance(error, Unfit) else _said(error, name)
        if why not in self._errors and len(self._errors) < _TOLD:
            self._errors.add(why)
            self.ctx.log.warn(f"{self.opt.call} failed: {why}; such records go on as they came, and are counted")


_NESTED = frozenset((dict, list))
_PLAIN = frozenset((str, int, bool, type(None)))
_NAMES = frozenset((str,))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(one) for name, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


def _record(time_ns: int, old: Record, fields: Any) -> Record:
    if not isinstance(fields, dict):
        raise Unfit(f"{fields!r:.100}, which is no record (a dict)")
    if not _NAMES.issuperset(map(type, fields)):
        name = next(name for name in fields if type(name) is not str)
        raise Unfit(f"the key {name!r:.100}, which is no text")
    if not _PLAIN.issuperset(map(type, fields.values())):
        fields = {key: _storable(one) for key, one in fields.items()}
    return (time_ns, old[1].derive(fields), tuple(fields.values()))


def _storable(value: Any) -> Any:
    """A value that a record can hold, made of what Python programs tend to have. Raises Unfit."""
    if isinstance(value, (str, bool, int, type(None))):
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _storable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(one) for one in value]
    raise Unfit(f"the value {value!r:.100}, which a record can't hold")


def _time_ns(when: Any) -> int:
    """Nanoseconds from what a function gives as time: seconds, or {"sec": ..., "nsec": ...}. Raises Unfit."""
    try:
        if isinstance(when, dict):
            time_ns = int(when["sec"]) * _SECOND + int(when.get("nsec", 0))
        else:
            time_ns = int(when) * _SECOND if isinstance(when, int) else round(float(when) * 1e6) * 1000
        if abs(time_ns) < 2**63:
            return time_ns
    except (TypeError, ValueError, OverflowError, KeyError):
        pass
    raise Unfit(f"the timestamp {when!r:.100}, which is no time")


def _said(error: BaseException, name: str) -> str:
    """An exception with the line of the script where it came from."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{name}:{line}: {text}" if line else text
