"""What the name of a container's log says, and what its lines say when they are JSON."""

from __future__ import annotations

import pytest

from edgebit.filters.kubernetes import Kubernetes
from edgebit.log import DEBUG, Log, Sink
from edgebit.options import Setting, read
from edgebit.parsers.regex import Regex
from edgebit.record import from_dict, to_dict
from edgebit.stats import Counters

ID = "0123456789abcdef" * 4
TAG = f"kube.var.log.containers.web-7d4b9c.x1_prod_nginx-proxy-{ID}.log"
META = {"pod_name": "web-7d4b9c.x1", "namespace_name": "prod", "container_name": "nginx-proxy", "docker_id": ID}


class Context:
    """Of which the filter asks only the log and the counters."""

    def __init__(self):
        self.lines, self.stats = [], Counters()
        self.log = Log(Sink(DEBUG, self.lines.append), "kubernetes.0")


def regex(pattern, **options):
    settings = [Setting(key, value) for key, value in {"regex": pattern, **options}.items()]
    return Regex("p", read(Regex.OPTIONS, settings, "parser"))


def kubernetes(regex_parser=None, merge_parser=None, **options):
    opt = read(Kubernetes.OPTIONS, [Setting(key, value) for key, value in options.items()], "filter kubernetes")
    vars(opt).update(regex_parser=regex_parser, merge_parser=merge_parser)
    return Kubernetes(opt, Context())


def run(step, fields, tag=TAG):
    return list(to_dict(step.process(tag, [from_dict(1, fields)])[0]).items())


def test_names_from_the_tag():
    step = kubernetes()
    assert run(step, {"log": "x", "stream": "stdout"}) == [("log", "x"), ("stream", "stdout"), ("kubernetes", META)]
    assert list(META) == list(run(step, {})[0][1]), "the order is Fluent Bit's"
    assert run(step, {"kubernetes": "old", "log": "x"}) == [("log", "x"), ("kubernetes", META)]


@pytest.mark.parametrize("tag", ["kube.var.log.containers.", "app.log", TAG.replace("_", "-"), TAG.replace(ID, "short"),
                                 TAG[5:], TAG.upper()])  # fmt: skip
def test_other_tags_are_left_alone(tag):
    step = kubernetes()
    record = from_dict(1, {"log": "x"})
    assert step.process(tag, [record]) == [record]
    step.process(tag + ".other", [record])
    assert step.ctx.stats.get("unmatched") == 2
    assert sum("has no pod in it" in line for line in step.ctx.lines) == 1


def test_tags_of_an_own_form():
    parser = regex(r"^(?<namespace_name>[^.]+)\.(?<pod_name>[^.]+)\.(?<container_name>.+)$")
    step = kubernetes(parser, kube_tag_prefix="k8s.")
    assert run(step, {}, "k8s.prod.web.nginx") == [
        ("kubernetes", {"pod_name": "web", "namespace_name": "prod", "container_name": "nginx"})
    ]


JSON = '{"level":"info","n":1,"log":"inner","text":"end\\n\\n","esc":"a\\\\n"}\n'


@pytest.mark.parametrize(
    ("options", "log", "fields"),
    [
        ({}, JSON, {"log": JSON}),
        ({"merge_log": "on"}, JSON, {"level": "info", "n": 1, "log": "inner", "text": "end", "esc": "a"}),
        ({"merge_log": "on", "merge_log_trim": "off", "keep_log": "off"}, JSON,
         {"level": "info", "n": 1, "log": "inner", "text": "end\n\n", "esc": "a\\n"}),
        ({"merge_log": "on", "merge_log_key": "app"}, '{"a":{"b":"\\n"}} ',
         {"log": '{"a":{"b":"\\n"}} ', "app": {"a": {"b": "\n"}}}),
        ({"merge_log": "on", "merge_log_key": "app", "keep_log": "off"}, '{"a":1}', {"app": {"a": 1}}),
        ({"merge_log": "on", "keep_log": "off"}, "{}", {}),
        ({"merge_log": "on", "keep_log": "off"}, {"a": "x\n"}, {"a": "x\n"}),
        *(({"merge_log": "on", "keep_log": "off"}, text, {"log": text})
          for text in ("plain", "[1]", '{"a":1}{"b":2}', '{"a":1', '{"a":NaN}', "7", "", 7, None)),
    ],
)  # fmt: skip
def test_merge_log(options, log, fields):
    got = run(kubernetes(**options), {"stream": "stdout", "log": log})
    assert got == [("stream", "stdout"), *fields.items(), ("kubernetes", META)]


def test_merge_parser():
    step = kubernetes(merge_parser=regex(r"^(?<t>\d+) (?<msg>.*)", time_key="t", time_format="%s"), merge_log="on")
    out = step.process(TAG, [from_dict(5, {"log": "10 hello"}), from_dict(6, {"log": "hello"})])
    assert [(record[0], to_dict(record).get("msg")) for record in out] == [(10 * 10**9, "hello"), (6, None)]


def test_metadata_stays():
    shape = from_dict(1, {"log": "{}"})[1].derive(("log",))
    out = kubernetes(merge_log="on").process(TAG, [(1, type(shape).of(("log",), {"m": 1}), ('{"a":1}',))])
    assert out[0][1].metadata == {"m": 1}
