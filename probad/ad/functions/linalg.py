"""Linear algebra: `numpy.linalg`."""

from __future__ import annotations

import numpy as np

from probad.ad.core import peel
from probad.ad.dispatch import implements
from probad.ad.functions import reductions as red
from probad.ad.functions.operands import axes_of
from probad.ad.functions.shapes import squeeze, swapaxes
from probad.ad.rules import elementwise as e
from probad.ad.rules import linalg as la
from probad.errors import UnsupportedFunctionError


@implements(np.linalg.cholesky)
def cholesky(a, /, *, upper=False):
    lower = la.cholesky(a)
    return swapaxes(lower, -1, -2) if upper else lower


@implements(np.linalg.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    """Vector 1-, 2- and infinity norms and the Frobenius norm; the subgradient at the origin is 0."""
    axes = axes_of(axis, len(x.shape))
    if ord in (1, np.inf) and len(axes) == 1:
        return (red.sum if ord == 1 else red.max)(e.absolute(x), axes, keepdims=keepdims)
    if ord is not None and not (ord == 2 and len(axes) == 1) and not (ord == "fro" and len(axes) == 2):
        raise UnsupportedFunctionError(f"np.linalg.norm on a traced value does not take ord={ord!r}.")
    # scaled by the largest element, a constant, so that squares neither overflow nor underflow
    scale = np.max(np.abs(peel(x)), axis=axes, keepdims=True, initial=0.0)
    scale = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
    total = red.sum((x / scale) * (x / scale), axes, keepdims=True)
    root = e.where(e.sqrt(e.where(total, 1.0, condition=peel(total) > 0)), 0.0, condition=peel(total) > 0) * scale
    return root if keepdims else squeeze(root, axes)
