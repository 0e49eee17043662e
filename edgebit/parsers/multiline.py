"""Lines that belong together, joined to one record: what `multiline.parser` names, and [MULTILINE_PARSER] defines.

A `Definition` says how lines are joined, a `Joiner` does it for one stream (a file, a connection):

    joiner = Joiner(definitions)
    records, starts = joiner.feed(lines, now_ns, monotonic, at)   # what is complete now, in order
    joiner.oldest                                                 # where the first line that still waits began
    joiner.deadline                                               # when to call flush, on the monotonic clock
    records, starts = joiner.flush(monotonic)                     # what nobody continued in time
    records, starts = joiner.flush()                              # everything: the stream ends, or the agent stops

`at` has a mark for each line (its offset, say), handed back in `starts`: that of the first line of each record. A caller
that keeps a position in its source may move it to `oldest`, or behind the last line if that is None. A record has the
time of its first line. `feed_records` does the same for records whose field `key_content` is to be joined.

Definitions are tried in order, the one that took the last line first. A line that none takes ends what is pending and
is a record of its own. A definition is one of three kinds:

regex     a machine: a rule has states in which it applies, an expression, and the state that follows. A line that
          continues the block by a rule is appended, else one that matches a rule of "start_state" begins another.
          A rule after which only "start_state" can follow ends its block at once.
endswith  a line that ends with `match_string` ends the block (with `negate`: one that doesn't)
equal     likewise for a line, or its field `key_pattern`, that is equal to `match_string`

With a `parser`, lines are parsed first, the field `key_content` is what is joined, and the other fields are those of the
first line. `key_group` names a field whose values have pending blocks of their own (stdout and stderr of a container).

Joined text is Fluent Bit's to the byte: lines of a regex block have a newline between them; parts of the other two kinds
have it too, unless `key_content` says that it is a field; and without `key_content` the whole ends with a newline, also
for a line of its own. A blank line that no block takes is no record. What is different: a block that would grow beyond
`limit` characters is handed over and the next begins, where Fluent Bit cuts the text off and drops the rest; a line
shorter than `match_string` simply doesn't end with it.

Pure: no clock, no timer. Bounded: `limit` characters a block, 32 groups a definition.
"""

from __future__ import annotations

from edgebit.record import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from edgebit.plugin import Parser
    from edgebit.record import Record

LIMIT = 2 * 2**20  # characters, the default of multiline_buffer_limit
START = "start_state"
_GROUPS = 32  # pending blocks a definition; beyond, the one that waits longest is handed over
_LOG = Shape.of(("log",))
_MISS = Shape(("log",), interned=False)  # marks what a definition's parser doesn't take


class Rule:
    """A rule of a regex definition. `follow`: the rules that can continue after it; `ends`: a new block can only begin."""

    __slots__ = ("ends", "find", "follow", "start")

    def __init__(self, find: Callable[[str], object], start: bool) -> None:
        self.find, self.start = find, start
        self.follow: list[Rule] = []
        self.ends = False


class Definition:
    """How lines are joined; see the module's docstring.

    kind           "regex", "endswith" or "equal"
    flush_timeout  seconds without another line after which a block is complete
    limit          characters of a block
    rules          of a regex, in order: (states, find, next state)
    """

    def __init__(self, name: str, kind: str = "regex", *, match_string: str = "", negate: bool = False,
                 flush_timeout: float = 4.0, key_content: str = "", key_pattern: str = "", key_group: str = "",
                 parser: Parser | None = None, limit: int = LIMIT,
                 rules: Sequence[tuple[Sequence[str], Callable[[str], object], str]] = ()) -> None:  # fmt: skip
        self.name, self.kind, self.parser, self.flush_timeout = name, kind, parser, flush_timeout
        self.match_string, self.negate, self.limit = match_string, negate, limit
        self.key_content, self.key_pattern, self.key_group = key_content, key_pattern, key_group
        made = [(states, Rule(find, START in states), following) for states, find, following in rules]
        for _, rule, following in made:
            reached = [other for states, other, _ in made if following in states]
            rule.follow = [other for other in reached if not other.start]
            rule.ends = len(rule.follow) < len(reached)
        self.starts = [rule for _, rule, _ in made if rule.start]

    @staticmethod
    def joiner(definitions: Sequence[Definition]) -> Joiner:
        """A joiner of these, for inputs: they are given definitions and import no parsers."""
        return Joiner(definitions)

    def is_last(self, text: str) -> bool:
        """Whether a line ends its block; for endswith and equal."""
        found = text.endswith(self.match_string) if self.kind == "endswith" else text == self.match_string
        return found != self.negate


class _Block:
    """A group's text that is not complete, and the rule that took its last line, which stays when the text has gone."""

    __slots__ = ("at", "number", "parts", "record", "rule", "size", "time_ns", "touched")

    def __init__(self) -> None:
        self.rule: Rule | None = None
        self.parts: list[str] = []
        self.size = 0
        self.record: Record | None = None  # the first line's, if lines are records
        self.time_ns = 0
        self.at: Any = None
        self.number = -1  # which line of the stream it began with; -1: nothing is pending
        self.touched = 0.0

    def append(self, text: str, newline: bool) -> None:
        if newline and self.parts and self.parts[-1][-1] != "\n":
            self.parts.append("\n")
            self.size += 1
        if text:
            self.parts.append(text)
            self.size += len(text)


class _State:
    """What a definition has pending in one stream."""

    __slots__ = ("blocks", "definition", "key", "patience", "shape")

    def __init__(self, definition: Definition, key_content: str, flush_timeout: float | None) -> None:
        self.definition = definition
        self.patience = definition.flush_timeout if flush_timeout is None else flush_timeout
        self.key = key_content or definition.key_content
        self.shape = Shape.of((self.key,)) if self.key else _LOG
        self.blocks: dict[str, _Block] = {}


class Joiner:
    """Joins the lines of one stream. `key_content` and `flush_timeout` go before those of the definitions (the filter's)."""

    def __init__(self, definitions: Sequence[Definition], key_content: str = "",
                 flush_timeout: float | None = None) -> None:  # fmt: skip
        self._states = [_State(definition, key_content, flush_timeout) for definition in definitions]
        self._recent: _State | None = None
        self._lines = 0
        self._records: list[Record] = []
        self._starts: list[Any] = []

    # -- what the caller asks ------------------------------------------------------------------------------------------

    def feed(self, lines: Sequence[str], now_ns: int, monotonic: float,
             at: Sequence[Any] | None = None) -> tuple[list[Record], list[Any]]:  # fmt: skip
        """Take lines; the records that are complete now, and where each began (None without `at`)."""
        parsed: Sequence[Record | None] = ()
        by = self._recent or self._states[0]
        if by.definition.parser is not None:  # in bulk by the parser that will nearly always do
            parsed = by.definition.parser.parse_lines(lines, now_ns, _MISS)[0]
        for i, line in enumerate(lines):
            self._lines += 1
            mark = at[i] if at is not None else None
            first = self._recent or self._states[0]
            record = parsed[i] if parsed and first is by else self._parse(first, line, now_ns)
            if not self._take(first, line, record, now_ns, monotonic, mark) and not any(
                self._take(state, line, self._parse(state, line, now_ns), now_ns, monotonic, mark)
                for state in self._states
                if state is not first
            ):
                self._finish_all()
                state = self._states[0]
                if text := line if state.key or line.endswith("\n") or not line else line + "\n":
                    self._hand_over((now_ns, state.shape, (text,)), mark)
        return self._done()

    def feed_records(self, records: Sequence[Record], monotonic: float,
                     at: Sequence[Any] | None = None) -> tuple[list[Record], list[Any]]:  # fmt: skip
        """Take records whose text in `key_content` is to be joined. What no definition takes passes as it is."""
        for i, record in enumerate(records):
            self._lines += 1
            mark = at[i] if at is not None else None
            first = self._recent or self._states[0]
            states = [first, *(state for state in self._states if state is not first)]
            for state in states:
                index = record[1].index.get(state.key, -1)
                text = record[2][index] if index >= 0 else None
                if type(text) is str:
                    inner = self._parse(state, text, record[0]) if state.definition.parser is not None else record
                    if self._take(state, text, inner, record[0], monotonic, mark):
                        break
            else:
                self._finish_all()
                self._hand_over(record, mark)
        return self._done()

    def flush(self, monotonic: float | None = None) -> tuple[list[Record], list[Any]]:
        """What has waited for its definition's flush_timeout; everything if no time is given."""
        due = [(block.number, state, block) for state, block in self._pending()
               if monotonic is None or monotonic >= block.touched + state.patience]  # fmt: skip
        for _, state, block in sorted(due, key=lambda item: item[0]):
            self._finish(state, block)
        return self._done()

    @property
    def oldest(self) -> Any:
        """The mark of the earliest line that is still pending, None if nothing is."""
        return min(((block.number, block.at) for _, block in self._pending()), default=(0, None))[1]

    @property
    def pending(self) -> bool:
        return any(True for _ in self._pending())

    @property
    def deadline(self) -> float | None:
        """When the first pending block will have waited long enough, on the monotonic clock; None if nothing is."""
        return min((b.touched + s.patience for s, b in self._pending()), default=None)

    @property
    def size(self) -> int:
        """Characters of pending text."""
        return sum(block.size for _, block in self._pending())

    # -- one line ------------------------------------------------------------------------------------------------------

    def _parse(self, state: _State, line: str, now_ns: int) -> Record | None:
        parser = state.definition.parser
        return parser.parse_lines((line,), now_ns, _MISS)[0][0] if parser is not None else None

    def _take(self, state: _State, line: str, record: Record | None, now_ns: int, monotonic: float,
              mark: Any) -> bool:  # fmt: skip
        """Whether this definition takes the line; then it is appended to a block."""
        definition = state.definition
        text = pattern = line
        group = ""
        if record is not None:
            now_ns, shape, values = record
            if shape is _MISS:
                return False
            index = shape.index
            found = values[index[state.key]] if state.key in index else None
            if type(found) is not str:
                return False
            text = pattern = found
            if definition.key_pattern in index and type(found := values[index[definition.key_pattern]]) is str:
                pattern = found
            if definition.key_group in index and type(found := values[index[definition.key_group]]) is str:
                group = found
        elif definition.parser is not None:
            return False
        block = state.blocks.get(group)
        if definition.kind == "regex":
            rule = next((r for r in block.rule.follow if r.find(text)), None) if block and block.rule else None
            starts = rule is None
            if rule is None:
                rule = next((r for r in definition.starts if r.find(text)), None)
                if rule is None:
                    return False
            last = rule.ends
        else:
            rule, starts, last = None, False, definition.is_last(pattern)
        if state is not self._recent:
            self._finish_all()
            self._recent = state
        if block is None:
            block = self._block(state, group)
        if block.number >= 0 and (starts or block.size + len(text) > definition.limit):
            self._finish(state, block)
        if block.number < 0:
            if last and record is not None:  # a line that is a block: nothing to join
                block.rule = rule
                self._hand_over(record, mark)
                return True
            block.record, block.time_ns, block.at, block.number = record, now_ns, mark, self._lines
        if definition.kind != "regex":
            block.append(text, newline=not state.key)
        elif starts:
            block.append(text, newline=False)
        else:
            block.append(text or "\n", newline=True)
        block.rule, block.touched = rule, monotonic
        if last:
            self._finish(state, block)
        return True

    def _block(self, state: _State, group: str) -> _Block:
        """A new block; the one that waits longest makes room."""
        if len(state.blocks) >= _GROUPS:
            name, oldest = min(state.blocks.items(), key=lambda item: item[1].touched)
            self._finish(state, oldest)
            del state.blocks[name]
        block = state.blocks[group] = _Block()
        return block

    # -- what is complete ----------------------------------------------------------------------------------------------

    def _pending(self) -> list[tuple[_State, _Block]]:
        return [(state, block) for state in self._states for block in state.blocks.values() if block.number >= 0]

    def _finish_all(self) -> None:
        pending = self._pending()
        if len(pending) > 1:
            pending.sort(key=lambda item: item[1].number)
        for state, block in pending:
            self._finish(state, block)

    def _finish(self, state: _State, block: _Block) -> None:
        """Hand over what a block has, if it has something, and begin it anew."""
        if block.number < 0:
            return
        text = "".join(block.parts)
        if not state.key and text and not text.endswith("\n"):
            text += "\n"
        if block.record is not None:
            shape, values = block.record[1:]
            index = shape.index[state.key]
            self._hand_over((block.time_ns, shape, (*values[:index], text, *values[index + 1 :])), block.at)
        elif text:
            self._hand_over((block.time_ns, state.shape, (text,)), block.at)
        block.parts, block.size, block.record, block.at, block.number = [], 0, None, None, -1

    def _hand_over(self, record: Record, mark: Any) -> None:
        self._records.append(record)
        self._starts.append(mark)

    def _done(self) -> tuple[list[Record], list[Any]]:
        done = self._records, self._starts
        self._records, self._starts = [], []
        return done
