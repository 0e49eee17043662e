"""How long a regular expression can take on hostile text, worked out from the expression before it ever runs.

`re` tries one way through an expression after the other. If the same text can be taken by a loop in several ways, as the
a's by ``(a+)+``, the number of ways is exponential in its length, and so is the time of a search that fails in the end. If
loops that can take the same text follow one another, as in ``.*x.*y``, it is a polynomial, whose degree is the number of
such loops.

The expression becomes an automaton with a state for each place in it that takes a character (Glushkov's), and edges for
each way to go on. It is exponential exactly if from some state two different paths with the same text lead back to that
state (Weber and Seidl, On the degree of ambiguity of finite automata, 1991); that is looked for in pairs of states. The
degree is an upper bound. Two things make it closer to the truth: a possessive repeat of characters (``a*+``) is left only
before another character, and what stands at the end and can't fail (``.*$``) is never gone back into.

Not exact, on the safe side: counted repeats of more than some copies are taken as unlimited, atomic groups as ordinary ones.
Reads the tree of `re`'s own parser. Pure.
"""

from __future__ import annotations

import importlib
import re
from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from edgebit.charsets import Ranges

    Tree = list[tuple[Any, Any]]
    Edges = list[list[tuple[int, int]]]  # by state: (next state, characters as a mask)

_LAST = 0x10FFFF
_NO_NEWLINE: Ranges = [(0, 9), (11, _LAST)]
_ALL: Ranges = [(0, _LAST)]
_COPIES = 16  # of one character that a counted repeat is written out to
_STATES = 3000  # more, and the expression is refused as too large
_PAIRS = 200_000


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
    leading = None if anchored else _leading(tree, parsed.state.flags)
    everywhere = leading is not None and _minus(_NO_NEWLINE, leading) == []
    return Verdict(_Automaton(_without_tail(tree, parsed.state.flags), parsed.state.flags).degree(
        anchored=anchored or everywhere, leading=leading is not None), leading)  # fmt: skip


# -- sets of characters ----------------------------------------------------------------------------------------------


def _minus(a: Ranges, b: Ranges) -> Ranges:
    from edgebit.charsets import complement, intersection

    return intersection(a, complement(b))


def _characters(op: str, value: Any, flags: int) -> Ranges | None:
    """What an element that takes one character takes; None for other elements."""
    from edgebit.charsets import ESCAPES, complement, union

    if op == "ANY":
        return _ALL if flags & re.DOTALL else _NO_NEWLINE
    negated = op == "NOT_LITERAL"
    if op in ("LITERAL", "NOT_LITERAL"):
        ranges = [(int(value), int(value))]
    elif op == "IN":
        ranges = []
        for kind, what in value:
            if kind.name == "NEGATE":
                negated = True
            elif kind.name == "RANGE":
                ranges.append((int(what[0]), int(what[1])))
            elif kind.name == "LITERAL":
                ranges.append((int(what), int(what)))
            else:  # a category
                _, _, name = str(what).rpartition("_")
                found = ESCAPES[{"DIGIT": "d", "SPACE": "s", "WORD": "w"}[name]]
                ranges += complement(found) if "_NOT_" in str(what) else found
    else:
        return None
    if flags & re.IGNORECASE:
        for low, high in list(ranges):
            for first, shift in ((65, 32), (97, -32)):
                if low <= first + 25 and high >= first:
                    ranges.append((max(low, first) + shift, min(high, first + 25) + shift))
    return complement(ranges) if negated else union(ranges)


def _one(tree: Any, flags: int) -> Ranges | None:
    """The characters of a body that is one element taking one character, in any number of groups."""
    while len(tree) == 1:
        op, value = tree[0]
        if op.name != "SUBPATTERN":
            return _characters(op.name, value, flags)
        flags = (flags | value[1]) & ~value[2]
        tree = value[3]
    return None


_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def _unlimited(high: Any) -> bool:
    return int(high) >= 2**16


def _leading(tree: Any, flags: int) -> Ranges | None:
    """See Verdict. From any place inside a run of these characters, a match would begin at the start of the run as well."""
    if _refers(tree):
        return None
    while len(tree):
        op, value = tree[0]
        if op.name == "SUBPATTERN":
            flags = (flags | value[1]) & ~value[2]
            tree = value[3]
        elif op.name in _REPEATS and _unlimited(value[1]):
            return _one(value[2], flags)
        else:
            return None
    return None


def _refers(tree: Any) -> bool:
    """Whether there is a back-reference, which sees what exactly a group took, or a look-around."""
    for op, value in tree:
        name = op.name
        if name in ("GROUPREF", "GROUPREF_EXISTS", "ASSERT", "ASSERT_NOT"):
            return True
        inner = (value[1] if name == "BRANCH" else [value[2]] if name in _REPEATS else [value[3]] if name == "SUBPATTERN"
                 else [value] if name == "ATOMIC_GROUP" else [])  # fmt: skip
        if any(map(_refers, inner)):
            return True
    return False


def _without_tail(tree: Tree, flags: int) -> Tree:
    """The elements without loops at the end that nothing can make go back."""
    tree = list(tree)
    at_end = False
    if tree and tree[-1][0].name == "AT" and str(tree[-1][1]) == "AT_END" and flags & re.MULTILINE:
        at_end = True
        tree.pop()
    while tree:
        op, value = tree[-1]
        if op.name == "SUBPATTERN":
            inner_flags = (flags | value[1]) & ~value[2]
            if at_end:  # the end of the line may only be tested right after a loop over all of it
                last = value[3][-1:] if len(value[3]) else []
                chars = _one(last[0][1][2], inner_flags) if last and last[0][0].name in _REPEATS else None
                if chars is None or _minus(_NO_NEWLINE, chars):
                    break
            inner = _without_tail(list(value[3]), inner_flags)
            tree[-1] = (op, (*value[:3], inner))
            if inner:
                break
            tree.pop()
        elif op.name in _REPEATS and (chars := _one(value[2], flags)) is not None and _unlimited(value[1]):
            if at_end and (op.name == "MIN_REPEAT" or _minus(_NO_NEWLINE, chars)):
                break
            tree.pop()
            if value[0]:
                tree += value[2]
                break
        else:
            break
        at_end = False
    return tree


# -- the automaton ---------------------------------------------------------------------------------------------------


class _Part:
    """A piece of the automaton: how it begins and ends, and what may follow where it takes nothing.

    first  (state, which of its characters)
    last   (state, which characters may follow)
    skip   which characters may follow if it takes nothing; 0: it takes something
    """

    __slots__ = ("first", "last", "skip")

    def __init__(self, first: list[tuple[int, int]], last: list[tuple[int, int]], skip: int) -> None:
        self.first, self.last, self.skip = first, last, skip


class _Automaton:
    def __init__(self, tree: Tree, flags: int) -> None:
        points = {0, _LAST + 1}
        self._collect(tree, flags, points)
        self._points = sorted(points)  # characters between two of these are alike
        self.all = (1 << (len(self._points) - 1)) - 1
        self.chars: list[int] = []  # by state
        self.edges: Edges = []
        self.start = self._sequence(tree, flags)

    def _collect(self, tree: Any, flags: int, points: set[int]) -> None:
        for op, value in tree:
            name = op.name
            chars = _characters(name, value, flags)
            if chars is not None:
                for low, high in chars:
                    points |= {low, high + 1}
            elif name == "SUBPATTERN":
                self._collect(value[3], (flags | value[1]) & ~value[2], points)
            elif name == "BRANCH":
                for branch in value[1]:
                    self._collect(branch, flags, points)
            elif name in _REPEATS:
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
        first = a.first + [(state, mask) for state, chars in b.first if (mask := chars & a.skip)]
        last = b.last + [(state, mask) for state, allowed in a.last if (mask := allowed & b.skip)]
        return _Part(first, last, a.skip & b.skip)

    def _sequence(self, tree: Any, flags: int) -> _Part:
        part = self._empty()
        for op, value in tree:
            part = self._then(part, self._element(op.name, value, flags))
        return part

    def _element(self, name: str, value: Any, flags: int) -> _Part:
        chars = _characters(name, value, flags)
        if chars is not None:
            mask = self._mask(chars)
            state = self._state(mask)
            return _Part([(state, mask)], [(state, self.all)], 0)
        if name == "SUBPATTERN":
            return self._sequence(value[3], (flags | value[1]) & ~value[2])
        if name == "ATOMIC_GROUP":
            return self._sequence(value, flags)
        if name == "BRANCH":
            parts = [self._sequence(branch, flags) for branch in value[1]]
            return _Part([f for p in parts for f in p.first], [e for p in parts for e in p.last],
                         self.all if any(p.skip for p in parts) else 0)  # fmt: skip
        if name in _REPEATS:
            return self._repeat(name, value, flags)
        if name in ("ASSERT", "ASSERT_NOT"):
            _Automaton(list(value[1]), flags).degree(anchored=True, leading=False)
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
        chars = _one(body, flags)
        unlimited = _unlimited(high)
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
        return _Part(part.first, part.last, part.skip if low else self.all)

    def _copies(self, part: _Part, low: int, high: int, body: Any, flags: int) -> _Part:
        """`part`, which is the first, and further ones of a counted repeat."""
        if not high:
            return self._empty()
        parts = [part, *(self._sequence(body, flags) for _ in range(high - 1))]
        rest = self._empty()
        for i in range(high - 1, -1, -1):
            rest = self._then(parts[i], rest)
            if i >= low:
                rest = _Part(rest.first, rest.last, self.all)
        return rest

    # -- the verdict -----------------------------------------------------------------------------------------------------

    def degree(self, anchored: bool, leading: bool) -> int:
        """Of the polynomial. Raises Exponential."""
        loops = [
            loop for loop in self._components() if len(loop) > 1 or any(q == loop[0] for q, _ in self.edges[loop[0]])
        ]
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
        return max(chain, default=1)

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
