"""Compiled log densities: right on every path, honest about what they cannot know, the same from every thread."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections import deque

import numpy as np
import pytest
from scipy.special import expit

import probad as pb
from probad import density as seam
from probad.codegen.joining import JOIN_FROM
from probad.errors import CompileWarning, StaleTraceError


def compiled(fn, dim):
    """A density whose address has been asked for."""
    density = pb.LogDensity.from_function(fn, dim)
    assert density.address != 0
    return density


def check(density, z, tolerance=1e-12):
    """Native value and gradient against the tape's."""
    z = np.asarray(z, dtype=float)
    logp, grad = density._by_tape(z)
    got, slope = density.logp_and_grad(z)
    np.testing.assert_allclose(got, logp, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(slope, grad, rtol=tolerance, atol=tolerance * (1 + np.max(np.abs(grad))))


def _check_all(density, points):
    for z in points:
        check(density, z)


def _evaluate_all(density, points):
    for z in points:
        density.logp_and_grad(z)


def n_traces(density) -> int:
    return len(density._native._compiled.traces)


# --- paths ------------------------------------------------------------------------------------------------------------
def test_a_branch_is_a_trace_of_its_own():
    density = compiled(lambda z: -(z[0] ** 2) if z[0] > 0 else -2 * z[0] ** 2 + z[0], 1)
    for x in np.linspace(-2, 2, 41):
        check(density, [x])
    assert n_traces(density) == 2


def test_a_loop_that_depends_on_a_value():
    def logp(z):
        x, y = 1.0 + z[0] ** 2, 1.0 + z[0] ** 2
        while abs(x * x - y) > 1e-10:
            x = 0.5 * (x + y / x)
        return -x

    density = compiled(logp, 1)
    for x in np.linspace(-3, 3, 50):
        check(density, [x], 1e-10)
    assert 1 < n_traces(density) < 12


def test_too_many_paths_that_cannot_be_joined_run_on_the_tape_with_one_warning():
    def logp(z):
        weights = [1.0 if x > 0 else 0.5 for x in z]  # numbers that depend on all answers
        return -sum(w * x**2 for w, x in zip(weights, z, strict=True))

    density = compiled(logp, 8)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 8))
    with pytest.warns(CompileWarning, match=r"more than 64 different paths.* not joined: together") as issued:
        _check_all(density, points)
    assert n_traces(density) == 64
    assert len(issued) == 1


# --- paths that are joined --------------------------------------------------------------------------------------------
def _branch_in_a_loop(z):
    s, total = 0.0, 0.0
    for x in z:
        if s > 0:
            s = 0.9 * s + x
        else:
            s = 0.5 * s - x
        total = total - s**2
    return total


def test_a_branch_in_a_long_loop_becomes_one_loop_of_choices():
    density = compiled(_branch_in_a_loop, 300)
    by_tape = []
    evaluate = density._native._compiled.evaluate
    density._native._compiled.evaluate = lambda z: by_tape.append(1) or evaluate(z)
    points = np.random.default_rng(0).normal(size=(500, 300))
    for z in points:
        density.logp_and_grad(z)
    assert len(by_tape) < 120  # new paths, and comparisons
    assert n_traces(density) == 1
    by_tape.clear()
    _check_all(density, points[::50])
    assert "loop" in density._native._compiled.traces[0].function.ops


def _helper(z):
    def step(s, x):
        if s > 1:
            return s * 0.5
        return s + x

    s = z[0]
    for t in range(len(z)):
        s = step(s, z[t])
    return -(s**2)


def _nested(z):
    a, b = z[0], z[1]
    for x in z:
        if x > 0:
            if a > x:
                a = 0.5 * a
            elif b > 0:
                b = b - x
        else:
            a, b = b, a + 0.1 * x
        if a > 3:
            continue
        b = np.sin(b) + a * x
    return -(a**2) - b**2


def _early_return(z):
    s = 0.0
    for x in z:
        s = s + x
        if s > 2:
            return -s * z[0]
    return -(s**2)


def _while(z):
    x, n = 1.0 + z[0] ** 2, 0
    while abs(x) > 1e-3 and n < 30:
        x = 0.5 * x if x > z[1] else 0.4 * x - 0.01 * z[2]
        n += 1
    return -x - n * z[1]


def _arrays(z):
    s = np.zeros(6) * z[0]
    for t in range(6):
        if z[t] > 0:
            s[t] = z[t] * (s[t - 1] if t else 1.0)
        else:
            s[t:] = s[t:] + z[t] ** 2
    return -np.sum(s * s)


class State:
    pass


def _attributes(z):
    state = State()
    state.s, state.hits = z[0], {"up": 0}
    for x in z:
        if x > 0.2:
            state.s = 0.9 * state.s + x
            state.hits["up"] += 0
        else:
            state.s = state.s - 0.3
    return -(state.s**2)


def _largest(z):
    best, second = z[0], z[1]
    for x in z[1:]:
        if x > best:
            best, second = x, best
    return -(best**2) - np.abs(second)


@pytest.mark.parametrize("fn", [_helper, _nested, _early_return, _while, _arrays, _attributes, _largest])
def test_paths_are_joined(fn):
    density = compiled(fn, 8)
    _check_all(density, np.random.default_rng(1).normal(size=(600, 8)))
    assert not density._native._compiled.joining.why_apart
    assert density._native._compiled.joining.is_joined


def _hidden_iterator(z):
    s, numbers = 0.0, iter(z)
    for x in numbers:
        s = s + x * next(numbers, 0.0) if x > 0 else s - x
    return -(s**2)


def _iterator_in_c(z):
    s, numbers = z[0], itertools.cycle([1.0, 2.0, 3.0])
    for x in z:
        if x > 0:
            s = s + next(numbers) * x
        if s > 0:
            s = s * 0.5
    return -(s**2)


def _closure_that_counts(z):
    n = 0

    def count():
        nonlocal n
        n += 1
        return 1.0 / n

    s = 0.0
    for x in z:
        if x > 0:
            s = s + count()
        s = s + x
    return -(s**2)


def _number_on_the_stack(z):
    def f(x):
        return x if x > z[1] else 2 * x

    s = 0.0
    for x in z:
        s = s + (1.0 if x > 0 else 2.0) * f(x)
    return -(s**2)


def _value_on_the_stack(z):
    def f(x):
        return x if x > z[1] else 2 * x

    s, w = z[0], z[1]
    for x in z:
        s = (x if s > 0 else w) + 0.1 * f(s)
    return -(s**2)


def _sum_of_a_generator(z):
    return -z[0] * sum(1.0 if x > 0 else 2.0 for x in z) - z[1] ** 2


def _largest_of_many(z):
    return -(max(z[0], z[1], z[2], z[3], key=lambda x: x) ** 2) - max(z[4], z[5], z[6]) * min(*z) ** 2


def _sorted(z):
    low, *_, high = sorted(z)
    return -low * high


def _generator_with_a_state(z):
    def walk():
        step = 1.0
        while True:
            x = yield step
            step = 0.5 * step if x > 0 else step + 1.0

    s, steps = 0.0, walk()
    next(steps)
    for x in z:
        s = s + steps.send(x) * x
    return -(s**2)


def _flags(z):
    seen, s = False, 0.0
    for x in z:
        seen = seen or bool(x > 0.5)
        s = s + (x if seen else 0.1 * x)
    return -(s**2)


def _counts(z):
    n = int(np.sum(z > 0))
    return -np.sum(z[:n] ** 2) - np.sum(z[z > 0.5])


def _factor(z):
    k = np.eye(3) * (1.0 + z[0] ** 2)
    for x in z[1:4]:
        if x > 0:
            k = np.linalg.cholesky(k @ k.T + 0.1 * np.eye(3))
        else:
            k = k + 0.1 * x * np.ones((3, 3))
    return -np.sum(k**2)


def _numbers_and_values(z):
    s = z[0]
    for x in z:
        if s > 1:
            s = 0.5
        elif s > 0:
            s = s - x
        else:
            s = x**2
    return -(s**2) - z[0] ** 2


TOTAL = [0.0]


def _global_state(z):
    TOTAL[0] = 0.0
    s = 0.0
    for x in z:
        if x > 0:
            TOTAL[0] += 1.0
        s = s + x if x > s else s * 0.5
    return -(s**2) * (1 + TOTAL[0])


HIDING = [_hidden_iterator, _iterator_in_c, _closure_that_counts, _number_on_the_stack, _value_on_the_stack,
          _sum_of_a_generator, _largest_of_many, _sorted, _generator_with_a_state, _flags, _counts, _factor,
          _numbers_and_values, _global_state]  # fmt: skip


@pytest.mark.parametrize("fn", HIDING)
def test_joining_is_not_deceived_by_what_it_cannot_see(fn, monkeypatch):
    """Iterators, counters, numbers on the stack, generators: joined or not, each of many calls is right."""
    monkeypatch.setattr("probad.codegen.compiled.MAX_TRACES", 12)  # the rest by the tape, which is quicker here
    density = compiled(fn, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompileWarning)
        _check_all(density, np.random.default_rng(2).normal(size=(600, 8)))


def _is_likely(z):
    """A question whose answer is nearly always that of ``z[0] > 0``."""
    return z[0] + 0.02 * z[1] > 0


def _padding(z):
    s = 0.0
    for x in z[3:]:
        s = s + x if x > 0 else s - 0.5 * x
    return -0.1 * s**2 - 0.1 * (z @ z)


def _range_on_the_stack(z):
    s = _padding(z)
    for _ in range(1 + int(z[0] > 0)):
        s = s + z[1] if _is_likely(z) else s - z[2]
    return s


def _list_on_the_stack(z):
    s = _padding(z)
    for w in [1.0, 1.0 if z[0] > 0 else 2.0]:
        s = s + w * z[1] if _is_likely(z) else s + w * z[2]
    return s


def _suspended_generator(z):
    def parts():
        w = 2.0 if z[0] > 0 else 1.0
        yield z[0]
        yield w * z[1]

    s = _padding(z)
    for v in parts():
        s = s + v if _is_likely(z) else s - 3 * v
    return s


class Weights:
    """An iterator whose steps ask."""

    def __init__(self, values):
        self.values = list(values)

    def __iter__(self):
        return self

    def __next__(self):
        if not self.values:
            raise StopIteration
        return 1.0 if self.values.pop(0) > 0 else 2.0


def _list_of_an_iterator(z):
    p = _padding(z)
    w = list(Weights([z[0], z[0] + 0.02 * z[1]]))
    return p + w[0] * z[2]


def _sum_of_a_generator_at_first(z):
    def weights():
        for q in (z[0], z[0] + 0.02 * z[1]):
            yield 1.0 if q > 0 else 2.0

    w = sum(weights())
    return z[2] * w + _padding(z)


def _nonlocal_on_the_stack(z):
    p, n = _padding(z), 1.0 if z[0] > 0 else 2.0

    def f():
        nonlocal n
        n = 5.0
        return z[1] if _is_likely(z) else z[2]

    return p + n * f()


LOG: list = []


def _total_of_log():
    return sum(LOG)


def _global_behind_a_function(z):
    LOG.clear()
    p = _padding(z)
    LOG.append(2.0 if z[0] > 0 else 1.0)
    s = z[1] if _is_likely(z) else z[2]
    return p + s * _total_of_log()


class Shared:
    w = 1.0


def _attribute_of_a_class(z):
    p = _padding(z)
    Shared.w = 2.0 if z[0] > 0 else 1.0
    s = z[1] if _is_likely(z) else z[2]
    return p + s * Shared.w


def _alias_of_an_array(z):
    p, a = _padding(z), np.ones(3)
    b = a if z[0] > 0 else a.copy()
    s = z[1] if _is_likely(z) else z[2]
    b[0] = 3.0
    return p + s * a[0]


class Weight(float):
    pass


def _number_of_a_class(z):
    p, w = _padding(z), Weight(1.0 if z[0] > 0 else 2.0)
    s = z[1] if _is_likely(z) else z[2]
    return p + s * float(w)


def _length_of_a_deque(z):
    p, d = _padding(z), deque(maxlen=2 if z[0] > 0 else 3)
    s = z[1] if _is_likely(z) else z[2]
    d.extend([1.0, 2.0, 3.0])
    return p + s * d[0]


RARELY_APART = [_range_on_the_stack, _list_on_the_stack, _suspended_generator, _list_of_an_iterator,
                _sum_of_a_generator_at_first, _nonlocal_on_the_stack, _global_behind_a_function,
                _attribute_of_a_class, _alias_of_an_array, _number_of_a_class, _length_of_a_deque]  # fmt: skip


@pytest.mark.parametrize("fn", RARELY_APART)
def test_joining_is_not_deceived_by_questions_with_nearly_always_the_same_answer(fn, monkeypatch):
    """What the first question hides shows after the second one only when they differ, which no path has done before."""
    monkeypatch.setattr("probad.codegen.compiled.MAX_TRACES", 12)
    density, rng = compiled(fn, 8), np.random.default_rng(1)
    points = rng.normal(size=(400, 8))
    points[150::2, 0] *= 0.02
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompileWarning)
        _check_all(density, points)


def test_much_data_within_reach_does_not_keep_anybody_waiting(monkeypatch):
    for module in ("standpoint", "capture"):
        monkeypatch.setattr(f"probad.ir.{module}.MOST", 0.05)
    rows = [{"y": y, "x": [x, 1.0]} for x, y in np.random.default_rng(2).normal(size=(100, 2)).tolist()]

    def logp(z):
        total = -(z @ z)
        for row in rows:
            mean = z[0] + z[1] * row["x"][0]
            total = total - (mean - row["y"]) ** 2 if mean > row["y"] else total - (row["y"] - mean)
        return total

    density = compiled(logp, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompileWarning)
        _check_all(density, np.random.default_rng(3).normal(size=(12, 2)))
    assert "too much data" in density._native._compiled.joining.why_apart


def test_paths_that_were_joined_wrongly_are_parted_and_right(monkeypatch):
    """If a standpoint does not tell all, the comparisons with the tape find out."""
    monkeypatch.setattr("probad.ir.standpoint.Observer._is_seen", lambda *_: True)  # planted
    monkeypatch.setattr("probad.codegen.compiled.MAX_TRACES", 12)
    density = compiled(_number_on_the_stack, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompileWarning)
        for z in np.random.default_rng(3).normal(size=(600, 8)):
            density.logp_and_grad(z)
        assert density._native._compiled.joining.why_apart
        _check_all(density, np.random.default_rng(4).normal(size=(50, 8)))


def test_a_function_that_changes_is_noticed_when_its_paths_are_joined():
    setting = {"scale": 1.0}
    density = compiled(lambda z: setting["scale"] * _branch_in_a_loop(z), 20)
    rng = np.random.default_rng(5)
    for z in rng.normal(size=(300, 20)):
        density.logp_and_grad(z)
    assert n_traces(density) == 1
    setting["scale"] = 3.0
    with pytest.raises(StaleTraceError, match="changed since"):
        _evaluate_all(density, rng.normal(size=(20_000, 20)))


def test_infinities_in_a_branch_not_taken_do_not_reach_the_gradient():
    def logp(z):
        s = 0.0
        for x in z:
            if x > 0:
                s = s + np.sqrt(x) + np.log(x)
            else:
                s = s - x**2
        return s - np.sum(z**2)

    density = compiled(logp, 10)
    _check_all(density, np.random.default_rng(6).normal(size=(600, 10)))
    assert not density._native._compiled.joining.why_apart


def test_paths_that_are_dear_together_are_joined_when_there_may_be_no_more_of_them(monkeypatch):
    """Of six ways one is taken; all of them at once would be six times the work."""
    monkeypatch.setattr("probad.codegen.compiled.MAX_TRACES", 16)
    x = np.random.default_rng(7).normal(size=400)

    def logp(z):
        if z[0] < -1:
            total = np.sum(np.tanh(x * z[1]))
        elif z[0] < -0.5:
            total = np.sum(np.sin(x * z[1]))
        elif z[0] < 0:
            total = np.sum(np.exp(-((x * z[1]) ** 2)))
        elif z[0] < 0.5:
            total = np.sum(np.cos(x * z[1]))
        elif z[0] < 1:
            total = np.sum(np.arctan(x * z[1]))
        else:
            total = np.sum(np.log1p((x * z[1]) ** 2))
        for v in z[2:]:
            total = total - v if v > 0 else total - 0.5 * v
        return -total - np.sum(z**2)

    density = compiled(logp, 6)
    points = np.random.default_rng(8).normal(size=(300, 6))
    _check_all(density, points[:14])
    assert n_traces(density) > JOIN_FROM
    _check_all(density, points)
    assert n_traces(density) == 1


def test_copies_share_the_code_that_is_made_later():
    @pb.model
    def normal(y):
        mu = pb.sample("mu", pb.dist.Normal(0.0, 1.0))
        pb.sample("y", pb.dist.Normal(mu, 1.0), obs=y)

    for density in (pb.LogDensity.from_function(lambda z: -np.sum(z**2), 2), normal(np.zeros(3)).density()):
        first, second = density.fork(), density.fork()
        assert type(first) is type(density)
        assert first.address
        assert second.address
        assert first._native._compiled is second._native._compiled is density._native._compiled


def test_threads_join_paths_together():
    density = compiled(_branch_in_a_loop, 60)
    failures = []

    def run(number):
        fork = density.fork()
        rng = np.random.default_rng(number)
        for z in rng.normal(size=(300, 60)):
            got, slope = fork.logp_and_grad(z)
            logp, grad = density._by_tape(z)
            if not (np.isclose(got, logp, rtol=1e-11) and np.allclose(slope, grad, rtol=1e-10, atol=1e-10)):
                failures.append(number)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_counts_and_masks_are_conditions():
    density = compiled(lambda z: -np.sum(z[z > 0] ** 2) - int(np.sum(z > 1)) * z[0], 4)
    rng = np.random.default_rng(1)
    for _ in range(100):
        check(density, 2 * rng.normal(size=4))


def test_an_error_on_a_bad_path_is_the_functions_own():
    def logp(z):
        if z[0] > 5:
            raise ValueError("z[0] is too large for this model")
        return -(z[0] ** 2)

    density = compiled(logp, 1)
    check(density, [1.0])
    with pytest.raises(ValueError, match="too large"):
        density.logp_and_grad([6.0])
    check(density, [2.0])


@pytest.mark.slow
def test_no_stale_gradient_in_a_million_calls_across_branches():
    def logp(z):
        a = z[0] if z[0] > z[1] else 2 * z[1]
        return -(a**2) - (np.exp(z[2]) if z[2] < 0.5 else 1 + z[2] ** 2)

    density = compiled(logp, 3)
    rng = np.random.default_rng(2)
    for _ in range(250):
        points = rng.normal(size=(4000, 3))
        a = np.where(points[:, 0] > points[:, 1], points[:, 0], 2 * points[:, 1])
        low = points[:, 2] < 0.5
        slope = np.stack([
            np.where(points[:, 0] > points[:, 1], -2 * a, 0.0),
            np.where(points[:, 0] > points[:, 1], 0.0, -4 * a),
            np.where(low, -np.exp(points[:, 2]), -2 * points[:, 2]),
        ], axis=1)  # fmt: skip
        got = np.array([density.logp_and_grad(z)[1] for z in points])
        np.testing.assert_allclose(got, slope, rtol=1e-12, atol=1e-12)


# --- what guards cannot see -------------------------------------------------------------------------------------------
def _evaluate_often(density, n, z=(0.5, 1.0)):
    for _ in range(n):
        density.logp_and_grad(np.array(z))


def _until_stale(density, n=200_000, z=(0.5, 1.0)):
    with pytest.raises(StaleTraceError, match="changed since"):
        _evaluate_often(density, n, z)


def test_a_global_that_changes_is_noticed():
    setting = {"scale": 1.0}
    density = compiled(lambda z: -setting["scale"] * np.sum(z**2), 2)
    check(density, [1.0, 2.0])
    setting["scale"] = 3.0
    _until_stale(density)


def test_an_array_in_the_closure_that_is_written_to_is_noticed():
    for n in (2, 4000):
        data = np.ones(n)
        density = compiled(lambda z, data=data: -np.sum((z[0] * data) ** 2) - z[1] ** 2, 2)
        check(density, [1.0, 2.0])
        data[1] = 7.0
        _until_stale(density)


def test_a_random_number_is_noticed_at_once():
    rng = np.random.default_rng(3)
    density = compiled(lambda z: -np.sum(z**2) + rng.normal(), 2)
    with pytest.raises(StaleTraceError):
        _evaluate_often(density, 3)


def test_what_overflows_in_python_alone_is_no_change():
    """Compiled code has the stable form of a sum of exponentials; far out the function as it is written has none."""
    setting = {"scale": 1.0}

    def logp(z):
        return -setting["scale"] * np.log(np.exp(z[0]) + np.exp(z[1])) - z[1] ** 2

    density = compiled(logp, 2)
    check(density, [1.0, 2.0])
    with np.errstate(all="ignore"):
        assert logp(np.array([900.0, 1.0])) == -np.inf
        for _ in range(2000):
            got, _ = density.logp_and_grad([900.0, 1.0])
        assert got == pytest.approx(-901.0)
        setting["scale"] = 2.0
        _until_stale(density, z=(900.0, 1.0))


def test_what_cancels_in_python_alone_is_no_change():
    """1 - sigmoid(z) has few digits left at 29; its compiled form has all."""
    density = compiled(lambda z: 1000 * np.log1p(-expit(z[0])) - z[1] ** 2, 2)
    check(density, [1.0, 2.0])
    for _ in range(2000):
        got, _ = density.logp_and_grad([29.0, 1.0])
    assert got == pytest.approx(-29_001.0, abs=1.0)


def test_a_test_of_types_sees_what_the_tape_sees():
    density = compiled(lambda z: -(z[0] ** 2) if isinstance(z[0], float) else -2 * z[0] ** 2, 1)
    check(density, [1.3])  # both are traced, and neither is a float


def test_print_happens_while_tracing_only(capsys):
    def logp(z):
        print("here")
        return -np.sum(z**2)

    density = compiled(logp, 2)
    for _ in range(1000):
        density.logp_and_grad(np.ones(2))
    assert 1 <= capsys.readouterr().out.count("here") < 10


# --- edges ------------------------------------------------------------------------------------------------------------
def test_outside_the_support_is_not_an_error():
    density = compiled(lambda z: np.log(z[0]) - z[0], 1)
    assert density.logp_and_grad([-1.0])[0] != density.logp_and_grad([-1.0])[0]  # nan, as by the tape
    assert density.logp_and_grad([0.0])[0] == -np.inf
    check(density, [0.5])


def test_a_matrix_that_is_not_positive_definite():
    def logp(z):
        k = np.eye(5) + z[0] * (np.ones((5, 5)) - np.eye(5))
        return -np.sum(np.log(np.diag(np.linalg.cholesky(k))))

    density = compiled(logp, 1)
    check(density, [0.3])
    assert density.logp_and_grad([-0.9])[0] == -np.inf
    check(density, [0.4])


def test_zero_times_infinity_in_a_branch_not_taken():
    density = compiled(lambda z: np.sum(np.where(z > 0, np.sqrt(z), 0.0)) - np.sum(z**2), 3)
    check(density, [0.0, 1.0, -2.0])
    check(density, [0.0, 0.0, 0.0])


def test_without_compilation(monkeypatch):
    monkeypatch.setenv("PROBAD_COMPILE", "0")
    density = pb.LogDensity.from_function(lambda z: -np.sum(z**2), 2)
    assert (density.address, density.ctx) == (0, 0)
    assert density.logp_and_grad([1.0, 2.0])[0] == -5.0


def test_what_cannot_be_compiled_warns_once_and_runs():
    def logp(z):
        return -np.sum(z**2) + 0.0 * float(np.float64(np.asarray(pb.stop_gradient(z), dtype=object).size))

    density = pb.LogDensity.from_function(lambda z: logp(z), 2)
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        first, second = density.address, density.address
    assert first == second
    assert len(issued) <= 1
    assert density.logp_and_grad([1.0, 2.0])[0] == -5.0


# --- threads ----------------------------------------------------------------------------------------------------------
def test_two_threads_give_the_bits_of_one():
    x = np.random.default_rng(4).normal(size=(200, 5))

    def logp(z):
        eta = x @ z
        return -np.sum(np.logaddexp(0.0, eta)) - 0.5 * np.sum(z**2)

    density = compiled(logp, 5)
    points = np.random.default_rng(5).normal(size=(2000, 5))
    alone = [density.logp_and_grad(z) for z in points]
    found: dict[int, list] = {}

    def run(number):
        fork = density.fork()
        assert fork.address == density.address
        assert fork.ctx != density.ctx
        found[number] = [fork.logp_and_grad(z) for z in points]

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for results in found.values():
        for (a, g), (b, h) in zip(alone, results, strict=True):
            assert a == b
            assert g.tobytes() == h.tobytes()


def test_the_status_codes_are_those_of_the_contract():
    assert (seam.OK, seam.NOT_FINITE, seam.FATAL) == (0, 1, 2)
