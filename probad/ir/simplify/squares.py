"""Sums of squares of data minus a linear predictor: from one term per observation to one per group and coefficient.

In ``sum((y - a[group] - s * x - X @ b) ** 2)`` data enter by their mean in each group and by a triangular factor of
what is left, whose sizes are the numbers of groups and of coefficients: an orthogonal transformation of the
observations does not change the sum, and can be chosen so that nearly all of them meet no unknown any more. The
transformation is that of a least-squares fit, and errs no more than one: all terms are squares, so that nothing cancels
between them, as it would among sums of y^2, x y and x^2.

Source: Golub and Van Loan, "Matrix Computations" (4th edition), section 5.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from probad.ad.kinds import PARTIALS
from probad.ir.graph import STEPS
from probad.ir.simplify.builder import Builder
from probad.ir.simplify.rules import WHOLE, rule

MOVES = frozenset({"index", "reshape", "transpose", "broadcast_to"})
FEWEST = 12  # observations
MOST_COLUMNS = 400  # coefficients that all observations share
MOST_FLOPS = 4e9  # of the factorisation, half a second
SAVING = 2.0  # fewer terms than that many times less are not worth it
SAME = 1e-11  # relative difference of the rewritten sum where the function was captured
NO_DIRECTION = 1e-14  # of a column, what is left of it after others were taken out, relative to its length
NEGLIGIBLE = 2.0**-49  # error of a mean, relative to the spread of the data


@dataclass
class Predictor:
    """An affine function of unknowns, one value per observation.

    Attributes
    ----------
    n : int
        Observations.
    offset : (n,) array
        What is known.
    scalars : dict of int to (n,) array
        For each unknown number, what multiplies it.
    products : list of pair of int and (n, p) array
        Unknown vectors of p coefficients, and the matrices that multiply them.
    readings : list of (int, (n,) int array, (n,) array)
        Unknown arrays, the places in them that are read, and what multiplies what is read.
    """

    n: int
    offset: np.ndarray = field(init=False)
    scalars: dict[int, np.ndarray] = field(default_factory=dict)
    products: list[tuple[int, np.ndarray]] = field(default_factory=list)
    readings: list[tuple[int, np.ndarray, np.ndarray]] = field(default_factory=list)

    def __post_init__(self):
        self.offset = np.zeros(self.n)


@rule("sum", "sum((y - a[g] - X b)^2) = sum_k n_k (mean_k(y) - a[k] - mean_k(X) b)^2 + |c - R b|^2 + |rest|^2 with "
      "means over group k, and Q (c, R) the residuals of y and X within groups", "square")  # fmt: skip
def _sum_of_squares(b: Builder, x: int, *, axis, keepdims) -> int | None:
    (x,) = b.args(x)
    if axis is not None or keepdims or b.size(x) < FEWEST:
        return None
    n = b.size(x)
    predictor = Predictor(n)
    if not _read(b, x, np.arange(n), np.ones(n), predictor):
        return None
    grouping = _grouping(b, predictor)
    if grouping is None:
        return None
    with np.errstate(all="ignore"):
        new = _summarised(b, predictor, *grouping)
    if new is None:
        return None
    value, other = float(np.sum(np.square(b.graph.value(x)))), float(b.graph.value(new))
    return new if abs(value - other) <= SAME * abs(value) else None


# --- reading a predictor ----------------------------------------------------------------------------------------------
def _read(b: Builder, x: int, places: np.ndarray, factor: np.ndarray, out: Predictor) -> bool:
    """Add ``factor * x.ravel()[places]`` to a predictor, if it is one that can be summarised."""
    op, args = b.op(x), b.args(x)
    if x < 0:
        data = b.data(x) if b.shape(x) else b.scalar(x)
        if data is None or not np.isfinite(data).all():
            return False
        out.offset += factor * np.ravel(data)[places]
        return True
    if not b.shape(x):
        out.scalars[x] = out.scalars.get(x, 0.0) + factor
        return True
    if op in ("add", "subtract"):
        signs = (1.0, 1.0 if op == "add" else -1.0)
        return all(
            _read(b, a, _places_in(b, a, x, places), sign * factor, out) for a, sign in zip(args, signs, strict=True)
        )
    if op in ("negative", "copy"):
        return _read(b, args[0], places, -factor if op == "negative" else factor, out)
    if op in ("multiply", "divide"):
        for known, other in (args, args[::-1]) if op == "multiply" else (args[::-1],):
            data = b.data(known) if b.shape(known) else b.scalar(known)
            if data is None:
                continue
            by = np.ravel(data)[_places_in(b, known, x, places)]
            with np.errstate(all="ignore"):
                by = factor * by if op == "multiply" else factor / by
            return bool(np.isfinite(by).all()) and _read(b, other, _places_in(b, other, x, places), by, out)
    if op == "matmul" and _read_product(b, args, places, factor, out):
        return True
    if op in MOVES:
        return _read_moved(b, x, places, factor, out)
    source, places = _hoisted(b, x, places) or (x, places)
    return _read_array(source, places, factor, out)


def _read_array(source: int, places: np.ndarray, factor: np.ndarray, out: Predictor) -> bool:
    """Add what is read from an array, if many observations read the same."""
    if np.all(np.diff(places) > 0) or SAVING * len(np.unique(places)) > out.n:
        return False
    out.readings.append((source, places, factor))
    return True


def _read_moved(b: Builder, x: int, places: np.ndarray, factor: np.ndarray, out: Predictor) -> bool:
    """Add what only moves elements: as it is, or by what it is made of."""
    (source,), places = b.args(x), _moved(b, x)[places]
    if b.op(x) == "index" and _read_array(source, places, factor, out):
        return True
    return _read(b, source, places, factor, out)


def _places_in(b: Builder, a: int, x: int, places: np.ndarray) -> np.ndarray:
    """Where the elements of an operand are that the elements of the result at `places` are made of."""
    shape, wanted = b.shape(a), b.shape(x)
    if shape == wanted:
        return places
    if not shape:
        return np.zeros_like(places)
    return np.broadcast_to(np.arange(b.size(a)).reshape(shape), wanted).reshape(-1)[places]


def _moved(b: Builder, x: int) -> np.ndarray:
    """For each element of what only moves elements, where it comes from."""
    op, (inner,), params = b.op(x), b.args(x), b.params(x)
    numbers = np.arange(b.size(inner)).reshape(b.shape(inner))
    if op == "index":
        return np.ravel(numbers[params["index"]])
    if op == "transpose":
        return np.ravel(np.transpose(numbers, params["axes"]))
    return np.ravel(np.broadcast_to(numbers, params["shape"]) if op == "broadcast_to" else numbers)


def _read_product(b: Builder, args, places: np.ndarray, factor: np.ndarray, out: Predictor) -> bool:
    """Add a product of a matrix of data with an unknown vector."""
    for k, data in enumerate(map(b.data, args)):
        if data is not None and data.ndim == 2 and len(b.shape(args[1 - k])) == 1:
            if not _is_affordable(out.n, b.size(args[1 - k])):
                return False
            rows = (data if k == 0 else data.T)[places]
            out.products.append((args[1 - k], factor[:, None] * rows))
            return True
    return False


def _hoisted(b: Builder, x: int, places: np.ndarray) -> tuple[int, np.ndarray] | None:
    """An elementwise function of readings ``f(u[g], v[g], s)`` as a reading of ``f(u[k], v[k], s)``, k what g takes."""
    op, shape = b.op(x), b.shape(x)
    if op not in PARTIALS and op not in STEPS:
        return None
    arrays = [a for a in b.args(x) if b.shape(a)]
    if not all(b.op(a) == "index" and b.shape(a) == shape for a in arrays):
        return None
    read = [_moved(b, a) for a in arrays]
    if not read or any(not np.array_equal(r, read[0]) for r in read):
        return None
    taken, where = np.unique(read[0], return_inverse=True)
    if SAVING * len(taken) > len(places):
        return None
    parts = [_reading(b, b.args(a)[0], taken) if b.shape(a) else a for a in b.args(x)]
    return b(op, *parts, **b.params(x)), where.ravel()[places]


# --- summarising ------------------------------------------------------------------------------------------------------
def _grouping(b: Builder, predictor: Predictor) -> tuple[list, list] | None:
    """Which readings make the groups, and which are read through a matrix; None if nothing is gained either way.

    Returns
    -------
    grouped, through : lists of readings
    """
    n, readings = predictor.n, sorted(predictor.readings, key=lambda r: -len(np.unique(r[1])))
    shared = len(predictor.scalars) + sum(matrix.shape[1] for _, matrix in predictor.products)
    n_terms = n * (1 + len(readings) + shared)
    best = None
    for n_grouped in range(len(readings) + 1):
        grouped, through = readings[:n_grouped], readings[n_grouped:]
        n_columns = shared + sum(b.size(source) for source, _, _ in through)
        n_groups = len(np.unique(_joint(grouped), axis=0)) if grouped else 0
        cost = n_groups * n_grouped * ((n_grouped + 3) / 2 + n_columns) + (n_columns + 2) ** 2 / 2
        if _is_affordable(n, n_columns) and SAVING * cost < n_terms and (best is None or cost < best[0]):
            best = (cost, grouped, through)
    return None if best is None else best[1:]


def _is_affordable(n: int, n_columns: int) -> bool:
    """Whether a matrix is small enough to be factorised."""
    return n_columns <= MOST_COLUMNS and 2.0 * n * (n_columns + 1) ** 2 < MOST_FLOPS


def _joint(grouped: list) -> np.ndarray:
    """The places of several readings side by side, (n, number of readings)."""
    return np.stack([places for _, places, _ in grouped], axis=1)


def _summarised(b: Builder, predictor: Predictor, grouped: list, through: list) -> int | None:
    """The sum of squares of a predictor as that of a few linear functions of its unknowns, and a constant."""
    blocks: list[tuple[int, np.ndarray]] = [*predictor.products]
    for source, places, factor in through:
        matrix = np.zeros((predictor.n, b.size(source)))
        matrix[np.arange(predictor.n), places] = factor
        blocks.append((_flat(b, source), matrix))
    scalars = list(predictor.scalars)
    columns = [np.reshape(predictor.scalars[s], (-1, 1)) for s in scalars] + [matrix for _, matrix in blocks]
    shared = np.concatenate([*columns, predictor.offset[:, None]], axis=1)
    total = b.constant(0.0)
    if grouped:
        keys, group = np.unique(_joint(grouped), axis=0, return_inverse=True)
        rows, shared = _within_groups(np.stack([f for _, _, f in grouped], axis=1), shared, group.ravel(), len(keys))
        for k, (weight, ratios, means, rest) in enumerate(rows):
            used = weight > 0
            if not used.any():
                continue
            linear = b.constant(means[used, -1])
            for j, (source, _, _) in enumerate(grouped[k:]):
                if np.any(ratios[used, j]):
                    read = _reading(b, source, keys[used, k + j])
                    linear = b("add", linear, _times(b, ratios[used, j], read))
            linear = _with_coefficients(b, linear, scalars, blocks, means[used, :-1])
            if rest is not None:
                linear = b("add", linear, b.constant(rest[used]))
            square = b("sum", _times(b, weight[used], b("square", linear)), **WHOLE)
            total = b("add", total, square)
    factor, spread = _triangular(shared)
    if not np.isfinite(factor).all() or not math.isfinite(spread):
        return None
    if len(factor):
        linear = _with_coefficients(b, b.constant(factor[:, -1].copy()), scalars, blocks, factor[:, :-1])
        total = b("add", total, b("sum", b("square", linear), **WHOLE))
    return b("add", total, b.constant(spread))


def _triangular(columns: np.ndarray) -> tuple[np.ndarray, float]:
    """The R of columns = Q R: what meets the first columns, as rows, and the square of what the last has alone.

    Columns of zeros make no rows.
    """
    used = np.any(columns, axis=0)
    used[-1] = True
    n_used = np.count_nonzero(used) - 1
    r = np.linalg.qr(columns[:, used], mode="r")
    r = np.concatenate([r, np.zeros((max(0, n_used + 1 - len(r)), n_used + 1))])
    factor = np.zeros((n_used, columns.shape[1]))
    factor[:, used] = r[:n_used]
    return factor, float(r[n_used, -1] ** 2)


def _within_groups(factors: np.ndarray, shared: np.ndarray, group: np.ndarray, n_groups: int):
    """Take out of all columns, group by group, what unknowns of the group multiply.

    Parameters
    ----------
    factors : (n, q) array
        What multiplies the q unknowns of the group of each observation.
    shared : (n, p) array
        The other columns.
    group : (n,) int array
    n_groups : int

    Returns
    -------
    rows : list of tuple
        For each unknown k of groups: its weight (n_groups,), zero where there is nothing that it alone explains; the
        coefficients of unknowns k, k + 1, ..., the first of which is one, (n_groups, q - k); the means of the other
        columns, (n_groups, p); and what the last of them lacks as doubles, if that matters, else None.
    rest : (n, p) array
        What is left of `shared`.
    """
    columns, rows = np.concatenate([factors, shared], axis=1), []
    q, p = factors.shape[1], shared.shape[1]
    least = NO_DIRECTION * np.linalg.norm(shared[:, :-1], axis=0)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(group, v, n_groups) for v in values.T], axis=1)

    length = sums(np.square(factors))
    for k in range(q):
        by = columns[:, k]
        weight = sums(by[:, None] ** 2)[:, 0]
        weight[weight <= NO_DIRECTION**2 * length[:, k]] = 0.0
        divisor = np.where(weight > 0, weight, math.inf)[:, None]
        means = np.zeros((n_groups, q + p))
        for _ in range(2):  # what is left of a projection is projected again
            more = sums(by[:, None] * columns[:, k + 1 :]) / divisor
            before = means[:, -1].copy()
            means[:, k + 1 :] += more
            columns[:, k + 1 :] -= by[:, None] * more[group]
        lost = more[:, -1] - (means[:, -1] - before)
        scale = np.sqrt(np.mean(np.square(columns[:, -1])))
        means[:, k] = 1.0
        rows.append((weight, means[:, k:q], means[:, q:], lost if np.any(np.abs(lost) > NEGLIGIBLE * scale) else None))
    rest = columns[:, q:]
    rest[:, :-1][:, np.linalg.norm(rest[:, :-1], axis=0) <= least] = 0.0  # the same within each group
    return rows, rest


# --- making -----------------------------------------------------------------------------------------------------------
def _flat(b: Builder, x: int) -> int:
    return x if len(b.shape(x)) == 1 else b("reshape", x, shape=(b.size(x),))


def _reading(b: Builder, source: int, places: np.ndarray) -> int:
    """Elements of an array, at constant places."""
    source, n = _flat(b, source), len(places)
    if not np.array_equal(places, np.arange(places[0], places[0] + n)):
        return b("index", source, index=(places,))
    return source if n == b.size(source) else b("index", source, index=slice(int(places[0]), int(places[0]) + n))


def _times(b: Builder, factor: np.ndarray, x: int) -> int:
    """A product with data, or with a number if they are all the same."""
    same = np.all(factor == factor[0])
    return b("multiply", b.constant(float(factor[0]) if same else factor.copy()), x)


def _with_coefficients(b: Builder, linear: int, scalars: list, blocks: list, matrix: np.ndarray) -> int:
    """Add a matrix times all coefficients to an array with one element for each of its rows."""
    for k, s in enumerate(scalars):
        if np.any(matrix[:, k]):
            linear = b("add", linear, _times(b, matrix[:, k], s))
    at = len(scalars)
    for vector, block in blocks:
        part = np.ascontiguousarray(matrix[:, at : at + block.shape[1]])
        linear = b("add", linear, b("matmul", b.constant(part), vector))
        at += block.shape[1]
    return linear
