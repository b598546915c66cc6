"""Tune Hamiltonian Monte Carlo by gradients: step size, trajectory length and mass matrix.

Leapfrog steps hold gradients of the log density; what they lead to is differentiated once more, reverse mode in reverse
mode, by the numbers that warm-up would tune. From the curvature at the mode, a few steps are first made to maximise a
lower bound on the log evidence, which brings their ends to the posterior. Then from there the changes of squared
deviations from the mean, weighed by acceptance, are made as large as they get for the coordinate that is worst off.
Plain jumps would be largest from one side of the posterior to the other, which tells nothing of its width.

Source: Salimans, Kingma and Welling, "Markov chain Monte Carlo and variational inference: bridging the gap" (2015),
arXiv:1410.6460, for the bound; Hoffman, Radul and Sountsov, "An adaptive-MCMC scheme for setting trajectory lengths in
Hamiltonian Monte Carlo" (2021), for changes of squares.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

import probad as pb

N_STEPS, N_SAMPLES = 5, 64
LOG_2PI = np.log(2.0 * np.pi)


@dataclass
class Tuned:
    """What was tuned, in the terms of `pb.hmc`.

    Attributes
    ----------
    inverse_mass : (dim,) array
    step_size : float
    mean : (dim,) array
        Where trajectories of the first stage start.
    bound : float
        On the log evidence, in nats.
    n_gradients : int
        Gradients of the log density that it took; the reverse sweep through one counts as two.
    """

    inverse_mass: np.ndarray
    step_size: float
    mean: np.ndarray
    bound: float
    n_gradients: int


def trajectory(slope: Callable, z, p, step, n_steps: int):
    """Positions and momenta of all samples after some leapfrog steps; `step` holds one number per coordinate."""
    p = p + 0.5 * step * slope(z)
    for k in range(n_steps):
        z = z + step * p
        p = p + (step if k < n_steps - 1 else 0.5 * step) * slope(z)
    return z, p


def bridge(logp: Callable, slope: Callable, noise, momenta, n_steps: int):
    """Maximise the bound over start, steps and the model of the last momentum: start, steps, ends, the optimum."""
    dim = noise.shape[-1]

    def parts(parameters):
        mean, log_sd, log_step, *rest = np.reshape(parameters, (6, dim))
        ends, p = trajectory(slope, mean + np.exp(log_sd) * noise, momenta, np.exp(log_step), n_steps)
        return mean, log_sd, log_step, rest, ends, p

    def loss(parameters):
        mean, log_sd, _, (a, b, log_spread), ends, p = parts(parameters)
        residual = (p - a * (ends - mean) - b) * np.exp(-log_spread)
        last = -0.5 * np.sum(residual**2 + 2.0 * log_spread + LOG_2PI, axis=-1)
        first = -0.5 * np.sum(noise**2 + momenta**2 + 2.0 * log_sd + 2.0 * LOG_2PI, axis=-1)
        return -np.mean(logp(ends) + last - first)

    mode = minimize(lambda z: -logp(z), np.zeros(dim), jac=lambda z: -slope(z)).x
    log_sd = -0.5 * np.log(np.maximum(-np.diag(pb.hessian(logp)(mode)), 1e-8))
    start = np.concatenate([mode, log_sd - 1.0, log_sd - 1.0, np.zeros(3 * dim)])
    found = minimize(pb.value_and_grad(loss), start, jac=True, method="L-BFGS-B", options={"maxiter": 100})
    mean, _, log_step, _, ends, _ = parts(found.x)
    return mean, log_step, ends, found


def lengthen(logp: Callable, slope: Callable, starts, momenta, log_step, n_steps: int):
    """Maximise the accepted change of the square of the worst coordinate over the steps, from given starts."""
    mean, variance = np.mean(starts, axis=0), np.var(starts, axis=0)

    def loss(log_step):
        ends, p = trajectory(slope, starts, momenta, np.exp(log_step), n_steps)
        gain = logp(ends) - logp(starts) + 0.5 * np.sum(momenta**2 - p**2, axis=-1)
        accepted = np.exp(np.minimum(gain, 0.0))
        changes = ((ends - mean) ** 2 - (starts - mean) ** 2) / variance
        return np.log(np.sum(1.0 / np.mean(accepted[:, None] * changes**2, axis=0)))

    return minimize(pb.value_and_grad(loss), log_step, jac=True, method="L-BFGS-B", options={"maxiter": 100})


def tune(logp: Callable, dim: int, *, n_steps: int = N_STEPS, n_samples: int = N_SAMPLES, seed: int = 0) -> Tuned:
    """Tune a trajectory of `n_steps` leapfrog steps; its length is the sum of its steps.

    Parameters
    ----------
    logp : callable
        ``logp(z)`` for points z of shape (..., dim), in nats, of shape (...).
    dim : int
    n_steps, n_samples : int
        Leapfrog steps of a trajectory, and trajectories in the estimates, whose random numbers stay the same.
    seed : int
    """
    noise, momenta, fresh = np.random.default_rng(seed).normal(size=(3, n_samples, dim))
    slope = pb.grad(lambda z: np.sum(logp(z)))
    mean, log_step, ends, first = bridge(logp, slope, noise, momenta, n_steps)
    second = lengthen(logp, slope, ends, fresh, log_step, n_steps)
    centre = np.mean(second.x)  # only products of step size and scale matter
    return Tuned(
        inverse_mass=np.exp(2.0 * (second.x - centre)),
        step_size=float(np.exp(centre)),
        mean=mean,
        bound=-float(first.fun),
        n_gradients=3 * (first.nfev + second.nfev) * n_samples * (n_steps + 1),
    )


def regression(n: int = 200, dim: int = 6, seed: int = 0) -> Callable:
    """Log density of a logistic regression whose predictors have scales from 0.1 to 10."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, dim)) * np.logspace(-1.0, 1.0, dim)
    y = rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-X @ (rng.normal(size=dim) / np.logspace(-1.0, 1.0, dim))))

    def logp(z):
        score = z @ X.T
        return np.sum(y * score - np.logaddexp(0.0, score), axis=-1) - 0.5 * np.sum(z**2, axis=-1) / 25.0

    return logp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    draws = parser.parse_args().draws
    logp, dim = regression(), 6
    tuned = tune(logp, dim)
    print(f"log evidence at least {tuned.bound:.2f} nats; tuned with {tuned.n_gradients} gradients")
    print("steps", np.round(np.sqrt(tuned.inverse_mass) * tuned.step_size, 3))
    post = pb.hmc(
        pb.LogDensity.from_function(logp, dim),
        n_steps=N_STEPS,
        metric=tuned.inverse_mass,
        step_size=tuned.step_size,
        init=tuned.mean,
        warmup=0,
        draws=draws,
        seed=1,
        progress=False,
    )
    print("acceptance", round(float(post.sample_stats["acceptance_rate"].mean()), 3))


if __name__ == "__main__":
    main()
