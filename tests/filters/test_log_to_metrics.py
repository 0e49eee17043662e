"""log_to_metrics: what is counted and measured, and what is sent when."""

import pytest

from edgebit.errors import ConfigError
from edgebit.plugin import Origin
from edgebit.record import from_dict, to_dict
from fakes.context import FakeFilterContext
from fakes.filters import make_filter

R = [
    {"level": "error", "dev": "p1", "t": 1.5},
    {"level": "info", "dev": "p2", "t": "0.25"},
    {"level": "error", "dev": "p1", "t": 7},
    {"level": "error", "t": "hot"},
]


def metrics(*settings, records=R):
    ctx = FakeFilterContext()
    made = make_filter("log_to_metrics", ("metric_name", "x"), ("tag", "m"), *settings, ctx=ctx)
    made.open()
    out = made.process("t", [from_dict(i, r) for i, r in enumerate(records)])
    ctx.loop.run_for(1)
    assert {tag for tag, _, _ in ctx.emitted} <= {"m"}
    return ctx, made, out


def test_counter_by_labels_and_rules():
    ctx, _, out = metrics(
        ("label_field", "dev"), ("add_label", "lvl $level"), ("regex", "level ."), ("exclude", "level info")
    )
    assert ctx.records == [
        {"metric": "log_metric_counter_x", "type": "counter", "labels": {"dev": "p1", "lvl": "error"}, "value": 2},
        {"metric": "log_metric_counter_x", "type": "counter", "labels": {"dev": "", "lvl": "error"}, "value": 1},
    ]
    assert [to_dict(r) for r in out] == R


def test_gauge_takes_the_newest_number():
    settings = [("metric_mode", "gauge"), ("value_field", "t"), ("metric_namespace", "n"), ("metric_subsystem", "s")]
    ctx, _, _ = metrics(*settings)
    assert ctx.records == [{"metric": "n_s_x", "type": "gauge", "labels": {}, "value": 7.0}]
    assert ctx.stats.get("not_measured") == 1
    assert len(ctx.lines) == 1


def test_histogram_has_cumulative_buckets():
    ctx, _, _ = metrics(("metric_mode", "histogram"), ("value_field", "t"), ("bucket", [5, 0.25, 1.5]))
    assert ctx.records == [
        {"metric": "log_metric_histogram_x", "type": "histogram", "labels": {},
         "buckets": {"0.25": 1, "1.5": 2, "5": 2, "+Inf": 3}, "sum": 8.75, "count": 3}
    ]  # fmt: skip


def test_only_what_has_changed_is_sent_and_the_rest_at_the_end():
    ctx, made, _ = metrics(("label_field", "dev"), ("flush_interval_sec", 10))
    assert ctx.records == []
    ctx.loop.run_for(10)
    assert len(ctx.records) == 3
    made.process("t", [from_dict(0, R[0])])
    made.stop()
    assert ctx.records[3:] == [
        {"metric": "log_metric_counter_x", "type": "counter", "labels": {"dev": "p1"}, "value": 3}
    ]
    ctx.loop.run_for(30)
    assert len(ctx.records) == 4


def test_interval_of_nothing_sends_with_each_batch():
    ctx, _, _ = metrics(("flush_interval_sec", 0), ("flush_interval_nsec", 0))
    assert [r["value"] for r in ctx.records] == [4]


def test_without_room_they_wait_and_own_metrics_are_not_counted():
    ctx, made, _ = metrics()
    made.process("t", [from_dict(0, R[0])])
    ctx.held = True
    ctx.loop.run_for(5)
    assert len(ctx.records) == 1
    ctx.held = False
    ctx.origin = Origin(None, again=True)
    assert len(made.process("m", [from_dict(0, R[0])])) == 1
    ctx.origin = None
    ctx.loop.run_for(1)
    assert [r["value"] for r in ctx.records] == [4, 5]


def test_logs_can_be_dropped_and_labels_are_bounded():
    ctx, _, out = metrics(("discard_logs", "on"), ("label_field", "n"), ("max_series", 3),
                          records=[{"n": i} for i in range(10)])  # fmt: skip
    assert out == []
    assert len(ctx.records) == 3
    assert (ctx.stats.get("dropped"), ctx.stats.get("series_refused"), len(ctx.lines)) == (10, 7, 1)


def test_labels_of_a_pod():
    ctx, _, _ = metrics(("kubernetes_mode", "on"), records=[{"kubernetes": {"pod_name": "web", "namespace_name": "a"}}])
    assert ctx.records[0]["labels"] == {
        "namespace_name": "a", "pod_name": "web", "container_name": "", "docker_id": "", "pod_id": "",
    }  # fmt: skip


def test_what_is_wrong_is_named():
    with pytest.raises(ConfigError, match="value_field"):
        make_filter("log_to_metrics", ("metric_mode", "gauge"))
