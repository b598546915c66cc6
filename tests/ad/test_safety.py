"""Threads, leaks, deep recursion, wrong nesting: the engine stays right and stays small."""

from __future__ import annotations

import gc
import resource
import sys
import threading
import weakref

import numpy as np
import pytest

from probad.ad import grad, jvp, value_and_grad
from probad.ad.core import ReverseTrace


def _nested(x):
    """x times the derivative in y of sin(x y) at y = x: one level of each mode inside a reverse sweep."""
    inner = jvp(lambda y: np.sin(x * y), (x,), (1.0,))[1]
    return x * inner + grad(lambda y: x * y * y)(x)


def _nested_derivative(x):
    """The derivative of x^2 cos(x^2) + 2 x^2, by hand."""
    return 2 * x * np.cos(x * x) - 2 * x**3 * np.sin(x * x) + 4 * x


def _hammer(n_threads, n_each):
    wrong = []
    points = np.linspace(-1.5, 1.5, 101)
    truth = _nested_derivative(points)

    def work(seed):
        derivative = grad(_nested)
        for k in np.random.default_rng(seed).integers(0, len(points), n_each):
            if abs(derivative(points[k]) - truth[k]) > 1e-13 * (1 + abs(truth[k])):
                wrong.append((seed, k))

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(n_threads)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(switch)
    return wrong


def test_threads_do_not_confuse_nested_gradients():
    assert _hammer(8, 500) == []


@pytest.mark.slow
def test_sixteen_threads_with_ten_thousand_nested_gradients_each():
    assert _hammer(16, 10_000) == []


def _growth(n_calls):
    """Growth of the resident set in bytes over `n_calls` gradients."""
    c = np.ones(1000)  # larger than what is copied: it is made read-only and writeable again each time
    derivative = value_and_grad(lambda x: np.sum(np.sin(x) * x[0]) + np.sum(c * x[1]))
    x = np.arange(5.0)
    for _ in range(1000):
        derivative(x)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(n_calls):
        derivative(x)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def test_gradients_do_not_leak():
    assert _growth(20_000) < 2e6


@pytest.mark.slow
def test_a_million_gradients_do_not_leak():
    assert _growth(1_000_000) < 2e6


def test_a_tape_is_freed_without_the_garbage_collector():
    """No circle of references: the tape goes as soon as the gradient is there."""
    seen = []

    class Witness(np.ndarray):
        pass

    def f(x):
        big = np.ones(5).view(Witness)
        seen.append(weakref.ref(big))
        return np.sum(x * big)

    gc.disable()
    try:
        grad(f)(np.ones(5))
        assert seen[0]() is None
    finally:
        gc.enable()


def test_ten_thousand_deep_recursion():
    """The sweep is a loop: it does not care how deep the function went."""

    def descend(x, n):
        return x if n == 0 else np.sin(descend(x, n - 1))

    result = {}

    def run():
        sys.setrecursionlimit(60_000)
        result["g"] = grad(lambda x: descend(x, 10_000))(1.0)

    limit = sys.getrecursionlimit()
    size = threading.stack_size(512 * 1024 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(limit)
    y, truth = 1.0, 1.0
    for _ in range(10_000):
        truth *= np.cos(y)
        y = np.sin(y)
    assert result["g"] == pytest.approx(truth, rel=1e-10)


def test_a_long_loop_costs_no_stack():
    def f(x):
        for _ in range(50_000):
            x = x * 0.9999
        return x

    assert grad(f)(1.0) == pytest.approx(0.9999**50_000, rel=1e-9)


def test_an_exception_leaves_nothing_behind():
    held = np.ones(2000)

    def fail(x):
        y = np.sum(held * x)
        raise RuntimeError(f"boom at {y}")

    for _ in range(3):
        with pytest.raises(RuntimeError, match="boom"):
            grad(fail)(1.0)
    gc.collect()
    held[0] = 2.0  # writeable again
    assert grad(lambda x: np.sum(held * x))(1.0) == 2001.0


def test_many_reads_of_one_array_cost_linear_time():
    """The cotangents of n reads are added into one array, not into n arrays."""
    n = 2000
    trace = ReverseTrace()
    x = trace.input(np.arange(float(n)))
    y = x[0]
    for i in range(1, n):
        y = y + x[i] * x[i - 1]
    trace.__exit__()
    g = trace.sweep([(y.node, np.float64(1.0))], 1)[0]
    v = np.arange(float(n))
    expected = np.concatenate([[1.0 + v[1]], v[:-2] + v[2:], [v[-2]]])
    np.testing.assert_allclose(g, expected)
