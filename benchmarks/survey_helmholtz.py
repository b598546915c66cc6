"""What does a gradient cost, in evaluations of the function, against the number of variables? Table 4 and Figure 5.

The survey's Helmholtz free energy of a mixture of n fluids, by the tape in plain Python: reverse mode, forward mode
(one sweep per variable) and central differences. Times are minima of interleaved repeats.
"""

from __future__ import annotations

import time

import numpy as np

import probad as pb
from benchmarks.figures import save

N = (1, 8, 15, 22, 29, 36, 43, 50)
SURVEY = {
    "reverse": (1.52, 2.16, 2.16, 2.31, 2.16, 2.07, 1.99, 1.96),
    "forward": (1.34, None, None, None, None, None, None, 7.69),
    "central": (1.08, None, None, None, None, None, None, 28.63),
}


def helmholtz(n: int):
    """The function and a point."""
    rng = np.random.default_rng(n)
    rt, root = 1.3, np.sqrt(2.0)
    a = rng.uniform(0.1, 1.0, (n, n))
    a = a + a.T
    b = rng.uniform(0.1, 0.5, n) / n

    def f(x):
        bx = b @ x
        mixing = rt * np.sum(np.log(x / (1 - bx)))
        return mixing - x @ a @ x / (np.sqrt(8.0) * bx) * np.log((1 + (1 + root) * bx) / (1 + (1 - root) * bx))

    return f, rng.uniform(0.5, 1.5, n)


def forward(f, x):
    """The gradient by one forward sweep per variable."""
    return np.array([pb.jvp(f, (x,), (e,))[1] for e in np.eye(x.size)])


def central(f, x):
    """The gradient by central differences."""
    return np.array([(f(x + 1e-6 * e) - f(x - 1e-6 * e)) / 2e-6 for e in np.eye(x.size)])


def cases() -> list[str]:
    """Names of the cases."""
    return [f"n = {n}" for n in N]


def run(case: str) -> dict[str, float]:
    """Time of the function in microseconds, and times of gradients in units of it."""
    n = int(case.removeprefix("n = "))
    f, x = helmholtz(n)
    reverse = pb.grad(f)
    methods = {
        "function": lambda: f(x),
        "reverse": lambda: reverse(x),
        "forward": lambda: forward(f, x),
        "central": lambda: central(f, x),
    }
    np.testing.assert_allclose(methods["reverse"](), methods["forward"](), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(methods["reverse"](), methods["central"](), rtol=1e-5, atol=1e-6)
    times = dict.fromkeys(methods, np.inf)
    for _ in range(15):
        for name, method in methods.items():
            n_calls = {"function": 100, "reverse": 30}.get(name, 3)
            start = time.perf_counter()
            for _ in range(n_calls):
                method()
            times[name] = min(times[name], (time.perf_counter() - start) / n_calls * 1e6)
    return {"function us": times["function"], **{k: t / times["function"] for k, t in times.items() if k != "function"}}


if __name__ == "__main__":
    rows = [run(case) for case in cases()]
    columns = {"n": list(N), **{key: [row[key] for row in rows] for key in rows[0]}}

    def draw(axes):
        for key in SURVEY:
            (line,) = axes.semilogy(N, columns[key], "o-", label=f"{key}, tape")
            known = [(n, v) for n, v in zip(N, SURVEY[key], strict=True) if v is not None]
            axes.semilogy(*zip(*known, strict=True), "x:", color=line.get_color(), label=f"{key}, survey")
        axes.set(xlabel="n", ylabel="gradient / function", title="Cost of a gradient, Helmholtz energy")
        axes.legend(fontsize="small")

    print(save("table_4_figure_5_helmholtz", columns, draw))
