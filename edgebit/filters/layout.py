"""Where values of a record go when its fields change: the part of a filter that is worked out once for each shape.

A layout is a list of (name, source): the fields of the new record in order, and for each the index of its value in the
old record's values with the filter's own values behind them.
"""

from __future__ import annotations

from operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Layout = list[tuple[str, int]]
    Pick = Callable[[tuple[Any, ...]], tuple[Any, ...]]


def picker(indexes: Sequence[int]) -> Pick:
    """A function that takes these out of a tuple, as a tuple."""
    if len(indexes) > 1:
        return itemgetter(*indexes)
    return itemgetter(slice(indexes[0], indexes[0] + 1) if indexes else slice(0, 0))


def picker_or_none(indexes: Sequence[int], count: int) -> Pick | None:
    """The same; None if they are all of `count` values in their order, so that nothing has to be done."""
    return None if list(indexes) == list(range(count)) else picker(indexes)


def last_wins(layout: Layout) -> Layout:
    """Of fields with the same name only the last."""
    places = {name: i for i, (name, _) in enumerate(layout)}
    return layout if len(places) == len(layout) else [one for i, one in enumerate(layout) if places[one[0]] == i]


def appended(names: Sequence[str], added: Sequence[str]) -> Layout:
    """The fields of a record and others behind them, which take the place of those with the same name."""
    return last_wins([(name, i) for i, name in enumerate((*names, *added))])


def text_of(value: Any) -> str | None:
    """What rules and comparisons see of a value: a text as it is, a number, true, false and null as in JSON; of a list or
    a map nothing (None)."""
    if type(value) is str:
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, (int, float, str)) else None


def storable(value: object) -> bool:
    """Whether a record can hold the value: what JSON and CBOR share, no NaN and no infinity."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and storable(one) for key, one in value.items())
    if isinstance(value, list):
        return all(map(storable, value))
    if isinstance(value, float):
        return value - value == 0
    return value is None or isinstance(value, (str, int))
