"""The rules of graphs: kept by every pass, and each of them broken once to see it noticed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import probad as pb
from benchmarks import gradients
from probad.errors import GraphError
from probad.ir.adjoint import adjoint
from probad.ir.capture import capture
from probad.ir.distribute import distribute
from probad.ir.elements import resolve_elements
from probad.ir.graph import LOOP, Guard
from probad.ir.passes import prepare, prepare_gradient
from probad.ir.reroll import reroll
from probad.ir.simplify import simplify
from probad.ir.verify import verify
from tests.ad.programs import N, Program

PASSES = (resolve_elements, reroll, distribute, simplify, adjoint, distribute, simplify)


def through_all_passes(fn, z):
    graph = verify(capture(fn, z)[0], values=True)
    for k, step in enumerate(PASSES):
        graph = verify(step(graph), values=k < PASSES.index(adjoint))  # in loops that run backwards there are none


@pytest.mark.parametrize("seed", range(60))
def test_every_pass_keeps_the_rules(seed):
    program = Program(seed, lambda f, x: pb.grad(f)(x))
    through_all_passes(program, np.random.default_rng(seed).uniform(-1, 1, N))


@pytest.mark.parametrize("name", ["stochastic_volatility", "garch", "hidden_markov"])
def test_loops_keep_the_rules(name):
    fn, z = getattr(gradients, name)(40)
    through_all_passes(fn, z)


def with_loop():
    fn, z = gradients.stochastic_volatility(40)
    graph = prepare(capture(fn, z)[0])
    return graph, graph.ops.index(LOOP)


def of_arrays():
    return capture(lambda x: np.sum(np.exp(x) * 2.0) if x[0] > 0 else x[1], np.ones(3))[0]


def unknown_operation(graph):
    graph.ops[-1] = "nothing"


def later_operand(graph):
    graph.args[1] = (len(graph) - 1,)


def missing_operand(graph):
    node = graph.ops.index("multiply")
    graph.args[node] = graph.args[node][:1]


def object_value(graph):
    graph.values[-1] = "text"


def wrong_shape(graph):
    graph.values[graph.ops.index("exp")] = np.ones(4)


def output_that_is_not_there(graph):
    graph.outputs = [len(graph)]


def input_out_of_order(graph):
    graph.params[graph.inputs[0]] = {"number": 1}


def guard_on_a_number(graph):
    graph.guards = [Guard(graph.ops.index("exp"), 1.0, "")]


def extra_operand(graph):
    node = graph.ops.index("sum")
    graph.args[node] = graph.args[node] * 2


def missing_parameter(graph):
    graph.params[graph.ops.index("sum")] = {"axis": None}


def unknown_parameter(graph):
    graph.params[graph.ops.index("exp")] = {"fast": True}


def unknown_parameter_of_a_read(graph):
    graph.params[graph.ops.index("index")] = {"index": 0, "mode": "clip"}


def single_precision(graph):
    node = graph.ops.index("exp")
    graph.values[node] = graph.values[node].astype(np.float32)


def complex_constant(graph):
    graph.constants.append(np.complex128(1j))


def missing_value(graph):
    graph.values.pop()


def input_that_is_not_listed(graph):
    graph.inputs = []


@pytest.mark.parametrize(
    "damage",
    [extra_operand, missing_parameter, unknown_parameter, unknown_parameter_of_a_read, single_precision,
     complex_constant, missing_value, input_that_is_not_listed, unknown_operation, later_operand, missing_operand,
     object_value, wrong_shape, output_that_is_not_there, input_out_of_order, guard_on_a_number],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_damage_is_noticed(damage):
    graph = of_arrays()
    verify(graph)
    damage(graph)
    with pytest.raises(GraphError, match="rule"):
        verify(graph)


def first_reads(body, operand):
    return dataclasses.replace(body, args=((operand,) * len(body.args[0]), *body.args[1:]))


def test_an_output_that_is_a_loop_is_noticed():
    graph, loop = with_loop()
    graph.outputs = [loop]
    with pytest.raises(GraphError, match="not loops"):
        verify(graph)


def test_a_slot_that_is_not_there_is_noticed():
    graph, loop = with_loop()
    reader = graph.args.index((loop,))
    graph.params[reader] = {"slot": 99}
    with pytest.raises(GraphError, match="slot"):
        verify(graph)


def test_a_wrong_value_is_noticed_when_asked_for():
    graph = of_arrays()
    verify(graph, values=True)
    node = graph.ops.index("exp")
    graph.values[node] = graph.values[node] * (1 + 1e-6)
    verify(graph)
    with pytest.raises(GraphError, match="follows from"):
        verify(graph, values=True)


def test_a_wrong_type_is_noticed_when_asked_for():
    graph = of_arrays()
    node = graph.ops.index("greater")
    graph.values[node] = np.int64(1)
    graph.guards = [Guard(node, 1, "")]
    verify(graph)
    with pytest.raises(GraphError, match="follows from"):
        verify(graph, values=True)


BODIES = {
    "an operand too many": lambda b: dataclasses.replace(b, args=(b.args[0] * 2, *b.args[1:])),
    "an unknown kind of operand": lambda b: first_reads(b, ("elsewhere", 0)),
    "an array as a number": lambda b: first_reads(
        b, ("fixed", next(k for xs in b.args for t, k in xs if t == "element"))
    ),
    "a number as an array": lambda b: first_reads(
        b, ("element", next(k for xs in b.args for t, k in xs if t == "fixed"))
    ),
    "a start that is not there": lambda b: dataclasses.replace(
        b, carries=(dataclasses.replace(b.carries[0], start=99),)
    ),
    "a later slot": lambda b: first_reads(b, ("slot", 5)),
    "an argument that is not there": lambda b: first_reads(b, ("fixed", 99)),
    "an operation on arrays": lambda b: dataclasses.replace(b, ops=("sum", *b.ops[1:])),
    "a carried value from nowhere": lambda b: dataclasses.replace(
        b, carries=tuple(dataclasses.replace(c, next=("slot", 77)) for c in b.carries)
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_damage_to_loops_is_noticed(name):
    graph, loop = with_loop()
    graph.params[loop] = {**graph.params[loop], "body": BODIES[name](graph.params[loop]["body"])}
    with pytest.raises(GraphError, match="body of a loop"):
        verify(graph)


def test_reading_a_loop_as_a_value_is_noticed():
    graph, loop = with_loop()
    reader = next(n for n in range(loop + 1, len(graph)) if graph.ops[n] not in ("loop_last", "loop_column"))
    graph.args[reader] = (loop,) * len(graph.args[reader])
    with pytest.raises(GraphError, match="through loop_last"):
        verify(graph)


def test_gradients_of_what_has_its_own_rule():
    fn, z = gradients.gaussian_process(6)
    verify(prepare_gradient(verify(prepare(capture(fn, z)[0]))))
