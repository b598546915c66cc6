"""Native functions: against mpmath over their range, against NumPy and SciPy at the edges and for every primitive."""

from __future__ import annotations

import inspect
import warnings

import mpmath as mp
import numpy as np
import pytest
from scipy import special

from docs.make_accuracy import (
    AROUND_ZEROS,
    FUNCTIONS,
    LIMIT,
    LIMITS,
    PAGE,
    ends,
    errors,
    exact_values,
    native,
    points_in,
    ranges_of,
)
from probad.ad.core import PRIMITIVES
from probad.ad.kinds import DOMAINS, PARTIALS
from probad.ad.rules.special import phi, polygamma
from probad.codegen import elementary
from probad.codegen.calls import LIBM
from probad.codegen.llvm import Target, assembly
from probad.codegen.special.registry import FAMILIES, WRITTEN
from probad.codegen.text import LANES, Module
from scripts import make_coefficients

for n in (1, 2):  # the members of a family are made when they are first used
    polygamma(n + 1, np.float64(1.0)), phi(n, np.float64(1.0))
SINGLE = [op for op, (_, ranges) in FUNCTIONS.items() if len(ranges_of(ranges[0])) == 1]
DOUBLE = ["power", "arctan2", "hypot", "logaddexp", "logaddexp2", "xlogy", "xlog1py", "fmod", "remainder",
          "floor_divide", "rel_entr"]  # fmt: skip
EDGES = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 5e-324, 1e-310, 1e308, -1e308, 2.0, 0.5, -0.5, 3.0,
                  -3.0, 1e17, -1e-200, 709.8, -745.2, 1e7, 0.3, 2.5])  # fmt: skip


# --- over the whole range -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_are_as_exact_as_the_page_says(op):
    reference, ranges = FUNCTIONS[op]
    for entry in ranges:
        points = points_in(entry, np.random.default_rng(7), 300)
        exact = exact_values(reference, points)
        for lanes in (1, LANES):
            gaps = errors(native(op, len(points), lanes)(*points), exact)
            worst = int(np.argmax(gaps))
            assert gaps[worst] <= LIMITS.get(op, LIMIT), [x[worst] for x in points]


@pytest.mark.parametrize("op", AROUND_ZEROS)
def test_functions_are_exact_beside_their_zeros(op):
    reference, entry = AROUND_ZEROS[op]
    points = points_in(entry, np.random.default_rng(7), 300)
    gaps = errors(native(op, len(points))(*points), exact_values(reference, points), around_zeros=True)
    assert gaps.max() <= 8


def test_log_gamma_is_exact_near_its_zeros():
    offsets = np.concatenate([10.0 ** np.arange(-15.0, -1), -(10.0 ** np.arange(-15.0, -1))])
    x = np.concatenate([1 + offsets, 2 + offsets])
    assert errors(native("gammaln", 1)(x), exact_values(mp.loggamma, [x])).max() <= 3


def test_psi_is_exact_near_its_zero():
    x = 1.4616321449683622 + np.concatenate([10.0 ** np.arange(-15.0, -1), -(10.0 ** np.arange(-15.0, -1))])
    assert errors(native("psi", 1)(x), exact_values(mp.digamma, [x])).max() <= 3


def test_angles_near_multiples_of_a_quarter_turn_keep_their_digits():
    k = np.arange(1.0, 600_000, 997)
    for x in (k * (np.pi / 2), np.nextafter(k * (np.pi / 2), 0)):
        for op, reference in (("sin", mp.sin), ("cos", mp.cos), ("tan", mp.tan)):
            assert errors(native(op, 1)(x), exact_values(reference, [x])).max() <= LIMIT


def test_results_that_are_whole_powers_are_exact():
    k = np.arange(-1074.0, 1024)
    powers = np.ldexp(1.0, k.astype(int))
    np.testing.assert_array_equal(native("exp2", 1)(k), powers)
    np.testing.assert_array_equal(native("log2", 1)(powers), k)
    tens = np.arange(23.0)
    np.testing.assert_array_equal(native("log10", 1)(np.array([float(10 ** int(n)) for n in tens])), tens)
    base, exponent = (x.ravel() for x in np.meshgrid(np.arange(-30.0, 31), np.arange(0.0, 11)))
    expected = np.array([float(int(b) ** int(e)) for b, e in zip(base, exponent, strict=True)])
    np.testing.assert_array_equal(native("power", 2)(base, exponent), expected)


# --- at the edges ---------------------------------------------------------------------------------------------------
def reference(op):
    if op.startswith("polygamma"):
        return lambda x: special.polygamma(int(op[9:]), x)
    if op == "inverse_mills":
        return PRIMITIVES[op].impl
    return getattr(np, op, None) or getattr(special, op)


# SciPy gives erfinv(-0) = 0 and erfcinv(1) = -0; the sign of what is lost below the smallest number says nothing
SIGNS_OF_ZERO = {"erfinv", "erfcinv", "log_ndtr"}


def same_at(op, *points):
    with np.errstate(all="ignore"):
        expected = reference(op)(*points)
    for lanes in (1, LANES):
        got = native(op, len(points), lanes)(*points)
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-320)
        if op not in SIGNS_OF_ZERO:
            zero = (expected == 0) & ~np.isnan(got)
            np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))


# where SciPy is wrong: it gives up close to 0 or far out, and has a view of its own of minus infinity
SCIPY_IS_WRONG = {
    "gammaln": lambda x: (x > -np.inf) & ((np.abs(x) > 1e-300) | (x == 0)),
    "exp10": lambda x: x > -300,
    "polygamma2": lambda x: x >= 0,
    "polygamma3": lambda x: x >= 0,
    "inverse_mills": lambda x: x < 37,
    "rel_entr": lambda p, q: np.minimum(np.abs(p), np.abs(q)) > 1e-300,
}


@pytest.mark.parametrize("op", SINGLE)
def test_edges(op):
    right = SCIPY_IS_WRONG.get(op)
    same_at(op, EDGES if right is None else EDGES[right(EDGES)])


@pytest.mark.parametrize("op", DOUBLE)
def test_edges_of_two_arguments(op):
    points = [x.ravel() for x in np.meshgrid(EDGES, EDGES)]
    right = SCIPY_IS_WRONG.get(op)
    same_at(op, *(points if right is None else [x[right(*points)] for x in points]))


@pytest.mark.parametrize("op", elementary.DIRECT)
def test_single_instructions_do_what_numpy_does(op):
    n = len(inspect.signature(elementary.DIRECT[op]).parameters)
    points = [x.ravel() for x in np.meshgrid(*[np.append(EDGES, [2.5, -1.5, 2.0**52 + 1])] * n)]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2.5 gives up fix, as a name
        expected = np.asarray(getattr(np, op)(*points), dtype=float)
    for lanes in (1, LANES):
        np.testing.assert_array_equal(native(op, n, lanes)(*points), expected)


@pytest.mark.parametrize("op", [op for op in WRITTEN if op in DOMAINS])
def test_one_number_and_four_give_the_same(op):
    rng = np.random.default_rng(5)
    points = [rng.uniform(*domain, 400) for domain in DOMAINS[op]]
    one, four = native(op, len(points), 1)(*points), native(op, len(points))(*points)
    if "_TABLE" in text_of(op, len(points), 1):  # of single numbers: by tables
        np.testing.assert_allclose(one, four, rtol=2e-15, atol=2e-15)
    else:
        np.testing.assert_array_equal(one, four)


def test_one_rare_element_changes_no_other():
    for op, rare in (("sin", 1e200), ("gammaln", -2.5), ("psi", -0.3), ("polygamma1", -1.2), ("tan", np.inf)):
        run = native(op, 1)
        x = np.array([0.3, 1.1, 2.2, 3.1])
        for k in range(4):
            mixed = np.where(np.arange(4) == k, rare, x)
            expected = np.where(np.arange(4) == k, run(np.full(4, rare)), run(x))
            np.testing.assert_array_equal(run(mixed), expected)


# --- every primitive ------------------------------------------------------------------------------------------------
# What is left to Python: functions with several results or whole numbers as arguments, and those of two variables
# that SciPy does not offer for single numbers.
BY_PYTHON = ("airy_", "ellipj_", "eval_", "fresnel_", "sine_integral", "cosine_integral", "sinh_integral",
             "cosh_integral", "zeta", "gammainc_d", "betainc_d", "spherical")  # fmt: skip


def test_every_other_elementwise_primitive_has_native_code():
    without = [op for op, partials in PARTIALS.items() if not elementary.has_code(op, len(partials))]
    assert not [op for op in without if not op.startswith(BY_PYTHON) and op in ORIGINAL]


ORIGINAL = frozenset(PARTIALS)


@pytest.mark.parametrize("op", [op for op in PARTIALS if elementary.has_code(op, len(PARTIALS[op]))])
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
    for lanes in (1, LANES):
        np.testing.assert_allclose(native(op, n, lanes)(*arrays), expected, rtol=1e-13, atol=1e-14)


def test_tables_hold_at_the_borders_of_their_cells():
    """Between two entries, where the polynomials go furthest; and where the cells around 1 begin and end."""
    steps = np.arange(-200.5, 200.0) * (np.log(2) / 64)
    cells = np.concatenate([np.arange(89.5, 128) / 128, 1 + np.arange(0.5, 64) / 64])
    around = np.concatenate([cells, 2.0 * cells, 0.5 * cells])
    for op, reference, x, limit in (
        ("exp", mp.exp, steps, 0.6),
        ("log", mp.log, around, 0.6),
        ("log1p", mp.log1p, around - 1, 1.1),  # where 1 + x is rounded into the next cell
    ):
        for near in (x, np.nextafter(x, -np.inf), np.nextafter(x, np.inf)):
            assert errors(native(op, 1, 1)(near), exact_values(reference, [near])).max() <= limit


def test_exponentials_end_where_those_of_c_do():
    x = np.array([709.782712893384, 709.7827128933841, 709.79, 1e4, -708.4, -740.0, -745.13, -745.14, -1e300])
    with np.errstate(all="ignore"):
        expected = np.exp(x)
    for lanes in (1, LANES):
        np.testing.assert_allclose(native("exp", 1, lanes)(x), expected, rtol=3e-16, atol=5e-324)


def test_logarithms_of_the_largest_and_smallest_numbers():
    x = np.array([np.finfo(float).max, 2.0**1023, 1.5 * 2.0**1023, 1e300, 2.0**53, 2.0**53 + 2, 1 + 2.0**-52,
                  np.finfo(float).tiny, 1e-310, 5e-324])  # fmt: skip
    for lanes in (1, LANES):
        np.testing.assert_array_max_ulp(native("log", 1, lanes)(x), np.log(x), maxulp=1)
        more = np.concatenate([x, -x[-3:], [-1 + 2.0**-53]])
        np.testing.assert_array_max_ulp(native("log1p", 1, lanes)(more), np.log1p(more), maxulp=1)


# --- the code itself ------------------------------------------------------------------------------------------------
def text_of(op: str, n: int, lanes: int) -> str:
    module = Module()
    fn = module.function(
        "f", "double" if lanes == 1 else "<4 x double>", ["double" if lanes == 1 else "<4 x double>"] * n
    )
    fn.ret(elementary.apply(fn, op, fn.arguments, inline=True))
    return module.text()


@pytest.mark.parametrize(
    "processor", [("aarch64-unknown-linux-gnu", "cortex-a72"), ("x86_64-unknown-linux-gnu", "x86-64")]
)
def test_all_functions_compile_for_other_processors(processor):
    for op, emit in WRITTEN.items():
        n_operands = len(inspect.signature(emit).parameters)
        for lanes in (1, LANES):
            assert "f:" in assembly(text_of(op, n_operands, lanes), target=Target(*processor, ""))


@pytest.mark.parametrize("processor", ["x86-64", "x86-64-v3"])
def test_fused_operations_change_no_accuracy(processor, monkeypatch):
    monkeypatch.setenv("PROBAD_CPU", processor)
    for op in ("exp", "log1p", "sin", "tan", "power", "gammaln", "psi", "erfc", "log_ndtr", "log2", "arctan2"):
        reference, ranges = FUNCTIONS[op]
        points = points_in(ranges[0], np.random.default_rng(11), 200)
        gaps = errors(native(op, len(points))(*points), exact_values(reference, points))
        assert gaps.max() <= LIMITS.get(op, LIMIT), op


def test_one_definition_in_a_module_serves_all_calls():
    module = Module()
    fn = module.function("f", "double", ["double"])
    x = fn.arguments[0]
    fn.ret(elementary.apply(fn, "gammaln", [x], inline=True) + elementary.apply(fn, "gammaln", [x + 1.0], inline=True))
    definitions = [line for line in module.text().splitlines() if line.startswith("define") and "@gammaln_1(" in line]
    assert len(definitions) == 1


def test_coefficients_are_those_of_the_script():
    assert make_coefficients.TARGET.read_text() == make_coefficients.render()


def test_the_page_lists_the_functions_that_are_measured():
    text = PAGE.read_text()
    assert all(f"| `{op}` |" in text for op in [*FUNCTIONS, *AROUND_ZEROS])
    assert set(LIBM) <= set(WRITTEN) and set(FAMILIES) == {"phi", "polygamma"}
    assert ends()[-2] in text
