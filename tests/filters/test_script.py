"""script: what a function may return, what happens when it fails, and how it is loaded."""

import pytest

from edgebit.errors import ConfigError
from edgebit.record import Shape, from_dict, to_dict
from fakes.context import FakeFilterContext
from fakes.filters import make_filter

T = 1_700_000_000_123_456_789


def run(body, records, ctx=None, settings=()):
    code = "def process(tag, timestamp, record):\n" + "\n".join(f"    {line}" for line in body.splitlines())
    made = make_filter("script", ("code", code), *settings, ctx=ctx)
    return [(time, to_dict((time, shape, values))) for time, shape, values in
            made.process("t", [from_dict(T, record) for record in records])]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return {'b': record['a'] + 1}", [(T, {"b": 2})]),
        ("record['b'] = tag", [(T, {"a": 1, "b": "t"})]),
        ("record['b'] = 2; return True", [(T, {"a": 1, "b": 2})]),
        ("return False", []),
        ("return []", []),
        ("return {}", []),
        ("return [record, {'c': 1}]", [(T, {"a": 1}), (T, {"c": 1})]),
        ("return -1, 0, 0", []),
        ("record['a'] = 9; return 0, 0, record", [(T, {"a": 1})]),
        ("return 1, 5, {'b': 1}", [(5 * 10**9, {"b": 1})]),
        ("return 1, 5.25, {'b': 1}", [(5_250_000_000, {"b": 1})]),
        ("return 1, timestamp, {'b': 1}", [(T, {"b": 1})]),
        (
            "return 1, {'sec': 5, 'nsec': 7}, [{'b': 1}, {'c': 2}]",
            [(5 * 10**9 + 7, {"b": 1}), (5 * 10**9 + 7, {"c": 2})],
        ),
        ("return 2, 5, {'b': 1}", [(T, {"b": 1})]),
        (
            "return {'l': (1, 2), 'b': b'x\\xff', 'd': {'k': (3,)}}",
            [(T, {"l": [1, 2], "b": "x\udcff", "d": {"k": [3]}})],
        ),
    ],
)
def test_answers(body, expected):
    ctx = FakeFilterContext()
    assert run(body, [{"a": 1}], ctx) == expected
    assert ctx.stats.get("errors") == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", "code:2: ZeroDivisionError: division by zero"),
        ("return record['q']", "KeyError: 'q'"),
        ("record.clear(); raise ValueError('no')", "ValueError: no"),
        ("return 5", "returned 5, which is no record"),
        ("return [record, 5]", "returned 5, which is no record"),
        ("return {5: 1}", "the key 5"),
        ("return {'a': object}", "the value <class 'object'>"),
        ("return {'a': float('nan')}", "the value nan"),
        ("return {'a': float('inf')}", "the value inf"),
        ("return {'a': {1: 2}}", "the value {1: 2}"),
        ("return 7, 0, record", "a code of -1, 0, 1 or 2"),
        ("return 1, 'now', record", "the timestamp 'now'"),
        ("return 1, 1e300, record", "which is no time"),
    ],
)
def test_record_is_kept_and_counted_when_the_function_fails(body, said):
    ctx = FakeFilterContext()
    assert run(body, [{"a": 1}, {"a": 2}], ctx) == [(T, {"a": 1}), (T, {"a": 2})]
    assert ctx.stats.get("errors") == 2
    assert said in "".join(ctx.lines)


def test_same_error_is_said_once_and_different_ones_a_few_times():
    ctx = FakeFilterContext()
    run("raise ValueError('same')", [{"a": i} for i in range(50)], ctx)
    assert len(ctx.lines) == 1
    run("raise ValueError(record['a'])", [{"a": i} for i in range(50)], ctx)
    assert len(ctx.lines) == 6


def test_changes_inside_a_record_do_not_reach_the_old_one():
    old = from_dict(T, {"m": {"l": [1]}})
    made = make_filter("script", ("code", "def process(tag, ts, r): r['m']['l'].append(2); r['m']['x'] = 1"))
    assert to_dict(made.process("t", [old])[0]) == {"m": {"l": [1, 2], "x": 1}}
    assert to_dict(old) == {"m": {"l": [1]}}


def test_metadata_stay():
    made = make_filter("script", ("code", "def process(tag, ts, r): return {'z': 1}"))
    assert made.process("t", [(0, Shape.of(("a",), {"src": 1}), (1,))])[0][1].metadata == {"src": 1}


def test_time_as_table():
    assert run("return dict(timestamp)", [{"a": 1}], settings=[("time_as_table", "on")]) == [
        (T, {"sec": 1_700_000_000, "nsec": 123_456_789})
    ]


def test_file_is_loaded_once_and_keeps_its_state(tmp_path):
    path = tmp_path / "count.py"
    path.write_text("n = 0\ndef count(tag, timestamp, record):\n    global n\n    n += 1\n    record['n'] = n\n")
    made = make_filter(
        "script", ("Script", str(path)), ("Call", "count"), ("type_int_key", "n"), ("protected_mode", "true")
    )
    path.unlink()
    got = [to_dict(r)["n"] for _ in range(2) for r in made.process("t", [from_dict(0, {"a": 1})] * 2)]
    assert got == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def process(tag, ts, r:\n", "x.py:1: "),
        ("\n1 / 0\n", "x.py:2: ZeroDivisionError"),
        ("def other(a, b, c): pass\n", 'no function "process"'),
        ("process = 5\n", 'no function "process"'),
    ],
)
def test_a_file_that_is_wrong_is_an_error_of_the_configuration(tmp_path, text, names):
    path = tmp_path / "x.py"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        make_filter("script", ("script", str(path)))
    assert names in str(error.value)


def test_file_that_is_not_there_and_options_that_exclude_each_other():
    with pytest.raises(ConfigError, match=r"cannot read /no/x\.py"):
        make_filter("script", ("script", "/no/x.py"))
    for settings in ([], [("script", "a.py"), ("code", "x")]):
        with pytest.raises(ConfigError, match="one of the options"):
            make_filter("script", *settings)
