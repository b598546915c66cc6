"""The rules: one row per elementary operation."""

from probad.ad.rules import dynamic, elementwise, indexing, linalg, matrices, reductions, shapes, special

__all__ = ["dynamic", "elementwise", "indexing", "linalg", "matrices", "reductions", "shapes", "special"]
