"""A batch on its way to an output, which remembers what it was answered."""

from __future__ import annotations

from collections.abc import Sequence

from edgebit.record import Chunk, from_dict


class FakeDelivery:
    """A Delivery. `answers` has a tuple an answer: ("delivered",), ("retry", why, after) or ("reject", why, which)."""

    def __init__(self, body: bytes = b"", tag: str = "tag", seq: int = 1, count: int = 1,
                 chunk: Chunk | None = None) -> None:  # fmt: skip
        records = [from_dict(1_767_225_600_000_000_000, {"log": f"line {seq + i}"}) for i in range(count)]
        self.chunk = chunk or Chunk(tag, records, seq=seq)
        self.bodies: list[bytes] = []
        self.body, self.content_type, self.stream_id = body, "application/x-ndjson", "stream-1"
        self.agent_id = "agent-1"
        self.answers: list[tuple[object, ...]] = []

    @property
    def answer(self) -> str:
        """The kind of the only answer; "" if there is none yet."""
        assert len(self.answers) < 2, f"answered more than once: {self.answers}"
        return str(self.answers[0][0]) if self.answers else ""

    @property
    def why(self) -> str:
        """The reason of the only answer; "" if there is none yet or it needs none."""
        return str(self.answers[0][1]) if self.answer in ("retry", "reject") else ""

    def delivered(self) -> None:
        self.answers.append(("delivered",))

    def retry(self, why: str, after: float | None = None) -> None:
        self.answers.append(("retry", why, after))

    def reject(self, why: str, which: Sequence[int] | None = None) -> None:
        self.answers.append(("reject", why, which))
