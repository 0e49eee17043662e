"""Option tables: units, limits, errors that name the nearest key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.errors import ConfigError
from edgebit.options import (
    REQUIRED,
    BadValue,
    Option,
    Setting,
    boolean,
    duration,
    integer,
    mapping,
    number,
    read,
    shown,
    size,
    string,
    strings,
)

TABLE = (
    Option("path", string, REQUIRED, "where it is"),
    Option("Mem_Buf_Limit", size, 4096, "bytes", minimum=1024),
    Option("mode", ("tcp", "udp"), "udp", "how"),
    Option("tls.verify", boolean, True, "check certificates"),
    Option("header", string, [], "a header", multiple=True),
    Option("password", integer, 0, "a secret", secret=True),
    Option("timeout", number, 10.0, "seconds", also=("net.timeout", "net.connect_timeout")),
)


def settings(**given):
    return [Setting(key, value, f"f.toml:{i}") for i, (key, value) in enumerate(given.items(), 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64KiB", 65536), ("8M", 8_000_000), ("8MB", 8_000_000), ("false", 0),
     ("5M  # five", 5_000_000), ("1MiB", 1048576), ("1k", 1000), ("10", 10), (10, 10),
     ("1.5KiB", 1536), ("2 GiB", 2 * 2**30), ("5b", 5)],
)  # fmt: skip
def test_sizes(text, expected):
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "x", "5X", "-1", "1KiBs", "nan", "inf", True, None, []])
def test_bad_sizes(text):
    with pytest.raises(BadValue):
        size(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", 0.5), ("1s", 1), (0.2, 0.2), ("2m", 120), ("1h", 3600), ("1d", 86400), (3, 3), ("3", 3), ("5 min", 300)],
)
def test_durations(text, expected):
    assert duration(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "x", "-1s", "1y", "nan", False, None, {}])
def test_bad_durations(text):
    with pytest.raises(BadValue):
        duration(text)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.text())))
def test_types_take_any_value_or_say_bad_value(value):
    for kind in (size, duration, boolean, integer, number, string, strings, mapping):
        try:
            kind(value)
        except BadValue as error:
            assert str(error)  # noqa: PT017 - either outcome is right


def test_defaults_and_typed_values():
    opt = read(TABLE, settings(PATH="/x", mem_buf_limit="8KiB", Mode="TCP", header=["a", "b"]), "input x")

    assert (opt.path, opt.Mem_Buf_Limit, opt.mode, opt.tls_verify, opt.header) == ("/x", 8192, "tcp", True, ["a", "b"])


def test_unknown_key_names_file_line_key_and_the_nearest():
    with pytest.raises(ConfigError) as caught:
        read(TABLE, settings(path="/x", mem_buf_limt=1), "input x")

    assert str(caught.value) == 'f.toml:2: mem_buf_limt: input x has no such option; did you mean "mem_buf_limit"?'


def test_unknown_key_far_from_all_lists_them():
    with pytest.raises(ConfigError, match="it takes: header, mem_buf_limit, mode"):
        read(TABLE, settings(path="/x", zzzzzz=1), "input x")


def test_missing_required_key():
    with pytest.raises(ConfigError, match=r'f\.toml:9: input x needs the option "path": where it is'):
        read(TABLE, [], "input x", "f.toml:9")


def test_wrong_choice_names_the_nearest():
    with pytest.raises(
        ConfigError, match=r'f.toml:2: mode: must be one of tcp, udp \(did you mean "tcp"\?\), not \'tpc\''
    ):
        read(TABLE, settings(path="/x", mode="tpc"), "input x")


def test_limits():
    with pytest.raises(ConfigError, match="must be at least 1024"):
        read(TABLE, settings(path="/x", mem_buf_limit=1), "input x")


def test_secret_is_not_printed():
    with pytest.raises(ConfigError) as caught:
        read(TABLE, settings(path="/x", password="hunter2"), "input x")

    assert "hunter2" not in str(caught.value)
    assert "***" in str(caught.value)


def test_key_given_twice_is_an_error_unless_it_may_repeat():
    twice = [Setting("path", "/a", "f:1"), Setting("Path", "/b", "f:2")]
    with pytest.raises(ConfigError, match="f:2: Path: set twice, the first time at f:1"):
        read(TABLE, twice, "input x")
    headers = [Setting("path", "/a", "f:1"), Setting("header", "a", "f:2"), Setting("header", "b", "f:3")]
    assert read(TABLE, headers, "input x").header == ["a", "b"]


def test_mapping_takes_tables_and_classic_texts():
    assert mapping({"site": "porto", "n": 1}) == [("site", "porto"), ("n", 1)]
    assert mapping(["site  porto", 'room "control room"']) == [("site", "porto"), ("room", "control room")]
    with pytest.raises(BadValue):
        mapping("lonely")


@pytest.mark.parametrize(("row", "text"), [(0, "required"), (1, "4KiB"), (2, "udp"), (3, "true"), (4, "-")])
def test_defaults_are_shown_as_a_person_would_write_them(row, text):
    assert shown(TABLE[row]) == text


def test_other_names_of_an_option():
    assert read(TABLE, settings(path="/x", **{"Net.Connect_Timeout": 3}), "input x").timeout == 3
    with pytest.raises(ConfigError, match="set twice, the first time at f"):
        read(TABLE, settings(path="/x", **{"net.timeout": 3, "timeout": 4}), "input x")


def test_order_of_options_that_may_be_given_several_times():
    table = (Option("set", string, [], "", multiple=True), Option("drop", string, [], "", multiple=True))
    got = read(table, [Setting("SET", "a"), Setting("drop", ["b", "c"]), Setting("set", "d")], "filter x")
    assert (got.set, got.drop) == (["a", "d"], ["b", "c"])
    assert got.in_order == [("set", "a"), ("drop", "b"), ("drop", "c"), ("set", "d")]
