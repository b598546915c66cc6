"""Smooth one-to-one maps between unconstrained reals and constrained values, with their log-determinants.

Convention: ``x = forward(z)``, `z` unconstrained, `x` constrained. The log-determinant is ``log |det dx/dz|``, so the
density of `z` is ``logp(x) + log_det(z, x)``. Both `z` and `x` are passed to `log_det`, because for some maps the one
and for some the other gives it in a single operation.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from probad.errors import ShapeError
from probad.numerics import as_array, is_concrete
from probad.scipy_special import special

BIJECTORS: dict[str, type[Bijector]] = {}

Array = Any  # numbers, an array or a traced value
Shape = tuple[int, ...]


class Bijector:
    """A map from unconstrained reals onto a constrained set.

    Subclasses are listed in `BIJECTORS` and enrol in the contract tests with their `examples`: pairs of constructor
    arguments and the shape of one constrained value.
    """

    event_ndim: int = 0
    unconstrained_event_ndim: int = 0
    examples: ClassVar[list[tuple[dict, Shape]]] = []

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if not cls.__name__.startswith("_"):
            BIJECTORS.setdefault(cls.__name__, cls)

    def forward(self, z: Array) -> Array:
        """Map unconstrained `z` to the constrained value `x`."""
        raise NotImplementedError

    def inverse(self, x: Array) -> Array:
        """Map a constrained `x` back to the unconstrained `z`."""
        raise NotImplementedError

    def log_det(self, z: Array, x: Array) -> Array:
        """Give log |det dx/dz|, one number per batch element (the event axes are summed)."""
        raise NotImplementedError

    def unconstrained_shape(self, constrained_shape: Shape) -> Shape:
        """Shape of `z` for an `x` of the given shape (batch and event axes)."""
        return tuple(constrained_shape)

    def constrained_shape(self, unconstrained_shape: Shape) -> Shape:
        """Shape of `x` for a `z` of the given shape (batch and event axes)."""
        return tuple(unconstrained_shape)

    def __repr__(self):
        return f"{type(self).__name__}()"


class Identity(Bijector):
    """x = z."""

    examples: ClassVar = [({}, ()), ({}, (3,))]

    def forward(self, z: Array) -> Array:
        return z

    def inverse(self, x: Array) -> Array:
        return x

    def log_det(self, z: Array, x: Array) -> Array:
        return np.zeros(z.shape)


class Exp(Bijector):
    """x = exp(z), onto the positive numbers."""

    examples: ClassVar = [({}, ()), ({}, (3,))]

    def forward(self, z: Array) -> Array:
        return np.exp(z)

    def inverse(self, x: Array) -> Array:
        return np.log(x)

    def log_det(self, z: Array, x: Array) -> Array:
        return z


class Lower(Bijector):
    """x = lower + exp(z), onto the numbers above a bound."""

    examples: ClassVar = [({"lower": -1.5}, ()), ({"lower": [0.0, 2.0, -30.0]}, (3,))]

    def __init__(self, lower: Array) -> None:
        self.lower = as_array(lower)

    def forward(self, z: Array) -> Array:
        return self.lower + np.exp(z)

    def inverse(self, x: Array) -> Array:
        return np.log(x - self.lower)

    def log_det(self, z: Array, x: Array) -> Array:
        return z


class Upper(Bijector):
    """x = upper - exp(z), onto the numbers below a bound; falls as `z` grows."""

    examples: ClassVar = [({"upper": 2.5}, ()), ({"upper": [0.0, 2.0, -30.0]}, (3,))]

    def __init__(self, upper: Array) -> None:
        self.upper = as_array(upper)

    def forward(self, z: Array) -> Array:
        return self.upper - np.exp(z)

    def inverse(self, x: Array) -> Array:
        return np.log(self.upper - x)

    def log_det(self, z: Array, x: Array) -> Array:
        return z


def _log_logistic_slope(z):
    """Log of the derivative of expit: log(expit(z) expit(-z)) = -2 log(2 cosh(z/2)), finite for every finite `z`."""
    half = 0.5 * z
    return -2.0 * np.logaddexp(half, -half)


class Logit(Bijector):
    """x = 1 / (1 + exp(-z)), onto the unit interval."""

    examples: ClassVar = [({}, ()), ({}, (3,))]

    def forward(self, z: Array) -> Array:
        return special.expit(z)

    def inverse(self, x: Array) -> Array:
        return special.logit(x)

    def log_det(self, z: Array, x: Array) -> Array:
        return _log_logistic_slope(z)


class Interval(Bijector):
    """x = lower + (upper - lower) / (1 + exp(-z)), onto an interval whose bounds may be traced values."""

    examples: ClassVar = [
        ({"lower": -1.0, "upper": 3.0}, ()),
        ({"lower": 0.1, "upper": 0.7}, (2,)),
        ({"lower": [0.0, -5.0, 1.0], "upper": [1e-3, 5.0, 1e3]}, (3,)),
    ]

    def __init__(self, lower: Array, upper: Array) -> None:
        self.lower, self.upper = as_array(lower), as_array(upper)
        width = self.upper - self.lower
        if is_concrete(width):
            # lower + width can round to one unit above upper, which would leave the support for large z
            beyond = self.lower + width > self.upper
            if beyond.any():
                width = np.where(beyond, np.nextafter(width, 0.0), width)
        self.width = width

    def forward(self, z: Array) -> Array:
        return self.lower + self.width * special.expit(z)

    def inverse(self, x: Array) -> Array:
        return np.log(x - self.lower) - np.log(self.upper - x)

    def log_det(self, z: Array, x: Array) -> Array:
        return _log_logistic_slope(z) + np.log(self.width)


class StickBreaking(Bijector):
    """K - 1 reals onto the simplex in K dimensions: each takes a share of what its predecessors left.

    With u_k = z_k - log(K - k), the share is expit(u_k), so z = 0 is the centre of the simplex, and
    log x_k = u_k - sum_{j <= k} softplus(u_j). The log-determinant collapses to the sum of log x over all K entries.

    Source: Stan Reference Manual, "Unit simplex"; the closed form by collecting the terms of its log-determinant.
    """

    event_ndim = 1
    unconstrained_event_ndim = 1
    examples: ClassVar = [({}, (2,)), ({}, (5,)), ({}, (3, 4)), ({}, (1,))]

    def forward(self, z: Array) -> Array:
        u = z - np.log(np.arange(z.shape[-1], 0, -1))
        spent = np.logaddexp(0.0, u)
        return np.exp(np.concatenate([u - np.cumsum(spent, axis=-1), -np.sum(spent, axis=-1, keepdims=True)], axis=-1))

    def inverse(self, x: Array) -> Array:
        left = np.cumsum(x[..., :0:-1], axis=-1)[..., ::-1]  # what is left after entry k, summed from the small end
        return np.log(x[..., :-1]) - np.log(left) + np.log(np.arange(x.shape[-1] - 1, 0, -1))

    def log_det(self, z: Array, x: Array) -> Array:
        return np.sum(np.log(x), axis=-1)

    def unconstrained_shape(self, constrained_shape: Shape) -> Shape:
        if not constrained_shape or constrained_shape[-1] < 1:
            raise ShapeError(f"A simplex needs a last axis of at least 1 entry; got shape {tuple(constrained_shape)}.")
        return (*constrained_shape[:-1], constrained_shape[-1] - 1)

    def constrained_shape(self, unconstrained_shape: Shape) -> Shape:
        return (*unconstrained_shape[:-1], unconstrained_shape[-1] + 1)


class Ordered(Bijector):
    """x_0 = z_0, x_k = x_{k-1} + exp(z_k): onto vectors in ascending order."""

    event_ndim = 1
    unconstrained_event_ndim = 1
    examples: ClassVar = [({}, (1,)), ({}, (4,)), ({}, (2, 3))]

    def forward(self, z: Array) -> Array:
        return np.cumsum(np.concatenate([z[..., :1], np.exp(z[..., 1:])], axis=-1), axis=-1)

    def inverse(self, x: Array) -> Array:
        return np.concatenate([x[..., :1], np.log(x[..., 1:] - x[..., :-1])], axis=-1)

    def log_det(self, z: Array, x: Array) -> Array:
        return np.sum(z[..., 1:], axis=-1)


class LowerCholesky(Bijector):
    """n (n + 1) / 2 reals, row by row, onto lower-triangular matrices; the diagonal passes through exp."""

    event_ndim = 2
    unconstrained_event_ndim = 1
    examples: ClassVar = [({}, (1, 1)), ({}, (3, 3)), ({}, (2, 4, 4))]

    def forward(self, z: Array) -> Array:
        n = _matrix_order(z.shape)
        rows, columns = np.tril_indices(n)
        # entries are gathered from (z, its diagonal through exp, 0): no scatter, and no exp of what is not on it
        place = np.full((n, n), len(rows) + n)
        place[rows, columns] = np.arange(len(rows))
        np.fill_diagonal(place, len(rows) + np.arange(n))
        zero = np.zeros((*z.shape[:-1], 1))
        return np.concatenate([z, np.exp(z[..., _diagonal_places(n)]), zero], axis=-1)[..., place]

    def inverse(self, x: Array) -> Array:
        n = x.shape[-1]
        rows, columns = np.tril_indices(n)
        log_diagonal = np.log(x[..., np.arange(n), np.arange(n)])
        place = np.where(rows == columns, len(rows) + rows, np.arange(len(rows)))
        return np.concatenate([x[..., rows, columns], log_diagonal], axis=-1)[..., place]

    def log_det(self, z: Array, x: Array) -> Array:
        return np.sum(z[..., _diagonal_places(_matrix_order(z.shape))], axis=-1)

    def unconstrained_shape(self, constrained_shape: Shape) -> Shape:
        if len(constrained_shape) < 2 or constrained_shape[-1] != constrained_shape[-2]:
            raise ShapeError(f"A Cholesky factor must be a square matrix; got shape {tuple(constrained_shape)}.")
        n = constrained_shape[-1]
        return (*constrained_shape[:-2], n * (n + 1) // 2)

    def constrained_shape(self, unconstrained_shape: Shape) -> Shape:
        n = _matrix_order(unconstrained_shape)
        return (*unconstrained_shape[:-1], n, n)


def _matrix_order(shape: Shape) -> int:
    """The n for which the last axis has n (n + 1) / 2 entries."""
    n = int(np.sqrt(2 * shape[-1]))
    if n * (n + 1) // 2 != shape[-1]:
        raise ShapeError(f"A lower-triangular matrix has 1, 3, 6, 10, ... free entries; got shape {tuple(shape)}.")
    return n


def _diagonal_places(n: int) -> np.ndarray:
    """Where the diagonal sits among the lower-triangular entries, counted row by row."""
    return np.cumsum(np.arange(1, n + 1)) - 1


class Independent(Bijector):
    """The same map on every entry along the last `n_axes` axes, seen as one event: log-determinants add up."""

    examples: ClassVar = [
        ({"entry": Exp()}, (3,)),
        ({"entry": Identity(), "n_axes": 2}, (2, 3)),
        ({"entry": StickBreaking()}, (2, 3)),
    ]

    def __init__(self, entry: Bijector, n_axes: int = 1) -> None:
        self.entry, self.n_axes = entry, n_axes
        self.event_ndim = entry.event_ndim + n_axes
        self.unconstrained_event_ndim = entry.unconstrained_event_ndim + n_axes

    def forward(self, z: Array) -> Array:
        return self.entry.forward(z)

    def inverse(self, x: Array) -> Array:
        return self.entry.inverse(x)

    def log_det(self, z: Array, x: Array) -> Array:
        return np.sum(self.entry.log_det(z, x), axis=tuple(range(-self.n_axes, 0)))

    def unconstrained_shape(self, constrained_shape: Shape) -> Shape:
        return self.entry.unconstrained_shape(constrained_shape)

    def constrained_shape(self, unconstrained_shape: Shape) -> Shape:
        return self.entry.constrained_shape(unconstrained_shape)

    def __repr__(self):
        return f"Independent({self.entry!r}, {self.n_axes})"
