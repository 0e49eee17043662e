"""Keeps the ledger over restarts and tells each output's collector of its losses.

A loss is told as a record of the tag `edgebit.loss`, past all filters, into the buffer of the output that it concerns, and
marked as told when that record is durable or delivered.
"""

from __future__ import annotations

import os

from edgebit.buffer import DROP_NEWEST
from edgebit.errors import reason
from edgebit.formats.dates import iso8601
from edgebit.ledger import TAG, Entry, Ledger
from edgebit.plugin import Receipt
from edgebit.record import Shape, records_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from edgebit.log import Log
    from edgebit.loop import Loop, Timer
    from edgebit.pipeline import Route

_DELAY = 1.0  # seconds from a loss until it is saved and told: many make one record
_SHAPE = Shape.of(("output", "stream", "reason", "count", "first_sequence", "last_sequence", "total"))
_INPUT_SHAPE = Shape.of(("input", "reason", "count", "first_time", "last_time", "total"))


class Reporter:
    """See the module's docstring."""

    def __init__(self, ledger: Ledger, routes: Sequence[Route], state_dir: str, loop: Loop, log: Log) -> None:
        self._ledger, self._routes, self._loop, self._log = ledger, routes, loop, log
        self._path = os.path.join(state_dir, "ledger.json") if state_dir else ""
        self._timer: Timer | None = None
        self._dirty = False
        self._on_its_way: list[list[int]] = []
        self._complained = False
        ledger.changed, ledger.keep = self._on_change, self.save

    def load(self) -> None:
        """Take over the ledger of earlier runs."""
        if not self._path:
            return
        from edgebit.buffer.files import Files

        try:
            data = Files().read(self._path)
        except OSError as error:
            self._log.warn(f"cannot read the ledger: {reason(error)}; it starts anew")
            return
        if data and not self._ledger.load(data):
            self._log.warn(
                f"{self._path} can't be understood; the ledger starts anew, the file is kept as ledger.json.bad"
            )
            try:
                os.replace(self._path, self._path + ".bad")
            except OSError:
                pass  # then it is overwritten
        if any(self._ledger.unreported(route.name) for route in self._routes):
            self._on_change()

    def _on_change(self) -> None:
        self._dirty = True
        if self._timer is None:
            self._timer = self._loop.call_later(_DELAY, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.save()
        if not self.tell():
            self._timer = self._loop.call_later(10 * _DELAY, self._on_timer)

    def tell(self) -> bool:
        """Put what is not told yet into the buffers; False if some must wait: while an output can't deliver, losses go on
        and one record at its end says it all."""
        complete = True
        for route in self._routes:
            self._join(route.name)
            unreported = [item for item in self._ledger.unreported(route.name) if item[1] not in self._on_its_way]
            if unreported and route.sender.in_trouble:
                complete = False
                continue
            for entry, span in unreported:
                complete = self._tell(route, entry, span) and complete
        return complete

    def _join(self, output: str) -> None:
        """What inputs missed since the last time makes one record."""
        for entry in {id(entry): entry for entry, _ in self._ledger.unreported(output) if entry.input}.values():
            entry.join(sum(span in self._on_its_way for span in entry.spans))

    def _tell(self, route: Route, entry: Entry, span: list[int]) -> bool:
        first, last, count = span
        values: tuple[Any, ...]
        if entry.input:
            shape, values = _INPUT_SHAPE, (entry.input, entry.reason, count, iso8601(first), iso8601(last), entry.count)
        else:
            shape, values = _SHAPE, (entry.who, entry.stream, entry.reason, count, first, last, entry.count)
        records = [(self._loop.clock.wall_ns(), shape, values)]
        size = records_size(records)
        if route.buffer.overflow == DROP_NEWEST and not route.buffer.has_room(size):
            return False  # it would be dropped, which is one more loss to tell
        told = list(span)
        self._on_its_way.append(told)

        def safe() -> None:
            self._on_its_way.remove(told)
            self._ledger.reported(entry, told)

        receipt = Receipt(safe)
        taken = route.buffer.append(TAG, records, size, receipt)
        if not taken:
            self._on_its_way.remove(told)
            return False
        receipt.release()
        route.sender.pump_soon()
        return True

    def save(self, anew: bool = False) -> None:
        """Write the ledger if it has changed; `anew`: its file was removed."""
        self._dirty = self._dirty or (anew and bool(self._ledger.entries))
        if not self._dirty or not self._path:
            return
        from edgebit.buffer.files import Files

        try:
            Files().replace(self._path, self._ledger.to_json())
            self._dirty = self._complained = False
        except OSError as error:
            if not self._complained:
                self._complained = True
                self._log.warn(f"cannot keep the ledger: {reason(error)}; losses are counted until the stop")
