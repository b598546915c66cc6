"""The tape, in plain Python, against autograd on the same functions in the same process.

Each case is written once, for a NumPy-like module; both engines take value and gradient of it. Times are the minimum
of many interleaved repeats, in microseconds. Needs the extra ``bench``.
"""

from __future__ import annotations

import time

import numpy as np

import probad as pb


def eight_schools(np):
    y, sigma = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])

    def logp(z):
        mu, log_tau, r = z[0], z[1], z[2:]
        tau = np.exp(log_tau)
        theta = mu + tau * r
        prior = -0.5 * (mu / 5) ** 2 - 0.5 * np.sum(r**2) - np.log(1 + (tau / 5) ** 2) + log_tau
        return prior - 0.5 * np.sum(((y - theta) / sigma) ** 2)

    return logp, 0.1 * np.arange(10.0)


def logistic(np, n=500, d=10):
    rng = np.random.RandomState(0)
    x = rng.normal(size=(n, d))
    y = (rng.uniform(size=n) < 0.4).astype(float)

    def logp(beta):
        eta = np.dot(x, beta)
        return np.sum(y * eta) - np.sum(np.logaddexp(0.0, eta)) - 0.5 * np.sum(beta**2)

    return logp, 0.1 * np.arange(float(d))


def scalar_loop(np, n=1000):
    def f(x):
        a = x[0]
        for _ in range(n):
            a = a * 0.999 + np.sin(a) * x[1]
        return a

    return f, np.array([1.0, 0.01])


def helmholtz(np, n):
    """The survey's Table 4: the Helmholtz free energy of a mixture of n fluids."""
    rng = np.random.RandomState(n)
    rt, root = 1.3, np.sqrt(2.0)
    a = rng.uniform(0.1, 1.0, (n, n))
    a = a + a.T
    b = rng.uniform(0.1, 0.5, n) / n

    def f(x):
        bx = np.dot(b, x)
        mixing = rt * np.sum(np.log(x / (1 - bx)))
        return mixing - np.dot(x, np.dot(a, x)) / (root * 2 * bx) * np.log(
            (1 + (1 + root) * bx) / (1 + (1 - root) * bx)
        )

    return f, rng.uniform(0.5, 1.5, n)


CASES = {
    "eight schools": eight_schools,
    "logistic 500 x 10": logistic,
    "scalar loop, 1000 steps": scalar_loop,
    **{f"helmholtz n = {n}": (lambda np, n=n: helmholtz(np, n)) for n in (1, 8, 15, 22, 29, 36, 43, 50)},
}


def cases() -> list[str]:
    """Names of the cases."""
    return list(CASES)


def run(case: str) -> dict[str, float]:
    """Time one case; microseconds per value and gradient, and the ratio to autograd."""
    import autograd
    import autograd.numpy as anp

    f, x = CASES[case](np)
    g, _ = CASES[case](anp)
    engines = {"probad": pb.value_and_grad(f), "autograd": autograd.value_and_grad(g), "function": f}
    (value, gradient), (other_value, other_gradient) = engines["probad"](x), engines["autograd"](x)
    np.testing.assert_allclose(value, other_value, rtol=1e-10)
    np.testing.assert_allclose(gradient, other_gradient, rtol=1e-8, atol=1e-10)
    times = dict.fromkeys(engines, np.inf)
    for _ in range(30):
        for name, engine in engines.items():
            n_calls = 3 if "loop" in case else 30
            start = time.perf_counter()
            for _ in range(n_calls):
                engine(x)
            times[name] = min(times[name], (time.perf_counter() - start) / n_calls * 1e6)
    return {**{f"{name} us": t for name, t in times.items()}, "autograd / probad": times["autograd"] / times["probad"]}
