"""How large do derivatives grow as expressions, and how large as programs? The survey's Table 1, continued.

The n-th iterate of the logistic map is written out as an expression and differentiated by the sum and product rules;
the tape of the same program grows by three operations a step. Counts are numbers of operations.
"""

from __future__ import annotations

import probad as pb
from benchmarks.figures import save

N = list(range(1, 9))


def program(n: int):
    """The map as a program."""

    def f(x):
        for _ in range(n - 1):
            x = 4 * x * (1 - x)
        return x

    return f


def expression(n: int):
    """The map as an expression: nested tuples of an operation and its arguments."""
    e = "x"
    for _ in range(n - 1):
        e = ("*", ("*", 4, e), ("-", 1, e))
    return e


def differentiate(e):
    """The derivative of an expression, with zeros and ones left out."""
    if e == "x":
        return 1
    if not isinstance(e, tuple):
        return 0
    operation, a, b = e
    da, db = differentiate(a), differentiate(b)
    if operation == "*":
        parts = [times(da, b), times(a, db)]
        return parts[1] if parts[0] == 0 else parts[0] if parts[1] == 0 else ("+", *parts)
    return da if db == 0 else ("-", da, db)


def times(a, b):
    """A product without factors of zero and one."""
    return 0 if 0 in (a, b) else b if a == 1 else a if b == 1 else ("*", a, b)


def size(e) -> int:
    """Number of operations."""
    return 1 + size(e[1]) + size(e[2]) if isinstance(e, tuple) else 0


def cases() -> list[str]:
    """Names of the cases."""
    return [f"n = {n}" for n in N]


def run(case: str) -> dict[str, float]:
    """Numbers of operations, and the derivative at 0.2 by the program."""
    n = int(case.removeprefix("n = "))
    e = expression(n)
    return {
        "expression": size(e),
        "its derivative": size(differentiate(e)),
        "tape": len(pb.trace_table(program(n), 0.2)) - 1,
        "derivative at 0.2": float(pb.grad(program(n))(0.2)),
    }


if __name__ == "__main__":
    rows = [run(case) for case in cases()]
    columns = {"n": N, **{key: [row[key] for row in rows] for key in rows[0]}}

    def draw(axes):
        for key, style in (("expression", "s--"), ("its derivative", "o-"), ("tape", "^-")):
            axes.semilogy(N, [max(v, 0.5) for v in columns[key]], style, label=key)
        axes.set(xlabel="n", ylabel="operations", title="Expression swell, logistic map")
        axes.legend()

    print(save("table_1_expression_swell", columns, draw))
