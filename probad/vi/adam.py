"""Adam, the optimiser of stochastic objectives."""

from __future__ import annotations

import numpy as np


class Adam:
    """Gradient ascent with a step for each parameter, scaled by running means of the gradient and of its square.

    Parameters
    ----------
    n_parameters : int
    step_size : float
    decay, square_decay : float
        Memory of the two running means.

    Notes
    -----
    Source: Kingma and Ba (2015), algorithm 1.
    """

    def __init__(self, n_parameters: int, step_size: float, *, decay: float = 0.9, square_decay: float = 0.99):
        self.step_size = step_size
        self.decay, self.square_decay = decay, square_decay
        self.mean = np.zeros(n_parameters)
        self.square = np.zeros(n_parameters)
        self.n_updates = 0

    def update(self, parameters: np.ndarray, gradient: np.ndarray, units=1.0) -> np.ndarray:
        """Parameters after one step uphill, of at most about ``step_size * units`` each."""
        self.n_updates += 1
        gradient = gradient * units
        self.mean = self.decay * self.mean + (1 - self.decay) * gradient
        self.square = self.square_decay * self.square + (1 - self.square_decay) * gradient**2
        mean = self.mean / (1 - self.decay**self.n_updates)
        square = self.square / (1 - self.square_decay**self.n_updates)
        return parameters + self.step_size * units * mean / (np.sqrt(square) + 1e-8)
