"""Every kernel is restricted Python (contract 7), down to the last function that the loop of a chain reaches."""

from __future__ import annotations

import numpy as np
import pytest

from probad.mcmc.kernel import run_iterations
from tests.mcmc.subset import Checker, OutsideSubsetError

ARGUMENTS = ("opaque", "opaque", "floats", "floats", "ints", "ints", "ints", "floats", "floats", "int", "int")


def test_the_kernels_are_restricted_python():
    checker = Checker()
    assert checker.check(run_iterations, *ARGUMENTS) == "int"
    reached = {name for name, _ in checker.reached}
    assert {"nuts_transition", "static_transition", "leapfrog", "next_integer", "adopt_variances"} <= reached
    assert len(reached) == len(checker.reached), "a kernel is called with two sets of types"


# --- planted: what a compiler could not take -------------------------------------------------------------------------
def _tuple(x, i):
    a, b = x[0], x[1]
    return a + b


def _changes_type(x, i):
    a = 0
    a = x[i]
    return a + 1.0


def _mixes(x, i):
    return x[0] * i


def _slices(x, i):
    return x[0:i]


def _numpy(x, i):
    return np.sum(x)


def _allocates(x, i):
    y = [0.0, 0.0]
    return y[i]


def _raises(x, i):
    if i < 0:
        raise ValueError
    return i


def _keyword(x, i):
    return _callee(x, i=i)


def _callee(x, i):
    return x[i]


def _closure(x, i):
    def inner(y):
        return y

    return inner(i)


def _default(x, i=0):
    return x[i]


def _returns_two_types(x, i):
    if i > 0:
        return i
    return x[0]


def _truth_of_a_number(x, i):
    while i:
        i = i - 1
    return i


def _stores_an_integer(x, i):
    x[0] = i


def _element_loop(x, i):
    total = 0.0
    for v in x:
        total = total + v
    return total


def _augmented(x, i):
    x[i] += 1.0


PLANTED = [
    _tuple, _changes_type, _mixes, _slices, _numpy, _allocates, _raises, _keyword, _closure, _default,
    _returns_two_types, _truth_of_a_number, _stores_an_integer, _element_loop, _augmented,
]  # fmt: skip


@pytest.mark.parametrize("fn", PLANTED, ids=lambda fn: fn.__name__)
def test_the_checker_refuses(fn):
    with pytest.raises(OutsideSubsetError, match=fn.__name__):
        Checker().check(fn, "floats", "int")


def test_the_checker_accepts_what_it_should():
    assert Checker().check(_callee, "floats", "int") == "float"
