"""Directional derivative, Laplacian, divergence and curl. Over many points at once with vmap."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from probad.ad.functions import as_operand
from probad.ad.jacobians import Tape, batch_width, in_batches, jacobian, unit_vectors
from probad.ad.transforms import jvp
from probad.errors import ShapeError


def directional_derivative(f: Callable, x: Any, v: Any) -> Any:
    """Rate of change of `f` at `x` along `v`, which is not normalised; one forward pass.

    Parameters
    ----------
    f : callable
        Takes and returns a number, an array or a nest of them.
    x, v : array or nest
        The point, and a direction of the same structure.

    Examples
    --------
    >>> import numpy as np
    >>> directional_derivative(lambda x: x[0] * x[1], np.array([2.0, 3.0]), np.array([1.0, -1.0]))
    np.float64(1.0)
    """
    return jvp(f, (x,), (v,))[1]


def laplacian(f: Callable) -> Callable:
    """Make a function that returns the sum of the second derivatives of `f`, one after each coordinate.

    Parameters
    ----------
    f : callable
        Takes an array, returns a number, or an array whose elements are treated alike.

    Returns
    -------
    callable
        Of the array; the result has the shape of the output of `f`.

    Notes
    -----
    Forward over forward along each axis, the axes in batches: n runs of the function and no tape.

    Examples
    --------
    >>> import numpy as np
    >>> laplacian(lambda x: np.sum(x**2))(np.zeros(3))
    np.float64(6.0)
    """

    @functools.wraps(f)
    def laplacian_of_f(x):
        x = as_operand(x)

        def second(directions):
            (v,) = directions
            return [jvp(lambda x: jvp(f, (x,), (v,))[1], (x,), (v,))[1]]

        units = functools.partial(unit_vectors, x=x)
        (curvatures,) = in_batches(second, units, [x.shape], x.size, batch_width(x.size))
        return np.sum(curvatures, axis=0)

    return laplacian_of_f


def divergence(f: Callable) -> Callable:
    """Make a function that returns the divergence of a vector field, the trace of its Jacobian.

    Parameters
    ----------
    f : callable
        Takes an array, returns one of the same shape.

    Returns
    -------
    callable
        Of the array; returns a number.

    Raises
    ------
    ShapeError
        If the field has another shape than its argument.

    Examples
    --------
    >>> import numpy as np
    >>> divergence(lambda x: x * np.array([1.0, 2.0]))(np.zeros(2))
    np.float64(3.0)
    """

    @functools.wraps(f)
    def divergence_of_f(x):
        tape = Tape(f, [x])
        (x,), (y,) = tape.inputs, _single_field("divergence", tape)
        if y.shape != x.shape:
            raise ShapeError(f"The divergence needs a field of the shape of its argument, {x.shape}; got {y.shape}.")
        units = functools.partial(unit_vectors, x=x)
        (parts,) = in_batches(lambda v: [np.sum(v[0] * tape.push(v)[0])], units, [x.shape], x.size, tape.batch_width())
        return np.sum(parts)

    return divergence_of_f


def curl(f: Callable) -> Callable:
    """Make a function that returns the curl of a vector field in three dimensions, or in two, where it is a number.

    Parameters
    ----------
    f : callable
        Takes an array of shape (3,) or (2,), returns one of the same shape.

    Returns
    -------
    callable
        Of the array; returns an array of shape (3,), or a number.

    Raises
    ------
    ShapeError
        If argument and field are not of shape (3,) or (2,).

    Examples
    --------
    >>> import numpy as np
    >>> curl(lambda x: np.stack([x[2], 2 * x[0], 3 * x[1]]))(np.ones(3))
    array([3., 1., 2.])
    >>> curl(lambda x: np.stack([-x[1], x[0]]))(np.ones(2))
    np.float64(2.0)
    """

    @functools.wraps(f)
    def curl_of_f(x):
        j = jacobian(f, mode="forward")(x)
        if getattr(j, "shape", None) == (2, 2):
            return j[1, 0] - j[0, 1]
        if getattr(j, "shape", None) != (3, 3):
            raise ShapeError(
                "The curl needs a field with as many components as its argument, 2 or 3; got a Jacobian of shape "
                f"{getattr(j, 'shape', None)}."
            )
        return np.stack([j[2, 1] - j[1, 2], j[0, 2] - j[2, 0], j[1, 0] - j[0, 1]])

    return curl_of_f


def _single_field(what: str, tape: Tape) -> list:
    if len(tape.inputs) != 1 or len(tape.outputs) != 1:
        raise ShapeError(f"The {what} needs a function from one array to one array, not nests of them.")
    return tape.outputs
