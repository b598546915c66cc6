"""Derivatives of functions: grad, value_and_grad, jvp, vjp. Arguments may be nested containers."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from probad.ad.box import Box, is_foreign, peel, raw
from probad.ad.core import ForwardTrace, ReverseTrace, Trace
from probad.ad.functions import as_operand
from probad.ad.rules import like
from probad.errors import (
    ArgumentError,
    ConversionError,
    ShapeError,
    did_you_mean,
)
from probad.tree import flatten, map_leaves

# The traces in use; `probad.ad.anomaly` puts others in their place.
FORWARD: ContextVar[type] = ContextVar("forward", default=ForwardTrace)
REVERSE: ContextVar[type] = ContextVar("reverse", default=ReverseTrace)
FLOAT64, ONE = np.dtype(np.float64), np.float64(1.0)


def value_and_grad(f: Callable, argnums: int | str | Sequence[int | str] = 0, *, has_aux: bool = False) -> Callable:
    """Make a function that returns the value of `f` and its gradient, by one reverse sweep.

    Parameters
    ----------
    f : callable
        Returns a scalar, or ``(scalar, aux)`` if `has_aux`.
    argnums : int, str or sequence of them
        Which arguments to differentiate, by position or by name. Each is a number, an array or a nest of them.
    has_aux : bool
        Whether `f` returns a second value that is not differentiated.

    Returns
    -------
    callable
        ``(value, gradient)`` or ``((value, aux), gradient)``; the gradient has the structure of the argument, or is
        a tuple if `argnums` is a sequence.

    Raises
    ------
    ShapeError
        If `f` does not return a scalar.

    Examples
    --------
    >>> import numpy as np
    >>> value_and_grad(lambda x: x * np.sin(x))(0.0)
    (np.float64(0.0), np.float64(0.0))
    """
    several = not isinstance(argnums, int | str)
    numbers = tuple(argnums) if several else (argnums,)
    if any(isinstance(i, str) for i in numbers):
        return by_name(value_and_grad, f, argnums, has_aux=has_aux)
    n_needed = max((i + 1 if i >= 0 else -i for i in numbers), default=0)

    @functools.wraps(f)
    def value_and_grad_of_f(*args, **kwargs):
        if len(args) < n_needed:
            _check_argnums(f, numbers, args)
        with REVERSE.get()() as trace:
            new_args = list(args)
            if several:
                plain, boxed, rebuild = _on_tape(trace, [args[i] for i in numbers])
                for i, arg in zip(numbers, boxed, strict=True):
                    new_args[i] = arg
            else:
                plain, new_args[argnums], rebuild = _on_tape(trace, args[argnums])
            out = f(*new_args, **kwargs)
            if has_aux:
                out, aux = out
            value, node = _output(out, trace)
            if value.shape != ():
                raise ShapeError(
                    f"grad needs a function that returns a scalar; got an output of shape {value.shape} from "
                    f"{_name(f)}. Sum it, or use vjp or jvp."
                )
            one = ONE if type(value) is np.float64 or not is_foreign(raw(value)) else like.ones(value, ())
            grads = trace.sweep([(node, one)] if node is not None else [], len(plain))
            gradient = rebuild(list(map(_finish, grads, plain)))
            trace.held = None
            if has_aux:
                value = (value, _unboxed(aux, trace))
        return value, (tuple(gradient) if several else gradient)

    return value_and_grad_of_f


def grad(f: Callable, argnums: int | str | Sequence[int | str] = 0, *, has_aux: bool = False) -> Callable:
    """Make a function that returns the gradient of `f`, or ``(gradient, aux)``; see `value_and_grad`.

    Examples
    --------
    >>> grad(lambda x: x**3)(2.0)
    np.float64(12.0)
    >>> grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0)  # no perturbation confusion
    np.float64(1.0)
    """
    both = value_and_grad(f, argnums, has_aux=has_aux)

    @functools.wraps(f)
    def grad_of_f(*args, **kwargs):
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return grad_of_f


def jvp(f: Callable, primals: Sequence, tangents: Sequence) -> tuple[Any, Any]:
    """Value of `f` at `primals` and its directional derivative along `tangents`, by forward mode.

    Parameters
    ----------
    f : callable
        Takes ``len(primals)`` arguments; returns a number, an array or a nest of them.
    primals, tangents : sequence
        Arguments, and directions of the same structure and shapes.

    Returns
    -------
    y, dy
        Value and directional derivative, of the same structure.

    Examples
    --------
    >>> jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    (np.float64(6.0), np.float64(3.0))
    """
    _check_sequence("jvp", primals)
    _check_sequence("jvp", tangents)
    leaves, rebuild = flatten(list(primals))
    directions, _ = flatten(list(tangents))
    if len(leaves) != len(directions):
        raise ArgumentError(f"jvp got {len(leaves)} primal arrays and {len(directions)} tangents; they must match.")
    with FORWARD.get()() as trace:
        plain = [_input(leaf) for leaf in leaves]
        boxes = [
            Box(x, trace, _match(t, x, "tangent", i)) for i, (x, t) in enumerate(zip(plain, directions, strict=True))
        ]
        out_leaves, out_rebuild = flatten(f(*rebuild(boxes)))
        pairs = [_output(leaf, trace) for leaf in out_leaves]
        dy = [_finish(t, y) for y, t in pairs]
    return out_rebuild([_own(y) for y, _ in pairs]), out_rebuild(dy)


def vjp(f: Callable, *primals) -> tuple[Any, Callable]:
    """Value of `f` and a function that pulls cotangents of the output back to the arguments, by reverse mode.

    Returns
    -------
    y
        ``f(*primals)``.
    pullback : callable
        ``pullback(g)`` gives a tuple with one cotangent per argument; it may be called many times.

    Examples
    --------
    >>> y, pullback = vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> pullback(1.0)
    (np.float64(3.0), np.float64(2.0))
    """
    leaves, rebuild = flatten(list(primals))
    with REVERSE.get()() as trace:
        plain = [_input(leaf) for leaf in leaves]
        out_leaves, out_rebuild = flatten(f(*rebuild([trace.input(x) for x in plain])))
        pairs = [_output(leaf, trace) for leaf in out_leaves]
    y = out_rebuild([_own(value) for value, _ in pairs])

    def pullback(g):
        """Cotangents of the arguments, given those of the output."""
        cotangents, _ = flatten(g)
        if len(cotangents) != len(pairs):
            raise ArgumentError(f"The pullback got {len(cotangents)} cotangents for {len(pairs)} outputs.")
        seeds = [
            (node, _match(c, value, "cotangent", i))
            for i, (c, (value, node)) in enumerate(zip(cotangents, pairs, strict=True))
            if node is not None
        ]
        return tuple(rebuild([_finish(c, x) for c, x in zip(trace.sweep(seeds, len(plain)), plain, strict=True)]))

    return y, pullback


def stop_gradient(x: Any) -> Any:
    """The value of `x` (or of every leaf of a nest) as a constant: derivatives do not pass through it.

    Examples
    --------
    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    return map_leaves(lambda leaf: _own(peel(leaf)), x)


# --- the way in and the way out -------------------------------------------------------------------------------------
def _on_tape(trace: ReverseTrace, arg):
    """The leaves of an argument, the argument with boxes in their place, and the way back from leaves to a nest."""
    if type(arg) is np.ndarray:  # the common case
        x = _input(arg)
        return (x,), trace.input(x), _FIRST
    leaves, rebuild = flatten(arg)
    plain = list(map(_input, leaves))
    return plain, rebuild(list(map(trace.input, plain))), rebuild


_FIRST = operator.itemgetter(0)


def _unboxed(aux, trace: Trace):
    """The second output of a function, with values in the place of the trace's boxes."""
    return map_leaves(lambda leaf: _output(leaf, trace)[0] if _mine(leaf, trace) else leaf, aux)


def _input(x):
    """An argument as float64, traced by outer levels or not."""
    if type(x) is Box:
        if x.view is not None:
            x.view.refresh(x)
        if x.dtype.kind != "f":  # integers in a batch
            return x.astype(float)
        return Box(x.value, x.owner, x.node)
    if type(x) is np.ndarray and x.dtype is FLOAT64 and x.ndim:  # the common case
        return x.copy("K")
    array = x if is_foreign(x) else np.asarray(x)
    if array.dtype == np.float64:
        return array.copy() if is_foreign(x) else array.copy(order="K")[()]
    if array.dtype.kind == "O":
        return as_operand(array)
    if array.dtype.kind not in "fiub":
        raise ConversionError(
            f"Only real numbers can be differentiated; got {type(x).__name__} of type {array.dtype}. Pass other "
            "arguments by keyword or in a closure, or choose argnums."
        )
    return array.astype(float) if is_foreign(x) else np.array(array, dtype=float)[()]


def _mine(x, trace: Trace) -> bool:
    return type(x) is Box and x.owner is trace


def _output(out, trace: Trace):
    """Split an output into its value and what the trace knows of it."""
    if type(out) is Box and out.view is None and out.owner is trace:  # the common case
        return out.value, out.node
    if type(out) is not Box:
        out = as_operand(out)
    if type(out) is Box and out.view is not None:
        out.view.refresh(out)
    if _mine(out, trace):
        return out.value, out.node
    return (np.float64(out) if isinstance(out, int | float | np.generic) else out), None


def _match(t, x, what: str, position: int):
    """A tangent or cotangent as float64 of the shape of `x`."""
    t = as_operand(t)
    if not (type(t) is Box or is_foreign(t)):
        t = np.asarray(t, dtype=float)[()]
    if t.shape != x.shape:
        raise ShapeError(f"The {what} at position {position} has shape {t.shape}; its primal has {x.shape}.")
    return t


def _finish(g, x):
    """A gradient the caller may keep and write to."""
    if type(g) is np.ndarray:  # the common case
        return g.copy()
    if g is None:
        return like.zeros(x, x.shape) if is_foreign(raw(x)) else np.zeros(x.shape)[()]
    return _own(g)


def _own(g):
    return g.copy() if isinstance(g, np.ndarray) or is_foreign(g) else g


def _check_argnums(f, numbers, args) -> None:
    for i in numbers:
        if not -len(args) <= i < len(args):
            raise ArgumentError(
                f"argnums={i} names no argument: {_name(f)} was called with {len(args)} positional arguments."
            )


def by_name(transform: Callable, f: Callable, argnums, **options) -> Callable:
    """Apply a transform to arguments that are chosen by name, whether they are passed by position or by keyword."""
    several = not isinstance(argnums, int | str)

    @functools.wraps(f)
    def transformed(*args, **kwargs):
        keys = [_place(f, k, args, kwargs) for k in (argnums if several else (argnums,))]

        def chosen(*new):
            new_args, new_kwargs = list(args), dict(kwargs)
            for k, arg in zip(keys, new, strict=True):
                if isinstance(k, str):
                    new_kwargs[k] = arg
                else:
                    new_args[k] = arg
            return f(*new_args, **new_kwargs)

        given = [kwargs[k] if isinstance(k, str) else args[k] for k in keys]
        return transform(chosen, tuple(range(len(keys))) if several else 0, **options)(*given)

    return transformed


def _place(f, k: int | str, args, kwargs) -> int | str:
    """Where an argument was passed: its position or its keyword."""
    if not isinstance(k, str):
        _check_argnums(f, (k,), args)
        return k
    if k in kwargs:
        return k
    names = list(inspect.signature(f).parameters)
    if k in names and names.index(k) < len(args):
        return names.index(k)
    raise ArgumentError(f"argnums={k!r} names no argument that was passed to {_name(f)}.{did_you_mean(k, names)}")


def _check_sequence(what: str, x) -> None:
    if not isinstance(x, tuple | list):
        raise ArgumentError(f"{what} takes its primals and tangents as tuples, one entry per argument; got {type(x)}.")


def _name(f) -> str:
    return getattr(f, "__name__", repr(f))
