"""Paths that are joined say what the function says, on paths that nobody has taken before too."""

from __future__ import annotations

import numpy as np
import pytest

import probad as pb
from probad.codegen.compiled import Trace
from probad.codegen.dispatch import MISS
from probad.ir.capture import explore
from probad.ir.choices import program
from probad.ir.interpret import GuardMissError, interpret
from probad.ir.join import LONGEST, Joined, JoinError
from probad.ir.passes import prepare, prepare_gradient
from probad.ir.verify import verify
from tests.ir.branching import BranchingProgram, N


def join(fn, points) -> Joined:
    """The paths that a function takes at some points."""
    joined = Joined()
    for z in points:
        joined.learn(*explore(fn, z))
    return joined


def compare(seed: int, n: int) -> tuple[bool, int]:
    """Hold one random program against itself; whether its paths were joined, and at how many points they were known."""
    branching, rng = BranchingProgram(seed), np.random.default_rng(seed)
    try:
        graph = program(join(branching.fn, rng.normal(size=(12, N))))
    except JoinError:
        return False, 0
    verify(graph, values=True)
    prepared = prepare(graph)
    context = Trace.of(prepare_gradient(prepared), apart=True).context()
    value, grad, n_known = np.empty(1), np.empty(N), 0
    for z in rng.normal(size=(n, N)):
        status = context.run(z.ctypes.data, value.ctypes.data, grad.ctypes.data)
        try:
            (got,) = interpret(graph, z)
        except GuardMissError:
            assert status == MISS
            continue
        n_known += 1
        expected, slope = pb.value_and_grad(branching.fn)(z)
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)
        if status == 0:  # else the careful variant or the tape answers
            np.testing.assert_allclose(value[0], expected, rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(grad, slope, rtol=1e-9, atol=1e-9 * (1 + np.abs(slope).max()))
    return True, n_known


def test_random_programs():
    found = [compare(seed, 40) for seed in range(16)]
    assert sum(was_joined for was_joined, _ in found) >= 10
    assert sum(n for _, n in found) >= 200


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(10))
def test_many_random_programs(batch):
    found = [compare(seed, 60) for seed in range(100 * (batch + 1), 100 * (batch + 2))]
    assert sum(was_joined for was_joined, _ in found) >= 60


def ladder(z):
    """A question for each number."""
    s = 0.0
    for x in z:
        s = s + x if x > 0 else s * 0.5 - x
    return s


def test_a_program_is_as_long_as_its_blocks_and_knows_what_is_not_known():
    z = np.ones(20)
    graph = program(join(ladder, [z]))
    assert len(graph.guards) == 20
    turns = (-1.0) ** np.arange(20)
    assert program(join(ladder, [z, -z])).guards  # nobody has come from a yes to a no
    graph = program(join(ladder, [z, -z, turns, -turns]))
    assert not graph.guards
    assert len(graph) < 8 * 20
    points = np.random.default_rng(0).normal(size=(200, 20))
    np.testing.assert_allclose([interpret(graph, p)[0] for p in points], [ladder(p) for p in points], rtol=1e-13)


def test_an_answer_that_no_path_gave_is_a_guard_where_the_path_leads_there_alone():
    def fn(z):
        s = z[0]
        if z[1] > 0:
            s = s * 2 if z[2] > 0 else s * 3
        return s + z[3]

    graph = program(join(fn, [np.array([1.0, 1, 1, 1]), np.array([1.0, -1, 1, 1])]))
    assert interpret(graph, np.array([5.0, -1, -1, 1])) == [6.0]  # z[2] is not asked about
    with pytest.raises(GuardMissError):
        interpret(graph, np.array([5.0, 1, -1, 1]))


def test_nested_questions_under_conditions():
    def fn(z):
        s, t = z[0], z[1]
        for k in range(2, len(z)):
            if z[k] > 0:
                if s > t:
                    s = s - t
                else:
                    t = t * z[k]
            elif s > 0:
                s, t = t, s
        return s * t

    points = np.random.default_rng(1).normal(size=(300, 7))
    graph = program(join(fn, points[:100]))
    known = 0
    for z in points[100:]:
        try:
            (got,) = interpret(graph, z)
        except GuardMissError:
            continue
        known += 1
        np.testing.assert_allclose(got, fn(z), rtol=1e-12)
    assert known > 150


def test_paths_that_together_are_too_long():
    def fn(z):
        return sum([1.0 if x > 0 else 2.0 for x in z]) * z[0]  # the list is on the stack, and each history its own

    with pytest.raises(JoinError, match="together the paths are too long"):
        join(fn, np.random.default_rng(2).normal(size=(50 * LONGEST, 12)))


def test_what_must_not_be_computed_in_vain():
    def fn(z):
        a = np.eye(2) * z[0] if z[1] > 0 else np.eye(2)
        return np.sum(np.linalg.cholesky(a))

    with pytest.raises(JoinError, match="cholesky is computed after a question"):
        join(fn, np.array([[1.0, 1.0], [1.0, -1.0]]))


def test_a_variable_that_is_a_number_on_one_path_and_traced_on_another():
    def fn(z):
        s = 0.5 if z[0] > 0 else z[1] ** 2
        return -s * z[1]

    graph = program(join(fn, np.array([[1.0, 3.0], [-1.0, 3.0]])))
    assert interpret(graph, np.array([2.0, 4.0])) == [-2.0]
    assert interpret(graph, np.array([-2.0, 4.0])) == [-64.0]


def test_a_planted_difference_is_refused():
    """The same standpoint, another continuation: an object that says it does not change has changed."""

    def fn(z):
        return (z[0] if z[0] > 0 else z[1]) * OUTSIDE.scale

    joined = join(fn, [np.ones(2)])
    OUTSIDE.scale = 3.0
    try:
        with pytest.raises(JoinError, match="depends on more than can be seen there"):
            joined.learn(*explore(fn, 2 * np.ones(2)))
    finally:
        OUTSIDE.scale = 1.0


class Outside:
    """Something that standpoints take to be the same."""

    unchanged_by_runs = True
    scale = 1.0


OUTSIDE = Outside()
