"""The simulated file system agrees with the real one while nothing happens, and is nasty when something does."""

from __future__ import annotations

import errno
import inspect
import tempfile
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebit.buffer.files import File, Files
from fakes.files import PowerCut, SimFile, SimFiles
from fakes.medium import SECTOR


def outcomes(story, seeds=200, **options):
    """What `story(sim)` gives over many seeds, as a set."""
    return {story(SimFiles(seed, **options)) for seed in range(seeds)}


def written_file(sim, size=4 * SECTOR, path="/d/f"):
    sim.makedirs("/d")
    return sim.create(path, size)


# -- the same door ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("real", "sim"), [(Files, SimFiles), (File, SimFile)])
def test_same_methods_and_parameters(real, sim):
    for name, method in inspect.getmembers(real, inspect.isfunction):
        if not name.startswith("_"):
            assert list(inspect.signature(getattr(sim, name)).parameters) == list(inspect.signature(method).parameters)


paths = st.sampled_from(["/a", "/a/x", "/a/y", "/a/x.tmp", "/b", "/b/c", "/b/c/x"])
small = st.integers(0, 3 * SECTOR)
content = st.builds(lambda size, byte: bytes([byte]) * size, small, st.integers(1, 255))
calls = st.one_of(
    st.tuples(
        st.sampled_from(["listdir", "makedirs", "open", "open_readonly", "read", "unlink", "sync_directory"]), paths
    ),
    st.tuples(st.just("create"), paths, st.integers(1, 3 * SECTOR)),
    st.tuples(st.just("read"), paths, small),
    st.tuples(st.just("replace"), paths, content, st.booleans()),
    st.tuples(st.just("pread"), st.integers(0, 3), small, small),
    st.tuples(st.just("pwrite"), st.integers(0, 3), content.filter(bool), small),
    st.tuples(st.sampled_from(["sync", "close", "size"]), st.integers(0, 3)),
)


def run(files, root, sequence):
    """The answers to a sequence of calls, errors as their errno."""
    handles, answers = [], []
    for name, target, *rest in sequence:
        try:
            if isinstance(target, str):
                if name == "open_readonly":
                    files.read(root + target)  # EISDIR: the real one would open a directory, which nobody does
                answer = getattr(files, name)(root + target, *rest)
                if isinstance(answer, (File, SimFile)):
                    handles.append(answer)
                    answer = answer.size
            elif target < len(handles):
                handle = handles.pop(target) if name == "close" else handles[target]
                answer = handle.size if name == "size" else getattr(handle, name)(*rest)
            else:
                continue
        except OSError as error:
            answer = errno.errorcode[error.errno or 0]
        answers.append((name, target, answer))
    for handle in handles:
        handle.close()
    return answers


@settings(max_examples=150, deadline=None)
@given(st.lists(calls, max_size=25))
def test_agrees_with_the_real_file_system(sequence):
    with tempfile.TemporaryDirectory() as root:
        real = run(Files(), root, [("makedirs", "/a"), *sequence])
    sim = SimFiles()
    sim.makedirs(root)
    assert run(sim, root, [("makedirs", "/a"), *sequence]) == real


# -- power cuts ------------------------------------------------------------------------------------------------------


def test_what_was_synced_survives_a_cut():
    def story(sim):
        file = written_file(sim)
        file.pwrite(b"safe", 100)
        file.sync()
        sim.replace("/d/g", b"new")
        sim.cut()
        return sim.read("/d/f")[100:104], sim.read("/d/g"), tuple(sim.listdir("/d"))

    assert outcomes(story) == {(b"safe", b"new", ("f", "g"))}


def test_each_unsynced_sector_is_kept_or_lost_on_its_own():
    def story(sim):
        written_file(sim).pwrite(b"n" * 3 * SECTOR, 0)
        sim.cut()
        data = sim.read("/d/f")
        assert len(data) == 4 * SECTOR
        return "".join("nt."[(data[at] == 0) + (data[at + SECTOR - 1] == 0)] for at in range(0, 3 * SECTOR, SECTOR))

    seen = outcomes(story)
    assert {"...", "nnn", "n..", ".n.", "..n", "n.n", ".nn", "nn."} <= seen
    assert any("t" in fate for fate in seen), "a torn sector"


def test_an_older_write_may_be_the_one_that_is_on_the_medium():
    def story(sim):
        file = written_file(sim)
        for byte in (b"1", b"2", b"3"):
            file.pwrite(byte, 0)
        sim.cut()
        return sim.read("/d/f")[:1]

    assert outcomes(story) == {b"\0", b"1", b"2", b"3"}


@pytest.mark.parametrize(("whole_sectors", "survives"), [(False, {True}), (True, {True, False})])
def test_a_zeroed_sector_spares_what_was_durable_unless_told_otherwise(whole_sectors, survives):
    def story(sim):
        file = written_file(sim)
        file.pwrite(b"old", 0)
        file.sync()
        file.pwrite(b"new", 3)
        sim.cut()
        return sim.read("/d/f")[:3] == b"old"

    assert outcomes(story, 400, whole_sectors=whole_sectors) == survives


def test_an_unsynced_unlink_and_replace_may_be_undone():
    def story(sim):
        written_file(sim).close()
        sim.replace("/d/g", b"old")
        sim.unlink("/d/f")
        sim.replace("/d/g", b"newer", sync=False)
        sim.cut()
        return "f" in sim.listdir("/d"), sim.read("/d/g")

    seen = outcomes(story)
    assert {(there, data) for there in (True, False) for data in (b"old", b"newer")} <= seen
    assert (True, b"") in seen, "renamed before its bytes were written: a file of no length"


def test_a_new_file_is_there_whole_or_empty_or_not_when_its_creation_is_cut():
    def story(sim):
        sim.makedirs("/d")
        sim.cut_at = sim.op + 1 + sim.seed % 4
        with pytest.raises(PowerCut):
            sim.create("/d/f", 2 * SECTOR)
        sim.cut()
        return len(sim.read("/d/f")) if sim.listdir("/d") else None

    assert outcomes(story) == {None, 0, 2 * SECTOR}


def test_synced_replace_leaves_old_or_new_at_every_cut():
    def story(sim):
        sim.makedirs("/d")
        sim.replace("/d/g", b"old")
        sim.cut_at = sim.op + 1 + sim.seed % 5
        with pytest.raises(PowerCut):
            sim.replace("/d/g", b"new")
        sim.cut()
        return sim.read("/d/g")

    assert outcomes(story) == {b"old", b"new"}


def test_a_directory_that_was_not_synced_takes_its_files_with_it():
    def story(sim):
        sim._names["/lost"] = sim._names["/"]  # a mkdir of which only the cache knows
        sim.create("/lost/f", 1)
        sim.cut()
        return sim.read("/lost/f"), tuple(sim.listdir("/"))

    assert outcomes(story, 5) == {(b"", ())}


def test_cut_stops_at_the_operation_wholly_partly_or_not_and_all_is_dark_until_then():
    def story(sim):
        file = written_file(sim)
        sim.cut_at = sim.op + 1
        with pytest.raises(PowerCut):
            file.pwrite(b"x" * 10, 0)
        with pytest.raises(PowerCut):
            file.pwrite(b"y", 100)
        assert sim.op == sim.cut_at
        sim.kill()
        return sim.read("/d/f").count(b"x")

    assert {0, 5, 10} <= outcomes(story)


def test_no_except_clause_survives_a_cut():
    assert not issubclass(PowerCut, Exception)


def test_killed_process_leaves_the_cache_and_its_handles_are_dead():
    sim = SimFiles()
    file = written_file(sim)
    file.pwrite(b"seen", 0)
    sim.kill()
    for use in (lambda: file.pread(1, 0), lambda: file.pwrite(b"", 0), file.sync):
        with pytest.raises(RuntimeError):
            use()
    file.close()  # what a dying process does anyway

    assert sim.read("/d/f")[:4] == b"seen"


# -- errors ----------------------------------------------------------------------------------------------------------


def test_failing_write_has_written_a_prefix():
    def story(sim):
        file = written_file(sim)
        sim.fail_at = {sim.op + 1: errno.EIO}
        with pytest.raises(OSError, match="Input/output"):
            file.pwrite(b"x" * 100, 0)
        data = file.pread(100, 0)
        assert data == (b"x" * data.count(b"x")).ljust(100, b"\0")
        return data.count(b"x")

    seen = outcomes(story)
    assert len(seen) > 20
    assert 100 not in seen


def test_failing_sync_forgets_and_the_next_one_proves_nothing():
    def story(sim):
        file = written_file(sim)
        file.pwrite(b"safe", SECTOR)
        file.sync()
        file.pwrite(b"x", 0)
        sim.fail_at = {sim.op + 1: errno.EIO}
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        file.sync()
        cached = file.pread(1, 0)
        sim.cut()
        data = sim.read("/d/f")
        assert data[SECTOR : SECTOR + 4] == b"safe"
        return cached, data[:1]

    assert outcomes(story) == {(b"x", b"x"), (b"\0", b"\0"), (b"x", b"\0")}


def test_failing_steps_change_nothing_and_create_cleans_up():
    for step in ("create", "fallocate", "sync", "sync_directory"):
        sim = SimFiles()
        sim.makedirs("/d")
        sim.fail_at = lambda op, name, path, step=step: errno.EIO if name == step else None
        with pytest.raises(OSError, match="Input/output"):
            sim.create("/d/f", 10)
        assert sim.listdir("/d") == []
    for step in ("create", "pwrite", "sync", "rename"):
        sim = SimFiles()
        sim.makedirs("/d")
        sim.replace("/d/f", b"old")
        sim.fail_at = lambda op, name, path, step=step: errno.ENOSPC if name == step else None
        with pytest.raises(OSError, match="No space"):
            sim.replace("/d/f", b"new")
        assert sim.read("/d/f") == b"old"


def test_full_disk_refuses_what_grows_and_takes_what_is_reserved():
    sim = SimFiles(capacity=1000)
    file = written_file(sim, 900)
    assert sim.free("/d") == 100
    for grow in (
        lambda: sim.create("/d/g", 101),
        lambda: sim.replace("/d/g", b"x" * 101),
        lambda: file.pwrite(b"x", 1000),
    ):
        with pytest.raises(OSError, match="No space"):
            grow()
    file.pwrite(b"x" * 900, 0)
    sim.capacity = 500  # somebody else filled it
    file.pwrite(b"y" * 900, 0)
    assert sim.free("/d") == 0
    assert "g" not in sim.listdir("/d")
    sim.unlink("/d/f")

    sim.create("/d/g", 400).close()


def test_read_only_file_system_can_be_read():
    sim = SimFiles()
    file = written_file(sim)
    sim.readonly = True
    for change in (
        lambda: file.pwrite(b"x", 0),
        lambda: sim.open("/d/f"),
        lambda: sim.create("/d/g", 1),
        lambda: sim.replace("/d/f", b"x"),
        lambda: sim.unlink("/d/f"),
        lambda: sim.makedirs("/e"),
    ):
        with pytest.raises(OSError, match="Read-only"):
            change()
    assert sim.open_readonly("/d/f").pread(4, 0) == bytes(4)
    sim.readonly = False

    file.pwrite(b"x", 0)


# -- counts and replay -----------------------------------------------------------------------------------------------


def test_closed_file_and_one_opened_for_reading_refuse():
    sim = SimFiles()
    file = written_file(sim)
    readonly = sim.open_readonly("/d/f")
    file.close()
    for use in (lambda: file.pread(1, 0), lambda: file.pwrite(b"x", 0), file.sync, lambda: readonly.pwrite(b"x", 0)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            use()


def test_counts_by_path():
    sim = SimFiles()
    file = written_file(sim)
    file.pwrite(b"12345", 0)
    file.sync()
    sim.replace("/d/g", b"123")
    sim.unlink("/d/g")

    assert sim.written == {"/d/f": 5, "/d/g.tmp": 3}
    assert sim.syncs == {"/": 1, "/d": 2, "/d/f": 2, "/d/g.tmp": 1}
    assert sim.metadata == {"/d": 1, "/d/f": 2, "/d/g.tmp": 1, "/d/g": 2}


def test_same_seed_same_story():
    def story(seed):
        sim = SimFiles(seed)
        file = written_file(sim)
        sim.cut_at = sim.op + 3
        file.pwrite(b"0" * 700, 0)
        file.pwrite(b"1" * 700, 100)
        with pytest.raises(PowerCut):
            file.pwrite(b"2" * 700, 200)
        sim.cut()
        return sim.read("/d/f"), sim.story()

    assert story(5) == story(5)
    assert story(5)[0] != story(6)[0]
    assert "seed=5" in story(5)[1]
    assert "pwrite /d/f <- cut, " in story(5)[1]


def test_cut_can_be_given_its_own_chance():
    def story(seed):
        sim = SimFiles()
        written_file(sim).pwrite(b"x" * 2000, 0)
        sim.cut(Random(seed))
        return sim.read("/d/f")

    assert story(1) == story(1)
    assert len({story(seed) for seed in range(20)}) > 3
