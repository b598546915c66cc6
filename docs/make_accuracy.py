"""Measure the native functions against mpmath: ``python docs/make_accuracy.py`` writes ``docs/native_functions.md``."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import mpmath as mp
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from probad.codegen import elementary  # noqa: E402  (the package of this checkout)
from probad.codegen.llvm import compile_module  # noqa: E402
from probad.codegen.text import LANES, Module  # noqa: E402

PAGE = ROOT / "docs" / "native_functions.md"
N_POINTS = 4000
# name, the function by mpmath, and the ranges that are measured: two numbers, or powers of ten with a sign
REFERENCES = {
    "exp": (mp.exp, [(-745, 709), (-1, 1)]),
    "expm1": (mp.expm1, [(-60, 709), (-1, 1)]),
    "log": (mp.log, [("1e-320", "1e308"), (0.5, 2)]),
    "log1p": (mp.log1p, [(-0.9999, 3), ("1e-300", "1e300")]),
    "sinh": (mp.sinh, [(-709, 709), (-2, 2)]),
    "cosh": (mp.cosh, [(-709, 709), (-2, 2)]),
    "tanh": (mp.tanh, [(-25, 25), (-2, 2)]),
    "expit": (lambda x: 1 / (1 + mp.exp(-x)), [(-700, 700), (-5, 5)]),
    "log_expit": (lambda x: -mp.log1p(mp.exp(-x)), [(-700, 700), (-5, 5)]),
    "logit": (lambda x: mp.log(x) - mp.log1p(-x), [(0.0001, 0.9999), ("1e-300", "1e-4")]),
    "sin": (mp.sin, [(-100, 100), (-4, 4)]),
    "cos": (mp.cos, [(-100, 100), (-4, 4)]),
    "tan": (mp.tan, [(-100, 100), (-1.5, 1.5)]),
    "erf": (mp.erf, [(-6, 6), ("1e-300", "1")]),
    "erfc": (mp.erfc, [(-6, 26)]),
    "gammaln": (lambda x: mp.log(abs(mp.gamma(x))), [(3, 170), ("1e-10", "0.5")]),
    "psi": (mp.digamma, [(2, 170), ("1e-10", "1")]),
}


def native(op: str):
    """The function of arrays that native code computes, four elements at a time."""
    module = Module()
    fn = module.function("f", "void", ["ptr", "ptr", "i64"])
    x, y, n = fn.arguments
    with fn.loop(0, n, LANES) as loop:
        value = elementary.apply(fn, op, [fn.load(fn.element(x, loop.index), LANES)], inline=True)
        fn.store(value, fn.element(y, loop.index))
    fn.ret_void()
    code = compile_module(module.text(), symbols=module.symbols)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(code.address("f"))

    def run(points: np.ndarray) -> np.ndarray:
        out = np.empty_like(points)
        call(points.ctypes.data, out.ctypes.data, len(points))
        return out

    run.code = code  # which must live as long
    return run


def points_in(low, high, rng: np.random.Generator) -> np.ndarray:
    """Points between two numbers, or between two powers of ten if they are given as text."""
    if isinstance(low, str):
        return 10.0 ** rng.uniform(np.log10(float(low)), np.log10(float(high)), N_POINTS)
    return rng.uniform(low, high, N_POINTS)


def largest_error(op: str, low, high) -> tuple[float, float]:
    """The largest error in units in the last place, and where it is."""
    reference = REFERENCES[op][0]
    points = points_in(low, high, np.random.default_rng(len(op)))
    found = native(op)(points)
    errors = []
    for x, y in zip(points, found, strict=True):
        exact = reference(mp.mpf(float(x)))
        unit = np.spacing(abs(float(exact)))
        errors.append(float(abs(mp.mpf(float(y)) - exact) / mp.mpf(float(unit))))
    worst = int(np.argmax(errors))
    return errors[worst], float(points[worst])


def render() -> str:
    """The page."""
    mp.mp.dps = 40
    lines = [
        "# Native functions",
        "",
        "How exact the functions are that probad writes as native code itself: the largest error found against mpmath,",
        "in units in the last place of the result, at 4000 points of each range. Made by `docs/make_accuracy.py`.",
        "",
        "| function | range | largest error, ulp | at |",
        "|---|---|---|---|",
    ]
    for op, (_, ranges) in REFERENCES.items():
        for low, high in ranges:
            error, where = largest_error(op, low, high)
            lines.append(f"| `{op}` | {low} to {high} | {error:.2f} | {where:.6g} |")
    lines += [
        "",
        "Other functions are taken from the C library or from SciPy, element by element, and are as exact as there;",
        "what neither has is computed by Python. [Native code](native_code.md) says how it all fits.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(render())
