"""`pb.compile`: the function itself, faster; on every path, from every thread, and honest about what it cannot know."""

from __future__ import annotations

import ctypes
import threading
import warnings

import numpy as np
import pytest

import probad as pb
from probad.errors import ArgumentError, CompileWarning, StaleTraceError


def test_nests_in_and_out():
    def fn(d, k):
        return {"sum": np.sum(d["x"]) * k, "parts": (np.exp(d["x"]), d["x"].T @ d["x"])}

    compiled = pb.compile(fn)
    for seed in range(5):
        d = {"x": np.random.default_rng(seed).normal(size=(5, 3))}
        got, expected = compiled(d, 2.0), fn(d, 2.0)
        np.testing.assert_allclose(got["sum"], expected["sum"], rtol=1e-12)
        for a, b in zip(got["parts"], expected["parts"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert compiled.n_traces == 1


def test_each_shape_is_a_trace_of_its_own():
    compiled = pb.compile(lambda x: np.sum(x**3))
    for n in (1, 2, 7, 2, 1):
        np.testing.assert_allclose(compiled(np.arange(n) + 0.5), np.sum((np.arange(n) + 0.5) ** 3), rtol=1e-14)
    assert compiled.n_traces == 3


def test_iterations_that_depend_on_values():
    def root(y):
        x = y
        while abs(x * x - y) > 1e-12 * y:
            x = 0.5 * (x + y / x)
        return x

    compiled = pb.compile(root)
    for y in np.linspace(0.5, 60, 100):
        np.testing.assert_allclose(compiled(y), np.sqrt(y), rtol=1e-12)
    assert compiled.n_traces < 12


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: pb.grad(f),
        lambda f: lambda x: pb.hvp(f, x, np.ones(4)),
        lambda f: lambda x: pb.jvp(f, (x,), (np.arange(4.0),)),
        lambda f: pb.hessian(f),
        lambda f: pb.grad(lambda x: np.sum(pb.grad(f)(x) ** 2)),
    ],
    ids=["grad", "hvp", "jvp", "hessian", "nested"],
)
def test_derivatives_inside(transform):
    fn = transform(lambda x: np.sum(np.tanh(x) * x**3) + np.prod(x))
    compiled = pb.compile(fn)
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=4)
        np.testing.assert_allclose(compiled(x), fn(x), rtol=1e-11, atol=1e-12)


def test_what_is_not_finite_is_what_python_says():
    compiled = pb.compile(lambda x: np.log(x) / x)
    with np.errstate(all="ignore"):
        for x in (np.array([1.0, 0.0]), np.array([-1.0, 2.0]), np.array([np.inf, 1.0])):
            np.testing.assert_array_equal(compiled(x), np.log(x) / x)


def test_traced_arguments_pass_through():
    compiled = pb.compile(lambda x: np.sum(np.sin(x)))
    x = np.arange(3.0)
    compiled(x)
    np.testing.assert_allclose(pb.grad(compiled)(x), np.cos(x), rtol=1e-15)


def test_what_has_changed_is_noticed():
    data = np.ones(3)
    compiled = pb.compile(lambda x: np.sum(data * x))
    compiled(np.ones(3))
    data[0] = 5.0
    with pytest.raises(StaleTraceError, match="has changed since"):
        compiled(np.ones(3))


def _call_often(compiled, n):
    rng = np.random.default_rng(0)
    return [compiled(rng.normal(size=9)) for _ in range(n)]


def _sum_of_branches(x):
    total = 0.0
    for v in x:
        total = total + (v if v > 0 else 2 * v)
    return total


def test_paths_are_joined():
    compiled = pb.compile(_sum_of_branches)
    got = _call_often(compiled, 300)
    np.testing.assert_allclose(got, _call_often(_sum_of_branches, 300), rtol=1e-12, atol=1e-12)
    assert compiled.n_traces == 1


def test_paths_of_functions_with_nests_for_results_are_joined():
    def fn(d, scale):
        s, seen = d["start"], []
        for v in d["x"]:
            if s > v:
                s = s - scale * v
            elif v > 0:
                s = s * v
            seen.append(s)
        return {"last": s, "all": np.stack(seen)}

    compiled, rng = pb.compile(fn), np.random.default_rng(1)
    for _ in range(300):
        d = {"start": rng.normal(), "x": rng.normal(size=6)}
        got, expected = compiled(d, 0.5), fn(d, 0.5)
        np.testing.assert_allclose(got["last"], expected["last"], rtol=1e-12)
        np.testing.assert_allclose(got["all"], expected["all"], rtol=1e-12)
    assert compiled.n_traces == 1


def test_too_many_paths():
    def fn(x):
        weights = [1.0 if v > 0 else 2.0 for v in x]  # numbers that depend on all answers
        return sum(w * v for w, v in zip(weights, x, strict=True))

    compiled = pb.compile(fn)
    with pytest.warns(CompileWarning, match=r"more than 64 different paths.* not joined: together") as issued:
        got = _call_often(compiled, 300)
    np.testing.assert_allclose(got, _call_often(fn, 300), rtol=1e-12, atol=1e-12)
    assert len(issued) == 1


def test_joined_paths_that_are_wrong_are_parted(monkeypatch):
    monkeypatch.setattr("probad.ir.standpoint.Observer._is_seen", lambda *_: True)  # planted
    monkeypatch.setattr("probad.codegen.function.CHECK_EVERY", 1)

    def fn(x):
        s = 0.0
        for v in x:
            s = s + (1.0 if v > 0 else 2.0) * _bent(v, x[1])
        return s

    compiled = pb.compile(fn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompileWarning)
        np.testing.assert_allclose(_call_often(compiled, 300), _call_often(fn, 300), rtol=1e-12, atol=1e-12)
    (joining,) = compiled._joinings.values()
    assert joining.why_apart


def _bent(v, w):
    return v if v > w else 2 * v


def test_errors_are_the_functions_own():
    def fn(x):
        if x[0] > 1:
            raise KeyError("too large")
        return np.sum(x)

    compiled = pb.compile(fn)
    assert compiled(np.zeros(2)) == 0.0
    with pytest.raises(KeyError, match="too large"):
        compiled(np.full(2, 3.0))
    assert compiled(np.ones(2)) == 2.0


def test_threads_give_the_same_bits():
    compiled = pb.compile(lambda x: np.sum(np.exp(np.sin(x @ x.T))))
    points = np.random.default_rng(1).normal(size=(200, 4, 4))
    alone = [compiled(x) for x in points]
    found = {}
    threads = [threading.Thread(target=lambda k=k: found.update({k: [compiled(x) for x in points]})) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(results == alone for results in found.values())


def test_an_entry_for_other_languages():
    entry = pb.compile(lambda x, k: (np.cumsum(x) * k, np.sum(x))).entry(np.ones(3), 2.0)
    call = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)(entry.address)
    arguments, out = np.array([1.0, 2.0, 3.0, 10.0]), np.empty(entry.n_out)
    assert call(entry.ctx, arguments.ctypes.data, 0, out.ctypes.data) == 0
    np.testing.assert_array_equal(out, [10.0, 30.0, 60.0, 6.0])


def test_turned_off(monkeypatch):
    monkeypatch.setenv("PROBAD_COMPILE", "0")
    compiled = pb.compile(lambda x: x + 1.0)
    assert compiled(np.float64(1.0)) == 2.0
    assert compiled.n_traces == 0


def test_not_a_function():
    with pytest.raises(ArgumentError, match="takes a function; got int"):
        pb.compile(3)
