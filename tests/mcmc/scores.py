"""How far means of draws are from the truth, in units of their Monte Carlo standard errors."""

from __future__ import annotations

import numpy as np

from probad.convergence import effective_sample_size


def z_scores(values, truth) -> np.ndarray:
    """The means of (chain, draw, dim) values against the truths, in standard errors from effective sample sizes."""
    half = values.shape[1] // 2
    ess = effective_sample_size(np.concatenate([values[:, :half], values[:, -half:]]))
    return (values.mean((0, 1)) - truth) / (values.std((0, 1)) / np.sqrt(ess))


def z_score(values, truth: float) -> float:
    """The score of (chain, draw) values; see `z_scores`."""
    return float(z_scores(np.asarray(values)[..., None], truth)[0])


def moment_scores(draws, mean, sd) -> np.ndarray:
    """Scores of the mean and of the mean square of each coordinate of (chain, draw, dim) draws, in turn."""
    means, squares = z_scores(draws, mean), z_scores((draws - mean) ** 2, np.asarray(sd) ** 2)
    return np.stack([means, squares], axis=-1).ravel()
