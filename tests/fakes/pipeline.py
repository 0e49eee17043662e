"""A pipeline with fake sources and outputs, on a fake clock."""

from edgebit.backoff import Backoff
from edgebit.buffer.queue import Buffer
from edgebit.log import INFO, Log, Sink, Trouble
from edgebit.match import wildcard
from edgebit.pipeline import FilterStep, Pipeline, Route
from edgebit.plugin import Filter
from edgebit.record import Shape
from edgebit.sender import Sender
from edgebit.stats import Counters, Stats
from fakes.buffers import FakeClocks
from fakes.clock import fake_loop
from fakes.output import FakeOutput

LOG = Shape.of(("log",))


def batch(*texts):
    return [(0, LOG, (text,)) for text in texts]


class Source:
    """An input as the pipeline sees it."""

    def __init__(self, name="in.0"):
        self.name, self.stats, self.held, self.calls = name, Counters(), False, []
        self.patient = False

    def hold(self):
        self.held = True
        self.calls.append("hold")

    def unhold(self):
        self.held = False
        self.calls.append("unhold")


class Bench:
    def __init__(self):
        self.loop = fake_loop()
        self.lines, self.losses, self.routes = [], [], []
        self.log = Log(Sink(INFO, self.lines.append), "pipeline")
        self.filters = []
        self.loop.end_of_turn = self.end_of_turn

    def output(self, match="*", overflow="block", limit=16 * 1024, auto="delivered", window=1):
        output = FakeOutput(window, auto)
        name = f"out.{len(self.routes)}"
        buffer = Buffer(
            limit, overflow, "s", lambda *loss: self.losses.append((name, *loss)), clocks=FakeClocks(self.loop.clock)
        )
        trouble = Trouble(self.log, self.loop.clock.monotonic)
        sender = Sender(name, output, None, buffer, flush=1.0, retry_limit=None, call_later=self.loop.call_later,
                        clock=self.loop.clock.monotonic,
                        backoff=Backoff(1, 60, self.loop.clock.monotonic, lambda: 1.0), log=self.log, trouble=trouble,
                        stats=Counters(), lost=lambda *loss: self.losses.append((name, *loss)), parking=None,
                        crashed=None)  # fmt: skip
        self.routes.append(Route(name, wildcard(match), buffer, sender))
        sender.start()
        return output

    def filter(self, function, match="*"):
        class Made(Filter):
            def process(self, tag, records):
                return function(records)

        trouble = Trouble(self.log, self.loop.clock.monotonic)
        self.filters.append(FilterStep("f", wildcard(match), Made(None, None), Counters(), trouble))

    def emitter(self, cls, match="*", opt=None):
        """A filter that emits; the instance."""
        name = f"{cls.__name__.lower()}.{len(self.filters)}"
        made = cls(opt, StepContext(self))
        trouble = Trouble(self.log, self.loop.clock.monotonic)
        made.ctx.step = FilterStep(name, wildcard(match), made, Counters(), trouble)
        self.filters.append(made.ctx.step)
        return made

    def ready(self):
        self.pipeline = Pipeline(self.filters, self.routes, Stats(), self.log)
        return self

    def emit(self, *args, **kwargs):
        """As from an input's callback: the turn that it runs in goes on to its end."""
        self.pipeline.emit(*args, **kwargs)
        self.end_of_turn()

    def end_of_turn(self):
        self.pipeline.pump()
        self.pipeline.unpark()


class StepContext:
    """A filter's context as its host makes it."""

    def __init__(self, bench):
        self.bench, self.step = bench, None

    @property
    def origin(self):
        return self.step.origin

    @property
    def held(self):
        return self.step.held

    @property
    def clock(self):
        return self.bench.loop.clock

    @property
    def call_later(self):
        return self.bench.loop.call_later

    def emit(self, tag, records, kept=(), onward=False):
        return self.bench.pipeline.emit_again(self.step, tag, records, kept, onward)


def texts(output):
    return [record[2][0] for chunk in output.chunks for record in chunk.records]
