"""Every distribution and every model as native code: value and gradient of tape, interpreter and machine agree."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import probad as pb
from models import MODELS, is_available
from probad.codegen.compiled import Trace
from probad.dist.base import DISTRIBUTIONS
from probad.ir.capture import capture
from probad.ir.interpret import interpret
from probad.ir.passes import prepare, prepare_gradient

CASES = [(name, k) for name, cls in DISTRIBUTIONS.items() for k in range(len(cls.examples))]


def agree(fn, z):
    graph = prepare_gradient(prepare(capture(fn, z)[0]))
    trace = Trace.of(graph, apart=True)
    context = trace.context()
    value, grad = np.empty(1), np.empty(len(z))
    status = context.run(z.ctypes.data, value.ctypes.data, grad.ctypes.data)
    assert status == 0
    with np.errstate(all="ignore"):
        expected, slope = pb.value_and_grad(fn)(z)
    scale = 1 + np.max(np.abs(slope), initial=0.0)
    for got, got_slope in ((value[0], grad), interpret(graph, z)):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(got_slope, slope, rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize(("name", "k"), CASES)
def test_distributions(name, k):
    cls = DISTRIBUTIONS[name]
    example = cls.examples[k]
    value = cls(**example).sample(np.random.default_rng(k), (3,))
    moving = [p for p, v in example.items() if np.asarray(v).dtype.kind == "f"]
    parts = [np.asarray(example[p], dtype=float) for p in moving] + ([] if cls.discrete else [value])
    bounds = np.cumsum([0, *(p.size for p in parts)])

    def logp(z):
        windows = zip(bounds[:-1], bounds[1:], parts, strict=True)
        pieces = [z[a:b].reshape(p.shape) if p.shape else z[a] for a, b, p in windows]
        given = {**example, **dict(zip(moving, pieces, strict=False))}
        return np.sum(cls(**given).logp(value if cls.discrete else pieces[-1]))

    z = np.concatenate([p.ravel() for p in parts])
    if z.size:
        agree(logp, z)


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    if not is_available(name):
        pytest.skip("the published data are not beside the repository")
    module = MODELS[name]
    model = getattr(module, name)(**module.data())
    density = model.density()
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert density.address != 0
    for _ in range(5):
        z = 0.5 * rng.normal(size=density.dim)
        agree(density.function, z)
        logp, grad = density.logp_and_grad(z)
        expected, slope = density._by_tape(z)
        np.testing.assert_allclose(logp, expected, rtol=1e-12)
        np.testing.assert_allclose(grad, slope, rtol=1e-12, atol=1e-12)
