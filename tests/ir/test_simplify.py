"""Every rule of algebra fires, and changes no value; random programs mean the same before and after."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import probad as pb
from probad import numerics
from probad.ad.core import PRIMITIVES
from probad.errors import GraphError
from probad.ir import simplify as module
from probad.ir.adjoint import adjoint
from probad.ir.capture import capture
from probad.ir.interpret import GuardMissError, interpret
from probad.ir.simplify import simplify
from probad.ir.simplify.equations import EQUATIONS, equations
from probad.ir.simplify.rules import RULES, candidates
from probad.ir.verify import verify
from tests.ad.programs import N, Program

DATA = np.random.default_rng(0).normal(size=6)
W = np.arange(6.0) - 2.5
# a function of six numbers, and an operation that is there afterwards or, with a minus, is not
CASES = {
    "x + 0": (lambda x: np.sum(np.sin(x + 0.0)), "-add"),
    "0 + x": (lambda x: np.sum(np.sin(0.0 + x)), "-add"),
    "x + x": (lambda x: np.sum(np.sin(x + x)), "-add"),
    "x + (-y)": (lambda x: np.sum(np.sin(x + (-np.exp(x)))), "subtract"),
    "(-x) + y": (lambda x: np.sum(np.sin((-np.exp(x)) + x)), "subtract"),
    "x - 0": (lambda x: np.sum(np.sin(x - 0.0)), "-subtract"),
    "0 - x": (lambda x: np.sum(np.sin(0.0 - x)), "negative"),
    "x - (-y)": (lambda x: np.sum(np.sin(x - (-np.exp(x)))), "add"),
    "exp(x) - 1": (lambda x: np.sum(np.exp(x) - 1.0), "expm1"),
    "-(-x)": (lambda x: np.sum(np.sin(np.negative(-x))), "-negative"),
    "-(x - y)": (lambda x: np.sum(np.sin(-(x - np.exp(x)))), "-negative"),
    "-(c x)": (lambda x: np.sum(np.sin(-(3.0 * x))), "-negative"),
    "-(s x)": (lambda x: np.sum(np.sin(-(x[0] * x))), "negative"),
    "1 x": (lambda x: np.sum(np.sin(1.0 * x)), "-multiply"),
    "x 1": (lambda x: np.sum(np.sin(x * 1.0)), "-multiply"),
    "-1 x": (lambda x: np.sum(np.sin(-1.0 * x)), "negative"),
    "x (-1)": (lambda x: np.sum(np.sin(x * -1.0)), "negative"),
    "(-x) (-y)": (lambda x: np.sum((-x) * (-np.exp(x))), "-negative"),
    "x x": (lambda x: np.sum(np.sin(x * x)), "square"),
    "c (d x)": (lambda x: np.sum(np.sin(2.0 * (3.0 * x))), "multiply"),
    "(d x) c": (lambda x: np.sum(np.sin((3.0 * x) * 2.0)), "multiply"),
    "c (-x)": (lambda x: np.sum(np.sin(3.0 * (-np.exp(x)))), "-negative"),
    "(-x) c": (lambda x: np.sum(np.sin((-np.exp(x)) * 3.0)), "-negative"),
    "s (t x)": (lambda x: np.sum(np.sin(x[0] * (x[1] * x))), "multiply"),
    "(t x) s": (lambda x: np.sum(np.sin((x[1] * x) * x[0])), "multiply"),
    "x c": (lambda x: np.sum(np.sin(x * 3.0)), "multiply"),
    "(s x) / t": (lambda x: np.sum(np.sin((x[1] * x) / x[0])), "divide"),
    "x / 1": (lambda x: np.sum(np.sin(x / 1.0)), "-divide"),
    "x / 2^k": (lambda x: np.sum(np.sin(x / 4.0)), "-divide"),
    "(-x) / y": (lambda x: np.sum((-np.exp(x)) / (2 + x**2)), "divide"),
    "1 / (1 + exp(-x))": (lambda x: np.sum(1.0 / (1.0 + np.exp(-x)) * W), "expit"),
    "powers": (
        lambda x: np.sum((x**1 + x**2 + x**3 + x**4 + (2 + x) ** -1 + (2 + x) ** -2 + (3 + x) ** 0.5) * W), "-power"),
    "(-x)^2": (lambda x: np.sum(np.square(-np.exp(x)) * W), "-negative"),
    "sqrt(x^2)": (lambda x: np.sum(np.sqrt(np.square(x)) * W), "absolute"),
    "|-x|": (lambda x: np.sum(np.abs(-np.exp(x)) * W), "-negative"),
    "reciprocal": (lambda x: np.sum(np.reciprocal(2 + x * x) * W), "-reciprocal"),
    "log(exp(x))": (lambda x: np.sum(np.log(np.exp(x)) * W), "-log"),
    "log(1 + x)": (lambda x: np.sum(np.log(1.0 + x * x) * W), "log1p"),
    "log(exp(x) + exp(y))": (lambda x: np.sum(np.log(np.exp(x) + np.exp(2 * x)) * W), "logaddexp"),
    "log(1 - x)": (lambda x: np.sum(np.log(1.0 - special.expit(x) * 0.9) * W), "log1p"),
    "log(expit(x))": (lambda x: np.sum(np.log(special.expit(x)) * W), "log_expit"),
    "log(sum(exp(x)))": (lambda x: np.log(np.sum(np.exp(x))), "logsumexp"),
    "log1p(exp(x))": (lambda x: np.sum(np.log1p(np.exp(x)) * W), "logaddexp"),
    "select": (lambda x: np.sum(np.where(x > 0, np.exp(x), np.exp(x)) * W), "-select"),
    "broadcast_to": (lambda x: np.sum(np.sin(np.broadcast_to(x * 2.0, (6,)))), "-broadcast_to"),
    "reshape": (lambda x: np.sum(np.reshape(np.sin(x), (6,))), "-reshape"),
    "reshape twice": (lambda x: np.sum(np.reshape(np.reshape(x, (2, 3)), (3, 2)) @ np.ones(2)), "reshape"),
    "transposes": (lambda x: np.sum(np.reshape(x, (2, 3)).T.T @ np.ones(3)), "-transpose"),
    "element of a stack": (lambda x: np.stack([np.sin(x[0]), np.cos(x[1])])[1], "-stack"),
    "copy": (lambda x: np.sum(np.sin(np.copy(x * 2.0))), "-copy"),
    "sums": (lambda x: np.sum(((DATA - x[0]) / np.exp(x[1])) ** 2) + np.sum(DATA - x[2]) - np.sum(-x), "sum"),
    "spread of data about a scalar": (lambda x: np.sum((x[0] + DATA) ** 2) + np.sum(x[1] - DATA), "-sum"),
    "scaled data and a scalar": (lambda x: np.sum(-(DATA * x[0]) + x[1]) + np.sum(DATA / np.exp(x[2]) - x[3]), "-sum"),
    "data about means of groups": (
        lambda x: np.sum((np.sin(np.arange(24.0)) - x[np.arange(24) % 6]) ** 2), "-index"),
    "sum by axis": (
        lambda x: np.sum(np.sin(x), axis=-1) + np.sum(np.cos(x[:4]).reshape(2, 2), axis=(0, 1)), "-reshape"),
    "sum of sums": (lambda x: np.sum(np.sum(np.sin(x).reshape(2, 3), axis=0)), "-reshape"),
    "sum of repetitions": (lambda x: np.sum(np.broadcast_to(np.sin(x), (3, 6))), "-broadcast_to"),
    "sum of what is joined": (lambda x: np.sum(np.concatenate([np.sin(x), np.cos(x), x[:1]])), "-concatenate"),
    "sum of a short stack": (lambda x: np.sum(np.stack([np.sin(x[0]), np.cos(x[1])])), "-stack"),
    "index of repetitions": (lambda x: np.sum(np.broadcast_to(np.sin(x[0]), (6,))[2:5] * DATA[:3]), "-broadcast_to"),
    "the same part": (lambda x: np.sum(x[2:] * x[2:6]) + np.sum(x[-4:] * x[2:9]), "square"),
    "everything": (lambda x: np.sum(np.sin(x[:]) * x[0:6]), "sin"),
    "repetition of repetition": (
        lambda x: np.sum(np.broadcast_to(np.broadcast_to(x[:2], (3, 2)), (4, 3, 2)).reshape(-1)[:5] * W[:5]), "sum"),
    "log of a mixture": (lambda x: np.sum(np.log(0.3 * np.exp(x) + 0.7 * np.exp(-x) / 2) * W), "-log"),
    "log of a product": (lambda x: np.sum(np.log(np.exp(x) ** 2 * special.expit(x)) * W), "-log"),
    "log of a softmax": (lambda x: np.sum(np.log(np.exp(x) / np.sum(np.exp(x))) * W), "-log"),
    "log of a mean": (lambda x: np.log(np.sum(np.exp(x)) / 6), "-log"),
    "where by data": (
        lambda x: np.sum(np.where(W < 9, np.sin(x), np.exp(x)) + np.where(W > 9, np.exp(x), x)), "-where"),
    "where without a choice": (lambda x: np.sum(np.where(W > 0, np.exp(x), np.exp(x))), "-where"),
    "select by a comparison": (lambda x: np.sum(np.where(x == 0, 0.0, x) * W), "-select"),
    "select by data": (lambda x: np.sum(PRIMITIVES["select"](W < 9, np.sin(x), np.exp(x))), "-select"),
    "sum of a square and a scalar": (lambda x: np.sum(-0.5 * np.square(x) - x[0]), "sum"),
}  # fmt: skip


def operations(fn, x):
    return simplify(capture(fn, x)[0])


@pytest.fixture(scope="module")
def fired():
    """Which rules have given an answer, over all tests of this module."""
    seen = set()
    original = {op: list(rules) for op, rules in RULES.items()}

    def watched(rule):
        def watch(*args):
            found = rule.apply_fn(*args)
            if found is not None:
                seen.add(rule.equation)
            return found

        return dataclasses.replace(rule, apply_fn=watch)

    for op, rules in RULES.items():
        RULES[op] = [watched(rule) for rule in rules]
    candidates.cache_clear()
    yield seen
    RULES.update(original)
    candidates.cache_clear()


@pytest.mark.parametrize("name", CASES)
def test_a_rule_fires_and_changes_no_value(name, fired):
    fn, sign = CASES[name]
    x = np.array([0.3, -1.2, 0.7, 2.1, -0.4, 0.9])
    graph = operations(fn, x)
    assert (sign.lstrip("-") in graph.ops) == (not sign.startswith("-"))
    before = capture(fn, x)[0]
    rng = np.random.default_rng(1)
    points = [x, *rng.normal(size=(5, 6)), 20 * rng.normal(size=6), np.zeros(6), 1e-9 * x, 1e3 * np.abs(x)]
    for point in points:
        with np.errstate(all="ignore"):
            (expected,), (got,) = interpret(before, point), interpret(graph, point)
        if np.isfinite(expected):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


# --- equations as they stand ------------------------------------------------------------------------------------------
FUNCTIONS = {
    "absolute": np.abs, "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "logaddexp": np.logaddexp,
    "maximum": np.maximum, "minimum": np.minimum, "reciprocal": np.reciprocal, "sqrt": np.sqrt, "square": np.square,
    "sum": np.sum, "expit": special.expit, "logit": special.logit, "log_expit": special.log_expit,
}  # fmt: skip


def sides(equation):
    left, right = equation.split(" = ")
    names = {n.id for n in ast.walk(ast.parse(left)) if isinstance(n, ast.Name)} - set(FUNCTIONS)
    return left, right, sorted(names)


def value(text, letters):
    with np.errstate(all="ignore"):
        return np.asarray(eval(text, {**FUNCTIONS, **letters}))


@pytest.mark.parametrize("equation", EQUATIONS)
def test_both_sides_are_the_same_number(equation):
    """Evaluated as Python, at zeros, negative numbers and outside domains; no side may have a value of its own."""
    left, right, names = sides(equation)
    points = np.array([-3.7, -1.0, -0.4, 0.0, 1e-9, 0.4, 1.0, 2.0, 15.5])
    condition = EQUATIONS[equation]
    compared = 0
    for values in itertools.product(points, repeat=len(names)):
        letters = {n: np.array([v]) if n == "a" else np.float64(v) for n, v in zip(names, values, strict=True)}
        wanted = dict(letters) if condition is None else {n: letters[n] for n in condition.__code__.co_varnames}
        if condition is not None and not condition(**wanted):
            continue
        x, y = value(left, letters), value(right, letters)
        if np.isfinite(x).all():
            # the left side may have lost digits that the right side keeps
            loses = re.search(r"exp|log|sqrt\(square", left) is not None
            np.testing.assert_allclose(y, x, rtol=1e-6 if loses else 1e-14, atol=1e-15)
            compared += 1
        else:
            assert not np.isfinite(y).any() or "exp" in left, letters
    assert compared


def as_function(left, names):
    """The left side as a function of six numbers, in which letters stand for what they may."""

    def fn(z):
        constants = {"c": 4.0, "d": 0.7}
        letters = {"s": np.exp(z[0]), "t": z[1] + 3.0, "a": np.sin(z), "x": np.cos(z) / 3 + 0.5, "y": np.tanh(z) + 2}
        return np.sum(eval(left, {**FUNCTIONS, **letters, **constants}) * W)

    return fn


@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_equation_fires_and_keeps_value_and_derivative(equation, fired):
    left, _, names = sides(equation)
    fn, z = as_function(left, names), np.array([0.3, -1.2, 0.7, 2.1, -0.4, 0.9])
    before = capture(fn, z)[0]
    fired.discard(equation)
    after = verify(simplify(before))
    assert equation in fired
    for graph in (after, simplify(adjoint(after))):
        verify(graph)
    for point in (z, -z, 0.1 * z, z[::-1].copy()):
        expected, slope = interpret(adjoint(before), point)
        got, got_slope = interpret(adjoint(after), point)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(got_slope, slope, rtol=1e-11, atol=1e-13)


def test_every_rule_has_fired(fired):
    if len(fired) == 0:
        pytest.skip("runs after the cases")
    # what only the adjoint makes
    late = {"scatter(x to i, y to i) = scatter(x + y to i)"}
    graph = capture(pb.grad(lambda x: np.sum(x[:2] ** 3) * np.sum(np.exp(x[:2]))), np.ones(3))[0]
    parts = [n for n, op in enumerate(graph.ops) if op == "scatter"]
    assert parts
    missing = {rule for rules in ORIGINAL.values() for rule in rules} - fired - late
    assert not missing, missing


def test_an_equation_with_an_unknown_number_is_refused():
    with pytest.raises(GraphError, match="7"):
        equations("x + 7 = x")


ORIGINAL = {op: [rule.equation for rule in rules] for op, rules in RULES.items()}


def test_parts_of_one_place_are_added_up():
    def fn(x):
        a, b = np.sin(x[:2]), np.cos(x[:2])
        return PRIMITIVES["scatter"](a, b, indices=[slice(0, 2), slice(0, 2)], shape=(4,))

    x = np.array([0.2, 0.4, 0.6])
    graph = simplify(capture(fn, x)[0])
    assert len(graph.args[graph.ops.index("scatter")]) == 1
    np.testing.assert_allclose(interpret(graph, x)[0], fn(x), rtol=1e-15)


def test_more_is_finite_but_nothing_wrong_is():
    x = np.full(6, 800.0)
    graph = operations(lambda x: np.sum(np.log(np.exp(x))), x)
    assert interpret(graph, x)[0] == 4800.0  # the plain program overflows
    graph = operations(lambda x: numerics.logsumexp(x) + np.sum(0.0 * np.log(x)), x)
    assert np.isnan(interpret(graph, -x)[0])


def test_sums_of_differences_keep_their_digits():
    x = np.array([1e8, 1e8 + 1, 1e8 + 2, 1e8, 1e8, 1e8])
    graph = operations(lambda x: np.sum(x - x[0]), x)
    assert interpret(graph, x)[0] == 3.0
    data = 1e8 + np.arange(6.0)
    graph = operations(lambda x: np.sum((data - x[0]) ** 2), x)
    assert interpret(graph, x)[0] == 55.0


@pytest.mark.parametrize("batch", range(5))
def test_random_programs_mean_the_same(batch):
    for seed in range(30 * batch, 30 * batch + 30):
        program = Program(seed, lambda f, x: pb.grad(f)(x))
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, N)
        graph = capture(program, x)[0]
        smaller = simplify(graph)
        assert len(smaller) <= len(graph)
        for point in (x, rng.uniform(-1, 1, N)):
            try:
                (expected,) = interpret(graph, point)
            except GuardMissError:
                continue
            np.testing.assert_allclose(interpret(smaller, point)[0], expected, rtol=1e-12, atol=1e-12)


def test_nothing_is_computed_twice():
    graph = simplify(capture(lambda x: np.sum(np.exp(x) * np.sin(np.exp(x)) + np.exp(x)), np.ones(6))[0])
    assert graph.ops.count("exp") == 1
    assert module.simplify(graph).ops == graph.ops


# --- where algebra of real numbers is not that of the machine ---------------------------------------------------------
BIG = 1e8 + np.random.default_rng(3).normal(size=50)
NOTHING = np.zeros(0)
ZEROS = np.array([0.0, -0.0])
GAP = np.array([1.0, np.inf])
SPECIAL_CASES = {
    "a condition is no number": lambda z: (z[0] > 0) * 1.0 + (z[1] > 0) * 1.0 + z[0],
    "conditions of arrays": lambda z: np.sum((z > 0) * 1.0 + (z > -1) * 1.0) + z[0],
    "a condition twice": lambda z: ((z[0] > 0) + (z[0] > 0)) * z[1],
    "one and a condition": lambda z: np.log(1.0 + (z[0] > 0)) + z[1],
    "whole numbers": lambda z: ((np.floor(z[0]).astype(int) * 2) * 3) * z[1],
    "whole numbers that are asked for": lambda z: z[1] * int((np.floor(z[0]).astype(int) * 2) * 3),
    "whole numbers divided": lambda z: z[1] * ((np.floor(z[0]).astype(int) * 7 / 1) // 2),
    "no data": lambda z: np.sum(NOTHING + z[0]) + np.sum((NOTHING - z[0]) ** 2) + z[1],
    "no terms": lambda z: np.maximum(np.log(np.sum(np.exp(NOTHING * z[0]))), z[1]),
    "no mean": lambda z: np.sum(z[0] * NOTHING - z[1]) + z[1],
    "zeros with a sign": lambda z: np.sum(np.copysign(z, ZEROS) + np.arctan2(ZEROS, -z)),
    "data that are infinite": lambda z: np.exp(-np.sum((GAP - z[0]) ** 2)) - np.exp(-np.sum(GAP - z[0])) + z[1],
    "data far from zero": lambda z: np.sum(BIG - (z[0] + 1e8)) + z[1],
    "data far from zero, squared": lambda z: np.sum((BIG - (z[0] + 1e8)) ** 2) + z[1],
    "products of small constants": lambda z: 1e-200 * (1e-120 * (z[0] * 1e300)) + z[1],
    "products of large constants": lambda z: 1e200 * (1e200 * (z[0] * 1e-300)) + z[1],
    "an axis of length one": lambda z: (
        np.sum(np.reshape(z, (1, 2)), axis=0)[1] + np.sum(z[None] + z[:, None], axis=0)[0]
    ),
}


@pytest.mark.parametrize("name", SPECIAL_CASES)
def test_special_cases(name):
    fn = SPECIAL_CASES[name]
    z = np.array([1.5, 2.25])
    graph = verify(simplify(capture(fn, z)[0]))
    with np.errstate(all="ignore"):
        expected = fn(z)
    got = interpret(graph, z)[0]
    np.testing.assert_allclose(got, expected, rtol=1e-13)
    assert np.asarray(got).dtype == np.asarray(expected).dtype


STABLE = {
    "log(exp(x))": (lambda z: np.log(np.exp(z[0])), 1000.0, 1000.0),
    "log(expit(x))": (lambda z: np.log(special.expit(z[0])), -1000.0, -1000.0),
    "log(1 - expit(x))": (lambda z: np.log(1 - special.expit(z[0])), 1000.0, -1000.0),
    "log(1 + exp(x))": (lambda z: np.log(1 + np.exp(z[0])), 1000.0, 1000.0),
    "softmax": (lambda z: np.log(np.exp(z) / np.sum(np.exp(z)))[1], 1000.0, -1000.0),
    "mixture": (lambda z: np.log(0.5 * np.exp(-z[0]) + 0.5 * np.exp(-z[0])), 1000.0, -1000.0),
    "1 - exp(x)": (lambda z: (1 - np.exp(z[0])) / 1e-20, 1e-20, -1.0),
    "exp(x) / (1 + exp(x))": (lambda z: np.exp(z[0]) / (1 + np.exp(z[0])), 1000.0, 1.0),
}


@pytest.mark.parametrize("name", STABLE)
def test_what_is_more_stable_is_right(name):
    fn, x, expected = STABLE[name]
    with np.errstate(all="ignore"):
        graph = simplify(capture(fn, np.array([0.5, 0.0]))[0])
    np.testing.assert_allclose(interpret(graph, np.array([x, 0.0]))[0], expected, rtol=1e-14)
    slope = interpret(adjoint(graph), np.array([x, 0.0]))[1]
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    "fn",
    [lambda z: np.exp(np.log(z[0])), lambda z: np.sqrt(z[0]) ** 2, lambda z: np.expm1(np.log1p(z[0])),
     lambda z: special.expit(special.logit(z[0])), lambda z: z[0] * 0.0 + np.log(z[0]),
     lambda z: np.log(z[0] ** 2 * z[0]),
     lambda z: np.log(np.exp(z[0]) * z[0])],
)  # fmt: skip
def test_what_has_no_value_gets_none(fn):
    with np.errstate(all="ignore"):
        assert np.isnan(fn(np.array([-2.0])))
    assert np.isnan(interpret(simplify(capture(fn, np.array([0.5]))[0]), np.array([-2.0]))[0])


# --- random graphs of arrays ------------------------------------------------------------------------------------------
SOURCES = st.integers(0, 9)
UNARY = [np.negative, np.square, np.exp, np.sqrt, np.abs, np.tanh, special.expit, np.log1p,
         lambda a: np.log(1 + np.exp(a)), lambda a: np.log(special.expit(a)),
         lambda a: 1 - np.exp(-np.abs(a)), lambda a: np.exp(a) - 1,
         lambda a: a ** 2, lambda a: (1 + a * a) ** -0.5, lambda a: 1 / (1 + np.exp(-a)), np.copy]  # fmt: skip
BINARY = [np.add, np.subtract, np.multiply, lambda a, b: a / (1 + b * b), np.maximum, np.logaddexp,
          lambda a, b: np.where(a > b, a, b), lambda a, b: np.where(a == b, a, b),
          lambda a, b: (a > 0) * 1.0 + (b > 0) * 1.0, lambda a, b: np.log(np.exp(a) + np.exp(b))]  # fmt: skip
SHAPED = [np.sum, lambda a: np.sum(a, axis=0) if np.ndim(a) else a,
          lambda a: np.sum(a * 3, axis=-1) if np.ndim(a) else a, lambda a: np.reshape(a, (-1,)),
          lambda a: np.transpose(a), lambda a: a[0] if np.ndim(a) else a,
          lambda a: a[::-1] if np.ndim(a) else a,
          lambda a: np.broadcast_to(a, (2, *np.shape(a))) if np.ndim(a) < 2 else a,
          lambda a: np.stack([a, a * 2]) if np.ndim(a) < 2 else a, lambda a: a[:] if np.ndim(a) else a,
          lambda a: np.sum(np.square(DATA[:3] - np.sum(a))), lambda a: np.sum(DATA[:3] * np.sum(a) + 0.5),
          lambda a: np.log(np.sum(np.exp(a)))]  # fmt: skip
PLAIN = [0.0, 1.0, -1.0, 2.0, 0.5, 3, -0.25, np.ones(3), DATA[:3], np.zeros(3)]
STATEMENTS = st.one_of(
    st.tuples(st.just("unary"), st.integers(0, len(UNARY) - 1), SOURCES),
    st.tuples(st.just("binary"), st.integers(0, len(BINARY) - 1), SOURCES, SOURCES),
    st.tuples(st.just("plain"), st.integers(0, 4), SOURCES, st.integers(0, len(PLAIN) - 1), st.booleans()),
    st.tuples(st.just("shaped"), st.integers(0, len(SHAPED) - 1), SOURCES),
)


def run(program, z):
    """Carry out statements on the last ten values; what grows is brought back."""
    values = [z, z[0], z[1], z[2]]
    for kind, k, *sources in program:
        a = values[-1 - sources[0] % min(len(values), 10)]
        if kind == "unary":
            a = np.abs(a) if UNARY[k] in (np.sqrt, np.log1p) else a
            out = UNARY[k](a)
        elif kind == "shaped":
            out = SHAPED[k](a)
        else:
            b = values[-1 - sources[1] % min(len(values), 10)] if kind == "binary" else PLAIN[sources[1]]
            if np.ndim(a) and np.ndim(b) and np.shape(a)[-1] != np.shape(b)[-1]:
                b = np.sum(b)
            a, b = (b, a) if kind == "plain" and sources[2] else (a, b)
            out = BINARY[k](a, b)
        values.append(out if np.all(np.abs(out) < 4) else np.tanh(out))
    return sum(np.sum(v) for v in values[-3:])


@given(st.lists(STATEMENTS, min_size=1, max_size=14), st.integers(0, 10_000))
def test_random_graphs_mean_the_same(program, seed):
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        graph = capture(lambda z: run(program, z), rng.uniform(-1.5, 1.5, 3))[0]
    smaller = verify(simplify(verify(graph)))
    again = simplify(smaller)
    assert len(again) <= len(smaller)
    for point in rng.uniform(-1.5, 1.5, (3, 3)):
        try:
            (expected,) = interpret(graph, point)
        except GuardMissError:
            continue
        got = interpret(smaller, point)[0]
        if np.isfinite(expected):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
