"""Random programs with loops, branches, views and nested derivatives: tape, interpreter and machine code agree."""

from __future__ import annotations

import numpy as np
import pytest

import probad as pb
from probad.codegen.compiled import Trace
from probad.codegen.dispatch import MISS
from probad.ir.capture import capture
from probad.ir.interpret import GuardMissError, interpret
from probad.ir.passes import prepare, prepare_gradient
from tests.ad.programs import N, Program


def compare(seed: int) -> int:
    """Hold one program against the tape at three points; returns at how many of them its path was taken."""
    program = Program(seed, lambda f, x: pb.grad(f)(x))
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, N)
    graph = prepare_gradient(prepare(capture(program, x)[0]))
    context = Trace.of(graph, apart=True).context()
    value, grad, n_taken = np.empty(1), np.empty(N), 0
    for point in (x, x + 1e-3 * rng.normal(size=N), rng.uniform(-1, 1, N)):
        status = context.run(point.ctypes.data, value.ctypes.data, grad.ctypes.data)
        try:
            expected_value, expected_grad = interpret(graph, point)
        except GuardMissError:
            assert status == MISS
            continue
        assert status == 0
        n_taken += 1
        with np.errstate(all="ignore"):
            tape_value, tape_grad = pb.value_and_grad(program)(point)
        scale = 1 + np.max(np.abs(tape_grad))
        for v, g in ((value[0], grad), (expected_value, expected_grad)):
            np.testing.assert_allclose(v, tape_value, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(g, tape_grad, rtol=1e-12, atol=1e-12 * scale)
    return n_taken


@pytest.mark.parametrize("batch", range(10))
def test_programs(batch):
    assert sum(compare(seed) for seed in range(20 * batch, 20 * batch + 20)) >= 36  # of 60


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(100))
def test_ten_thousand_programs(batch):
    assert sum(compare(seed) for seed in range(100 * batch, 100 * batch + 100)) >= 200  # of 300
