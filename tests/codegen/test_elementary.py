"""Native functions: against mpmath over their range, against NumPy and SciPy at the edges and for every primitive."""

from __future__ import annotations

import ctypes
import warnings

import mpmath as mp
import numpy as np
import pytest
from scipy import special

from docs.make_accuracy import PAGE, REFERENCES, points_in
from probad.ad.core import PRIMITIVES
from probad.ad.kinds import DOMAINS, PARTIALS
from probad.codegen import elementary
from probad.codegen.llvm import compile_module
from probad.codegen.text import LANES, Module
from scripts import make_coefficients

LIMIT = 3.0  # units in the last place
EDGES = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 5e-324, 1e-310, 1e308, -1e308, 2.0, 0.5])


def native(op: str, n_arguments: int, lanes: int):
    """An elementwise operation over arrays, with vectors or number by number."""
    module = Module()
    fn = module.function("f", "void", ["ptr"] * (n_arguments + 1) + ["i64"])
    *inputs, out, n = fn.arguments
    with fn.loop(0, n, lanes) as loop:
        value = elementary.apply(fn, op, [fn.load(fn.element(x, loop.index), lanes) for x in inputs], inline=lanes > 1)
        fn.store(value, fn.element(out, loop.index))
    fn.ret_void()
    code = compile_module(module.text(), symbols=module.symbols)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (n_arguments + 1), ctypes.c_int64)(code.address("f"))

    def run(*arrays):
        padded = [np.concatenate([a, np.repeat(a[-1:], -len(a) % LANES)]).astype(float) for a in arrays]
        result = np.empty_like(padded[0])
        call(*(a.ctypes.data for a in padded), result.ctypes.data, len(result))
        return result[: len(arrays[0])]

    run.code = code
    return run


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("op", list(REFERENCES))
def test_functions_are_exact_to_three_units(op, lanes):
    reference, ranges = REFERENCES[op]
    for low, high in ranges:
        x = points_in(low, high, np.random.default_rng(7))[:500]
        with mp.workdps(40):
            for point, y in zip(x, native(op, 1, lanes)(x), strict=True):
                exact = reference(mp.mpf(float(point)))
                assert abs(mp.mpf(float(y)) - exact) <= LIMIT * np.spacing(abs(float(exact))), point


@pytest.mark.parametrize("op", list(REFERENCES))
def test_edges(op):
    function = getattr(np, op, None) or getattr(special, op)
    # SciPy's gammaln gives up close to 0, where ours is right, and has its own view of -inf; C's is inf, as ours
    edges = EDGES[(np.abs(EDGES) > 1e-300) & (EDGES > -np.inf)] if op == "gammaln" else EDGES
    with np.errstate(all="ignore"):
        expected = function(edges)
    got = native(op, 1, 4)(edges)
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=0)
    if op not in ("gammaln", "psi"):
        zero = expected == 0
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))


def _elementwise():
    return [op for op, partials in PARTIALS.items() if elementary.has_code(op, len(partials))]


@pytest.mark.parametrize("op", _elementwise())
def test_every_elementwise_primitive_with_native_code(op):
    n = len(PARTIALS[op])
    rng = np.random.default_rng(3)
    domains = DOMAINS[op]
    arrays = [
        rng.integers(d.start, d.stop, 40).astype(float) if isinstance(d, range) else rng.uniform(*d, 40)
        for d in domains
    ]
    whole = [isinstance(d, range) for d in domains]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = [a.astype(int) if w else a for a, w in zip(arrays, whole, strict=True)]
        expected = np.asarray(PRIMITIVES[op].impl(*given), dtype=float)
    for lanes in (1, 4):
        np.testing.assert_allclose(native(op, n, lanes)(*arrays), expected, rtol=1e-12, atol=1e-13)


def test_coefficients_are_those_of_the_script():
    assert make_coefficients.TARGET.read_text() == make_coefficients.render()


def test_the_page_lists_the_functions_that_are_measured():
    text = PAGE.read_text()
    assert all(f"| `{op}` |" in text for op in REFERENCES)
