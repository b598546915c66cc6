"""The program of paths that are joined: where they fork both ways are computed, where they meet values are chosen.

A standpoint is reached under a condition, and of the values that come to it from several blocks conditions choose one.
Answers that no path has given are guards, as in a single path. What two blocks do in the same way at their ends is done
once, with the values chosen before.

Terms: a standpoint is *certain* from an earlier one if all ways from there lead through it; the *origin* of a
standpoint is the last one that all ways to it have in common (the immediate dominator of compilers, found as in Cooper,
Harvey and Kennedy, "A simple, fast dominance algorithm", 2001).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from probad.ir.capture import implementation
from probad.ir.graph import INPUT, NO_PARAMS, Graph, Guard
from probad.ir.join import END, FIRST, LIVE, OWN, START, Joined, JoinError, Standpoint


def program(joined: Joined) -> Graph:
    """All paths as one graph, in which only answers that are not known are guards."""
    return Writer(joined).run()


class _Choice:
    """A value that conditions choose, which becomes nodes when something reads it."""

    __slots__ = ("node", "options", "origin")

    def __init__(self, origin: bytes, options: list):
        self.origin, self.options = origin, options  # (entry, value) each
        self.node: int | None = None


class Writer:
    """The graph of all paths."""

    def __init__(self, joined: Joined):
        self.points = joined.standpoints
        self.order = _in_order(self.points)
        self.rank = {key: k for k, key in enumerate(self.order)}
        self.origin = _origins(self.points, self.order, self.rank)
        self.ways = _ways(self.points, self.order)
        constants = joined.constants
        self.graph = Graph(constants=list(constants.constants), _places=dict(constants._places))
        self.first: list[int] = []  # the nodes of the first block
        self.own: dict[tuple, list[int]] = {}  # of each block, by its entry (key, answer)
        self.live: dict[bytes, list] = {}  # at each standpoint: nodes, or choices
        self.asked: dict[bytes, int] = {}
        self.conditions: dict = {}

    def run(self) -> Graph:
        """Write all blocks, in order."""
        graph = self.graph
        for key in self.order:
            point = self.points[key]
            if key != START:
                self.live[key] = self.arrive(key, lambda block: block.live)
                if key == END:
                    graph.outputs = [self.node(value) for value in self.live[key]]
                    return graph
                (asked,) = self.arrive(key, lambda block: (block.asked,))
                self.asked[key] = self.node(asked)
                self.guard(key)
            for answer in point.blocks:
                self.own[key, answer] = []
            n_common = self.n_common(point)
            for answer in sorted(point.blocks, key=_true_first):
                self.block(key, answer, len(point.blocks[answer].ops) - n_common)
            if n_common:
                self.tail(key, n_common)
        raise JoinError("no path comes to an end")

    def block(self, key: bytes, answer, n: int) -> None:
        """Write the first nodes of a block."""
        point, own = self.points[key], self.own[key, answer]
        params, values = point.params[answer]
        for (op, _, _, *operands), given, value in zip(point.blocks[answer].ops[:n], params, values, strict=False):
            if op == INPUT:
                own.append(self.graph.add_input(value))
            else:
                args = tuple([self.node(self.resolve(key, answer, operand)) for operand in operands])
                own.append(self.add(op, args, given))
        if key == START:
            self.first = own

    @staticmethod
    def n_common(point: Standpoint) -> int:
        """How many operations the two blocks after a yes and a no have in common at their ends."""
        blocks = point.blocks
        if len(blocks) != 2 or type(next(iter(blocks))) is not bool or len({b.end for b in blocks.values()}) > 1:
            return 0
        n = 0
        for one, other in zip(*(reversed(block.ops) for block in blocks.values()), strict=False):
            if one[:3] != other[:3] or len(one) != len(other):
                break
            n += 1
        return n

    def tail(self, key: bytes, n: int) -> None:
        """Write the last nodes of two blocks once, on operands that are chosen."""
        point = self.points[key]
        yes, no = (point.blocks[answer].ops[-n:] for answer in (True, False))
        choices: dict[tuple, _Choice] = {}
        for k in range(n):
            args = []
            for pair in zip(yes[k][3:], no[k][3:], strict=True):
                values = [self.resolve(key, answer, x) for answer, x in zip((True, False), pair, strict=True)]
                if not _same(values):
                    options = [((key, True), values[0]), ((key, False), values[1])]
                    choice = _Choice(key, options)
                    values[0] = choices.setdefault(tuple(map(_identity, values)), choice)
                args.append(self.node(values[0]))
            node = self.add(yes[k][0], tuple(args), point.params[True][0][len(point.blocks[True].ops) - n + k])
            for answer in (True, False):
                self.own[key, answer].append(node)

    def add(self, op: str, args: tuple[int, ...], params: dict = NO_PARAMS) -> int:
        """A node, with the value that it has for the inputs seen last."""
        impl, plain = implementation(op, params)
        with np.errstate(all="ignore"):
            value = impl(*map(self.graph.value, args), **plain)
        return self.graph.add(op, args, params, np.asarray(value)[()])

    # --- values ------------------------------------------------------------------------------------------------------
    def resolve(self, key: bytes, answer, operand: tuple):
        """What an operand of a block is: a node, a constant or a choice."""
        kind, k = operand
        if kind == OWN:
            return self.own[key, answer][k]
        if kind == LIVE:
            return self.live[key][k]
        return self.first[k] if kind == FIRST else k

    def arrive(self, key: bytes, what) -> list:
        """Values at a standpoint, from all blocks that lead there."""
        entries = sorted(self.points[key].entries, key=lambda e: (self.rank[e[0]], _true_first(e[1])))
        lists = []
        for start, answer in entries:
            block = self.points[start].blocks[answer]
            lists.append([self.resolve(start, answer, operand) for operand in what(block)])
        merged = []
        for values in zip(*lists, strict=True):
            if _same(values):
                merged.append(values[0])
            else:
                merged.append(_Choice(self.origin[key], list(zip(entries, values, strict=True))))
        return merged

    def node(self, value) -> int:
        """The node of a value; a choice is written where it is first read."""
        if type(value) is not _Choice:
            return value
        todo = [value]
        while todo:
            choice = todo[-1]
            waiting = [v for _, v in choice.options if type(v) is _Choice and v.node is None]
            if waiting:
                todo += waiting
                continue
            todo.pop()
            if choice.node is None:
                choice.node = self.choose(choice)
        return value.node

    def choose(self, choice: _Choice) -> int:
        """Nodes that choose among options: the last one where no condition of the others holds."""
        nodes = [self.real(v.node if type(v) is _Choice else v) for _, v in choice.options]
        forms = {(np.shape(v), np.asarray(v).dtype.kind) for v in map(self.graph.value, nodes)}
        if len(forms) > 1 or next(iter(forms))[1] not in "fb":
            raise JoinError("a variable is of one kind on one path, and of another on another one")
        *others, chosen = nodes
        for (entry, _), node in reversed(list(zip(choice.options, others, strict=False))):
            if node == chosen:
                continue
            chosen = self.add("select", (self.taken(entry, choice.origin), node, chosen))
        return chosen

    def real(self, node: int) -> int:
        """A value; of a whole number that is constant, as in powers, the number as a double."""
        value = self.graph.value(node)
        is_whole = node < 0 and np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iu"
        return self.graph.constant(float(value)) if is_whole else node

    # --- conditions ---------------------------------------------------------------------------------------------------
    def reached(self, key: bytes, origin: bytes) -> int | None:
        """The condition under which the path that has come to `origin` comes to `key`; None if it always does."""
        chain = []
        while key != origin:
            if not self.is_certain(key):
                chain.append(key)
            key = self.origin[key]
        conditions = []
        for step in reversed(chain):
            if step not in self.conditions:
                ways = [self.taken(entry, self.origin[step]) for entry in self.points[step].entries]
                self.conditions[step] = self.together("logical_or", ways)
            conditions.append(self.conditions[step])
        return self.together("logical_and", conditions) if conditions else None

    def taken(self, entry: tuple, origin: bytes) -> int:
        """The condition under which the path from `origin` takes a block."""
        key, answer = entry
        reached = self.reached(key, origin)
        gives = self.gives(key, answer)
        return gives if reached is None else self.together("logical_and", [reached, gives])

    def gives(self, key: bytes, answer) -> int:
        """The condition that a question has an answer."""
        asked = self.asked[key]
        if answer is True:
            return asked
        if answer is False:
            return self.opposite(asked)
        if type(answer) is not int:
            raise JoinError(f"the question at {self.points[key].where} has arrays for answers")
        return self.made("equal", asked, self.graph.constant(answer))

    def opposite(self, condition: int) -> int:
        """Not."""
        return self.made("logical_not", condition)

    def together(self, op: str, conditions: list[int]) -> int:
        """All, or one, of several conditions."""
        result = conditions[0]
        for condition in conditions[1:]:
            result = self.made(op, result, condition)
        return result

    def made(self, op: str, *args: int) -> int:
        """A condition that is written once."""
        if (op, *args) not in self.conditions:
            self.conditions[op, *args] = self.add(op, args)
        return self.conditions[op, *args]

    def is_certain(self, key: bytes) -> bool:
        """Whether every way from the origin of a standpoint leads there."""
        origin = self.origin[key]
        n_here = {origin: 1}
        for between in self.order[self.rank[origin] + 1 : self.rank[key] + 1]:
            n_here[between] = sum(n_here.get(start, 0) for start, _ in self.points[between].entries)
        return n_here[key] * self.ways[key] == self.ways[origin]

    def guard(self, key: bytes) -> None:
        """Leave where an answer is not known, or is for paths that come from another block.

        The second is for safety: if more goes on from here than can be seen, the next path tells.
        """
        point = self.points[key]
        answers = list(point.blocks)
        for entry in point.entries:
            for answer in answers:
                if (entry, answer) not in point.passages:
                    taken = self.made("logical_and", self.taken(entry, START), self.gives(key, answer))
                    self.graph.guards.append(Guard(taken, np.bool_(False), point.where))
        if set(answers) == {True, False} and type(answers[0]) is bool:
            return
        reached = self.reached(key, START)
        if len(answers) == 1 and reached is None:
            expected = answers[0]
            if type(expected) is tuple:
                dtype, shape, content = expected
                expected = np.frombuffer(content, dtype).reshape(shape)
            self.graph.guards.append(Guard(self.asked[key], expected, point.where))
            return
        known = self.together("logical_or", [self.gives(key, answer) for answer in answers])
        fails = self.opposite(known)
        fails = fails if reached is None else self.made("logical_and", reached, fails)
        self.graph.guards.append(Guard(fails, np.bool_(False), point.where))


# --- the graph of standpoints -----------------------------------------------------------------------------------------
def _true_first(answer) -> tuple:
    return (answer is not True, repr(answer))


def _same(values) -> bool:
    return all(value is values[0] or value == values[0] for value in values)


def _identity(value):
    return id(value) if type(value) is _Choice else value


def _in_order(points: dict[bytes, Standpoint]) -> list[bytes]:
    """All standpoints, each behind those that lead to it; by the order in which they were found where that is free."""
    order: list[bytes] = []
    waiting = {key: len(point.entries) for key, point in points.items()}
    ready = [START]
    while ready:
        key = min(ready, key=lambda k: points[k].number)
        ready.remove(key)
        order.append(key)
        for block in points[key].blocks.values():
            waiting[block.end] -= 1
            if not waiting[block.end]:
                ready.append(block.end)
    if len(order) < len(points):
        raise JoinError("a question leads back to itself")
    return order


def _origins(points: dict[bytes, Standpoint], order: list[bytes], rank: dict[bytes, int]) -> dict[bytes, bytes]:
    """The last standpoint that all ways to each one have in common."""
    origin = {START: START}
    for key in order[1:]:
        sources: Iterable[bytes] = {start for start, _ in points[key].entries}
        common = None
        for other in sources:
            if common is None:
                common = other
            while common != other:
                if rank[common] > rank[other]:
                    common = origin[common]
                else:
                    other = origin[other]
        origin[key] = common
    return origin


def _ways(points: dict[bytes, Standpoint], order: list[bytes]) -> dict[bytes, int]:
    """How many ways lead from each standpoint to the end."""
    ways = {END: 1}
    for key in reversed(order):
        if key != END:
            ways[key] = sum(ways[block.end] for block in points[key].blocks.values())
    return ways
