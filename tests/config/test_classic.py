"""The classic syntax: what a text means, and what is wrong with one that means nothing."""

import pytest

from edgebit.config import load
from edgebit.errors import ConfigError


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Loads a classic configuration from a text, with other files beside it."""
    monkeypatch.chdir(tmp_path)

    def read(text, env=None, **files):
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.with_suffix(".conf").write_text(content)
        (tmp_path / "main.conf").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load("main.conf", env or {})

    return read


def keys(section):
    return {setting.key: setting.value for setting in section.settings}


@pytest.mark.parametrize(
    "text",
    [
        "[INPUT]\n    Name tail\n    Path a b#c  \n",
        "[input]\nname tail\nPATH a b#c",
        "\ufeff[Input]\r\n\tName\ttail\r\n      Path   a b#c\r\n",
        "  [INPUT]\n# comment\n\n    # indented comment\n  Name tail\n        Path a b#c\n",
        "[in] # the beginning of a name is enough\n Name tail\n Path a b#c",
        "@SET what=tail\n[INPUT]\nName ${what}\nPath ${x:-a} b#c\n",
    ],
)
def test_spellings_of_one_section(read, text):
    (section,) = read(text).sections["input"]
    assert (section.plugin, keys(section)) == ("tail", {"plugin": "tail", "path": "a b#c"})


def test_variables(read):
    text = (
        '@SET a= spaced\n[INPUT]\nName dummy\nTag t.${E}.${NO}.${NO:-x}.${a}\nDummy {"e":"}${E}", "f":"${"\n@set b=late'
    )
    config = read(text, {"E": "env", "a": "not this"})
    section = config.sections["input"][0]
    assert section.given("tag").value == "t.env..x. spaced"
    assert section.given("tag").source == "t.${E}.${NO:-}.${NO:-x}. spaced"
    assert section.given("dummy").value == '{"e":"}env", "f":"${"'
    assert section.given("dummy").source == '{"e":"}${E}", "f":"$${"'
    assert config.warnings == [
        "main.conf:4: Tag: the variable NO is not set and taken as empty; write ${NO:-} if that is meant"
    ]


def test_includes_and_places(read):
    config = read(
        "@INCLUDE parts/one.conf\n@include more/*.conf\n@INCLUDE none/*.conf\n[OUTPUT]\nName stdout\n",
        parts__one="[INPUT]\n  Name dummy\n@INCLUDE beside.conf\n",
        parts__beside="[INPUT]\n      Name mem\n",
        more__b="[INPUT]\nName b\n",
        more__a="[INPUT]\nName a\n",
    )
    assert [(s.plugin, s.where) for s in config.sections["input"]] == [
        ("dummy", "parts/one.conf:1"), ("mem", "parts/beside.conf:1"), ("a", "more/a.conf:1"), ("b", "more/b.conf:1"),
    ]  # fmt: skip
    assert config.warnings[0] == "main.conf:3: @INCLUDE: no file is called none/*.conf"


def test_parsers_come_from_files_and_from_the_main_one(read):
    config = read(
        "[SERVICE]\nParsers_File one.conf\nparsers_file sub/two.conf\n[PARSER]\nName c\nFormat ltsv\n",
        one="[PARSER]\n Name a\n Format JSON\n Decode_Field_As escaped log\n Decode_Field_As json log\n",
        sub__two='[MULTILINE_PARSER]\n Name b\n Type regex\n Rule "start_state" "/x/" "cont"\n Rule "cont" "/y/" "cont"\n',
    )
    assert [(s.plugin, s.given("name").value) for s in config.sections["parser"]] == [("JSON", "a"), ("ltsv", "c")]
    (section,) = config.sections["multiline_parser"]
    assert section.given("type").value == "regex"
    assert [s.value for s in section.settings if s.key == "rule"] == [
        '"start_state" "/x/" "cont"', '"cont" "/y/" "cont"'
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"Name tail\n", "main.conf:1: Name: a key before the first section"),
        (b"[INPUT\nName tail\n", 'main.conf:1: [INPUT: a section header without its closing "]"'),
        (b"[INPUT]\nName\n", "main.conf:2: Name: has no value"),
        (b"[INPUTT]\nName x\n", "main.conf:1: [INPUTT]: no such section; did you mean [INPUT]?"),
        (b"[p]\nName x\n", "main.conf:1: [p]: no such section; there are"),
        (b"[INPUT]\nTag x\n", "main.conf:1: Name: a section needs it"),
        (b"[INPUT]\nName x\nName y\n", "main.conf:3: Name: is set twice"),
        (b"[INPUT]\nName tail\n Tag ${NO}\n", "main.conf:3: Tag: is empty, because the variable NO is not set"),
        (b"[INPUT]\nName tail\n Tag ${NO:?say it}\n", "main.conf:3: Tag: NO is not set: say it"),
        (b"@INCLUDE gone.conf\n", "main.conf:1: @INCLUDE: cannot read the file: No such file or directory: gone.conf"),
        (b"@INCLUDE main.conf\n", "main.conf:1: @INCLUDE: main.conf is included twice"),
        (b"@INCLUDE\n", "main.conf:1: @INCLUDE: needs a file"),
        (b"@SET x\n", "main.conf:1: @SET: write it as @SET name=value"),
        (b"@STE x=y\n", "main.conf:1: @STE: no such directive"),
        (b"[SERVICE]\n parsers_file no\n", "main.conf:2: parsers_file: there is no file no"),
        (b"[SERVICE]\n security.fips_mode on\n", "main.conf:2: security.fips_mode: is a matter of"),
        (b"[STREAM_TASK]\nName x\n", "main.conf:1: [STREAM_TASK]: there is no stream processor"),
        (b"[PARSER]\nName x\n", "main.conf:1: [PARSER]: needs Format"),
        (b"[INPUT]\nName \xff\n", "main.conf:2: not UTF-8 text"),
        (b"[INPUT]\nName x\0\n", "main.conf:2: has a NUL character"),
        (b"[INPUT]\nName cpu\nstorage.type disk\n", "main.conf:3: storage.type: must be one of memory"),
        (b"[INPUT]\nName cpu\nstorage.type filesystem\n", "main.conf:3: storage.type: filesystem needs storage.path"),
        (b"[INPUT]\nName cpu\nMem_Buf_Limit 5Q\n", "main.conf:3: mem_buf_limit: must be a size"),
    ],
)  # fmt: skip
def test_errors_name_the_place(read, text, message):
    with pytest.raises(ConfigError) as error:
        read(text)
    assert str(error.value).startswith(message)


def test_yaml_is_told_apart(tmp_path):
    with pytest.raises(ConfigError, match="YAML is not read yet"):
        load(str(tmp_path / "fluent-bit.yaml"), {})
