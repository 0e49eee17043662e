"""Lines joined to records; the texts of the compatibility cases are Fluent Bit's own."""

import pytest

from edgebit.errors import ConfigError
from edgebit.options import Setting, read
from edgebit.parsers import multiline_options
from edgebit.parsers.json import Json
from edgebit.parsers.multiline import Definition, Joiner
from edgebit.parsers.regex import Regex
from edgebit.parsers.stock import STOCK
from edgebit.record import Shape, from_dict, to_dict

NOW = 1_767_225_600 * 10**9
S = 10**9
INNER = {"_ml_cri": Regex, "_ml_json_docker": Json}
BLOCK = [["start_state", "/^BEGIN /", "cont"], ["cont", r"/^\+ /", "cont"]]


def defined(limit=2**20, **options):
    settings = [Setting(key, value, "edgebit.toml:3") for key, value in {"name": "m", **options}.items()]
    opt = read(multiline_options.OPTIONS, settings, "multiline parser")
    if opt.parser in INNER:
        given = [Setting(k, v) for k, v in STOCK[opt.parser].items() if k != "format"]
        opt.parser = INNER[opt.parser]("inner", read(INNER[opt.parser].OPTIONS, given, "parser"))
    return multiline_options.definition(opt, limit)


def built_in(name):
    return defined(**multiline_options.BUILT_IN[name])


def texts(joiner, *lines, monotonic=0.0):
    """What comes out at once, and what is left at the end."""
    return tuple([to_dict(r)["log"] for r in records]
                 for records, _ in (joiner.feed(lines, NOW, monotonic), joiner.flush()))  # fmt: skip


def joined_texts(joiner, *lines):
    at_once, at_the_end = texts(joiner, *lines)
    return [*at_once, *at_the_end]


def test_rules_of_our_own():
    joiner = Joiner([defined(rule=BLOCK)])
    lines = ["BEGIN a", "+ one", "+ two", "BEGIN b", "BEGIN c", "+ three", "loose", "BEGIN d"]

    assert texts(joiner, *lines) == (
        ["BEGIN a\n+ one\n+ two\n", "BEGIN b\n", "BEGIN c\n+ three\n", "loose\n"],
        ["BEGIN d\n"],
    )


@pytest.mark.parametrize(
    ("options", "lines", "joined"),
    [
        ({"type": "endswith", "match_string": ";"}, ["a", "b;", "", "c;"], ["a\nb;\n", "c;\n"]),
        ({"type": "endswith", "match_string": "\\", "negate": True}, ["a\\", "b\\", "c", "d"], ["a\\\nb\\\nc\n", "d\n"]),
        ({"type": "equal", "match_string": "end"}, ["a", "end", "the end", "end"], ["a\nend\n", "the end\nend\n"]),
        ({"type": "EQ", "match_string": "--", "negate": "on"}, ["--", "a", "b"], ["--\na\n", "b\n"]),
        ({"type": "endswith", "match_string": ";", "key_content": "log"}, ["a", "b;"], ["ab;"]),
        ({"rule": [["start_state", "^a", "more"], ["more", "^b", "start_state"]]}, ["a", "b", "b", "a", "x"],
         ["a\nb\n", "b\n", "a\n", "x\n"]),
        ({"rule": [["start_state", "^a", "more"], ["more", "^$|^b", "more"]]}, ["a", "", "b", "", "", "b", "x"],
         ["a\n\nb\n\n\nb\n", "x\n"]),
        ({"rule": BLOCK}, ["", "BEGIN x", "", "y"], ["BEGIN x\n", "y\n"]),  # a blank line alone is nothing
        ({"rule": BLOCK, "key_content": "log"}, ["BEGIN", "BEGIN x", "+ y", "no"], ["BEGIN", "BEGIN x\n+ y", "no"]),
    ],
)  # fmt: skip
def test_kinds(options, lines, joined):
    assert joined_texts(Joiner([defined(**options)]), *lines) == joined


TRACES = {
    "java": ('Exception in thread "main" java.lang.RuntimeException: Oh\n    at com.my.App.run(App.java:15)\n'
             "    at com.my.App.main(App.java:8)\nCaused by: java.io.IOException: disk\n\t... 2 more\n"),
    "python": ('Traceback (most recent call last):\n  File "/a.py", line 1, in <module>\n    f()\n'
               "  File \"/b.py\", line 2, in f\n    g(x)\nKeyError: 'x'\n"),
    "go": ("panic: my panic\n[signal SIGSEGV: segmentation violation]\n\ngoroutine 4 [running]:\n"
           "main.main.func1(0xc420024120)\n\t/tmp/x.go:6 +0x39\ncreated by main.main\n\t/tmp/x.go:5 +0x58\n"),
    "ruby": ("/app/config.ru:6:in `/': divided by 0 (ZeroDivisionError)\n  from /app/config.ru:6:in `bar'\n"
             "\tfrom /usr/lib/rack.rb:3:in `call'\n"),
}  # fmt: skip


@pytest.mark.parametrize("language", TRACES)
def test_stack_traces(language):
    trace = TRACES[language]
    lines = ["before", *trace.removesuffix("\n").split("\n"), "after it"]
    assert joined_texts(Joiner([built_in(language)]), *lines) == ["before\n", trace, "after it\n"]
    several = Joiner([built_in(name) for name in ("docker", "cri", "go", "java", "python", "ruby")])
    assert [text.strip() for text in joined_texts(several, *lines)] == ["before", trace.strip(), "after it"]


def test_cri_parts_are_joined_by_stream_and_time_is_the_first():
    joiner = Joiner([built_in("docker"), built_in("cri")])
    stamp = "2024-05-05T09:06:4%d.5+02:00 %s %s %s"
    lines = [stamp % (0, "stdout", "P", "one "), stamp % (1, "stderr", "F", "error"), stamp % (2, "stdout", "P", "two "),
             stamp % (3, "stdout", "F", "three"), stamp % (4, "stdout", "F", ""), "no cri",
             stamp % (5, "stdout", "P", "cut")]  # fmt: skip
    records, starts = joiner.feed(lines, NOW, 0.0, range(0, 70, 10))

    assert [(r[0] - 1714892800 * S, to_dict(r), at) for r, at in zip(records, starts)] == [
        (1.5 * S, {"time": "2024-05-05T09:06:41.5+02:00", "stream": "stderr", "_p": "F", "log": "error"}, 10),
        (0.5 * S, {"time": "2024-05-05T09:06:40.5+02:00", "stream": "stdout", "_p": "P", "log": "one two three"}, 0),
        (4.5 * S, {"time": "2024-05-05T09:06:44.5+02:00", "stream": "stdout", "_p": "F", "log": ""}, 40),
        (NOW - 1714892800 * S, {"log": "no cri"}, 50),
    ]
    assert joiner.oldest == 60
    assert [to_dict(r)["log"] for r in joiner.flush()[0]] == ["cut"]
    assert joiner.oldest is None


def test_docker_parts():
    joiner = Joiner([built_in("docker")])
    line = '{"log":"%s","stream":"%s","time":"2024-05-05T09:06:40.123456789Z"}'
    records, _ = joiner.feed([line % ("a", "stdout"), line % ("b", "stderr"), line % ("c\\n", "stdout")], NOW, 0.0)

    assert records == [from_dict(1714900000123456789, {"log": "ac\n", "stream": "stdout",
                                                       "time": "2024-05-05T09:06:40.123456789Z"})]  # fmt: skip
    assert [to_dict(r)["log"] for r in joiner.flush()[0]] == ["b"]


def test_pending_text_waits_for_its_time_and_keeps_its_place():
    joiner = Joiner([defined(rule=BLOCK, flush_timeout=500)])
    assert joiner.feed(["BEGIN a"], NOW, 10.0, [7]) == ([], [])
    assert (joiner.deadline, joiner.oldest, joiner.pending, joiner.size) == (10.5, 7, True, 7)
    joiner.feed(["+ b"], NOW + S, 10.4, [15])

    assert joiner.deadline == pytest.approx(10.9)
    assert joiner.flush(10.5) == ([], [])
    assert joiner.flush(10.9) == ([(NOW, Shape.of(("log",)), ("BEGIN a\n+ b\n",))], [7])
    assert (joiner.deadline, joiner.oldest, joiner.pending, joiner.size) == (None, None, False, 0)
    assert texts(joiner, "+ late", "+ later") == ([], ["+ late\n+ later\n"])


def test_block_beyond_the_limit_is_handed_over_and_goes_on():
    joiner = Joiner([defined(limit=12, rule=BLOCK)])

    assert texts(joiner, "BEGIN a", "+ 1", "+ 2", "+ 3", "BEGIN too long alone") == (
        ["BEGIN a\n+ 1\n", "+ 2\n+ 3\n"], ["BEGIN too long alone\n"])  # fmt: skip


def test_groups_are_bounded():
    joiner = Joiner([Definition("m", "endswith", match_string=";", key_content="log", key_group="id",
                                parser=built_in("docker").parser)])  # fmt: skip
    _, starts = joiner.feed([f'{{"log":"x","id":"{i}"}}' for i in range(40)], NOW, 0.0, range(40))

    assert starts == list(range(8))
    assert len(joiner.flush()[0]) == 32


def test_records_are_joined_by_a_field():
    joiner = Joiner([built_in("python"), built_in("java")], key_content="msg")
    rows = [
        ("x", 1),
        ("Traceback (most recent call last):", 2),
        ('  File "a.py"', 3),
        ("    f()", 4),
        ("E: x", 5),
        (7, 6),
    ]
    records = [from_dict(NOW + i, {"n": i, "msg": text}) for text, i in rows] + [from_dict(NOW, {"other": 1})]
    out, starts = joiner.feed_records(records, 0.0, range(10))

    assert [to_dict(r) for r in out] == [
        {"n": 1, "msg": "x"},
        {"n": 2, "msg": 'Traceback (most recent call last):\n  File "a.py"\n    f()\nE: x'},
        {"n": 6, "msg": 7},
        {"other": 1},
    ]
    assert (out[1][0], starts) == (NOW + 2, [0, 1, 5, 6])


def test_rules_in_their_classic_form():
    rule = multiline_options.rule
    states, pattern, following = rule(r'"start_state, x"   "/^say "\d+" (?<a>b)/i" "next"')

    assert (states, following) == (("start_state", "x"), "next")
    assert pattern.find('SAY "12" b')
    assert rule("start_state /^a/ b")[2] == "b"


@pytest.mark.parametrize(
    ("options", "key", "text"),
    [
        ({}, "rule", "needs rules"),
        ({"rule": [["cont", "a", "cont"]]}, "rule", 'the first rule must be one of the state "start_state"'),
        ({"rule": [["start_state", "a", "cnt"], ["cont", "b", "cont"]]}, "rule", 'of the state "cnt"'),
        ({"rule": "start_state"}, "rule", "a rule such as"),
        ({"type": "equal"}, "match_string", "needs match_string"),
        ({"type": "endswith", "match_string": "x", "rule": BLOCK}, "rule", "has no rules"),
        ({"rule": BLOCK, "parser": "json"}, "key_content", "which of its fields"),
    ],
)
def test_what_is_wrong_is_said(options, key, text):
    with pytest.raises(ConfigError) as error:
        defined(**options)
    assert error.value.key == key
    assert text in str(error.value)
