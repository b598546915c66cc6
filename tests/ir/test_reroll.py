import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probad.ir.capture import capture
from probad.ir.elements import resolve_elements
from probad.ir.graph import CARRIED, COLUMN, ELEMENT, FIXED, LAST, LOOP, Graph
from probad.ir.reroll import reroll
from tests.ir.evaluate import evaluate, loops
from tests.ir.programs import DIM, SCALAR, random_function, random_programs, stochastic_volatility

POINTS = np.random.default_rng(3).normal(size=(3, DIM))


def one_loop(fn, z):
    """The one loop of a captured function: its node and the graph."""
    graph = reroll(capture(fn, z)[0])
    (loop,) = [k for k, op in enumerate(graph.ops) if op == LOOP]
    return graph, loop


@pytest.mark.parametrize("program", SCALAR)
@pytest.mark.parametrize("n", [5, 40, 171])
def test_programs_become_short_and_stay_the_same(program, n):
    fn, z = program(n)
    captured, _ = capture(fn, z)
    graph = reroll(captured)
    if n >= 40:
        assert len(graph) < 130
        assert sum(k * m for k, m in loops(graph)) > 0.85 * (len(captured) - captured.ops.count("index"))
    assert evaluate(graph, z) == ([fn(z)], [True] * len(graph.guards))
    for _ in range(2):
        z = z + 0.05 * np.random.default_rng(n).normal(size=z.shape)
        assert evaluate(graph, z)[0] == [fn(z)]  # to the last bit


def test_length_does_not_change_the_form():
    shapes = {n: [m for _, m in loops(reroll(capture(*stochastic_volatility(n))[0]))] for n in (30, 300)}
    assert shapes[30] == shapes[300] == [14]


def test_operands_take_the_forms_that_they_have():
    y, where = np.random.default_rng(0).normal(size=50), np.random.default_rng(1).permutation(50)

    def fn(z):
        s = z[0]
        for t in range(50):
            s = np.tanh(s * z[1]) + y[t] * z[2 + t] - z[2 + where[t]] * 3.0
        return s

    graph, loop = one_loop(fn, np.linspace(0, 1, 52))
    body, args = graph.params[loop]["body"], graph.args[loop]
    assert body.ops == ("multiply", "tanh", "multiply", "add", "multiply", "subtract")
    kinds = [[kind for kind, _ in x] for x in body.args]
    assert kinds[0] == [CARRIED, FIXED]
    assert kinds[2] == [ELEMENT, ELEMENT]
    assert kinds[4] == [ELEMENT, FIXED]
    first = 50 - graph.params[loop]["n"]
    data, slice_, gather = (args[x[0][1]] for x in (body.args[2], body.args[2][::-1], body.args[4]))
    assert data < 0
    assert np.array_equal(graph.value(data), y[first:])
    assert graph.params[slice_]["index"] == slice(2 + first, 52, 1)
    assert np.array_equal(graph.params[gather]["index"], 2 + where[first:])


@pytest.mark.parametrize("lag", [1, 2, 3, 6])
def test_lags(lag):
    def fn(z):
        x = [z[k] for k in range(lag)]
        for t in range(60):
            x.append(np.sin(x[-lag]) * z[t])
        return sum(x[-lag:])

    z = np.random.default_rng(lag).normal(size=60)
    graph, loop = one_loop(fn, z)
    assert len(graph.params[loop]["body"].carries) == lag
    assert evaluate(graph, z)[0] == [fn(z)]


def test_the_first_iterations_may_read_anything():
    """Constants, elements, other nodes, and columns of other loops in place of earlier iterations."""

    def fn(z):
        before = [z[0]]
        for t in range(50):
            before.append(np.cos(before[-1]) - z[t])
        x = [0.5, z[3], np.exp(z[4]), before[20]]
        for t in range(50):
            x.append(np.sin(x[-1]) * x[-2] + x[-4] * z[t])
        y = [before[k] for k in (7, 3, 30)]
        for t in range(50):
            y.append(np.sin(y[-3]) * x[t + 1] + z[t])
        return x[-1] + x[-2] + y[-1] + y[-2] + y[-3]

    z = np.random.default_rng(0).normal(size=50)
    graph = reroll(capture(fn, z)[0])
    assert [n for n, _ in loops(graph)] == [30, 50, 47]  # before[30] is the last one needed, x[4] the first computed
    for point in (z, 2 * z):
        assert evaluate(graph, point)[0] == [fn(point)]


def test_first_iterations_that_differ_are_left_out():
    def fn(z):
        s, r = z[0], z[1]
        for t in range(50):
            s, r = np.sin(s) + (r if t > 0 else s), np.cos(r) * z[t]
        return s

    z = np.random.default_rng(0).normal(size=50)
    graph, loop = one_loop(fn, z)
    assert graph.params[loop]["n"] < 50
    for point in (z, 2 * z):
        assert evaluate(graph, point)[0] == [fn(point)]


def test_a_lag_beyond_all_bounds_is_still_right():
    def fn(z):
        x = [z[k] for k in range(40)]
        for t in range(160):
            x.append(np.sin(x[-40]) * z[t % 40])
        return sum(x[-40:])

    z = np.random.default_rng(0).normal(size=40)
    graph = reroll(capture(fn, z)[0])
    assert evaluate(graph, z)[0] == [fn(z)]


def test_guards_become_one():
    def fn(z):
        s = 0.0
        for t in range(40):
            s = s + (z[t] if z[t] > 0 else 1.0)
            s = s * 0.5
        return s

    def signs(z):
        s = 0.0
        for t in range(40):
            s = 0.5 * (s + z[t]) if s > -100 else z[0]
        return s

    z = np.abs(np.random.default_rng(0).normal(size=40))
    captured, _ = capture(signs, z)
    graph = reroll(captured)
    inside = [g for g in graph.guards if np.shape(g.expected)]
    assert len(inside) == 1
    assert sum(np.size(g.expected) for g in graph.guards) == len(captured.guards)
    assert all(evaluate(graph, z)[1])
    bad = z.copy()
    bad[20] = -1e6
    assert not all(evaluate(graph, bad)[1])
    graph = reroll(capture(fn, z)[0])
    bad = z.copy()
    bad[7] = -1
    assert not all(evaluate(graph, bad)[1])


def test_a_stack_of_slots_is_a_column():
    def fn(z):
        x = [z[0]]
        for t in range(1, 50):
            x.append(np.tanh(x[-1]) + z[t])
        return np.sum(np.exp(np.stack(x)))

    z = np.random.default_rng(0).normal(size=50)
    graph, _ = one_loop(fn, z)
    assert graph.ops.count(COLUMN) == 1
    assert (
        "stack" not in graph.ops or max(len(a) for o, a in zip(graph.ops, graph.args, strict=True) if o == "stack") < 4
    )
    assert evaluate(graph, z)[0] == [fn(z)]


def test_a_stack_of_constants_and_slots():
    def fn(z):
        x = [0.5 * k for k in range(20)]
        for _ in range(40):
            x.append(np.tanh(x[-1]) * z[0])
        return np.sum(np.sin(np.stack([*x[:25], *np.arange(30.0), *x[25:]])))

    z = np.array([0.7])
    graph, _ = one_loop(fn, z)
    assert graph.ops.count("index") < 8
    assert evaluate(graph, z)[0] == [fn(z)]


def test_what_nothing_needs_is_left_out():
    def fn(z):
        s, dead = z[0], z[1]
        for t in range(40):
            dead = np.exp(dead) + z[t]
            s = np.tanh(s)
        return s

    graph, loop = one_loop(fn, np.zeros(40))
    assert graph.params[loop]["body"].ops == ("tanh",)
    assert graph.ops.count(LAST) == 1


def test_types_are_not_mixed():
    """The number 2 and the number 2.0 are two constants; a column holds one type."""

    def fn(z):
        s = z[0]
        for t in range(60):
            s = np.tanh(s) ** (2 if t % 2 else 2.0)
        return s

    z = np.array([0.3])
    graph = reroll(capture(fn, z)[0])
    assert evaluate(graph, z)[0] == [fn(z)]
    assert all(m % 4 == 0 for _, m in loops(graph))


def test_short_repetitions_stay_straight():
    def fn(z):
        s = z[0]
        for t in range(5):
            s = np.tanh(s) + z[t]
        return s

    assert loops(reroll(capture(fn, np.zeros(5))[0])) == []


def test_the_graph_that_was_given_is_not_changed():
    captured, _ = capture(*stochastic_volatility(40))
    ops, args, n_constants = list(captured.ops), list(captured.args), len(captured.constants)
    reroll(captured)
    assert (captured.ops, captured.args, len(captured.constants)) == (ops, args, n_constants)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_programs)
def test_random_programs(program):
    fn = random_function(program)
    captured, _ = capture(fn, POINTS[0])
    graph = reroll(resolve_elements(captured))
    for z in POINTS:
        expected, held = evaluate(captured, z)
        outputs, held_after = evaluate(graph, z)
        np.testing.assert_array_equal(outputs, expected)  # to the last bit
        assert all(held) == all(held_after)
        if all(held):
            np.testing.assert_array_equal(outputs, [fn(z)])


UNARY = ["tanh", "sin", "negative", "expm1", "arctan"]
BINARY = ["add", "subtract", "multiply", "maximum", "logaddexp"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SCALAR), st.integers(8, 30), st.data())
def test_near_misses(program, n, data):
    """Programs that repeat themselves but for one operation or one operand are never taken for ones that do."""
    fn, z = program(n)
    captured, _ = capture(fn, z)
    graph = Graph(list(captured.ops), list(captured.args), list(captured.params), list(captured.values),
                  list(captured.constants), captured.inputs, captured.outputs, captured.guards)  # fmt: skip
    numbers = [k for k, op in enumerate(graph.ops) if op in UNARY or op in BINARY]
    for node in data.draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=3)):
        if data.draw(st.booleans()):
            graph.ops[node] = data.draw(st.sampled_from(UNARY if len(graph.args[node]) == 1 else BINARY))
        else:
            args = list(graph.args[node])
            others = [k for k in range(node) if np.shape(graph.values[k]) == () and type(graph.values[k]) is np.float64]
            recent = others[-40:] + others[:3] + [-1]
            args[data.draw(st.integers(0, len(args) - 1))] = data.draw(st.sampled_from(recent))
            if any(type(graph.value(a)) is not np.float64 for a in args):
                continue
            graph.args[node] = tuple(args)
    after = reroll(graph)
    for point in (z, z + 0.1):
        expected, held = evaluate(graph, point)
        outputs, held_after = evaluate(after, point)
        np.testing.assert_array_equal(outputs, expected)
        assert all(held) == all(held_after)
