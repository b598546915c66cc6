"""The densities of `benchmarks.gradients` in JAX, jitted, timed inside a loop that JAX compiles as well.

Loops over time are ``lax.scan``, as a JAX user would write them. Double precision, one thread.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

import numpy as np

from benchmarks import gradients


def is_installed() -> bool:
    """Whether JAX can be imported."""
    return importlib.util.find_spec("jax") is not None


def timer(name: str, arguments: tuple, *, at_least: float = 0.1, repeats: int = 4) -> Callable[[], float]:
    """A function that gives the least seconds of one value and gradient inside a ``fori_loop``, over some repeats."""
    import jax

    jax.config.update("jax_enable_x64", True)
    made = getattr(gradients, name)(*arguments)
    logp, z = _densities()[name](made[0], *arguments), made[1]
    np.testing.assert_allclose(logp(z), made[0](z), rtol=1e-9)
    both = jax.value_and_grad(logp)

    @jax.jit
    def repeat(n, z):
        def step(_, carry):
            z, total = carry
            value, grad = both(z)
            return z + 1e-30 * grad, total + value  # each call needs the one before

        return jax.lax.fori_loop(0, n, step, (z, 0.0))

    jax.block_until_ready(repeat(1, z))
    n, spent = 1, 0.0
    while spent < at_least / 4:
        n *= 2
        spent = _timed(repeat, n, z)
    return lambda: min(_timed(repeat, n, z) for _ in range(repeats)) / n


def _timed(repeat, n: int, z) -> float:
    import jax

    start = time.perf_counter()
    jax.block_until_ready(repeat(n, z))
    return time.perf_counter() - start


def _closure(fn) -> dict:
    """The data that a density of `benchmarks.gradients` has in its closure."""
    return dict(zip(fn.__code__.co_freevars, (c.cell_contents for c in fn.__closure__ or ()), strict=True))


def _densities() -> dict:
    import jax
    import jax.numpy as jnp

    def eight_schools(fn):
        y, sigma = gradients.Y, gradients.SIGMA

        def logp(z):
            mu, log_tau, effect = z[0], z[1], z[2:]
            tau = jnp.exp(log_tau)
            prior = -0.5 * (mu / 5) ** 2 - jnp.log1p((tau / 5) ** 2) + log_tau - 0.5 * jnp.sum(effect**2)
            return prior - 0.5 * jnp.sum(((y - mu - tau * effect) / sigma) ** 2)

        return logp

    def radon(fn):
        data = _closure(fn)
        group, floor, y = data["group"], data["floor"], data["y"]

        def logp(z):
            mu, log_tau, log_sigma, slope, effect = z[0], z[1], z[2], z[3], z[4:]
            tau, sigma = jnp.exp(log_tau), jnp.exp(log_sigma)
            eta = (mu + tau * effect)[group] + slope * floor
            prior = -0.5 * mu**2 - 0.5 * tau**2 + log_tau - 0.5 * sigma**2 + log_sigma - 0.5 * slope**2
            prior = prior - 0.5 * jnp.sum(effect**2)
            return prior - 0.5 * jnp.sum(((y - eta) / sigma) ** 2) - 919 * log_sigma

        return logp

    def logistic(fn, n, p):
        data = _closure(fn)
        x, y = jnp.asarray(data["x"]), jnp.asarray(data["y"])

        def logp(b):
            eta = x @ b
            return jnp.sum(y * eta - jnp.logaddexp(0.0, eta)) - 0.5 * jnp.sum(b**2)

        return logp

    def stochastic_volatility(fn, n):
        y = _closure(fn)["y"]

        def logp(z):
            mu, phi, sigma = z[0], jnp.tanh(z[1]), jnp.exp(z[2])
            first = mu + sigma / jnp.sqrt(1 - phi**2) * z[3]

            def step(h, shock):
                h = mu + phi * (h - mu) + sigma * shock
                return h, h

            _, rest = jax.lax.scan(step, first, z[4:])
            h = jnp.concatenate([first[None], rest])
            terms = -0.5 * z[3:] ** 2 - 0.5 * h - 0.5 * y**2 * jnp.exp(-h)
            return jnp.sum(terms) - 0.5 * mu**2 - 0.5 * z[1] ** 2 - 0.5 * z[2] ** 2

        return logp

    def garch(fn, n):
        y = jnp.asarray(_closure(fn)["y"])

        def logp(z):
            mu, a0, a1, b1 = z[0], jnp.exp(z[1]), 1 / (1 + jnp.exp(-z[2])), 1 / (1 + jnp.exp(-z[3]))
            first = a0 / (1 - 0.9 * a1 * b1)

            def step(v, previous):
                v = a0 + 0.5 * a1 * (previous - mu) ** 2 + 0.9 * b1 * v
                return v, v

            _, rest = jax.lax.scan(step, first, y[:-1])
            v = jnp.concatenate([first[None], rest])
            return jnp.sum(-0.5 * jnp.log(v) - 0.5 * (y - mu) ** 2 / v) - 0.5 * jnp.sum(z**2)

        return logp

    def hidden_markov(fn, n):
        y = jnp.asarray(_closure(fn)["y"])

        def logp(z):
            stay = -jnp.logaddexp(0.0, -z[:2])
            go = -jnp.logaddexp(0.0, z[:2])
            table = jnp.array([[stay[0], go[0]], [go[1], stay[1]]])
            means = jnp.array([z[2], z[2] + jnp.exp(z[3])])
            emission = -0.5 * ((y[:, None] - means) / jnp.exp(z[4])) ** 2 - z[4]

            def step(a, e):
                return jax.nn.logsumexp(a[:, None] + table, axis=0) + e, None

            a, _ = jax.lax.scan(step, jnp.full(2, -0.6931471805599453), emission)
            return jax.nn.logsumexp(a) - 0.5 * jnp.sum(z**2)

        return logp

    def gaussian_process(fn, n):
        data = _closure(fn)
        squared, unit, y = (jnp.asarray(data[k]) for k in ("squared", "unit", "y"))

        def logp(z):
            scale, length, noise = jnp.exp(z[0]), jnp.exp(z[1]), jnp.exp(z[2])
            k = scale**2 * jnp.exp(-0.5 * squared / length**2) + (noise**2 + 1e-8) * unit
            factor = jnp.linalg.cholesky(k)
            white = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
            return -0.5 * jnp.sum(white**2) - jnp.sum(jnp.log(jnp.diag(factor))) - 0.5 * jnp.sum(z**2)

        return logp

    def item_response(fn, n_persons, n_items):
        data = _closure(fn)
        item, person, y = data["item"], data["person"], jnp.asarray(data["y"])

        def logp(z):
            ability, difficulty = z[:n_persons], z[n_persons : n_persons + n_items]
            eta = jnp.exp(z[n_persons + n_items :])[item] * (ability[person] - difficulty[item])
            return jnp.sum(y * eta - jnp.logaddexp(0.0, eta)) - 0.5 * jnp.sum(z**2)

        return logp

    return {f.__name__: f for f in (eight_schools, radon, logistic, stochastic_volatility, garch, hidden_markov,
                                    gaussian_process, item_response)}  # fmt: skip
