"""Ten thousand random programs: forward and reverse mode against the complex step, and second derivatives on a part."""

from __future__ import annotations

import numpy as np
import pytest

from probad.ad import grad, jvp, value_and_grad
from tests.ad.programs import N, Program, dual_derivative

N_PROGRAMS, N_BATCHES = 10_000, 10
STEP = 1e-200


def _reverse(f, x):
    return grad(f)(x)


def _forward(f, x):
    return jvp(f, (x,), (1.0,))[1]


def _close(found, truth, scale):
    return abs(found - truth) <= 1e-9 * max(1.0, abs(truth), scale)


@pytest.mark.parametrize("batch", range(N_BATCHES))
def test_programs_agree_with_the_complex_step(batch):
    for seed in range(batch * N_PROGRAMS // N_BATCHES, (batch + 1) * N_PROGRAMS // N_BATCHES):
        rng = np.random.default_rng([seed, 1])
        x, d = rng.uniform(-1.2, 1.2, N), rng.uniform(-1.0, 1.0, N)
        y = Program(seed, dual_derivative)(x + STEP * 1j * d)
        truth = y.imag / STEP
        value, g = value_and_grad(Program(seed, _forward if seed % 2 else _reverse))(x)
        assert _close(value, y.real, 0.0), f"program {seed}: value {value}, expected {y.real}"
        assert _close(g @ d, truth, np.abs(g) @ np.abs(d)), f"program {seed}: reverse {g @ d}, expected {truth}"
        t = jvp(Program(seed, _reverse if seed % 2 else _forward), (x,), (d,))[1]
        assert _close(t, truth, 0.0), f"program {seed}: forward {t}, expected {truth}"


def test_second_derivatives_agree_in_every_pairing():
    for seed in range(0, N_PROGRAMS, 50):
        rng = np.random.default_rng([seed, 2])
        x, d = rng.uniform(-1.2, 1.2, N), rng.uniform(-1.0, 1.0, N)
        f = Program(seed, _reverse)
        pairs = {
            "FR": jvp(grad(f), (x,), (d,))[1] @ d,
            "RF": grad(lambda x, f=f, d=d: jvp(f, (x,), (d,))[1])(x) @ d,
            "RR": grad(lambda x, f=f, d=d: grad(f)(x) @ d)(x) @ d,
            "FF": jvp(lambda x, f=f, d=d: jvp(f, (x,), (d,))[1], (x,), (d,))[1],
        }
        truth = pairs.pop("FF")
        for name, found in pairs.items():
            assert _close(found, truth, 0.0), f"program {seed}: {name} {found}, expected {truth}"


def test_the_fuzzer_catches_a_wrong_rule():
    """A planted bug: tanh with the derivative of a slightly different function."""
    from probad.ad import PRIMITIVES

    tanh = PRIMITIVES["tanh"]
    right = tanh.pull
    tanh.pull = lambda k, g, y, values, params: right(k, g, y, values, params) * (1 + 1e-6)
    try:
        with pytest.raises(AssertionError, match="program"):
            test_programs_agree_with_the_complex_step(0)
    finally:
        tanh.pull = right
