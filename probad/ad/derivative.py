"""derivative: one function for derivatives by any method, exact, by differences or by the complex step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from probad.ad.checks import RATIO, richardson
from probad.ad.composite import join, name_of
from probad.ad.functions import as_operand
from probad.ad.jacobians import jacobian
from probad.ad.rules import shapes
from probad.errors import ArgumentError, ConversionError, GradientError
from probad.tree import flatten

EPS = float(np.finfo(float).eps)
LEVELS, LARGEST, NEARER = 10, 0.1, 100.0  # of extrapolation: steps, the largest, how much smaller the second largest is
DISAGREEMENT = 1e-4  # of the complex step with differences, relative: more cannot be rounding


def derivative(
    f: Callable, x: Any, method: str = "reverse", *, step: float | None = None, return_error: bool = False
) -> Any:
    """Derivative of `f` at `x`: the gradient of a scalar, the Jacobian of an array, by the method of your choice.

    Parameters
    ----------
    f : callable
        Function of one number, array or nest of them, with an output of the same kind.
    x : number, array or nest of them
        The point.
    method : str
        ``"reverse"``, ``"forward"``: exact. ``"complex"``: the complex step, exact for functions that are analytic and
        written with NumPy. ``"forward-difference"``, ``"central"``, ``"five-point"``: differences of error h, h^2, h^4.
        ``"richardson"``: central differences extrapolated to step zero.
    step : float, optional
        Step of the differences, absolute; for ``"richardson"`` the largest. The default balances truncation against
        rounding, for each element of `x` by its size: h = c max(1, |x|) with c the 1/2, 1/3 or 1/5 power of the machine
        precision.
    return_error : bool
        Whether to return an estimate of the error as well.

    Returns
    -------
    derivative
        Of shape ``y.shape + x.shape``; a nest like `x` (in a nest like the output) if it is a nest.
    error
        If asked for; of the same structure. Truncation, from a second step size, plus rounding; for the exact methods
        only the rounding of the last operation.

    Raises
    ------
    GradientError
        If the complex step disagrees with central differences: `f` takes absolute values, maxima, real parts or
        something else that is not analytic.
    ConversionError
        If `x` is traced and the method is not ``"reverse"`` or ``"forward"``.

    Notes
    -----
    Differences and the complex step call `f` on plain arrays, so it may do anything. The number of calls grows with the
    size of `x`, except for ``"reverse"``.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: np.sum(np.exp(x) * x)
    >>> print(derivative(f, np.array([0.0, 1.0])).round(6))
    [1. 5.436564]
    >>> value, error = derivative(f, np.array([0.0, 1.0]), "central", return_error=True)
    >>> bool(np.all(np.abs(value - [1.0, 2 * np.e]) < error)), bool(np.all(error < 1e-8))
    (True, True)
    """
    if method not in METHODS:
        raise ArgumentError(f"derivative knows the methods {', '.join(METHODS)}; got {method!r}.")
    if step is not None and not step > 0:
        raise ArgumentError(f"derivative needs step > 0; got {step}.")
    leaves, rebuild = flatten(x)
    exact = method in ("reverse", "forward")
    parts = [1.0 * as_operand(v) if exact else _plain(v, method) for v in leaves]
    columns, of_y = _windows(parts), []

    def of_vector(v):
        out, out_rebuild = flatten(f(rebuild([_shaped(v[window], shape) for window, shape in columns])))
        out = [as_operand(y) for y in out]
        of_y[:] = _windows(out), out_rebuild
        return shapes.reshape(join(out), shape=(-1,))

    vector = shapes.reshape(join(parts), shape=(-1,))
    with np.errstate(all="ignore"):
        matrix, error = METHODS[method](of_vector, vector, step, return_error, name_of(f))
    rows, out_rebuild = of_y

    def arrange(m):
        nests = [
            rebuild([_shaped(shapes.reshape(m[row, column], shape=(-1,)), (*of_y, *of_x)) for column, of_x in columns])
            for row, of_y in rows
        ]
        return out_rebuild(nests)

    return (arrange(matrix), arrange(error)) if return_error else arrange(matrix)


def _windows(parts: list) -> list:
    """Where each array stands in the vector of all of them, and its shape."""
    bounds = np.cumsum([0, *(int(np.prod(p.shape)) for p in parts)]).tolist()
    return [(slice(lo, hi), p.shape) for lo, hi, p in zip(bounds[:-1], bounds[1:], parts, strict=True)]


def _shaped(x, shape: tuple):
    return shapes.reshape(x, shape=shape) if shape else x[0]


def _plain(x, method: str):
    try:
        return np.array(x, dtype=float)
    except ConversionError:
        raise ConversionError(
            f"derivative with method={method!r} needs plain numbers, but x is traced. Use method='reverse' or "
            "'forward'."
        ) from None


# --- the methods: matrix and error from f of a vector, the vector, step, whether an error is wanted, name ------------
def _automatic(mode: str) -> Callable:
    def method(f, x, step, want_error, name):
        if step is not None:
            raise ArgumentError(f"derivative with method={mode!r} is exact and takes no step; got {step}.")
        m = jacobian(f, mode=mode)(x)
        return m, EPS * abs(m) if want_error else None

    return method


@dataclass(frozen=True)
class Difference:
    """A difference formula with error h^p: the weighted values at the offsets, in steps, over the step.

    Attributes
    ----------
    scale : float
        The step at coordinates up to 1; beyond it grows with the coordinate.
    offsets, weights : tuple of float
    truncation : int
        2^p - 1: how often the error of D(h) is in D(h) - D(2h).
    """

    scale: float
    offsets: tuple[float, ...]
    weights: tuple[float, ...]
    truncation: int

    def __call__(self, f, x, step, want_error, name):
        """The Jacobian of `f`, and its error from a second step size."""
        columns, errors = [], []
        for i in range(x.size):
            h = step or self.scale * max(1.0, abs(x[i]))
            h = (x[i] + h) - x[i]  # a step that is exact in floating point
            column, size = self.along(f, x, i, h)
            columns.append(column)
            if want_error:
                other, _ = self.along(f, x, i, 2 * h)
                errors.append(np.abs(column - other) / self.truncation + 2 * EPS * size / h)
        return np.stack(columns, axis=1), np.stack(errors, axis=1) if want_error else None

    def along(self, f, x, i: int, h: float):
        """The difference along a coordinate, and the largest magnitude of the values."""
        total, size = 0.0, 0.0
        for offset, weight in zip(self.offsets, self.weights, strict=True):
            moved = x.copy()
            moved[i] += offset * h
            y = f(moved)
            total, size = total + weight * y, np.maximum(size, np.abs(y))
        return total / h, size


def _extrapolated(f, x, step, want_error, name):
    """Central differences extrapolated to step zero.

    Large steps can agree with each other on something wrong, of a function that oscillates between them. So a table
    with steps a hundred times smaller is made as well; where the two disagree, that one is believed.
    """
    columns = []
    rounding = EPS * np.abs(f(x)) * RATIO ** (LEVELS - 1)  # of the last level, in units of one over the first step
    for i in range(x.size):
        unit = np.arange(x.size) == i
        along = lambda h: f(x + h * unit)
        h = step or LARGEST * max(1.0, abs(x[i]))
        value, error = richardson(along, h, n_levels=LEVELS)
        error = error + rounding / h
        if step is None:
            near, near_error = richardson(along, h / NEARER, n_levels=LEVELS)
            better = (NEARER * near_error < error) | ~(np.abs(value - near) <= 10 * (error + near_error))
            value, error = np.where(better, near, value), np.where(better, near_error + NEARER * rounding / h, error)
        columns.append((value, error))
    return tuple(np.stack(part, axis=1) for part in zip(*columns, strict=True))


def _complex_step(f, x, step, want_error, name):
    """Im f(x + i h) / h. A function that is not analytic is recognised by a central difference along one direction."""
    h = step or 1e-100
    columns = [f(x + 1j * h * (np.arange(x.size) == i)).imag / h for i in range(x.size)]
    m = np.stack(columns, axis=1)
    v = np.cos(np.arange(x.size) + 1.0) * np.maximum(1.0, np.abs(x))  # any direction in which nothing cancels
    t = EPS ** (1 / 3)
    plus, minus = f(x + t * v), f(x - t * v)
    expected = (plus - minus) / (2 * t)
    rounding = EPS * np.maximum(np.abs(plus), np.abs(minus)) / t
    size = np.abs(m) @ np.abs(v) + np.abs(expected)
    wrong = ~(np.abs(m @ v - expected) <= DISAGREEMENT * size + 100 * rounding)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise GradientError(
            f"The complex step and central differences disagree on {name}: {(m @ v)[k]:.6g} against {expected[k]:.6g} "
            f"along a direction, at output {k}. The function is not analytic there, or not written for complex "
            "numbers: it takes abs, max, a real part, or compares. Use another method."
        )
    return m, EPS * np.abs(m) if want_error else None


DIFFERENCES: dict[str, Difference] = {
    "forward-difference": Difference(EPS ** (1 / 2), (1, 0), (1.0, -1.0), 1),
    "central": Difference(EPS ** (1 / 3), (1, -1), (0.5, -0.5), 3),
    "five-point": Difference(EPS ** (1 / 5), (-2, -1, 1, 2), (1 / 12, -8 / 12, 8 / 12, -1 / 12), 15),
}
METHODS: dict[str, Callable] = {
    "reverse": _automatic("reverse"),
    "forward": _automatic("forward"),
    **DIFFERENCES,
    "richardson": _extrapolated,
    "complex": _complex_step,
}
