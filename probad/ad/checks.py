"""Check derivatives against differences of the function itself, with an error estimate rather than a fixed step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from probad.ad.transforms import jvp, vjp
from probad.errors import ArgumentError, GradientError
from probad.tree import flatten, map_leaves

MODES = ("forward", "reverse")
RATIO = 1.6  # of the steps of two levels of extrapolation


def richardson(f: Callable[[float], np.ndarray], h: float = 0.1, n_levels: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Derivative of `f` at 0 by central differences extrapolated to step zero, and an estimate of its error.

    Parameters
    ----------
    f : callable
        Function of one number, returning an array.
    h : float
        Largest step; it is divided by `RATIO` from level to level.
    n_levels : int
        Rows of the extrapolation table.

    Returns
    -------
    value, error : ndarray
        The entry of the table with the smallest error estimate, elementwise.

    Notes
    -----
    Source: Ridders, Advances in Engineering Software 4 (1982) 75.
    """
    table: list[np.ndarray] = []
    best, error = None, None
    for level in range(n_levels):
        step = h / RATIO**level
        row = [(np.asarray(f(step), dtype=float) - np.asarray(f(-step), dtype=float)) / (2 * step)]
        for k in range(level):
            factor = RATIO ** (2 * (k + 1))
            row.append((factor * row[k] - table[k]) / (factor - 1))
            estimate = np.maximum(np.abs(row[-1] - row[-2]), np.abs(row[-1] - table[k]))
            estimate = np.where(np.isfinite(estimate), estimate, np.inf)
            if best is None:
                best, error = row[-1], estimate
            else:
                better = estimate < error
                best, error = np.where(better, row[-1], best), np.where(better, estimate, error)
        table = row
    return best, error


def check_grads(
    f: Callable,
    *args,
    order: int = 1,
    modes: Sequence[str] = MODES,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    seed: int = 0,
) -> None:
    """Compare derivatives of `f` at `args` with extrapolated central differences along a random direction.

    Parameters
    ----------
    f : callable
        Function of numbers, arrays or nests of them, with an output of the same kind.
    *args
        The point.
    order : int
        Highest order; derivatives of derivatives are checked in every nesting of `modes`.
    modes : sequence of {"forward", "reverse"}
        Which modes to check.
    rtol, atol : float
        Allowed difference, relative to the derivative and absolute; the differences' own error is added.
    seed : int
        Seed of the directions.

    Raises
    ------
    GradientError
        If they disagree; names mode, order, position and both values.

    Examples
    --------
    >>> import numpy as np
    >>> check_grads(lambda x: np.sin(x) * x, 1.5, order=2)
    """
    for mode in modes:
        if mode not in MODES:
            raise ArgumentError(f"check_grads knows the modes {MODES}; got {mode!r}.")
    if order < 1:
        raise ArgumentError(f"check_grads needs order >= 1; got {order}.")
    rng = np.random.default_rng(seed)
    leaves, rebuild = flatten(list(args))
    primals = rebuild([np.array(x, dtype=float)[()] for x in leaves])
    tangents = map_leaves(lambda x: rng.normal(size=np.shape(x)), primals)
    _check(f, primals, tangents, order, modes, rtol, atol, rng, path=())


def _check(f, primals, tangents, order, modes, rtol, atol, rng, path) -> None:
    flat_primals, rebuild = flatten(primals)
    flat_tangents, _ = flatten(tangents)

    def along(step):
        moved = rebuild([x + step * t for x, t in zip(flat_primals, flat_tangents, strict=True)])
        return np.concatenate([np.ravel(y) for y in flatten(f(*moved))[0]])

    expected, error = richardson(along)
    weights = rng.normal(size=expected.shape)
    for mode in modes:
        here = (*path, mode)
        if mode == "forward":
            dy = np.concatenate([np.ravel(t) for t in flatten(jvp(f, primals, tangents)[1])[0]])
            _compare(dy, expected, error, rtol, atol, here)
        else:
            grads = flatten(_weighted_vjp(f, weights)(*primals))[0]
            found = sum(float(np.sum(g * t)) for g, t in zip(grads, flat_tangents, strict=True))
            _compare(found, weights @ expected, np.abs(weights) @ error, rtol, atol, here)
        if order > 1:
            inner = (lambda *p: jvp(f, p, tangents)[1]) if mode == "forward" else _weighted_vjp(f, weights)
            _check(inner, primals, tangents, order - 1, modes, rtol, atol, rng, here)


def _weighted_vjp(f, weights):
    """The gradient of the weighted sum of all outputs of `f`."""

    def pulled(*primals):
        y, pullback = vjp(f, *primals)
        flat, rebuild = flatten(y)
        bounds = np.cumsum([0, *(int(np.prod(np.shape(v))) for v in flat)])
        parts = [weights[lo:hi] for lo, hi in zip(bounds[:-1], bounds[1:], strict=True)]
        return pullback(rebuild([p.reshape(v.shape) for p, v in zip(parts, flat, strict=True)]))

    return pulled


def _compare(found, expected, error, rtol, atol, path) -> None:
    found, expected = np.atleast_1d(found), np.atleast_1d(expected)
    allowed = atol + rtol * np.abs(expected) + 10 * np.atleast_1d(error)
    wrong = ~(np.abs(found - expected) <= allowed)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise GradientError(
            f"{'-on-'.join(path)} derivative of order {len(path)} disagrees with central differences at flat position "
            f"{i}: {found[i]!r} against {expected[i]!r} +- {np.atleast_1d(error)[i]:.1e}. Check the rules of the "
            "functions used, or whether the point is on a kink or the function has hidden state."
        )
