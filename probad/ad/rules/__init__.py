"""The rules: one row per elementary operation."""

from probad.ad.rules import elementwise, indexing, linalg, reductions, shapes, special

__all__ = ["elementwise", "indexing", "linalg", "reductions", "shapes", "special"]
