"""Every registered bijector: one to one, with the log-determinant that differentiation gives."""

from __future__ import annotations

import numpy as np
import pytest

from probad.ad import jvp
from probad.dist import BIJECTORS, bijectors
from probad.errors import ShapeError

ROUND_TRIP = 1e-12
LOG_DET = 1e-10

BUILT_IN = {name: cls for name, cls in BIJECTORS.items() if cls.__module__ == "probad.dist.bijectors"}
CASES = [
    pytest.param(cls(**arguments), shape, id=f"{name}-{i}")
    for name, cls in BUILT_IN.items()
    for i, (arguments, shape) in enumerate(cls.examples)
]


def _points(bijector, shape, n=6, size=2.0):
    """Unconstrained values, `n` of them, for a constrained value of the given shape."""
    return size * np.random.default_rng(0).standard_normal((n, *bijector.unconstrained_shape(shape)))


def check_round_trip(bijector, shape):
    z = _points(bijector, shape)
    x = bijector.forward(z)
    np.testing.assert_allclose(bijector.inverse(x), z, rtol=ROUND_TRIP, atol=ROUND_TRIP * 10)
    again = bijector.forward(bijector.inverse(x))
    np.testing.assert_allclose(again, x, rtol=ROUND_TRIP, atol=ROUND_TRIP)


def check_log_det(bijector, shape):
    """Against the Jacobian of the free coordinates, column by column in forward mode, event by event."""
    z = _points(bijector, shape, n=3)
    x = bijector.forward(z)
    found = bijector.log_det(z, x)
    n_batch = z.ndim - bijector.unconstrained_event_ndim
    assert found.shape == z.shape[:n_batch]
    n_free = int(np.prod(z.shape[n_batch:]))
    columns = []
    for place in np.ndindex(z.shape[n_batch:]):
        tangent = np.zeros(z.shape)
        tangent[(..., *place)] = 1.0
        moved = jvp(bijector.forward, (z,), (tangent,))[1]
        columns.append(_free(bijector, moved).reshape(*z.shape[:n_batch], n_free))
    if n_free:
        expected = np.linalg.slogdet(np.stack(columns, axis=-1))[1]
        np.testing.assert_allclose(found, expected, rtol=LOG_DET, atol=LOG_DET)
    else:
        assert np.all(found == 0.0)


def _free(bijector, x):
    """The coordinates of a constrained value that may vary on their own."""
    if isinstance(bijector, bijectors.Independent):
        return _free(bijector.entry, x)
    if isinstance(bijector, bijectors.StickBreaking):
        return x[..., :-1]
    if isinstance(bijector, bijectors.LowerCholesky):
        return x[(..., *np.tril_indices(x.shape[-1]))]
    return x


@pytest.mark.parametrize(("bijector", "shape"), CASES)
def test_round_trip(bijector, shape):
    check_round_trip(bijector, shape)


@pytest.mark.parametrize(("bijector", "shape"), CASES)
def test_log_det(bijector, shape):
    check_log_det(bijector, shape)


@pytest.mark.parametrize(("bijector", "shape"), CASES)
def test_shapes(bijector, shape):
    free = bijector.unconstrained_shape(shape)
    assert bijector.constrained_shape(free) == shape
    z = _points(bijector, shape, n=4)
    assert z.shape == (4, *free)
    x = bijector.forward(z)
    assert x.shape == (4, *shape)
    assert bijector.inverse(x).shape == z.shape


@pytest.mark.parametrize(("bijector", "shape"), CASES)
def test_batch_elements_do_not_mix(bijector, shape):
    z = _points(bijector, shape, n=3)
    x = bijector.forward(z)
    for i in range(3):
        np.testing.assert_array_equal(bijector.forward(z[i]), x[i])
        np.testing.assert_allclose(bijector.log_det(z[i], x[i]), bijector.log_det(z, x)[i], rtol=1e-14)


@pytest.mark.parametrize(("bijector", "shape"), CASES)
def test_far_out_nothing_is_nan(bijector, shape):
    with np.errstate(all="ignore"):
        for size in (50.0, 300.0):
            z = np.sign(_points(bijector, shape)) * size
            x = bijector.forward(z)
            assert not np.any(np.isnan(x))
            assert not np.any(np.isnan(bijector.log_det(z, x)))


@pytest.mark.parametrize("cls", [pytest.param(cls, id=name) for name, cls in BUILT_IN.items()])
def test_enrolment(cls):
    assert cls.examples
    assert cls.__doc__
    assert repr(cls(**cls.examples[0][0])).startswith(cls.__name__)


@pytest.mark.parametrize(
    ("bijector", "shape"),
    [(bijectors.StickBreaking(), ()), (bijectors.LowerCholesky(), (2, 3)), (bijectors.LowerCholesky(), (3,))],
)
def test_impossible_constrained_shapes(bijector, shape):
    with pytest.raises(ShapeError, match="got shape"):
        bijector.unconstrained_shape(shape)


def test_impossible_number_of_free_entries():
    with pytest.raises(ShapeError, match="1, 3, 6, 10"):
        bijectors.LowerCholesky().constrained_shape((4,))


class _WrongLogDet(bijectors.Exp):
    def log_det(self, z, x):
        return x


class _WrongInverse(bijectors.Exp):
    def inverse(self, x):
        return np.log1p(x)


def test_planted_bugs_are_caught():
    check_round_trip(bijectors.Exp(), (3,))
    check_log_det(bijectors.Exp(), (3,))
    with pytest.raises(AssertionError):
        check_log_det(_WrongLogDet(), (3,))
    with pytest.raises(AssertionError):
        check_round_trip(_WrongInverse(), (3,))
