"""Values of a model's variables at many points: native code for the path that the first of them takes.

A model with a loop takes milliseconds to run, and a result has thousands of draws. Points whose path is another one,
and values that are not finite, are left to Python; so is everything where native code cannot be made.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from probad.errors import ProbadError
from probad.native import compile, is_wanted

FEWEST = 500  # points from which compiling is worth its time
CHECKS = 10  # points at which both ways are compared
TOLERANCE = 1e-8
AT_ONCE = 64  # points whose values stay in the processor's cache until they are put where they belong
C_VALUES = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)

Values = dict[str, Any]


def values_at(values: Callable[[np.ndarray], Values], shapes: dict[str, tuple[int, ...]], points: np.ndarray) -> Values:
    """Values at all points, by name.

    Parameters
    ----------
    values : callable
        ``values(z)`` with the values at one point.
    shapes : dict
        Shapes of the variables, by name.
    points : (n, dim) array

    Returns
    -------
    dict of str to array
        Of shape (n, *shape), float64.
    """
    # memory is touched once, which takes longer than all else that happens to it
    found = {name: np.empty((len(points), *shape)) for name, shape in shapes.items()}
    rest: Sequence[int] = range(len(points))
    if len(points) >= FEWEST and is_wanted():
        rest = _natively(values, found, points)
    for name in found:
        found[name][rest] = np.nan
    for i in rest:
        for name, value in values(points[i]).items():
            found[name][i] = value
    return found


def _natively(values: Callable[[np.ndarray], Values], found: Values, points: np.ndarray) -> Sequence[int]:
    """Fill in what native code can tell; the points that are left to Python."""
    everything = range(len(points))
    first = values(points[0])
    if any(np.asarray(value).dtype != np.float64 for value in first.values()):
        return everything
    names = list(first)

    def all_values(z):
        at_z = values(z)
        return np.concatenate([np.ravel(at_z[name]) for name in names])

    try:
        entry = compile(all_values).entry(points[0])
    except (ProbadError, ArithmeticError, ValueError, ImportError):
        return everything
    call = C_VALUES(entry.address)
    points = np.ascontiguousarray(points)
    place, step = points.ctypes.data, points.strides[0]
    table = np.empty((AT_ONCE, entry.n_out))
    target, width = table.ctypes.data, table.strides[0]
    rest: list[int] = []
    checked = set(everything[:: max(1, len(points) // CHECKS)])
    for begin in everything[::AT_ONCE]:
        block = everything[begin : begin + AT_ONCE]
        left = {i for i in block if call(entry.ctx, place + i * step, 0, target + (i - begin) * width)}
        for i in checked.intersection(block) - left:
            got, expected = table[i - begin], all_values(points[i])
            if not np.allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE * np.max(np.abs(expected))):
                return everything  # the model reads what changes
        start = 0
        for name in names:
            size, part = np.size(first[name]), found[name][begin : begin + AT_ONCE]
            part[:] = table[: len(block), start : start + size].reshape(part.shape)
            start += size
        rest += sorted(left)
    return rest
