"""rewrite_tag: rules, new tags, what stays; the pipeline's side is in tests/core/test_pipeline_emit.py."""

import pytest

from edgebit.errors import ConfigError
from edgebit.plugin import Origin
from edgebit.record import from_dict, to_dict
from fakes.context import FakeFilterContext
from fakes.filters import make_filter

R = [{"level": "error", "dev": "p1", "n": 5, "f": 1.5, "m": {"a b": "deep"}}, {"level": "info"}, {"x": 1}]


def rewritten(rule, records=R, tag="plant.line7", again=False):
    """The new tags with what was emitted under them, and what goes on."""
    ctx = FakeFilterContext()
    ctx.origin = Origin(None, again=again)
    made = make_filter(
        "rewrite_tag", *[("rule", one) for one in ([rule] if not isinstance(rule, list) else rule)], ctx=ctx
    )
    rest = made.process(tag, [from_dict(i, r) for i, r in enumerate(records)])
    return {tag: [to_dict(r) for r in records] for tag, records, _ in ctx.emitted}, [to_dict(r) for r in rest]


@pytest.mark.parametrize(
    ("rule", "tag"),
    [
        ("$level ^(error|warn)$ alarm.$1 false", "alarm.error"),
        ("level error new off", "new"),
        ("$level error $TAG.x no", "plant.line7.x"),
        ("$level error $TAG[1].$TAG[0].$TAG[9] false", "line7.plant."),
        ("$level error new.$TAG[1].$dev.$0 false", "new.line7.p1.error"),
        ("$level e(r)(r)(x)? $1$2$3$4. false", "rr."),
        ("$level error $m['a b'].$n.$f.$no. false", "deep.5.1.500000.."),
        ("$m['a b'] ^d x false", "x"),
        ('$level "^error" x false', "x"),
        ("$dev p1|a b x false", "x"),
        ('$dev p1 "x y" false', "x y"),
        ("$n ^5$ x false", "x"),
        ("$level error a-$ false", "a-$"),
        ({"key": "level", "regex": "^e", "tag": "x"}, "x"),
        ({"key": "$level", "regex": "^e", "tag": "x", "keep": False}, "x"),
    ],
)
def test_new_tag(rule, tag):
    assert rewritten(rule) == ({tag: [R[0]]}, R[1:])


def test_keep_copies_and_the_first_rule_that_fits_decides():
    rules = ["$level error one true", "$level . two false", "$level . three false"]
    assert rewritten(rules) == ({"one": [R[0]], "two": [R[1]]}, [R[0], R[2]])


def test_records_are_grouped_by_their_new_tags_in_order():
    records = [{"d": name, "n": i} for i, name in enumerate("abacab")]
    emitted, rest = rewritten("$d ^[ab] to.$d false", records)
    assert {tag: [r["n"] for r in rs] for tag, rs in emitted.items()} == {"to.a": [0, 2, 4], "to.b": [1, 5]}
    assert rest == [records[3]]


def test_record_stays_when_it_was_emitted_here_before_or_the_tag_would_be_empty():
    assert rewritten("$level . new false", again=True) == ({}, R)
    assert rewritten("$level . $no false") == ({}, R)


def test_what_does_not_match_is_the_same_list():
    records = [from_dict(0, {"a": 1})]
    assert make_filter("rewrite_tag", ("rule", "$b . c false")).process("t", records) is records


def test_emitter_options_of_fluent_bit_are_taken():
    make_filter("rewrite_tag", ("rule", "$b . c false"), ("Emitter_Name", "re"), ("emitter_storage.type", "filesystem"),
                ("emitter_mem_buf_limit", "10M"))  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("$level ^e new", "must be a rule such as"),
        ("$level e( new false", "regular expression"),
        ("$level e new maybe", "true, on, yes"),
        ({"key": "a", "regexp": "b", "tag": "c"}, "regex"),
    ],
)
def test_what_is_wrong_is_named(rule, names):
    with pytest.raises(ConfigError) as error:
        make_filter("rewrite_tag", ("rule", rule))
    assert names in str(error.value)
