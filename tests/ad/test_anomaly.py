"""Anomaly mode names the line; outside it nothing is different."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from probad.ad import anomaly_mode, checkpoint, grad, jacobian, jvp, value_and_grad, vjp, vmap
from probad.ad.transforms import FORWARD, REVERSE
from probad.errors import GradientError


def _bad(x):
    y = x * 2.0
    z = np.log(y)  # the line at fault
    return z + y


def _inner(x):
    return np.sqrt(x)


CASES = {
    "reverse": lambda: grad(_bad)(0.0),
    "forward": lambda: jvp(_bad, (0.0,), (1.0,)),
    "array": lambda: grad(lambda x: np.sum(_bad(x)))(np.array([1.0, 0.0, 2.0])),
    "pulled": lambda: vjp(_bad, 0.0)[1](1.0),
    "jacobian": lambda: jacobian(_bad, mode="reverse")(np.array([0.0, 1.0])),
    "nested": lambda: jvp(grad(_bad), (0.0,), (1.0,)),
    "reverse over forward": lambda: grad(lambda x: jvp(_bad, (x,), (1.0,))[1])(0.0),
    "checkpoint": lambda: grad(checkpoint(_bad))(0.0),
    "vmap": lambda: vmap(grad(_bad))(np.array([1.0, 0.0])),
}


@pytest.mark.parametrize("name", CASES)
def test_the_line_is_named(name):
    with np.errstate(all="ignore"), anomaly_mode(), pytest.raises(GradientError) as error:
        CASES[name]()
    text = str(error.value)
    assert "derivative of log is not finite" in text
    assert "test_anomaly.py:17" in text
    assert "in _bad" in text
    assert "np.log(y)  # the line at fault" in text


def test_values_are_told():
    with (
        np.errstate(all="ignore"),
        anomaly_mode(),
        pytest.raises(GradientError, match=r"sqrt .* argument 0 is inf\. sqrt called with \(0\.0\) gave 0\.0"),
    ):
        grad(_inner)(0.0)
    with np.errstate(all="ignore"), anomaly_mode(), pytest.raises(GradientError, match="its tangent is inf"):
        jvp(_inner, (0.0,), (1.0,))


def test_the_first_of_several_is_the_one_named():
    """In reverse mode the sweep meets the last operation first."""

    def f(x):
        a = np.sqrt(x)
        return np.log(a)

    with np.errstate(all="ignore"), anomaly_mode(), pytest.raises(GradientError, match="derivative of log"):
        grad(f)(0.0)
    with np.errstate(all="ignore"), anomaly_mode(), pytest.raises(GradientError, match="derivative of sqrt"):
        jvp(f, (0.0,), (1.0,))


def test_an_infinite_value_is_traced_to_its_origin():
    def square_of_bad(x):
        return _bad(x) ** 2

    with np.errstate(all="ignore"), anomaly_mode(), pytest.raises(GradientError) as error:
        grad(square_of_bad)(0.0)
    text = str(error.value)
    assert "derivative of power is not finite" in text
    assert "not finite before: log called with (0.0) gave -inf, in _bad" in text
    assert "test_anomaly.py:17" in text


def test_what_is_safe_is_no_anomaly():
    with anomaly_mode():
        assert grad(lambda x: np.where(x > 0, np.sqrt(x), x))(0.0) == 1.0
        assert grad(np.linalg.norm)(np.zeros(2)).tolist() == [0.0, 0.0]


def test_gradients_are_the_same_inside():
    def f(x):
        s = np.zeros_like(x)
        for i in range(3):
            s[i] = np.sin(x[i]) * x[0] + s[i - 1]
        return np.sum(np.exp(s) @ np.ones((3, 2)))

    x = np.array([0.3, -0.2, 0.5])
    outside = value_and_grad(f)(x), jvp(f, (x,), (x,)), jvp(grad(f), (x,), (x,))
    with anomaly_mode():
        inside = value_and_grad(f)(x), jvp(f, (x,), (x,)), jvp(grad(f), (x,), (x,))
    for a, b in zip(outside, inside, strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-14)
        np.testing.assert_allclose(a[1], b[1], rtol=1e-14)


def test_outside_nothing_is_different():
    before = FORWARD.get(), REVERSE.get()
    with pytest.raises(RuntimeError, match="boom"), anomaly_mode():
        raise RuntimeError("boom")
    assert (FORWARD.get(), REVERSE.get()) == before
    with np.errstate(all="ignore"):
        assert np.isinf(grad(_inner)(0.0))


def test_other_threads_are_not_watched():
    kinds = []
    with anomaly_mode():
        thread = threading.Thread(target=lambda: kinds.append(REVERSE.get().__name__))
        thread.start()
        thread.join()
    assert kinds == ["ReverseTrace"]
