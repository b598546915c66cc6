"""Every rule of algebra fires, and changes no value; random programs mean the same before and after."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import probad as pb
from probad import numerics
from probad.ad.core import PRIMITIVES
from probad.ir import simplify as module
from probad.ir.capture import capture
from probad.ir.interpret import GuardMissError, interpret
from probad.ir.simplify import RULES, simplify
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
        def watch(*args, **params):
            found = rule(*args, **params)
            if found is not None:
                seen.add(rule.equation)
            return found

        return watch

    for op, rules in RULES.items():
        RULES[op] = [watched(rule) for rule in rules]
    yield seen
    RULES.update(original)


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
