"""A buffer on a simulated device, and a witness of what it promised: what the tests of crashes are made of.

`Device` boots a buffer on a SimFiles, takes steps with it (put, read, ack, wait, break the disk, ...), and lets its lives
end with a clean stop, a kill or a power cut. `Witness` is the model. It knows each record by a number, and at each event
it checks what must hold whatever happens:

- nothing is delivered that was never appended, and nothing is changed on its way
- a (stream, sequence) names one record for ever, also over restarts, and a record has one name for each time that its
  source gave it
- records of one tag come in order; after a rewind or a restart it goes on, in order, from an earlier one
- what was acknowledged isn't delivered again in the same life, nor after a clean stop, nor after a kill if the cursor had
  been saved, nor after a cut if it had been synced
- what was reported as lost isn't delivered, nor reported twice, in the same life or in a later one if the cursor had been
  saved since
- nothing is reported as damaged: these devices lose only what was not synced
- memory and disk stay inside their limits
- in the end each record whose receipt came back, or that a restart called stored, was delivered and acknowledged, or its
  loss was reported

Each tag has a source that can be read again, as a file can: after a restart it goes on behind what is stored, or else
behind what it was told to be safe. But where a full buffer drops records, what comes as "a" comes once; and of others the
start of a batch may stay, and come again with the whole batch, if what was dropped was behind it: it may have been the end.

A violation is an AssertionError; a note on it says how to come there again.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import dropwhile
from types import SimpleNamespace
from typing import Any

from edgebit.buffer.disk import DiskBuffer
from edgebit.plugin import Receipt
from edgebit.record import Chunk, Record, Shape, records_size
from fakes.buffers import FakeClocks, disk_buffer
from fakes.files import PowerCut, SimFiles

DIRECTORY = "/state/buffers/a"
SHAPE = Shape.of(("n", "text"))
DAMAGED = "damaged on disk"
STOPPED = "not delivered before the stop"

Step = tuple[Any, ...]  # the name of a method of Device, and its arguments
Life = tuple[list[Step], str, int | None]  # steps; "stop", "kill" or "cut"; after so many operations, or at the end


class Witness:
    """See the module's docstring. Records are numbered from 1 in the order in which they are offered."""

    def __init__(self, drops: bool) -> None:
        self.drops = drops  # the buffer may drop records
        self.tags: dict[int, str] = {}  # of every record that was offered
        self.safe: set[int] = set()  # the source may forget them
        self.delivered: dict[int, tuple[str, int]] = {}  # the name of each under which it came last
        self.names: dict[tuple[str, int], int] = {}  # the same, turned round
        self._again: set[int] = set()  # given again by their source, and not delivered since
        self._twice: set[int] = set()  # may come again under another name
        self.arrived: set[int] = set()  # acknowledged, ever
        self.acked: set[int] = set()  # and must not come again
        self._acked_after = {"kill": self.acked, "cut": self.acked}  # what would be left of that
        self.lost: dict[tuple[str, int], str] = {}
        self._told: set[tuple[str, int]] = set()  # those that must not be told again
        self._settled: set[tuple[str, int]] = set()  # of those: a crash changes nothing about it
        self._highest: dict[str, int] = {}  # by tag: the newest record that was ever delivered
        self._latest: dict[str, int] = {}  # by tag: the record that was delivered last since the last rewind

    def read(self, chunk: Chunk) -> None:
        records, tag = chunk.records, chunk.tag
        assert len(records) == chunk.count > 0
        for seq, (time_ns, shape, (number, padding)) in enumerate(records, chunk.seq):
            name = (chunk.stream, seq)
            assert self.tags.get(number) == tag, f"delivered {number}, which was never appended to {tag}"
            assert (time_ns, shape, padding) == (number, SHAPE, text(number, len(padding))), f"{number} was changed"
            assert self.names.setdefault(name, number) == number, f"{name} is {number} and was {self.names[name]}"
            known = name if number in self._again else self.delivered.get(number, name)
            if number not in self._twice:
                assert known == name, f"{number} is {name} and was {known}"
                assert number not in self.acked, f"delivered {number} again, which was acknowledged"
                assert number > self._latest.get(tag, 0), f"delivered {number} of {tag} after {self._latest[tag]}"
            assert name not in self._told, f"delivered {number} {name}, which was reported as lost: {self.lost[name]}"
            dropped = self.drops and number in self._again  # before; and now its source gives it once more
            if number not in self.delivered and name not in self.lost and not dropped:
                assert number > self._highest.get(tag, 0), f"{number} of {tag} comes first after {self._highest[tag]}"
                self._highest[tag] = number
            self._latest[tag] = number
            self.delivered[number] = name
            self._again.discard(number)

    def ack(self, chunk: Chunk) -> None:
        numbers = {record[2][0] for record in chunk.records}
        self.arrived |= numbers
        self.acked = self.acked | numbers

    def given_again(self, numbers: Iterable[int]) -> None:
        self._again.update(numbers)
        if self.drops:
            self._twice.update(numbers)
        self.acked = self.acked.difference(numbers)
        self._acked_after = {end: acked.difference(numbers) for end, acked in self._acked_after.items()}

    def saved(self, end: str) -> None:
        """The cursor would outlast this end."""
        self._acked_after[end] = self.acked

    def settled(self) -> None:
        """What was told to be lost is known to the cursor on the medium."""
        self._settled |= self._told

    def booted(self) -> None:
        self._latest.clear()

    def rewound(self) -> None:
        self._latest.clear()

    def crashed(self, end: str, faulty: bool) -> None:
        self.acked = set() if faulty else self._acked_after[end]
        self._acked_after = {"kill": self.acked, "cut": self.acked & self._acked_after["cut"]}
        if faulty:  # what a failed sync left may be there after all, though it was dropped from memory since then
            self._settled.clear()
        self._told = set(self._settled)

    def stopped(self) -> None:
        self._settled |= self._told
        self._acked_after = {"kill": self.acked, "cut": self.acked}

    def reported(self, loss: tuple[str, int, int, str]) -> None:
        why, count, first, stream = loss
        assert count > 0
        assert why != DAMAGED, f"nothing is damaged, and {loss} is reported"
        if int(stream, 16) == 0:
            return  # damage in what nobody knows the stream of
        for name in ((stream, seq) for seq in range(first, first + count)):
            assert self.names.get(name) not in self.acked, f"{name} was acknowledged and is reported as lost: {why}"
            assert name not in self._told, f"{name} is reported as lost twice: {self.lost[name]}, {why}"
            self.lost.setdefault(name, why)
            self._told.add(name)

    def missing(self) -> set[int]:
        """Safe records that did not arrive, unless as many losses were reported."""
        missing = self.safe - self.arrived
        explained = sum(self.names.get(name) not in self.arrived for name in self.lost)
        return missing if len(missing) > explained else set()


def text(number: int, size: int) -> str:
    return (f"{number}:" * size)[:size]


class Device:
    """A machine with one buffer; `settings` are those of fakes.buffers.disk_buffer.

    crashes  how many of its lives ended with a kill or a power cut
    notes    log lines
    """

    buffer: DiskBuffer

    def __init__(self, seed: int = 0, **settings: Any) -> None:
        self.settings = {"disk": 5 * 4096, "limit": 24 * 1024, **settings}
        self.sim = SimFiles(seed)
        self.witness = Witness(drops=settings.get("overflow", "block") != "block")
        self.clocks = FakeClocks()
        self.notes: list[str] = []
        self.boots = self.crashes = 0
        self.taken: set[int] = set()  # by the buffer, in this life
        self.left = 0  # records that a clean stop left to their sources
        self._out: list[Chunk] = []  # handed out and not acknowledged
        self._again: dict[str, list[int]] = {}  # by tag: what its source gives once more
        self._marked: set[int] = set()  # numbers that their source can give again
        self._pending: tuple[str, list[Record], Receipt] | None = None  # what a full buffer didn't take
        self._lives: list[Life] = []

    # -- lives -------------------------------------------------------------------------------------------------------

    def live(self, steps: list[Step], end: str = "stop", after: int | None = None) -> bool:
        """Boot, take the steps, end; or end `after` so many operations with files, if that comes first. Whether all steps
        were taken."""
        sim = self.sim
        self._lives.append((steps, end, after))
        self._faulty = False
        sim.cut_at = None if after is None else sim.op + 1 + after
        complete = False
        try:
            self.boot()
            for name, *args in steps:
                getattr(self, name)(*args)
                self._check_limits()
                self._look_at_the_cursor()
            self.mend()
            complete = True
            if end == "stop":
                self._stop()
                self.witness.stopped()
        except PowerCut:
            end = end if end == "kill" else "cut"
        except Exception as error:
            error.add_note(self.story())
            raise
        sim.cut_at, sim.fail_at = None, {}
        if end == "cut":
            sim.cut()
            self.clocks.boot_id = f"boot{self.boots:4}".encode()
        else:
            sim.kill()
        if end != "stop":
            self.crashes += 1
            self.witness.crashed(end, self._faulty)
        return complete

    def boot(self) -> None:
        self.boots += 1
        self._out, self._pending, self.taken = [], None, set()
        self.witness.booted()
        reports: Any = SimpleNamespace(append=self.witness.reported)
        self.buffer = disk_buffer(self.sim, DIRECTORY, losses=reports, notes=self.notes, clocks=self.clocks,
                                  stream_id=self.new_stream_id(), **self.settings)  # fmt: skip
        witness = self.witness
        for tag in sorted(set(witness.tags.values())):
            numbers = [n for n, t in witness.tags.items() if t == tag and n in self._marked]
            stored = self.buffer.recovered(tag)
            if stored is not None:
                witness.safe.update(n for n in numbers if n <= stored[0])
            self._again[tag] = list(dropwhile(witness.safe.__contains__, numbers))

    def new_stream_id(self) -> str:
        return f"{self.boots:016x}"

    def _stop(self) -> None:
        self.left += self.buffer.close(STOPPED)

    def finish(self) -> None:
        """A last life in which nothing goes wrong: all there is comes out, and the buffer takes and gives as ever."""
        self.live([("drain",), ("put", 3, "a", 20), ("drain",), ("check_empty",)])
        missing = self.witness.missing()
        if missing:
            error = AssertionError(f"safe and never delivered: {sorted(missing)}")
            error.add_note(self.story())
            raise error

    def story(self) -> str:
        """How to come here again."""
        lives = "\n".join(f"device.live{life}" for life in self._lives)
        return f"device = Device({self.sim.seed}, **{self.settings})\n{lives}\nnotes: {self.notes}\n{self.sim.story()}"

    # -- steps -------------------------------------------------------------------------------------------------------

    def put(self, count: int, tag: str, size: int) -> None:
        """Offer new records of about `size` bytes; if a full buffer took only some before, the rest of those instead."""
        if self._pending is None:
            dropping = self.settings.get("overflow", "block") != "block"
            numbers = self._again.get(tag, [])[:count]
            if numbers:
                del self._again[tag][:count]
                self.witness.given_again(numbers)
            else:
                first = len(self.witness.tags) + 1
                numbers = list(range(first, first + count))
                self.witness.tags |= dict.fromkeys(numbers, tag)
            records: list[Record] = [(n, SHAPE, (n, text(n, size))) for n in numbers]
            mark = (tag, numbers[-1], 0) if tag != "a" or not dropping else None
            if mark:
                self._marked.update(numbers)
            self._pending = (tag, records, Receipt(lambda: self.witness.safe.update(numbers), mark))
        tag, records, receipt = self._pending
        taken = self.buffer.append(tag, records, records_size(records), receipt)
        assert 0 <= taken <= len(records)
        self.taken.update(record[0] for record in records[:taken])
        self._pending = (tag, records[taken:], receipt)
        if taken == len(records):
            self._pending = None
            receipt.release()

    def read(self, flush: bool = True) -> Chunk | None:
        chunk = self.buffer.read(flush)
        if chunk is not None:
            self.witness.read(chunk)
            self._out.append(chunk)
        return chunk

    def ack(self, count: int = 1) -> None:
        """The oldest chunks that are on their way have arrived."""
        for chunk in self._out[:count]:
            self.buffer.ack(chunk)
            self.witness.ack(chunk)
        del self._out[:count]

    def rewind(self) -> None:
        """A delivery failed: all that is on its way is to be handed out again."""
        self.buffer.rewind()
        self.witness.rewound()
        self._out.clear()

    def arrive_and_rewind(self) -> None:
        """A delivery failed, and the one behind it arrived."""
        for chunk in self._out[1:2]:
            self.buffer.arrived(chunk)
            self.witness.ack(chunk)
        self.rewind()

    def wait(self, seconds: float) -> None:
        """Time passes; the buffer does what is due, when it is due. When nothing is due any more, all is safe."""
        end = self.clocks.clock.now + seconds
        self.buffer.commit()
        while (due := self.buffer.deadline) is not None and self.clocks.clock.now + due <= end:
            self.clocks.clock.advance(due)
            self.buffer.commit()
            assert due or self.buffer.deadline != 0.0, "it is always due: the loop would spin"
        self.clocks.clock.advance(max(0.0, end - self.clocks.clock.now))
        self.buffer.commit()
        if self.buffer.deadline is None and self._pending is None:
            assert self.taken <= self.witness.safe, "nothing is due, and something isn't safe"

    def drain(self) -> None:
        """The collector takes everything."""
        self.rewind()
        for _ in range(1000):
            while self.read() is not None:
                self.ack()
            if self._pending is not None:
                self.put(0, "", 0)
            elif not self.buffer.waiting:
                return
            else:
                self.wait(1.0)
        raise AssertionError("it says that something waits, and never hands it out")

    def check_empty(self) -> None:
        assert self.buffer.records == 0, f"{self.buffer.records} records wait"
        assert self.read() is None

    def fail(self, error: int, *steps: str) -> None:
        """From now on these operations fail: "pwrite", "sync", ..."""
        self._faulty = True
        self.sim.fail_at = lambda op, step, path: error if step in steps else None

    def mend(self) -> None:
        self.sim.fail_at = {}
        self.sim.readonly = False

    def _look_at_the_cursor(self) -> None:
        log = self.buffer._log
        if not log.told:
            self.witness.settled()
        if not log.moved and not self.buffer._end_due:
            self.witness.saved("kill")
            if log.cursor_synced:
                self.witness.saved("cut")

    def _check_limits(self) -> None:
        files = self.sim._names.items()
        used = sum(len(inode.cache) for path, inode in files if path.endswith(".seg") and "/damaged/" not in path)
        assert used <= self.settings["disk"], f"{used} bytes of segments"
        assert 0 <= self.buffer.used <= self.settings["limit"], f"{self.buffer.used} bytes of memory"
        assert self.buffer.records >= 0
