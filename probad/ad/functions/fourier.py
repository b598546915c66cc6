"""The parts of `numpy.fft` that stay real; complex results are refused (`probad.numerics` has rfft and irfft)."""

from __future__ import annotations

import numpy as np

from probad.ad.dispatch import implements
from probad.ad.functions.elements import roll
from probad.ad.functions.operands import axes_of


@implements(np.fft.fftshift)
def fftshift(x, axes=None):
    axes = axes_of(axes, len(x.shape))
    return roll(x, [x.shape[i] // 2 for i in axes], axes)


@implements(np.fft.ifftshift)
def ifftshift(x, axes=None):
    axes = axes_of(axes, len(x.shape))
    return roll(x, [-(x.shape[i] // 2) for i in axes], axes)
