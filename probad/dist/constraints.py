"""Where a value may live: constraints test membership, describe themselves in messages, and know their bijector.

Constraints serve twice: as the domain of a distribution's parameters and as its support. `contains` is written with
comparisons only, so bounds may be traced values (the support of `Uniform` moves with its parameters).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from probad.dist import bijectors
from probad.dist.bijectors import Array
from probad.errors import ModelError
from probad.numerics import as_array, is_concrete

Violation = tuple[tuple[int, ...], object]  # index and value of the first element that does not belong

SIMPLEX_TOLERANCE = 1e-6  # how far the sum of a probability vector may be from 1: float32 softmax output passes


def _bound_text(bound, name: str | None) -> str:
    """Name a bound in a message: by its number, or by the parameter it comes from."""
    if name is not None:
        return name
    return repr(bound.item()) if is_concrete(bound) and bound.ndim == 0 else "its bound"


def _first(outside, x) -> Violation | None:
    """Index and value of the first element that is marked, or None; a bound may have more axes than `x`."""
    outside, x = np.broadcast_arrays(outside, x)
    places = np.argwhere(outside)
    if len(places) == 0:
        return None
    index = tuple(int(i) for i in places[0])
    return index, x[index].item()


class Constraint:
    """A set of values.

    Attributes
    ----------
    event_ndim : int
        Number of trailing axes that make up one element: 0 for a number, 1 for a simplex, 2 for a matrix.
    describe : str
        What an element is, to follow "must be": ``"> 0"``, ``"in [0, 1]"``, ``"a simplex ..."``.
    remedy : str or None
        How to get a free real number into the set, as code: ``"np.exp(x)"``.
    discrete : bool
        True if the set has no interior, so that no bijector from the reals exists.
    """

    event_ndim: int = 0
    describe: str = ""
    remedy: str | None = None
    discrete: ClassVar[bool] = False

    def contains(self, x: Array) -> np.ndarray:
        """Tell which elements of `x` are in the set; the event axes are reduced.

        Parameters
        ----------
        x : (..., *event) array

        Returns
        -------
        (...) array of bool; False where `x` is NaN.
        """
        raise NotImplementedError

    def violation(self, x: Array) -> Violation | None:
        """Find the first element of `x` outside the set: its index and value, or None."""
        return _first(~np.asarray(self.contains(x)), x)

    def bijector(self) -> bijectors.Bijector:
        """A smooth one-to-one map from unconstrained reals onto the set.

        Raises
        ------
        ModelError
            If the set is discrete.
        """
        raise ModelError(
            f"A variable that must be {self.describe} has no map from the real line, so gradient-based inference "
            "cannot sample it. Sum it out of the density (np.logaddexp, logsumexp), or observe it with obs=."
        )

    def __repr__(self):
        return f"<constraint: {self.describe}>"


class Real(Constraint):
    """A finite number."""

    describe = "a finite number"

    def contains(self, x: Array) -> np.ndarray:
        return np.isfinite(x)

    def bijector(self) -> bijectors.Bijector:
        return bijectors.Identity()


class GreaterThan(Constraint):
    """Finite and above a bound, or at it with ``closed=True``."""

    def __init__(self, lower: Array, *, closed: bool = False, name: str | None = None) -> None:
        self.lower, self.closed = as_array(lower), closed
        self.describe = f"{'>=' if closed else '>'} {_bound_text(self.lower, name)}"

    def contains(self, x: Array) -> np.ndarray:
        return ((x >= self.lower) if self.closed else (x > self.lower)) & (x < np.inf)

    def bijector(self) -> bijectors.Bijector:
        return bijectors.Lower(self.lower)


class LessThan(Constraint):
    """Finite and below a bound, or at it with ``closed=True``."""

    def __init__(self, upper: Array, *, closed: bool = False, name: str | None = None) -> None:
        self.upper, self.closed = as_array(upper), closed
        self.describe = f"{'<=' if closed else '<'} {_bound_text(self.upper, name)}"

    def contains(self, x: Array) -> np.ndarray:
        return ((x <= self.upper) if self.closed else (x < self.upper)) & (x > -np.inf)

    def bijector(self) -> bijectors.Bijector:
        return bijectors.Upper(self.upper)


class Positive(Constraint):
    """Finite and > 0, or >= 0 with ``closed=True``."""

    remedy = "np.exp(x)"

    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed
        self.describe = ">= 0" if closed else "> 0"

    def contains(self, x: Array) -> np.ndarray:
        return ((x >= 0) if self.closed else (x > 0)) & (x < np.inf)

    def bijector(self) -> bijectors.Bijector:
        return bijectors.Exp()


class UnitInterval(Constraint):
    """Between 0 and 1; the ends belong to it with ``closed=True``."""

    remedy = "scipy.special.expit(x)"

    def __init__(self, *, closed: bool = True) -> None:
        self.closed = closed
        self.describe = "in [0, 1]" if closed else "in (0, 1), the ends excluded"

    def contains(self, x: Array) -> np.ndarray:
        return (x >= 0) & (x <= 1) if self.closed else (x > 0) & (x < 1)

    def bijector(self) -> bijectors.Bijector:
        return bijectors.Logit()


class Interval(Constraint):
    """Between two bounds, both included. The bounds may be arrays or traced values."""

    def __init__(self, lower: Array, upper: Array, *, names: tuple[str | None, str | None] = (None, None)) -> None:
        self.lower, self.upper = as_array(lower), as_array(upper)
        self._names = names

    @property
    def describe(self) -> str:
        """What an element is; composed on demand, since an interval is made on each evaluation of a density."""
        return f"in [{_bound_text(self.lower, self._names[0])}, {_bound_text(self.upper, self._names[1])}]"

    def contains(self, x: Array) -> np.ndarray:
        return (x >= self.lower) & (x <= self.upper)

    def bijector(self) -> bijectors.Bijector:
        return bijectors.Interval(self.lower, self.upper)


class Independent(Constraint):
    """A vector (or an array of `n_axes` axes) whose entries each satisfy the same constraint."""

    def __init__(self, entry: Constraint, n_axes: int = 1) -> None:
        self.entry, self.n_axes = entry, n_axes
        self.event_ndim = entry.event_ndim + n_axes
        self.remedy = entry.remedy
        self.describe = f"{'a vector' if n_axes == 1 else 'an array'} with every entry {entry.describe}"

    def contains(self, x: Array) -> np.ndarray:
        return np.all(self.entry.contains(x), axis=tuple(range(-self.n_axes, 0)))

    def violation(self, x: Array) -> Violation | None:
        return self.entry.violation(x)  # names the entry rather than the vector

    def bijector(self) -> bijectors.Bijector:
        return bijectors.Independent(self.entry.bijector(), self.n_axes)


class Simplex(Constraint):
    """A vector of nonnegative numbers that sum to 1; of positive ones with ``closed=False``."""

    event_ndim = 1
    remedy = "np.exp(x) divided by its sum"

    def __init__(self, *, closed: bool = True) -> None:
        self.closed = closed
        self.describe = f"a simplex (entries {'>=' if closed else '>'} 0 that sum to 1)"

    def _entries(self, x):
        return x >= 0 if self.closed else x > 0

    def contains(self, x: Array) -> np.ndarray:
        return np.all(self._entries(x), axis=-1) & (abs(np.sum(x, axis=-1) - 1.0) <= SIMPLEX_TOLERANCE)

    def violation(self, x: Array) -> Violation | None:
        entry = _first(~self._entries(x), x)
        if entry is not None:
            return entry
        total = np.sum(x, axis=-1)
        found = _first(~self.contains(x), total)
        return None if found is None else (found[0], f"a sum of {found[1]}")

    def bijector(self) -> bijectors.Bijector:
        return bijectors.StickBreaking()


class Ordered(Constraint):
    """A vector of finite numbers in strictly ascending order."""

    event_ndim = 1
    describe = "a vector in strictly ascending order"

    def contains(self, x: Array) -> np.ndarray:
        return np.all(self._entries(x), axis=-1)

    def violation(self, x: Array) -> Violation | None:
        return _first(~self._entries(x), x)

    @staticmethod
    def _entries(x):
        """Which entries are finite and above their predecessor."""
        above = np.concatenate([np.ones_like(x[..., :1], dtype=bool), x[..., 1:] > x[..., :-1]], axis=-1)
        return above & np.isfinite(x)

    def bijector(self) -> bijectors.Bijector:
        return bijectors.Ordered()


class LowerCholesky(Constraint):
    """A lower-triangular matrix with a positive diagonal: the Cholesky factor of a covariance matrix."""

    event_ndim = 2
    describe = "a lower-triangular matrix with a positive diagonal"
    remedy = "np.linalg.cholesky(covariance)"

    def contains(self, x: Array) -> np.ndarray:
        if x.shape[-1] != x.shape[-2]:
            return np.zeros(x.shape[:-2], dtype=bool)
        n = x.shape[-1]
        rows, columns = np.triu_indices(n, 1)
        finite = np.all(np.isfinite(x), axis=(-2, -1))
        triangular = np.all(x[..., rows, columns] == 0, axis=-1)
        return finite & triangular & np.all(x[..., np.arange(n), np.arange(n)] > 0, axis=-1)

    def violation(self, x: Array) -> Violation | None:
        if x.shape[-1] != x.shape[-2]:
            return (), f"a matrix of {x.shape[-2]} rows and {x.shape[-1]} columns"
        n = x.shape[-1]
        good = np.where(np.eye(n, dtype=bool), x > 0, np.tri(n, dtype=bool) | (x == 0)) & np.isfinite(x)
        return _first(~good, x)

    def bijector(self) -> bijectors.Bijector:
        return bijectors.LowerCholesky()


class IntegerInterval(Constraint):
    """An integer between two bounds, both included."""

    discrete = True

    def __init__(self, lower: Array, upper: Array, *, names: tuple[str | None, str | None] = (None, None)) -> None:
        self.lower, self.upper = as_array(lower), as_array(upper)
        self._names = names

    @property
    def describe(self) -> str:
        """What an element is."""
        return f"an integer in [{_bound_text(self.lower, self._names[0])}, {_bound_text(self.upper, self._names[1])}]"

    def contains(self, x: Array) -> np.ndarray:
        return (x >= self.lower) & (x <= self.upper) & (x == np.floor(x))


class NonnegativeInteger(Constraint):
    """0, 1, 2, ..."""

    discrete = True
    describe = "an integer >= 0"

    def contains(self, x: Array) -> np.ndarray:
        return (x >= 0) & (x < np.inf) & (x == np.floor(x))


class Boolean(IntegerInterval):
    """0 or 1."""

    describe = "0 or 1"

    def __init__(self) -> None:
        super().__init__(0, 1)

    def contains(self, x: Array) -> np.ndarray:
        return (x == 0) | (x == 1)


real = Real()
positive = Positive()
nonnegative = Positive(closed=True)
unit_interval = UnitInterval()
open_unit_interval = UnitInterval(closed=False)
simplex = Simplex()
open_simplex = Simplex(closed=False)
ordered = Ordered()
lower_cholesky = LowerCholesky()
real_vector = Independent(real)
positive_vector = Independent(positive)
boolean = Boolean()
nonnegative_integer = NonnegativeInteger()
greater_than = GreaterThan
less_than = LessThan
interval = Interval
integer_interval = IntegerInterval
independent = Independent
