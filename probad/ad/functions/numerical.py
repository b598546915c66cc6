"""Differences, sums over grids, convolution and interpolation."""

from __future__ import annotations

import numpy as np

from probad.ad.dispatch import implements


@implements(np.diff)
def diff(a, n=1, axis=-1):
    window = (slice(None),) * (axis % len(a.shape))
    for _ in range(n):
        a = a[(*window, slice(1, None))] - a[(*window, slice(None, -1))]
    return a
