"""When code is compared with the tape: at first, then for a twentieth of the time, and at the end of algorithms."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import probad as pb
from probad.codegen import comparisons, compiled
from probad.codegen.comparisons import FIRST, SHARE, Comparisons
from probad.errors import StaleTraceError
from probad.mcmc import NUTS
from probad.mcmc.chain import Job, run_job
from probad.mcmc.workspace import ITERATION


class Clock(SimpleNamespace):
    """Seconds that pass when a test says so."""

    now = 100.0

    def perf_counter(self):
        return self.now

    thread_time = perf_counter


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(comparisons, "time", clock)
    return clock


def _compare(what: Comparisons, clock: Clock, seconds: float):
    with what.timed():
        clock.now += seconds


def test_the_first_are_made_whatever_they_cost(clock):
    what = Comparisons()
    for _ in range(FIRST):
        assert what.is_close
        assert what.is_due
        _compare(what, clock, 60.0)
    assert not what.is_close
    assert not what.is_due


def test_later_ones_wait_until_they_are_a_small_share_of_the_time(clock):
    what = Comparisons()
    for _ in range(FIRST + 4):
        assert what.is_due
        _compare(what, clock, 2.0)
        clock.now += 2.0 / SHARE - 0.01
        assert not what.is_due or what.is_close
        clock.now += 0.02


def test_other_threads_make_none_meanwhile(clock):
    what = Comparisons()
    with what.timed():
        assert what.is_due  # nothing is known of a new program
    for _ in range(FIRST):
        _compare(what, clock, 1.0)
    clock.now += 1000.0
    assert what.is_due
    with what.timed():
        assert not what.is_due


def _take_a_second_for_nothing(clock):
    clock.now += 1.0
    raise ValueError("nothing")


def test_one_that_fails_counts(clock):
    what = Comparisons()
    for _ in range(FIRST):
        with pytest.raises(ValueError, match="nothing"), what.timed():
            _take_a_second_for_nothing(clock)
    assert not what.is_due


def test_a_new_program_is_looked_at_closely(clock):
    what = Comparisons()
    for _ in range(FIRST):
        _compare(what, clock, 1.0)
    what.begin()
    assert what.is_close
    assert what.is_due


# --- in densities -----------------------------------------------------------------------------------------------------
def _count(monkeypatch) -> list:
    """A list that grows with each comparison."""
    found = []
    compare = compiled.Worker._difference
    monkeypatch.setattr(compiled.Worker, "_difference", lambda *args: found.append(1) or compare(*args))
    return found


def test_a_dear_tape_is_seldom_asked(monkeypatch):
    """The loop takes the tape some hundred times what it takes the code."""
    found = _count(monkeypatch)
    density = pb.LogDensity.from_function(lambda z: -sum(np.exp(z[0] * np.sin(k)) for k in range(3000)) - z[1] ** 2, 2)
    assert density.address
    for z in np.random.default_rng(0).normal(size=(2000, 2)):
        density.logp_and_grad(z)
    for _ in range(5):
        density.fork().logp_and_grad(np.ones(2))
    assert FIRST <= len(found) <= FIRST + 4


def test_a_new_path_is_compared_whatever_the_time(monkeypatch):
    density = pb.LogDensity.from_function(lambda z: -(z[0] ** 2) if z[0] < 1 else -z[0], 1)
    assert density.address
    for _ in range(FIRST):
        density.logp_and_grad([0.5])
    found = _count(monkeypatch)
    monkeypatch.setattr(Comparisons, "is_due", False)
    density.logp_and_grad([2.0])
    assert len(found) == 1


def test_verify_finds_what_no_comparison_on_the_way_has_found(monkeypatch):
    for gradient in ("reverse", "forward", "central"):
        setting = {"scale": 1.0}
        fn = lambda z, setting=setting: -setting["scale"] * np.sum(z**2)
        density = pb.LogDensity.from_function(fn, 2, gradient=gradient)
        density.verify(np.ones(2))  # nothing is compiled yet
        assert density.address
        for _ in range(5):
            density.logp_and_grad([0.5, 1.0])
        density.verify(np.ones(2))
        monkeypatch.setattr(Comparisons, "is_due", False)
        setting["scale"] = 2.0
        with pytest.raises(StaleTraceError, match="log density"):
            density.verify(np.ones(2))
        monkeypatch.undo()


def test_verify_leaves_alone_what_cannot_go_stale():
    class Own(pb.LogDensity):
        def logp_and_grad(self, z):
            return -float(z @ z), -2 * z

    Own(2).verify(np.ones(2))
    density = pb.LogDensity.from_function(lambda z: -np.sum(np.log(z)), 2)
    assert density.address
    density.verify(-np.ones(2))  # outside the support


# --- at the end of algorithms -----------------------------------------------------------------------------------------
class Late:
    """A function that changes when it is told to, and no comparison is due any more."""

    def __init__(self, monkeypatch):
        self.scale = 1.0
        monkeypatch.setattr(Comparisons, "is_due", property(lambda what: what.is_close))

    def __call__(self, z):
        return -self.scale * np.sum(z**2)

    def change(self):
        self.scale = 2.0


@pytest.mark.filterwarnings("ignore::probad.errors.SamplingWarning")  # the runs are short
def test_a_run_that_has_become_stale_has_no_result(monkeypatch):
    late = Late(monkeypatch)
    density = pb.LogDensity.from_function(late, 3)
    counts = {"draws": 100, "warmup": 100, "chains": 2, "seed": 1, "progress": False}
    pb.nuts(density, **counts)
    late.change()
    with pytest.raises(StaleTraceError, match="changed since"):
        pb.nuts(density, **counts)


def test_a_chain_elsewhere_that_has_become_stale_has_no_result(monkeypatch):
    late = Late(monkeypatch)
    density = pb.LogDensity.from_function(late, 3)
    job = Job(density, NUTS(), 0, draws=100, warmup=100, seed=1)
    assert run_job(job).counts[ITERATION] == 200
    late.change()
    with pytest.raises(StaleTraceError, match="changed since"):
        run_job(job)


@pytest.mark.filterwarnings("ignore::probad.errors.ConvergenceWarning")
def test_a_fit_that_has_become_stale_has_no_result(monkeypatch):
    late = Late(monkeypatch)
    density = pb.LogDensity.from_function(late, 3)
    pb.vi(density, steps=200, seed=1, progress=False)
    late.change()
    with pytest.raises(StaleTraceError, match="changed since"):
        pb.vi(density, steps=200, seed=1, progress=False)
