"""How the memory of the process is shared out: one number, service.memory_limit, over all outputs and the work.

    limit = WORK + a batch for each further input that reads in bulk + the memory of each output

It bounds what comes on top of the process at rest. Of an output's memory an eighth is for encoded batches on their way, a
sixteenth for what the allocator loses, and the rest for the buffer, which counts decoded records at what they cost.
docs/memory.md has what was measured.

It must not know plugins.
"""

from __future__ import annotations

from edgebit.errors import ConfigError
from edgebit.plugin import READ_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

WORK = 1 << 20  # bytes for what a turn of the loop works on: a read, its records, a batch that is encoded or decoded
DECODED = 7  # records of short lines take so many times the bytes that they were read from
IN_FLIGHT = 8  # this part of an output's memory is for batches on their way
LOST = 16  # and this for what the allocator loses between pieces of different sizes
SMALLEST = 128 * 1024  # an output that gets a share gets this at least
DEFAULT = 8 << 20  # an output's without a limit for all


class Shares:
    """What a limit gives to whom, in bytes.

    limit   service.memory_limit; 0 if it is not set, then it is what the outputs and the work come to
    named   for each output the memory that it names itself, or None
    bulk    inputs that read in bulk: each may have one batch that finds no room
    where   the place of memory_limit

    Raises ConfigError if the limit is too little.
    """

    def __init__(self, limit: int, named: Sequence[int | None], bulk: int, where: str = "") -> None:
        own = sum(memory for memory in named if memory is not None)
        rest = named.count(None)
        smallest = min((memory for memory in named if memory is not None), default=DEFAULT)
        if limit and rest:
            # The batches that are parked depend on the size of reads, that on the shares: once with the largest is enough.
            smallest = min(smallest, max(SMALLEST, (limit - own - WORK) // rest))
        self.read_size = max(4096, min(READ_SIZE, smallest // 128))
        self.work = WORK + max(0, bulk - 1) * DECODED * self.read_size
        self.share = max(0, limit - own - self.work) // rest if limit and rest else DEFAULT
        least = self.work + own + rest * SMALLEST
        if limit and limit < least:
            others = f", and the {rest} without that need {size(SMALLEST)} each" if rest else ""
            raise ConfigError(
                f"is too little: {size(self.work)} are for reading and work, {size(own)} are what outputs name as memory of "
                f"their own{others}; set it to {size(least)} at least, or lower the memory of outputs",
                where, "memory_limit",
            )  # fmt: skip
        self.outputs = [self.share if memory is None else memory for memory in named]
        self.limit = limit or self.work + sum(self.outputs)


def size(number: int) -> str:
    """As a person would write it."""
    for unit, length in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= length:
            return f"{number / length:.4g} {unit}"
    return f"{number} bytes"
