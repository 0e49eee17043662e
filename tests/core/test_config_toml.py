"""The TOML loader: places, variables, and nothing but ConfigError on any text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebit.config import load
from edgebit.config.toml import parse
from edgebit.errors import ConfigError

GOOD = """\
# a comment
[service]
flush = "1s"

[[input]]
plugin = "syslog"   # [[input]] in a comment
tag = "sys"

[[input]]
plugin = "tail"
path = [
  "/var/log/a.log",
  "[[output]]",
]
note = '''
[[filter]]
key = 1
'''
tag = "${TAG:-files}"

[[filter]]
plugin = "record_modifier"
[filter.record]
site = "porto"

[[output]]
plugin = "mqtt"
tls.verify = true
[output.buffer]
memory = "4MiB"

[[output]]
plugin = "stdout"
"""


def where(settings, key):
    return next(s.where for s in settings if s.key == key)


def test_sections_settings_and_their_lines():
    config = parse(GOOD, "f.toml", {})

    assert [s.plugin for s in config.sections["input"]] == ["syslog", "tail"]
    assert where(config.service, "flush") == "f.toml:3"
    first, second = config.sections["input"]
    assert (first.where, where(first.settings, "tag")) == ("f.toml:5", "f.toml:7")
    assert (second.where, where(second.settings, "path"), where(second.settings, "tag")) == (
        "f.toml:9",
        "f.toml:11",
        "f.toml:19",
    )
    mqtt, stdout = config.sections["output"]
    assert where(mqtt.settings, "tls.verify") == "f.toml:28"
    assert [(s.key, s.value, s.where) for s in mqtt.buffer] == [("memory", "4MiB", "f.toml:30")]
    assert (stdout.where, stdout.buffer) == ("f.toml:32", [])


def test_an_option_of_tls_turns_tls_on():
    mqtt = parse(GOOD, "f.toml", {}).sections["output"][0]
    assert [(s.key, s.value) for s in mqtt.settings if "tls" in s.key] == [("tls", True), ("tls.verify", True)]


def test_settings_whose_order_matters():
    text = "[[filter]]\nplugin = 'modify'\nmatch='*'\nin_order = [\n'add a ${B}', 'rename  c d']\n"
    (section,) = parse(text, "f.toml", {"B": "b"}).sections["filter"]
    assert [(s.key, s.value, s.where) for s in section.settings] == [
        ("match", "*", "f.toml:3"), ("add", "a b", "f.toml:4"), ("rename", "c d", "f.toml:4"),
        ("plugin", "modify", "f.toml:2"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"f\.toml:4: in_order: is a list of texts"):
        parse(text.replace("rename  c d", "rename"), "f.toml", {"B": "b"})


def test_numbers_beyond_all_bounds():
    with pytest.raises(ConfigError, match=r"f\.toml: cannot be read"):
        parse("[service]\nflush = " + "9" * 5000, "f.toml", {})


def test_tables_as_values_stay_tables():
    (section,) = parse(GOOD, "f.toml", {}).sections["filter"]
    assert [(s.key, s.value) for s in section.settings if s.key == "record"] == [("record", {"site": "porto"})]


@pytest.mark.parametrize(
    ("text", "env", "expected"),
    [
        ("${A}", {"A": "1"}, "1"),
        ("x${A}y${B}", {"A": "1", "B": ""}, "x1y"),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:?m}", {"A": "1"}, "1"),
        ("$${A}", {"A": "1"}, "${A}"),
        ('{"e":"}${A}"}', {"A": "1"}, '{"e":"}1"}'),
        ("$A 5$", {"A": "1"}, "$A 5$"),
    ],
)
def test_variables(text, env, expected):
    config = parse(f"[service]\nhostname = '''{text}'''", "f.toml", env)
    assert config.service[0].value == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${A}", "the environment variable A is not set; set it, or write ${A:-default}"),
        ("${A:?ask the admin}", "A is not set: ask the admin"),
        ("${A:?}", "A is not set: it is required"),
        ("${A", 'does not start a reference'),
    ],
)  # fmt: skip
def test_variables_without_value(text, message):
    with pytest.raises(ConfigError) as caught:
        parse(f"[service]\n\nhostname = '{text}'", "f.toml", {})
    assert str(caught.value).startswith("f.toml:3: hostname: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[service\n", "f.toml:1: "),
        ("a = 1\n[service]\na = \n", "f.toml:3: Invalid value"),
        ("[[inputs]]\nplugin='x'", 'f.toml:1: inputs: no such section; did you mean "input"?'),
        ("[input]\nplugin='x'", "f.toml:1: input: write each as a [[input]] section, in double brackets"),
        ("input = [1]", "write each as a [[input]] section"),
        ("service = 1", "write it as a [service] section"),
        ("[[input]]\ntag='x'", 'f.toml:1: plugin: a [[input]] section needs the key "plugin"'),
        ("[[parser]]\nname='x'", 'needs the key "format"'),
        ("[[input]]\nplugin='cpu'\n[input.buffer]\n", "f.toml:3: buffer: belongs to an output"),
    ],
)
def test_errors_have_a_place(text, message):
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.toml", {})
    assert message in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration: No such file or directory: .*none\.toml"):
        load(str(tmp_path / "none.toml"), {})


def test_not_utf8(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"# ok\n# \xff\n")
    with pytest.raises(ConfigError, match=r"a\.toml:2: not UTF-8 text"):
        load(str(path), {})


@pytest.mark.parametrize("cut", range(len(GOOD)))
def test_any_truncation_is_an_error_or_a_config(cut):
    try:
        parse(GOOD[:cut], "f.toml", {})
    except ConfigError as error:
        assert "f.toml" in str(error)  # noqa: PT017 - either outcome is right


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_mutation_of_a_line_is_an_error_or_a_config(data):
    lines = GOOD.split("\n")
    i = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[i])))
    lines[i] = lines[i][:at] + data.draw(st.text(max_size=3)) + lines[i][at + data.draw(st.integers(0, 3)) :]
    try:
        parse("\n".join(lines), "f.toml", {})
    except ConfigError as error:
        assert "f.toml" in str(error)  # noqa: PT017 - either outcome is right


def test_an_option_may_be_called_as_the_table_of_outputs():
    config = parse("[[filter]]\nplugin = 'multiline'\nbuffer = 'on'\n", "f.toml", {})
    assert [(s.key, s.value) for s in config.sections["filter"][0].settings if s.key == "buffer"] == [("buffer", "on")]
