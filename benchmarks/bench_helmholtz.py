"""What does a compiled gradient cost, in evaluations of the compiled function? The survey's Table 4, as machine code.

The Helmholtz energy of a mixture of n fluids; value and gradient, and the value alone, each in a loop of machine code.
"""

from __future__ import annotations

import probad as pb
from benchmarks.native_loop import seconds_per_call
from benchmarks.survey_helmholtz import SURVEY, N, helmholtz


def cases() -> list[str]:
    """Names of the cases."""
    return [f"n = {n}" for n in N]


def run(case: str) -> dict[str, float]:
    """Times in nanoseconds, and their ratio beside the survey's."""
    n = int(case.removeprefix("n = "))
    f, x = helmholtz(n)
    value = 1e9 * seconds_per_call(pb.compile(f).entry(x), x)
    both = 1e9 * seconds_per_call(pb.LogDensity.from_function(f, n), x)
    return {"value": value, "with gradient": both, "ratio": both / value, "survey": SURVEY["reverse"][N.index(n)]}
