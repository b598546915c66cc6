"""What do differences cost a sampler, beside derivatives? Every ``gradient=`` on three models of 2 to 500 dimensions.

A first part has a case for each model, dimension and method, with the default step of differences; a second one, at 10
dimensions, a case for each of several steps. NUTS with a diagonal metric runs one chain on one thread, as long as a
budget of seconds allows; where even a short run would exceed it, only the gradient is measured. All methods but the
complex step run in native code. ``us`` is the time of log density and gradient, ``in values`` the same in units of the
time of the log density alone, as the loop of forward differences calls it; ``error`` is the largest error of a partial
derivative over the largest one, a median of five points, against the tape's reverse mode. ESS is the bulk effective
sample size of the worst coordinate or its square; its rates leave warm-up out. An evaluation is one of the log density,
or of log density and exact gradient.

Written to ``benchmarks/results``: ``ad_vs_fd.json`` with all figures, and plots of them.
"""

from __future__ import annotations

import functools
import math
import time
import warnings
from collections.abc import Callable

import numpy as np

import probad as pb
from benchmarks.figures import save_json, save_panels
from benchmarks.native_loop import seconds_per_call
from benchmarks.systems import least_ess

METHODS = ("reverse", "forward", "forward-difference", "central", "five-point", "richardson", "complex")
DIMS = (2, 10, 50, 100, 500)
SECONDS = {2: 2.0, 10: 2.0, 50: 2.0, 100: 4.0, 500: 24.0}  # that one run may take, by dimension
PER_DRAW = {2: 4, 10: 8, 50: 15, 100: 25, 500: 60}  # gradients, a guess to plan runs with
STEPS = tuple(10.0**k for k in range(-13, 1))
SWEPT, SWEEP_DIM = ("forward-difference", "central", "five-point"), 10
N_WARMUP, SHORTEST = 500, 120  # iterations; fewer than the last, warm-up included, tell nothing
MAX_TREE_DEPTH = 8  # so that runs by useless gradients end
N_ROWS = 50  # of the logistic regression


# --- the models -------------------------------------------------------------------------------------------------------
def gauss(n: int) -> tuple[Callable, Callable]:
    """Normal variables in a row, each of variance 1 and correlated with the next by 0.7."""

    def logp(z):
        return -0.5 * z[0] ** 2 - 0.5 * np.sum((z[1:] - 0.7 * z[:-1]) ** 2) / (1 - 0.7**2)

    def draw(rng):
        z = rng.normal(size=n)
        for k in range(1, n):
            z[k] = 0.7 * z[k - 1] + np.sqrt(1 - 0.7**2) * z[k]
        return z

    return logp, draw


def logistic(n: int) -> tuple[Callable, Callable]:
    """Logistic regression of 50 outcomes on n covariates, standard normal prior."""
    rng = np.random.default_rng(n)
    x = rng.normal(size=(N_ROWS, n))
    truth = rng.normal(size=n) / np.sqrt(n)
    y = (rng.uniform(size=N_ROWS) < 1 / (1 + np.exp(-x @ truth))).astype(float)

    def logp(z):
        eta = x @ z
        return np.sum(y * eta - np.log1p(np.exp(eta))) - 0.5 * np.sum(z**2)

    return logp, lambda rng: truth + 0.3 * rng.normal(size=n)


def funnel(n: int) -> tuple[Callable, Callable]:
    """A scale on the log scale, v ~ Normal(0, 1), and n - 1 effects ~ Normal(0, exp(v / 2))."""

    def logp(z):
        v, x = z[0], z[1:]
        return -0.5 * v**2 - 0.5 * np.exp(-v) * np.sum(x**2) - 0.5 * (n - 1) * v

    def draw(rng):
        z = rng.normal(size=n)
        z[1:] *= np.exp(0.5 * z[0])
        return z

    return logp, draw


MODELS = {"gauss": gauss, "logistic": logistic, "funnel": funnel}


# --- the cases --------------------------------------------------------------------------------------------------------
def cases() -> list[str]:
    """Names of the cases: ``model dimension, method``, and ``, step`` where it is not the default."""
    by_dimension = [f"{model} {n}, {method}" for model in MODELS for n in DIMS for method in METHODS]
    by_step = [f"{model} {SWEEP_DIM}, {method}, {step:.0e}" for model in MODELS for method in SWEPT for step in STEPS]
    return by_dimension + by_step


def n_evaluations(method: str, n: int) -> int:
    """Evaluations for log density and gradient."""
    return {
        "reverse": 1,
        "forward": 1,
        "forward-difference": n + 1,
        "central": 2 * n + 1,
        "five-point": 4 * n + 1,
        "richardson": 40 * n + 1,  # two tables of ten central differences each
        "complex": n + 3,  # two more for a check
    }[method]


def run(case: str) -> dict[str, float]:
    """Figures of one case."""
    model, n, method, step = _parse(case)
    logp, draw = MODELS[model](n)
    density = pb.LogDensity.from_function(logp, n, gradient=method, difference_step=step)
    _ = density.address  # asked for, so that native code evaluates
    _compile_kernels()
    rng = np.random.default_rng(7)
    points = [draw(rng) for _ in range(5)]
    figures = {"error": float(np.median([_error(logp, density, z) for z in points]))}
    seconds = _seconds(density, points[0])
    figures["us"] = 1e6 * seconds
    if step is None:
        values = pb.LogDensity.from_function(logp, n, gradient="forward-difference")
        figures["in values"] = seconds * (n + 1) / _seconds(values, points[0])
    n_draws = max(1000, min(10_000, 100_000 // n)) if step is None else 1000
    n_iterations = min(int(SECONDS[n] / seconds / PER_DRAW[n]), N_WARMUP + n_draws)
    if n_iterations >= SHORTEST:
        figures |= _sample(density, points[0], n_iterations, n_evaluations(method, n))
    return figures


def _parse(case: str) -> tuple[str, int, str, float | None]:
    target, method, *step = case.split(", ")
    model, n = target.split()
    return model, int(n), method, float(step[0]) if step else None


def _error(logp: Callable, density, z: np.ndarray) -> float:
    """The largest error of a partial derivative, over the largest one; infinite where there is no gradient."""
    exact, got = pb.grad(logp)(z), density.logp_and_grad(z)[1]
    error = float(np.max(np.abs(got - exact)) / np.max(np.abs(exact)))
    return error if np.isfinite(error) else np.inf


def _seconds(density, z: np.ndarray) -> float:
    """Of one value and gradient."""
    native = density.address != 0
    seconds = math.inf
    for _ in range(4):  # the first one has a comparison with the tape in it
        start = time.perf_counter()
        density.logp_and_grad(z)
        seconds = min(seconds, time.perf_counter() - start)
    if native and seconds < 1e-3:
        return seconds_per_call(density, z, at_least=0.02, repeats=5)
    return seconds


@functools.cache
def _compile_kernels() -> None:
    """Sample something, so that no time below has the compilation of the sampler in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pb.errors.SamplingWarning)
        density = pb.LogDensity.from_function(lambda z: -np.sum(z**2), 2)
        pb.nuts(density, draws=10, warmup=10, chains=1, seed=1, progress=False)


def _sample(density, start: np.ndarray, n_iterations: int, n_evaluations: int) -> dict[str, float]:
    """Figures of a run of NUTS."""
    warmup = min(N_WARMUP, n_iterations // 3)
    options = {"warmup": warmup, "draws": n_iterations - warmup, "chains": 1, "cores": 1, "metric": "diag", "seed": 1}
    options["max_tree_depth"] = MAX_TREE_DEPTH
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pb.errors.SamplingWarning)
        try:
            keep = {"keep_warmup": True, "keep_unconstrained": True}
            post = pb.nuts(density, init=start, progress=False, **keep, **options)
        except pb.errors.InitializationError:  # a step that gives no gradient
            return {}
    stats, z = post["sample_stats"], post["unconstrained_posterior"]["z"].values
    n_gradients = int(stats["n_steps"].sum())
    share = n_gradients / (n_gradients + int(post["warmup_sample_stats"]["n_steps"].sum()))
    ess = min(least_ess({"z": z}), least_ess({"z": z**2}))
    return {
        "step size": float(stats["step_size"].values[0, -1]),
        "acceptance": float(stats["acceptance_rate"].mean()),
        "divergent": float(stats["diverging"].mean()),
        "draws": z.shape[1],
        "ESS / s": ess / (share * float(post["posterior"].attrs["sampling_time"])),
        "ESS / 1000 gradients": 1000 * ess / n_gradients,
        "ESS / 1000 evaluations": 1000 * ess / n_gradients / n_evaluations,
    }


# --- the plots --------------------------------------------------------------------------------------------------------
def conclude(figures: dict[str, dict[str, float]]) -> None:
    """Write figures and plots."""
    print(save_json("ad_vs_fd", figures))
    by_dimension = {
        "ad_vs_fd_rate": ("ESS / s", "effective draws per second"),
        "ad_vs_fd_evaluations": ("ESS / 1000 evaluations", "effective draws per 1000 evaluations"),
        "ad_vs_fd_cost": ("in values", "gradient / log density"),
        "ad_vs_fd_error": ("error", "relative error of the gradient"),
    }
    for name, (figure, label) in by_dimension.items():
        print(save_panels(name, list(MODELS), _panel(figures, figure, "dimension", label, None)))
    by_step = {
        "ad_vs_fd_step_error": ("error", "relative error of the gradient", True),
        "ad_vs_fd_step_divergent": ("divergent", "share of divergent draws", False),
        "ad_vs_fd_step_ess": ("ESS / 1000 gradients", "effective draws per 1000 gradients", True),
        "ad_vs_fd_step_size": ("step size", "step size found", True),
    }
    for name, (figure, label, logarithmic) in by_step.items():
        draw = _panel(figures, figure, "difference step", label, SWEEP_DIM, logarithmic=logarithmic)
        print(save_panels(name, list(MODELS), draw))


def _panel(figures, figure: str, x_label: str, y_label: str, dim: int | None, *, logarithmic: bool = True) -> Callable:
    """A function that draws one figure of one model by method: over dimensions, or over steps at one dimension."""

    def draw(axes, model: str) -> None:
        for method in METHODS:
            line = []
            for case, row in figures.items():
                name, n, its_method, step = _parse(case)
                wanted = (name, its_method) == (model, method) and (step is None) == (dim is None)
                if wanted and np.isfinite(row.get(figure, np.nan)):
                    line.append((n if dim is None else step, max(row[figure], 1e-17) if logarithmic else row[figure]))
            if line:
                axes.plot(*zip(*line, strict=True), "o-", markersize=3, label=method)
        axes.set(xscale="log", yscale="log" if logarithmic else "linear", title=model, xlabel=x_label, ylabel=y_label)

    return draw
