"""fixed_point and root: solve equations, and differentiate the solution by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from probad.ad.box import peel
from probad.ad.composite import call_as_one, guarded, join, name_of, once_per_sweep
from probad.ad.functions import as_operand
from probad.ad.jacobians import jacobian
from probad.ad.rules import shapes
from probad.ad.transforms import jvp, vjp
from probad.errors import ArgumentError, ConvergenceError, ConversionError, ShapeError
from probad.tree import flatten, map_leaves

DENSE = 100  # up to this many unknowns the linear system of a fixed point is solved by elimination


def fixed_point(f: Callable, x0: Any, *params: Any, tol: float = 1e-12, max_steps: int = 10_000) -> Any:
    """The solution of ``x = f(x, *params)`` by iteration from `x0`, differentiable in what it depends on.

    Its derivative comes from the equation, not from the steps: ``dx = (1 - f_x)^-1 f_params dparams``. Neither steps
    nor their number matter to it, and nothing of them is stored.

    Parameters
    ----------
    f : callable
        A contraction near the solution: ``f(x, *params)`` has the structure of `x`. Traced values in its closure are
        parameters too.
    x0 : number, array or nest of them
        The start; the solution does not depend on it, so its derivative is zero.
    *params
        Numbers, arrays or nests of them.
    tol : float
        Allowed difference between `x` and ``f(x)``, relative to ``max(1, |x|)``, in the maximum norm.
    max_steps : int
        Most evaluations of `f`.

    Returns
    -------
    x
        Of the structure of `x0`.

    Raises
    ------
    ConvergenceError
        If the difference is still larger after `max_steps`, or no longer finite; names it.

    Notes
    -----
    Above 100 unknowns the derivative's linear system is solved by iteration as well, with the same `tol`.

    Examples
    --------
    >>> import numpy as np
    >>> from probad.ad import grad
    >>> kepler = lambda e: fixed_point(lambda x, e: 1.0 + e * np.sin(x), 1.0, e)
    >>> x = kepler(0.5)
    >>> print(round(grad(kepler)(0.5), 9), round(np.sin(x) / (1 - 0.5 * np.cos(x)), 9))
    1.034667232 1.034667232
    """
    _check(tol, max_steps)
    name = name_of(f)

    def solve(residual_fn, x):
        return _iterate(residual_fn, x, name, tol, max_steps)

    def solve_linear(residual_fn, x, b, *, transposed):
        if x.size <= DENSE:
            return _eliminate(residual_fn, x, b, transposed=transposed)

        def step(d):  # the residual is f(x) - x, so its derivative is f_x - 1
            product = vjp(residual_fn, x)[1](d)[0] if transposed else jvp(residual_fn, (x,), (d,))[1]
            return product + d - b

        return fixed_point(step, np.zeros(x.shape), tol=tol, max_steps=max_steps)

    return _implicit(f, x0, params, solve, solve_linear, minus_x=True)


def root(f: Callable, x0: Any, *params: Any, tol: float = 1e-10, max_steps: int = 100) -> Any:
    """A solution of ``f(x, *params) = 0`` by Newton's method from `x0`, differentiable in what it depends on.

    Its derivative comes from the equation, not from the steps: ``dx = -f_x^-1 f_params dparams``.

    Parameters
    ----------
    f : callable
        ``f(x, *params)`` gives as many numbers as `x` has. Traced values in its closure are parameters too.
    x0 : number, array or nest of them
        The start; its derivative is zero.
    *params
        Numbers, arrays or nests of them.
    tol : float
        Length of the last step, relative to ``max(1, |x|)``, in the maximum norm.
    max_steps : int
        Most steps. A step that does not make the residual smaller is shortened.

    Returns
    -------
    x
        Of the structure of `x0`.

    Raises
    ------
    ConvergenceError
        If no root is reached, or the Jacobian is singular on the way; names the residual.

    Examples
    --------
    >>> from probad.ad import grad
    >>> cube_root = lambda a: root(lambda x, a: x**3 - a, 1.0, a)
    >>> print(round(cube_root(8.0), 12), round(grad(cube_root)(8.0), 12), round(grad(grad(cube_root))(8.0), 12))
    2.0 0.083333333333 -0.006944444444
    """
    _check(tol, max_steps)
    name = name_of(f)

    def solve(residual_fn, x):
        return _newton(residual_fn, x, name, tol, max_steps)

    return _implicit(f, x0, params, solve, _eliminate, minus_x=False)


def _implicit(f: Callable, x0, params, solve_fn: Callable, solve_linear_fn: Callable, *, minus_x: bool):
    """A solution as one primitive of the parameters; the unknowns stand in one vector.

    No function inside refers to `f` itself, which may lead to traced values: they get it from the call, without them.
    """
    name = name_of(f)
    start = map_leaves(lambda x: 1.0 * as_operand(peel(x)), x0)
    leaves, rebuild = flatten(start)
    bounds = np.cumsum([0, *(int(np.prod(x.shape)) for x in leaves)]).tolist()
    windows = [(lo, hi, x.shape) for lo, hi, x in zip(bounds[:-1], bounds[1:], leaves, strict=True)]

    def pack(nest):
        parts = [as_operand(x) for x in flatten(nest)[0]]
        x = shapes.reshape(join(parts), shape=(-1,))
        if x.shape != (bounds[-1],):
            raise ShapeError(f"{name} gave {x.size} numbers for {bounds[-1]} unknowns; x0 says their structure.")
        return x

    def unpack(x):
        return rebuild([_shaped(x[lo:hi], shape) for lo, hi, shape in windows])

    def residual_of(f, params):
        def residual(x):
            value = pack(f(map_leaves(guarded, unpack(x)), *params))
            return value - x if minus_x else value

        return residual

    def solution(f, params, x0):
        with np.errstate(all="ignore"):
            return unpack(solve_fn(residual_of(f, params), pack(x0)))

    def rules(call):
        def residual_at(values):
            f, params, _ = call.arguments(values)[1]
            return residual_of(f, params)

        def by_values(x, values, positions):
            def residual(*moving):
                arrays = list(values)
                for k, v in zip(positions, moving, strict=True):
                    arrays[k] = v
                return residual_at(arrays)(x)

            return residual

        def push(tangents, y, values, params):
            x = shapes.reshape(y, shape=(-1,))
            positions = [k for k, t in enumerate(tangents) if t is not None]
            primals, directions = [values[k] for k in positions], [tangents[k] for k in positions]
            b = jvp(by_values(x, values, positions), primals, directions)[1]
            return _shaped(solve_linear_fn(residual_at(values), x, -b, transposed=False), y.shape)

        def pull_all(g, y, values):
            x, g = (shapes.reshape(a, shape=(-1,)) for a in (y, g))
            multiplier = solve_linear_fn(residual_at(values), x, -g, transposed=True)
            _, pullback = vjp(by_values(x, values, call.active), *[values[k] for k in call.active])
            return dict(zip(call.active, pullback(multiplier), strict=True))

        return push, once_per_sweep(pull_all)

    return call_as_one(solution, (f, params, start), {}, rules)


def _shaped(x, shape: tuple):
    """A vector as a number or an array."""
    return shapes.reshape(x, shape=shape) if shape else x[0]


# --- solvers on plain values ----------------------------------------------------------------------------------------
def _iterate(residual_fn, x, name: str, tol: float, max_steps: int):
    for n_steps in range(1, max_steps + 1):  # noqa: B007
        r = _plain(residual_fn(x), name)
        size = np.max(np.abs(r), initial=0.0)
        if size <= tol * max(1.0, np.max(np.abs(x), initial=0.0)):
            return x + r
        if not np.isfinite(size):
            break
        x = x + r
    raise ConvergenceError(
        f"fixed_point({name}) did not converge in {n_steps} steps: |f(x) - x| = {size:.3g} is left (tol={tol:g}). "
        "Start closer, allow more steps, or mix the map: 0.5 * (x + f(x))."
    )


def _newton(residual_fn, x, name: str, tol: float, max_steps: int):
    r = _plain(residual_fn(x), name)
    for _ in range(max_steps):
        if not r.any():
            return x
        try:
            step = np.linalg.solve(jacobian(residual_fn)(x), -r)
        except np.linalg.LinAlgError:
            raise ConvergenceError(_lost(name, r, "the Jacobian is singular")) from None
        if np.max(np.abs(step)) <= tol * max(1.0, np.max(np.abs(x))):
            return x + step
        for k in range(40):
            trial = x + step / 2**k
            new = _plain(residual_fn(trial), name)
            if np.linalg.norm(new) < np.linalg.norm(r):
                break
        else:
            raise ConvergenceError(_lost(name, r, "no step makes it smaller"))
        x, r = trial, new
    raise ConvergenceError(_lost(name, r, f"it is not zero after {max_steps} steps"))


def _lost(name: str, r, why: str) -> str:
    return (
        f"root({name}) did not converge: the residual is |f(x)| = {np.max(np.abs(r)):.3g}, and {why}. Start closer to "
        "a root, or check that there is one."
    )


def _plain(r, name: str):
    """A residual on plain values; a traced one has come in unseen."""
    if not isinstance(r, np.ndarray):
        raise ConversionError(
            f"{name} uses a traced value from a global or from inside an object. Pass it as a parameter."
        )
    return r


def _eliminate(residual_fn, x, b, *, transposed: bool):
    a = jacobian(residual_fn)(x)
    return np.linalg.solve(a.T if transposed else a, b)


def _check(tol: float, max_steps: int) -> None:
    if not tol > 0 or max_steps < 1:
        raise ArgumentError(f"A solver needs tol > 0 and max_steps >= 1; got {tol} and {max_steps}.")
