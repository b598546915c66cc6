"""Sparse Jacobians and Hessians from few products, and plans that keep what does not change from point to point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from probad.ad.box import is_foreign, is_traced
from probad.ad.jacobians import MODES, Tape, in_batches
from probad.ad.sparse.colouring import colour_columns, star_colouring
from probad.ad.sparse.patterns import dependencies
from probad.ad.transforms import grad
from probad.errors import ArgumentError, ConversionError, GradientError, ShapeError


@dataclass(frozen=True, eq=False)
class SparsePlan:
    """How to get a sparse matrix of derivatives of one function: its pattern, its colours, its products.

    Call it with a point; the pattern is not looked for again.

    Attributes
    ----------
    kind : str
        "forward" or "reverse" for a Jacobian, "hessian" for a Hessian.
    pattern : (m, n) scipy.sparse.csr_array of bool
        The entries that may differ from zero.
    colours : ndarray of int
        The colour of each column, or of each row in reverse mode.
    """

    f: Callable = field(repr=False)
    kind: str
    pattern: Any = field(repr=False)
    colours: np.ndarray = field(repr=False)

    @property
    def n_products(self) -> int:
        """The number of products with the matrix that one evaluation takes."""
        return int(self.colours.max(initial=-1)) + 1

    def __call__(self, x, *, check: bool = False):
        """The matrix at `x`.

        Parameters
        ----------
        x : array
            A point of the shape of the first one.
        check : bool
            Whether to spend one product more to see that the pattern still holds here.

        Returns
        -------
        (m, n) scipy.sparse.csr_array

        Raises
        ------
        GradientError
            If the check finds entries outside the pattern: the function took another path here.
        """
        return self.evaluate(record(self.f, x, self.kind), check=check)

    def evaluate(self, tape: Tape, *, check: bool = False):
        """The matrix at the point of a tape."""
        from scipy.sparse import csr_array

        (x,), (y,) = tape.inputs, tape.outputs
        if self.pattern.shape != (y.size, x.size):
            raise ShapeError(f"The plan is for a matrix of shape {self.pattern.shape}; got {(y.size, x.size)}.")
        product_fn, shape = (tape.pull, y.shape) if self.kind == "reverse" else (tape.push, x.shape)
        (products,) = in_batches(product_fn, self._directions, [shape], self.n_products, tape.batch_width())
        products = np.reshape(products, (self.n_products, -1))
        rows = np.repeat(np.arange(self.pattern.shape[0]), np.diff(self.pattern.indptr))
        columns = self.pattern.indices
        if self.kind == "reverse":
            entries = products[self.colours[rows], columns]
        elif self.kind == "forward":
            entries = products[self.colours[columns], rows]
        else:
            entries = self._read_hessian(products, rows, columns)
        matrix = csr_array((entries, columns.copy(), self.pattern.indptr.copy()), shape=self.pattern.shape)
        if check:
            _check(matrix, tape)
        return matrix

    def _directions(self, low: int, high: int, n: int) -> np.ndarray:
        """For each colour, 1 for what has it."""
        return (np.arange(low, high)[:, None] == self.colours).astype(float)

    def _read_hessian(self, products, rows, columns):
        """H_ij from the product with j's colour if no other neighbour of i has that colour, else H_ji from i's."""
        n, p = len(self.colours), self.n_products
        key = rows * p + self.colours[columns]
        alone = np.bincount(key, minlength=n * p)[key] == 1
        return np.where(alone, products[self.colours[columns], rows], products[self.colours[rows], columns])


def sparse_jacobian_plan(f: Callable, x, *, pattern=None, mode: str = "auto") -> SparsePlan:
    """Find and colour the pattern of the Jacobian of `f`; see `sparse_jacobian`. The plan is called with points."""
    return _jacobian_plan(f, x, pattern, mode)[0]


def sparse_jacobian(f: Callable, x, *, pattern=None, mode: str = "auto"):
    """The Jacobian of `f` at `x` as a sparse matrix, from as few products as its colouring allows.

    Parameters
    ----------
    f : callable
        From one array to one array.
    x : array
        The point.
    pattern : (m, n) array or sparse matrix, optional
        True (or anything but 0) where an entry may differ from zero. Otherwise it is found by following each input
        through the function: safe for all values of the input on the path that the function takes at `x`.
    mode : {"auto", "forward", "reverse"}
        Whether columns or rows are coloured; "auto" takes the smaller number of products.

    Returns
    -------
    (m, n) scipy.sparse.csr_array
        `x` and ``f(x)`` count as flat arrays.

    Examples
    --------
    >>> import numpy as np
    >>> sparse_jacobian(lambda x: x[1:] - x[:-1] ** 2, np.arange(1.0, 4.0)).toarray()
    array([[-2.,  1.,  0.],
           [ 0., -4.,  1.]])
    """
    plan, tape = _jacobian_plan(f, x, pattern, mode)
    return plan.evaluate(tape)


def sparse_hessian_plan(f: Callable, x, *, pattern=None) -> SparsePlan:
    """Find and colour the pattern of the Hessian of `f`; see `sparse_hessian`. The plan is called with points.

    Examples
    --------
    >>> import numpy as np
    >>> plan = sparse_hessian_plan(lambda x: np.sum((x[1:] - x[:-1]) ** 4), np.zeros(10_000))
    >>> plan.n_products
    3
    >>> plan(np.arange(10_000.0))[5, 6]
    np.float64(-12.0)
    """
    return _hessian_plan(f, x, pattern)[0]


def sparse_hessian(f: Callable, x, *, pattern=None):
    """The Hessian of the scalar function `f` at `x` as a sparse matrix, from few Hessian-vector products.

    Parameters
    ----------
    f : callable
        From one array to a number.
    x : array
        The point.
    pattern : (n, n) array or sparse matrix, optional
        Symmetric; True where an entry may differ from zero. Otherwise it is found, as in `sparse_jacobian`, by
        following each input through the gradient.

    Returns
    -------
    (n, n) scipy.sparse.csr_array
        `x` counts as a flat array.

    Examples
    --------
    >>> import numpy as np
    >>> sparse_hessian(lambda x: np.sum(x[1:] * x[:-1] ** 2), np.ones(3)).toarray()
    array([[2., 2., 0.],
           [2., 2., 2.],
           [0., 2., 0.]])
    """
    plan, tape = _hessian_plan(f, x, pattern)
    return plan.evaluate(tape)


# --- making plans ---------------------------------------------------------------------------------------------------
def record(f: Callable, x, kind: str) -> Tape:
    """One run of `f`, or of its gradient if its Hessian is wanted."""
    if is_traced(x):
        raise ConversionError(
            "A sparse matrix of derivatives has plain numbers alone: it cannot be differentiated or batched further. "
            "Use jacobian, hessian or hvp inside another transform."
        )
    if is_foreign(x):
        raise ConversionError("scipy.sparse is on the host: copy the point there first, for example with cupy.asnumpy.")
    tape = Tape(grad(f) if kind == "hessian" else f, [x])
    if len(tape.inputs) != 1 or len(tape.outputs) != 1:
        raise ShapeError("A sparse matrix of derivatives needs a function of one array to one array, not of nests.")
    return tape


def _jacobian_plan(f, x, pattern, mode):
    if mode not in MODES:
        raise ArgumentError(f"sparse_jacobian knows mode={', '.join(map(repr, MODES))}; got {mode!r}.")
    tape = record(f, x, "jacobian")
    pattern = _pattern(tape, pattern)
    plans = []
    if mode != "reverse":
        plans.append(SparsePlan(f, "forward", pattern, colour_columns(pattern)))
    if mode != "forward":
        plans.append(SparsePlan(f, "reverse", pattern, colour_columns(pattern.T.tocsr())))
    return min(plans, key=lambda plan: plan.n_products), tape


def _hessian_plan(f, x, pattern):
    tape = record(f, x, "hessian")
    pattern = _pattern(tape, pattern)
    pattern = (pattern + pattern.T).tocsr()  # the way through the gradient may be safer on one side than on the other
    pattern.sort_indices()
    return SparsePlan(f, "hessian", pattern, star_colouring(pattern)), tape


def _pattern(tape: Tape, given):
    """The pattern as a sparse array of bool, with sorted indices."""
    from scipy.sparse import csr_array

    shape = (tape.outputs[0].size, tape.inputs[0].size)
    if given is None:
        starts, columns = dependencies(tape)
        return csr_array((np.ones(len(columns), dtype=bool), columns, starts), shape=shape)
    pattern = csr_array(given).astype(bool)
    if pattern.shape != shape:
        raise ShapeError(f"pattern= has shape {pattern.shape}; the matrix of derivatives has {shape}.")
    pattern.eliminate_zeros()
    pattern.sum_duplicates()
    return pattern


def _check(matrix, tape: Tape) -> None:
    """Compare one product along a fixed irregular direction with the recovered matrix."""
    (x,) = tape.inputs
    v = np.random.default_rng(0).normal(size=x.size)
    exact, found = np.ravel(tape.push([v.reshape(x.shape)])[0]), matrix @ v
    off = np.abs(found - exact) > 1e-8 * (1 + np.abs(matrix) @ np.abs(v))
    if off.any():
        i = int(np.argmax(off))
        raise GradientError(
            f"The pattern misses derivatives in {np.count_nonzero(off)} rows, the first of them {i}: a product gives "
            f"{exact[i]!r}, the sparse matrix {found[i]!r}. The function takes another path here than where the plan "
            "was made: make a new plan, or pass pattern=."
        )
