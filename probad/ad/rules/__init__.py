"""The rules: one row per elementary operation."""

from probad.ad.rules import (
    bessel,
    convolution,
    dynamic,
    elementwise,
    hypergeometric,
    incomplete,
    indexing,
    linalg,
    matrices,
    probability,
    reductions,
    shapes,
    special,
)

__all__ = [
    "bessel",
    "convolution",
    "dynamic",
    "elementwise",
    "hypergeometric",
    "incomplete",
    "indexing",
    "linalg",
    "matrices",
    "probability",
    "reductions",
    "shapes",
    "special",
]
