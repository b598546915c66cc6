"""The few operations of the sampler kernels that a compiler replaces by machine instructions.

The kernels in this folder are restricted Python: plain functions over flat float64 and int64 arrays and scalars, with
``while``, ``for range``, ``if``, arithmetic, loads and stores, `math` functions and calls of each other. Run as they
are by Python they mean the same as compiled. Here is what would not: the call of a log density, which in machine code
is a call of an address, and 64-bit unsigned arithmetic, which in machine code wraps around by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from probad.codegen.kernel import intrinsic

MASK = 0xFFFFFFFFFFFFFFFF


@intrinsic(
    "opaque", "opaque", "floats", "int", "int", "floats", "int", "int",
    returns="int",
    body="""
      %density = inttoptr i64 %0 to ptr
      %context = inttoptr i64 %1 to ptr
      %read = mul i64 %3, %7
      %written = mul i64 %4, %7
      %position = getelementptr inbounds double, ptr %2, i64 %read
      %gradient = getelementptr inbounds double, ptr %2, i64 %written
      %logp = getelementptr inbounds double, ptr %5, i64 %6
      %status = call i32 %density(ptr %context, ptr %position, ptr %logp, ptr %gradient)
      %wide = sext i32 %status to i64
      ret i64 %wide
    """,
)  # fmt: skip
def evaluate(address, ctx, rows, position, gradient, scalars, logp, dim) -> int:
    """Evaluate a log density at a row of `rows`.

    In machine code: a call of `address` with `ctx` and the addresses of ``rows[position * dim]``, ``scalars[logp]`` and
    ``rows[gradient * dim]``.

    Parameters
    ----------
    address, ctx
        In machine code two integers. In Python `address` is a `PythonDensity`.
    rows : (n_rows * dim,) array
    position, gradient : int
        Row that is read, row that is written.
    scalars : (n_scalars,) array
    logp : int
        Place in `scalars` that is written.
    dim : int

    Returns
    -------
    int
        0 if log density and gradient are finite, 1 if not, 2 if the density failed.
    """
    return address(ctx, rows, position, gradient, scalars, logp, dim)


FIELD, CONTRACTION = 0, 1  # the two functions of a `probad.mcmc.geometry.Geometry`


@intrinsic(
    "opaque", "opaque", "int", "floats", "int", "int", "int",
    returns="int",
    body="""
      %function = inttoptr i64 %0 to ptr
      %tables = inttoptr i64 %1 to ptr
      %slot = getelementptr inbounds i64, ptr %tables, i64 %2
      %table = load ptr, ptr %slot
      %read = mul i64 %4, %6
      %written = mul i64 %5, %6
      %place = getelementptr inbounds double, ptr %3, i64 %read
      %result = getelementptr inbounds double, ptr %3, i64 %written
      %status = call i32 %function(ptr %table, ptr %place, ptr null, ptr %result)
      %wide = sext i32 %status to i64
      ret i64 %wide
    """,
)  # fmt: skip
def evaluate_geometry(address, ctx, which, rows, place, result, dim) -> int:
    """Evaluate a function of a geometry on rows of `rows`.

    FIELD reads the position at row `place`, and writes gradient, matrix and log density from row `result` on.
    CONTRACTION reads the position and behind it the rows of the weights, and writes one row.

    Parameters
    ----------
    address, ctx
        In machine code two integers. In Python `address` is a `probad.mcmc.geometry.PythonGeometry`.
    which : int
        FIELD or CONTRACTION.
    rows : (n_rows * dim,) array
    place, result : int
        First row that is read, first row that is written.
    dim : int

    Returns
    -------
    int
        0 if all results are finite, 1 if not, 2 if the function failed.
    """
    return address(ctx, which, rows, place, result, dim)


class PythonDensity:
    """What stands in for the address of a log density when the kernels run in Python.

    Kernels run in Python on lists, densities take arrays: this copies between them.

    Parameters
    ----------
    evaluate : callable
        As `LogDensity.evaluate`.
    dim : int
    """

    def __init__(self, evaluate: Callable[..., int], dim: int):
        self.evaluate, self.dim = evaluate, dim
        self.position = np.empty(dim)
        self.gradient = np.empty(dim)
        self.logp = np.empty(1)

    def __call__(self, ctx, rows, position, gradient, scalars, logp, dim) -> int:
        """As `evaluate`."""
        self.position[:] = rows[position * dim : (position + 1) * dim]
        status = self.evaluate(ctx, self.position, self.logp, self.gradient)
        if status == 0:
            scalars[logp] = self.logp.item()
            rows[gradient * dim : (gradient + 1) * dim] = self.gradient.tolist()
        return status


@intrinsic("unwrapped", returns="word", body="  ret i64 %0")
def wrap(x: int) -> int:
    """`x` modulo 2^64. In machine code: nothing."""
    return x & MASK


@intrinsic(
    "word",
    "int",
    returns="word",
    body="""
      %fits = icmp ult i64 %1, 64
      %places = select i1 %fits, i64 %1, i64 0
      %shifted = lshr i64 %0, %places
      %result = select i1 %fits, i64 %shifted, i64 0
      ret i64 %result
    """,
)
def shift_right(x: int, n: int) -> int:
    """Logical shift: zeros come in from the left. In machine code: ``lshr``."""
    return x >> n


@intrinsic(
    "word",
    "int",
    returns="word",
    body="""
      %result = call i64 @llvm.fshl.i64(i64 %0, i64 %0, i64 %1)
      ret i64 %result
    """,
    declares=("declare i64 @llvm.fshl.i64(i64, i64, i64)",),
)
def rotate_left(x: int, n: int) -> int:
    """Rotate 64 bits. In machine code: ``fshl``."""
    return ((x << n) | (x >> (64 - n))) & MASK
