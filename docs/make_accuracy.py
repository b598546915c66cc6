"""Measure the native functions against mpmath: ``python docs/make_accuracy.py`` writes ``docs/native_functions.md``."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import mpmath as mp
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import probad.ad  # noqa: E402, F401  (the package of this checkout; registers all rules)
from probad.ad.kinds import PARTIALS  # noqa: E402
from probad.codegen import elementary  # noqa: E402
from probad.codegen.calls import is_in_a_library  # noqa: E402
from probad.codegen.llvm import compile_module  # noqa: E402
from probad.codegen.special import emitter  # noqa: E402
from probad.codegen.text import LANES, Module  # noqa: E402

PAGE = ROOT / "docs" / "native_functions.md"
N_POINTS = 2000


def log_gamma(x):
    """Log |Gamma(x)|."""
    return mp.re(mp.loggamma(x))


def normal_quantile(p):
    """The quantile of the standard normal distribution, by Newton's method on the logarithm of the smaller tail."""
    tail = min(p, 1 - p)
    x = -mp.sqrt(-2 * mp.log(tail)) if tail < 0.1 else mp.mpf(0)
    for _ in range(50):
        step = (mp.log(mp.ncdf(x)) - mp.log(tail)) * mp.ncdf(x) / mp.npdf(x)
        x -= step
        if abs(step) <= mp.eps * 4 * abs(x):
            break
    return x if p < 0.5 else -x


def signed(low: str, high: str) -> tuple[str, str, str]:
    """Both signs of a range of powers of ten."""
    return (low, high, "both signs")


SMALL = signed("1e-300", "1")
# By family and name: the function by mpmath, and the ranges that are measured, for each argument: two numbers, or
# powers of ten, as text.
REFERENCES = {
    "exponentials": {
        "exp": (mp.exp, [(-745, 709), (-1, 1)]),
        "exp2": (lambda x: mp.power(2, x), [(-1074, 1023), (-1, 1)]),
        "exp10": (lambda x: mp.power(10, x), [(-323, 308), (-1, 1)]),
        "expm1": (mp.expm1, [(-60, 709), (-1, 1), SMALL]),
        "exprel": (lambda x: mp.expm1(x) / x, [(-700, 700), (-1, 1)]),
    },
    "logarithms": {
        "log": (mp.log, [("1e-320", "1e308"), (0.5, 2)]),
        "log2": (lambda x: mp.log(x) / mp.log(2), [("1e-320", "1e308"), (0.5, 2)]),
        "log10": (mp.log10, [("1e-320", "1e308"), (0.5, 2)]),
        "log1p": (mp.log1p, [(-0.9999, 3), ("1e-300", "1e300")]),
        "entr": (lambda x: -x * mp.log(x), [("1e-300", "1e300"), (0, 2)]),
    },
    "logistic functions": {
        "expit": (lambda x: 1 / (1 + mp.exp(-x)), [(-700, 700), (-5, 5)]),
        "log_expit": (lambda x: -mp.log1p(mp.exp(-x)), [(-700, 700), (-5, 5)]),
        "logit": (lambda x: mp.log(x) - mp.log1p(-x), [(0.0001, 0.9999), ("1e-300", "1e-4")]),
    },
    "powers": {
        "power": (mp.power, [((0.05, 4), (-3, 3)), (("1e-300", "1e300"), (-1, 1)), ((0.99, 1.01), (-60000, 60000))]),
        "powm1": (lambda a, b: mp.power(a, b) - 1, [((0.05, 4), (-3, 3))]),
        "boxcox": (lambda x, k: (mp.power(x, k) - 1) / k, [((0.05, 4), (-3, 3))]),
        "cbrt": (mp.cbrt, [("1e-320", "1e308")]),
        "hypot": (mp.hypot, [((-4, 4), (-4, 4)), (("1e-300", "1e300"), ("1e-300", "1e300"))]),
    },
    "circular functions": {
        "sin": (mp.sin, [(-4, 4), (-1e6, 1e6), SMALL]),
        "cos": (mp.cos, [(-4, 4), (-1e6, 1e6)]),
        "tan": (mp.tan, [(-1.6, 1.6), (-1e6, 1e6), SMALL]),
        "cosm1": (lambda x: mp.cos(x) - 1, [(-4, 4), signed("1e-6", "1")]),
        "arcsin": (mp.asin, [(-1, 1), SMALL]),
        "arccos": (mp.acos, [(-1, 1), (0.999, 1)]),
        "arctan": (mp.atan, [(-4, 4), signed("1e-300", "1e300")]),
        "arctan2": (mp.atan2, [((-4, 4), (-4, 4)), (signed("1e-99", "1e99"), signed("1e-99", "1e99"))]),
    },
    "hyperbolic functions": {
        "sinh": (mp.sinh, [(-710, 710), (-2, 2), SMALL]),
        "cosh": (mp.cosh, [(-710, 710), (-2, 2)]),
        "tanh": (mp.tanh, [(-25, 25), (-2, 2), SMALL]),
        "arcsinh": (mp.asinh, [(-4, 4), signed("1e-300", "1e300")]),
        "arccosh": (mp.acosh, [(1, 4), ("1e1", "1e300")]),
        "arctanh": (mp.atanh, [(-1, 1), SMALL]),
    },
    "error functions, normal distribution": {
        "erf": (mp.erf, [(-6, 6), SMALL]),
        "erfc": (mp.erfc, [(-6, 26.5), (-1, 3)]),
        "erfcx": (lambda x: mp.exp(x * x) * mp.erfc(x), [(-26, 30), ("1", "1e7")]),
        "ndtr": (mp.ncdf, [(-37.5, 8), (-3, 3)]),
        "log_ndtr": (lambda x: mp.log(mp.ncdf(x)) if x < 0 else mp.log1p(-mp.ncdf(-x)), [(-37.5, 37), (-3, 3)]),
        "inverse_mills": (lambda x: mp.npdf(x) / mp.ncdf(x), [(-37.5, 37), (-3, 3)]),
        "erfinv": (mp.erfinv, [(-1, 1)]),
        "ndtri": (normal_quantile, [(0.0001, 0.9999), ("1e-300", "1e-4")]),
        "erfcinv": (lambda y: -normal_quantile(y / 2) / mp.sqrt(2), [(0.0001, 1.9999), ("1e-300", "1e-4")]),
    },
    "gamma function": {
        "gammaln": (log_gamma, [(0, 4), (4, 170), ("1e-300", "1e300")]),
        "psi": (mp.digamma, [(0, 4), (4, 170), ("1e-300", "1e300")]),
        "polygamma1": (lambda x: mp.psi(1, x), [(0, 4), (4, 170), ("1e-150", "1e150")]),
        "polygamma2": (lambda x: mp.psi(2, x), [(0, 4), (4, 170)]),
        "polygamma3": (lambda x: mp.psi(3, x), [(0, 4), (4, 170), (-6, 0)]),
    },
    "losses": {
        "rel_entr": (lambda p, q: p * mp.log(p / q), [((0.05, 4), (0.05, 4))]),
        "pseudo_huber": (lambda d, r: d * d * (mp.sqrt(1 + (r / d) ** 2) - 1), [((0.5, 1.5), (-3, 3))]),
    },
}
FUNCTIONS = {op: entry for entries in REFERENCES.values() for op, entry in entries.items()}
LIMIT = 3.0  # what the tests allow, but for these
LIMITS = {"gammaln": 4.0, "polygamma2": 4.0, "polygamma3": 8.0, "log_ndtr": 4.5, "inverse_mills": 4.5,
          "erfinv": 6.0, "erfcinv": 6.0, "ndtri": 6.0}  # fmt: skip
# Functions with zeros of which only one side is exact: error over the larger of 1 and the result, in units of 2^-52.
AROUND_ZEROS = {
    "gammaln": (log_gamma, (-20, 0)),
    "psi": (mp.digamma, (-20, 0)),
    "polygamma1": (lambda x: mp.psi(1, x), (-20, 0)),
    "polygamma2": (lambda x: mp.psi(2, x), (-6, 0)),
    "kl_div": (lambda p, q: p * mp.log(p / q) - p + q, ((0.05, 4), (0.05, 4))),
}


def native(op: str, n_arguments: int, lanes: int = LANES):
    """The function of arrays that native code computes, four elements at a time or one by one."""
    module = Module()
    fn = module.function("f", "void", ["ptr"] * (n_arguments + 1) + ["i64"])
    *inputs, out, n = fn.arguments
    with fn.loop(0, n, lanes) as loop:
        value = elementary.apply(fn, op, [fn.load(fn.element(x, loop.index), lanes) for x in inputs], inline=lanes > 1)
        value = value.to_double() if value.is_bool else value
        fn.store(value, fn.element(out, loop.index))
    fn.ret_void()
    code = compile_module(module.text(), symbols=module.symbols)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (n_arguments + 1), ctypes.c_int64)(code.address("f"))

    def run(*arrays: np.ndarray) -> np.ndarray:
        padded = [np.concatenate([a, np.repeat(a[-1:], -len(a) % LANES)]).astype(float) for a in arrays]
        result = np.empty_like(padded[0])
        call(*(a.ctypes.data for a in padded), result.ctypes.data, len(result))
        return result[: len(arrays[0])]

    run.code = code  # which must live as long
    return run


def ranges_of(entry: tuple) -> tuple:
    """The range of each argument."""
    return entry if isinstance(entry[0], tuple) else (entry,)


def points_in(entry: tuple, rng: np.random.Generator, n: int = N_POINTS) -> list[np.ndarray]:
    """Points in the range of each argument, uniform or uniform in the exponent."""
    out = []
    for low, high, *signs in ranges_of(entry):
        if isinstance(low, str):
            x = 10.0 ** rng.uniform(np.log10(float(low)), np.log10(float(high)), n)
            out.append(x * rng.choice([-1.0, 1.0], n) if signs else x)
        else:
            out.append(rng.uniform(low, high, n))
    return out


def exact_values(reference, points: list[np.ndarray]) -> list:
    """The function by mpmath; digits enough for what cancels."""
    with mp.workdps(60):
        return [reference(*(mp.mpf(float(x)) for x in xs)) for xs in zip(*points, strict=True)]


def errors(found: np.ndarray, exact: list, *, around_zeros: bool = False) -> np.ndarray:
    """Errors in units in the last place of the exact results."""
    rounded = np.abs([float(e) for e in exact])
    units = np.maximum(rounded, 1.0) * np.finfo(float).eps if around_zeros else np.spacing(rounded)
    with mp.workdps(60):
        gaps = [abs(mp.mpf(float(y)) - e) / mp.mpf(float(u)) for y, e, u in zip(found, exact, units, strict=True)]
    return np.array([float(gap) for gap in gaps])


def measure(op: str, reference, entry: tuple, *, around_zeros: bool = False) -> tuple[float, list[float]]:
    """The largest error in a range, and where it is."""
    points = points_in(entry, np.random.default_rng(len(op)))
    exact = exact_values(reference, points)
    gaps = np.maximum(
        *(errors(native(op, len(points), n)(*points), exact, around_zeros=around_zeros) for n in (1, LANES))
    )
    worst = int(np.argmax(gaps))
    return gaps[worst], [float(x[worst]) for x in points]


def shown(entry: tuple) -> str:
    """Ranges as text."""
    return "; ".join(f"{'±' * len(signs)}{a:.6g} to {b:.6g}" if not isinstance(a, str) else
                     f"{'±' * len(signs)}{a} to {b}" for a, b, *signs in ranges_of(entry))  # fmt: skip


def render() -> str:
    """The page."""
    lines = [
        "# Native functions",
        "",
        "How exact the functions are that probad writes as native code itself: the largest error found against mpmath, "
        f"in units in the last place of the result (0.5 is perfect), at {N_POINTS} random points of each range. "
        "Where a range is given by powers of ten the exponents are uniform. Code for one number may go another way "
        "than code for four; the larger error counts. Made by `docs/make_accuracy.py`.",
    ]
    for family, entries in REFERENCES.items():
        lines += ["", f"## {family.capitalize()}", "", "| function | range | largest error | at |", "|---|---|---|---|"]
        for op, (reference, ranges) in entries.items():
            for entry in ranges:
                gap, where = measure(op, reference, entry)
                lines.append(f"| `{op}` | {shown(entry)} | {gap:.2f} | {', '.join(f'{x:.6g}' for x in where)} |")
    lines += [
        "",
        "## Around zeros",
        "",
        "Close to the zeros of these functions the error is small against 1, not against the result: it is measured in "
        "units of 2^-52 times the result, or times 1 if that is more.",
        "",
        "| function | range | largest error | at |",
        "|---|---|---|---|",
    ]
    for op, (reference, entry) in AROUND_ZEROS.items():
        gap, where = measure(op, reference, entry, around_zeros=True)
        lines.append(f"| `{op}` | {shown(entry)} | {gap:.2f} | {', '.join(f'{x:.6g}' for x in where)} |")
    return "\n".join([*lines, *ends()])


def ends() -> list[str]:
    """Where the others come from."""
    sources = {True: [], False: []}
    for op, partials in sorted(PARTIALS.items()):
        if op not in elementary.DIRECT and emitter(op) is None:
            sources[is_in_a_library(op, len(partials))].append(f"`{op}`")
    return [
        "",
        "## Functions of libraries",
        "",
        "Called element by element, and as exact as there: " + ", ".join(sources[True]) + ".",
        "",
        "Computed by Python on arrays, because no library has a function of plain numbers for them: "
        + ", ".join(sources[False]) + ".",
        "",
        "[Native code](native_code.md) says how it all fits.",
        "",
    ]  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(render())
