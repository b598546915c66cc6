"""Join the paths of a function where they meet again after they have forked.

A path is what one run has done, with its questions. It is cut at the questions, into blocks; blocks of several paths
between the same standpoints (`probad.ir.standpoint`) must be the same. So paths that forked come together, and a loop
with a branch in each of n iterations takes 2 n blocks, not 2^n paths. Blocks and standpoints are a graph without
circles. `probad.ir.choices` makes a program without branches of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from probad.errors import CaptureError
from probad.ir.capture import CALL
from probad.ir.graph import NO_PARAMS, Graph
from probad.ir.standpoint import Question, fingerprint

START, END = b"start", b"end"
LONGEST = 12  # times the longest path: a joined program that would be longer is none
SHORT = 200  # numbers that are computed: a path of fewer may grow as if it were as long
OWN, LIVE, FIRST, CONSTANT = "own", "live", "first", "constant"  # where a block's operand comes from
# Operations that may fail, or read where no memory is: they must not be carried out where the path does not lead.
FALLIBLE = frozenset({CALL, "cholesky", "solve_triangular", "lookup", "deposit"})


class JoinError(CaptureError):
    """Paths cannot be joined."""


@dataclass(frozen=True)
class Block:
    """What a path does from one answer to the next question.

    Attributes
    ----------
    ops : tuple
        For each node its operation, a fingerprint of the parameters, and its operands.
    end : bytes
        The key of the standpoint it leads to.
    asked : operand
        What is asked there; None at the end.
    live : tuple of operand
        The values that can be reached from there; at the end the results.
    """

    ops: tuple
    end: bytes
    asked: tuple | None
    live: tuple


@dataclass
class Standpoint:
    """What is known of one standpoint: the blocks that begin there, by the answer."""

    where: str
    number: int  # in the order in which they were found
    blocks: dict = field(default_factory=dict)
    params: dict = field(default_factory=dict)  # of the blocks, and the values seen: what a block itself leaves out
    entries: list = field(default_factory=list)  # (key, answer) of the blocks that lead here
    passages: set = field(default_factory=set)  # (entry, answer) of the paths that have come through


class Joined:
    """The paths of a function that are known.

    Attributes
    ----------
    standpoints : dict of bytes to Standpoint
        By their keys; those of paths, `START` and `END`.
    longest, total : int
        The work of the longest path, and that of all blocks: numbers that are computed.
    """

    def __init__(self) -> None:
        self.standpoints: dict[bytes, Standpoint] = {}
        self.longest = self.total = 0
        self.constants = Graph()  # that numbers the constants of all paths
        self._held: dict[int, object] = {}

    def learn(self, graph: Graph, questions: list[Question]) -> bool:
        """Add a path; returns whether there was anything new in it.

        Raises
        ------
        JoinError
            If it cannot be joined with the others.
        """
        if not questions:
            raise JoinError("a path without questions has no others")
        self._held.update(questions[0].told_by_identity)
        work = [np.size(value) for value in graph.values]
        self.longest = max(self.longest, sum(work))
        starts = [0, *(q.n_nodes for q in questions)]
        ends = [*(q.n_nodes for q in questions), len(graph)]
        keys = [START, *(q.key for q in questions), END]
        answers = [None, *(q.answer for q in questions)]
        is_new = False
        for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
            before = questions[k - 1] if k else None
            after = questions[k] if k < len(questions) else None
            block = self._cut(graph, start, end, before, after, questions[0].n_nodes)
            here = self._standpoint(keys[k], before)
            if k and ((keys[k - 1], answers[k - 1]), answers[k]) not in here.passages:
                is_new = True
                here.passages.add(((keys[k - 1], answers[k - 1]), answers[k]))
            known = here.blocks.get(answers[k])
            if known is None:
                is_new = True
                here.blocks[answers[k]] = block
                here.params[answers[k]] = (graph.params[start:end], graph.values[start:end])
                self._standpoint(keys[k + 1], after).entries.append((keys[k], answers[k]))
                self.total += sum(work[start:end])
            elif known != block:
                where = here.where or "the start"
                raise JoinError(f"what follows the question at {where} depends on more than can be seen there")
        if self.total > LONGEST * max(self.longest, SHORT):
            raise JoinError("together the paths are too long")
        return is_new

    def _standpoint(self, key: bytes, question: Question | None) -> Standpoint:
        if key not in self.standpoints:
            where = "" if question is None else question.where
            self.standpoints[key] = Standpoint(where, len(self.standpoints))
        return self.standpoints[key]

    def _cut(self, graph: Graph, start: int, end: int, before, after, n_first: int) -> Block:
        """The nodes from `start` to before `end` of a path as a block."""
        place = {} if before is None else {node: k for k, node in reversed(list(enumerate(before.live)))}

        def operand(node: int) -> tuple:
            if node < 0:
                return (CONSTANT, self.constants.constant(graph.value(node)))
            if node >= start:
                return (OWN, node - start)
            if node in place:
                return (LIVE, place[node])
            if node < n_first:
                return (FIRST, node)
            raise JoinError(
                f"a value that is needed after the question at {before.where} is held where it cannot be seen; give it "
                "a name"
            )

        ops = []
        for node in range(start, end):
            op, params = graph.ops[node], graph.params[node]
            if op in FALLIBLE and start:
                raise JoinError(f"{op} is computed after a question")
            form = None if params is NO_PARAMS else fingerprint(params)
            ops.append((op, form, np.shape(graph.values[node]), *map(operand, graph.args[node])))
        if after is None:
            return Block(tuple(ops), END, None, tuple(map(operand, graph.outputs)))
        return Block(tuple(ops), after.key, operand(after.node), tuple(map(operand, after.live)))
