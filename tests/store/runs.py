"""Models for tests of stored runs, and a comparison of results to the last bit."""

from __future__ import annotations

import warnings

import numpy as np

import probad as pb
from probad import dist
from probad.errors import SamplingWarning
from probad.output import group_names


@pb.model
def line(x, y=None):
    """A line with branches, deterministics and named axes."""
    a = pb.sample("a", dist.Normal(0.0, 2.0))
    b = pb.sample("b", dist.Normal(0.0, 2.0), dims="side")
    sigma = pb.sample("sigma", dist.HalfNormal(2.0))
    slope = b[0] if a > 0.4 else b[1]
    mean = pb.deterministic("mean", a + slope * x, dims="row")
    pb.sample("y", dist.Normal(mean, sigma), obs=y, dims="row")


def bound(change=0.0):
    """The model with its data."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=12)
    y = 0.4 + x + rng.normal(size=12)
    y[3] += change
    return line(x, y=y, coords={"side": ["left", "right"]})


def heavy(n=5000):
    """A density of native code that takes some microseconds."""
    x = np.linspace(0.0, 1.0, n)
    return pb.LogDensity.from_function(lambda z: -0.5 * np.sum(z**2) - np.mean(np.log1p(np.exp(x * z[0]))), 3)


class Bell(pb.LogDensity):
    """A normal density without native code."""

    def __init__(self, dim=3, factor=1.0):
        super().__init__(dim)
        self.factor = factor
        self.scale = np.linspace(1.0, 2.0, dim)

    def logp_and_grad(self, z):
        return -0.5 * self.factor * float(np.sum(self.scale * z * z)), -self.factor * self.scale * z


class Stopping(Bell):
    """The same, but the n-th call raises an error."""

    def __init__(self, n, error=KeyboardInterrupt):
        super().__init__()
        self.state, self.error = {"left": n}, error

    def logp_and_grad(self, z):
        self.state["left"] -= 1
        if self.state["left"] == 0:
            raise self.error
        return super().logp_and_grad(z)

    def evaluate(self, ctx, position, logp_out, grad_out):
        if self.state["left"] == 1 and self.error is KeyboardInterrupt:
            self.state["left"] = 0
            raise KeyboardInterrupt
        return super().evaluate(ctx, position, logp_out, grad_out)


def quietly(run, *args, **options):
    """A run too short for the diagnostics, which are not its subject."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        return run(*args, **({"progress": False} if run is not pb.read_store else {}), **options)


def assert_same(a, b, *, attrs=False):
    """Two results agree to the last bit: groups, variables, axes, labels, and with `attrs` what is told of the run."""
    assert sorted(group_names(a)) == sorted(group_names(b))
    for group in group_names(a):
        assert sorted(a[group].data_vars) == sorted(b[group].data_vars), group
        for name in a[group].data_vars:
            x, y = a[group][name], b[group][name]
            assert x.dims == y.dims
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x.values, y.values, err_msg=f"{group}/{name}")
            for axis in x.dims:
                np.testing.assert_array_equal(x[axis].values, y[axis].values)
        if attrs:
            told = [{k: v for k, v in p[group].attrs.items() if k != "created_at"} for p in (a, b)]
            assert told[0] == told[1]
