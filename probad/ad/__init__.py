"""Automatic differentiation of plain NumPy code: forward and reverse mode, nested to any depth."""

from probad.ad import array as _array  # gives boxes their NumPy behaviour  # noqa: F401
from probad.ad.anomaly import anomaly_mode
from probad.ad.batch import vmap
from probad.ad.box import Box, is_traced, peel
from probad.ad.checkpoint import checkpoint, checkpointed_loop
from probad.ad.checks import check_grads
from probad.ad.core import PRIMITIVES, Primitive
from probad.ad.custom import custom_derivative
from probad.ad.derivative import derivative
from probad.ad.enclosures import Interval
from probad.ad.function_valued import curried_grad, curried_jvp
from probad.ad.implicit import fixed_point, root
from probad.ad.interval import interval
from probad.ad.jacobians import hessian, hvp, jacobian, linearize
from probad.ad.least_squares import ResidualBlock, least_squares
from probad.ad.sparse import (
    SparsePlan,
    sparse_hessian,
    sparse_hessian_plan,
    sparse_jacobian,
    sparse_jacobian_plan,
)
from probad.ad.taylor import taylor
from probad.ad.trace_table import graph, trace_table
from probad.ad.transforms import grad, jvp, stop_gradient, value_and_grad, vjp
from probad.ad.vector_calculus import curl, directional_derivative, divergence, laplacian

__all__ = [
    "PRIMITIVES",
    "Box",
    "Interval",
    "Primitive",
    "ResidualBlock",
    "SparsePlan",
    "anomaly_mode",
    "check_grads",
    "checkpoint",
    "checkpointed_loop",
    "curl",
    "curried_grad",
    "curried_jvp",
    "custom_derivative",
    "derivative",
    "directional_derivative",
    "divergence",
    "fixed_point",
    "grad",
    "graph",
    "hessian",
    "hvp",
    "interval",
    "is_traced",
    "jacobian",
    "jvp",
    "laplacian",
    "least_squares",
    "linearize",
    "peel",
    "root",
    "sparse_hessian",
    "sparse_hessian_plan",
    "sparse_jacobian",
    "sparse_jacobian_plan",
    "stop_gradient",
    "taylor",
    "trace_table",
    "value_and_grad",
    "vjp",
    "vmap",
]
