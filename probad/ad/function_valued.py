"""Derivatives of functions that return functions: the derivative is the function whose value is the derivative.

With f(x) a function of y, (D f)(x) is the function that takes y to the derivative of f(x)(y) with respect to x. Each
call of it is a differentiation of its own, begun and ended with that call. So nothing traced is carried out in a
closure, and uses of the returned function inside other derivatives are not confused with the one that made it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from probad.ad.transforms import grad, jvp
from probad.tree import flatten


def curried_jvp(f: Callable, primals: Sequence, tangents: Sequence) -> tuple[Any, Any]:
    """Value of `f` and its directional derivative, where `f` may return functions, in a nest or of functions in turn.

    Parameters
    ----------
    f : callable
        Returns a number, an array, a function, or a nest of them.
    primals, tangents : sequence
        Arguments and directions, see `jvp`.

    Returns
    -------
    y, dy
        Of the structure of the value. Where `y` has a function, `dy` has a function of the same arguments.

    Notes
    -----
    Each call of a function in `dy` calls `f` again.
    Source: Manzyuk, Pearlmutter, Radul, Rush and Siskind, Journal of Functional Programming 29 (2019) e12; Sussman and
    Wisdom, Structure and Interpretation of Classical Mechanics (2015).

    Examples
    --------
    >>> multiples = lambda x: lambda y: x * x * y
    >>> y, dy = curried_jvp(multiples, (3.0,), (1.0,))
    >>> y(2.0), dy(2.0)
    (18.0, np.float64(12.0))
    """
    leaves, rebuild = flatten(f(*primals))
    if not any(map(callable, leaves)):
        return jvp(f, primals, tangents)
    pairs = [curried_jvp(_leaf(f, k), primals, tangents) if not callable(leaf) else
             (leaf, _derivative_of_leaf(f, k, leaf, primals, tangents)) for k, leaf in enumerate(leaves)]  # fmt: skip
    return rebuild([y for y, _ in pairs]), rebuild([dy for _, dy in pairs])


def curried_grad(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """Gradient of `f` with respect to its own arguments, where it returns a scalar only after further calls.

    Parameters
    ----------
    f : callable
        Returns a scalar, or a function (of a function ...) that does.
    argnums : int or sequence of int
        Which arguments of `f` to differentiate.

    Returns
    -------
    callable
        Takes what `f` takes; where `f` returns a function, it returns a function of the same arguments.

    Examples
    --------
    >>> curried_grad(lambda x: lambda y: lambda z: x**2 * y + z)(3.0)(5.0)(1.0)
    np.float64(30.0)
    """

    @functools.wraps(f)
    def grad_of_f(*args, **kwargs):
        value = f(*args, **kwargs)
        if not callable(value):
            return grad(f, argnums)(*args, **kwargs)

        @functools.wraps(value)
        def grad_of_value(*inner, **inner_kwargs):
            applied = lambda *a, **k: f(*a, **k)(*inner, **inner_kwargs)
            return curried_grad(applied, argnums)(*args, **kwargs)

        return grad_of_value

    return grad_of_f


def _leaf(f: Callable, k: int) -> Callable:
    return lambda *primals: flatten(f(*primals))[0][k]


def _derivative_of_leaf(f: Callable, k: int, leaf: Callable, primals, tangents) -> Callable:
    """The derivative of the function that is part `k` of the value of `f`."""

    @functools.wraps(leaf)
    def derivative(*args, **kwargs):
        return curried_jvp(lambda *p: _leaf(f, k)(*p)(*args, **kwargs), primals, tangents)[1]

    return derivative
