"""Check that a log density keeps the contract of `LogDensity`, whoever wrote it and whatever is behind it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from probad.ad.checks import richardson
from probad.density import FATAL, NOT_FINITE, OK, LogDensity
from probad.errors import ArgumentError, DensityError, ProbadError

N_COORDINATES = 16  # coordinates checked one by one at each point; all others are checked together along a direction
N_THREADS = 4


@dataclass(frozen=True)
class StressReport:
    """What `stress` looked at, and what it measured.

    Attributes
    ----------
    n_points, n_finite : int
        Points asked, and those with a finite log density.
    gradient_error : float
        Largest difference between the gradient and differences of the log density, relative to the largest entry.
    logp_us, gradient_us : float, microseconds
        Median time of one `logp` and one `logp_and_grad`.
    """

    dim: int
    n_points: int
    n_finite: int
    gradient_error: float
    logp_us: float
    gradient_us: float

    def __repr__(self) -> str:
        return (
            f"log density of {self.dim} coordinates: the contract holds\n"
            f"  points           {self.n_points}, {self.n_finite} of them with a finite log density\n"
            f"  gradient         within {self.gradient_error:.1e} of differences\n"
            f"  time             logp {self.logp_us:.1f} us, logp_and_grad {self.gradient_us:.1f} us"
        )


def stress(
    density: LogDensity, *, n_points: int = 20, seed: int = 0, points=None, scale: float = 1.0, rtol: float = 1e-6
) -> StressReport:
    """Check a log density: shapes, purity, agreement of its methods, gradient, behaviour outside the support, threads.

    Parameters
    ----------
    density : LogDensity
    n_points : int, >= 1
        Number of points, uniform between -2 and 2 times `scale` in every coordinate.
    seed : int
        Seed of the points.
    points : (n_points, dim) array_like, optional
        Points to use instead.
    scale : float
        See `n_points`.
    rtol : float
        Allowed error of the gradient, relative to its largest entry; the error of the differences is added.

    Returns
    -------
    StressReport

    Raises
    ------
    DensityError
        At the first promise that is broken; names it, and the coordinate where there is one.

    Examples
    --------
    >>> density = LogDensity.from_function(lambda z: -0.5 * np.sum(z**2), 3)
    >>> stress(density, n_points=2).n_finite
    2
    """
    dim = _check_frame(density)
    rng = np.random.default_rng(seed)
    if points is None:
        if n_points < 1:
            raise ArgumentError(f"stress needs n_points >= 1; got {n_points}.")
        points = scale * rng.uniform(-2.0, 2.0, size=(n_points, dim))
    points = np.array(points, dtype=float, ndmin=2)
    if points.shape[1] != dim:
        raise ArgumentError(f"points must have shape (n_points, {dim}); got {points.shape}.")
    answers = [_ask(density, z) for z in points]
    _check_purity(density, points, answers)
    _check_evaluate(density, points, answers)
    finite = [np.isfinite(logp) and bool(np.isfinite(grad).all()) for logp, grad in answers]
    if not any(finite):
        raise DensityError(
            f"Log density and gradient are finite at none of {len(points)} points. {_reason(density, points[0])} "
            "If the support is narrow, pass points= inside it, or a smaller scale=."
        )
    inside = [(z, *answer) for z, answer, ok in zip(points, answers, finite, strict=True) if ok]
    errors = [_check_gradient(density, z, grad, rng, rtol) for z, _, grad in inside]
    for z, logp, _ in inside:
        _check_names(density, z, logp)
    _check_outside(density, points[0])
    _check_threads(density, points, answers)
    z = inside[0][0]
    return StressReport(
        dim, len(points), len(inside), max(errors), _time(density.logp, z), _time(density.logp_and_grad, z)
    )


def _check_frame(density) -> int:
    """The attributes that do not need an evaluation."""
    dim = getattr(density, "dim", None)
    if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
        raise DensityError(f"dim must be an int of at least 1; got {dim!r}.")
    names = list(density.names)
    if len(names) != dim or len(set(names)) != dim:
        raise DensityError(f"names must hold {dim} different names; got {len(names)}, {len(set(names))} different.")
    for name in ("address", "ctx"):
        if not isinstance(getattr(density, name), int):
            raise DensityError(f"{name} must be an int; got {getattr(density, name)!r}.")
    return dim


def _ask(density, z) -> tuple[float, np.ndarray]:
    """Value and gradient at one point, their types and shapes, and that the point is left alone."""
    given = z.copy()
    logp, grad = density.logp_and_grad(given)
    if not np.array_equal(given, z):
        i = int(np.flatnonzero(given != z)[0])
        raise DensityError(
            f"logp_and_grad changed its argument: coordinate '{density.names[i]}' went from {z[i]} to {given[i]}. "
            "Work on a copy."
        )
    if not isinstance(logp, float):
        raise DensityError(f"logp_and_grad must give the log density as a float; got {type(logp).__name__}.")
    if not isinstance(grad, np.ndarray) or grad.shape != z.shape or grad.dtype != np.float64:
        what = f"{grad.dtype} of shape {grad.shape}" if isinstance(grad, np.ndarray) else type(grad).__name__
        raise DensityError(f"The gradient must be a float64 array of shape {z.shape}; got {what}.")
    alone = density.logp(given)
    if not np.array_equal(given, z):
        raise DensityError("logp changed its argument. Work on a copy.")
    if not isinstance(alone, float):
        raise DensityError(f"logp must return a float; got {type(alone).__name__}.")
    if not _close(alone, logp):
        raise DensityError(f"logp gives {alone!r} where logp_and_grad gives {logp!r}, at z = {_short(z)}.")
    return logp, grad.copy()


def _check_purity(density, points, answers) -> None:
    """The same point gives the same answer to the last bit, in any order, and arrays are not shared between calls."""
    for z, (logp, grad) in reversed(list(zip(points, answers, strict=True))):
        logp_again, grad_again = density.logp_and_grad(z.copy())
        if not (_same(logp_again, logp) and _same(grad_again, grad)):
            raise DensityError(
                f"Two calls at the same point differ: {logp!r} and {logp_again!r} at z = {_short(z)}, gradients by up "
                f"to {np.max(np.abs(grad_again - grad)):.1e}. The density draws random numbers or keeps hidden state "
                "(a global, a counter, an array written in place)."
            )
        _, grad_more = density.logp_and_grad(z + 0.125)
        if not _same(grad_again, grad) or np.shares_memory(grad_again, grad_more):
            raise DensityError("A gradient is overwritten by the next call. Return a new array each time.")
        grad_again[:] = np.nan
        _, grad_last = density.logp_and_grad(z.copy())
        if not _same(grad_last, grad):
            raise DensityError("Writing to a gradient changes the next answer. Return a new array each time.")


def _check_evaluate(density, points, answers) -> None:
    """The form with output arrays gives what the form with return values gives."""
    for z, (logp, grad) in zip(points, answers, strict=True):
        status, logp_out, grad_out = _evaluate(density, z)
        expected = OK if np.isfinite(logp) and np.isfinite(grad).all() else NOT_FINITE
        if status == FATAL:
            raise DensityError(f"evaluate failed at z = {_short(z)}: {density.failure!r}.") from density.failure
        if status != expected:
            raise DensityError(f"evaluate returned {status} instead of {expected} at z = {_short(z)}: logp is {logp}.")
        if status == OK and not (_close(logp_out, logp) and np.allclose(grad_out, grad, rtol=1e-10, atol=1e-12)):
            raise DensityError(f"evaluate and logp_and_grad disagree at z = {_short(z)}: {logp_out!r} and {logp!r}.")


def _check_gradient(density, z, grad, rng, rtol) -> float:
    """Compare the gradient with differences, coordinate by coordinate and along one random direction."""
    dim = len(z)
    chosen = np.arange(dim) if dim <= N_COORDINATES else np.sort(rng.choice(dim, N_COORDINATES, replace=False))
    directions = [(density.names[i], np.eye(1, dim, i)[0]) for i in chosen]
    if dim > N_COORDINATES:
        directions.append(("a random direction", rng.normal(size=dim) / np.sqrt(dim)))
    size = max(1.0, float(np.max(np.abs(grad))))
    worst = 0.0
    for name, direction in directions:
        found = float(grad @ direction)
        for step in (0.1, 1e-3):  # the shorter one in case the first crossed a kink or the edge of the support
            expected, error = _difference(density, z, direction, step)
            difference = abs(found - expected)
            if np.isfinite(error) and difference <= rtol * size + 10 * error:
                break
        else:
            if not np.isfinite(error):  # the support ends here: differences say nothing
                continue
            raise DensityError(
                f"The derivative by '{name}' is {found!r}, but differences of logp give {expected!r} +- {error:.1e}, "
                f"at z = {_short(z)}."
            )
        worst = max(worst, difference / size)
    return worst


def _difference(density, z, direction, step) -> tuple[float, float]:
    with np.errstate(all="ignore"):  # steps may leave the support
        expected, error = richardson(lambda t: density.logp(z + t * direction), step)
    return float(expected), float(error) if np.isfinite(expected) else np.inf


def _check_names(density, z, logp) -> None:
    """`constrain` gives what `variables` announce, and `unconstrain` leads back to the same density."""
    values = density.constrain(z.copy())
    for variable in density.variables:
        if variable.name not in values:
            raise DensityError(f"constrain(z) leaves out the variable '{variable.name}'.")
        shape = np.shape(values[variable.name])
        if shape != tuple(variable.shape):
            raise DensityError(f"constrain(z)['{variable.name}'] has shape {shape}; announced was {variable.shape}.")
    back = np.asarray(density.unconstrain(values))
    if back.shape != z.shape:
        raise DensityError(f"unconstrain(constrain(z)) must have shape {z.shape}; got {back.shape}.")
    if not np.allclose(back, z, rtol=1e-6, atol=1e-6):
        i = int(np.argmax(np.abs(back - z)))
        raise DensityError(
            f"unconstrain(constrain(z)) differs from z at '{density.names[i]}': {back[i]!r} instead of {z[i]!r}."
        )


def _check_outside(density, z) -> None:
    """Positions without meaning are refused, not answered and not fatal: a diverging trajectory visits them."""
    for bad in (np.nan, np.inf, -np.inf):
        position = z.copy()
        position[0] = bad
        status, _, _ = _evaluate(density, position)
        if status != NOT_FINITE:
            raise DensityError(
                f"evaluate must return {NOT_FINITE} where a coordinate is {bad}; it returned {status}"
                + (f" after {density.failure!r}." if status == FATAL else ".")
            )


def _check_threads(density, points, answers) -> None:
    """Forks answer in parallel as the original did alone."""
    forks = [density.fork() for _ in range(N_THREADS)]

    def work(fork):
        return [fork.logp_and_grad(z.copy()) for _ in range(3) for z in points]

    with ThreadPoolExecutor(N_THREADS) as pool:
        results = list(pool.map(work, forks))
    for result in results:
        for (logp, grad), (expected, expected_grad), z in zip(result, answers * 3, [*points] * 3, strict=True):
            if not (_same(logp, expected) and _same(grad, expected_grad)):
                raise DensityError(
                    f"Forks in {N_THREADS} threads disturb each other: {logp!r} instead of {expected!r} at "
                    f"z = {_short(z)}. Keep scratch memory per fork."
                )


def _evaluate(density, z) -> tuple[int, float, np.ndarray]:
    logp_out, grad_out = np.full(1, np.nan), np.full(len(z), np.nan)
    position = z.copy()
    try:
        status = density.evaluate(density.ctx, position, logp_out, grad_out)
    except Exception as error:
        raise DensityError(f"evaluate must return {FATAL} and keep the exception; it raised {error!r}.") from error
    if not _same(position, z):
        raise DensityError("evaluate changed the position. Work on a copy.")
    return status, float(logp_out[0]), grad_out


def _reason(density, z) -> str:
    try:
        return density.explain(z)
    except ProbadError as error:
        return f"explain(z) failed: {error}"


def _time(fn, z, n_calls: int = 25) -> float:
    times = []
    for _ in range(n_calls):
        start = time.perf_counter()
        fn(z)
        times.append(time.perf_counter() - start)
    return 1e6 * float(np.median(times))


def _same(a, b) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def _close(a: float, b: float) -> bool:
    return bool(np.isclose(a, b, rtol=1e-10, atol=1e-10, equal_nan=True))


def _short(z) -> str:
    return np.array2string(z, precision=4, threshold=8, edgeitems=3)
