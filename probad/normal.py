"""Quantiles of the standard normal distribution, for R-hat and effective sample sizes, and the table that gives them.

Source: Wichura, "Algorithm AS 241: the percentage points of the normal distribution" (1988), PPND16.
"""

from __future__ import annotations

import numpy as np

# Rows: around the middle, for tails down to exp(-25), and beyond; the constant terms first.
NUMERATORS = (
    (3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125, 45921.953931549871457,
     67265.770927008700853, 33430.575583588128105, 2509.0809287301226727),
    (1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504,
     1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.7454501427834140764e-4),
    (6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 0.29656057182850489123,
     0.026532189526576123093, 0.0012426609473880784386, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
)  # fmt: skip
DENOMINATORS = (
    (1.0, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077, 21213.794301586595867,
     39307.89580009271061, 28729.085735721942674, 5226.495278852854561),
    (1.0, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455, 0.14810397642748007459,
     0.0151986665636164571966, 5.475938084995344946e-4, 1.05075007164441684324e-9),
    (1.0, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148525, 7.868691311456132591e-4,
     1.84631831751005468180e-5, 1.4215117583164458887e-7, 2.04426310338993978564e-15),
)  # fmt: skip


def quantile(p: np.ndarray) -> np.ndarray:
    """The value below which a standard normal number is with probability `p`, between 0 and 1 without the ends."""
    q = p - 0.5
    middle = np.abs(q) <= 0.425
    r = np.sqrt(-np.log(np.where(middle, 0.5, np.minimum(p, 1.0 - p))))
    out = np.where(middle, q * _ratio(0, 0.180625 - q * q), np.copysign(_ratio(1, r - 1.6), q))
    far = r > 5.0
    return np.where(far, np.copysign(_ratio(2, r - 5.0), q), out) if far.any() else out


def _ratio(region: int, x: np.ndarray) -> np.ndarray:
    """The rational function of a region, by Horner's scheme."""
    above, below = (np.zeros_like(x) for _ in range(2))
    for a, b in zip(reversed(NUMERATORS[region]), reversed(DENOMINATORS[region]), strict=True):
        above, below = above * x + a, below * x + b
    return above / below
