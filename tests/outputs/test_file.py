from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgebit.net import writing
from edgebit.options import Option, Setting, boolean, read
from edgebit.outputs import file as module
from edgebit.outputs.file import File, tag_path
from fakes import FakeContext
from fakes.delivery import FakeDelivery
from fakes.formats import chunk_of, make_format

# As the agent does it: the options of the output and of its format in one.
TABLE = (
    *File.OPTIONS,
    Option("format", File.FORMATS, "json_lines", ""),
    Option("csv_column_names", boolean, False, ""),
)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., File]]:
    made: list[File] = []

    def make_file(ctx: FakeContext | None = None, **options: Any) -> File:
        settings = [Setting(key, value) for key, value in {"path": str(tmp_path / "out"), **options}.items()]
        out = File(read(TABLE, settings, "output file"), ctx or context)
        out.open()
        made.append(out)
        return out

    context = FakeContext()
    yield make_file
    for out in made:
        out.close()
        out.close()  # may be called twice
    context.loop.close()


def send(out: File, body: bytes, tag: str = "t") -> FakeDelivery:
    delivery = FakeDelivery(body, tag)
    out.deliver(delivery)
    return delivery


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """The kernel writes files up to a size: a part of a write first, then none, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_batches_are_appended_to_a_file_named_by_the_tag(make: Callable[..., File], tmp_path: Path) -> None:
    out = make()
    assert send(out, b"1\n", "a").answer == "delivered"
    assert send(out, b"2\n", "b").answer == "delivered"
    assert send(out, b"3\n", "a").answer == "delivered"
    assert (tmp_path / "out/a").read_bytes() == b"1\n3\n"
    assert (tmp_path / "out/b").read_bytes() == b"2\n"


def test_one_file_for_all_tags_and_what_was_there_stays(make: Callable[..., File], tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"old line\n")
    out = make(path=str(tmp_path), file="log")
    send(out, b"1\n", "a")
    send(out, b"2\n", "b")
    assert (tmp_path / "log").read_bytes() == b"old line\n1\n2\n"


def test_without_a_path_files_are_in_the_current_directory(
    make: Callable[..., File], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = make(path="")
    send(out, b"1\n", "plain")
    send(out, b"2\n", "sub/deeper/tag")
    assert (tmp_path / "plain").read_bytes() == b"1\n"
    assert (tmp_path / "sub/deeper/tag").read_bytes() == b"2\n"


@pytest.mark.parametrize(
    ("tag", "path"),
    [
        ("a/b c:../x.*", "a/b_c_../x._"),
        ("../../etc/passwd", "_/_/etc/passwd"),
        ("/etc/passwd", "_/etc/passwd"),
        ("a//b/./c/..", "a/_/b/_/c/_"),
        ("", "_"),
        ("dev.tty-USB0_x", "dev.tty-USB0_x"),
        ("é\n\0", "____"),
        ("\udcff\ud83d", "__"),
        ("x" * 300, "x" * 255),
    ],
)
def test_tags_become_paths_that_stay_inside(tag: str, path: str) -> None:
    assert tag_path(tag) == path


def test_no_tag_leads_out_or_is_too_long(make: Callable[..., File], tmp_path: Path) -> None:
    """A cut must not make a ".." of a longer part; neither must anything else."""
    out = make()
    for tag in ["a/" * 5000, "a" * 1021 + "/..b", "a" * 1022 + "/..", "../" * 400, "x" * 5000]:
        assert ".." not in tag_path(tag).split("/")
        assert send(out, b"1\n", tag).answer == "delivered", tag[:20]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_json_gets_the_line_end_it_has_not(make: Callable[..., File], tmp_path: Path) -> None:
    out = make(format="json")
    send(out, b"[1]")
    send(out, b"[2]")
    assert (tmp_path / "out/t").read_bytes() == b"[1]\n[2]\n"


def test_cbor_is_not_touched(make: Callable[..., File], tmp_path: Path) -> None:
    """Not even if it doesn't end like a line."""
    out = make(format="cbor")
    send(out, b"\x81\x01")
    out.close()
    send(out, b"\x81\x02")
    assert (tmp_path / "out/t").read_bytes() == b"\x81\x01\x81\x02"


def test_a_torn_line_of_an_earlier_run_is_ended(make: Callable[..., File], tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"a":1}\n{"a"')
    out = make(path=str(tmp_path), file="log")
    send(out, b'{"a":2}\n')
    send(out, b'{"a":3}\n')
    assert (tmp_path / "log").read_bytes() == b'{"a":1}\n{"a"\n{"a":2}\n{"a":3}\n'


def test_an_empty_batch_is_delivered(make: Callable[..., File], tmp_path: Path) -> None:
    assert send(make(format="json"), b"").answer == "delivered"
    assert (tmp_path / "out/t").read_bytes() == b""


# -- logrotate ---------------------------------------------------------------------------------------------------------


def test_a_renamed_file_is_made_anew(make: Callable[..., File], tmp_path: Path) -> None:
    out = make()
    send(out, b"1\n")
    (tmp_path / "out/t").rename(tmp_path / "out/t.1")
    send(out, b"2\n")
    assert (tmp_path / "out/t.1").read_bytes() == b"1\n"
    assert (tmp_path / "out/t").read_bytes() == b"2\n"


def test_a_replaced_file_is_opened_anew(make: Callable[..., File], tmp_path: Path) -> None:
    out = make()
    send(out, b"1\n")
    (tmp_path / "new").write_bytes(b"")
    (tmp_path / "new").rename(tmp_path / "out/t")
    send(out, b"2\n")
    assert (tmp_path / "out/t").read_bytes() == b"2\n"


def test_a_truncated_file_goes_on_at_its_beginning(make: Callable[..., File], tmp_path: Path) -> None:
    """copytruncate: no hole of zeros."""
    out = make()
    send(out, b"1\n")
    os.truncate(tmp_path / "out/t", 0)
    send(out, b"2\n")
    assert (tmp_path / "out/t").read_bytes() == b"2\n"


def test_a_removed_directory_comes_back(make: Callable[..., File], tmp_path: Path) -> None:
    out = make()
    send(out, b"1\n")
    (tmp_path / "out/t").unlink()
    (tmp_path / "out").rmdir()
    assert send(out, b"2\n").answer == "delivered"
    assert (tmp_path / "out/t").read_bytes() == b"2\n"


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_missing_directory_without_mkdir(make: Callable[..., File], tmp_path: Path) -> None:
    out = make(mkdir=False)
    delivery = send(out, b"1\n")
    assert delivery.answer == "retry"
    assert delivery.why == f"cannot write {tmp_path}/out/t: No such file or directory"
    (tmp_path / "out").mkdir()
    assert send(out, b"1\n").answer == "delivered"


def test_directories_are_made_with_their_parents(make: Callable[..., File], tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        send(make(path=str(tmp_path / "a/b"), sync="always"), b"1\n", "c/d")
    finally:
        os.umask(old)
    assert (tmp_path / "a/b/c/d").read_bytes() == b"1\n"
    assert [stat.S_IMODE((tmp_path / part).stat().st_mode) for part in ("a", "a/b", "a/b/c")] == [0o755] * 3


def test_a_directory_in_the_place_of_the_file(make: Callable[..., File], tmp_path: Path) -> None:
    (tmp_path / "out/t").mkdir(parents=True)
    delivery = send(make(), b"1\n")
    assert delivery.answer == "retry"
    assert delivery.why == f"cannot write {tmp_path}/out/t: Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written(make: Callable[..., File], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/t").touch(0o444)
    assert send(make(), b"1\n").why == f"cannot write {tmp_path}/out/t: Permission denied"


def test_a_file_in_the_place_of_a_directory(make: Callable[..., File], tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    assert send(make(), b"1\n").why == f"cannot write {tmp_path}/out/t: Not a directory"


def test_a_full_disk_leaves_no_torn_line_and_nothing_is_lost(make: Callable[..., File], tmp_path: Path) -> None:
    out = make()
    send(out, b"first line\n")
    with disk_full_at(20):
        delivery = send(out, b"second line\n")
    assert delivery.answer == "retry"
    assert delivery.why == f"cannot write {tmp_path}/out/t: File too large"
    assert (tmp_path / "out/t").read_bytes() == b"first line\n"
    assert send(out, b"second line\n").answer == "delivered"
    assert (tmp_path / "out/t").read_bytes() == b"first line\nsecond line\n"


def test_what_others_wrote_behind_us_is_not_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel took a part, then somebody else's line came, then the disk was full."""
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    real = os.write
    steps = iter([lambda: real(fd, b"our"), lambda: (real(fd, b"theirs\n"), os.fstat(-1))])
    monkeypatch.setattr(writing.os, "write", lambda fd, data: next(steps)())
    with pytest.raises(OSError, match="Bad file"):
        writing.append(fd, b"our line\n")
    os.close(fd)
    assert path.read_bytes() == b"old\nourtheirs\n"


def test_dev_full(make: Callable[..., File]) -> None:
    delivery = send(make(path="/dev", file="full"), b"1\n")
    assert delivery.answer == "retry"
    assert delivery.why == "cannot write /dev/full: No space left on device"


def test_dev_null(make: Callable[..., File]) -> None:
    out = make(file="/dev/null")
    assert send(out, b"1\n" * 10000).answer == "delivered"
    assert send(out, b"2\n").answer == "delivered"


# -- sync --------------------------------------------------------------------------------------------------------------


def test_sync_always_syncs_the_file_before_the_answer_and_the_name_once(
    make: Callable[..., File], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name))
    (tmp_path / "out").mkdir()
    out = make(sync="always")
    send(out, b"1\n")
    assert synced == ["out", "t"]
    send(out, b"2\n")
    assert synced == ["out", "t", "t"]
    send(make(), b"3\n")
    assert len(synced) == 3


def test_a_failed_sync_is_tried_again_without_a_repeat(
    make: Callable[..., File], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = make(sync="always")
    send(out, b"1\n")

    def failing(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        assert send(out, b"2\n").why == f"cannot write {tmp_path}/out/t: Input/output error"
    assert send(out, b"2\n").answer == "delivered"
    assert (tmp_path / "out/t").read_bytes() == b"1\n2\n"


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_bounded_number_of_files_is_open(
    make: Callable[..., File], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 3)
    out = make()
    before = len(os.listdir("/proc/self/fd"))
    for round_ in range(2):
        for n in range(10):
            assert send(out, b"%d\n" % round_, f"tag{n}").answer == "delivered"
    assert len(os.listdir("/proc/self/fd")) - before == 3
    assert {path.read_bytes() for path in (tmp_path / "out").iterdir()} == {b"0\n1\n"}
    out.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_failures_leak_no_descriptor(make: Callable[..., File], tmp_path: Path) -> None:
    out = make(path="/dev", file="full")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        send(out, b"1\n")
    assert len(os.listdir("/proc/self/fd")) == before


# -- FIFO --------------------------------------------------------------------------------------------------------------


def test_a_fifo_that_nobody_reads_does_not_block(make: Callable[..., File], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    delivery = send(make(path=str(tmp_path), file="pipe"), b"1\n")
    assert delivery.why == f"cannot write {tmp_path}/pipe: nobody reads from it"


def test_a_fifo_takes_more_than_it_holds_as_it_is_read(make: Callable[..., File], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    ctx = FakeContext()
    out = make(ctx, path=str(tmp_path), file="pipe")
    body = b"".join(b"line %d\n" % n for n in range(40_000))
    delivery = send(out, body)
    found = bytearray()

    def drain() -> None:
        found.extend(os.read(reader, 50_000))

    watch = ctx.watch(reader, on_read=drain)
    watch.want(read=True)
    assert not delivery.answer
    ctx.loop.run_until(lambda: delivery.answer and len(found) == len(body))
    assert delivery.answer == "delivered"
    assert bytes(found) == body
    watch.close()
    os.close(reader)
    delivery = send(out, b"x\n")
    ctx.loop.run_until(lambda: delivery.answer)
    assert delivery.why == f"cannot write {tmp_path}/pipe: Broken pipe"
    ctx.loop.close()


# -- column names ------------------------------------------------------------------------------------------------------


def csv(out: File, *fields: dict[str, Any], tag: str = "t") -> str:
    delivery = send(out, make_format("csv", csv_column_names=True).encode(chunk_of(*fields)), tag)
    return delivery.answer


ROW = "1700000000.123456789"


def test_column_names_once_a_file(make: Callable[..., File], tmp_path: Path) -> None:
    out = make(format="csv", csv_column_names="on")
    for n in range(3):
        csv(out, {"a": n, "b": "x"})
    assert (tmp_path / "out/t").read_text() == f'timestamp,"a","b"\n{ROW},0,"x"\n{ROW},1,"x"\n{ROW},2,"x"\n'


def test_column_names_again_after_a_rotation_but_not_after_a_restart(make: Callable[..., File], tmp_path: Path) -> None:
    csv(make(format="csv", csv_column_names="on"), {"a": 1})
    out = make(format="csv", csv_column_names="on")
    csv(out, {"a": 2})
    (tmp_path / "out/t").rename(tmp_path / "old")
    csv(out, {"a": 3})
    assert (tmp_path / "old").read_text() == f'timestamp,"a"\n{ROW},1\n{ROW},2\n'
    assert (tmp_path / "out/t").read_text() == f'timestamp,"a"\n{ROW},3\n'


def test_column_names_where_the_fields_change(make: Callable[..., File], tmp_path: Path) -> None:
    out = make(format="csv", csv_column_names="on")
    csv(out, {"a": 1})
    csv(out, {"b": 2})
    csv(out, {"b": 3})
    csv(out, {"a": 4})
    assert (tmp_path / "out/t").read_text() == (
        f'timestamp,"a"\n{ROW},1\ntimestamp,"b"\n{ROW},2\n{ROW},3\ntimestamp,"a"\n{ROW},4\n'
    )


def test_column_names_after_a_batch_in_which_the_fields_changed(make: Callable[..., File], tmp_path: Path) -> None:
    out = make(format="csv", csv_column_names="on")
    csv(out, {"a": 1}, {"b": 2})
    csv(out, {"a": 3})
    later = ROW.replace("0.", "1.")
    assert (
        tmp_path / "out/t"
    ).read_text() == f'timestamp,"a"\n{ROW},1\ntimestamp,"b"\n{later},2\ntimestamp,"a"\n{ROW},3\n'


def test_column_names_after_a_failed_write(make: Callable[..., File], tmp_path: Path) -> None:
    out = make(format="csv", csv_column_names="on")
    with disk_full_at(5):
        assert csv(out, {"a": 1}) == "retry"
    csv(out, {"a": 1})
    csv(out, {"a": 2})
    assert (tmp_path / "out/t").read_text() == f'timestamp,"a"\n{ROW},1\n{ROW},2\n'


def test_column_names_of_a_file_with_other_content(make: Callable[..., File], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/t").write_text("something else\n")
    csv(make(format="csv", csv_column_names="on"), {"a": 1})
    assert (tmp_path / "out/t").read_text() == f'something else\ntimestamp,"a"\n{ROW},1\n'
