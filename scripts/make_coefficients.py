"""Make the coefficients of `probad.codegen.coefficients`: ``python scripts/make_coefficients.py``.

Each is a polynomial that interpolates a function at Chebyshev points, computed with fifty digits; near the best there
is for its degree.
"""

from __future__ import annotations

from pathlib import Path

import mpmath as mp

TARGET = Path(__file__).parents[1] / "probad" / "codegen" / "coefficients.py"
HEAD = '''"""Coefficients of polynomials, the constant term first; made by ``scripts/make_coefficients.py``."""

'''


def fit(f, low, high, degree: int) -> list[float]:
    """Coefficients of the interpolating polynomial, constant term first, each rounded to a double."""
    n = degree + 1
    middle, half = (low + high) / 2, (high - low) / 2
    points = [middle + half * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    matrix = mp.matrix(n, n)
    for i, x in enumerate(points):
        for j in range(n):
            matrix[i, j] = x**j
    return [float(c) for c in mp.lu_solve(matrix, mp.matrix([f(x) for x in points]))]


def exp_tail(r):
    """(exp(r) - 1 - r) / r^2."""
    if abs(r) < mp.mpf("1e-3"):
        return mp.nsum(lambda k: r**k / mp.factorial(k + 2), [0, mp.inf])
    return (mp.expm1(r) - r) / r**2


def atanh_tail(z):
    """(2 atanh(s) - 2 s) / s^3 with z = s^2."""
    return mp.nsum(lambda k: 2 * z**k / (2 * k + 3), [0, mp.inf])


def log1p_tail(e):
    """log(1 + e) / e."""
    return mp.log1p(e) / e if e else mp.mpf(1)


def tables() -> dict[str, list[float]]:
    """All coefficients by name."""
    mp.mp.dps = 50
    half_log2 = mp.log(2) / 2 * mp.mpf("1.001")
    largest = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.001")
    log2 = mp.log(2)
    high = mp.floor(log2 * 2**32) / mp.mpf(2) ** 32
    return {
        "EXP_TAIL": fit(exp_tail, -half_log2, half_log2, 10),
        "ATANH_TAIL": fit(atanh_tail, mp.mpf(0), largest, 7),
        "LOG1P_TAIL": fit(log1p_tail, mp.mpf(0), mp.mpf(1), 20),
        "LOG2_PARTS": [float(high), float(log2 - high)],
    }


def render() -> str:
    """The module as text."""
    parts = [HEAD]
    for name, values in tables().items():
        parts.append(f"{name} = (\n" + "".join(f"    {v!r},\n" for v in values) + ")\n")
    return "".join(parts)


if __name__ == "__main__":
    TARGET.write_text(render())
