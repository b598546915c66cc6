"""Variational inference on log densities: families, and the fit that does not know which it fits."""

from probad.vi.elbo import elbo_and_grad
from probad.vi.fit import FAMILIES, Fit, fit

__all__ = ["FAMILIES", "Fit", "elbo_and_grad", "fit"]
