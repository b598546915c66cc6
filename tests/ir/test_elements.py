import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probad.ad import grad
from probad.ir.adjoint import adjoint
from probad.ir.capture import capture
from probad.ir.distribute import distribute
from probad.ir.elements import LONG, repeats, resolve_elements
from probad.ir.graph import Graph, prune
from probad.ir.reroll import reroll
from probad.numerics import logsumexp, solve_triangular
from tests.ir.evaluate import evaluate, loops
from tests.ir.programs import ARRAY, filled_array, kalman


def arrays_in(graph):
    """Operations with arrays among what they read or give, other than inputs."""
    n = [sum(np.ndim(graph.value(a)) > 0 for a in (k, *graph.args[k])) for k in range(len(graph))]
    return [op for op, k in zip(graph.ops, n, strict=True) if k and op not in ("input", "index", "stack", "reshape")]


@pytest.mark.parametrize("program", ARRAY)
@pytest.mark.parametrize("n", [6, 60])
def test_programs_stay_the_same_and_become_loops(program, n):
    fn, z = program(n)
    captured, _ = capture(fn, z)
    resolved = resolve_elements(captured)
    graph = distribute(reroll(resolved))
    assert "index_set" not in graph.ops or n == 6
    if n == 60:
        assert [k > 50 for k, _ in loops(reroll(resolved))] == [True]
        assert len(graph) < 150
    for _ in range(3):
        for g in (resolved, graph):
            outputs, held = evaluate(g, z)
            np.testing.assert_allclose(outputs, [fn(z)], rtol=1e-10)
            assert all(held)
        z = z + 0.01 * np.random.default_rng(n).normal(size=z.shape)


def test_programs_over_scalars_and_long_arrays_are_left_alone():
    def scalar(z):
        s = z[0]
        for t in range(30):
            s = np.tanh(s) * z[t]
        return s

    def array(z):
        return np.sum(np.exp(z) * np.arange(200.0)) + np.sum(np.cumsum(z[::2]) ** 2)

    captured, _ = capture(scalar, np.zeros(30))
    assert resolve_elements(captured) is captured
    captured, _ = capture(array, np.zeros(200))
    assert prune(resolve_elements(captured)).ops == prune(captured).ops


def test_choices_by_data_do_not_stop_a_loop():
    kinds = np.random.default_rng(0).integers(0, 2, 60)
    z = np.random.default_rng(1).normal(size=60)
    graph = Graph()
    x, s = graph.add_input(z), graph.constant(0.25)
    for t in range(60):
        read = graph.add("index", (x,), {"index": t}, z[t])
        cosine = graph.add("cos", (read,), {}, np.cos(z[t]))
        chosen = (z[t], graph.value(s))[kinds[t]]
        chosen = graph.add("where", (s, cosine), {"condition": kinds[t] == 1}, chosen)
        s = graph.add("sin", (chosen,), {}, np.sin(graph.value(chosen)))
    graph.outputs = [s]
    after = distribute(reroll(resolve_elements(graph)))
    assert loops(after) == [(60, 2)]
    for point in (z, 2 * z):
        np.testing.assert_allclose(evaluate(after, point)[0], evaluate(graph, point)[0], rtol=1e-13)


def test_what_was_written_is_what_is_read():
    n = 40

    def fn(z):
        h = np.zeros(n) + 0 * z[0]
        view, out = h[::-1], 0.0
        for t in range(n):
            h[t] = np.sin(z[t]) + h[t - 1]
            out = out + view[n - 1 - t] * h[t // 2]  # a view sees the write
        kept = h[: n // 2].copy()
        h[: n // 2] = 1  # and a copy does not
        return out + np.sum(kept * z[: n // 2]) + np.sum(h)

    z = np.random.default_rng(0).normal(size=n)
    graph = resolve_elements(capture(fn, z)[0])
    assert "index_set" not in graph.ops
    for point in (z, 2 * z):
        np.testing.assert_allclose(evaluate(graph, point)[0], [fn(point)], rtol=1e-13)


def test_an_older_version_of_an_array_is_kept():
    def fn(z):
        h = np.zeros(20) * z[0]
        kept = []
        for t in range(20):
            h[t] = z[t] ** 2
            if t % 5 == 0:
                kept.append(h * 1.0)
                kept.append(h.copy())
        return sum(np.sum(np.exp(k)) for k in kept)

    z = np.random.default_rng(0).normal(size=20)
    graph = resolve_elements(capture(fn, z)[0])
    for point in (z, 2 * z):
        np.testing.assert_allclose(evaluate(graph, point)[0], [fn(point)], rtol=1e-13)


def test_writes_of_blocks_and_with_broadcasting():
    def fn(z):
        a = np.zeros((12, 3)) * z[0]
        for t in range(12):
            a[t] = z[t]
            a[t, 1:] = z[t : t + 2] * 2
            a[t, [0, 2]] = a[t, [2, 0]]
        a[a.shape[0] // 2 :, 0] = 1
        return np.sum(np.exp(a) * np.arange(3.0)) + a.T.reshape(-1)[17] + a[::-1][3, 2] + np.flip(a, 1)[0, 0]

    z = np.random.default_rng(0).normal(size=14)
    graph = resolve_elements(capture(fn, z)[0])
    for point in (z, 2 * z):
        np.testing.assert_allclose(evaluate(graph, point)[0], [fn(point)], rtol=1e-13)


def test_whole_numbers_written_into_real_arrays_become_real():
    def fn(z):
        h = np.ones(30) * z[0]
        for t in range(1, 30):
            h[t] = 1 if t % 3 else h[t - 1] ** 2
        return np.sum(h / 2)

    graph = resolve_elements(capture(fn, np.array([0.5]))[0])
    assert evaluate(graph, np.array([0.5]))[0] == [fn(np.array([0.5]))]


def test_long_arrays_in_a_loop_are_not_written_out():
    def fn(z):
        x, total = z * 1.0, 0.0
        for _ in range(40):
            x = np.tanh(x) * 0.9
            x[3] = 0.5
            total = total + np.sum(x)
        return total

    z = np.random.default_rng(0).normal(size=500)
    captured, _ = capture(fn, z)
    graph = resolve_elements(captured)
    assert len(graph) < 2 * len(captured)
    np.testing.assert_allclose(evaluate(graph, z)[0], [fn(z)], rtol=1e-13)


def test_only_long_programs_that_repeat_themselves_are_written_out():
    for program, n, long in ((kalman, 30, True), (kalman, 3, False), (filled_array, 100, False)):
        captured, _ = capture(*program(n))
        assert repeats(captured, range(len(captured))) is long
    shapes = np.random.default_rng(0).integers(2, 9, size=2 * LONG).tolist()

    def irregular(z):
        return sum(np.sum(np.exp(z[:k])) if k % 2 else np.max(np.sin(z[:k])) for k in shapes)

    captured, _ = capture(irregular, np.zeros(9))
    assert prune(resolve_elements(captured)).ops == prune(captured).ops


# Each operation on small arrays, of a state x of three numbers and a symmetric positive definite 2 x 2 matrix m.
SMALL = {
    "elementwise": lambda x, m: np.exp(-x) * m[0, 1] + np.logaddexp(x, x[::-1]),
    "broadcast": lambda x, m: np.sum(x[:, None] * m[0], axis=1),
    "where": lambda x, m: np.where(np.array([True, False, True]), x, 2 * x),
    "select": lambda x, m: np.where(x > 0.1, x, -x),
    "sums": lambda x, m: x + np.sum(m, axis=0)[0] + np.sum(m, axis=(0, 1), keepdims=True)[0] + np.sum(x),
    "prod": lambda x, m: x + np.prod(m, axis=1)[0],
    "extremes": lambda x, m: x * np.max(x) - np.min(m, axis=0)[0],
    "cumsum": lambda x, m: np.cumsum(x) + np.cumsum(m, axis=0)[1, 0] + np.cumsum(m, axis=1)[0, 1],
    "logsumexp": lambda x, m: x + logsumexp(x) + logsumexp(m, axis=1)[1] + logsumexp(m, axis=0, keepdims=True)[0, 0],
    "matmul": lambda x, m: x + (m @ m)[0, 1] + (m @ x[:2])[0] + (x[1:] @ m)[1] + x @ x,
    "einsum": lambda x, m: x + np.einsum("ij,jk,k->i", m, m, x[:2])[0] + np.einsum("i,i", x, x),
    "outer": lambda x, m: np.outer(x, m[0])[:, 1] + np.trace(m),
    "det": lambda x, m: x + np.linalg.det(m) + np.linalg.det(m[:1, :1]),
    "inv": lambda x, m: x + np.sum(np.linalg.inv(m)) * np.linalg.inv(m[1:, 1:])[0, 0],
    "solve": lambda x, m: x + np.linalg.solve(m, x[:2])[0] + np.linalg.solve(m, m.T + 1)[1, 0],
    "solve one": lambda x, m: x + np.linalg.solve(m[:1, :1], x[:1])[0],
    "cholesky": lambda x, m: x + np.linalg.cholesky(m)[1, 0] + np.linalg.cholesky(m)[0, 1],
    "triangular": lambda x, m: x + solve_triangular(m, x[:2], lower=True)[1] + solve_triangular(m, m)[0, 1],
    "rearranging": lambda x, m: np.concatenate([x[2:], m.T[0]])[[2, 0, 1]] + np.broadcast_to(x[0], (3,)) - np.flip(x),
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_operations_on_small_arrays(name):
    def fn(z):
        x = z[:3]
        for t in range(LONG):
            m = np.stack([np.stack([2 + x[0] ** 2, x[1]]), np.stack([x[1], 3 + x[2] ** 2])])
            x = 0.5 * np.tanh(SMALL[name](x, m)) + 0.01 * z[t]
        return np.sum(x)

    z = np.random.default_rng(0).normal(size=LONG)
    captured, _ = capture(fn, z)
    graph = resolve_elements(captured)
    assert set(arrays_in(graph)) <= {"sum"}
    rolled = distribute(reroll(graph))
    assert loops(rolled)
    assert len(rolled) < 400
    for point in (z, 3 * z):
        for g in (graph, rolled):
            np.testing.assert_allclose(evaluate(g, point)[0], [fn(point)], rtol=1e-9)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_of_operations_on_small_arrays(name):
    def fn(z):
        x = z[:3]
        for t in range(LONG):
            m = np.stack([np.stack([2 + x[0] ** 2, x[1]]), np.stack([x[1], 3 + x[2] ** 2])])
            x = 0.3 * np.tanh(SMALL[name](x, m)) + 0.1 * z[t]
        return np.sum(x)

    z = np.random.default_rng(0).normal(size=LONG)
    graph = distribute(reroll(resolve_elements(capture(fn, z)[0])))
    for point in (z, 2 * z):
        (_, gradient), _ = evaluate(distribute(adjoint(graph)), point)
        np.testing.assert_allclose(gradient, grad(fn)(point), rtol=1e-9, atol=1e-13)


def test_gradients_where_a_term_is_the_exponential_of_minus_infinity():
    def fn(z):
        a = np.stack([z[0], z[1], z[2]])
        for t in range(LONG):
            a = logsumexp(a[:, None] + np.log(np.array([[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])), axis=0) + z[3] * t
        return a[1] + a[2]

    for z in (np.array([0.0, -np.inf, 0.3, 0.1]), np.array([-np.inf, -np.inf, 0.3, 0.1])):
        with np.errstate(all="ignore"):
            graph = distribute(reroll(resolve_elements(capture(fn, z)[0])))
            assert loops(graph)
            np.testing.assert_allclose(evaluate(distribute(adjoint(graph)), z)[0][1], grad(fn)(z), rtol=1e-12)


def test_logarithms_of_sums_of_nothing():
    """Where all terms are exp(-inf), the result is -inf, and where one is infinite it is infinite."""

    def fn(z):
        a = np.stack([z[0], z[1], z[2]])
        for t in range(LONG):
            a = logsumexp(a[:, None] + np.log(np.array([[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])), axis=0) + z[3] * t
        return logsumexp(a[:2]) if np.size(z) == 4 else a[2]

    for point in ([-np.inf, -np.inf, 0, 0], [-np.inf] * 3 + [0], [np.inf, 0, 0, 0], [np.nan, 0, 0, 0], [0, 0, 0, 0]):
        z = np.array(point, float)
        graph = resolve_elements(capture(fn, np.array([0.0, 1.0, 2.0, 0.1]))[0])
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(evaluate(graph, z)[0], [fn(z)], rtol=1e-13)


# --- random programs --------------------------------------------------------------------------------------------------
indices = st.one_of(
    st.integers(-5, 4),
    st.slices(5),
    st.tuples(st.integers(0, 4), st.integers(0, 2)),
    st.tuples(st.slices(5), st.integers(-3, 2)),
    st.tuples(st.lists(st.integers(0, 4), min_size=1, max_size=3)),
    st.just(...),
)
steps = st.one_of(
    st.tuples(st.just("write"), indices, st.integers(0, 9)),
    st.tuples(st.just("write part"), indices, indices),
    st.tuples(st.just("read"), indices),
    st.tuples(st.just("view"), indices),
    st.tuples(st.just("through view"), st.integers(0, 9)),
    st.tuples(st.just("whole")),
    st.tuples(st.just("turn"), st.sampled_from(["T", "flip", "reshape", "stack", "concatenate", "copy"])),
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=1, max_size=40), st.booleans())
def test_random_reads_and_writes(program, from_zero):
    def fn(z):
        a = np.zeros((5, 3)) * z[0] if from_zero else z[:15].reshape(5, 3) * 1.0
        view, out = a[1:], 0.0
        for k in range(9):  # enough for assignments to be followed
            a[k % 5, k % 3] = z[k] ** 2
        for what, *rest in program:
            if what == "write":
                a[rest[0]] = z[rest[1]] + out
            elif what == "write part" and a[rest[0]].shape == a[rest[1]].shape:
                a[rest[0]] = a[rest[1]] * 0.5
            elif what == "read":
                out = out + 0.1 * np.sum(a[rest[0]])
            elif what == "view":
                view = a[rest[0]]
            elif what == "through view" and np.ndim(view) == 2:
                view[-1:, 0] = z[rest[0]]
            elif what == "whole":
                out = out + 0.1 * np.sum(np.tanh(a) * np.arange(15.0).reshape(5, 3))
            elif what == "turn":
                a = {"T": lambda x: (x.T * 1.0).T, "flip": lambda x: np.flip(x, 0), "copy": np.copy,
                     "reshape": lambda x: x.reshape(3, 5).reshape(-1).reshape(5, 3),
                     "stack": lambda x: np.stack([x[4 - k] for k in range(5)]),
                     "concatenate": lambda x: np.concatenate([x[2:], x[:2] * 2])}[rest[0]](a)  # fmt: skip
        return out + np.sum(a[2:] ** 2)

    z = np.random.default_rng(0).normal(size=15)
    captured, _ = capture(fn, z)
    graph = reroll(resolve_elements(captured))
    for point in (z, -z):
        np.testing.assert_allclose(evaluate(graph, point)[0], evaluate(captured, point)[0], rtol=1e-11, atol=1e-12)
