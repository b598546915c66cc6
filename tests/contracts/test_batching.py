"""Every registered primitive over a batch: vmap is a loop, and it nests with both modes in either order."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import probad.ad.array  # noqa: F401  (registers all rules)
from probad.ad import PRIMITIVES, grad, jvp, vmap
from probad.ad.batching import BATCHERS, one_by_one, rule_for
from probad.ad.kinds import CONSTANTS, PARTIALS
from tests.tolerances import EXACT

# made on demand, for one order of derivative after the other
FAMILIES = re.compile(r"(polygamma(?!1$)|gammainc_d|betainc_d|zeta_d|phi|spherical)\d")
NAMES = sorted(name for name in PRIMITIVES if not FAMILIES.match(name))
SIZE = 3


def _cases(name):
    """Examples with every choice of batched arguments; a batch is three examples drawn alike."""
    primitive = PRIMITIVES[name]
    refused = [k for k, partial in enumerate(PARTIALS.get(name, ())) if getattr(partial, "refuses", False)]
    drawn = [primitive.examples(np.random.default_rng(seed)) for seed in range(SIZE)]
    for alike in zip(*drawn, strict=True):
        _, params = alike[0]
        fixed = {k: alike[0][0][k] for k in refused}  # arguments without a derivative stay as they are
        free = [k for k in range(len(alike[0][0])) if k not in fixed]
        arguments = [np.stack([args[k] for args, _ in alike]) for k in free]
        n = len(arguments)
        choices = list(itertools.product([True, False], repeat=n))
        if n > 2:  # all, the first, the last
            choices = [(True,) * n, (True,) + (False,) * (n - 1), (False,) * (n - 1) + (True,)]
        for batched in choices:
            if any(batched):
                chosen = [a if b else a[0] for a, b in zip(arguments, batched, strict=True)]
                yield _with(primitive, fixed, free, params), chosen, batched


def _with(primitive, fixed, free, params):
    def f(*args):
        full = {**fixed, **dict(zip(free, args, strict=True))}
        return primitive(*[full[k] for k in range(len(full))], **params)

    return f


def _loop(f, args, batched):
    return np.stack([np.asarray(f(*_element(args, batched, i))) for i in range(SIZE)])


def _element(args, batched, i):
    return [a[i] if b else a for a, b in zip(args, batched, strict=True)]


def _axes(batched):
    return tuple(0 if b else None for b in batched)


def _close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_is_a_loop(name):
    for f, args, batched in _cases(name):
        _close(vmap(f, _axes(batched))(*args), _loop(f, args, batched))


@pytest.mark.parametrize("name", NAMES)
def test_vmap_of_derivatives(name):
    """Forward and reverse derivatives inside the batch."""
    rng = np.random.default_rng(5)
    for f, args, batched in _cases(name):
        y = np.asarray(f(*_element(args, batched, 0)))
        weights = rng.normal(size=y.shape)
        directions = [rng.normal(size=np.shape(a)) for a in _element(args, batched, 0)]
        numbers = tuple(range(len(args)))
        gradient = grad(lambda *p, f=f, weights=weights: np.sum(weights * f(*p)), numbers)
        found = vmap(gradient, _axes(batched))(*args)
        expected = [gradient(*_element(args, batched, i)) for i in range(SIZE)]
        for k in numbers:
            _close(found[k], np.stack([g[k] for g in expected]))
        pushed = lambda *p, f=f, directions=directions: jvp(f, p, tuple(directions))[1]
        _close(vmap(pushed, _axes(batched))(*args), _loop(pushed, args, batched))


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_vmap(name):
    """The batch inside forward and reverse derivatives."""
    rng = np.random.default_rng(6)
    for f, args, batched in _cases(name):
        mapped = vmap(f, _axes(batched))
        looped = lambda *p, f=f, batched=batched: np.stack([f(*_element(p, batched, i)) for i in range(SIZE)])
        weights = rng.normal(size=np.shape(mapped(*args)))
        directions = tuple(rng.normal(size=np.shape(a)) for a in args)
        numbers = tuple(range(len(args)))
        found = grad(lambda *p, m=mapped, w=weights: np.sum(w * m(*p)), numbers)(*args)
        expected = grad(lambda *p, m=looped, w=weights: np.sum(w * m(*p)), numbers)(*args)
        for k in numbers:
            _close(found[k], expected[k])
        _close(jvp(mapped, tuple(args), directions)[1], jvp(looped, tuple(args), directions)[1])


@pytest.mark.parametrize("name", NAMES)
def test_vmap_of_vmap(name):
    for f, args, batched in _cases(name):
        twice = [np.stack([a, a]) if b else a for a, b in zip(args, batched, strict=True)]
        found = vmap(vmap(f, _axes(batched)), _axes(batched))(*twice)
        expected = _loop(f, args, batched)
        _close(found, np.stack([expected, expected]))


def test_rules_belong_to_something():
    """A batching rule for a primitive that was renamed would never be used."""
    assert set(BATCHERS) <= set(PRIMITIVES) | set(CONSTANTS)


def test_primitives_without_a_rule_are_few():
    """They are applied to one element of the batch after the other: right, but a loop."""
    missing = [name for name in NAMES if rule_for(PRIMITIVES[name]) is one_by_one]
    assert len(missing) <= 0.1 * len(NAMES), missing


def test_the_contract_catches_a_wrong_rule(monkeypatch):
    """A planted bug: a sum over the axis of the batch."""
    monkeypatch.setitem(BATCHERS, "sum", lambda p, n, values, batched, params: p(values[0], **params))
    with pytest.raises((AssertionError, ValueError, IndexError)):
        test_vmap_is_a_loop("sum")
