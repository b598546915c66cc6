"""What the survey of automatic differentiation shows, as tests: its figures, its claims, and a row of Table 5 each.

Baydin, Pearlmutter, Radul and Siskind, Journal of Machine Learning Research 18 (2018) 1. Tables 1 to 3 are in
`test_transforms.py` and `test_trace_table.py`, checkpointing and fixed points in the tests of their modules.
"""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from numpy.polynomial import Polynomial
from scipy import special

from probad.ad import (
    ResidualBlock,
    anomaly_mode,
    check_grads,
    checkpointed_loop,
    curried_grad,
    custom_derivative,
    derivative,
    fixed_point,
    grad,
    graph,
    hessian,
    hvp,
    interval,
    jacobian,
    jvp,
    least_squares,
    sparse_hessian,
    sparse_jacobian,
    taylor,
    trace_table,
    value_and_grad,
    vjp,
    vmap,
)
from probad.errors import GradientError, InPlaceError, LeakedValueError
from tests.tolerances import EXACT

X0 = 0.2
L4_SLOPE = 9.0660864


def l4(x):
    """The fourth iterate of the logistic map l_{n+1} = 4 l_n (1 - l_n), by a loop."""
    for _ in range(3):
        x = 4 * x * (1 - x)
    return x


def closed_form(x):
    return 64 * x * (1 - x) * (1 - 2 * x) ** 2 * (1 - 8 * x + 8 * x * x) ** 2


def by_hand(x):
    """Figure 2, manual differentiation of the program: a derivative carried along by the programmer."""
    dx = 1.0
    for _ in range(3):
        x, dx = 4 * x * (1 - x), 4 * dx * (1 - 2 * x)
    return dx


# --- figures --------------------------------------------------------------------------------------------------------
def test_figure_2_all_ways_of_differentiation_agree():
    symbolic = Polynomial([0, 64]) * Polynomial([1, -1]) * Polynomial([1, -2]) ** 2 * Polynomial([1, -8, 8]) ** 2
    assert symbolic.deriv()(X0) == pytest.approx(L4_SLOPE, rel=1e-12)
    assert by_hand(X0) == pytest.approx(L4_SLOPE, rel=EXACT)
    for f in (l4, closed_form):
        assert derivative(f, X0, "forward") == pytest.approx(L4_SLOPE, rel=EXACT)
        assert derivative(f, X0, "reverse") == pytest.approx(L4_SLOPE, rel=EXACT)
        assert derivative(f, X0, "complex") == pytest.approx(L4_SLOPE, rel=EXACT)
        assert derivative(f, X0, "central") == pytest.approx(L4_SLOPE, rel=1e-8)


def test_figure_3_the_error_of_differences_against_the_step():
    """A valley between truncation and rounding; the complex step has no rounding side."""
    steps = np.logspace(-17, 0, 171)

    def errors(method):
        with np.errstate(all="ignore"):
            return np.array(
                [abs(derivative(closed_form, X0, method, step=h) - L4_SLOPE) for h in steps if X0 + h != X0]
            )

    usable = steps[[X0 + h != X0 for h in steps]]
    forward, central = errors("forward-difference"), errors("central")
    assert 1e-10 < forward.min() < 1e-7
    assert 1e-10 < usable[forward.argmin()] < 1e-7
    assert 1e-13 < central.min() < 1e-9
    assert 1e-8 < usable[central.argmin()] < 1e-4
    assert forward[usable > 0.1].min() > 1e-1
    assert forward[usable < 1e-15].min() > 1e-3
    order = lambda e, p: np.polyfit(np.log(usable[p]), np.log(e[p]), 1)[0]
    assert order(forward, (usable > 1e-6) & (usable < 1e-3)) == pytest.approx(1.0, abs=0.05)
    assert order(central, (usable > 1e-4) & (usable < 1e-2)) == pytest.approx(2.0, abs=0.05)
    complex_step = np.array(
        [abs(derivative(closed_form, X0, "complex", step=h) - L4_SLOPE) for h in (1e-10, 1e-30, 1e-200)]
    )
    assert complex_step.max() < 2e-14


def test_the_cost_law_the_tape_has_the_same_length_for_every_n():
    """One sweep for the gradient of n variables: operations on the tape do not grow with n."""

    def helmholtz(x):
        n = x.size
        b, a = np.linspace(0.01, 0.1, n) / n, np.ones((n, n))
        bx = b @ x
        root = np.sqrt(2.0)
        fraction = (1 + (1 + root) * bx) / (1 + (1 - root) * bx)
        return np.sum(np.log(x / (1 - bx))) - (x @ a @ x) / (np.sqrt(8.0) * bx) * np.log(fraction)

    lengths = {len(trace_table(helmholtz, np.linspace(0.5, 1.5, n))) for n in (1, 8, 15, 22, 29, 36, 43, 50)}
    assert len(lengths) == 1
    check_grads(helmholtz, np.linspace(0.5, 1.5, 8))


# --- products and containers ----------------------------------------------------------------------------------------
def test_dot_product_identity():
    """<J v, w> = <v, J' w>, on nests."""
    rng = np.random.default_rng(0)

    def f(p):
        return {"u": np.tanh(p["a"] @ p["b"]), "v": [np.cumsum(p["b"]) * p["c"], np.sum(p["a"] ** 2)]}

    p = {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=4), "c": 0.7}
    v = {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=4), "c": -1.3}
    _, dy = jvp(f, (p,), (v,))
    w = {"u": rng.normal(size=3), "v": [rng.normal(size=4), 0.4]}
    _, pullback = vjp(f, p)
    (g,) = pullback(w)
    left = np.sum(dy["u"] * w["u"]) + np.sum(dy["v"][0] * w["v"][0]) + dy["v"][1] * w["v"][1]
    assert left == pytest.approx(sum(np.sum(g[k] * v[k]) for k in p), rel=1e-13)


def test_a_jacobian_in_n_or_in_m_sweeps():
    calls = []

    def f(x):
        calls.append(1)
        return np.stack([np.sum(x**2), np.prod(x)])

    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(jacobian(f, mode="forward")(x), jacobian(f, mode="reverse")(x), rtol=1e-14)
    assert len(calls) == 2  # the function itself runs once each


# --- numeric care ---------------------------------------------------------------------------------------------------
def test_subgradients_and_limits():
    with np.errstate(all="ignore"):
        assert grad(lambda x: np.where(x > 0, np.sqrt(x), x))(0.0) == 1.0
        assert grad(lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0)))(np.array([0.0, 4.0])).tolist() == [0.0, 0.25]
    assert grad(np.linalg.norm)(np.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert grad(np.abs)(0.0) == 0.0
    assert grad(np.logaddexp, (0, 1))(-1e308, -1e308) == (0.5, 0.5)
    assert grad(special.xlogy, (0, 1))(0.0, 0.0) == (0.0, 0.0)
    assert grad(np.hypot, (0, 1))(0.0, 0.0) == (0.0, 0.0)


def test_near_cancellation():
    """Derivatives keep their digits where the plain formula loses them."""
    x = 1e-17
    assert grad(np.log1p)(x) == 1.0
    assert grad(lambda x: np.expm1(x) - x)(1e-9) == pytest.approx(1e-9, rel=1e-6)
    assert grad(np.hypot)(3e200, 4e200) == pytest.approx(0.6)
    assert grad(np.arctan2, (0, 1))(1.0, 2.0) == pytest.approx((0.4, -0.2))
    assert grad(lambda x: np.logaddexp(0.0, x))(800.0) == 1.0
    assert grad(np.tanh)(30.0) == pytest.approx(4 * math.exp(-60.0), rel=1e-12)


# --- Table 5, one row each ------------------------------------------------------------------------------------------
def test_ampl_parts_that_depend_on_data_alone_cost_no_derivative_work():
    data = np.linspace(0, 1, 50)

    def f(x):
        weights = np.exp(-data) / np.sum(np.exp(-data))
        return np.sum(weights) * x

    assert len(trace_table(f, 2.0)) == 2


def test_adic_partials_of_named_inputs_only():
    f = lambda a, b, c: a * b**2 * c["k"]
    assert grad(f, "b")(2.0, 3.0, {"k": 5.0}) == 60.0
    assert grad(f, (0, 2))(2.0, 3.0, {"k": 5.0}) == (45.0, {"k": 18.0})


def test_ceres_residual_blocks_with_numeric_fallback():
    blocks = [
        ResidualBlock(lambda a: 10.0 - a, ("a",)),
        ResidualBlock(lambda b: math.exp(float(b)) - 1.0, ("b",), method="central"),
    ]
    fit = least_squares(blocks, {"a": 0.5, "b": 1.0})
    assert fit.params["a"] == pytest.approx(10.0)
    assert fit.params["b"] == pytest.approx(0.0, abs=1e-7)


def test_cppad_sparse_hessian():
    f = lambda x: np.sum(x[1:] ** 2 * x[:-1])
    x = np.linspace(1, 2, 30)
    np.testing.assert_allclose(sparse_hessian(f, x).toarray(), hessian(f)(x), atol=1e-12)


def test_fadbad_one_function_three_modes():
    f = lambda x: np.sin(x) * np.exp(x)
    forward, reverse, series = jvp(f, (X0,), (1.0,))[1], grad(f)(X0), taylor(f, X0, 1.0, 1)[1]
    assert forward == pytest.approx(reverse, rel=EXACT) == series


def test_mxyzptlk_and_cosy_high_order_and_enclosures():
    coefficients = taylor(lambda x: 1 / (1 - x), 0.0, 1.0, 20)
    np.testing.assert_allclose(coefficients, 1.0, rtol=EXACT)
    value, _ = interval(lambda x: 1 / (1 - x), (0.0, 0.5))
    assert value.contains(1.0)
    assert value.contains(2.0)
    assert value.width < 2.1


def test_diffsharp_any_nesting_and_hessian_vector_products():
    f = lambda x: np.sum(np.exp(x) * x[::-1] ** 2)
    x, v = np.array([0.1, -0.4, 0.8]), np.array([1.0, 2.0, -1.0])
    truth = hessian(f)(x) @ v
    for mode in ("forward-reverse", "reverse-forward", "reverse-reverse"):
        np.testing.assert_allclose(hvp(f, x, v, mode=mode), truth, rtol=EXACT)


def test_adifor_a_jacobian_times_a_seed_matrix():
    f = lambda x: np.stack([x[0] * x[1], np.sin(x[2]), x[1] ** 2])
    x, seed = np.array([1.0, 2.0, 0.5]), np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    product = vmap(lambda v: jvp(f, (x,), (v,))[1], in_axes=1, out_axes=1)(seed)
    np.testing.assert_allclose(product, jacobian(f)(x) @ seed, rtol=EXACT)


def test_tamc_a_long_adjoint_in_bounded_memory():
    """20,000 steps in less than a megabyte; the benchmark runs 100,000."""
    step = lambda s, i: (s[0] + 1e-3 * s[1], s[1] - 1e-3 * np.sin(s[0]))
    f = lambda x: checkpointed_loop(step, (x, 0.0), 20_000)[0]
    tracemalloc.start()
    slope = grad(f)(1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    assert slope == pytest.approx(derivative(f, 1.0, "central"), rel=1e-6)


def test_tapenade_validation_of_adjoints():
    wrong = custom_derivative(np.sin, vjp_fn=lambda y, args, g: (g * np.sin(args[0]),))
    with pytest.raises(GradientError, match="disagrees"):
        check_grads(wrong, 1.0)
    check_grads(np.sin, 1.0)


def test_haskell_ad_values_of_different_levels_cannot_be_mixed_up():
    escaped = []
    grad(lambda x: escaped.append(x) or x)(1.0)
    with pytest.raises(LeakedValueError):
        grad(lambda y: y * escaped[0])(1.0)


def test_juliadiff_forward_mode_in_chunks():
    f = lambda x: np.cumsum(np.sin(x) * x)
    x = np.linspace(0, 1, 40)
    np.testing.assert_allclose(jacobian(f, mode="forward")(x), jacobian(f, mode="reverse")(x), rtol=EXACT, atol=1e-15)


def test_torch_autograd_a_while_that_depends_on_the_data():
    def f(x):
        n = 0
        while x < 100.0:
            x, n = x * x + 1.0, n + 1
        return x * n

    for x in (0.5, 2.0, 5.0):
        assert grad(f)(x) == pytest.approx(derivative(f, x, "central"), rel=1e-7)


def test_adimat_all_methods_behind_one_driver():
    slopes = {
        m: derivative(l4, X0, m) for m in ("forward", "reverse", "complex", "central", "five-point", "richardson")
    }
    for slope in slopes.values():
        assert slope == pytest.approx(L4_SLOPE, rel=1e-8)


def test_intlab_interval_gradients():
    value, slope = interval(closed_form, (0.2, 0.2001))
    assert value.contains(closed_form(0.20005))
    assert slope.contains(by_hand(0.20005))
    assert slope.width < 0.5


def test_mad_full_and_sparse_storage():
    f = lambda x: x[1:] * np.sin(x[:-1])
    x = np.linspace(0.1, 1, 12)
    np.testing.assert_allclose(sparse_jacobian(f, x).toarray(), jacobian(f)(x), rtol=EXACT)


def test_ad_first_and_second_order_of_scalars():
    f = lambda x, y: x**2 * np.exp(y)
    assert grad(f, (0, 1))(3.0, 0.0) == (6.0, 9.0)
    assert grad(grad(f, 0), 1)(3.0, 0.0) == 6.0


def test_autograd_plain_numpy():
    def tanh(x):
        y = np.exp(-2.0 * x)
        return (1.0 - y) / (1.0 + y)

    assert grad(tanh)(1.0) == pytest.approx(1 / np.cosh(1.0) ** 2)


def test_pytorch_writes_are_noticed_and_anomalies_found():
    c = np.ones(2000)

    def f(x):
        y = np.sum(x * c)
        c[0] = 7.0
        return y

    with pytest.raises(InPlaceError, match="written to after"):
        grad(f)(2.0)
    with anomaly_mode(), pytest.raises(GradientError, match=r"test_survey\.py:\d+: grad\(np\.sqrt\)"):
        grad(np.sqrt)(0.0)


def test_r6rs_ad_and_stalingrad_nested_derivatives_of_games():
    """A saddle, min over x of max over y, by gradients inside gradients (Siskind and Pearlmutter 2008)."""
    payoff = lambda x, y: (x - 1.0) ** 2 - (y - 2.0 * x) ** 2 + x * y

    def best_reply(x):
        return fixed_point(lambda y, x: y + 0.2 * grad(payoff, 1)(x, y), 0.0, x)

    value = lambda x: payoff(x, best_reply(x))
    x = 1.0
    for _ in range(60):
        x = x - 0.1 * grad(value)(x)
    # y = 2.5 x, value (x - 1)^2 - x^2 / 4 + 2.5 x^2: minimum at x = 1 / 3.25
    assert x == pytest.approx(1 / 3.25, rel=1e-6)
    for outer, inner in itertools.product((grad, lambda f: lambda x: jvp(f, (x,), (1.0,))[1]), repeat=2):
        assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0) == 1.0


def test_scmutils_functions_of_functions():
    shift = lambda u: lambda f: lambda x: f(x + u)
    d = curried_grad(shift)(0.0)
    assert d(d(np.sin))(0.4) == pytest.approx(-math.sin(0.4))


def test_the_computational_graph():
    assert graph(l4, X0).count("->") == 3 * 4 + 1


def test_expression_swell_of_table_1_does_not_happen():
    """The symbolic derivative of l_n grows exponentially; the tape grows by three operations a step."""

    def logistic(n):
        def f(x):
            for _ in range(n - 1):
                x = 4 * x * (1 - x)
            return x

        return f

    lengths = [len(trace_table(logistic(n), X0)) for n in (1, 2, 3, 10)]
    assert lengths == [1, 4, 7, 28]
    value, slope = value_and_grad(logistic(4))(X0)
    assert (value, slope) == (pytest.approx(0.289014, abs=1e-6), pytest.approx(L4_SLOPE))
