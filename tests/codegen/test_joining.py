"""When paths are joined, and what there is after they were parted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import probad as pb
from probad.codegen.joining import JOIN_FROM, Joining
from probad.errors import CompileError, CompileWarning
from probad.ir.join import Joined, JoinError

N = 12
POINTS = np.random.default_rng(0).normal(size=(400, N))


def branching(z):
    """A branch in each iteration, and one that is seldom taken."""
    total = 0.0
    for x in z:
        total = total + x if x > 0 else 0.5 * total - x**2
    return 2.0 * total if z[0] > 100.0 else total


def contradict(monkeypatch):
    """From now on each new path contradicts the others."""

    def learn(self, *args):
        raise JoinError("planted")

    monkeypatch.setattr(Joined, "learn", learn)


def far(k: int) -> np.ndarray:
    """A point on a path that no point of `POINTS` takes."""
    return np.concatenate([[200.0], POINTS[k, 1:]])


def flat(x) -> np.ndarray:
    """One vector of a number or a pair of a number and a vector."""
    return np.hstack(x) if isinstance(x, tuple) else np.atleast_1d(x)


class Codes:
    """Stands for a compiler: codes are names."""

    def __init__(self, *, fails: bool = False):
        self.n_alone = self.n_together = 0
        self.joining = Joining(branching)
        self.fails = fails

    def alone(self) -> str:
        self.n_alone += 1
        return f"alone {self.n_alone}"

    def together(self, graph) -> str:
        if self.fails:
            raise CompileError("planted")
        self.n_together += 1
        return f"together {self.n_together}"

    def extend(self, z, most: int = 64):
        return self.joining.extend((z,), self.alone, self.together, most=most)


def test_paths_are_alone_until_they_are_joined():
    codes = Codes()
    found = [codes.extend(z) for z in POINTS[:JOIN_FROM]]
    assert found == codes.joining.codes == [f"alone {k + 1}" for k in range(JOIN_FROM)]
    k = JOIN_FROM
    while not codes.joining.is_joined:
        new = codes.extend(POINTS[k])
        k += 1
    assert codes.joining.codes == [new] == ["together 1"]


def test_single_paths_come_back_when_a_new_one_contradicts_the_program(monkeypatch):
    codes, k = Codes(), 0
    while not codes.joining.is_joined:
        alone = list(codes.joining.codes)
        codes.extend(POINTS[k])
        k += 1
    contradict(monkeypatch)
    new = codes.extend(far(0))
    assert codes.joining.codes == [*alone, new]
    assert new.startswith("alone")
    assert codes.joining.why_apart == "planted"
    assert not codes.joining.is_joined
    assert not codes.joining.part("again")
    assert codes.joining.codes == [*alone, new]


def test_no_more_than_so_many_paths_alone():
    codes = Codes()
    codes.joining.part("for this test")
    assert [codes.extend(z, most=3) for z in POINTS[:5]] == ["alone 1", "alone 2", "alone 3", None, None]


def test_programs_that_cannot_be_compiled_are_not_tried_again():
    codes = Codes(fails=True)
    found = [codes.extend(z, most=20) for z in POINTS[:40]]
    assert codes.joining.why_apart == "planted"
    assert codes.joining.codes == [f"alone {k + 1}" for k in range(len(codes.joining.codes))]
    assert JOIN_FROM < len(codes.joining.codes) <= 20
    assert found[-1] is None


def test_code_that_is_not_to_be_kept_is_not_in_use():
    joining = Joining(branching)
    assert joining.extend((POINTS[0],), lambda: None, lambda graph: None, most=64) is None
    assert joining.codes == []


@pytest.mark.parametrize("way", ["density", "function"])
def test_values_are_right_before_and_after(way, monkeypatch):
    if way == "density":
        density = pb.LogDensity.from_function(branching, N)
        assert density.address
        joining = density._native._compiled.joining
        call, expected = density.logp_and_grad, pb.value_and_grad(branching)
    else:
        call, expected = pb.compile(branching), branching
        call(POINTS[0])
        (joining,) = call._joinings.values()

    def check(points):
        for z in points:
            np.testing.assert_allclose(flat(call(z)), flat(expected(z)), rtol=1e-12, atol=1e-12)

    check(POINTS)
    assert joining.is_joined
    contradict(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompileWarning)
        check([far(0)])
        assert not joining.is_joined
        assert len(joining.codes) >= JOIN_FROM
        check([far(k) for k in range(5)])
        check(POINTS[:50])
