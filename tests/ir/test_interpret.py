"""The evaluator of graphs: graphs made by hand, whose answers are known, and functions that were captured."""

from __future__ import annotations

import numpy as np
import pytest

from probad.ad.core import PRIMITIVES
from probad.ad.kinds import PARTIALS
from probad.errors import CaptureError, ShapeError
from probad.ir.capture import capture
from probad.ir.distribute import distribute
from probad.ir.elements import resolve_elements
from probad.ir.graph import COLUMN, LAST, LOOP, PULL, Body, Carry, Graph
from probad.ir.interpret import GuardMissError, interpret, run_loop
from probad.ir.reroll import reroll
from probad.ir.verify import verify
from tests.ir import programs


def test_constants_inputs_and_parameters():
    graph = Graph()
    x = graph.add_input(np.zeros(3))
    s = graph.add_input(np.float64(0.0))
    c = graph.constant(np.array([1.0, 2.0, 3.0]))
    product = graph.add("multiply", (x, c), {}, np.zeros(3))
    total = graph.add("sum", (product,), {"axis": None, "keepdims": False}, np.float64(0.0))
    out = graph.add("subtract", (total, s), {}, np.float64(0.0))
    graph.outputs = [out, c, x]
    got = interpret(verify(graph), [1.0, 1.0, -1.0], 0.5)
    assert got[0] == -0.5
    np.testing.assert_array_equal(got[1], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(got[2], [1.0, 1.0, -1.0])


def test_inputs_are_copied():
    graph = Graph()
    graph.outputs = [graph.add_input(np.zeros(2))]
    x = np.ones(2)
    (y,) = interpret(graph, x)
    x[0] = 5.0
    assert y[0] == 1.0


def test_inputs_of_another_shape_or_number_are_refused():
    graph = Graph()
    graph.outputs = [graph.add_input(np.zeros(3))]
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        interpret(graph, np.zeros(4))
    with pytest.raises(ShapeError, match="1 inputs; got 2"):
        interpret(graph, np.zeros(3), np.zeros(3))


def with_loop(body, n, *values):
    """A graph that reads each slot of a loop, as a column and as its last value."""
    graph = Graph()
    args = tuple(graph.add_input(np.asarray(v, dtype=float)[()]) for v in values)
    loop = graph.add(LOOP, args, {"body": body, "n": n}, np.float64(np.nan))
    for slot in range(len(body.ops)):
        graph.outputs.append(graph.add(COLUMN, (loop,), {"slot": slot}, np.zeros(n)))
        graph.outputs.append(graph.add(LAST, (loop,), {"slot": slot}, np.float64(0.0)))
    return interpret(verify(graph), *values)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_running_product(reverse):
    body = Body(("multiply",), ((("carried", 0), ("element", 1)),), (Carry(0, ("slot", 0)),), reverse)
    x = np.array([2.0, 3.0, 5.0, 7.0])
    column, last = with_loop(body, 4, 1.5, x)
    expected = 1.5 * (np.cumprod(x[::-1])[::-1] if reverse else np.cumprod(x))
    np.testing.assert_array_equal(column, expected)
    assert last == expected[0 if reverse else -1]


def test_a_recurrence_of_two_terms():
    # x_i = x_{i-1} + x_{i-2}: one value is handed from carried place to carried place
    body = Body(("add",), ((("carried", 0), ("carried", 1)),), (Carry(0, ("slot", 0)), Carry(1, ("carried", 0))))
    column, last = with_loop(body, 10, 1.0, 0.0)
    np.testing.assert_array_equal(column, [1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
    assert last == 89


def test_values_that_change_places():
    # the values carried from one iteration are those that it began with
    carries = (Carry(0, ("carried", 1)), Carry(1, ("carried", 0)))
    body = Body(("subtract",), ((("carried", 0), ("carried", 1)),), carries)
    column, _ = with_loop(body, 5, 3.0, 1.0)
    np.testing.assert_array_equal(column, [2, -2, 2, -2, 2])


def test_carried_elements_fixed_values_and_slots():
    # the difference to the element before, times s, and its square
    operands = ((("element", 1), ("carried", 0)), (("slot", 0), ("fixed", 2)), (("slot", 1),))
    body = Body(("subtract", "multiply", "square"), operands, (Carry(0, ("element", 1)),))
    x = np.array([1.0, 4.0, 9.0, 16.0])
    *_, column, last = with_loop(body, 4, 0.0, x, 2.0)
    np.testing.assert_array_equal(column, (2 * np.diff(x, prepend=0.0)) ** 2)
    assert last == column[-1]


def test_conditions_in_loops():
    operands = ((("element", 0), ("fixed", 1)), (("slot", 0), ("element", 0), ("fixed", 1)))
    body = Body(("greater", "select"), operands)
    x = np.array([-1.0, 0.5, 2.0])
    columns, last = run_loop(body, 3, [x, np.float64(0.0)])
    assert columns[0].dtype == bool
    np.testing.assert_array_equal(columns[1], np.maximum(x, 0))
    assert last == 2


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_every_primitive(name):
    primitive = PRIMITIVES[name]
    for args, params in primitive.examples(np.random.default_rng(0)):
        graph = Graph()
        numbers = tuple(graph.constant(a) for a in args)
        y = np.asarray(primitive.impl(*args, **params))[()]
        graph.outputs = [graph.add(name, numbers, params, y)]
        np.testing.assert_array_equal(interpret(graph)[0], y)
        if y.dtype == float and all(np.asarray(a).dtype.kind == "f" for a in args):
            verify(graph, values=True)


@pytest.mark.parametrize("name", ["exp", "multiply", "cholesky", "matmul"])
def test_reverse_rules_as_one_operation(name):
    (args, params), *_ = PRIMITIVES[name].examples(np.random.default_rng(0))
    y = np.asarray(PRIMITIVES[name].impl(*args, **params))
    graph = Graph()
    numbers = tuple(graph.constant(a) for a in (y, y, *args))
    expected = PRIMITIVES[name].pull(0, y, y, args, params)
    graph.outputs = [graph.add(PULL, numbers, {"op": name, "k": 0, "params": params}, expected)]
    np.testing.assert_array_equal(interpret(graph)[0], expected)
    if name == "exp":
        np.testing.assert_allclose(interpret(graph)[0], y * PARTIALS["exp"][0](y, *args))


# --- what was captured ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [*programs.SCALAR, *programs.ARRAY], ids=lambda f: f.__name__)
def test_programs_at_other_points(make):
    fn, z = make(24)
    graph = capture(fn, z)[0]
    rolled = distribute(reroll(resolve_elements(graph)))
    rng = np.random.default_rng(0)
    for point in (z, z + 0.01 * rng.normal(size=z.shape)):
        try:
            (got,) = interpret(graph, point)
        except GuardMissError:
            continue
        np.testing.assert_allclose(got, fn(point), rtol=1e-14)
        np.testing.assert_allclose(interpret(rolled, point)[0], fn(point), rtol=1e-12)


# --- guards -----------------------------------------------------------------------------------------------------------
def test_a_condition_that_does_not_hold_names_its_place():
    graph = capture(lambda x: np.sum(x) if x[0] > 0 else -np.sum(x), np.ones(2))[0]
    assert interpret(graph, [2.0, 1.0])[0] == 3.0
    with pytest.raises(GuardMissError, match=r"test_interpret.py:\d+ is False here") as caught:
        interpret(graph, [-2.0, 1.0])
    assert caught.value.guard is graph.guards[0]
    assert isinstance(caught.value, CaptureError)


@pytest.mark.parametrize(
    ("fn", "inside", "outside"),
    [
        (lambda x: x[int(x[1])] * 1.0, [0.3, 1.7, 5.0], [0.3, 2.0, 5.0]),
        (lambda x: np.sum(x[x > 0]), [0.5, 2.0, -1.0], [-0.5, 2.0, 1.0]),
        (lambda x: x[0] if np.all(x > 0) else x[1], [1.0, 2.0, 3.0], [1.0, -2.0, 3.0]),
    ],
    ids=["a whole number", "a mask", "a question about all"],
)
def test_questions_of_every_kind(fn, inside, outside):
    graph = capture(fn, np.array(inside))[0]
    point = np.array(inside) + 0.1
    np.testing.assert_allclose(interpret(graph, point)[0], fn(point))
    with pytest.raises(GuardMissError):
        interpret(graph, outside)


def test_not_a_number_misses():
    graph = capture(lambda x: x[0] if x[0] > 0 else -x[0], np.ones(1))[0]
    with pytest.raises(GuardMissError):
        interpret(graph, [np.nan])


def test_a_condition_is_asked_before_what_it_protects():
    def fn(x):
        matrix = np.reshape(x, (2, 2))
        return np.sum(np.linalg.cholesky(matrix)) if np.linalg.det(matrix) > 0 else x[0]

    graph = capture(fn, np.array([2.0, 1.0, 1.0, 2.0]))[0]
    with pytest.raises(GuardMissError):
        interpret(graph, [1.0, 2.0, 2.0, 1.0])
