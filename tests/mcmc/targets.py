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


class Banana(LogDensity):
    """x ~ Normal(0, 2) and y ~ Normal(b x^2, s), with its curvature by hand, as kernels in Python ask for it."""

    b, s = 0.25, 0.5

    def __init__(self):
        super().__init__(2)

    def draw(self, rng, n):
        """Exact draws."""
        x = 2.0 * rng.standard_normal(n)
        return np.column_stack([x, self.b * x**2 + self.s * rng.standard_normal(n)])

    def standardise(self, z):
        """Two independent standard normal numbers from a draw."""
        return np.column_stack([z[:, 0] / 2.0, (z[:, 1] - self.b * z[:, 0] ** 2) / self.s])

    def logp_and_grad(self, z):
        x, r, precision = z[0], z[1] - self.b * z[0] ** 2, self.s**-2
        logp = -(x**2) / 8 - 0.5 * precision * r**2
        return float(logp), np.array([-x / 4 + 2 * self.b * precision * x * r, -precision * r])

    def __call__(self, ctx, which, rows, place, result, dim):
        """As `probad.mcmc.geometry.PythonGeometry`, of minus the Hessian."""
        x, y = rows[2 * place : 2 * place + 2]
        b, precision = self.b, self.s**-2
        r = y - b * x * x
        if which == 0:
            g = [-x / 4 + 2 * b * precision * x * r, -precision * r]
            a = 0.25 - 2 * b * precision * r + 4 * b * b * precision * x * x
            off = -2 * b * precision * x
            rows[2 * result : 2 * result + 7] = [*g, a, off, off, precision, -(x**2) / 8 - 0.5 * precision * r * r]
        else:
            xx, xy, yx, _ = rows[2 * place + 2 : 2 * place + 6]
            slope = -2 * b * precision
            rows[2 * result : 2 * result + 2] = [xx * 12 * b * b * precision * x + (xy + yx) * slope, xx * slope]
        return 0


class EightSchools(LogDensity):
    """Eight schools, non-centred, over (mu, log tau, effects); its gradient by hand."""

    def __init__(self, y, sigma):
        self.y, self.precision = np.asarray(y), np.asarray(sigma) ** -2.0
        super().__init__(2 + len(self.y))

    def logp_and_grad(self, z):
        mu, u, effect = z[0], z[1], z[2:]
        tau = np.exp(u)
        residual = self.precision * (self.y - mu - tau * effect)
        ratio = (tau / 5) ** 2
        logp = u - mu**2 / 50 - np.log1p(ratio) - 0.5 * (effect @ effect + residual @ (residual / self.precision))
        grad = np.empty(self.dim)
        grad[0] = residual.sum() - mu / 25
        grad[1] = 1 - 2 * ratio / (1 + ratio) + tau * (residual @ effect)
        grad[2:] = tau * residual - effect
        return float(logp), grad

    def named(self, draws):
        """Draws of mu, tau and theta from unconstrained draws."""
        mu, tau = draws[..., 0], np.exp(draws[..., 1])
        return {"mu": mu, "tau": tau, "theta": mu[..., None] + tau[..., None] * draws[..., 2:]}


class RoundInItsMetric:
    """A normal density in two dimensions, whose metric is its precision throughout, as kernels in Python ask for it."""

    precision = np.array([[3.0, 1.0], [1.0, 2.0]])

    def __call__(self, ctx, which, rows, place, result, dim):
        """As `probad.mcmc.geometry.PythonGeometry`."""
        z = np.array(rows[2 * place : 2 * place + 2])
        if which == 0:
            field = [*(-self.precision @ z), *self.precision.ravel(), -0.5 * z @ self.precision @ z]
            rows[2 * result : 2 * result + 7] = field
        else:
            rows[2 * result : 2 * result + 2] = [0.0, 0.0]
        return 0
