"""Convolution, and the Fourier transform of real data with its real and imaginary parts kept apart."""

from __future__ import annotations

import numpy as np

from probad.ad.kinds import linear, multilinear
from probad.ad.rules import like


def _convolve_transpose(k, g, y, values, params):
    """The cotangent of one factor is the other one, reversed, folded with `g`; the middle part of it."""
    n, m = values[k].shape[0], values[1 - k].shape[0]
    return convolve(g, values[1 - k][::-1])[m - 1 : m - 1 + n]


# all places where two vectors overlap: n + m - 1 numbers
convolve = multilinear(
    "convolve",
    lambda a, b: np.convolve(a, b),
    _convolve_transpose,
    lambda rng: [((rng.normal(size=4), rng.normal(size=3)), {}), ((rng.normal(size=2), rng.normal(size=5)), {})],
)


def _multiplicity(x, n: int):
    """How often each frequency of a real transform stands for itself and its conjugate: twice, but for the ends."""
    k = like.counts(x, n // 2 + 1)
    return np.where((k == 0) | (2 * k == n), 1.0, 2.0)


def _parts(z):
    return np.stack([z.real, z.imag])


# (..., n) to (2, ..., n // 2 + 1): the real parts, then the imaginary parts
rfft = linear(
    "rfft",
    lambda x, *, n: _parts(np.fft.rfft(x, n=n)),
    lambda k, g, y, values, params: irfft(g * (params["n"] / _multiplicity(g, params["n"])), n=params["n"]),
    lambda rng: [((rng.normal(size=(2, 5)),), {"n": 5}), ((rng.normal(size=4),), {"n": 4})],
)
irfft = linear(
    "irfft",
    lambda z, *, n: np.fft.irfft(z[0] + 1j * z[1], n=n),
    lambda k, g, y, values, params: rfft(g, n=params["n"]) * (_multiplicity(g, params["n"]) / params["n"]),
    lambda rng: [((rng.normal(size=(2, 2, 3)),), {"n": 5}), ((rng.normal(size=(2, 3)),), {"n": 4})],
)
