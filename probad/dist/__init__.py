"""Probability distributions, their constraints, and the maps between constrained and unconstrained values."""

from probad.dist import bijectors, constraints
from probad.dist.base import DISTRIBUTIONS, Distribution
from probad.dist.bijectors import BIJECTORS, Bijector
from probad.dist.bounded import Beta, Uniform
from probad.dist.constraints import Constraint
from probad.dist.discrete import Bernoulli, Binomial, Categorical, NegativeBinomial, Poisson
from probad.dist.multivariate import Dirichlet, MvNormal
from probad.dist.positive import Exponential, Gamma, HalfCauchy, HalfNormal, InverseGamma, LogNormal
from probad.dist.real import Cauchy, Normal, StudentT

__all__ = [
    "BIJECTORS",
    "DISTRIBUTIONS",
    "Bernoulli",
    "Beta",
    "Bijector",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Constraint",
    "Dirichlet",
    "Distribution",
    "Exponential",
    "Gamma",
    "HalfCauchy",
    "HalfNormal",
    "InverseGamma",
    "LogNormal",
    "MvNormal",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "StudentT",
    "Uniform",
    "bijectors",
    "constraints",
]
