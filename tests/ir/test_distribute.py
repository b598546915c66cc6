import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probad.ir.capture import capture
from probad.ir.distribute import components, distribute
from probad.ir.elements import resolve_elements
from probad.ir.graph import CARRIED, COLUMN, ELEMENT, FIXED, LAST, LOOP, SLOT, Body, Carry, Graph
from probad.ir.reroll import reroll
from tests.ir.evaluate import evaluate, iterate, loops
from tests.ir.programs import DIM, SCALAR, garch, hidden_markov, random_function, random_programs, stochastic_volatility

POINTS = np.random.default_rng(3).normal(size=(3, DIM))


@pytest.mark.parametrize("program", SCALAR)
@pytest.mark.parametrize("n", [40, 171])
def test_programs_stay_the_same(program, n):
    fn, z = program(n)
    graph = distribute(reroll(capture(fn, z)[0]))
    for _ in range(3):
        outputs, held = evaluate(graph, z)
        np.testing.assert_allclose(outputs, [fn(z)], rtol=1e-11)
        assert all(held)
        z = z + 0.01 * np.random.default_rng(n).normal(size=z.shape)


@pytest.mark.parametrize(
    ("program", "left"), [(stochastic_volatility, ["add", "add", "multiply", "subtract"]), (garch, ["add", "multiply"])]
)
def test_only_the_recurrence_stays(program, left):
    graph = distribute(reroll(capture(*program(100))[0]))
    (loop,) = [k for k, op in enumerate(graph.ops) if op == LOOP]
    assert sorted(graph.params[loop]["body"].ops) == left
    assert "sum" in graph.ops
    assert "seen" not in graph.params[loop]


def test_two_recurrences_that_read_each_other_stay_together():
    graph = distribute(reroll(capture(*hidden_markov(100))[0]))
    assert len(loops(graph)) == 1


def loop_of(body, n, args, reads):
    """A graph of one loop over the given arguments, and the outputs ``(op, slot)``."""
    graph = Graph()
    numbers = [graph.add_input(x) for x in args]
    last, rows = iterate(body, n, args)
    loop = graph.add(LOOP, tuple(numbers), {"body": body, "n": n}, np.float64(np.nan))
    for op, slot in reads:
        value = last[slot] if op == LAST else np.array([row[slot] for row in rows])
        graph.outputs.append(graph.add(op, (loop,), {"slot": slot}, value))
    return graph


def same(graph, args):
    after = distribute(graph)
    for x, y in zip(evaluate(graph, *args)[0], evaluate(after, *args)[0], strict=True):
        np.testing.assert_allclose(y, x, rtol=1e-13)
    return after


X = np.random.default_rng(0).normal(size=7)


@pytest.mark.parametrize("reverse", [False, True])
def test_running_sums_become_sums(reverse):
    ops = ("add", "subtract", "add", "subtract")
    operands = (
        ((ELEMENT, 0), (CARRIED, 0)),
        ((SLOT, 0), (FIXED, 1)),
        ((SLOT, 1), (FIXED, 1)),
        ((SLOT, 2), (ELEMENT, 3)),
    )
    body = Body(ops, operands, (Carry(2, (SLOT, 3)),), reverse)
    args = (X, np.float64(1.5), np.float64(0.25), X**2)
    after = same(loop_of(body, 7, args, [(LAST, 3)]), args)
    assert LOOP not in after.ops
    for reads in ([(LAST, 3), (COLUMN, 0)], [(LAST, 3), (LAST, 1)], [(COLUMN, 3)]):
        after = same(loop_of(body, 7, args, reads), args)
        assert after.ops.count(LOOP) == 1


def test_a_sum_that_something_else_reads_stays():
    ops, operands = ("add", "exp", "multiply"), (((CARRIED, 0), (ELEMENT, 0)), ((CARRIED, 0),), ((SLOT, 1), (SLOT, 0)))
    body = Body(ops, operands, (Carry(1, (SLOT, 0)),))
    args = (X, np.float64(0.5))
    after = same(loop_of(body, 7, args, [(LAST, 0), (COLUMN, 2)]), args)
    assert loops(after) == [(7, 1)]


def test_what_is_subtracted_from_is_no_sum():
    body = Body(("subtract",), (((ELEMENT, 0), (CARRIED, 0)),), (Carry(1, (SLOT, 0)),))
    args = (X, np.float64(0.5))
    assert LOOP in same(loop_of(body, 7, args, [(LAST, 0)]), args).ops
    twice = Body(("add",), (((CARRIED, 0), (CARRIED, 0)),), (Carry(1, (SLOT, 0)),))
    assert LOOP in same(loop_of(twice, 7, args, [(LAST, 0)]), args).ops


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_values_of_the_iteration_before_are_shifted_arrays(n, reverse):
    ops, operands = (
        ("sin", "multiply", "add"),
        (((ELEMENT, 0),), ((SLOT, 0), (CARRIED, 0)), ((CARRIED, 1), (CARRIED, 2))),
    )
    carries = (Carry(1, (SLOT, 0)), Carry(1, (CARRIED, 0)), Carry(2, (ELEMENT, 0)))
    body = Body(ops, operands, carries, reverse)
    args = (X[:n], np.float64(0.5), np.float64(-0.5))
    after = same(loop_of(body, n, args, [(LAST, 1), (COLUMN, 2), (LAST, 2)]), args)
    assert LOOP not in after.ops


def test_what_is_the_same_in_all_iterations_is_computed_once():
    body = Body(("exp", "multiply"), (((FIXED, 0),), ((SLOT, 0), (ELEMENT, 1))))
    args = (np.float64(0.5), X)
    after = same(loop_of(body, 7, args, [(COLUMN, 0), (LAST, 0), (LAST, 1)]), args)
    assert np.shape(after.values[after.ops.index("exp")]) == ()


def test_conditions_and_counts_keep_their_types():
    ops = ("greater", "select", "add", "add", "logical_or")
    operands = (((ELEMENT, 0), (CARRIED, 0)), ((SLOT, 0), (ELEMENT, 0), (CARRIED, 0)), ((CARRIED, 1), (SLOT, 0)),
                ((SLOT, 1), (SLOT, 2)), ((CARRIED, 2), (SLOT, 0)))  # fmt: skip
    carries = (Carry(1, (SLOT, 1)), Carry(2, (SLOT, 2)), Carry(3, (SLOT, 4)))
    args = (X, np.float64(-9.0), np.int64(0), np.bool_(False))
    after = same(loop_of(Body(ops, operands, carries), 7, args, [(COLUMN, k) for k in range(5)]), args)
    assert after.values[after.outputs[0]].dtype == bool
    assert after.values[after.outputs[2]].dtype == np.int64


def test_recurrences_in_a_row_leave_arrays_between_them():
    """One recurrence, an exponential of it for all iterations at once, and a recurrence over that."""
    ops = ("tanh", "add", "exp", "multiply", "sin")
    operands = (((CARRIED, 0),), ((SLOT, 0), (ELEMENT, 0)), ((SLOT, 1),), ((SLOT, 2), (CARRIED, 1)), ((SLOT, 3),))
    body = Body(ops, operands, (Carry(1, (SLOT, 1)), Carry(1, (SLOT, 4))))
    args = (X, np.float64(0.5))
    after = same(loop_of(body, 7, args, [(LAST, 4)]), args)
    assert [m for _, m in loops(after)] == [2, 2]
    assert np.shape(after.values[after.ops.index("exp")]) == (7,)


def test_components_come_in_order():
    reads = {0: [1], 1: [2, 4], 2: [0], 3: [2], 4: [4], 5: []}
    assert [sorted(c) for c in components([3, 5], reads.__getitem__)] == [[4], [0, 1, 2], [3], [5]]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_programs)
def test_random_programs(program):
    fn = random_function(program)
    captured, _ = capture(fn, POINTS[0])
    graph = distribute(reroll(resolve_elements(captured)))
    for z in POINTS:
        outputs, held = evaluate(graph, z)
        assert all(held) == all(evaluate(captured, z)[1])
        if all(held):
            np.testing.assert_allclose(outputs, [fn(z)], rtol=1e-9, atol=1e-11)


UNARY, BINARY = ["tanh", "sin", "negative"], ["add", "subtract", "maximum", "multiply"]


@st.composite
def random_bodies(draw):
    """Bodies that no program has made: any operand that there is, carried values that are never read, and so on."""
    m, n_carries = draw(st.integers(1, 8)), draw(st.integers(0, 4))

    def operand(n_slots):
        kinds = [(ELEMENT, 0), (ELEMENT, 1), (FIXED, 2), (FIXED, 3)]
        kinds += [(SLOT, k) for k in range(n_slots)] + [(CARRIED, k) for k in range(n_carries)]
        return draw(st.sampled_from(kinds))

    ops, operands = [], []
    for k in range(m):
        op = draw(st.sampled_from(UNARY + 3 * BINARY))
        ops.append(op)
        operands.append(tuple(operand(k) for _ in range(1 if op in UNARY else 2)))
    carries = []
    for _ in range(n_carries):
        following = operand(m)
        carries.append(Carry(draw(st.integers(2, 3)), following if following[0] != FIXED else (SLOT, 0)))
    reads = draw(st.sets(st.tuples(st.sampled_from([LAST, COLUMN]), st.integers(0, m - 1)), min_size=1))
    return Body(tuple(ops), tuple(operands), tuple(carries), draw(st.booleans())), sorted(reads)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_bodies(), st.integers(1, 9))
def test_random_loops(made, n):
    body, reads = made
    rng = np.random.default_rng(n)
    args = (rng.uniform(-1, 1, n), rng.uniform(-1, 1, n), np.float64(0.3), np.float64(-0.7))
    with np.errstate(all="ignore"):
        graph = loop_of(body, n, args, reads)
    after = distribute(graph)
    for x, y in zip(evaluate(graph, *args)[0], evaluate(after, *args)[0], strict=True):
        big = ~(np.abs(x) < 1e6)  # rounding grows with the values
        np.testing.assert_allclose(np.where(big, 0, y), np.where(big, 0, x), rtol=1e-8, atol=1e-8)
