"""Fields that inputs add to all of their records, such as the sender's address."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgebit.record import Record, Shape


class Added:
    """Adds fields to records of any shape: their names once, their values for each record."""

    __slots__ = ("_longer", "_names")

    def __init__(self, *names: str) -> None:
        self._names = names
        self._longer: dict[Shape, Shape] = {}  # a shape, and the one with the added names

    def __call__(self, records: list[Record], columns: Iterable[tuple[str, ...]]) -> list[Record]:
        """`columns`: for each record the values to add."""
        longer = self._longer
        return [
            (time_ns, longer.get(shape) or self._lengthen(shape), values + added)
            for (time_ns, shape, values), added in zip(records, columns)
        ]

    def _lengthen(self, shape: Shape) -> Shape:
        longer = shape.derive(shape.names + self._names)
        if shape.interned:  # there is a bounded number of those
            self._longer[shape] = longer
        return longer
