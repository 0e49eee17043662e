"""Parses a field of records that are there already, as inputs do with lines.

The first of the parsers that takes the text of `key_name` counts: the record becomes what it found, with the time that it
found. With `reserve_data` the other fields stay, behind the new ones, with `preserve_key` also the parsed one (it always
does if `key_name` is a record accessor, ``$log['text']``). A record without the field, or whose field is no text or taken
by no parser, goes on as it is; texts that no parser takes are counted as `unparsed`.

On purpose unlike Fluent Bit: where an old field has the name of a new one, the new one stays. There both do, and
which of them is seen depends on the output.

Records of the same time, which is a batch of lines that were read together, are parsed in bulk.
"""

from __future__ import annotations

from edgebit.options import REQUIRED, Option, boolean, plugin_ref, without_effect
from edgebit.plugin import Filter
from edgebit.record import Shape
from edgebit.record_accessor import descend, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Options
    from edgebit.plugin import FilterContext
    from edgebit.record import Record

    # The shape of both together, and which of the old fields stay.
    Plan = tuple[Shape, tuple[int, ...]]

_MISS = Shape(("log",), interned=False)  # marks what a parser doesn't take
_PLANS = 256  # pairs of an old and a new shape that are remembered for a new one


class Parser(Filter):
    """Parses a field by parsers, as inputs do with lines."""

    NAME = "parser"
    OPTIONS = (
        Option("key_name", parse, REQUIRED, "the field to parse: a name or a record accessor"),
        Option(
            "parser", plugin_ref, REQUIRED, "a parser; of several the first that takes the text counts", multiple=True
        ),
        Option("reserve_data", boolean, False, "keep the other fields of the record"),
        Option("preserve_key", boolean, False, "with reserve_data: keep the parsed field, too"),
        *without_effect("as in Fluent Bit; a parser's decode_field_as unescapes", "unescape_key"),
    )

    def __init__(self, opt: Options, ctx: FilterContext) -> None:
        super().__init__(opt, ctx)
        if opt.preserve_key and not opt.reserve_data:
            ctx.log.warn("preserve_key does nothing without reserve_data: the record becomes what the parser found")
        self._keeps_key = opt.preserve_key or opt.key_name.accessor

    def process(self, tag: str, records: list[Record]) -> list[Record]:
        key, path = self.opt.key_name.key, self.opt.key_name.path
        out = list(records)
        run: list[int] = []  # where the records of one time are that have a text to parse
        texts: list[str] = []
        time_ns = 0
        for i, (now_ns, shape, values) in enumerate(records):
            at = shape.index.get(key, -1)
            if at < 0:
                continue
            text = descend(values[at], path) if path else values[at]
            if type(text) is not str:
                continue
            if now_ns != time_ns and run:
                self._parse(out, run, texts, time_ns)
                run, texts = [], []
            time_ns = now_ns
            run.append(i)
            texts.append(text)
        if run:
            self._parse(out, run, texts, time_ns)
        return out

    def _parse(self, out: list[Record], run: list[int], texts: list[str], now_ns: int) -> None:
        """Put what the texts are parsed to in the places of the records that have them."""
        reserve = self.opt.reserve_data
        for parser in self.opt.parser:
            found, misses = parser.parse_lines(texts, now_ns, _MISS)
            for at, record in zip(run, found):
                if record[1] is not _MISS:
                    out[at] = self._joined(record, out[at]) if reserve or out[at][1].metadata else record
            if not misses:
                return
            left = [i for i, record in enumerate(found) if record[1] is _MISS]
            run, texts = [run[i] for i in left], [texts[i] for i in left]
        self.ctx.stats.add("unparsed", len(run))

    def _joined(self, new: Record, old: Record) -> Record:
        plans = new[1].cache.get(self)
        plan = plans.get(old[1]) if plans is not None else None
        if plan is None:
            plan = self._plan(new[1], old[1])
        shape, stay = plan
        return (new[0], shape, (*new[2], *[old[2][i] for i in stay]))

    def _plan(self, new: Shape, old: Shape) -> Plan:
        gone = set(new.names) if self._keeps_key else {*new.names, self.opt.key_name.key}
        stay = tuple(i for i, name in enumerate(old.names) if name not in gone) if self.opt.reserve_data else ()
        plan = (old.derive((*new.names, *[old.names[i] for i in stay])), stay)
        if new.interned and old.interned:
            plans = new.cache.setdefault(self, {})
            if len(plans) < _PLANS:
                plans[old] = plan
        return plan
