"""The transforms in each other: composites under Jacobians, Hessians, batches, series and sparse derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from probad.ad import (
    checkpoint,
    checkpointed_loop,
    custom_derivative,
    derivative,
    fixed_point,
    grad,
    hessian,
    jacobian,
    linearize,
    sparse_hessian,
    sparse_jacobian,
    taylor,
    vmap,
)

X = np.array([0.3, -0.2, 0.9])
W = np.arange(9.0).reshape(3, 3) / 9


def _layer(v):
    return np.sin(W @ v) * v


_checkpointed = checkpoint(_layer)
_custom = custom_derivative(
    _layer,
    jvp_fn=lambda y, args, tangents: (
        np.cos(W @ args[0]) * (W @ tangents[0]) * args[0] + np.sin(W @ args[0]) * tangents[0]
    ),
)
COMPOSITES = {"checkpoint": _checkpointed, "custom derivative": _custom}


@pytest.mark.parametrize("name", COMPOSITES)
def test_composites_in_everything(name):
    f = COMPOSITES[name]
    total, plain_total = (lambda v: np.sum(f(v) ** 2)), (lambda v: np.sum(_layer(v) ** 2))
    truth = jacobian(_layer)(X)
    for mode in ("forward", "reverse", "auto"):
        np.testing.assert_allclose(jacobian(f, mode=mode)(X), truth, rtol=1e-13)
    for mode in ("forward-reverse", "reverse-forward", "reverse-reverse"):
        np.testing.assert_allclose(hessian(total, mode=mode)(X), hessian(plain_total)(X), rtol=1e-12)
    np.testing.assert_allclose(sparse_jacobian(f, X).toarray(), truth, rtol=1e-12)
    np.testing.assert_allclose(sparse_hessian(total, X).toarray(), hessian(plain_total)(X), rtol=1e-12)
    np.testing.assert_allclose(linearize(f, X)[1](X), truth @ X, rtol=1e-13)
    np.testing.assert_allclose(taylor(total, X, X, 5), taylor(plain_total, X, X, 5), rtol=1e-12)
    points = np.stack([X, 2 * X])
    np.testing.assert_allclose(vmap(grad(total))(points), vmap(grad(plain_total))(points), rtol=1e-12)


def test_a_checkpointed_loop_in_everything():
    def loop(v):
        return np.sum(checkpointed_loop(lambda s, i: np.sin(W @ s) + 0.1 * s, v, 30, block=4) ** 2)

    def plain(v):
        for _ in range(30):
            v = np.sin(W @ v) + 0.1 * v
        return np.sum(v**2)

    np.testing.assert_allclose(grad(loop)(X), grad(plain)(X), rtol=1e-11)
    np.testing.assert_allclose(hessian(loop)(X), hessian(plain)(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(taylor(loop, X, X, 3), taylor(plain, X, X, 3), rtol=1e-10)
    points = np.stack([X, 2 * X])
    np.testing.assert_allclose(vmap(grad(loop))(points), vmap(grad(plain))(points), rtol=1e-10)


def test_a_fixed_point_in_a_hessian():
    total = lambda p: np.sum(fixed_point(lambda z: 0.5 * np.tanh(W @ z) + p, np.zeros(3)) ** 2)
    np.testing.assert_allclose(hessian(total)(X), derivative(grad(total), X, "central"), atol=1e-7)
