"""Which input each element of an output depends on: index sets pushed along a tape, as tangents are.

What a primitive does to index sets follows from its structure (`probad.ad.sparse.structures`). A number keeps its set
as a frozenset, which is what makes loops over numbers cheap; an array keeps one set per element, in compressed rows.
"""

from __future__ import annotations

import numpy as np

from probad.ad.jacobians import Tape
from probad.ad.sparse.structures import SAME, Groups, Pairs, structure
from probad.errors import ArgumentError

MOST_ENTRIES = 50_000_000  # more than this is a dense matrix


class Rows:
    """One set of input numbers for each element of an array: ``columns[starts[i]:starts[i + 1]]``."""

    __slots__ = ("columns", "starts")

    def __init__(self, starts: np.ndarray, columns: np.ndarray):
        self.starts, self.columns = starts, columns

    def take(self, rows: np.ndarray) -> Rows:
        """The sets of some elements, in the order asked for."""
        if len(rows) == 1:  # the common case in loops over numbers
            columns = self.columns[self.starts[rows[0]] : self.starts[rows[0] + 1]]
            return Rows(np.array([0, len(columns)]), columns)
        counts = self.starts[rows + 1] - self.starts[rows]
        starts = _starts(counts)
        _refuse_dense(starts[-1])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        return Rows(starts, self.columns[np.repeat(self.starts[rows], counts) + within])


def identity(n: int) -> Rows:
    """Each element depends on itself."""
    return Rows(np.arange(n + 1), np.arange(n, dtype=np.int32))


def dependencies(tape: Tape) -> tuple[np.ndarray, np.ndarray]:
    """The pattern of the Jacobian of a recorded function, in compressed rows.

    Parameters
    ----------
    tape : Tape
        Of a function from one array to one array.

    Returns
    -------
    starts, columns : ndarray of int
        Output element i depends on the input elements ``columns[starts[i]:starts[i + 1]]``, in increasing order.
    """
    (x,), (y,), (node,) = tape.inputs, tape.outputs, tape.nodes
    known: dict[int, object] = {0: identity(x.size) if x.shape else frozenset([0])}
    for i, (primitive, nodes, values, params, out), done in tape.schedule:
        known[i] = _push(primitive, nodes, values, params, out, known, x.size)
        for place in done:
            known.pop(place, None)
    found = known.get(node, frozenset()) if node is not None else None
    if found is None:
        return np.zeros(y.size + 1, dtype=int), np.zeros(0, dtype=np.int32)
    found = _union([(np.arange(y.size), _as_rows(found))], y.size, x.size)  # in order
    return found.starts, found.columns


def _push(primitive, nodes, values, params, out, known, n_inputs: int):
    """The index sets of an output from those of the arguments."""
    given = [(k, known[node]) for k, node in enumerate(nodes) if node is not None and node in known]
    if not out.shape and all(type(sets) is frozenset for _, sets in given):
        return frozenset().union(*[sets for _, sets in given])  # one number from others, whatever the operation
    parts = []  # (elements of the output, index sets for them)
    for k, sets in given:
        how = structure(primitive, k, nodes, values, params, out)
        if how is SAME:
            if len(given) == 1:
                return sets
            parts.append((np.arange(out.size), _as_rows(sets)))
        elif type(how) is Pairs:
            parts.append((how.outputs, _as_rows(sets).take(how.inputs)))
        elif type(how) is Groups:
            n_groups = int(how.inputs.max(initial=-1)) + 1
            together = _union([(how.inputs, _as_rows(sets))], n_groups, n_inputs)
            parts.append((np.arange(out.size), together.take(how.outputs)))
        else:
            rows = _as_rows(sets).take(how)
            if len(given) == 1:
                return rows if out.shape else frozenset(rows.columns.tolist())
            parts.append((np.arange(out.size), rows))
    sets = _union(parts, out.size, n_inputs)
    return sets if out.shape else frozenset(sets.columns.tolist())


def _as_rows(sets) -> Rows:
    if type(sets) is Rows:
        return sets
    return Rows(np.array([0, len(sets)]), np.fromiter(sets, dtype=np.int32, count=len(sets)))


def _starts(counts: np.ndarray) -> np.ndarray:
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _union(parts: list, n_rows: int, n_columns: int) -> Rows:
    """Join index sets: each part has, for each of its rows, the element that it belongs to."""
    from scipy.sparse import coo_array  # scipy.sparse is slow to import and few models need it

    rows = [np.repeat(elements, np.diff(sets.starts)) for elements, sets in parts]
    rows = np.concatenate(rows) if rows else np.zeros(0, dtype=int)
    _refuse_dense(len(rows))
    columns = np.concatenate([sets.columns for _, sets in parts]) if parts else np.zeros(0, dtype=np.int32)
    joined = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(n_rows, n_columns)).tocsr()
    joined.sum_duplicates()
    return Rows(joined.indptr.astype(np.int64), joined.indices.astype(np.int32))


def _refuse_dense(n_entries: int) -> None:
    if n_entries > MOST_ENTRIES:
        raise ArgumentError(
            f"The pattern of the derivatives, or of an intermediate array, has {n_entries} entries: it is not sparse. "
            "Use jacobian, hessian or hvp; or pass pattern= if you know it."
        )
