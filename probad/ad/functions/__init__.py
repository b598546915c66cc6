"""NumPy functions that are not ufuncs, written in primitives.

The arguments carry NumPy's names. What a function does not take here it refuses by name (`probad.ad.dispatch`).
"""

from probad.ad import dispatch
from probad.ad.functions import (
    creation,
    diagonals,
    elements,
    joining,
    linalg,
    numerical,
    operands,
    plain,
    products,
    reductions,
    shapes,
)
from probad.ad.functions.elements import sort
from probad.ad.functions.operands import as_operand
from probad.ad.functions.shapes import copy, ravel, reshape, swapaxes, transpose

dispatch.fill_ufuncs()

__all__ = [
    "as_operand",
    "copy",
    "creation",
    "diagonals",
    "elements",
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
    "swapaxes",
    "transpose",
]
