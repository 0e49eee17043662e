"""Patterns, the directories to watch for them, and tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebit.inputs.tail_paths import Paths, paths, tag_of
from edgebit.onigmo import compile_regex
from edgebit.options import BadValue


def test_matches_in_order_and_once(tmp_path: Path) -> None:
    for name in ("b.log", "a.log", "a[1].log", ".hidden.log", "c.txt"):
        (tmp_path / name).touch()
    root = str(tmp_path)
    found = Paths([f"{root}/b.log", f"{root}/*.log", f"{root}/a[1].log", f"{root}/missing"], [])
    assert [name.removeprefix(f"{root}/") for name in found.matches()] == ["b.log", "a.log", "a[1].log", "missing"]


def test_exclusion_takes_slashes(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old.log").touch()
    assert Paths([f"{tmp_path}/x/*.log"], ["*/old*"]).matches() == []
    assert not Paths(["/x/*.log"], ["*/old*"]).covers("/x/old.log")


def test_covers() -> None:
    found = Paths(["/var/*/app?.log", "rel.log"], [])
    assert [found.covers(name) for name in ("/var/x/app1.log", "rel.log", "/var/x/y/app1.log", "/var/x/app.log")] == [
        True, True, False, False]  # fmt: skip


def test_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/pi")
    assert Paths(["~/x.log"], ["~/y"]).include == ["/home/pi/x.log"]


def test_directories_in_which_matches_can_appear(tmp_path: Path) -> None:
    (tmp_path / "a" / "1" / "z").mkdir(parents=True)
    (tmp_path / "a" / "2").mkdir()

    def found(pattern: str) -> list[str]:
        return [d.removeprefix(str(tmp_path)) or "." for d in Paths([f"{tmp_path}/{pattern}"], []).directories()]

    assert found("x.log") == ["."]
    assert found("no/such/x.log") == ["."]
    assert found("a/1/*.log") == ["/a/1"]
    assert sorted(found("a/*/z/*.log")) == ["/a", "/a/1/z", "/a/2"]
    assert Paths(["x.log"], []).directories() == ["."]
    assert Paths(["/x.log"], []).directories() == ["/"]


@pytest.mark.parametrize(
    ("tag", "path", "expected"),
    [
        ("plain", "/var/log/a.log", "plain"),
        ("foo.*", "/var/log/a.log", "foo.var.log.a.log"),
        ("in.*", "logs/b-2.log", "in.logs.b-2.log"),
        ("*", "./x//y...z:w\\v.log.", "x.y.z.w.v.log"),
        ("a.*.*", "/b*c", "a.bc.*"),
    ],
)
def test_path_in_the_tag(tag: str, path: str, expected: str) -> None:
    assert tag_of(tag, path) == expected


def test_groups_in_the_tag() -> None:
    pattern = compile_regex(r"(?<app>[a-z]+)-(?<nr>\d*)(?<none>x)?(?<!y)\.log$")
    assert tag_of("t.<app>.<nr>.<none>.<unknown>", "/v/web-1.log", pattern) == "t.web.1._._"
    assert tag_of("t.<nr>.*", "/v/web-.log", pattern) == "t._.v.web-.log"
    assert tag_of("t.<app>", "/v/other", pattern) is None


def test_bad_values() -> None:
    for check, value in ((paths, " , "), (compile_regex, "(?<a>")):
        with pytest.raises(BadValue):
            check(value)
