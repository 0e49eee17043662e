"""Configurations from the command line, with Fluent Bit's options."""

import shlex

import pytest

from edgebit.cli import main
from edgebit.config.commandline import CommandLine
from edgebit.errors import ConfigError

TOML = '[service]\nflush = 2\n[[input]]\nplugin = "dummy"\n[[output]]\nplugin = "stdout"\n'
CONF = "[SERVICE]\nFlush 2\n[INPUT]\nName dummy\n[OUTPUT]\nName stdout\nMatch *\n"


def load(line):
    return CommandLine(shlex.split(line)).load({})


def test_a_pipeline():
    config = load("-i tail -t a -p path=/x=y -F grep -m 'a*' -p 'regex=log x' --filter=grep --match b -p exclude='log y' "
                  "-o stdout -m '*' -f 0.5")  # fmt: skip
    found = [(s.kind, {one.key: one.value for one in s.settings}) for kind in config.sections.values() for s in kind]
    assert found == [
        ("input", {"plugin": "tail", "tag": "a", "path": "/x=y"}),
        ("filter", {"plugin": "grep", "match": "a*", "regex": "log x"}),
        ("filter", {"plugin": "grep", "match": "b", "exclude": "log y"}),
        ("output", {"plugin": "stdout", "match": "*"}),
    ]
    assert {one.key: one.value for one in config.service} == {
        "flush": "0.5", "report_losses": "false", "state_dir": "none",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [("a.toml", TOML), ("a.conf", CONF)])
def test_on_top_of_a_file(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    service = {one.key: one.value for one in load(f"-c {path} -f 7 -v -l log").service}
    assert (service["flush"], service["log_level"], service["log_file"]) == ("7", "debug", "log")


def test_plugins_on_top_of_a_file(tmp_path):
    (tmp_path / "a.conf").write_text(CONF)
    config = load(f"-c {tmp_path}/a.conf -o stdout -m x -b q")
    assert [section.where for section in config.sections["output"]] == [f"{tmp_path}/a.conf:5", "option -o stdout"]
    assert config.service[-1].value == "q"
    (tmp_path / "a.toml").write_text(TOML)
    with pytest.raises(ConfigError, match="option -o stdout: goes with a classic configuration only"):
        load(f"-c {tmp_path}/a.toml -o stdout")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-x", "option -x not recognized"),
        ("-i dummy -o", "option -o requires argument"),
        ("-i dummy extra", 'there is no place for "extra"'),
        ("-p a=b -i dummy", "-p belongs behind an -i, -F or -o"),
        ("-i dummy -p rate", "-p takes KEY=VALUE"),
        ("-i dummy -m x", "-m does not belong to an input"),
        ("-o stdout -t x", "-t does not belong to an output"),
        ("-i ''", "-i needs a value"),
        ("-d -i dummy", "edgebit stays in the foreground"),
        ("-v", "run needs a configuration"),
        ("-w /nowhere -i dummy -o stdout", "cannot work in /nowhere: No such file or directory"),
    ],
)
def test_wrong_use_says_why(line, message, capsys):
    assert main(shlex.split(line)) == 64
    assert message in capsys.readouterr().err


def test_dry_run(capsys):
    assert main(["-i", "dummy", "-o", "stdout", "-p", "workers=3", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("warning: option -p workers: workers: is not needed")
    assert "command line: the configuration is valid: 1 input, 0 filters, 1 output\n" in out
    assert main(["-D", "-i", "dumy", "-o", "stdout"]) == 78
    assert 'option -i: Name: no input is called "dumy"' in capsys.readouterr().err


def test_log_file(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split("-i dummy -p samples=1 -o stdout -l log -f 0.01")) == 0
    assert capfd.readouterr().err == ""
    assert "[agent] stopped" in (tmp_path / "log").read_text()
    assert main(shlex.split("-i dummy -p samples=1 -o stdout -l no/where -f 0.01")) == 0
    assert "cannot log to no/where" in capfd.readouterr().err
