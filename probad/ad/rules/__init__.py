"""The rules: one row per elementary operation."""

from probad.ad.rules import (
    convolution,
    dynamic,
    elementwise,
    incomplete,
    indexing,
    linalg,
    matrices,
    reductions,
    shapes,
    special,
)

__all__ = [
    "convolution",
    "dynamic",
    "elementwise",
    "incomplete",
    "indexing",
    "linalg",
    "matrices",
    "reductions",
    "shapes",
    "special",
]
