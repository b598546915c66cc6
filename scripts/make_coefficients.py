"""Make the coefficients of `probad.codegen.coefficients`: ``python scripts/make_coefficients.py``.

Each is a polynomial that interpolates a function at Chebyshev points, computed with sixty digits; near the best there
is for its degree. Constants that need more than a double are sums of parts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mpmath as mp

TINY = mp.mpf("1e-30")  # below, a quotient is its limit
TARGET = Path(__file__).parents[1] / "probad" / "codegen" / "coefficients.py"
HEAD = '''"""Tables, and coefficients of polynomials, constant term first; made by ``scripts/make_coefficients.py``."""

'''


def fit(f: Callable, low, high, degree: int) -> list[float]:
    """Coefficients of the interpolating polynomial, constant term first, each rounded to a double."""
    n = degree + 1
    low, high = mp.mpf(low), mp.mpf(high)
    middle, half = (low + high) / 2, (high - low) / 2
    points = [middle + half * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    matrix = mp.matrix(n, n)
    for i, x in enumerate(points):
        for j in range(n):
            matrix[i, j] = x**j
    return [float(c) for c in mp.lu_solve(matrix, mp.matrix([f(x) for x in points]))]


def parts(x, *bits: int) -> list[float]:
    """A number as a sum of doubles: the first ones with so many bits after the point, the last one whole."""
    out = []
    for b in bits:
        out.append(mp.floor(x * mp.mpf(2) ** b) / mp.mpf(2) ** b)
        x = x - out[-1]
    return [float(v) for v in (*out, x)]


# --- exponentials and logarithms ------------------------------------------------------------------------------------
def exp_tail(r):
    """(exp(r) - 1 - r) / r^2."""
    if abs(r) < mp.mpf("1e-3"):
        return mp.nsum(lambda k: r**k / mp.factorial(k + 2), [0, mp.inf])
    return (mp.expm1(r) - r) / r**2


def atanh_tail(z):
    """(2 atanh(s) - 2 s) / s^3 with z = s^2."""
    return mp.nsum(lambda k: 2 * z**k / (2 * k + 3), [0, mp.inf])


def power_tail(z):
    """The series (3 atanh(s) / s - 3 - s^2) / s^4 with z = s^2."""
    return mp.nsum(lambda k: 3 * z**k / (2 * k + 5), [0, mp.inf])


def log1p_tail(e):
    """The quotient log(1 + e) / e."""
    return mp.log1p(e) / e if abs(e) > TINY else mp.mpf(1)


def log1p_square_tail(r):
    """(log(1 + r) - r) / r^2."""
    return mp.nsum(lambda k: (-1) ** (int(k) + 1) * r**k / (k + 2), [0, mp.inf])


# --- tables for exponentials and logarithms of single numbers -------------------------------------------------------
EXP_STEPS = 64  # of a factor of two
LOG_FIRST, LOG_CELLS = 90, 64  # the cells of a factor of two: the first one is around 90 / 128
NEAR_1 = (mp.mpf(125) / 128, mp.mpf(65) / 64)  # the cells within are one, around 1


def exp_table() -> list[tuple[float, float]]:
    """For each j a double near 2^(j / 64), and what is missing, relative to it."""
    powers = [mp.mpf(2) ** (mp.mpf(j) / EXP_STEPS) for j in range(EXP_STEPS)]
    return [(float(p), float(p / mp.mpf(float(p)) - 1)) for p in powers]


def log_table() -> list[tuple[float, float, float, float]]:
    """For each cell around c: 1 / c, 0, and log c as a sum; for those near 1: 1, c - 1, 0 and 0.

    A number c + f of the cell is then (1 + r) / (1 / c) with r = f / c, or 1 + r with r = f + (c - 1).
    """
    rows = []
    for i in range(LOG_CELLS):
        j = LOG_FIRST + i
        c = mp.mpf(j) / 128 if j <= 128 else 1 + mp.mpf(j - 128) / 64
        if NEAR_1[0] <= c <= NEAR_1[1]:
            rows.append((1.0, float(c - 1), 0.0, 0.0))
        else:
            inverse = float(1 / c)
            rows.append((inverse, 0.0, *parts(mp.log(c), 42)))
    return rows


# --- circular functions, with z = r^2 -------------------------------------------------------------------------------
def sin_tail(z):
    """(sin(r) - r) / r^3."""
    return mp.nsum(lambda k: (-1) ** (int(k) + 1) * z**k / mp.factorial(2 * k + 3), [0, mp.inf])


def cos_tail(z):
    """(cos(r) - 1 + r^2 / 2) / r^4."""
    return mp.nsum(lambda k: (-1) ** int(k) * z**k / mp.factorial(2 * k + 4), [0, mp.inf])


def arctan_tail(z):
    """(arctan(r) - r) / r^3."""
    r = mp.sqrt(z)
    return (mp.atan(r) - r) / r**3


def arcsin_tail(z):
    """(arcsin(r) - r) / r^3."""
    r = mp.sqrt(z)
    return (mp.asin(r) - r) / r**3


# --- the normal distribution ----------------------------------------------------------------------------------------
ERFCX_MIDDLE = 4


def erf_tail(z):
    """(erf(x) - 2 x / sqrt(pi)) / x^3 with z = x^2."""
    x = mp.sqrt(z)
    return (mp.erf(x) - 2 * x / mp.sqrt(mp.pi)) / x**3


def scaled_erfc(t):
    """(1 + 2 x) exp(x^2) erfc(x) with x = 4 (1 + t) / (1 - t), after Shepherd and Laframboise (1981)."""
    x = ERFCX_MIDDLE * (1 + t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


# --- the gamma function, with u = 1 / x^2 ---------------------------------------------------------------------------
def gammaln_near_2(w):
    """The quotient log Gamma(2 + w) / w."""
    return mp.loggamma(2 + w) / w if abs(w) > TINY else mp.psi(0, 2)


def stirling(u):
    """The series x (log Gamma(x) - (x - 1/2) log x + x - log(2 pi) / 2)."""
    x = 1 / mp.sqrt(u)
    return (mp.loggamma(x) - (x - mp.mpf(1) / 2) * mp.log(x) + x - mp.log(2 * mp.pi) / 2) * x


def psi_near_root(w):
    """The quotient psi(r + w) / w, where psi(r) = 0."""
    return mp.psi(0, psi_root() + w) / w if abs(w) > TINY else mp.psi(1, psi_root())


def psi_root():
    """The positive zero of psi."""
    return mp.findroot(lambda x: mp.psi(0, x), mp.mpf("1.4616"))


def psi_tail(u):
    """The series x^2 (log x - 1 / (2 x) - psi(x))."""
    x = 1 / mp.sqrt(u)
    return (mp.log(x) - 1 / (2 * x) - mp.psi(0, x)) * x * x


def trigamma_tail(u):
    """The series x^3 (psi'(x) - 1 / x - 1 / (2 x^2))."""
    x = 1 / mp.sqrt(u)
    return (mp.psi(1, x) - 1 / x - 1 / (2 * x * x)) * x**3


def tables() -> dict[str, list]:
    """All coefficients by name."""
    mp.mp.dps = 60
    half_log2 = mp.log(2) / 2 * mp.mpf("1.001")
    largest = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.001")
    eighth = (mp.pi / 4) ** 2 * mp.mpf("1.001")
    root, last = psi_root(), mp.mpf(28 - ERFCX_MIDDLE) / (28 + ERFCX_MIDDLE)
    return {
        "EXP_TAIL": fit(exp_tail, -half_log2, half_log2, 10),
        "ATANH_TAIL": fit(atanh_tail, 0, largest, 7),
        "POWER_TAIL": fit(power_tail, 0, largest, 7),
        "TWO_THIRDS_LOG2_E_PARTS": parts(2 / (3 * mp.log(2)), 25),
        "LOG1P_TAIL": fit(log1p_tail, 0, 1, 20),
        "EXP_TABLE": exp_table(),
        "EXP_SHORT_TAIL": fit(exp_tail, -half_log2 / EXP_STEPS, half_log2 / EXP_STEPS, 3),
        "LOG2_STEP_PARTS": parts(mp.log(2) / EXP_STEPS, 42),
        "LOG_TABLE": log_table(),
        "LOG1P_SQUARE_TAIL": fit(log1p_square_tail, mp.mpf("-0.0275"), mp.mpf("0.0275"), 7),
        "LOG2_PARTS": parts(mp.log(2), 32),
        "LOG10_2_PARTS": parts(mp.log10(2), 32),
        "LOG2_E_PARTS": parts(1 / mp.log(2), 22),
        "LOG10_E_PARTS": parts(1 / mp.log(10), 22),
        "SIN_TAIL": fit(sin_tail, 0, eighth, 5),
        "COS_TAIL": fit(cos_tail, 0, eighth, 5),
        "HALF_PI_PARTS": parts(mp.pi / 2, 32, 65, 98),
        "ARCTAN_TAIL": fit(arctan_tail, 0, (mp.sqrt(2) - 1) ** 2 * mp.mpf("1.001"), 11),
        "ARCSIN_TAIL": fit(arcsin_tail, 0, mp.mpf("0.2501"), 12),
        "ERF_TAIL": fit(erf_tail, 0, mp.mpf("1.001"), 12),
        "SCALED_ERFC": fit(scaled_erfc, -1, last, 22),
        "GAMMALN_NEAR_2": fit(gammaln_near_2, -0.65, 0.5, 20),
        "STIRLING": fit(stirling, 0, mp.mpf("0.16"), 12),
        "PSI_ROOT_PARTS": parts(root, 40, 80),
        "PSI_NEAR_ROOT": fit(psi_near_root, 1 - root, mp.mpf("2.5") - root, 24),
        "PSI_TAIL": fit(psi_tail, 0, mp.mpf("0.16"), 13),
        "TRIGAMMA_TAIL": fit(trigamma_tail, 0, mp.mpf(1) / 9, 13),
    }


def render() -> str:
    """The module as text."""
    text = [HEAD]
    for name, values in tables().items():
        text.append(f"{name} = (\n" + "".join(f"    {v!r},\n" for v in values) + ")\n")
    return "".join(text)


if __name__ == "__main__":
    TARGET.write_text(render())
