"""How far means of draws are from the truth, in units of their Monte Carlo standard errors."""

from __future__ import annotations

import math

import numpy as np

from probad.output import import_arviz


def z_score(values, truth: float) -> float:
    """The mean of (chain, draw) values against the truth, in standard errors from the effective sample size."""
    ess = float(import_arviz().ess(np.ascontiguousarray(values), method="mean"))
    return (values.mean() - truth) / (values.std() / math.sqrt(ess))


def moment_scores(draws, mean, sd) -> np.ndarray:
    """z-scores of the mean and of the mean square of each coordinate of (chain, draw, dim) draws."""
    scores = []
    for k in range(draws.shape[-1]):
        x = draws[..., k]
        scores += [z_score(x, mean[k]), z_score((x - mean[k]) ** 2, sd[k] ** 2)]
    return np.array(scores)
