"""Tail against a model: whatever happens to files and agent, no line is lost, and only unsafe ones come twice."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tail_rig import Rig

from edgebit.inputs import checkpoint
from edgebit.parsers.multiline import Definition

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["append"] * 6 + ["partial"] * 2 + ["run"] * 3 + ["release"] * 2
                        + ["rotate", "copytruncate", "remove", "kill", "stop", "start", "pause", "resume", "wait"]),
        st.integers(0, 40),
    ),
    max_size=40,
)  # fmt: skip


# Lines 1, 4, 7, ... begin a block of three.
THREES = Definition("threes", rules=[
    (("start_state",), lambda line: int(line.split("-")[1]) % 3 == 1, "rest"),
    (("rest",), lambda line: int(line.split("-")[1]) % 3 != 1, "rest"),
])  # fmt: skip


class World:
    """Files with numbered lines "generation-number", and what came of them.

    A generation is what was written from the beginning of a file on: a rotation or a truncation starts the next.
    """

    def __init__(self, root: Path, pattern: str, chunk: int, joined: bool = False) -> None:
        self.root, self.follows_rotated = root, pattern.endswith("*")
        self.rig = Rig(
            root,
            pattern,
            joined={"multiline_parser": [THREES] * joined},
            buffer_chunk_size=chunk,
            buffer_max_size=64,
            db_sync="off",
        )
        self.running = True
        self.generation = self.number = 0
        self.written: list[str] = []
        self.partial = False
        self.lives: list[list[str]] = []
        self.safe: set[str] = set()  # lines that must not come again in a later life
        self.rotated: list[tuple[Path, int]] = []

    # Operations. Each takes a number to do with what it likes.

    def append(self, n: int) -> None:
        text = ""
        for _ in range(n):
            self.number += 1
            line = f"{self.generation}-{self.number}"
            self.written.append(line)
            text += ("" if self.partial else line) + "\n"
            self.partial = False
        self.rig.write("app.log", text)

    def partial_(self, n: int) -> None:
        if not self.partial:
            self.number += 1
            self.partial = True
            self.rig.write("app.log", f"{self.generation}-{self.number}")
            self.number -= 1

    def run(self, n: int) -> None:
        if self.running:
            self.rig.run(0.05 + n / 20)

    def wait(self, n: int) -> None:
        if self.running:
            self.rig.run(n * 2)

    def release(self, n: int) -> None:
        """Let go of every receipt but some, then let the checkpoint be saved."""
        if not self.running:
            return
        for i, receipt in enumerate(self.rig.ctx.receipts):
            if receipt is not None and (n == 0 or (i * 7 + n) % 5):
                self.rig.release(i)
        self.rig.run(1.1)
        self._note_safe()

    def rotate(self, n: int) -> None:
        self.append(1)  # no unfinished line at the border, and no empty file
        if not self.follows_rotated:
            if self.running:
                self.rig.run(2)  # let the file be noticed
            elif not self._is_known():
                return  # one that comes and goes unseen is lost, as the docs say
        path = self.root / f"app.log.{self.generation}"
        os.rename(self.root / "app.log", path)
        self.rotated.append((path, self.generation))
        self._next()

    def remove(self, n: int) -> None:
        """Remove rotated files that are done with, so that inode numbers are used again."""
        for path, generation in self.rotated:
            if all(line in self.safe for line in self._lines_of(generation)):
                path.unlink(missing_ok=True)

    def copytruncate(self, n: int) -> None:
        self.append(1)
        self._settle()
        if self.running and all(line in self.safe for line in self._lines_of(self.generation)):
            if n % 2:
                self.rig.run(1)
                self._stop_if(n % 4 == 3)
            os.truncate(self.root / "app.log", 0)
            self._next()
            self.append(n)

    def kill(self, n: int) -> None:
        if self.running:
            self._end_life()
            self.rig.kill()

    def stop(self, n: int) -> None:
        if self.running:
            self.rig.tail.stop()
            self._note_safe()
            self._end_life()
            self.rig.close()

    def start(self, n: int) -> None:
        if not self.running:
            self.rig.start()
            self.running = True
            if not self.follows_rotated:
                self.rig.run(0.05)

    def pause(self, n: int) -> None:
        if self.running:
            self.rig.tail.pause()

    def resume(self, n: int) -> None:
        if self.running:
            self.rig.tail.resume()

    def finish(self) -> None:
        self.append(1)
        self.start(0)
        self.rig.tail.resume()
        self.rig.run(30)
        self._end_life()
        self.rig.close()

    # What the operations share.

    def _next(self) -> None:
        self.generation += 1
        self.number = 0
        self.append(1)

    def _is_known(self) -> bool:
        """Whether the checkpoint has the current file, as it is: not also truncated since."""
        loaded = checkpoint.load(str(self.rig.state / "plugin.0.positions"))
        assert loaded is not None
        with (self.root / "app.log").open("rb") as file:
            ino = os.fstat(file.fileno()).st_ino
            return any(position.ino == ino and position.fits(file.fileno()) for position in loaded[0])

    def _settle(self) -> None:
        self.resume(0)
        self.wait(2)
        self.release(0)

    def _stop_if(self, yes: bool) -> None:
        if yes:
            self.stop(0)

    def _end_life(self) -> None:
        self.lives.append([line for text in self.rig.lines for line in text.split()])
        self.running = False

    def _lines_of(self, generation: int) -> list[str]:
        return [line for line in self.written if line.startswith(f"{generation}-")]

    def _note_safe(self) -> None:
        """The batches of each generation up to the first that is still held."""
        held = set()
        for (_, records, _), receipt in zip(self.rig.ctx.emitted, self.rig.ctx.receipts):
            lines = [line for record in records for line in record[2][0].split()]
            generation = lines[0].partition("-")[0]
            if receipt is not None:
                held.add(generation)
            elif generation not in held:
                self.safe.update(lines)

    def check(self) -> None:
        came = [line for life in self.lives for line in life]
        assert set(came) == set(self.written)
        for life in self.lives:
            for generation in range(self.generation + 1):
                numbers = [int(line.split("-")[1]) for line in life if line.startswith(f"{generation}-")]
                assert numbers == sorted(set(numbers)), "out of order, or twice in one life"


class Checked(World):
    """Looks at the end of every life whether a safe line came again."""

    def _end_life(self) -> None:
        super()._end_life()
        self.before = getattr(self, "before", set())
        assert not self.before & set(self.lives[-1]), "a safe line came again"
        self.before |= self.safe


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize(("joined", "examples"), [(False, 25), (True, 15), pytest.param(False, 300, marks=pytest.mark.slow),
                                                  pytest.param(True, 100, marks=pytest.mark.slow)])  # fmt: skip
def test_no_line_is_lost(pattern: str, joined: bool, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @given(operations=OPERATIONS, chunk=st.sampled_from([64, 100, 65536]))
    def play(operations: list[tuple[str, int]], chunk: int) -> None:
        root = Path(tempfile.mkdtemp())
        world = Checked(root, pattern, chunk, joined)
        try:
            for name, n in operations:
                getattr(world, "partial_" if name == "partial" else name)(n)
            world.finish()
            world.check()
        finally:
            if world.running:
                world.rig.close()
            shutil.rmtree(root)

    play()
