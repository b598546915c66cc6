"""Sparse matrices of derivatives: find the pattern, colour it, and take few products instead of one per column."""

from probad.ad.sparse.plans import (
    SparsePlan,
    sparse_hessian,
    sparse_hessian_plan,
    sparse_jacobian,
    sparse_jacobian_plan,
)

__all__ = ["SparsePlan", "sparse_hessian", "sparse_hessian_plan", "sparse_jacobian", "sparse_jacobian_plan"]
