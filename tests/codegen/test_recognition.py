"""Functions that were compiled before: taken from disk as they were captured, and never believed unseen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.special

import probad as pb
from benchmarks import gradients
from models import MODELS, is_available
from probad.codegen import cache, compiled, recognition
from probad.errors import StaleTraceError

ROOT = Path(__file__).parents[2]
DENSITIES = {
    "eight_schools": (),
    "radon": (),
    "logistic": (200, 5),
    "stochastic_volatility": (50,),
    "garch": (50,),
    "hidden_markov": (30,),
    "gaussian_process": (12,),
    "item_response": (20, 6),
}


@pytest.fixture
def captures(monkeypatch):
    """How many functions have been captured for densities."""
    counted: list = []
    capture = compiled.capture
    monkeypatch.setattr(compiled, "capture", lambda *args: counted.append(args) or capture(*args))
    return counted


def _density(logp, dim: int):
    density = pb.LogDensity.from_function(logp, dim)
    assert density.address
    return density


@pytest.mark.parametrize("name", DENSITIES)
def test_a_function_is_captured_once_and_has_the_same_bits_afterwards(name, captures):
    def made():
        return getattr(gradients, name)(*DENSITIES[name])[:2]

    logp, z = made()
    first = _density(logp, len(z))
    points = z + 0.1 * np.random.default_rng(0).normal(size=(20, len(z)))
    expected = [first.logp_and_grad(point) for point in points]
    assert len(captures) == 1
    second = _density(made()[0], len(z))
    assert len(captures) == 1, "it was captured again"
    for point, (logp, grad) in zip(points, expected, strict=True):
        again, slope = second.logp_and_grad(point)
        assert again == logp and np.array_equal(slope, grad)


@pytest.mark.parametrize("name", [name for name in MODELS if is_available(name)])
def test_models_are_known_again(name, captures):
    module = MODELS[name]
    (model,) = (value for value in vars(module).values() if type(value).__name__ == "Model")
    densities = [model(**module.data()).density() for _ in range(2)]
    addresses = [density.address for density in densities]
    assert all(addresses) and len(captures) == 1
    z = 0.1 * np.random.default_rng(1).normal(size=densities[0].dim)
    (a, b), (c, d) = (density.logp_and_grad(z) for density in densities)
    assert a == c and np.array_equal(b, d)


def test_other_data_are_other_functions(captures):
    def density(data):
        return _density(lambda z: -np.sum((z - data) ** 2), 3)

    one, two = density(np.zeros(3)), density(np.ones(3))
    assert len(captures) == 2
    assert one.logp(np.zeros(3)) == 0 and one.logp_and_grad(np.zeros(3))[0] == 0
    assert two.logp_and_grad(np.zeros(3))[0] == -3


OTHER_PROCESS = """
import sys
import numpy as np
from benchmarks import gradients
import probad as pb
from probad.codegen import compiled
counted = []
capture = compiled.capture
compiled.capture = lambda *args: counted.append(args) or capture(*args)
logp, z = gradients.radon()
density = pb.LogDensity.from_function(logp, len(z))
density.address
value, grad = density.logp_and_grad(z)
print(len(counted), value.hex(), *(g.hex() for g in grad.tolist()))
"""


def test_another_process_knows_it():
    environment = {**os.environ}  # with the folder of this test
    command = [sys.executable, "-c", OTHER_PROCESS]
    runs = [subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment) for _ in range(2)]
    (n_first, *first), (n_second, *second) = (run.stdout.split() for run in runs)
    assert (n_first, n_second) == ("1", "0"), runs[0].stderr + runs[1].stderr
    assert first == second


# --- programs that are not those of the function ----------------------------------------------------------------------
@pytest.fixture
def one_name(monkeypatch):
    """All functions are taken for the same."""
    monkeypatch.setattr(recognition, "identity", lambda *values: "one")


def test_the_program_of_another_function_is_found_out_at_the_first_call(one_name, captures):
    _density(lambda z: -np.sum(z**2), 3)
    right = _density(lambda z: -np.sum(np.cosh(z)), 3)
    assert len(captures) == 1
    z = np.array([0.1, -0.2, 0.3])
    for _ in range(5):
        logp, grad = right.logp_and_grad(z)
        assert np.isclose(logp, -np.sum(np.cosh(z)), rtol=1e-14)
        assert np.allclose(grad, -np.sinh(z), rtol=1e-14)
    assert len(captures) == 2
    third = _density(lambda z: -np.sum(np.cosh(z)), 3)  # what is kept now is right
    assert third.logp_and_grad(z)[0] == logp and len(captures) == 2


def test_threads_that_hold_the_wrong_program_all_leave_it(one_name):
    _density(lambda z: -np.sum(z**2), 2)
    right = _density(lambda z: -np.sum(np.cosh(z)), 2)
    forks = [right.fork() for _ in range(3)]
    assert all(fork.address for fork in forks)
    for density in (right, *forks):
        for z in np.random.default_rng(0).normal(size=(4, 2)):
            logp, grad = density.logp_and_grad(z)
            assert np.isclose(logp, -np.sum(np.cosh(z))) and np.allclose(grad, -np.sinh(z))


def test_a_wrong_program_that_agrees_at_first_is_found_out_and_forgotten(one_name, captures):
    _density(lambda z: -np.sum(z**2), 2)
    right = _density(lambda z: -np.sum(np.where(z > 5, np.cosh(z), z**2)), 2)
    assert right.logp_and_grad(np.ones(2))[0] == -2.0
    with pytest.raises(StaleTraceError, match="by the function"):
        right.logp_and_grad(np.full(2, 9.0))
    again = _density(lambda z: -np.sum(np.where(z > 5, np.cosh(z), z**2)), 2)
    assert len(captures) == 2
    assert np.isclose(again.logp_and_grad(np.full(2, 9.0))[0], -2 * np.cosh(9.0))


def test_a_program_for_another_path_is_not_confirmed_by_this_one(one_name, captures):
    def wrong(z):
        return -np.sum(z**2) if z[0] < 5 else -np.sum(np.abs(z))

    def right(z):
        return -np.sum(z**4) if z[0] < 5 else -np.sum(z**6)

    _density(wrong, 2)
    density = _density(right, 2)
    for z in (np.full(2, 6.0), np.full(2, 2.0), np.full(2, 7.0), np.full(2, 3.0)):
        logp, _ = density.logp_and_grad(z)
        assert np.isclose(logp, right(z))


def test_a_function_that_changes_after_it_was_confirmed_is_stale():
    scale = np.ones(1)

    def logp(z):
        return -np.sum(z**2) * scale[0]

    _density(logp, 2)
    recalled = _density(logp, 2)
    recalled.logp_and_grad(np.ones(2))
    scale[0] = 2.0
    with pytest.raises(StaleTraceError):
        recalled.logp_and_grad(np.ones(2))


# --- what is kept -----------------------------------------------------------------------------------------------------
def test_paths_care_and_joining_start_from_recalled_code(captures):
    def logp(z):
        total = -np.sum(z**2)
        for v in z:
            if v > 0:
                total = total - v**4
        return total - np.sum(np.sqrt(np.abs(z)) * 0.0)

    densities = [_density(logp, 5) for _ in range(2)]
    tape = pb.value_and_grad(logp)
    points = [*np.random.default_rng(0).normal(size=(60, 5)), np.zeros(5)]
    for z in points:
        expected = tape(z)
        for density in densities:
            value, grad = density.logp_and_grad(z)
            assert np.isclose(value, expected[0], rtol=1e-12) and np.allclose(grad, expected[1], rtol=1e-12)


def test_symbols_of_libraries_are_found_again(captures):
    def logp(z):
        factor = np.linalg.cholesky(np.eye(3) * np.exp(z[0]) + 0.1)
        angle = scipy.special.ellipk(1 / (1 + np.exp(-z[1])))
        return -np.sum(factor**2) - np.sum(np.sin(1e9 * z)) - angle - np.sum(z**2)

    first, second = (_density(logp, 2) for _ in range(2))
    assert len(captures) == 1
    z = np.array([0.3, -0.2])
    assert first.logp_and_grad(z)[0] == second.logp_and_grad(z)[0]


def test_programs_that_call_python_are_not_kept(own_cache, captures):
    def logp(z):
        return -np.sum(np.sort(z) ** 2 * np.arange(3.0)) - np.sum(np.linalg.eigvalsh(np.diag(z) + 0.1))

    first, second = (_density(logp, 3) for _ in range(2))
    z = np.array([0.3, -0.2, 0.1])
    assert first.logp_and_grad(z)[0] == second.logp_and_grad(z)[0]
    has_host = any(trace.text.host for trace in first._native._compiled.traces)
    assert has_host and len(captures) == 2


def test_damaged_and_missing_programs_are_made_again(own_cache, captures):
    def density():
        return _density(lambda z: -np.sum(z**2) - z[0] ** 4, 2)

    density()
    for file in own_cache.glob("*.o"):
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert density().logp_and_grad(np.ones(2))[0] == -3.0
    assert len(captures) == 2
    for file in own_cache.glob("*.o"):
        file.unlink()
    assert density().logp_and_grad(np.ones(2))[0] == -3.0
    assert len(captures) == 3


def test_another_gradient_is_another_program(captures):
    def logp(z):
        return -np.sum(z**2)

    for gradient in ("reverse", "forward", "central", "reverse", "forward", "central"):
        density = pb.LogDensity.from_function(logp, 2, gradient=gradient)
        assert density.address
        assert np.allclose(density.logp_and_grad(np.ones(2))[1], -2.0, rtol=1e-6)
    assert len(captures) == 3


def test_what_was_kept_comes_back_whole(own_cache):
    text = pb.LogDensity.from_function(lambda z: -np.sum((z - np.arange(3.0)) ** 2), 3)
    assert text.address
    program = text._native._compiled.traces[0].text
    name = cache.key("x")
    recognition.remember(name, program)
    found = recognition.recall(name)
    assert (found.text, found.n_work, found.n_result, found.symbols) == (
        program.text, program.n_work, program.n_result, program.symbols)  # fmt: skip
    assert np.array_equal(found.data, program.data) and found.data.ctypes.data % 64 == 0
    recognition.forget(name)
    assert recognition.recall(name) is None and recognition.recall(None) is None
    recognition.forget(name)
