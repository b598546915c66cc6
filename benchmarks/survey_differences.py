"""How large is the error of numerical differentiation, against its step? The survey's Figure 3.

Forward and central differences and the complex step, for f(x) = 64 x (1 - x) (1 - 2x)^2 (1 - 8x + 8x^2)^2 at 0.2.
"""

from __future__ import annotations

import numpy as np

import probad as pb
from benchmarks.figures import save

X0, SLOPE = 0.2, 9.0660864
METHODS = ("forward-difference", "central", "complex")
STEPS = np.logspace(-16, 0, 321)


def f(x):
    """The fourth iterate of the logistic map."""
    return 64 * x * (1 - x) * (1 - 2 * x) ** 2 * (1 - 8 * x + 8 * x * x) ** 2


def errors(method: str) -> np.ndarray:
    """The error for each step; NaN where the step is lost in rounding or too large for the complex step."""
    out = np.full(len(STEPS), np.nan)
    for i, h in enumerate(STEPS):
        if X0 + h != X0:
            try:
                out[i] = abs(pb.derivative(f, X0, method, step=h) - SLOPE)
            except pb.errors.GradientError:
                continue
    return out


def cases() -> list[str]:
    """Names of the cases."""
    return list(METHODS)


def run(case: str) -> dict[str, float]:
    """The smallest error and its step."""
    e = errors(case)
    return {"smallest error": np.nanmin(e), "at step": STEPS[np.nanargmin(e)]}


if __name__ == "__main__":
    all_errors = {method: errors(method) for method in METHODS}

    def draw(axes):
        for method, e in all_errors.items():
            axes.loglog(STEPS, np.maximum(e, 1e-16), ".", markersize=3, label=method)
        axes.set(xlabel="step", ylabel="error", title="Error of numerical differentiation")
        axes.legend()

    print(save("figure_3_differences", {"step": list(STEPS), **{k: list(v) for k, v in all_errors.items()}}, draw))
    for case in cases():
        print(case, run(case))
