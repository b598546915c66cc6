"""Checkpoints: the same derivatives in every nesting, far less memory, and loud answers where they cannot work."""

from __future__ import annotations

import dataclasses
import functools
import gc
import itertools
import math
import tracemalloc
import weakref

import numpy as np
import pytest

from probad.ad import checkpoint, checkpointed_loop, grad, jvp, value_and_grad, vjp, vmap
from probad.ad.checkpoint import first_part
from probad.errors import ArgumentError, ConversionError, GradientError, InPlaceError
from tests.tolerances import EXACT


def _forward(f):
    return lambda x: jvp(f, (x,), (1.0,))[1]


def _with_containers(wrap):
    """A function that calls a wrapped one: containers in and out, an integer beside them, a traced closure."""

    def h(x):
        w = x * 2.0
        inner = wrap(lambda p, k: {"u": np.sin(p["a"] * w), "v": [p["a"] * w * x, p["b"]], "n": k + 1})
        out = inner({"a": x, "b": np.array([1.0, 2.0])}, k=2)
        return out["u"] * out["v"][0] * out["n"] + np.sum(out["v"][1] * x)

    return h


@pytest.mark.parametrize("order", [1, 2, 3])
def test_every_nesting_agrees_with_the_plain_tape(order):
    for modes in itertools.product([grad, _forward], repeat=order):
        found, truth = _with_containers(checkpoint), _with_containers(lambda f: f)
        for mode in modes:
            found, truth = mode(found), mode(truth)
        assert found(0.7) == pytest.approx(truth(0.7), rel=EXACT)


def test_checkpoints_nest():
    inner = checkpoint(lambda x: np.sin(x) * np.exp(x))
    outer = checkpoint(lambda x: inner(inner(x) * x))
    plain = lambda x: (lambda z: np.sin(z) * np.exp(z))(np.sin(x) * np.exp(x) * x)
    assert grad(outer)(0.4) == pytest.approx(grad(plain)(0.4), rel=EXACT)
    assert grad(grad(outer))(0.4) == pytest.approx(grad(grad(plain))(0.4), rel=EXACT)


def test_inside_vmap_and_around_it():
    x = np.linspace(0.1, 1.0, 4)
    f = checkpoint(lambda x: {"y": np.sin(x) * x})
    np.testing.assert_allclose(vmap(grad(lambda x: f(x)["y"]))(x), np.sin(x) + x * np.cos(x), rtol=EXACT)
    g = checkpoint(lambda x: np.sum(vmap(lambda v: v * np.sin(v))(x)))
    np.testing.assert_allclose(grad(g)(x), np.sin(x) + x * np.cos(x), rtol=EXACT)


def test_a_plain_call_is_a_plain_call():
    assert checkpoint(lambda x, *, k: x * k)(2.0, k=3) == 6.0


# --- closures -------------------------------------------------------------------------------------------------------
@dataclasses.dataclass
class Scale:
    w: float

    def times(self, x):
        return self.w * x


class Layer:
    def __init__(self, w):
        self.weights = {"w": w}

    def __call__(self, x):
        return self.weights["w"] * x


def _nested(w):
    def inner(x):
        return w * x

    return lambda x: inner(x)


def _recursive(w):
    def f(x, n=2):
        return w * x if n == 0 else f(x, n - 1)

    return f


CLOSURES = {
    "cell": lambda w: lambda x: w * x,
    "nested function": _nested,
    "recursive function": _recursive,
    "list": lambda w: (lambda ws: lambda x: ws[0] * x + 0.0 * ws[1])([w, 2.0]),
    "default": lambda w: lambda x, w=w: w * x,
    "keyword default": lambda w: lambda x, *, w=w: w * x,
    "partial": lambda w: functools.partial(lambda a, x: a * x, w),
    "partial keyword": lambda w: functools.partial(lambda x, a: a * x, a=w),
    "method of a dataclass": lambda w: Scale(w).times,
    "attribute of an object": lambda w: Layer(w),
    "object in a cell": lambda w: (lambda layer: lambda x: layer(x))(Layer(w)),
    "object array": lambda w: (lambda a: lambda x: a[1] * x)(np.array([w + 1.0, w], dtype=object)),
    "view that was written to": lambda w: _written(w),
}


def _written(w):
    v = np.stack([w, w])
    view = v[1:]
    v[1] = w * 1.0
    return lambda x: view[0] * x


@pytest.mark.parametrize("name", CLOSURES)
def test_traced_values_in_a_closure_get_their_derivatives(name):
    def f(w):
        g = CLOSURES[name](w)
        return checkpoint(lambda x: np.sin(g(x)))(3.0)

    assert grad(f)(0.5) == pytest.approx(3 * math.cos(1.5), rel=EXACT)
    assert grad(grad(f))(0.5) == pytest.approx(-9 * math.sin(1.5), rel=EXACT)
    assert _forward(f)(0.5) == pytest.approx(3 * math.cos(1.5), rel=EXACT)


class Slotted:
    __slots__ = ("w",)


def test_a_traced_value_that_cannot_be_found_raises():
    def f(w):
        hidden = Slotted()
        hidden.w = w
        return checkpoint(lambda x: hidden.w * x)(w)

    with pytest.raises(ConversionError, match="neither among its arguments"):
        grad(f)(0.5)


def test_functions_passed_as_arguments_may_carry_traced_values():
    apply = checkpoint(lambda g, x: g(x))
    assert grad(lambda w: apply(lambda x: w * w * x, 3.0))(2.0) == 12.0


# --- mistakes -------------------------------------------------------------------------------------------------------
def test_random_numbers_are_noticed():
    rng = np.random.default_rng(0)
    with pytest.raises(GradientError, match="random numbers"):
        grad(checkpoint(lambda x: x * rng.normal()))(1.0)


def test_data_that_change_before_the_sweep_are_noticed():
    c = [2.0]
    _, pullback = vjp(checkpoint(lambda x: x * c[0]), 1.0)
    assert pullback(1.0) == (2.0,)
    c[0] = 3.0
    with pytest.raises(GradientError, match="changed"):
        pullback(1.0)


def test_array_arguments_may_be_used_again_for_other_data():
    f, buffer = checkpoint(lambda x, c: np.sum(x * c * c)), np.zeros(2)

    def total(x):
        y = 0.0
        for k in range(3):
            buffer[:] = k
            y = y + f(x, buffer)
        return y

    assert grad(total)(1.0) == 2 * (1 + 4)


def test_writing_to_an_argument_is_refused():
    def f(x):
        x[0] = 0.0
        return np.sum(x)

    with pytest.raises(InPlaceError, match="written"):
        grad(checkpoint(f))(np.ones(2))


# --- loops ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_steps", [0, 1, 2, 7, 50, 103])
@pytest.mark.parametrize("snapshots", [None, 1, 3])
@pytest.mark.parametrize("block", [3, 10])
def test_a_loop_has_the_derivative_of_the_plain_loop(n_steps, snapshots, block):
    def loop(a):
        step = lambda s, i: s * 0.99 + a * np.sin(s) * 0.01 * (i % 3)
        return checkpointed_loop(step, a * 1.5, n_steps, snapshots=snapshots, block=block)

    def plain(a):
        s = a * 1.5
        for i in range(n_steps):
            s = s * 0.99 + a * np.sin(s) * 0.01 * (i % 3)
        return s

    found, truth = value_and_grad(loop)(0.5), value_and_grad(plain)(0.5)
    assert found[0] == truth[0]
    assert found[1] == pytest.approx(truth[1], rel=EXACT)


def test_second_derivatives_of_a_loop():
    def loop(x):
        return checkpointed_loop(lambda s, i: (s[0] + 0.1 * s[1], s[1] - 0.1 * np.sin(s[0])), (x, 0.0), 25, block=4)[0]

    def plain(x):
        s = (x, 0.0)
        for _ in range(25):
            s = (s[0] + 0.1 * s[1], s[1] - 0.1 * np.sin(s[0]))
        return s[0]

    for first, second in itertools.product([grad, _forward], repeat=2):
        assert second(first(loop))(1.0) == pytest.approx(second(first(plain))(1.0), rel=1e-11)


@functools.cache
def least(n, kept):
    """Blocks advanced while n blocks are reversed and `kept` states are kept."""
    if n <= 1:
        return 0
    if kept == 1:
        return n * (n - 1) // 2
    return min(m + least(m, kept) + least(n - m, kept - 1) for m in range(1, n))


@functools.cache
def ours(n, kept):
    """The same with the schedule's choice."""
    if n <= 1:
        return 0
    m = first_part(n, kept)
    return m + ours(m, kept) + ours(n - m, kept - 1 if kept > 1 else 1)


def test_the_schedule_is_the_binomial_one():
    """The number of blocks computed is the least possible, by the recursion that defines it."""

    for n in range(1, 60):
        for kept in range(1, 8):
            assert ours(n, kept) == least(n, kept), (n, kept)


def test_steps_are_not_computed_more_often_than_promised():
    n_blocks, snapshots, calls = 56, 3, []

    def step(state, i):
        calls.append(i)
        return 0.9 * state

    grad(lambda x: checkpointed_loop(step, x, n_blocks, snapshots=snapshots, block=1))(1.0)
    assert math.comb(3 + 5, 5) == n_blocks  # so 5 more forward passes, one of them on the tape
    assert max(calls.count(i) for i in range(n_blocks)) <= 1 + 5 + 1
    assert len(calls) == 56 + least(56, 3) + 56  # forward, advanced, on the tape


def _peak(f):
    gc.collect()
    tracemalloc.start()
    try:
        f()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _pendulum(s, i):
    return s[0] + 0.001 * s[1], s[1] - 0.001 * np.sin(s[0])


def test_a_loop_needs_less_than_five_per_cent_of_the_memory():
    def plain(x):
        s = (x, 0.0)
        for i in range(10_000):
            s = _pendulum(s, i)
        return s[0]

    checkpointed = _peak(lambda: grad(lambda x: checkpointed_loop(_pendulum, (x, 0.0), 10_000)[0])(1.0))
    assert checkpointed < 0.05 * _peak(lambda: grad(plain)(1.0))


def test_memory_is_that_of_the_snapshots():
    size = 50_000
    step = lambda s, i: s * 0.999

    def run(snapshots):
        def f(x):
            return np.sum(checkpointed_loop(step, x, 120, snapshots=snapshots, block=2))

        return _peak(lambda: grad(f)(np.ones(size))) / (8 * size)

    assert run(4) < 2 * 4 + 15  # the states, and as many cotangents in the frames of the recursion
    assert run(20) < 2 * 20 + 15


def test_a_tape_with_checkpoints_is_freed_without_the_garbage_collector():
    seen = []

    class Witness(np.ndarray):
        pass

    def f(x):
        big = np.ones(5).view(Witness)
        seen.append(weakref.ref(big))
        w = x * big
        return checkpoint(lambda y: np.sum(w * y))(x)

    gc.disable()
    try:
        grad(f)(np.ones(5))
        assert seen[0]() is None
    finally:
        gc.enable()


def test_bad_options():
    with pytest.raises(ArgumentError, match="n_steps"):
        checkpointed_loop(_pendulum, (1.0, 0.0), -1)
    with pytest.raises(ArgumentError, match="block"):
        checkpointed_loop(_pendulum, (1.0, 0.0), 1, block=0)
    with pytest.raises(ArgumentError, match="snapshots >= 1; got 0"):
        checkpointed_loop(_pendulum, (1.0, 0.0), 10, snapshots=0)


def test_integers_beside_the_state_and_data_by_index():
    data = np.array([1.0, 3.0, 2.0])

    def loop(x):
        def step(state, i):
            return {"x": state["x"] * data[state["k"]] * x, "k": (state["k"] + 1) % 3}

        return checkpointed_loop(step, {"x": 1.0, "k": 0}, 6, block=2)["x"]

    assert grad(loop)(1.0) == 6 * 36.0


def test_a_step_that_writes_to_its_state_is_refused():
    def step(s, i):
        s += 1.0
        return s

    with pytest.raises(InPlaceError, match="written"):
        grad(lambda x: np.sum(checkpointed_loop(step, x, 10)))(np.ones(3))
