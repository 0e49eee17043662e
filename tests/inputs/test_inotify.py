"""inotify over libc: what is reported about files and directories."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebit.inputs import inotify
from edgebit.inputs.inotify import Inotify


@pytest.fixture
def notify() -> Iterator[Inotify]:
    found = Inotify()
    yield found
    found.close()
    found.close()


def test_growth_of_a_file(notify: Inotify, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    wd = notify.add(str(path), inotify.FILE)
    assert notify.read() == []
    with path.open("ab", buffering=0) as file:
        file.write(b"x")
        file.write(b"y")  # the kernel merges equal events
    assert notify.read() == [(wd, inotify.MODIFY)]
    os.unlink(path)
    assert [mask for _, mask in notify.read()] == [inotify.ATTRIB, inotify.DELETE_SELF, inotify.IGNORED]


def test_names_in_a_directory(notify: Inotify, tmp_path: Path) -> None:
    wd = notify.add(str(tmp_path), inotify.DIRECTORY)
    for name in ("a", "a rather long name, longer than one event"):
        (tmp_path / name).touch()
        os.rename(tmp_path / name, tmp_path / "b")
    masks = {event for event in notify.read() if event[0] == wd}
    assert masks == {(wd, m) for m in (inotify.CREATE, inotify.ATTRIB, inotify.MOVED_FROM, inotify.MOVED_TO)} or (
        masks == {(wd, m) for m in (inotify.CREATE, inotify.MOVED_FROM, inotify.MOVED_TO)})  # fmt: skip


def test_removed_watch_is_silent(notify: Inotify, tmp_path: Path) -> None:
    wd = notify.add(str(tmp_path), inotify.DIRECTORY)
    notify.remove(wd)
    notify.remove(wd)
    notify.read()
    (tmp_path / "a").touch()
    assert notify.read() == []


def test_no_such_file(notify: Inotify, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        notify.add(str(tmp_path / "no"), inotify.FILE)
    assert caught.value.errno == errno.ENOENT


def test_libc_without_inotify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inotify.ctypes, "CDLL", lambda *_, **__: object())
    with pytest.raises(OSError, match="not implemented"):
        Inotify()
