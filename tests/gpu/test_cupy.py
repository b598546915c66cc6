"""The same derivatives over CuPy arrays: run with ``-m gpu`` where there is a device and the extra ``gpu``."""

from __future__ import annotations

import numpy as np
import pytest

from probad.ad import PRIMITIVES, jvp, value_and_grad, vjp

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cupy():
    module = pytest.importorskip("cupy")
    try:
        n_devices = module.cuda.runtime.getDeviceCount()
    except module.cuda.runtime.CUDARuntimeError:
        n_devices = 0
    if not n_devices:
        pytest.skip("there is no CUDA device")
    return module


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_a_primitive_gives_the_same_numbers(name, cupy):
    primitive = PRIMITIVES[name]
    rng = np.random.default_rng(0)
    args, params = primitive.examples(rng)[0]
    device_params = {k: cupy.asarray(v) if isinstance(v, np.ndarray) else v for k, v in params.items()}
    directions = [rng.normal(size=np.shape(a)) for a in args]
    y, dy = jvp(lambda *a: primitive(*a, **params), tuple(args), tuple(directions))
    weights = rng.normal(size=np.shape(y))
    cotangents = vjp(lambda *a: primitive(*a, **params), *args)[1](weights)

    def on_device(*a):
        return primitive(*a, **device_params)

    moved = tuple(map(cupy.asarray, args))
    device_y, device_dy = jvp(on_device, moved, tuple(map(cupy.asarray, directions)))
    found = (device_y, device_dy, *vjp(on_device, *moved)[1](cupy.asarray(weights)))
    for a, b in zip(found, (y, dy, *cotangents), strict=True):
        assert isinstance(a, cupy.ndarray)
        np.testing.assert_allclose(cupy.asnumpy(a), b, rtol=1e-10, atol=1e-10)


def test_a_gradient_on_the_device(cupy):
    rng = np.random.default_rng(1)
    x, y, beta = rng.normal(size=(500, 5)), rng.integers(0, 2, 500).astype(float), rng.normal(size=5)

    def make(x, y):
        return lambda b: np.sum(y * (x @ b)) - np.sum(np.logaddexp(0.0, x @ b))

    value, gradient = value_and_grad(make(x, y))(beta)
    device_value, device_gradient = value_and_grad(make(cupy.asarray(x), cupy.asarray(y)))(cupy.asarray(beta))
    np.testing.assert_allclose(float(device_value), value, rtol=1e-12)
    np.testing.assert_allclose(cupy.asnumpy(device_gradient), gradient, rtol=1e-10)
