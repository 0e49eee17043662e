"""How long a regular expression can take on hostile text, worked out from the expression before it ever runs.

`re` tries one way through an expression after the other. If the same text can be taken by a loop in several ways, as the
a's by ``(a+)+``, the number of ways is exponential in its length, and so is the time of a search that fails in the end. If
loops that can take the same text follow one another, as in ``.*x.*y``, it is a polynomial, whose degree is the number of
such loops.

The expression becomes an automaton with a state for each place in it that takes a character (Glushkov's), and edges for
each way to go on. It is exponential exactly if from some state two different paths with the same text lead back to that
state (Weber and Seidl, On the degree of ambiguity of finite automata, 1991); that is looked for in pairs of states. Where
nothing can be taken in two ways, as by ``(?:b*|c*)``, an edge that leads over it is there twice. The degree is an upper
bound. Two things make it closer to the truth: a possessive repeat of characters (``a*+``) is left only
before another character, and what stands at the end and can't fail (``.*$``) is never gone back into.

Not exact, on the safe side: counted repeats of more than some copies are taken as unlimited, atomic groups as ordinary ones.
Reads the tree of `re`'s own parser. Pure.
"""

from __future__ import annotations

import importlib
from bisect import bisect_left

from edgebit.regex_tree import (
    LAST,
    NO_NEWLINE,
    REPEATS,
    characters,
    is_unlimited,
    leading_run,
    minus,
    one_character,
    without_tail,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from edgebit.charsets import Ranges
    from edgebit.regex_tree import Tree

    Edges = list[list[tuple[int, int]]]  # by state: (next state, characters as a mask)

_COPIES = 16  # of one character that a counted repeat is written out to
_FEW = 6  # copies of a group that may overlap
_STATES = 3000  # more, and the expression is refused as too large
_PAIRS = 200_000
_WAYS = 256  # of taking nothing; more, and the expression is refused as too large


class Exponential(ValueError):
    """The expression can take exponential time; `sample` is a character of a text that does it."""

    def __init__(self, sample: str) -> None:
        super().__init__(sample)
        self.sample = sample


class TooLarge(ValueError):
    """The expression is too large to tell."""


class Verdict:
    """degree   of the polynomial that bounds the time: 1 is linear
    leading  the characters of the repeat that the expression begins with, if a match can begin only before one that follows
             none of them; None if that can't be said
    """

    __slots__ = ("degree", "leading")

    def __init__(self, degree: int, leading: Ranges | None) -> None:
        self.degree, self.leading = degree, leading


def judge(pattern: str, flags: int, anchored: bool) -> Verdict:
    """Raises Exponential and TooLarge, and what `re` raises if it isn't a pattern."""
    parser = importlib.import_module("re._parser")
    parsed = parser.parse(pattern, flags)
    tree = list(parsed)
    leading = None if anchored else leading_run(tree, parsed.state.flags)
    everywhere = leading is not None and minus(NO_NEWLINE, leading) == []
    return Verdict(_Automaton(without_tail(tree, parsed.state.flags), parsed.state.flags).degree(
        anchored=anchored or everywhere, leading=leading is not None), leading)  # fmt: skip


# -- the automaton ---------------------------------------------------------------------------------------------------


class _Part:
    """A piece of the automaton: how it begins and ends, and what may follow where it takes nothing.

    first  (state, which of its characters)
    last   (state, which characters may follow)
    skip   which characters may follow if it takes nothing; 0: it takes something
    ways   in how many ways it can take nothing
    """

    __slots__ = ("first", "last", "skip", "ways")

    def __init__(self, first: list[tuple[int, int]], last: list[tuple[int, int]], skip: int, ways: int = 1) -> None:
        if ways > _WAYS:
            raise TooLarge
        self.first, self.last, self.skip, self.ways = first, last, skip, ways if skip else 0

    def optional(self, all: int) -> _Part:
        """The same, but it can be left out: one more way to take nothing."""
        return _Part(self.first, self.last, all, self.ways + 1)


class _Automaton:
    def __init__(self, tree: Tree, flags: int) -> None:
        points = {0, LAST + 1}
        self._collect(tree, flags, points)
        self._points = sorted(points)  # characters between two of these are alike
        self.all = (1 << (len(self._points) - 1)) - 1
        self.chars: list[int] = []  # by state
        self.edges: Edges = []
        self.ahead = 0  # the highest degree of what looks ahead, which is searched at each character
        self.loops = False
        self.start = self._sequence(tree, flags)

    def _collect(self, tree: Any, flags: int, points: set[int]) -> None:
        for op, value in tree:
            name = op.name
            chars = characters(name, value, flags)
            if chars is not None:
                for low, high in chars:
                    points |= {low, high + 1}
            elif name == "SUBPATTERN":
                self._collect(value[3], (flags | value[1]) & ~value[2], points)
            elif name == "BRANCH":
                for branch in value[1]:
                    self._collect(branch, flags, points)
            elif name in REPEATS:
                self._collect(value[2], flags, points)
            elif name == "ATOMIC_GROUP":
                self._collect(value, flags, points)

    def _mask(self, ranges: Ranges) -> int:
        mask = 0
        for low, high in ranges:
            a, b = bisect_left(self._points, low), bisect_left(self._points, high + 1)
            mask |= (1 << b) - (1 << a)
        return mask

    def _state(self, mask: int) -> int:
        if len(self.chars) >= _STATES:
            raise TooLarge
        self.chars.append(mask)
        self.edges.append([])
        return len(self.chars) - 1

    def _connect(self, last: Iterable[tuple[int, int]], first: list[tuple[int, int]]) -> None:
        for state, allowed in last:
            edges = self.edges[state]
            for following, chars in first:
                if mask := allowed & chars:
                    edges.append((following, mask))

    def _empty(self) -> _Part:
        return _Part([], [], self.all)

    def _then(self, a: _Part, b: _Part) -> _Part:
        self._connect(a.last, b.first)
        first = [(state, mask) for state, chars in b.first if (mask := chars & a.skip)]
        last = [(state, mask) for state, allowed in a.last if (mask := allowed & b.skip)]
        # Two ways are enough to tell that there are several; more would double with each element.
        first = first if a.ways < 2 else [*dict.fromkeys(first)] * 2
        last = last if b.ways < 2 else [*dict.fromkeys(last)] * 2
        return _Part(a.first + first, b.last + last, a.skip & b.skip, a.ways * b.ways)

    def _sequence(self, tree: Any, flags: int) -> _Part:
        part = self._empty()
        for op, value in tree:
            part = self._then(part, self._element(op.name, value, flags))
        return part

    def _element(self, name: str, value: Any, flags: int) -> _Part:
        chars = characters(name, value, flags)
        if chars is not None:
            mask = self._mask(chars)
            state = self._state(mask)
            return _Part([(state, mask)], [(state, self.all)], 0)
        if name == "SUBPATTERN":
            return self._sequence(value[3], (flags | value[1]) & ~value[2])
        if name == "ATOMIC_GROUP":
            part = self._sequence(value, flags)
            return _Part(part.first, part.last, part.skip)
        if name == "BRANCH":
            parts = [self._sequence(branch, flags) for branch in value[1]]
            return _Part([f for p in parts for f in p.first], [e for p in parts for e in p.last],
                         self.all if any(p.skip for p in parts) else 0, sum(p.ways for p in parts))  # fmt: skip
        if name in REPEATS:
            return self._repeat(name, value, flags)
        if name in ("ASSERT", "ASSERT_NOT"):
            ahead = _Automaton(list(value[1]), flags)
            degree = ahead.degree(anchored=True, leading=False)
            self.ahead = max(self.ahead, ahead.ahead + (degree if ahead.loops else 0))
            return self._empty()
        if name == "GROUPREF":  # any text, as far as can be told
            state = self._state(self.all)
            self.edges[state].append((state, self.all))
            return _Part([(state, self.all)], [(state, self.all)], self.all)
        if name in ("AT", "FAILURE"):
            return self._empty()
        raise TooLarge  # a conditional

    def _repeat(self, name: str, value: tuple[Any, Any, Any], flags: int) -> _Part:
        low, high, body = int(value[0]), int(value[1]), value[2]
        chars = one_character(body, flags)
        unlimited = is_unlimited(high)
        if chars is not None and (unlimited or high > _COPIES):
            mask = self._mask(chars)
            state = self._state(mask)
            self.edges[state].append((state, mask))
            allowed = self.all & ~mask if name == "POSSESSIVE_REPEAT" and unlimited else self.all
            return _Part([(state, mask)], [(state, allowed)], 0 if low else allowed)
        if chars is not None and name == "POSSESSIVE_REPEAT" and (low, high) == (0, 1):
            mask = self._mask(chars)
            state = self._state(mask)
            return _Part([(state, mask)], [(state, self.all)], self.all & ~mask)
        before = len(self.chars)
        part = self._sequence(body, flags)
        if not unlimited and (len(self.chars) - before) * max(high, 1) <= 16 * _COPIES:
            return self._copies(part, low, high, body, flags)
        self._connect(part.last, part.first)
        if name == "POSSESSIVE_REPEAT":
            return _Part(part.first, part.last, part.skip if low else self.all)
        return part if low else part.optional(self.all)

    def _copies(self, part: _Part, low: int, high: int, body: Any, flags: int) -> _Part:
        """`part`, which is the first, and further ones of a counted repeat."""
        if not high:
            return self._empty()
        if high > _FEW and _Automaton(list(body), flags).overlaps():
            raise TooLarge
        parts = [part, *(self._sequence(body, flags) for _ in range(high - 1))]
        rest = self._empty()
        for i in range(high - 1, -1, -1):
            rest = self._then(parts[i], rest)
            if i >= low:
                rest = rest.optional(self.all)
        return rest

    def overlaps(self) -> bool:
        """Whether many copies are nearly as bad as a loop that is exponential: (a?){30}a{30}, (a|aa){30}b."""
        self.degree(anchored=True, leading=False)
        if self.loops:  # what these do to copies is in the degree
            return False
        self._connect(self.start.last, self.start.first)
        try:
            self.degree(anchored=True, leading=False)
        except Exponential:
            return True
        return self.start.ways > 0

    # -- the verdict -----------------------------------------------------------------------------------------------------

    def degree(self, anchored: bool, leading: bool) -> int:
        """Of the polynomial. Raises Exponential."""
        loops = [
            loop for loop in self._components() if len(loop) > 1 or any(q == loop[0] for q, _ in self.edges[loop[0]])
        ]
        self.loops = bool(loops)
        for loop in loops:
            self._unambiguous(loop)
        masks = [self._union(loop) for loop in loops]
        home = {state: i for i, loop in enumerate(loops) for state in loop}
        firsts = {home[state] for state, _ in self.start.first if state in home}
        # Loops come in the order in which they can follow one another. The search for a place to begin is the one before.
        chain = [1] * len(loops)
        for i in range(len(loops)):
            if not anchored and i in self._reached(self.start.first, masks[i], home) and not (leading and i in firsts):
                chain[i] = 2
            for j in range(i):
                both = masks[i] & masks[j]
                if not both or chain[j] < chain[i]:
                    continue
                around = self._cycling(loops[j], both)
                exits = [edge for state in around for edge in self.edges[state] if home.get(edge[0]) != j]
                if exits and self._cycling(loops[i], both) and i in self._reached(exits, both, home):
                    chain[i] = chain[j] + 1
        return max(chain, default=1) + self.ahead

    def _cycling(self, loop: list[int], allowed: int) -> set[int]:
        """The states of a loop that are still on its cycles with these characters alone."""
        left = set(loop)
        while left:
            entered = {q for state in left for q, chars in self.edges[state] if q in left and chars & allowed}
            leaving = {s for s in left if any(q in left and chars & allowed for q, chars in self.edges[s])}
            if len(both := entered & leaving) == len(left):
                break
            left = both
        return left

    def _union(self, loop: list[int]) -> int:
        inside, mask = set(loop), 0
        for state in loop:
            for following, chars in self.edges[state]:
                if following in inside:
                    mask |= chars
        return mask

    def _reached(self, start: list[tuple[int, int]], allowed: int, home: dict[int, int]) -> set[int]:
        """The loops that can be reached with these characters alone."""
        todo = [state for state, chars in start if chars & allowed]
        seen = set(todo)
        while todo:
            for following, chars in self.edges[todo.pop()]:
                if chars & allowed and following not in seen:
                    seen.add(following)
                    todo.append(following)
        return {home[state] for state in seen if state in home}

    def _components(self) -> list[list[int]]:
        """Strongly connected components, in an order in which edges lead from earlier to later ones (Kosaraju)."""
        order: list[int] = []
        seen: set[int] = set()
        backward: list[list[int]] = [[] for _ in self.edges]
        for root, edges in enumerate(self.edges):
            for following, _ in edges:
                backward[following].append(root)
        for root in range(len(self.edges)):
            stack = [(root, iter(self.edges[root]))] if root not in seen else []
            seen.add(root)
            while stack:
                state, rest = stack[-1]
                new = next((q for q, _ in rest if q not in seen), -1)
                if new < 0:
                    order.append(stack.pop()[0])
                else:
                    seen.add(new)
                    stack.append((new, iter(self.edges[new])))
        found: list[list[int]] = []
        placed: set[int] = set()
        for root in reversed(order):
            if root in placed:
                continue
            placed.add(root)
            component, todo = [], [root]
            while todo:
                state = todo.pop()
                component.append(state)
                for before in backward[state]:
                    if before not in placed:
                        placed.add(before)
                        todo.append(before)
            found.append(component)
        return found

    def _unambiguous(self, loop: list[int]) -> None:
        """Raises Exponential if two paths with the same text lead from one state of the loop to one state."""
        inside = set(loop)
        edges = {state: [(q, mask) for q, mask in self.edges[state] if q in inside] for state in loop}
        todo: list[tuple[int, int]] = []
        seen: dict[tuple[int, int], int] = {}  # pairs of different states, and the characters on which paths parted

        def step(one: list[tuple[int, int]], other: list[tuple[int, int]], parted: int) -> None:
            for i, (p, chars) in enumerate(one):
                for q, mask in other if parted else other[i + 1 :]:
                    both = chars & mask
                    if not both:
                        continue
                    if p == q:
                        raise Exponential(self._sample(parted or both))
                    pair = (p, q) if p < q else (q, p)
                    if pair not in seen:
                        seen[pair] = parted or both
                        todo.append(pair)

        for state in loop:
            step(edges[state], edges[state], 0)
        while todo:
            if len(seen) > _PAIRS:
                raise TooLarge
            p, q = todo.pop()
            step(edges[p], edges[q], seen[p, q])

    def _sample(self, mask: int) -> str:
        """A character of the mask, one that can be read if there is one."""
        codes = [point for i, point in enumerate(self._points[:-1]) if mask >> i & 1]
        for low, high in ((97, 122), (48, 57), (33, 126), (32, 32)):
            for code in codes:
                end = self._points[bisect_left(self._points, code) + 1] - 1
                if max(code, low) <= min(end, high):
                    return chr(max(code, low))
        return chr(codes[0])
