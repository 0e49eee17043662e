"""Tail of container logs as a kubelet makes and rotates them: links to files of another directory, the older ones packed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tail_rig import Rig


class Kubelet:
    """One container's logs: containers/NAME.log is a link to pods/POD/app/0.log, which is written and rotated."""

    NAME = f"web-1_prod_app-{'0123456789abcdef' * 4}.log"

    def __init__(self, root: Path) -> None:
        self.pod = root / "pods" / "prod_web-1_uid" / "app"
        self.pod.mkdir(parents=True)
        (root / "containers").mkdir()
        self.log, self.link = self.pod / "0.log", root / "containers" / self.NAME
        self.lines: list[str] = []
        self.rotations = 0
        self.write(0)
        self.link.symlink_to(self.log)

    def write(self, count: int) -> None:
        new = [
            f"2024-01-01T00:00:00.{n:09}Z stdout F line {n}" for n in range(len(self.lines), len(self.lines) + count)
        ]
        with self.log.open("a") as file:
            file.writelines(line + "\n" for line in new)
        self.lines += new

    def rotate(self) -> None:
        """Rename the log and make a new one; pack all that were renamed before."""
        for old in self.pod.glob("0.log.2*"):
            if old.suffix != ".gz":
                (self.pod / "tmp").write_bytes(gzip.compress(old.read_bytes()))
                os.rename(self.pod / "tmp", f"{old}.gz")
                old.unlink()
        self.rotations += 1
        os.rename(self.log, self.pod / f"0.log.20240101-{self.rotations:06}")
        self.write(0)


@pytest.fixture
def kubelet(tmp_path: Path) -> Kubelet:
    return Kubelet(tmp_path)


@pytest.fixture
def start(start: Callable[..., Rig], kubelet: Kubelet) -> Callable[[], Rig]:
    return lambda: start("containers/*.log", tag="kube.*")


def test_followed_through_rotations(kubelet: Kubelet, start: Callable[[], Rig]) -> None:
    rig = start()
    for _ in range(4):
        kubelet.write(300)
        rig.run(2)
        kubelet.write(10)
        kubelet.rotate()
        kubelet.write(5)
    assert rig.run(20) == kubelet.lines
    assert {tag for tag, _, _ in rig.ctx.emitted} == {"kube." + str(kubelet.link)[1:].replace("/", ".")}
    assert len(rig.tail._files) == 1


@pytest.mark.parametrize("rotations", [1, 2, 4])
@pytest.mark.parametrize("ending", ["close", "kill"])
def test_rotated_while_stopped(kubelet: Kubelet, start: Callable[[], Rig], rotations: int, ending: str) -> None:
    """What was not read of the file that was followed is read, packed or not. (Of files made and rotated away in between
    the link tells nothing.)"""
    rig = start()
    kubelet.write(300)
    rig.run()
    rig.release()
    rig.run(1.5)
    getattr(rig, ending)()
    kubelet.write(20)
    rest = kubelet.lines[300:]
    for _ in range(rotations):
        kubelet.rotate()
    kubelet.write(7)
    rig.start()
    assert sorted(rig.run(20)) == rest + kubelet.lines[320:]
    assert "lost" not in rig.log
    rig.release()
    rig.restart()
    assert rig.run(20) == []


def test_pod_is_deleted(kubelet: Kubelet, start: Callable[[], Rig]) -> None:
    rig = start()
    kubelet.write(10)
    rig.run()
    rig.tail.pause()
    kubelet.write(10)
    kubelet.link.unlink()
    kubelet.log.unlink()
    rig.run(30)
    rig.tail.resume()
    assert rig.run(20) == kubelet.lines
    assert not rig.tail._files
