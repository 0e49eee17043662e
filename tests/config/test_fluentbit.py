"""What a classic configuration means here: the service, matching, buffers, keys that only Fluent Bit has."""

import pytest

from edgebit import build, onigmo
from edgebit.agent import Agent
from edgebit.config import load
from edgebit.errors import ConfigError, ConfigErrors
from edgebit.log import Sink
from edgebit.record import Shape


@pytest.fixture
def agent(tmp_path):
    """Builds an agent from a classic configuration."""
    made = []

    def make(text):
        path = tmp_path / "main.conf"
        path.write_text(text)
        agent = Agent(load(str(path), {}), {}, Sink(write=lambda line: None))
        made.append(agent)
        agent.said = [warning.replace(f"{path}:", "") for warning in agent.warnings]
        return agent

    yield make
    for agent in made:
        agent.loop.close()


def buffers(tmp_path, text):
    path = tmp_path / "main.conf"
    path.write_text(text)
    config = load(str(path), {})
    return [{s.key: s.value for s in section.buffer} for section in config.sections["output"]]


def test_service_keys(tmp_path):
    path = tmp_path / "main.conf"
    path.write_text(
        "[SERVICE]\nflush 5\nflush 0.5\nGrace -1\nLog_Level warning\n[service]\nDaemon off\nstorage.path q\n"
    )
    config = load(str(path), {})
    service = build.service(config)
    assert (service.flush, service.log_level, service.state_dir) == (0.5, "warning", "q")
    assert service.grace > 1e8
    assert config.warnings == []


IO = "[INPUT]\nName dummy\n[OUTPUT]\nName null\nMatch *\n".replace("null", "stdout")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[SERVICE]\nHTTP_Server On\n" + IO, ["2: HTTP_Server: there is no HTTP server yet"]),
        ("[SERVICE]\nHTTP_Server off\nHTTP_Listen 0.0.0.0\nHTTP_Port 2020\nDaemon no\nGrace 5 # seconds\n" + IO, []),
        (IO + "workers 2\nnet.keepalive off\n", ["6: workers: is not needed", "7: net.keepalive: has no effect here"]),
        (IO + IO.replace("stdout", "stdout\nWorkers 4") + "[OUTPUT]\nName stdout\nMatch a\nworkers 3",
         ["10 (and 1 more): workers: is not needed"]),
        ("[PARSER]\nName j\nFormat json\nTypes a:integer\n" + IO, ["4: types: has no effect with format json"]),
        (IO + "match_regex ^(a+)+$", ["6: match_regex: this regular expression can take exponential time: (a+)+ matches"]),
        (IO.replace("dummy", "http\nHost ::1\nWorkers 2\nnet.backlog 9"), [
            "3: host: has no effect on this input", "4: workers: is not needed", "5: net.backlog: has no effect on inputs",
        ]),
        ("[INPUT]\nName dummy\nTag a\nTag b\n[OUTPUT]\nName stdout\n", ["4: Tag: is set again; the last one is taken"]),
        ("[INPUT]\nName dummy\n" + IO + "[OUTPUT]\nName stdout", ["8: output stdout: has no Match and so takes nothing"]),
        (IO + "[FILTER]\nName grep\nRegex a b", ["6: filter grep: has no Match and so takes nothing"]),
    ],
)  # fmt: skip
def test_warnings_say_what_to_do(agent, text, said):
    warnings = agent(text).said
    assert len(warnings) == len(said)
    for warning, start in zip(warnings, said):
        assert warning.startswith(start)


def test_what_regular_expressions_give_up_is_counted_where_they_are_used(agent, monkeypatch):
    """Also those that a plugin keeps out of sight, and those of its parsers."""
    monkeypatch.setattr(onigmo, "_PATIENCE", 0.005)
    made = agent(
        "[PARSER]\nName p\nFormat regex\nRegex ^(?<f>(a+)+)$\n" + IO + "[INPUT]\nName stdin\nParser p\n"
        "[FILTER]\nName modify\nMatch *\nAdd x 1\nCondition Key_value_matches k ^(b+)+$\n"
    )
    assert [line.split(": this")[0] for line in made.said] == ["4: regex", "17: condition"]
    made.inputs[1].plugin.opt.parser.parse("a" * 40 + "!", 0)
    shape = Shape.of(("k",))
    for text in ("b" * 40 + "!", "b" * 50 + "!"):
        assert made.filters[0].plugin.process("t", [(0, shape, (text,))]) == [(0, shape, (text,))]

    counted = {name: counters.snapshot().get("regex_given_up") for (_, name), counters in made.stats.plugins.items()}
    assert counted == {"dummy.0": None, "stdin.1": 1, "modify.0": 2, "stdout.0": None}


def test_times_that_a_parser_can_not_read_are_counted_where_it_is_used(agent):
    made = agent("[PARSER]\nName p\nFormat json\nTime_Key t\nTime_Format %s\n" + IO + "[INPUT]\nName stdin\nParser p\n")
    made.inputs[1].plugin.opt.parser.parse_lines(['{"t":"soon"}', '{"t":"1700000000"}'], 0)
    counted = [made.stats.counters("input", name).snapshot().get("time_errors") for name in ("dummy.0", "stdin.1")]
    assert counted == [None, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[SERVICE]\nFlussh 1\n" + IO, '2: flussh: service has no such option; did you mean "flush"?'),
        (IO + "Matsch b\n", '6: matsch: output stdout has no such option; did you mean "match"?'),
        (IO.replace("dummy", "dummy\nRoutable off"), "3: routable: an input whose records go nowhere"),
        (IO.replace("dummy", "dummy\nRate 1\nRate 2"), "4: rate: set twice, the first time at"),
        (IO + "tls on\n", "6: tls: is not possible with this plugin"),
        (IO + "Retry_Limit 0\n", "6: retry_limit: must be a number from 1 up"),
        (IO.replace("dummy", "stdin\nParser zzzz"), '3: parser: no parser is called "zzzz"; define it in a [PARSER]'),
        ("[INPUT]\nName dummmy\n", '2: Name: no input is called "dummmy"; did you mean "dummy"?'),
        ("[SERVICE]\nflush 1\n", "there is no [INPUT] section, so there is nothing to do; add one, for example with Name"),
    ],
)  # fmt: skip
def test_errors_of_keys(agent, tmp_path, text, message):
    with pytest.raises(ConfigError) as error:
        agent(text)
    assert message in str(error.value)


def test_keys_of_parsers_of_another_format_do_nothing(agent):
    made = agent(IO.replace("dummy", "stdin\nParser j") + "[PARSER]\nName j\nFormat json\nTypes a:integer\nRegex ^x$\n")
    assert made.inputs[0].plugin.opt.parser.parse('{"a":"1"}', 0)[2] == ("1",)


def test_a_parser_that_is_wrong_is_not_said_to_be_missing(agent):
    with pytest.raises(ConfigErrors) as error:
        agent(IO.replace("dummy", "stdin\nParser p") + "[PARSER]\nName p\nFormat regex\nRegex (\n")
    assert [str(one).partition(": ")[2][:30] for one in error.value.errors] == [
        "regex: must be a regular expre", 'parser: the parser "p" can\'t b',
    ]  # fmt: skip


def test_tags_count_all_inputs_and_names_stay(agent):
    made = agent(
        "[INPUT]\nName dummy\nAlias x\n[INPUT]\nName stdin\n[INPUT]\nName Dummy\n[OUTPUT]\nName stdout\nMatch *"
    )
    assert [(host.name, host.tag) for host in made.inputs] == [
        ("x", "dummy.0"), ("stdin.1", "stdin.1"), ("dummy.2", "dummy.2"),
    ]  # fmt: skip


def test_an_output_without_match_takes_all_only_if_it_is_alone(agent):
    assert agent("[INPUT]\nName dummy\n[OUTPUT]\nName stdout").pipeline.routes[0].matches("x")
    one, other = agent("[INPUT]\nName dummy\n[OUTPUT]\nName stdout\n[OUTPUT]\nName stdout\nmatch *").pipeline.routes
    assert (one.matches("x"), other.matches("x")) == (False, True)


INPUTS = """\
[INPUT]
Name dummy
Tag disk
storage.type filesystem
[INPUT]
Name dummy
Tag ram
Mem_Buf_Limit 1M
[INPUT]
Name dummy
Tag ring
storage.type memrb
Mem_Buf_Limit 500k
"""
OUT = "[OUTPUT]\nName http\nMatch {}\n"


@pytest.mark.parametrize(
    ("text", "buffer"),
    [
        (OUT.format("disk"), {"storage": "filesystem"}),
        (OUT.format("disk") + "storage.total_limit_size 10M",
         {"storage": "filesystem", "disk": "10000000", "overflow": "drop_oldest"}),
        (OUT.format("disk") + "storage.total_limit_size off", {"storage": "filesystem"}),
        (OUT.format("ram"), {"memory": "1000000"}),
        (OUT.format("ram") + "storage.total_limit_size 10M", {"memory": "1000000"}),
        (OUT.format("r*"), {"memory": "1500000", "overflow": "drop_oldest"}),
        (OUT.format("*"), {"storage": "filesystem", "memory": str(1_500_000 + 8 * 2**20), "overflow": "drop_oldest"}),
        (OUT.format("ram") + "buffer.memory 2MiB", {"memory": "2MiB"}),
        ("[FILTER]\nName rewrite_tag\nMatch *\n" + OUT.format("other"),
         {"storage": "filesystem", "memory": str(1_500_000 + 8 * 2**20), "overflow": "drop_oldest"}),
    ],
)  # fmt: skip
def test_storage_becomes_the_outputs_buffer(tmp_path, text, buffer):
    assert buffers(tmp_path, "[SERVICE]\nstorage.path q\n" + INPUTS + text) == [buffer]


def test_no_storage_path_no_disk(agent, tmp_path):
    text = "[SERVICE]\nscheduler.base 3\n[INPUT]\nName dummy\n[OUTPUT]\nName http\nstorage.total_limit_size 1M\n"
    assert buffers(tmp_path, text) == [{"storage": "memory"}]
    made = agent(text)
    assert made.shared.state_dir == ""
    assert made.pipeline.routes[0].open_buffer is None


def test_storage_sync(tmp_path):
    text = "[SERVICE]\nstorage.path q\nstorage.sync full\n[INPUT]\nName dummy\n[OUTPUT]\nName http\n"
    assert buffers(tmp_path, text) == [{"sync": "always"}]


@pytest.mark.parametrize(("output", "format", "expected"), [
    ("Name file\nTemplate x\nDelimiter comma\nJson_Date_Key false\n", "out_file", {"mkdir": True}),
    ("Name file\nFormat csv\nLabel_Delimiter space\n", "csv", {"csv_quote": "fluent-bit"}),
    ("Name stdout\nJson_Date_Key false\n", "text", {}),
    ("Name stdout\nFormat msgpack\n", "msgpack", {}),
    ("Name null\nFormat json\nJson_Date_Key x\n", None, {}),
    ("Name tcp\n", "msgpack", {"port": 5170}),
    ("Name udp\nRaw_Message_Key $log\n", "msgpack", {"raw_message_key": "$log"}),
    ("Name http\nnet.connect_timeout 3\nhttp.response_timeout 4\n", "json",
     {"connect_timeout": 3, "response_timeout": 4, "identity": False}),
    ("Name syslog\nMode tls\ntls.debug 1\n", "syslog", {"tls": True}),
])  # fmt: skip
def test_outputs_have_fluent_bits_defaults_and_ignore_options_of_other_formats(agent, output, format, expected):
    made = agent("[INPUT]\nName dummy\n[OUTPUT]\nMatch *\n" + output)
    opt = made.outputs[0].plugin.opt
    assert made.said == []
    assert getattr(opt, "format", None) == format
    assert {key: getattr(opt, key) for key in expected} == expected


def test_escape_unicode_of_the_service_goes_to_outputs_that_write_json(agent):
    made = agent("[SERVICE]\njson.convert_nan_to_null off\njson.escape_unicode off\n[INPUT]\nName dummy\n"
                 + "".join(f"[OUTPUT]\nMatch *\nName {name}\n" for name in
                           ("http", "null", "stdout\nFormat text", "file\njson.escape_unicode on")))  # fmt: skip
    assert made.said == []
    found = [getattr(output.plugin.opt, "json_escape_unicode", None) for output in made.outputs]
    assert found == [False, None, None, True]


@pytest.mark.parametrize(("output", "match"), [
    ("Name kafka\n", "Fluent Bit's output kafka is not in edgebit; use http"),
    ("Name http\nProxy http://x:1\n", "proxy: there are no proxies"), ("Name file\nMkdr on\n", 'did you mean "mkdir"'),
])  # fmt: skip
def test_outputs_and_options_that_are_not_there(agent, output, match):
    with pytest.raises(ConfigError, match=match):
        agent("[INPUT]\nName dummy\n[OUTPUT]\nMatch *\n" + output)


@pytest.mark.parametrize(
    ("keys", "parser"),
    [
        ("Mode tcp", "syslog-rfc5424"),
        ("Mode unix_tcp\nPath s", "syslog-rfc3164-local"),
        ("Path s", "syslog-rfc3164-local"),
        ("Mode udp\nParser json", "json"),
    ],
)
def test_syslog_without_a_parser_takes_the_one_of_that_name(agent, tmp_path, keys, parser):
    (tmp_path / "parsers.conf").write_text(
        "[PARSER]\nName syslog-rfc5424\nFormat logfmt\n[PARSER]\nName syslog-rfc3164-local\nFormat logfmt\n"
    )
    text = f"[SERVICE]\nParsers_File parsers.conf\n[INPUT]\nName Syslog\n{keys}\n[OUTPUT]\nName stdout\nMatch *\n"
    assert agent(text).inputs[0].plugin.opt.parser.name == parser
