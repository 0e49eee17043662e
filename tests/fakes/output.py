"""An output that keeps what it is given and answers when the test says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgebit.plugin import Output
from edgebit.record import Chunk

if TYPE_CHECKING:
    from edgebit.plugin import Delivery


class FakeOutput(Output):
    """`pending` are the deliveries not answered yet, `got` all (tag, seq, count) in the order of arrival.

    With `auto` set to "delivered", every delivery is answered at once.
    """

    NAME = "fake"

    def __init__(self, window: int = 1, auto: str = "") -> None:
        self.window, self.auto = window, auto
        self.pending: list[Delivery] = []
        self.got: list[tuple[str, int, int]] = []
        self.chunks: list[Chunk] = []

    def deliver(self, delivery: Delivery) -> None:
        chunk = delivery.chunk
        self.got.append((chunk.tag, chunk.seq, chunk.count))
        self.chunks.append(chunk)
        if self.auto == "delivered":
            delivery.delivered()
        else:
            self.pending.append(delivery)

    def sequences(self) -> list[int]:
        """All sequence numbers received, in order of arrival."""
        return [n for _, seq, count in self.got for n in range(seq, seq + count)]

    def answer(self, how: str, *args: object, which: Sequence[int] = (0,)) -> None:
        """Answer pending deliveries, chosen by index."""
        chosen = [self.pending[i] for i in which]
        for delivery in chosen:
            self.pending.remove(delivery)
            getattr(delivery, how)(*args)
