"""Markov chain Monte Carlo on log densities: samplers, their warm-up, and the chains that run them."""

from probad.mcmc.chains import ChainResult, cut, sample_chains
from probad.mcmc.choice import Choice
from probad.mcmc.manifold_settings import RMHMC, ManifoldMALA
from probad.mcmc.run import prepare
from probad.mcmc.settings import HMC, MAMS, NUTS, Algorithm
from probad.mcmc.step_settings import MALA, EllipticalSlice, Metropolis

__all__ = [
    "HMC",
    "MALA",
    "MAMS",
    "NUTS",
    "RMHMC",
    "Algorithm",
    "ChainResult",
    "Choice",
    "EllipticalSlice",
    "ManifoldMALA",
    "Metropolis",
    "cut",
    "prepare",
    "sample_chains",
]
