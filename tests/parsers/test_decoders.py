"""Field values that are written in a format; the texts of the compatibility cases are Fluent Bit's own answers."""

import pytest

from edgebit.errors import ConfigError
from edgebit.options import Setting, read
from edgebit.parsers.json import Json
from edgebit.parsers.regex import Regex
from edgebit.record import to_dict

NOW = 1_767_225_600 * 10**9


def decoded(text, *steps, key="decode_field_as", types=""):
    """The fields of a line whose `log` is the text."""
    settings = [Setting("regex", "(?<log>(?m:.*))"), Setting("types", types), *(Setting(key, step) for step in steps)]
    record = Regex("p", read(Regex.OPTIONS, settings, "parser")).parse(text, NOW)
    return to_dict(record)


@pytest.mark.parametrize(
    ("text", "steps", "expected"),
    [
        ('{"a":1,"b":[true,null]}', ["json log"], {"a": 1, "b": [True, None]}),
        (' {"a":2} ', ["json log"], {"a": 2}),
        ("not json", ["json log"], "not json"),
        ("[1, 2]", ["json log"], "[1, 2]"),
        ('{"a":1} and more', ["json log"], '{"a":1} and more'),  # nothing of it gets lost
        (r"x\ty\nz \"q\" \\n \u00e9 \q\\", ["escaped log"], 'x\ty\nz "q" \\n u00e9 q\\'),
        (r"caf\u00e9\t! \ud83d\ude00 \x41\101 \/ \U0001f600 \ud800", ["escaped_utf8 log"], "café\t! 😀 AA / 😀 �"),
        (r"'a\'b\n\Z'", ["mysql_quoted log"], "a'b\n\x1a"),
        ('"it\'s"', ["mysql_quoted log"], "it's"),
        ("'half", ["mysql_quoted log"], "'half"),
        (r"{\"a\": 1, \"s\": \"x\"}", ["escaped_utf8 log do_next", "json log"], {"a": 1, "s": "x"}),
        (r"still text \u00b5m", ["escaped_utf8 log do_next", "json log"], "still text µm"),
        (r"a\tb", ["json log", "escaped log"], r"a\tb"),  # without an action the first one is the last
        (r"a\tb", ["json log try_next", "escaped log"], "a\tb"),
        ('{"a":"b\\\\tc"}', ["json log try_next", "escaped log"], {"a": "b\\tc"}),
        ('{"a":1}', ["json other"], '{"a":1}'),
    ],
)
def test_value_is_replaced(text, steps, expected):
    assert decoded(text, *steps) == {"log": expected}


def test_keys_are_added_and_the_field_stays():
    text = '{"t": 21.5, "on": true}'

    assert decoded(text, "json log", key="decode_field") == {"log": text, "t": 21.5, "on": True}
    assert decoded("[1]", "json log", key="decode_field") == {"log": "[1]"}


def test_only_texts_are_decoded_after_types():
    assert decoded("12", "escaped log", types="log:integer") == {"log": 12}


def test_decoding_comes_after_the_time():
    settings = [Setting("time_format", "%s"), Setting("decode_field_as", "json body")]
    record = Json("p", read(Json.OPTIONS, settings, "parser")).parse('{"time":"5","body":"{\\"a\\":1}"}', NOW)

    assert (record[0], to_dict(record)) == (5 * 10**9, {"body": {"a": 1}})


@pytest.mark.parametrize(
    ("value", "text"),
    [("jsn log", 'did you mean "json"?'), ("json log try_nxt", 'did you mean "try_next"?'), ("json", "and")],
)
def test_what_is_wrong_is_said(value, text):
    with pytest.raises(ConfigError, match=text):
        read(Json.OPTIONS, [Setting("decode_field_as", value)], "parser")
