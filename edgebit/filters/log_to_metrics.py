"""Counts or measures records: a metric with labels, made of those that the rules let through.

`metric_mode` counter counts records, gauge takes the newest value of `value_field`, histogram counts its values by
`bucket`. There is one value for each combination of labels: `label_field` FIELD, `add_label` NAME FIELD (fields may be
record accessors, a missing one is an empty text), and with `kubernetes_mode` the pod's. `regex` and `exclude` are rules
as in the filter grep. The records go on, unless `discard_logs` is set.

Metrics are records of their own, under `tag`, so that every output can send them:

    {"metric": "log_metric_counter_errors", "type": "counter", "labels": {"dev": "pump1"}, "value": 3}
    {"metric": ..., "type": "histogram", "labels": {...}, "buckets": {"0.5": 1, "+Inf": 2}, "sum": 1.75, "count": 2}

What has changed is sent once in `flush_interval`, through all filters from the first on, and at the end; counters and
buckets only grow, from the start of the agent on (buckets are cumulative, as Prometheus has them). In Fluent Bit metrics are
events of another kind, which only some outputs take, and all values are sent each time.
"""

from __future__ import annotations

import re

from edgebit.errors import ConfigError
from edgebit.filters.layout import text_of
from edgebit.filters.rules import Rules, rules
from edgebit.filters.words import words
from edgebit.options import BadValue, Option, boolean, integer, number, string, without_effect
from edgebit.plugin import Filter
from edgebit.record import Shape
from edgebit.record_accessor import MISSING, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record
    from edgebit.record_accessor import Accessor

    Labels = tuple[str, ...]

_DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_KUBERNETES = ("namespace_name", "pod_name", "container_name", "docker_id", "pod_id")
_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_VALUE = Shape.of(("metric", "type", "labels", "value"))
_HISTOGRAM = Shape.of(("metric", "type", "labels", "buckets", "sum", "count"))


def label(value: object) -> tuple[str, Accessor]:
    """The type of `add_label`: "NAME FIELD". Raises BadValue."""
    found = words(string(value))
    if len(found) != 2:
        raise BadValue('a name and a field such as "device $dev"')
    return found[0], parse(found[1])


def field(value: object) -> tuple[str, Accessor]:
    """The type of `label_field`: the field, which names the label, too. Raises BadValue."""
    text = string(value)
    return text, parse(text)


class LogToMetrics(Filter):
    """Counts or measures records."""

    NAME = "log_to_metrics"
    OPTIONS = (
        Option("metric_mode", ("counter", "gauge", "histogram"), "counter", "counter, gauge or histogram"),
        Option("metric_name", string, "a", "last part of the metric's name"),
        Option("metric_namespace", string, "log_metric", "first part of the metric's name"),
        Option("metric_subsystem", string, "", "middle part of the metric's name; by default the mode"),
        *without_effect("records have no place for it", "metric_description"),
        Option("value_field", parse, None, "field that a gauge or a histogram measures"),
        Option("label_field", field, [], "field that is a label, under its own name", multiple=True),
        Option("add_label", label, [], "NAME FIELD: a label and the field that it is taken from", multiple=True),
        Option("kubernetes_mode", boolean, False, "labels from $kubernetes, which the filter kubernetes makes"),
        Option("bucket", number, [], "upper bound of a bucket of the histogram", multiple=True),
        Option("regex", rules, [], "measure records whose field matches: KEY PATTERN", multiple=True),
        Option("exclude", rules, [], "leave out records whose field matches: KEY PATTERN", multiple=True),
        Option("tag", string, "", "tag of the metrics; by default the filter's name"),
        Option("discard_logs", boolean, False, "drop the records that the filter is given"),
        Option("flush_interval_sec", integer, 0, "seconds between two times that metrics are sent", minimum=0),
        Option("flush_interval_nsec", integer, 500_000_000, "nanoseconds that are added to them", minimum=0),
        Option(
            "max_series", integer, 10_000, "combinations of labels that are kept; others are counted only", minimum=1
        ),
        *without_effect("metrics are records, bounded by max_series", "emitter_name", "emitter_mem_buf_limit"),
    )

    emits = True
    parts = False

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        if opt.metric_mode != "counter" and not opt.value_field:
            raise ConfigError(f'a {opt.metric_mode} needs the option "value_field", the field to measure')
        self._name = f"{opt.metric_namespace}_{opt.metric_subsystem or opt.metric_mode}_{opt.metric_name}"
        self._tag = opt.tag or ctx.name
        self._rules = Rules(
            [one for given in opt.regex for one in given], [one for given in opt.exclude for one in given]
        )
        kubernetes = _KUBERNETES if opt.kubernetes_mode else ()
        labels = [(name, parse(f"$kubernetes['{name}']")) for name in kubernetes] + [one for _, one in opt.in_order
                  if isinstance(one, tuple)]  # fmt: skip
        self._label_names = [name for name, _ in labels]
        self._label_fields = [accessor for _, accessor in labels]
        self._value_field: Accessor | None = opt.value_field
        self._bounds = sorted({*(opt.bucket or _DEFAULT_BUCKETS)})
        self._series: dict[Labels, Any] = {}  # a number, or a histogram's [count of each bucket, ..., sum]
        self._changed: set[Labels] = set()
        self._interval: float = opt.flush_interval_sec + opt.flush_interval_nsec / 1e9
        self._told: set[str] = set()

    def open(self) -> None:
        if self._interval:
            self.ctx.call_later(self._interval, self._tick)

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        origin = self.ctx.origin
        if origin is not None and origin.again:  # metrics of ours
            return records
        mode, value_field = self.opt.metric_mode, self._value_field
        for record in self._rules.passing(records):
            value = 1.0
            if value_field is not None and mode != "counter":
                found = _number(value_field.get(record))
                if found is None:
                    self._say("not_measured", f"{value_field.key} is missing or no number in a record of {tag}")
                    continue
                value = found
            labels = tuple([_label(accessor.get(record)) for accessor in self._label_fields])
            if labels not in self._series and len(self._series) >= self.opt.max_series:
                self._say("series_refused", f"there are {self.opt.max_series} combinations of labels already")
                continue
            self._measure(mode, labels, value)
            self._changed.add(labels)
        if not self._interval:
            self._send()
        if not self.opt.discard_logs:
            return records
        self.ctx.stats.add("dropped", len(records))
        return []

    def _measure(self, mode: str, labels: Labels, value: float) -> None:
        if mode == "counter":
            self._series[labels] = self._series.get(labels, 0) + 1
        elif mode == "gauge":
            self._series[labels] = value
        else:
            counts = self._series.setdefault(labels, [0] * (len(self._bounds) + 1) + [0.0])
            at = next((i for i, bound in enumerate(self._bounds) if value <= bound), len(self._bounds))
            counts[at] += 1
            counts[-1] += value

    def _say(self, counter: str, why: str) -> None:
        self.ctx.stats.add(counter)
        if counter not in self._told:
            self._told.add(counter)
            self.ctx.log.warn(f"{why}: it is not measured; such records are counted as {counter}")

    # -- sending -------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.ctx.call_later(self._interval, self._tick)
        if not self.ctx.held:  # else with what comes until there is room
            self._send()

    def _send(self) -> None:
        if not self._changed:
            return
        now = self.ctx.clock.wall_ns()
        records = [
            self._record(now, labels, self._series[labels]) for labels in self._series if labels in self._changed
        ]
        self._changed.clear()
        self.ctx.emit(self._tag, records)

    def _record(self, now: int, labels: Labels, value: Any) -> Record:
        mode = self.opt.metric_mode
        named = dict(zip(self._label_names, labels))
        if mode != "histogram":
            return (now, _VALUE, (self._name, mode, named, value))
        buckets, count = {}, 0
        for bound, n in zip((*(f"{bound:g}" for bound in self._bounds), "+Inf"), value):
            count += n
            buckets[bound] = count
        return (now, _HISTOGRAM, (self._name, mode, named, buckets, value[-1], count))

    def stop(self) -> None:
        self._send()


def _label(value: Any) -> str:
    if type(value) is float:
        return f"{value:f}"
    return "" if value is MISSING or value is None else text_of(value) or ""


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    found = _NUMBER.match(value) if isinstance(value, str) else None
    return float(found[1]) if found is not None else None
