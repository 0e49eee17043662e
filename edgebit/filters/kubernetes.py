"""Adds pod, namespace, container and container id of a Kubernetes log to its records, as far as its file name tells.

The name is in the tag: tail makes ``kube.var.log.containers.POD_NAMESPACE_CONTAINER-ID.log`` of a file's path and the tag
``kube.*``. What stands behind `kube_tag_prefix` is taken apart, by `regex_parser` if there is one, and added behind the
fields as a map `kubernetes` with pod_name, namespace_name, container_name and docker_id. A tag that doesn't look so
leaves its records alone; they are counted as `unmatched`.

`merge_log`: if the field `log` is a map, or text that is one JSON object (or that `merge_parser` takes), its fields are
added, in a map of the name `merge_log_key` if that is given; with `keep_log` off they take its place.

This is Fluent Bit's filter with Use_Tag_For_Meta on: no API server is asked, so there are no labels and annotations.
Where a merged field has the name of another one, it takes its place.
"""

from __future__ import annotations

import re

from edgebit.filters.layout import appended, picker
from edgebit.options import Option, boolean, plugin_ref, string
from edgebit.plugin import Filter
from edgebit.wire import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record, Shape

_NAME = re.compile(
    r"(?P<pod_name>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)"
    r"_(?P<namespace_name>[^_]+)_(?P<container_name>.+)-(?P<docker_id>[a-z0-9]{64})\.log"
)
_FIELDS = ("pod_name", "namespace_name", "container_name", "docker_id")
_TAGS = 1024  # tags that are remembered; a node runs some hundred containers


class Kubernetes(Filter):
    """Adds pod, namespace and container to records of container logs, from their tag; asks no API server."""

    NAME = "kubernetes"
    OPTIONS = (
        Option("kube_tag_prefix", string, "kube.var.log.containers.", "what stands before the file's name in the tag"),
        Option(
            "regex_parser", plugin_ref, None, "parser for what stands behind the prefix; by default that of file names"
        ),
        Option("merge_log", boolean, False, "add the fields of log, if it is a JSON object, to the record"),
        Option("merge_parser", plugin_ref, None, "merge_log: parser for log, instead of JSON"),
        Option("merge_log_key", string, "", "merge_log: put the fields into a map of this name"),
        Option("merge_log_trim", boolean, True, "merge_log: take line ends off the end of texts"),
        Option("keep_log", boolean, True, "merge_log: keep log itself, too"),
        Option("use_tag_for_meta", boolean, True, "always so: the API server is not asked"),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        self._known: dict[str, dict[str, Any] | None] = {}

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        if tag not in self._known:
            if len(self._known) >= _TAGS:
                del self._known[next(iter(self._known))]
            self._known[tag] = self._from_tag(tag)
        meta = self._known[tag]
        if meta is None:
            self.ctx.stats.add("unmatched", len(records))
            return records
        merge = self._merged if self.opt.merge_log else None
        out = []
        for record in records:
            merged = merge(record, meta) if merge is not None else None
            if merged is None:
                time_ns, shape, values = record
                pick, wide = shape.cache.get(self) or self._plan(shape)
                merged = (time_ns, wide, pick((*values, meta)))
            out.append(merged)
        return out

    def _from_tag(self, tag: str) -> dict[str, Any] | None:
        prefix = self.opt.kube_tag_prefix
        rest = tag[len(prefix) :]
        if tag.startswith(prefix) and rest:
            if self.opt.regex_parser:
                record = self.opt.regex_parser.parse(rest, 0)
                found = dict(zip(record[1].names, record[2])) if record is not None else {}
            else:
                match = _NAME.fullmatch(rest)
                found = match.groupdict() if match is not None else {}
            meta = {name: found[name] for name in _FIELDS if found.get(name)}
            if meta:
                return meta
        if not any(meta is None for meta in self._known.values()):
            self.ctx.log.warn(f'the tag "{tag}" has no pod in it; kube_tag_prefix ("{prefix}") has to be what stands '
                              "before the name of the file. Further tags are only counted")  # fmt: skip
        return None

    def _plan(self, shape: Shape) -> tuple[Any, Shape]:
        layout = appended(shape.names, ("kubernetes",))
        plan = (picker([at for _, at in layout]), shape.derive(name for name, _ in layout))
        if shape.interned:
            shape.cache[self] = plan
        return plan

    def _merged(self, record: Record, meta: dict[str, Any]) -> Record | None:
        """With what is in its log, None if that can't be merged."""
        time_ns, shape, values = record
        at = shape.index.get("log", -1)
        log = values[at] if at >= 0 else None
        if type(log) is dict:
            inner = log
        elif type(log) is not str:
            return None
        elif self.opt.merge_parser:
            parsed = self.opt.merge_parser.parse(log, time_ns)
            if parsed is None:
                return None
            time_ns, inner = parsed[0], dict(zip(parsed[1].names, parsed[2]))
        else:
            found = jsontext.values(log)
            if len(found) != 1 or type(found[0]) is not dict:
                return None
            inner = found[0]
        if self.opt.merge_log_trim and inner is not log:
            inner = {name: _trimmed(value) if type(value) is str else value for name, value in inner.items()}
        if self.opt.merge_log_key and inner:
            inner = {self.opt.merge_log_key: inner}
        fields = dict(zip(shape.names, values))
        if not self.opt.keep_log:
            del fields["log"]
        for name, value in (*inner.items(), ("kubernetes", meta)):
            fields.pop(name, None)
            fields[name] = value
        return (time_ns, shape.derive(fields), tuple(fields.values()))


def _trimmed(text: str) -> str:
    """Without line ends at the end, written as such or as an escape; the first character always stays."""
    end = len(text)
    while end > 1:
        if text[end - 1] == "\n":
            end -= 1
        elif text[end - 2] == "\\" and text[end - 1] in "nr":
            end -= 2
        else:
            break
    return text[:end]
