"""The curvature of a log density for the Riemannian samplers: a matrix at each point, and how it changes.

A metric is made of a matrix A(z): of minus the Hessian, or of what the user says. Kernels ask for two functions:

    field(z) -> gradient, A(z), logp        contraction(z, W) -> the gradient of the sum of W * A by z

Both come from the project's own differentiation, and are compiled with what they differentiate.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np

from probad.ad import grad, hessian, value_and_grad
from probad.density import OUTSIDE, LogDensity
from probad.errors import ArgumentError, ShapeError
from probad.mcmc.intrinsics import CONTRACTION, FIELD
from probad.numerics import as_array


class Geometry(LogDensity):
    """A log density with its curvature.

    Parameters
    ----------
    density : LogDensity
        Made of a function, which is differentiated up to three times.
    metric_fn : callable, optional
        ``metric_fn(z)`` is a positive definite matrix of shape (dim, dim); minus the Hessian if not given.

    Attributes
    ----------
    address, ctx : int
        An address for `probad.mcmc.intrinsics.evaluate_geometry` and its context: two tables of native code.
    """

    def __init__(self, density: LogDensity, metric_fn: Callable | None = None):
        super().__init__(density.dim, names=density.names)
        function = getattr(density, "function", None)
        if function is None:
            raise ArgumentError(
                f"Riemannian samplers need second and third derivatives, which a {type(density).__name__} does not "
                "give. Take a model, or pb.LogDensity.from_function."
            )
        self.base, self._metric_fn, self._shape = density, metric_fn, (self.dim, self.dim)
        self._slope, self._hessian = value_and_grad(function), hessian(function)
        self._functions = self._field, grad(self._contracted)
        self._shared: list | None = None
        self._workers: list = []
        self._tables = np.zeros(2, np.int64)
        self._failure: BaseException | None = None

    # --- the two functions --------------------------------------------------------------------------------------------
    def _matrix(self, z):
        if self._metric_fn is None:
            return -self._hessian(z)
        matrix = as_array(self._metric_fn(z))
        if matrix.shape != self._shape:
            raise ShapeError(f"metric_fn(z) must have shape {self._shape}; got {matrix.shape}.")
        return matrix

    def _field(self, z):
        logp, slope = self._slope(z)
        return slope, self._matrix(z), logp

    def _contracted(self, z, weights):
        return np.sum(weights * self._matrix(z))

    def in_python(self, which: int, flat: np.ndarray) -> np.ndarray | None:
        """One of the two functions on flat vectors; None where it is not defined or not finite."""
        z = flat[: self.dim]
        args = (z,) if which == FIELD else (z, flat[self.dim :].reshape(self._shape))
        with np.errstate(all="ignore"):
            try:
                result = self._functions[which](*args)
            except OUTSIDE:
                return None
        parts = result if which == FIELD else (result,)
        flat = np.concatenate([np.ravel(part) for part in parts])
        return flat if np.isfinite(flat).all() else None

    # --- native code --------------------------------------------------------------------------------------------------
    @property
    def address(self) -> int:
        """Address of the dispatcher of both functions."""
        return self._find_workers()[0].address

    @property
    def ctx(self) -> int:
        """Address of the addresses of the two tables."""
        self._find_workers()
        return self._tables.ctypes.data

    def _find_workers(self) -> list:
        if not self._workers:
            from probad.codegen.paths import Paths, PathWorker  # imports the compiler

            if self._shared is None:
                shapes = {FIELD: [(self.dim,)], CONTRACTION: [(self.dim,), self._shape]}
                self._shared = [Paths(self._functions[k], shapes[k], OUTSIDE) for k in (FIELD, CONTRACTION)]
            self._workers = [PathWorker(paths) for paths in self._shared]
            self._tables[:] = [worker.ctx for worker in self._workers]
        return self._workers

    def fork(self) -> Geometry:
        """An independent geometry for another thread; compiled code is shared."""
        if self._shared is not None:
            self._find_workers()
        twin = copy.copy(self)
        twin.base, twin._workers, twin._tables, twin._failure = self.base.fork(), [], np.zeros(2, np.int64), None
        return twin

    # --- a log density all the same -----------------------------------------------------------------------------------
    @property
    def failure(self) -> BaseException | None:
        """The exception behind the last fatal evaluation."""
        found = [worker.failure for worker in self._workers if worker.failure is not None]
        return found[0] if found else self._failure

    @failure.setter
    def failure(self, error: BaseException | None) -> None:
        self._failure = error
        for worker in self._workers:
            worker.failure = None

    def logp_and_grad(self, z) -> tuple[float, np.ndarray]:
        """Log density and gradient; -inf where there is no metric, so that no chain starts there."""
        logp, slope = self.base.logp_and_grad(z)
        return (logp, slope) if self._flaw(np.asarray(z, dtype=float)) is None else (-math.inf, slope)

    def explain(self, z) -> str:
        """Say what is wrong at `z`, with the log density or with the metric."""
        return self._flaw(np.asarray(z, dtype=float)) or self.base.explain(z)

    def _flaw(self, z: np.ndarray) -> str | None:
        """What is wrong with the metric at `z`."""
        result = self.in_python(FIELD, z)
        if result is None:
            return None if not math.isfinite(self.base.logp_and_grad(z)[0]) else "The metric is not finite here."
        if self._metric_fn is not None:
            matrix = result[self.dim : -1].reshape(self._shape)
            least = np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0]
            if not least > 0:
                return f"metric_fn(z) must be positive definite; its least eigenvalue is {least:.3g} here."
            if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-12 * np.abs(matrix).max()):
                return "metric_fn(z) must be a symmetric matrix."
        return None


class PythonGeometry:
    """What stands in for the address of a geometry when the kernels run in Python, on lists.

    Parameters
    ----------
    geometry : Geometry
    """

    def __init__(self, geometry: Geometry):
        self.geometry, self.dim = geometry, geometry.dim

    def __call__(self, ctx, which, rows, place, result, dim) -> int:
        """As `probad.mcmc.intrinsics.evaluate_geometry`."""
        n = dim if which == FIELD else dim + dim * dim
        flat = np.array(rows[place * dim : place * dim + n])
        try:
            found = self.geometry.in_python(which, flat) if np.isfinite(flat).all() else None
        except Exception as error:
            self.geometry.failure = error
            return 2
        if found is None:
            return 1
        rows[result * dim : result * dim + len(found)] = found.tolist()
        return 0
