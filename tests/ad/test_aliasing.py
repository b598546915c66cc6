"""Views, copies and writes in place: whatever NumPy does to plain arrays happens to traced ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from probad.ad import check_grads, jvp, value_and_grad

# Ways to make an array from another: (name, function). Some give views, some copies; NumPy knows which.
MAKERS = [
    lambda a: a[1:],
    lambda a: a[::2],
    lambda a: a[::-1],
    lambda a: a.T,
    lambda a: a.reshape(-1),
    lambda a: a.ravel(),
    lambda a: a[..., None],
    lambda a: np.squeeze(a),
    lambda a: np.transpose(a),
    lambda a: np.expand_dims(a, 0),
    lambda a: np.flip(a),
    lambda a: a.copy(),
    lambda a: a.flatten(),
    lambda a: a[[0, -1]],
    lambda a: a + 0.0,
    lambda a: np.atleast_2d(a),
    lambda a: a[0] if a.ndim > 1 else a[:],
    lambda a: np.swapaxes(a, 0, -1),
]

# Ways to write into an array in place, with a number.
WRITERS = [
    lambda a, v: a.__setitem__(0, v),
    lambda a, v: a.__setitem__(-1, v * a[0]),
    lambda a, v: a.__setitem__(slice(None, None, 2), v),
    lambda a, v: a.__setitem__(..., a * v),
    lambda a, v: a.__setitem__([0, 0], v),
    lambda a, v: a.__iadd__(v),
    lambda a, v: a.__imul__(v),
    lambda a, v: a.__isub__(a[:1] * v),
    lambda a, v: a.fill(v),
    lambda a, v: a.__setitem__(a > v, v),
    lambda a, v: a.sort(),
]

STEP = st.tuples(st.sampled_from(["make", "write"]), st.integers(0, 30), st.integers(0, 30), st.floats(-1.5, 1.5))


def _play(x, steps):
    """Run a random history of views and writes, and return all arrays that came up, as they are at the end."""
    first = np.zeros_like(x)
    first[...] = x
    arrays = [first]
    for kind, which, how, value in steps:
        a = arrays[which % len(arrays)]
        if kind == "make":
            made = MAKERS[how % len(MAKERS)](a)
            if made.ndim and made.size and made.ndim < 5 and len(arrays) < 12:
                arrays.append(made)
        elif a.shape[0]:
            WRITERS[how % len(WRITERS)](a, value)
    return arrays


def _weighted(arrays):
    return sum(np.sum(np.sin(a) * (k + 1.0)) for k, a in enumerate(arrays))


@settings(max_examples=400, deadline=None)
@given(st.lists(STEP, max_size=14), st.integers(0, 1000))
def test_every_array_has_numpys_content(steps, seed):
    x = np.random.default_rng(seed).normal(size=(3, 4) if seed % 2 else 5)
    expected = _play(x, steps)
    found, _ = jvp(lambda x: _play(x, steps), (x,), (x,))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    value, _ = value_and_grad(lambda x: _weighted(_play(x, steps)))(x)
    np.testing.assert_allclose(value, _weighted(expected), rtol=1e-12)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=10), st.integers(0, 1000))
def test_derivatives_follow_the_history(steps, seed):
    x = np.random.default_rng(seed).normal(size=4)
    check_grads(lambda x: _weighted(_play(x, steps)), x, rtol=1e-6, atol=1e-6)
