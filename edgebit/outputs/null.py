"""Output null: takes records and does nothing with them. They count as delivered."""

from __future__ import annotations

from edgebit.plugin import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.plugin import Delivery


class Null(Output):
    """Throws records away."""

    NAME = "null"
    local = True

    def deliver(self, delivery: Delivery) -> None:
        delivery.delivered()
