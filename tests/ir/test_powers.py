"""Powers become the operations they are, also where a loop would hide their exponents."""

from __future__ import annotations

import numpy as np
import pytest

from probad.ad import grad
from probad.codegen.function import CompiledFunction
from probad.ir.capture import capture
from probad.ir.graph import LOOP
from probad.ir.interpret import interpret
from probad.ir.passes import prepare
from probad.ir.powers import spell_powers
from tests.tolerances import EXACT


def powers(z):
    """A recurrence over powers of many kinds."""
    x = z[0]
    for t in range(50):
        x = (x**2 + 0.1 * t) ** 0.5 + 0.3 * (x + 1.0) ** -1 + 0.01 * x**1.5 + 0.001 * abs(z[1]) ** x
    return x


def _operations(graph):
    bodies = (graph.params[k]["body"] for k, op in enumerate(graph.ops) if op == LOOP)
    return [*graph.ops, *(op for body in bodies for op in body.ops)]


def test_a_loop_has_only_the_powers_that_need_be():
    graph, _ = capture(powers, np.array([0.7, 0.4]))
    prepared = prepare(graph)
    assert LOOP in prepared.ops
    found = _operations(prepared)
    assert found.count("power") == 2
    assert {"square", "sqrt"} <= set(found)


@pytest.mark.parametrize("z", [[0.7, 0.4], [2.0, -1.3], [0.0, 1.0]])
def test_values_and_gradients_stay(z):
    z = np.array(z)
    graph, _ = capture(powers, z)
    np.testing.assert_allclose(interpret(spell_powers(graph), z)[0], powers(z), rtol=EXACT)
    np.testing.assert_allclose(CompiledFunction(grad(powers))(z), grad(powers)(z), rtol=1e-10)


def test_programs_without_powers_are_left_alone():
    graph, _ = capture(lambda z: np.sum(np.exp(z)), np.zeros(3))
    assert spell_powers(graph) is graph
