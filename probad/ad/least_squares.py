"""least_squares: fit parameters with SciPy's solver and exact Jacobians, block of residuals by block."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probad.ad.composite import join, name_of
from probad.ad.derivative import METHODS, derivative
from probad.ad.functions import as_operand
from probad.ad.rules import shapes
from probad.errors import (
    ArgumentError,
    ConversionError,
    InPlaceError,
    ProbadWarning,
    UnsupportedFunctionError,
    did_you_mean,
)
from probad.tree import flatten


@dataclass(frozen=True)
class ResidualBlock:
    """Some of the residuals of a problem, and how to differentiate them.

    Parameters
    ----------
    residual_fn : callable
        Takes the parameters in `names`, each as an argument, and returns residuals: a number, an array or a nest.
    names : sequence of str, optional
        Which entries of the dict of parameters it depends on; its Jacobian has zeros elsewhere. By default it takes
        all parameters as one argument.
    method : str
        A method of `derivative`, or ``"auto"``: reverse or forward mode, whichever is cheaper, and central differences
        with a warning if the function cannot be traced.
    """

    residual_fn: Callable
    names: Sequence[str] | None = None
    method: str = "auto"

    def __post_init__(self):
        if self.method != "auto" and self.method not in METHODS:
            raise ArgumentError(f"ResidualBlock knows the methods auto, {', '.join(METHODS)}; got {self.method!r}.")


def least_squares(residual_fn: Callable | Sequence[ResidualBlock], x0: Any, **options: Any):
    """Minimise half the sum of squared residuals.

    Parameters
    ----------
    residual_fn : callable or sequence of ResidualBlock
        Function of the parameters that returns residuals (a number, an array or a nest), or blocks of such functions.
    x0 : number, array or nest of them
        Where to start; a dict if blocks name their parameters.
    **options
        Those of `scipy.optimize.least_squares`: method, bounds, loss, f_scale, xtol, max_nfev, ... Bounds are one pair
        for all parameters, or a pair of nests like `x0`.

    Returns
    -------
    scipy.optimize.OptimizeResult
        With SciPy's attributes, in one flat vector, and `params`, the solution in the structure of `x0`.

    Raises
    ------
    ArgumentError
        If a block names an unknown parameter, or ``jac`` is among the options.

    Warns
    -----
    ProbadWarning
        If a block cannot be traced and falls back to central differences.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.linspace(0.0, 1.0, 6)
    >>> y = 2.0 * np.exp(-1.5 * t)
    >>> fit = least_squares(lambda p: p["a"] * np.exp(-p["k"] * t) - y, {"a": 1.0, "k": 1.0})
    >>> print({name: round(float(v), 8) for name, v in fit.params.items()})
    {'a': 2.0, 'k': 1.5}
    """
    if "jac" in options:
        raise ArgumentError("least_squares computes the Jacobian itself; choose a method per ResidualBlock instead.")
    from scipy.optimize import least_squares as scipy_least_squares  # slow to import

    blocks = [ResidualBlock(residual_fn)] if callable(residual_fn) else list(residual_fn)
    problem = _Problem(blocks, x0)
    if "bounds" in options:
        options["bounds"] = problem.bounds(options["bounds"])
    result = scipy_least_squares(problem.residuals, problem.start, jac=problem.jacobian, **options)
    result.params = problem.unpack(result.x)
    return result


class _Problem:
    """Residuals and Jacobian of all blocks as functions of one vector."""

    def __init__(self, blocks: list[ResidualBlock], x0):
        self.leaves, self.rebuild = flatten(x0)
        self.leaves = [np.array(x, dtype=float) for x in self.leaves]
        self.start = join([x.reshape(-1) for x in self.leaves]).copy() if self.leaves else np.zeros(0)
        places, lo = [], 0
        for x in self.leaves:
            places.append(np.arange(lo, lo + x.size).reshape(x.shape))
            lo += x.size
        places = self.rebuild(places)
        self.blocks = []
        for block in blocks:
            for name in block.names or ():
                if not isinstance(x0, dict) or name not in x0:
                    known = x0 if isinstance(x0, dict) else ()
                    raise ArgumentError(
                        f"A ResidualBlock names {name!r}, which is not in x0.{did_you_mean(name, known)}"
                    )
            mine = [places[name] for name in block.names] if block.names else [places]
            columns = np.concatenate([np.ravel(p) for p in flatten(mine)[0]])
            self.blocks.append(_Block(block, mine, columns))

    def unpack(self, x):
        """The vector in the structure of the parameters."""
        parts, lo = [], 0
        for leaf in self.leaves:
            parts.append(x[lo : lo + leaf.size].reshape(leaf.shape)[()])
            lo += leaf.size
        return self.rebuild(parts)

    def bounds(self, bounds):
        """Lower and upper bounds as SciPy takes them."""
        if not isinstance(bounds, tuple) or len(bounds) != 2:
            return bounds
        return tuple(b if np.isscalar(b) else np.concatenate([np.ravel(v) for v in flatten(b)[0]]) for b in bounds)

    def residuals(self, x):
        """All residuals at the vector `x`."""
        return np.concatenate([block.residuals(x[block.columns]) for block in self.blocks])

    def jacobian(self, x):
        """Their derivatives: a row for each residual."""
        parts = [block.jacobian(x[block.columns]) for block in self.blocks]
        out = np.zeros((sum(len(p) for p in parts), x.size))
        row = 0
        for block, part in zip(self.blocks, parts, strict=True):
            out[row : row + len(part), block.columns] = part
            row += len(part)
        return out


class _Block:
    """A block as a function of the vector of its own parameters."""

    def __init__(self, block: ResidualBlock, places, columns: np.ndarray):
        self.fn, self.method, self.columns = block.residual_fn, block.method, columns
        leaves, self.rebuild = flatten(places)
        self.shapes = [np.shape(p) for p in leaves]

    def residuals(self, x):
        """The residuals in one vector; traced if `x` is."""
        parts, lo = [], 0
        for shape in self.shapes:
            hi = lo + int(np.prod(shape))
            parts.append(shapes.reshape(x[lo:hi], shape=shape) if shape else x[lo])
            lo = hi
        leaves = [as_operand(r) for r in flatten(self.fn(*self.rebuild(parts)))[0]]
        return shapes.reshape(join(leaves), shape=(-1,))

    def jacobian(self, x):
        """Its own columns of the Jacobian."""
        if self.method != "auto":
            return derivative(self.residuals, x, self.method)
        n_residuals = self.residuals(x).size
        try:
            return derivative(self.residuals, x, "forward" if x.size <= n_residuals else "reverse")
        except (ConversionError, UnsupportedFunctionError, InPlaceError) as error:
            warnings.warn(
                f"The residuals {name_of(self.fn)} cannot be differentiated, so central differences are used "
                f"(ResidualBlock(..., method='central') says so in advance). The reason: {error}",
                ProbadWarning,
                stacklevel=2,
            )
            self.method = "central"
            return derivative(self.residuals, x, "central")
