"""Every option of every filter with values that make no sense, or little: an error of the configuration, or it works."""

import itertools

import pytest

from edgebit import registry
from edgebit.errors import ConfigError
from edgebit.record import from_dict
from fakes.context import FakeFilterContext
from fakes.filters import make_filter

TEXTS = ["", "a", "$", "$a['", "$a['b']", "a b", "a b c", "a b c d", "key_exists $", "(", "a (", '"a', "nan", "1e999", "-1",
         "\udcff", "\x00", "*", "a b int", "1/0", "raise SystemExit(3)"]  # fmt: skip
ODD = [*TEXTS, 5, 1.5, True, None, [], ["a", "b c"], {}, {"a": {}}, [[1]]]
# What makes the filter do something with the rest.
BASE = {
    "modify": [("set", "q 1")],
    "nest": [("nest_under", "m"), ("wildcard", "a")],
    "rewrite_tag": [("rule", "$a . x.$m['b'].$level false")],
    "script": [("code", "def process(tag, timestamp, record): raise SystemExit(3)")],
}
RECORDS = [
    from_dict(i, r) for i, r in enumerate([{"a": 1, "level": "error", "m": {"b": [1]}}, {}, {"a": None, "x": "y"}])
]


@pytest.mark.parametrize(
    "plugin", [name for name in registry.PLUGINS["filter"] if registry.find("filter", name).OPTIONS]
)
def test_odd_values_end_in_an_error_of_the_configuration_or_in_nothing_bad(plugin):
    ctx = FakeFilterContext()
    for option, value in itertools.product(registry.find("filter", plugin).OPTIONS, ODD):
        for base in ([], BASE.get(plugin, [])):
            try:
                made = make_filter(plugin, (option.name, value), *base, ctx=ctx)
            except ConfigError:
                continue
            made.process("t.u", RECORDS)
            made.stop()
