"""The command line: exit codes, what is printed where."""

import os
import subprocess
import sys

import pytest

from edgebit import __version__, registry, tables
from edgebit.cli import main
from edgebit.parsers import multiline_options

GOOD = '[[input]]\nplugin = "dummy"\n[[output]]\nplugin = "stdout"\n'


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "edgebit.toml"
        path.write_text(text)
        return str(path)

    return write


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edgebit {__version__}\n"


def test_no_arguments_print_the_usage_and_fail(capsys):
    assert main([]) == 64
    assert "usage: edgebit run -c FILE" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["check", "-h"]])
def test_help(args, capsys):
    assert main(args) == 0
    assert "usage: edgebit" in capsys.readouterr().out


def test_unknown_command_names_the_nearest(capsys):
    assert main(["chekc"]) == 64
    assert 'did you mean "check"?' in capsys.readouterr().err


@pytest.mark.parametrize("args", [["check"], ["run", "-c"], ["run", "-x", "f"], ["-x"]])
def test_wrong_arguments(args, capsys):
    assert main(args) == 64
    assert "edgebit" in capsys.readouterr().err


def test_check_of_a_good_config(config, capsys):
    assert main(["check", "-c", config(GOOD)]) == 0
    assert "the configuration is valid: 1 input, 0 filters, 1 output" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["check", "-c"], ["run", "-c"], ["-c"]])
def test_wrong_config_exits_78_with_place_and_key(command, config, capsys):
    path = config(GOOD.replace("dummy", "dumy"))
    assert main([*command, path]) == 78
    assert f'edgebit: {path}:2: plugin: no input is called "dumy"; did you mean "dummy"?' in capsys.readouterr().err


def test_missing_config_exits_78(capsys):
    assert main(["check", "-c", "/nowhere/x.toml"]) == 78
    assert "cannot read the configuration: No such file or directory" in capsys.readouterr().err


def test_plugins_lists_all(capsys):
    assert main(["plugins"]) == 0
    out = capsys.readouterr().out
    for table in registry.PLUGINS.values():
        for name in table:
            assert f"  {name} " in out


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, table in registry.PLUGINS.items() for name in table])
def test_every_plugin_describes_itself_and_its_options(kind, name, capsys):
    cls = registry.find(kind, name)
    assert cls.__doc__
    assert main(["plugins", name]) == 0
    out = capsys.readouterr().out
    for option in cls.OPTIONS:
        assert f"    {option.name} = " in out
        assert option.help
        assert option.help[-1] != "."  # a clause, not a sentence: the tables stay uniform


@pytest.mark.parametrize(
    ("name", "options"), [("service", tables.SERVICE_OPTIONS), ("multiline_parser", multiline_options.OPTIONS)]
)
def test_sections_that_are_no_plugins_describe_their_options(name, options, capsys):
    assert main(["plugins", name]) == 0
    out = capsys.readouterr().out
    for option in options:
        assert f"    {option.name} = " in out


def test_unknown_plugin_names_the_nearest(capsys):
    assert main(["plugins", "mqt"]) == 64
    assert 'did you mean "mqtt"?' in capsys.readouterr().err


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_goes_away_is_no_error(unbuffered):
    """edgebit plugins | head"""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "edgebit", "plugins"], stdout=write, stderr=subprocess.PIPE, timeout=20,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.parametrize("name", ["quickstart", "mqtt", "edgebit"])
def test_shipped_configs_are_valid(name, capsys):
    assert main(["check", "-c", f"{ROOT}/configs/{name}.toml"]) == 0


def test_configuration_in_the_readme_is_valid(config, capsys, monkeypatch):
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    with open(f"{ROOT}/README.md", encoding="utf-8") as file:
        _, _, rest = file.read().partition("```toml\n")
    assert main(["check", "-c", config(rest.partition("```")[0])]) == 0


def test_checking_imports_no_more_than_the_config_uses(config):
    """An agent without MQTT never loads its codec, one without TLS no ssl: memory is what small boards lack."""
    code = ("import sys; from edgebit.cli import main; main(['check', '-c', sys.argv[1]]);"
            "print([m for m in ('edgebit.wire.mqtt', 'ssl', 'serial', 'psutil', 'h11', 'logging', 'argparse', 'dataclasses',"
            " 'threading', 'cbor2', 'hashlib') if m in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-S", "-c", code, config(GOOD)], capture_output=True, text=True, timeout=20,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
