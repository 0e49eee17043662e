"""Records joined to one by the filter: in a pipeline, with the receipts of what waits."""

import pytest

from edgebit.errors import ConfigError
from edgebit.filters.multiline import Multiline
from edgebit.onigmo import compile_regex
from edgebit.options import Setting, read
from edgebit.parsers.multiline import Definition
from edgebit.plugin import Receipt
from edgebit.record import from_dict, to_dict
from fakes.pipeline import Bench, Source

BLOCK = Definition("block", rules=[(("start_state",), compile_regex("^B").find, "cont"),
                                   (("cont",), compile_regex(r"^\+").find, "cont")])  # fmt: skip


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.loop.close()


def options(*definitions, **given):
    opt = read(Multiline.OPTIONS, [Setting(key.replace("__", "."), value) for key, value in given.items()], "filter")
    vars(opt)["multiline_parser"] = list(definitions)
    return opt


class Line:
    """A pipeline with the filter between two that leave a mark, and what comes out of it."""

    def __init__(self, bench, opt):
        self.bench, self.output, self.source, self.safe = bench, bench.output(), Source(), []
        bench.filter(lambda rs: [(t, s.derive((*s.names, "first")), (*v, 1)) for t, s, v in rs])
        self.filter = bench.emitter(Multiline, opt=opt)
        bench.filter(lambda rs: [(t, s.derive((*s.names, "last")), (*v, 1)) for t, s, v in rs])
        bench.ready()
        self.batches = 0

    def feed(self, *rows, tag="t", source=None):
        """A batch of texts, or of fields; its receipt says its number."""
        self.batches += 1
        number = self.batches
        records = [from_dict(number, {"log": row} if isinstance(row, str) else row) for row in rows]
        self.bench.emit(source or self.source, tag, records, 0, Receipt(lambda: self.safe.append(number)))

    def out(self):
        """What was delivered by now: tag, time, and the fields without the marks, which are there once."""
        self.bench.end_of_turn()
        self.bench.loop.run_for(1.1)
        found = []
        for chunk in self.output.chunks:
            for record in chunk.records:
                assert record[1].names[-2:] == ("first", "last") or record[1].names.count("first") == 1
                fields = to_dict(record)
                assert (fields.pop("first"), fields.pop("last")) == (1, 1)
                found.append((chunk.tag, record[0], fields))
        self.output.chunks.clear()
        return found

    def logs(self):
        return [fields["log"] for _, _, fields in self.out()]


def test_lines_of_a_block_come_together_from_several_batches(bench):
    line = Line(bench, options(BLOCK, flush_ms=5000))
    line.feed("B1", "+a")
    assert (line.logs(), line.safe) == ([], [])
    line.feed("+b", "B2", "x", "B3")
    assert line.out() == [("t", 1, {"log": "B1\n+a\n+b"}), ("t", 2, {"log": "B2"}), ("t", 2, {"log": "x"})]
    assert line.safe == [1]  # the second waits for B3
    line.feed("y")
    assert line.logs() == ["B3", "y"]
    assert sorted(line.safe) == [1, 2, 3]


def test_what_is_complete_in_its_batch_just_goes_on(bench):
    line = Line(bench, options(BLOCK))
    line.feed("x", "B1", "+a", "y")

    assert (line.logs(), line.safe) == (["x", "B1\n+a", "y"], [1])
    assert line.filter.ctx.step.stats.get("emitted") == 0


def test_what_nobody_continues_goes_on_in_time_and_at_a_stop(bench):
    line = Line(bench, options(BLOCK, flush_ms="3s"))
    line.feed("B1")
    line.feed("+a", tag="other")
    line.feed("+b")
    assert line.logs() == ["+a"]
    bench.loop.run_for(2)
    assert (line.logs(), sorted(line.safe)) == (["B1\n+b"], [1, 2, 3])
    line.feed("B2")
    line.filter.stop()
    assert line.logs() == ["B2"]
    line.feed("B3")  # a straggler
    assert line.logs() == ["B3"]
    assert sorted(line.safe) == [1, 2, 3, 4, 5]


def test_tags_and_inputs_are_kept_apart(bench):
    line = Line(bench, options(BLOCK, flush_ms=5000))
    line.feed("B1")
    line.feed("B2", tag="u")
    line.feed("B3", source=Source("in.1"))
    line.feed("+1")
    line.feed("+2", tag="u")
    line.filter.stop()

    assert sorted(line.out(), key=lambda out: out[1]) == [
        ("t", 1, {"log": "B1\n+1"}), ("u", 2, {"log": "B2\n+2"}), ("t", 3, {"log": "B3"}),
    ]  # fmt: skip


def test_batch_is_not_safe_before_all_that_began_in_it_is(bench):
    """What goes on waiting holds back the batches that have some of it, though another block of theirs is delivered; and
    they wait for that one, too."""
    grouped = Definition("g", "endswith", match_string=";", key_content="log", key_group="g")
    line = Line(bench, options(grouped, flush_ms=60_000))
    line.feed({"log": "a", "g": "1"}, {"log": "b", "g": "2"})
    line.output.auto = ""
    line.feed({"log": "a;", "g": "1"})
    line.out()
    line.filter.stop()
    line.out()
    assert [record[2][0] for d in line.output.pending for record in d.chunk.records] == ["aa;"]
    line.output.answer("delivered")
    line.out()
    assert (line.safe, len(line.output.pending)) == ([], 1)
    line.output.answer("delivered")
    assert sorted(line.safe) == [1, 2]


def test_without_a_buffer_only_within_a_batch(bench):
    line = Line(bench, options(BLOCK, buffer=False, multiline__key_content="msg"))
    line.feed({"msg": "B1", "n": 1}, {"msg": "+a", "n": 2}, {"other": 1})
    line.feed({"msg": "+b"})

    assert [fields for _, _, fields in line.out()] == [{"msg": "B1\n+a", "n": 1}, {"other": 1}, {"msg": "+b"}]
    assert line.safe == [1, 2]


def part(id, text, last=False, **more):
    return {
        "log": text,
        "partial_message": "true",
        "partial_id": id,
        "partial_last": "true" if last else "false",
        **more,
    }


def test_parts_of_dockers_fluentd_driver(bench):
    line = Line(bench, options(mode="partial_message", flush_ms=3000))
    line.feed(part("1", "one ", c="x"), part("2", "other"), {"log": "whole"}, part("1", "two "))
    assert line.logs() == ["whole"]
    line.feed(part("1", "three", last=True, c="y"), {"log": "no id", "partial_message": "true"})
    assert [fields for _, _, fields in line.out()] == [
        {"c": "x", "log": "one two three"}, {"log": "no id", "partial_message": "true"},
    ]  # fmt: skip
    bench.loop.run_for(3)
    assert (line.logs(), sorted(line.safe)) == (["other"], [1, 2])


def test_parser_is_needed():
    with pytest.raises(ConfigError, match=r"multiline\.parser"):
        Multiline(options(), None)
