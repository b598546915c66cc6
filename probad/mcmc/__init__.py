"""Markov chain Monte Carlo on log densities: Hamiltonian samplers, their warm-up, and the chains that run them."""

from probad.mcmc.chains import ChainResult, sample_chains
from probad.mcmc.choice import Choice
from probad.mcmc.run import prepare
from probad.mcmc.settings import HMC, MAMS, NUTS

__all__ = ["HMC", "MAMS", "NUTS", "ChainResult", "Choice", "prepare", "sample_chains"]
