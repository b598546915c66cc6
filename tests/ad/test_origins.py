"""The operation with which a NaN or infinity began, and what a value depends on."""

from __future__ import annotations

import numpy as np
import pytest

from probad.ad.origins import HistoryTrace, origin_of

TABLE = np.array([[1.0, np.nan], [2.0, 3.0]])


def first(x):
    y = np.sqrt(x)
    return np.sum(y[1:] * np.log(x[1:]))


CASES = {  # function, point, operation, its text
    "inner": (first, [1.0, 2.0, -3.0], "sqrt(-3) = nan at index 2, in first, test_origins.py:14: y = np.sqrt(x)"),
    "of numbers": (lambda x: 1.0 / (x[0] - x[1]), [1.0, 1.0], "divide(1, 0) = inf, in <lambda>, "),
    "broadcast": (lambda x: np.sum(np.ones((2, 1)) / x), [1.0, 0.0], "divide(1, 0) = inf at index (0, 1), in <lambda>"),
    "overflow": (lambda x: np.sum(np.exp(x) - np.exp(x)), [800.0, 1.0], "exp(800) = inf at index 0"),
    "data": (lambda x: np.sum(TABLE @ x), [1.0, 1.0], "matmul(<array (2, 2) with nan>, [1., 1.]) = nan at index 0"),
    "a branch taken": (lambda x: np.sum(np.where(x > 0, x, -np.inf)), [1.0, -1.0], "where("),
    "a matrix": (
        lambda x: np.sum(np.linalg.inv(np.outer(x, x) * np.inf)), [1.0, 2.0], "multiply(1, inf) = inf at index (0, 0)",
    ),
    "a power": (lambda x: np.sum(x**0.5), [4.0, -4.0], "power(-4, 0.5) = nan at index 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_first_operation_is_named(name):
    f, x, words = CASES[name]
    assert words in str(origin_of(f, np.array(x)))


def test_where_all_is_finite_there_is_none():
    assert origin_of(first, np.ones(3)) is None
    assert origin_of(lambda x: np.sum(np.where(x > 0, np.log(np.abs(x)), 0.0)), np.array([0.0, 1.0])) is None


def test_inputs_are_followed_through_branches_and_writes():
    with HistoryTrace() as trace:
        a, b, c, d = (trace.input(np.full(2, v), name) for name, v in zip("abcd", [1.0, 2.0, 3.0, 4.0], strict=True))
        y = np.zeros_like(a)
        y[0] = a[1] * 2.0
        y[1] = (b if c[0] > 2 else d)[0]
        found = [trace.history(v).inputs for v in (y, y[0] + c[0], np.stack([a, d]), np.ones(2))]
    assert found == [{"a", "b"}, {"a", "b", "c"}, {"a", "d"}, frozenset()]
