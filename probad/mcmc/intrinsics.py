"""The few operations of the sampler kernels that a compiler replaces by machine instructions.

The kernels in this folder are restricted Python: plain functions over float64 and int64 arrays and scalars, with
``while``, ``for range``, ``if``, arithmetic, loads and stores, `math` functions and calls of each other. Run as they
are by Python they mean the same as compiled. Here is what would not: the call of a log density, which in machine code
is a call of an address, and 64-bit unsigned arithmetic, which in machine code wraps around by itself.
"""

import numpy as np

MASK = 0xFFFFFFFFFFFFFFFF


def evaluate(address, ctx, rows, position, gradient, scalars, logp) -> int:
    """Evaluate a log density at a row of `rows`.

    Parameters
    ----------
    address, ctx
        In machine code two integers. In Python `address` is a `PythonDensity` made for the same arrays.
    rows : (n_rows, dim) array
    position, gradient : int
        Row that is read, row that is written.
    scalars : (n_scalars,) array
    logp : int
        Place in `scalars` that is written.

    Returns
    -------
    int
        0 if log density and gradient are finite, 1 if not, 2 if the density failed.
    """
    return address(position, gradient, logp)


class PythonDensity:
    """What stands in for the address of a log density when the kernels run in Python.

    Parameters
    ----------
    evaluate : callable
        As `LogDensity.evaluate`.
    rows, scalars : ndarray
        The arrays that the kernel works on.
    """

    def __init__(self, evaluate, rows: np.ndarray, scalars: np.ndarray):
        self.evaluate = evaluate
        self.rows = list(rows)
        self.places = [scalars[i : i + 1] for i in range(len(scalars))]

    def __call__(self, position: int, gradient: int, logp: int) -> int:
        """Evaluate at a row, into a row and a place."""
        return self.evaluate(0, self.rows[position], self.places[logp], self.rows[gradient])


def wrap(x: int) -> int:
    """`x` modulo 2^64."""
    return x & MASK


def shift_right(x: int, n: int) -> int:
    """Logical shift: zeros come in from the left."""
    return x >> n


def load(state, i: int) -> int:
    """Element `i` of an array of unsigned integers, as an integer that does not overflow."""
    return int(state[i])
