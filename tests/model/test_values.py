"""Values of a model's variables at many points: the same by native code and by the model itself."""

from __future__ import annotations

import numpy as np
import pytest

import probad as pb
from probad import dist
from probad.errors import ProbadError
from probad.model import values
from probad.model.values import values_at
from tests.tolerances import EXACT


@pb.model
def walk(n):
    scale = pb.sample("scale", dist.HalfNormal(1.0))
    steps = pb.sample("steps", dist.Normal(0.0, 1.0), shape=n)
    place = [scale * steps[0]]
    for t in range(1, n):
        place.append(0.9 * place[-1] + scale * steps[t])
    path = pb.deterministic("path", np.stack(place))
    top = pb.deterministic("top", path[-1] if path[-1] > 0 else np.log1p(-path[-1]))
    pb.sample("bounded", dist.Uniform(top, top + scale))


def test_they_are_those_of_the_model_on_every_path(monkeypatch):
    density = walk(30).density()
    z = np.random.default_rng(0).normal(size=(3, 200, density.dim))
    z[1, 7] = np.nan
    z[2, 5] = 1000.0
    natively = density.constrain(z)
    with monkeypatch.context() as patch:
        patch.setattr(values, "is_wanted", lambda: False)
        expected = density.constrain(z)
    assert list(natively) == list(expected)
    for name, value in natively.items():
        assert value.shape == expected[name].shape
        np.testing.assert_allclose(value, expected[name], rtol=EXACT, atol=EXACT, err_msg=name)


def _count(values_of):
    calls = []

    def counted(z):
        calls.append(z)
        return values_of(z)

    return counted, calls


def test_python_is_left_with_few_points():
    counted, calls = _count(lambda z: {"a": z[0] * z[1]})
    points = np.random.default_rng(0).normal(size=(1000, 2))
    found = values_at(counted, {"a": ()}, points)
    np.testing.assert_allclose(found["a"], points[:, 0] * points[:, 1], rtol=1e-15)
    assert len(calls) < 20


@pytest.mark.parametrize(
    "value", [lambda z: int(z[0] > 0), lambda z: np.random.default_rng(int(1e6 * abs(z[1]))).normal() * z[0]]
)
def test_what_has_no_native_code_is_python(value):
    points = np.random.default_rng(0).normal(size=(600, 2))
    found = values_at(lambda z: {"a": value(z)}, {"a": ()}, points)
    np.testing.assert_array_equal(found["a"], [value(z) for z in points])


def test_values_that_change_are_found_out():
    """A model that counts its runs: the native values are constants, so that Python's must count."""
    state = {"runs": 0}

    def value(z):
        state["runs"] += 1
        return {"a": z[0] + state["runs"]}

    points = np.zeros((600, 1))
    found = values_at(value, {"a": ()}, points)
    assert np.unique(found["a"]).size == 600


def test_errors_of_the_model_are_heard():
    def value(z):
        if z[0] > 2.0:
            raise ProbadError("no value here")
        return {"a": np.exp(z[0])}

    points = np.random.default_rng(0).normal(size=(600, 1))
    with pytest.raises(ProbadError, match="no value here"):
        values_at(value, {"a": ()}, points)
