"""edgebit buffer: what it shows of buffers of running and stopped agents and of copies, and that it changes nothing."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import subprocess
import sys
import zlib
from io import BytesIO

import cbor2
import pytest
from buffer.buffer_rig import SHAPE, Rig, flip, flip_header, flip_payload, places, tree

from edgebit.buffer.files import Files
from edgebit.buffer.format import HEADER_SIZE
from edgebit.cli import main
from edgebit.deadletter import DeadLetters
from edgebit.formats.cbor import decode_rows
from edgebit.record import Chunk


@pytest.fixture
def rig(tmp_path, capsys, monkeypatch):
    for name in ("fsync", "fdatasync"):  # no power is cut here, and a busy disk takes its time
        monkeypatch.setattr(os, name, lambda fd: None)
    return Rig(tmp_path, capsys)


@pytest.fixture
def nothing_changes(monkeypatch):
    """A context in which whatever would change a file fails."""

    def refuse(*args, **kwargs):
        raise AssertionError("this must not be changed")

    @contextlib.contextmanager
    def on():
        with monkeypatch.context() as patch:
            for name in ("open", "create", "replace", "unlink", "makedirs", "sync_directory"):
                patch.setattr(Files, name, refuse)
            patch.setattr("edgebit.buffer.streams.Lock.__init__", refuse)
            yield

    return on


# -- which buffers -------------------------------------------------------------------------------------------------------


def test_ls_of_a_stopped_agent(rig):
    rig.filled("http.0", 100)
    rig.filled("old", 30)
    code, out, _ = rig.run("ls", "-c", rig.config("http.0"))
    head, first, second = out.splitlines()
    assert code == 0
    assert head.split() == ["DIRECTORY", "OUTPUT", "RECORDS", "BYTES", "OLDEST", "AGE", "NEWEST"]
    assert first.split()[:3] == [str(rig.directory("http.0")), "http.0", "100"]
    assert second.split()[:4] == [str(rig.directory("old")), "old", "(orphan)", "30"]
    assert "2026-01-01T00:00:00Z" in first


def test_ls_with_nothing(rig):
    assert rig.run("ls", "--state-dir", rig.path)[:2] == (0, f"there are no buffers on disk in {rig.path}\n")


def test_ls_without_a_configuration_uses_the_usual_place(rig, monkeypatch):
    rig.filled("http.0")
    monkeypatch.setenv("STATE_DIRECTORY", str(rig.state))
    assert " 100 " in rig.run("ls")[1]


def test_ls_of_an_empty_buffer(rig):
    rig.filled("http.0", 0)
    assert rig.run("ls", "--state-dir", rig.state)[1].splitlines()[1].split()[1:] == [
        "http.0", "0", "0", "B", "-", "-", "-"]  # fmt: skip


@pytest.mark.parametrize("how", ["output", "name", "path", "state directory", "option"])
def test_target(rig, how):
    directory = rig.filled("http.0", 20)
    args = {"output": ("http.0", "--state-dir", rig.state), "name": (directory.name, "--state-dir", rig.state),
            "path": (directory,), "state directory": (rig.state,), "option": ("--state-dir", rig.state)}  # fmt: skip
    assert rig.numbers(*args[how]) == list(range(1, 21))


def test_copy_of_a_dead_device(rig, tmp_path):
    copy = tmp_path / "card"
    shutil.copytree(rig.filled("http.0", 20, acked=8), copy)
    shutil.rmtree(rig.state)
    assert rig.numbers(copy) == list(range(9, 21)) or rig.numbers(copy)[-1] == 20
    assert rig.run("verify", copy)[0] == 0


def test_copy_of_segments_only(rig, tmp_path):
    """Without the cursor everything that is there counts as waiting."""
    copy = tmp_path / "card"
    shutil.copytree(rig.filled("http.0", 20, acked=8), copy)
    for name in ("cursor", "stream.json"):
        (copy / name).unlink()
    assert rig.numbers(copy) == list(range(1, 21))
    assert "not known" in rig.run("stat", copy)[1]


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["ls", "/nowhere/x"], 73, "there is no directory /nowhere/x"),
        (["ls", "--state-dir", "/nowhere"], 73, "there is no state directory /nowhere"),
        (["ls", "-c", "/nowhere.toml"], 78, "cannot read the configuration"),
        (["ls", "/usr"], 73, "no directory of a buffer"),
        (["cat", "htp.0", "--state-dir", "STATE"], 73, "no buffer of an output called htp.0; it has: http.0"),
        (["cat", "--limit", "0"], 64, "--limit"),
        (["dogs"], 64, "dogs"),
        ([], 64, "VERB"),
        (["replay", "http.0", "--to", "x", "--state-dir", "STATE"], 64, "replay needs the agent's configuration"),
    ],
)
def test_wrong_command_lines(rig, args, code, why):
    rig.filled("http.0", 5)
    found, out, err = rig.run(*(arg.replace("STATE", str(rig.state)) for arg in args))
    assert (found, out) == (code, "")
    assert err.startswith("edgebit: ")
    assert why in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_directory_says_who_may(rig):
    directory = rig.filled("http.0", 5)
    directory.chmod(0)
    assert "run this as root or as the agent's user" in rig.run("cat", directory)[2]
    directory.chmod(0o700)


def test_check_names_orphans(rig, capsys):
    orphan = rig.filled("old", 5)
    config = rig.config("http.0")
    assert main(["check", "-c", config]) == 0
    assert f"{orphan} holds records of old, which is not configured" in capsys.readouterr().out
    assert main(["check", "-c", rig.config("old")]) == 0
    assert "holds records" not in capsys.readouterr().out


# -- cat and export ------------------------------------------------------------------------------------------------------


def test_cat_line(rig):
    rig.filled("http.0", 1)
    assert rig.run("cat", "http.0", "--state-dir", rig.state)[1] == (
        '{"date":1.0,"sequence":1,"tag":"t","stream":"687474702e306874","n":1,"text":"' + "x" * 50 + '"}\n')  # fmt: skip


def test_cat_selects(rig):
    buffer = rig.buffer("http.0")
    rig.append(buffer, "sys.a", 1, 10)
    rig.append(buffer, "cpu", 11, 10)
    buffer.close("stop")
    assert rig.numbers(rig.state, "--tag", "sys.*") == list(range(1, 11))
    assert rig.numbers(rig.state, "--tag", "cpu", "--limit", "3") == [11, 12, 13]
    assert rig.numbers(rig.state, "--limit", "12") == list(range(1, 13))


def test_cat_begins_at_the_cursor_unless_all_is_asked_for(rig):
    rig.filled("http.0", 100, acked=40)
    waiting = rig.numbers(rig.state)
    assert 1 < waiting[0] <= 60
    assert waiting == list(range(waiting[0], 101))
    assert rig.numbers(rig.state, "--all") == list(range(1, 101))


def test_cat_over_several_segments(rig):
    rig.filled("http.0", 5000)
    assert len({place[0] for place in places(rig.directory("http.0"))}) > 3
    assert rig.numbers(rig.state) == list(range(1, 5001))


def test_cat_of_a_running_agent_takes_no_lock_and_changes_nothing(rig, nothing_changes):
    buffer = rig.buffer("http.0")
    rig.append(buffer, "t", 1, 50)
    before = tree(rig.state)
    with nothing_changes():
        for verb in ("ls", "stat", "cat", "verify"):
            assert rig.run(verb, rig.state)[0] == 0
        assert rig.numbers(rig.state) == list(range(1, 51))
        assert rig.run("export", rig.path / "out", rig.state)[0] == 0
    assert tree(rig.state) == before
    rig.append(buffer, "t", 51, 10)
    assert rig.numbers(rig.state) == list(range(1, 61))
    buffer.close("stop")


def test_records_of_a_name_of_ours_keep_their_value(rig):
    """Of equal names the last one is written, as in every JSON that edgebit makes."""
    from edgebit.record import from_dict, records_size

    buffer = rig.buffer("http.0")
    records = [from_dict(10**9, {"tag": "mine", "n": 1})]
    buffer.append("t", records, records_size(records))
    buffer.close("stop")
    assert rig.lines(rig.state)[0]["tag"] == "mine"


def test_export_json_lines(rig):
    rig.filled("http.0", 30)
    out = rig.path / "out.jsonl"
    assert rig.run("export", out, "http.0", "--state-dir", rig.state)[1] == f"30 records of 1 buffer are in {out}\n"
    assert out.read_text() == rig.run("cat", rig.state)[1]


def test_export_compressed(rig):
    rig.filled("http.0", 30)
    assert rig.run("export", rig.path / "out.gz", rig.state)[0] == 0
    assert gzip.decompress((rig.path / "out.gz").read_bytes()).decode() == rig.run("cat", rig.state)[1]


def test_export_cbor_is_a_sequence_of_arrays_of_maps(rig):
    rig.filled("http.0", 100)
    assert rig.run("export", rig.path / "out", rig.state, "--format", "cbor")[0] == 0
    data = BytesIO((rig.path / "out").read_bytes())
    found = []
    while data.tell() < len(data.getvalue()):
        found += cbor2.load(data)
    assert found == rig.lines(rig.state)


def test_export_cbor_rows_carries_the_identity(rig):
    rig.filled("http.0", 10)
    out = rig.path / "out"
    assert rig.run("export", out, rig.state, "--format", "cbor_rows", "--agent", "pi-7")[0] == 0
    envelope, records = decode_rows(out.read_bytes())
    assert envelope == {"v": 1, "agent": "pi-7", "stream": "687474702e306874", "tag": "t", "seq": 1, "count": 10}
    assert [record[2][0] for record in records] == list(range(1, 11))


def test_export_never_overwrites(rig):
    rig.filled("http.0", 5)
    (rig.path / "out").write_text("precious")
    code, _, err = rig.run("export", rig.path / "out", rig.state)
    assert code == 73
    assert "exists already" in err
    assert (rig.path / "out").read_text() == "precious"


def test_export_that_fails_leaves_nothing(rig, monkeypatch):
    rig.filled("http.0", 5)
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    code, _, err = rig.run("export", rig.path / "out", rig.state)
    assert code == 73
    assert "No space left on device" in err
    assert not (rig.path / "out").exists()


# -- stat ----------------------------------------------------------------------------------------------------------------


def test_stat(rig):
    buffer = rig.buffer("http.0")
    rig.append(buffer, "a", 1, 100, mark=("tail:/var/log/x", 4321))
    rig.append(buffer, "b", 101, 7)
    buffer.close("stop")
    code, out, _ = rig.run("stat", rig.state)
    assert code == 0
    found = dict(line.split("   ", 1) for line in out.splitlines() if line[:3] not in ("tag",))
    assert found["output"].strip() == "http.0"
    assert found["in use"].strip() == "no"
    assert found["waiting"].startswith("  107 records in ") or "107 records in " in found["waiting"]
    assert "tag         a  100\ntag         b  7\n" in out
    assert "687474702e306874  107 records, sequence 1 to 107" in out
    assert "position    tail:/var/log/x  4321\n" in out
    assert "64.0 KiB in use, 960.0 KiB free" in out
    assert "0 of 107 records delivered, clean stop" in out
    assert out.endswith("damage      none\n")


@pytest.mark.parametrize(("lock", "in_use"), [("", False), ("nonsense", False), ("0\n", False), ("me", True)])
def test_process_that_uses_a_buffer(rig, lock, in_use):
    rig.filled("http.0", 5)
    with running_process("edgebit") as pid:
        (rig.state / "lock").write_text(f"{pid}\n" if lock == "me" else lock)
        out = rig.run("stat", rig.state)[1]
    assert (f"in use      by process {pid}" if in_use else "in use      no\n") in out
    assert "in use      no\n" in rig.run("stat", rig.state)[1]


@contextlib.contextmanager
def running_process(argument):
    code = "print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, argument], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()  # only now it is sure to have its arguments
        yield process.pid
        process.communicate(b"\n")


# -- damage --------------------------------------------------------------------------------------------------------------


def test_verify_of_what_is_whole(rig):
    rig.filled("http.0", 100)
    code, out, _ = rig.run("verify", rig.state)
    assert code == 0
    assert out.endswith("chunks are whole\n")
    assert rig.run("verify", "-q", rig.state)[1] == ""


def test_flipped_bit_in_a_payload(rig):
    directory = rig.filled("http.0", 200)
    found = places(directory)
    path, at, seq, count = found[2]
    flip_payload(found[2])
    code, out, _ = rig.run("verify", rig.state)
    assert code == 1
    assert (f"{directory}: {path.name} offset {at}: {count} records, sequence {seq} to {seq + count - 1} of stream "
            "687474702e306874: damaged: wrong checksum\n") in out  # fmt: skip
    rest = [n for n in range(1, 201) if not seq <= n < seq + count]
    code, out, err = rig.run("cat", rig.state)
    assert (code, [json.loads(line)["n"] for line in out.splitlines()]) == (0, rest)
    assert f"{count} records, sequence {seq} to" in err
    assert f"damage      {count} records in 1 places" in rig.run("stat", rig.state)[1]


def test_flipped_bit_in_a_header(rig):
    directory = rig.filled("http.0", 200)
    found = places(directory)
    path, at, seq, count = found[2]
    flip_header(found[2])
    code, out, _ = rig.run("verify", rig.state)
    assert code == 1
    assert f"{path.name} offset {at}: {count} records, sequence {seq} to {seq + count - 1}" in out


def test_last_chunk_damaged_after_a_clean_stop(rig):
    directory = rig.filled("http.0", 200)
    found = places(directory)
    _, _, seq, count = found[-1]
    flip_header(found[-1])
    code, out, _ = rig.run("verify", rig.state)
    assert code == 1
    assert f"{count} records, sequence {seq} to {seq + count - 1}" in out


def test_torn_end_is_normal(rig):
    """The chunk that was being written when the power went: never said to be there, so nothing is damaged."""
    buffer = rig.buffer("http.0", sync=None)
    rig.append(buffer, "t", 1, 200)
    copy = rig.path / "copy"
    shutil.copytree(rig.directory("http.0"), copy)
    buffer.close("stop")
    found = places(copy)
    for n in (1, 2, 3):
        flip_payload(found[-n])
        assert rig.run("verify", copy)[0] == 0
        assert rig.numbers(copy) == list(range(1, found[-n][2]))


def test_torn_end_in_a_segment_before_the_last(rig):
    """Two segments were being written when the power went."""
    buffer = rig.buffer("http.0", sync=None)
    rig.append(buffer, "t", 1, 1500)
    copy = rig.path / "copy"
    shutil.copytree(rig.directory("http.0"), copy)
    buffer.close("stop")
    found = places(copy)
    torn = [place for place in found if place[0] == found[-1][0]]
    for place in [found[-len(torn) - 1], *torn]:
        flip_payload(place)
    assert len(torn) > 1
    assert rig.run("verify", copy)[0] == 0
    assert rig.numbers(copy) == list(range(1, found[-len(torn) - 1][2]))


def test_segment_of_the_cursor_gone_after_a_clean_stop(rig):
    directory = rig.filled("http.0", 5000)
    found = places(directory)
    files = list(dict.fromkeys(place[0] for place in found))
    gone = [place for place in found if place[0] == files[0]]
    files[0].unlink()
    code, out, _ = rig.run("verify", rig.state)
    assert code == 1
    assert f"sequence 1 to {gone[-1][2] + gone[-1][3] - 1} of stream" in out


@pytest.mark.parametrize("count", [0, 100])
def test_a_chunk_without_records_is_not_shown(rig, count):
    """A buffer writes one to end what is before it."""
    buffer = rig.buffer("http.0")
    if count:
        rig.append(buffer, "t", 1, count)
    buffer._end_due = True
    buffer.commit()
    buffer.close("stop")
    directory = rig.directory("http.0")
    assert any(path.stat().st_size > HEADER_SIZE and b"EDGB" in path.read_bytes() for path in directory.glob("*.seg"))
    assert rig.numbers(directory) == [*range(1, count + 1)]
    assert rig.lines(directory, "--all") == rig.lines(directory)
    assert rig.run("verify", directory)[0] == 0
    assert f" {count} " in rig.run("ls", directory)[1]
    code, out, _ = rig.run("stat", directory)
    assert code == 0
    assert f"{count} records" in out


def test_damage_in_what_was_delivered_is_no_loss(rig):
    directory = rig.filled("http.0", 200, acked=100)
    path = sorted(directory.glob("*.seg"))[-1]
    flip(path, 300)  # the first chunk
    code, out, _ = rig.run("verify", rig.state)
    assert code == 0
    assert "delivered before, no loss" in out


def test_segment_of_zeros_in_the_middle(rig):
    directory = rig.filled("http.0", 5000)
    found = places(directory)
    files = list(dict.fromkeys(place[0] for place in found))
    gone = [place for place in found if place[0] == files[1]]
    files[1].write_bytes(bytes(files[1].stat().st_size))
    code, out, _ = rig.run("verify", rig.state)
    assert code == 1
    first, last = gone[0][2], gone[-1][2] + gone[-1][3] - 1
    assert f"sequence {first} to {last} of stream" in out
    assert "dropped when the buffer was full, or damaged" in out


def test_segment_of_another_version_is_named(rig):
    directory = rig.filled("http.0", 50)
    path = places(directory)[0][0]
    head = path.read_bytes()[: HEADER_SIZE - 4]
    tagged = path.read_bytes()[HEADER_SIZE : HEADER_SIZE + 1]
    head = head[:4] + b"\x09" + head[5:]
    with open(path, "r+b") as file:
        file.write(head + zlib.crc32(tagged, zlib.crc32(head)).to_bytes(4, "little"))
    code, out, _ = rig.run("verify", rig.state)
    assert code == 1
    assert "its format version 9 is not known here" in out
    assert "unreadable files" in rig.run("ls", rig.state)[1]


def test_garbage_everywhere_raises_nothing(rig):
    directory = rig.filled("http.0", 500)
    for path in directory.iterdir():
        path.write_bytes(os.urandom(path.stat().st_size))
    for verb in ("ls", "stat", "cat"):
        assert rig.run(verb, directory)[0] == 0
    rig.run("verify", directory)


@pytest.mark.parametrize("name", ["cursor", "stream.json"])
@pytest.mark.parametrize("content", [b"", b"x", b"{}\n"])
def test_small_files_damaged(rig, name, content):
    directory = rig.filled("http.0", 20)
    (directory / name).write_bytes(content)
    assert rig.numbers(directory) == list(range(1, 21))


# -- while an agent writes -----------------------------------------------------------------------------------------------


def test_segments_reused_while_they_are_read(rig):
    """What is handed out is whole and in order; what was delivered and overwritten meanwhile is no damage."""
    from edgebit.buffer.reader import Found, Gap, Reader

    buffer = rig.buffer("http.0", overflow="drop_oldest")
    rig.append(buffer, "t", 1, 6000)
    reader = Reader(Files(), str(rig.directory("http.0")))
    numbers, gaps = [], []
    for rounds, item in enumerate(reader.items(), 1):
        if isinstance(item, Found):
            numbers += [record[2][0] for record in item.chunk().records]
        else:
            gaps.append(item)
        if rounds % 10 == 0 and rounds < 200:
            for _ in range(20):
                chunk = buffer.read(flush=True)
                if chunk is not None:
                    buffer.ack(chunk)
            rig.append(buffer, "t", 10_000 + rounds * 100, 300)
    reader.close()
    buffer.close("stop")
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 100
    assert not [gap for gap in gaps if isinstance(gap, Gap) and gap.waiting and "checksum" in gap.why]


def test_verify_of_a_busy_agent_looks_twice(rig, monkeypatch):
    """Damage that an agent's work made for a moment is gone at the second look; real damage stays."""
    directory = rig.filled("http.0", 200)
    found = places(directory)
    healthy = tree(directory)[str(found[2][0])][1]
    monkeypatch.setattr("edgebit.buffer_cli.running", lambda path: 123)
    waits = []

    def mend(seconds):
        waits.append(seconds)
        found[2][0].write_bytes(healthy)

    flip_payload(found[2])
    monkeypatch.setattr("time.sleep", mend)
    assert rig.run("verify", rig.state)[0] == 0
    flip_payload(found[2])
    monkeypatch.setattr("time.sleep", waits.append)
    assert rig.run("verify", rig.state)[0] == 1
    assert waits == [1.5, 1.5]


# -- dead letters --------------------------------------------------------------------------------------------------------


def test_dead_letters_are_listed_and_printed_the_oldest_first(rig):
    assert rig.run("deadletters", "--state-dir", rig.state)[1] == f"there are no dead letters in {rig.state}\n"
    letters = DeadLetters(str(rig.state), "a/b", None)
    for n in range(3):
        letters.park(Chunk("t", [(n, SHAPE, (n, "x" * 400_000))], seq=n + 1), "400 Bad Request")
    assert rig.run("deadletters", "--state-dir", rig.state)[1] == "a_b  3 dead letters, 1.1 MiB\n"
    code, out, _ = rig.run("deadletters", "a/b", "--state-dir", rig.state)
    assert code == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [(letter["sequence"], letter["why"], letter["record"]["n"]) for letter in found] == [
        (n + 1, "400 Bad Request", n) for n in range(3)
    ]
    code, _, err = rig.run("deadletters", "http.9", "--state-dir", rig.state)
    assert code == 73
    assert "has no dead letters of an output called http.9; it has some of: a_b" in err
