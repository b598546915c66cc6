"""Interval arithmetic on arrays, continued: conditions and choices, moving elements, sums and products of arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from probad.ad.core import PRIMITIVES
from probad.ad.enclosures import RULES, Interval, add, down, encloses, exp, log, multiply, point, subtract, up
from probad.ad.rules.indexing import is_basic


# --- order ----------------------------------------------------------------------------------------------------------
@encloses("maximum", "fmax")
def maximum(a: Interval, b: Interval) -> Interval:
    """Monotone in both, and exact."""
    return Interval(np.maximum(a.lower, b.lower), np.maximum(a.upper, b.upper))


@encloses("minimum", "fmin")
def minimum(a: Interval, b: Interval) -> Interval:
    """Monotone in both, and exact."""
    return Interval(np.minimum(a.lower, b.lower), np.minimum(a.upper, b.upper))


@encloses("heaviside")
def heaviside(a: Interval, b: Interval) -> Interval:
    """Monotone, for values at 0 between 0 and 1; an interval across 0 gives all subgradients."""
    return Interval(np.heaviside(a.lower, b.lower), np.heaviside(a.upper, b.upper))


# A condition is an interval of truth values: the lower says whether it holds for certain, the upper whether it may.
RULES["greater"] = lambda a, b: Interval(a.lower > b.upper, a.upper > b.lower)
RULES["greater_equal"] = lambda a, b: Interval(a.lower >= b.upper, a.upper >= b.lower)
RULES["less"] = lambda a, b: Interval(a.upper < b.lower, a.lower < b.upper)
RULES["less_equal"] = lambda a, b: Interval(a.upper <= b.lower, a.lower <= b.upper)
RULES["logical_not"] = RULES["invert"] = lambda a: Interval(~a.upper, ~a.lower)
RULES["logical_and"] = RULES["bitwise_and"] = lambda a, b: Interval(a.lower & b.lower, a.upper & b.upper)
RULES["logical_or"] = RULES["bitwise_or"] = lambda a, b: Interval(a.lower | b.lower, a.upper | b.upper)
RULES["isfinite"] = lambda a: Interval(_bounded(a), np.ones_like(_bounded(a)))
RULES["isinf"] = lambda a: Interval(np.zeros_like(_bounded(a)), ~_bounded(a))
RULES["isnan"] = lambda a: point(np.zeros_like(_bounded(a)))


def _bounded(a: Interval):
    return np.isfinite(a.lower) & np.isfinite(a.upper)


@encloses("equal")
def equal(a: Interval, b: Interval) -> Interval:
    """Certain of two points that are the same; possible where the intervals meet."""
    certain = (a.lower == a.upper) & (b.lower == b.upper) & (a.lower == b.lower)
    return Interval(certain, (a.lower <= b.upper) & (b.lower <= a.upper))


RULES["not_equal"] = lambda a, b: RULES["logical_not"](equal(a, b))


@encloses("select")
def select(condition: Interval, a: Interval, b: Interval) -> Interval:
    """Either branch where the condition is certain, the hull of both where it is not."""
    sure, possible = condition.lower.astype(bool), condition.upper.astype(bool)
    lower = np.where(sure, a.lower, np.where(possible, np.minimum(a.lower, b.lower), b.lower))[()]
    return Interval(lower, np.where(sure, a.upper, np.where(possible, np.maximum(a.upper, b.upper), b.upper))[()])


@encloses("where")
def where(a: Interval, b: Interval, *, condition) -> Interval:
    """Exact."""
    return Interval(np.where(condition, a.lower, b.lower)[()], np.where(condition, a.upper, b.upper)[()])


@encloses("astype")
def astype(a: Interval, *, dtype) -> Interval:
    """Monotone, and exact: of conditions as numbers, of numbers as whole numbers."""
    return Interval(a.lower.astype(dtype), a.upper.astype(dtype))


# --- moving elements ------------------------------------------------------------------------------------------------
def _moved(impl: Callable) -> Callable:
    """The rule of an operation that only moves elements, or picks the largest or smallest: done to both bounds."""

    def rule(*arrays: Interval, **params) -> Interval:
        bounds = (impl(*[getattr(a, side) for a in arrays], **params) for side in ("lower", "upper"))
        return Interval(*[np.asarray(b)[()] for b in bounds])

    return rule


for _name in ("reshape", "transpose", "broadcast_to", "flip", "copy", "index", "concatenate", "stack", "index_set",
              "max", "min"):  # fmt: skip
    RULES[_name] = _moved(PRIMITIVES[_name].impl)


@encloses("scatter")
def scatter(*parts: Interval, indices, shape) -> Interval:
    """Zeros with the parts added in, one after the other: elements may be reached more than once."""
    out = point(np.zeros(shape))
    for part, index in zip(parts, indices, strict=True):
        lower, upper = np.array(out.lower), np.array(out.upper)
        positions = np.arange(lower.size).reshape(shape)[index]
        flat = Interval(*(np.broadcast_to(b, positions.shape).ravel() for b in (part.lower, part.upper)))
        groups = [np.arange(flat.size)] if is_basic(index) else _without_repeats(positions.ravel())
        for group in groups:
            where = np.ravel(positions)[group]
            old = Interval(lower.flat[where], upper.flat[where])
            new = add(old, Interval(flat.lower[group], flat.upper[group]))
            lower.flat[where], upper.flat[where] = new.lower, new.upper
        out = Interval(lower[()], upper[()])
    return out


def _without_repeats(positions: np.ndarray) -> list:
    """Split the order of writing into groups that reach each position at most once."""
    count: dict[int, int] = {}
    groups: list[list] = []
    for i, p in enumerate(positions.tolist()):
        k = count[p] = count.get(p, -1) + 1
        if k == len(groups):
            groups.append([])
        groups[k].append(i)
    return groups


# --- sums and products ----------------------------------------------------------------------------------------------
def _rounded_out(lower, upper, n: int, magnitude_fn: Callable, a: Interval) -> Interval:
    """Move bounds out by the rounding of sums of n terms in any order: n eps times the magnitudes (Higham, eq. 4.4)."""
    e_lower, e_upper = (2.0 * n * np.finfo(float).eps * magnitude_fn(np.abs(b)) for b in (a.lower, a.upper))
    lower = np.where(e_lower > 0, down(lower - up(e_lower)), lower)[()]
    return Interval(lower, np.where(e_upper > 0, up(upper + up(e_upper)), upper)[()])


@encloses("sum")
def sum_(a: Interval, *, axis, keepdims) -> Interval:
    """Sums of the bounds, and their rounding."""
    n = a.size // max(1, np.add.reduce(a.lower, axis=axis).size)
    total = lambda b: np.add.reduce(b, axis=axis, keepdims=keepdims)
    if n <= 1:
        return Interval(total(a.lower), total(a.upper))
    return _rounded_out(total(a.lower), total(a.upper), n, total, a)


@encloses("cumsum")
def cumsum(a: Interval, *, axis) -> Interval:
    """Running sums of the bounds, and their rounding."""
    running = lambda b: np.cumsum(b, axis=axis)
    return _rounded_out(running(a.lower), running(a.upper), a.size if axis is None else a.shape[axis], running, a)


@encloses("prod")
def prod(a: Interval, *, axis, keepdims) -> Interval:
    """Factor by factor."""
    axes = tuple(range(a.ndim)) if axis is None else tuple(k % a.ndim for k in np.atleast_1d(axis))
    rest = tuple(k for k in range(a.ndim) if k not in axes)
    low, high = (np.transpose(b, axes + rest).reshape(-1, *(a.shape[k] for k in rest)) for b in (a.lower, a.upper))
    out = point(np.ones(low.shape[1:]))
    for k in range(len(low)):
        out = multiply(out, Interval(low[k], high[k]))
    if keepdims:
        shape = tuple(1 if k in axes else n for k, n in enumerate(a.shape))
        out = Interval(out.lower.reshape(shape), out.upper.reshape(shape))
    return out


@encloses("logsumexp")
def logsumexp(a: Interval, *, axis, keepdims) -> Interval:
    """log(sum(exp(x - c))) + c, with c the largest upper bound."""
    c = np.max(a.upper, axis=axis, keepdims=True)
    total = log(sum_(exp(subtract(a, point(c))), axis=axis, keepdims=keepdims))
    return add(total, point(c if keepdims else np.squeeze(c, axis=axis)))


@encloses("einsum")
def einsum(*operands: Interval, subscripts: str) -> Interval:
    """Products of all terms, with every letter an axis, then the sum over the letters that are not in the output."""
    inputs, output = subscripts.split("->")
    letters = output + "".join(sorted(set(inputs.replace(",", "")) - set(output)))
    out = None
    for term, a in zip(inputs.split(","), operands, strict=True):
        kept = "".join(c for c in letters if c in term)
        aligned = [
            np.einsum(f"{term}->{kept}", b)[tuple(slice(None) if c in term else None for c in letters)]
            for b in (a.lower, a.upper)
        ]
        out = Interval(*aligned) if out is None else multiply(out, Interval(*aligned))
    axes = tuple(range(len(output), len(letters)))
    return sum_(out, axis=axes, keepdims=False) if axes else out


@encloses("matmul")
def matmul(a: Interval, b: Interval) -> Interval:
    """Products of rows and columns, then sums."""
    rows = Interval(a.lower[..., None], a.upper[..., None]) if b.ndim > 1 else a
    if b.ndim == 1:
        return sum_(multiply(a, b), axis=-1, keepdims=False)
    columns = Interval(b.lower[..., None, :, :], b.upper[..., None, :, :]) if a.ndim > 1 else b
    return sum_(multiply(rows, columns), axis=-2, keepdims=False)
