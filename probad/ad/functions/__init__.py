"""NumPy functions that are not ufuncs, written in primitives.

The arguments carry NumPy's names. What a function does not take here it refuses by name (`probad.ad.dispatch`).
"""

from probad.ad import dispatch
from probad.ad.functions import (
    assignment,
    creation,
    diagonals,
    elements,
    fourier,
    joining,
    linalg,
    numerical,
    operands,
    plain,
    products,
    reductions,
    shapes,
    statistics,
    ufuncs,
)
from probad.ad.functions.elements import sort
from probad.ad.functions.operands import as_operand
from probad.ad.functions.shapes import copy, ravel, reshape, swapaxes, transpose

dispatch.fill_ufuncs()

__all__ = [
    "as_operand",
    "assignment",
    "copy",
    "creation",
    "diagonals",
    "elements",
    "fourier",
    "joining",
    "linalg",
    "numerical",
    "operands",
    "plain",
    "products",
    "ravel",
    "reductions",
    "reshape",
    "shapes",
    "sort",
    "statistics",
    "swapaxes",
    "transpose",
    "ufuncs",
]
