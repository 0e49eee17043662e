"""Dead letters: records that a collector refused for good, kept for a person to look at, in bounded space.

One JSON-lines file an output, ``<state_dir>/dead-letters/<output>.jsonl``, at most LIMIT bytes; when it is full it
becomes ``.old`` and a new one starts, so the newest letters are always there. A letter that cannot be written is still in
the ledger; nothing here raises.
"""

from __future__ import annotations

import os

from edgebit.errors import reason
from edgebit.record import to_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.log import Log
    from edgebit.record import Chunk

LIMIT = 1024 * 1024  # bytes a file; two files an output


def file_name(output: str) -> str:
    """An output's name without what can't be in a file's."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in output)


class DeadLetters:
    """The store of one output. With no state directory it keeps nothing."""

    def __init__(self, state_dir: str, output: str, log: Log) -> None:
        self.path = os.path.join(state_dir, "dead-letters", f"{file_name(output)}.jsonl") if state_dir else ""
        self._log = log
        self._complained = False

    def park(self, chunk: Chunk, why: str) -> None:
        """Append the chunk's records with their sequence numbers and the reason."""
        if not self.path:
            return
        import json

        lines = []
        for i, record in enumerate(chunk.records):
            letter = {"tag": chunk.tag, "sequence": chunk.seq + i, "why": why, "time_ns": record[0],
                      "record": to_dict(record)}  # fmt: skip
            lines.append(json.dumps(letter, default=str))
        data = "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")[:LIMIT]
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o750, exist_ok=True)
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                size = os.fstat(fd).st_size
                if size and size + len(data) > LIMIT:
                    os.replace(self.path, self.path + ".old")
                    os.close(fd)
                    fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
                os.write(fd, data)
            finally:
                os.close(fd)
            self._complained = False
        except OSError as error:
            if not self._complained:
                self._complained = True
                self._log.warn(f"cannot keep dead letters: {reason(error)}; they are counted only")


def kept(state_dir: str) -> dict[str, list[str]]:
    """The files of dead letters in a state directory, by the output's name as it is in them, the oldest first. Raises
    OSError."""
    directory = os.path.join(state_dir, "dead-letters")
    found: dict[str, list[str]] = {}
    try:
        names = sorted(os.listdir(directory), reverse=True)  # .jsonl.old before .jsonl
    except FileNotFoundError:
        return found
    for name in names:
        output, ending, _ = name.rpartition(".jsonl")
        if ending:
            found.setdefault(output, []).append(os.path.join(directory, name))
    return found
