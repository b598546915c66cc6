"""Every sampler there is, compiled, on targets known exactly: z-scores of its statistics have the spread of chance.

A sampler that is added must be entered in `SAMPLERS`, with the targets that it can be expected to manage.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

import probad as pb
from models import eight_schools
from probad.errors import SamplingWarning
from probad.mcmc import (
    HMC,
    MALA,
    MAMS,
    NUTS,
    RMHMC,
    Algorithm,
    Choice,
    EllipticalSlice,
    ManifoldMALA,
    Metropolis,
    sample_chains,
)
from probad.runs import _samplers
from tests.mcmc.scores import moment_scores, z_score
from tests.tolerances import MONTE_CARLO

pytestmark = pytest.mark.slow


# --- targets: a log density, its dimension, and a map that makes its draws standard normal ---------------------------
def _normal(sd, correlation):
    dim = len(sd)
    covariance = np.outer(sd, sd) * correlation ** np.abs(np.subtract.outer(np.arange(dim), np.arange(dim)))
    precision, factor = np.linalg.inv(covariance), np.linalg.cholesky(covariance)
    return lambda z: -0.5 * z @ (precision @ z), dim, lambda z: np.linalg.solve(factor, z[..., None])[..., 0]


def _independent_normal(sd):
    return lambda z: -0.5 * np.sum((z / sd) ** 2), len(sd), lambda z: z / sd


def _stretched(dim, sds):
    """Round but for a few directions, which a low-rank metric can learn."""
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(dim, len(sds))))[0]
    gain = 1 / np.square(sds) - 1
    return (
        lambda z: -0.5 * np.sum(z**2) - 0.5 * np.sum(gain * (z @ directions) ** 2),
        dim,
        lambda z: z + (z @ directions * (1 / np.asarray(sds) - 1)) @ directions.T,
    )


def _banana():
    def standardised(z):
        return np.stack([z[..., 0] / 2, 2 * (z[..., 1] - 0.1 * z[..., 0] ** 2)], axis=-1)

    return lambda z: -(z[0] ** 2) / 8 - 2.0 * (z[1] - 0.1 * z[0] ** 2) ** 2, 2, standardised


def _funnel():
    """Mild, so that its neck can be drawn from: the scale of four variables has a log-normal spread of a half."""

    def logp(z):
        return -2.0 * z[0] ** 2 - 4 * z[0] - 0.5 * np.exp(-2 * z[0]) * np.sum(z[1:] ** 2)

    def standardised(z):
        return np.concatenate([2 * z[..., :1], z[..., 1:] * np.exp(-z[..., :1])], axis=-1)

    return logp, 5, standardised


TARGETS = {
    "5": _normal(np.logspace(-1, 1, 5), 0.5),
    "20": _normal(np.logspace(-1, 1, 20), 0.5),
    "ill-conditioned, 100": _normal(np.logspace(-1.5, 1.5, 100), 0.7),
    "1000": _independent_normal(np.linspace(0.5, 2.0, 1000)),
    "stretched, 300": _stretched(300, [20.0, 10.0, 0.1, 0.05]),
    "banana": _banana(),
    "funnel": _funnel(),
}
SHOWN = 50  # coordinates of a target that are looked at


def _scores(algorithm, target, seed, draws, warmup):
    logp, dim, standardised = TARGETS[target]
    density = pb.LogDensity.from_function(logp, dim)
    found = sample_chains(density, algorithm, draws=draws, warmup=warmup, chains=4, seed=seed)
    u = standardised(found.draws)[..., :SHOWN]
    return moment_scores(u, np.zeros(u.shape[-1]), np.ones(u.shape[-1]))


@cache
def _schools():
    return eight_schools.eight_schools(**eight_schools.data()).density()


def _scores_of_schools(algorithm, seed, draws, warmup):
    """Against quadrature."""
    density = _schools()
    found = sample_chains(density, algorithm, draws=draws, warmup=warmup, chains=4, seed=seed)
    values, scores = density.constrain(found.draws), []
    for name, (mean, sd) in eight_schools.reference().items():
        columns = values[name].reshape(*values[name].shape[:2], -1)
        for k, (m, s) in enumerate(np.broadcast(mean, sd)):
            scores += [z_score(columns[..., k], m), z_score((columns[..., k] - m) ** 2, s**2)]
    return np.array(scores)


EVERYTHING = {
    "5": 3,
    "20": 1,
    "ill-conditioned, 100": 1,
    "stretched, 300": 1,
    "1000": 1,
    "banana": 4,
    "funnel": 2,
    "eight schools": 1,
}
SMALL = {"5": 12, "banana": 15, "funnel": 6}  # for walkers, whose draws are dear in many dimensions
CAREFUL = {"target_accept": 0.9}  # so that necks and ends are reached
# algorithm, draws and warm-up of each chain, and how many runs on which targets
SAMPLERS = {
    "nuts": (NUTS(**CAREFUL), 1500, 600, EVERYTHING),
    "nuts, Stan's warm-up": (
        NUTS(metric="diag", adaptation="stan", **CAREFUL),
        1500,
        1000,
        {target: n for target, n in EVERYTHING.items() if target != "stretched, 300"},  # which takes correlations
    ),
    "hmc": (HMC(trajectory_length=1.3, jitter=0.5, **CAREFUL), 1500, 600, EVERYTHING),
    "generalised hmc": (HMC(n_steps=1, refreshment=0.3, **CAREFUL), 6000, 1000, SMALL),
    "mams": (MAMS(), 1500, 600, EVERYTHING),
    "fit": (Choice(**CAREFUL), 1500, 600, EVERYTHING),
    # no banana: without second derivatives MALA is not geometrically ergodic where tails are lighter than normal
    # (Roberts and Tweedie, Bernoulli 2 (1996) 341)
    "mala": (MALA(), 8000, 1000, {"5": 12, "20": 2, "funnel": 6}),
    "metropolis": (Metropolis(), 30_000, 5000, SMALL),
    # no prior: any normal density may stand for one, and these cover the targets
    "elliptical slice": (EllipticalSlice(prior_cov=np.logspace(-1, 1, 5) ** 2 * 4), 20_000, 500, {"5": 21}),
    "rmhmc": (RMHMC(), 800, 300, {"5": 12, "banana": 15, "funnel": 3}),
    "rmhmc, midpoint": (RMHMC(integrator="midpoint"), 800, 300, {"5": 12, "banana": 15, "funnel": 3}),
    "manifold mala": (ManifoldMALA(), 8000, 1000, {"5": 12, "banana": 15, "funnel": 3}),
}


def scores_of(name):
    """All z-scores of a sampler."""
    algorithm, draws, warmup, plan = SAMPLERS[name]
    found = []
    for target, n_runs in plan.items():
        for seed in range(n_runs):
            if target == "eight schools":
                found.append(_scores_of_schools(algorithm, seed, draws, warmup))
            else:
                found.append(_scores(algorithm, target, seed, draws, warmup))
    return np.concatenate(found)


@pytest.mark.parametrize("name", SAMPLERS)
def test_z_scores_are_standard_normal(name):
    scores = scores_of(name)
    rms, largest = float(np.sqrt(np.mean(scores**2))), float(np.abs(scores).max())
    print(f"{name}: {len(scores)} z-scores, rms {rms:.3f}, largest {largest:.2f}")
    assert len(scores) >= 200
    assert 0.8 < rms < 1.2
    assert largest < MONTE_CARLO


def test_no_sampler_is_left_out():
    assert {type(algorithm) for algorithm, *_ in SAMPLERS.values()} == set(_samplers(Algorithm).values())


@pytest.mark.parametrize("sampler", [pb.nuts, pb.mams, pb.hmc, pb.fit, pb.mala])
def test_modes_far_apart_are_warned_of(sampler):
    """Chains that begin on either side stay there."""
    mixture = pb.LogDensity.from_function(
        lambda z: np.logaddexp(-0.5 * np.sum((z - 10.0) ** 2), -0.5 * np.sum((z + 10.0) ** 2)), 2
    )
    starts = np.array([[-10.0, -10.0], [10.0, 10.0], [-10.0, -10.0], [10.0, 10.0]])
    with warnings.catch_warnings(record=True, action="always", category=SamplingWarning) as caught:
        sampler(mixture, draws=500, warmup=300, init=starts, seed=1, progress=False)
    assert any("R-hat" in str(warning.message) for warning in caught)
