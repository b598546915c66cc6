"""Log densities with gradients written by hand, for tests of the samplers alone."""

from __future__ import annotations

import numpy as np

from probad.density import LogDensity


class Gaussian(LogDensity):
    """Normal distribution with mean zero and a given covariance."""

    def __init__(self, covariance):
        self.covariance = np.asarray(covariance, dtype=float)
        self.precision = np.linalg.inv(self.covariance)
        super().__init__(len(self.covariance))

    def logp_and_grad(self, z):
        g = -self.precision @ z
        return 0.5 * float(z @ g), g

    def evaluate(self, ctx, position, logp_out, grad_out):
        logp_out[0], grad_out[:] = self.logp_and_grad(position)
        return 0


class Funnel(LogDensity):
    """Neal's funnel: v ~ Normal(0, 3), x ~ Normal(0, exp(v / 2))."""

    def logp_and_grad(self, z):
        v, x = z[0], z[1:]
        w = np.exp(-v)
        logp = -0.5 * v * v / 9 - 0.5 * w * (x @ x) - 0.5 * v * len(x)
        return float(logp), np.concatenate([[-v / 9 + 0.5 * w * (x @ x) - 0.5 * len(x)], -w * x])


class Student(LogDensity):
    """One Student t with 5 degrees of freedom: heavier tails than the momentum's."""

    def logp_and_grad(self, z):
        return float(-3.0 * np.log1p(z[0] ** 2 / 5)), np.array([-6.0 * z[0] / (5 + z[0] ** 2)])
