"""Every primitive runs on arrays that never become NumPy arrays by themselves, with the same numbers, in both modes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import special

from probad.ad import PRIMITIVES, grad, jvp, value_and_grad, vjp
from probad.errors import ConversionError
from tests.ad.strict import HiddenTransferError, StrictArray
from tests.contracts import oracles

# Primitives with a derivative that is computed element by element in NumPy code of this project: it needs the host.
ON_THE_HOST = re.compile(r"gammainc|betainc|zeta|btdtri|chdtriv|gdtri|pdtrik|stdtr")


def _to_device(x):
    return StrictArray(x) if isinstance(x, np.ndarray) else x


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_a_primitive_stays_on_its_device(name):
    if ON_THE_HOST.match(name):
        with pytest.raises(ConversionError, match=r"scipy\.special\.(gammainc|betainc|zeta) in .* host"):
            _compare(name)
    else:
        _compare(name)


def _compare(name):
    primitive = PRIMITIVES[name]
    rng = np.random.default_rng(0)
    for args, params in primitive.examples(rng)[:2]:
        device_params = {k: _to_device(v) for k, v in params.items()}
        on_device, _ = oracles.bind(primitive, args, device_params, fixed=[StrictArray(a) for a in args])
        f, args = oracles.bind(primitive, args, params)
        device_args = [StrictArray(a) for a in args]
        directions = [rng.normal(size=np.shape(a)) for a in args]
        y, dy = jvp(f, args, tuple(directions))
        weights = rng.normal(size=np.shape(y))
        cotangents = vjp(f, *args)[1](weights)
        device_y, device_dy = jvp(on_device, tuple(device_args), tuple(map(StrictArray, directions)))
        _, pullback = vjp(on_device, *device_args)
        for found, expected in zip(
            (device_y, device_dy, *pullback(StrictArray(weights))), (y, dy, *cotangents), strict=True
        ):
            assert isinstance(found, StrictArray)
            np.testing.assert_allclose(found.get(), expected, rtol=1e-13, atol=1e-13)


def test_a_whole_function_and_its_derivatives():
    def f(x):
        s = np.zeros_like(x)
        for i in range(3):
            s[i] = np.sin(x[i]) * x[i - 1]
        s[1:] += np.where(x[1:] > 0, np.exp(x[1:]), 0.5 * x[1:])
        return np.sum(np.linalg.cholesky(np.outer(s, s) + 3.0 * np.diag(x * x)) ** 2) + np.logaddexp(0.0, x).sum()

    x = np.array([0.3, 0.8, 1.2])
    value, gradient = value_and_grad(f)(x)
    device_value, device_gradient = value_and_grad(f)(StrictArray(x))
    np.testing.assert_allclose(float(device_value), value, rtol=1e-13)
    np.testing.assert_allclose(device_gradient.get(), gradient, rtol=1e-13)
    v = np.array([1.0, -1.0, 0.5])
    product = jvp(grad(f), (x,), (v,))[1]
    device_product = jvp(grad(f), (StrictArray(x),), (StrictArray(v),))[1]
    np.testing.assert_allclose(device_product.get(), product, rtol=1e-12)


def test_mixing_devices_is_an_error():
    data = np.ones(3)
    with pytest.raises(HiddenTransferError, match="met an array on the device"):
        grad(lambda x: np.sum(x * data))(StrictArray([1.0, 2.0, 3.0]))


def test_what_is_left_of_a_function_on_the_host_stays_on_the_device():
    a, x = np.array([0.7, 2.0]), np.array([0.4, 3.0])
    for f in (special.gammainc, special.gammaincc, lambda a, x: special.betainc(a, 2.0, x / 4), special.stdtr):
        expected = grad(lambda x: np.sum(f(a, x)))(x)
        found = grad(lambda x: np.sum(f(StrictArray(a), x)))(StrictArray(x))
        np.testing.assert_allclose(found.get(), expected, rtol=1e-13)
