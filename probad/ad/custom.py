"""custom_derivative: give a function a derivative of its own, by hand, for forward mode, reverse mode or both."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from probad.ad.closures import carried
from probad.ad.composite import Call, Place, call_as_one, name_of, once_per_sweep
from probad.ad.functions import as_operand
from probad.ad.rules import like
from probad.ad.transforms import vjp
from probad.errors import ArgumentError, ConversionError, ShapeError
from probad.tree import flatten, map_leaves


def custom_derivative(
    f: Callable | None = None, *, jvp_fn: Callable | None = None, vjp_fn: Callable | None = None
) -> Callable:
    """Make a function whose derivative is what you say it is. May be used as a decorator.

    Parameters
    ----------
    f : callable
        Takes and returns numbers, arrays or nests of them. Positional arguments are differentiated, keywords are not.
        It sees plain arrays, so it may do what cannot be traced: call compiled code, or `scipy.optimize`.
    jvp_fn : callable, optional
        ``jvp_fn(y, args, tangents)`` gives the tangent of the output ``y = f(*args)``, of the structure of `y`.
        `tangents` is a tuple like `args`, zero where an argument is constant.
    vjp_fn : callable, optional
        ``vjp_fn(y, args, g)`` gives a tuple with the cotangent of each argument from the output's cotangent `g`; None
        stands for zero.

    Returns
    -------
    callable
        The same function for all modes and nestings. One rule is enough: the other mode is its transpose, obtained by
        differentiating the rule with respect to `tangents` or `g`, in which it must be linear. Derivatives of higher
        order differentiate the rules, so these are written with NumPy functions. Keywords of a call are passed on to
        the rules.

    Raises
    ------
    ArgumentError
        If there is no rule, or a rule returns the wrong structure.
    ConversionError
        If `f` or a rule uses a traced value from its closure: its derivative is not known. Pass it as an argument.

    Examples
    --------
    A good approximation has a useless derivative; the derivative is better approximated by itself.

    >>> import numpy as np
    >>> from probad.ad import grad
    >>> @custom_derivative(jvp_fn=lambda y, args, tangents: y * tangents[0])
    ... def rough_exp(x):
    ...     return np.exp(np.round(x, 2))
    >>> grad(rough_exp)(1.0)
    np.float64(2.718281828459045)
    """
    if jvp_fn is None and vjp_fn is None:
        raise ArgumentError("custom_derivative needs a rule: jvp_fn(y, args, tangents) or vjp_fn(y, args, g).")
    if f is None:
        return lambda f: custom_derivative(f, jvp_fn=jvp_fn, vjp_fn=vjp_fn)
    name = name_of(f)

    @functools.wraps(f)
    def with_derivative(*args, **kwargs):
        if carried((f, jvp_fn, vjp_fn, kwargs)):
            raise ConversionError(
                f"{name} has a custom derivative, which says nothing about the traced values in its closure or among "
                "its keywords. Pass them as positional arguments."
            )
        return call_as_one(f, _as_arrays(args), kwargs, lambda call: _rules(call, name, jvp_fn, vjp_fn))

    return with_derivative


def _as_arrays(args):
    """Arguments with every real number as an array, so that each has a tangent."""
    return map_leaves(lambda x: np.asarray(x) if isinstance(x, float | int) else x, args)


def _rules(call: Call, name: str, jvp_fn, vjp_fn):
    """The rules push and pull; the one that was not given transposes the other."""
    active = call.active

    def nested(arrays):
        return call.arguments(arrays)[1]

    def forward(y, values, tangents):
        _, args, kwargs = call.arguments(values)
        filled = [like.zeros(v, np.shape(v)) if t is None else t for t, v in zip(tangents, values, strict=True)]
        dy = call.pack(jvp_fn(call.unpack(y), args, nested(filled), **kwargs))
        if dy.shape != y.shape:
            raise ShapeError(f"jvp_fn of {name} gave a tangent of shape {dy.shape} for an output of shape {y.shape}.")
        return dy

    def backward(y, values, g):
        _, args, kwargs = call.arguments(values)
        parts = vjp_fn(call.unpack(y), args, call.unpack(g), **kwargs)
        return _cotangents(name, nested([Place(k) for k in range(len(values))]), parts, args, values)

    def transposed_forward(y, values, g):
        def line(*tangents):
            return forward(y, values, _spread(tangents, active, len(values)))

        _, pullback = vjp(line, *[like.zeros(values[k], values[k].shape) for k in active])
        return dict(zip(active, pullback(g), strict=True))

    def transposed_backward(y, values, tangents):
        def line(g):
            parts = backward(y, values, g)
            return [parts[k] for k in active]

        _, pullback = vjp(line, like.zeros(y, y.shape))
        zeros = [like.zeros(values[k], values[k].shape) for k in active]
        return pullback([z if tangents[k] is None else tangents[k] for k, z in zip(active, zeros, strict=True)])[0]

    along = forward if jvp_fn is not None else transposed_backward
    back = backward if vjp_fn is not None else transposed_forward

    def push(tangents, y, values, params):
        return along(y, values, tangents)

    def pull_all(g, y, values):
        parts = back(y, values, g)
        return {k: parts[k] for k in active}

    return push, once_per_sweep(pull_all)


def _spread(parts, positions, n: int) -> list:
    out: list = [None] * n
    for k, part in zip(positions, parts, strict=True):
        out[k] = part
    return out


def _cotangents(name: str, places, parts, args, values) -> dict:
    """The answers of a `vjp_fn` by the position of the array they belong to, checked."""
    if not isinstance(parts, tuple) or len(parts) != len(args):
        raise ArgumentError(
            f"vjp_fn of {name} must return a tuple with one cotangent for each of the {len(args)} positional "
            f"arguments; got {type(parts).__name__}"
            + (f" of length {len(parts)}." if isinstance(parts, tuple) else ".")
        )
    out = {k: like.zeros(v, np.shape(v)) for k, v in enumerate(values)}
    for i, (nest, part) in enumerate(zip(places, parts, strict=True)):
        if part is None:
            continue
        positions, pieces = flatten(nest)[0], [as_operand(p) for p in flatten(part)[0]]
        if len(positions) != len(pieces):
            raise ArgumentError(
                f"vjp_fn of {name}: the cotangent of argument {i} has not the structure of the argument."
            )
        for place, piece in zip(positions, pieces, strict=True):
            if type(place) is not Place:  # not a number: it has no cotangent
                continue
            k = place.position
            if piece.shape != np.shape(values[k]):
                raise ShapeError(
                    f"vjp_fn of {name}: the cotangent of argument {i} has shape {piece.shape}, the argument "
                    f"{np.shape(values[k])}."
                )
            out[k] = out[k] + piece
    return out
