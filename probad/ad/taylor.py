"""taylor: the power series of a function along a line, to any order, by a trace whose boxes carry coefficients.

A value x(t) = x_0 + x_1 t + ... + x_K t^K is a box whose content is x_0 and whose node is the list of x_1 to x_K.
Operations with a known recurrence, O(K^2), have a rule in `SERIES`. For any other the series follows from its rule of
forward mode, a differential equation: y' = push(x', y, x), solved coefficient by coefficient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from probad.ad.box import Box, holds, peel
from probad.ad.core import PRIMITIVES, Primitive, Trace
from probad.ad.rules import elementwise as e
from probad.ad.rules import like, shapes
from probad.ad.transforms import _input, _match, _output
from probad.errors import ArgumentError
from probad.scipy_special import special
from probad.tree import flatten

# By name of the primitive: rule(primitive, order, series of the arguments, params, y) gives the coefficients of y from
# 1 on, or None if it cannot. A series is a list of coefficients; zeros are None.
SERIES: dict[str, Callable] = {}


def taylor(f: Callable, x: Any, direction: Any, order: int) -> Any:
    """Coefficients c_0 to c_order of ``f(x + t direction) = c_0 + c_1 t + c_2 t^2 + ...``.

    Parameters
    ----------
    f : callable
        Function of one number, array or nest of them, with an output of the same kind.
    x, direction : number, array or nest of them
        The point, and a direction of the same structure and shapes.
    order : int
        The highest power.

    Returns
    -------
    array or nest of arrays
        For each output its coefficients along a new first axis; the k-th derivative is k! times the k-th.

    Raises
    ------
    ArgumentError
        If `order` is negative, or the structures differ.

    Notes
    -----
    The cost grows with the square of the order, not exponentially as that of nested first derivatives does.
    Source: Griewank and Walther, Evaluating Derivatives (2008), chapter 13.

    Examples
    --------
    >>> import numpy as np
    >>> print(taylor(lambda x: np.exp(x) / (1 - x), 0.0, 1.0, 4).round(6))
    [1. 2. 2.5 2.666667 2.708333]
    """
    if order < 0:
        raise ArgumentError(f"taylor needs order >= 0; got {order}.")
    leaves, rebuild = flatten(x)
    directions, _ = flatten(direction)
    if len(leaves) != len(directions):
        raise ArgumentError(f"taylor got {len(leaves)} arrays and {len(directions)} directions; they must match.")
    with TaylorTrace(order) as trace:
        plain = [_input(leaf) for leaf in leaves]
        nodes = [[_match(d, v, "direction", i)] for i, (d, v) in enumerate(zip(directions, plain, strict=True))]
        boxes = [Box(v, trace, (n + [None] * order)[:order]) for v, n in zip(plain, nodes, strict=True)]
        out_leaves, out_rebuild = flatten(f(rebuild(boxes)))
        pairs = [_output(leaf, trace) for leaf in out_leaves]
        series = [shapes.stack(*_filled([y, *(node or [None] * order)], y), axis=0) for y, node in pairs]
    return out_rebuild(series)


class TaylorTrace(Trace):
    """Taylor mode: each box carries its coefficients of the powers 1 to `order`."""

    __slots__ = ("order",)

    def __init__(self, order: int):
        super().__init__()
        self.order = order

    def record(self, primitive: Primitive, nodes, values, params, y):
        """The coefficients of the output."""
        order = self.order
        if order == 0:
            return []
        series = [[v, *(n if n is not None else [None] * order)] for v, n in zip(values, nodes, strict=True)]
        with np.errstate(all="ignore"):
            rule = SERIES.get(primitive.name)
            found = rule(primitive, order, series, params, y) if rule is not None else None
            if found is None:
                found = _by_equation(primitive, order, series, params, y)
        return [c if c is None or c.shape == y.shape else shapes.broadcast_to(c, shape=y.shape) for c in found]


# --- any primitive --------------------------------------------------------------------------------------------------
def _by_equation(primitive, order: int, series, params, y) -> list:
    """Integrate y' = push(x', y, x). If push does not look at y, one evaluation gives all coefficients."""
    try:
        rate = _rate(primitive, order - 1, series, params, _Unknown(y.shape))
        return [None if r is None else r / k for k, r in enumerate(rate, start=1)]
    except TypeError:
        out: list = []
        for k in range(1, order + 1):
            with TaylorTrace(k - 1) as trace:
                rate = _rate(primitive, k - 1, series, params, Box(y, trace, list(out)), trace)
            out.append(None if rate[-1] is None else rate[-1] / k)
        return out


def _rate(primitive, order: int, series, params, y, trace=None) -> list:
    """Coefficients 0 to `order` of push(x', y, x)."""
    with trace or TaylorTrace(order) as trace:
        constant = [all(c is None for c in s[1:]) for s in series]
        values = [s[0] if c else Box(s[0], trace, s[1 : order + 1]) for s, c in zip(series, constant, strict=True)]
        tangents = [None if c else _derivative(s, order, trace) for s, c in zip(series, constant, strict=True)]
        if all(constant):
            return [None] * (order + 1)
        value, node = _output(primitive.push(tangents, y, values, params), trace)
        return [value, *(node if node is not None else [None] * order)]


def _derivative(s: list, order: int, trace) -> Box:
    """The series of x'."""
    first, *rest = [None if c is None else j * c for j, c in enumerate(s[1 : order + 2], start=1)]
    return Box(like.zeros(s[0], s[0].shape) if first is None else first, trace, rest)


class _Unknown:
    """An output that is not known yet: it has a shape, and any use of its value is a TypeError."""

    __slots__ = ("shape",)
    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, shape: tuple):
        self.shape = shape

    def __getattr__(self, name):
        raise TypeError("the value is not known yet")

    def __eq__(self, other):
        raise TypeError("the value is not known yet")


# --- arithmetic of series -------------------------------------------------------------------------------------------
def series_of(*names: str) -> Callable:
    """Register a rule for the primitives of these names."""

    def register(rule):
        for name in names:
            SERIES[name] = rule
        return rule

    return register


def _add(a, b):
    return b if a is None else a if b is None else a + b


def _minus(a):
    return None if a is None else -a


def _filled(series: list, y) -> list:
    return [like.zeros(y, y.shape) if c is None else c for c in series]


def _product(a: list, b: list, k: int, first: int = 0, last: int | None = None, times=e.multiply):
    """Coefficient k of a product: the sum of a_j b_(k-j), for j from `first` to `last`."""
    total = None
    for j in range(first, (k if last is None else last) + 1):
        if a[j] is not None and b[k - j] is not None:
            total = _add(total, times(a[j], b[k - j]))
    return total


def _rates(x: list) -> list:
    """The coefficients j x_j."""
    return [None, *(None if c is None else j * c for j, c in enumerate(x[1:], start=1))]


def _over(a, b):
    return None if a is None else a / b


@series_of("add")
def _series_add(primitive, order, series, params, y):
    a, b = series
    return [_add(a[k], b[k]) for k in range(1, order + 1)]


@series_of("subtract")
def _series_subtract(primitive, order, series, params, y):
    a, b = series
    return [_add(a[k], _minus(b[k])) for k in range(1, order + 1)]


@series_of("negative", "sum", "reshape", "transpose", "broadcast_to", "flip", "copy", "index", "cumsum")
def _series_linear(primitive, order, series, params, y):
    return [None if c is None else primitive(c, **params) for c in series[0][1:]]


@series_of("where", "concatenate", "stack", "index_set", "scatter")
def _series_jointly_linear(primitive, order, series, params, y):
    full = [[v, *_filled(rest, v if hasattr(v, "shape") else np.float64(v))] for v, *rest in series]
    return [primitive(*[s[k] for s in full], **params) for k in range(1, order + 1)]


@series_of("multiply", "scale", "matmul", "einsum")
def _series_bilinear(primitive, order, series, params, y):
    if len(series) == 1:
        return _series_linear(primitive, order, series, params, y)
    if len(series) > 2:
        return None
    times = lambda a, b: primitive(a, b, **params)
    return [_product(*series, k, times=times) for k in range(1, order + 1)]


@series_of("square")
def _series_square(primitive, order, series, params, y):
    return [_product(series[0], series[0], k) for k in range(1, order + 1)]


@series_of("divide", "reciprocal")
def _series_divide(primitive, order, series, params, y):
    """B_0 y_k = a_k - sum_(j >= 1) b_j y_(k-j)."""
    a, b = series if len(series) == 2 else ([None] * (order + 1), series[0])
    out = [y]
    for k in range(1, order + 1):
        out.append(_over(_add(a[k], _minus(_product(b, out, k, first=1))), b[0]))
    return out[1:]


# --- powers ---------------------------------------------------------------------------------------------------------
@series_of("power")
def _series_power(primitive, order, series, params, y):
    """For a constant exponent p: k x_0 y_k = sum_(j >= 1) (p j - (k - j)) x_j y_(k-j); else exp(p log x)."""
    x, p = series
    if any(c is not None for c in p[1:]):
        if not holds(peel(x[0]) > 0):
            return None
        logs = [np.log(x[0]), *_quotient(x, x, order)]
        return _solve([_product(p, logs, k) for k in range(order + 1)], y, order, lambda out, w, k: out[k], y)
    if type(p[0]) is not Box and np.ndim(p[0]) == 0 and float(p[0]).is_integer() and 0 <= p[0] <= 64:
        return _whole_power(x, int(p[0]), order)
    if not holds(peel(x[0]) != 0):
        return None
    out = [y]
    for k in range(1, order + 1):
        total = None
        for j in range(1, k + 1):
            if x[j] is not None and out[k - j] is not None:
                total = _add(total, (p[0] * j - (k - j)) * x[j] * out[k - j])
        out.append(_over(total, k * x[0]))
    return out[1:]


def _whole_power(x: list, p: int, order: int) -> list:
    """By repeated squaring, which needs no division."""
    if p == 0:
        return [None] * order
    out, base = None, x
    while p:
        if p & 1:
            out = base if out is None else [_product(out, base, k) for k in range(order + 1)]
        p >>= 1
        if p:
            base = [_product(base, base, k) for k in range(order + 1)]
    return out[1:]


@series_of("sqrt")
def _series_sqrt(primitive, order, series, params, y):
    """2 y_0 y_k = x_k - sum_(0 < j < k) y_j y_(k-j)."""
    (x,), out = series, [y]
    for k in range(1, order + 1):
        out.append(_over(_add(x[k], _minus(_product(out, out, k, first=1, last=k - 1))), 2.0 * y))
    return out[1:]


# --- functions that solve a simple differential equation ------------------------------------------------------------
def _solve(x: list, y, order: int, slope_fn: Callable, slope_0) -> list:
    """Integrate y' = w x', where ``slope_fn(out, w, k)`` gives coefficient k >= 1 of w from those of y up to k."""
    rates, out, w = _rates(x), [y], [slope_0]
    for k in range(1, order + 1):
        out.append(_over(_product(rates, w, k, first=1), k))
        w.append(slope_fn(out, w, k))
    return out[1:]


@series_of("exp")
def _series_exp(primitive, order, series, params, y):
    return _solve(series[0], y, order, lambda out, w, k: out[k], y)


@series_of("expm1")
def _series_expm1(primitive, order, series, params, y):
    return _solve(series[0], y, order, lambda out, w, k: out[k], np.exp(series[0][0]))


@series_of("tan")
def _series_tan(primitive, order, series, params, y):
    return _solve(series[0], y, order, lambda out, w, k: _product(out, out, k), 1 + y * y)


@series_of("tanh")
def _series_tanh(primitive, order, series, params, y):
    x0 = series[0][0]
    slope = 4 * special.expit(2 * x0) * special.expit(-2 * x0)
    return _solve(series[0], y, order, lambda out, w, k: _minus(_product(out, out, k)), slope)


@series_of("expit")
def _series_expit(primitive, order, series, params, y):
    slope = y * special.expit(-series[0][0])
    return _solve(series[0], y, order, lambda out, w, k: _add(out[k], _minus(_product(out, out, k))), slope)


def _pair(x: list, s, c, order: int, sign: float) -> tuple[list, list]:
    """Integrate s' = c x', c' = sign s x'."""
    rates, s, c = _rates(x), [s], [c]
    for k in range(1, order + 1):
        ds, dc = _product(rates, c, k, first=1), _product(rates, s, k, first=1)
        s.append(_over(ds, k))
        c.append(None if dc is None else dc * (sign / k))
    return s[1:], c[1:]


@series_of("sin", "cos")
def _series_trigonometric(primitive, order, series, params, y):
    x0 = series[0][0]
    return _pair(series[0], np.sin(x0), np.cos(x0), order, -1.0)[primitive.name == "cos"]


@series_of("sinh", "cosh")
def _series_hyperbolic(primitive, order, series, params, y):
    x0 = series[0][0]
    return _pair(series[0], np.sinh(x0), np.cosh(x0), order, 1.0)[primitive.name == "cosh"]


def _quotient(x: list, w: list, order: int) -> list:
    """Integrate y' = x' / w: k w_0 y_k = k x_k - sum_(0 < j < k) j y_j w_(k-j)."""
    rates = [None]
    for k in range(1, order + 1):
        own = None if x[k] is None else k * x[k]
        rates.append(_over(_add(own, _minus(_product(rates, w, k, first=1, last=k - 1))), w[0]))
    return [_over(r, k) for k, r in enumerate(rates[1:], start=1)]


@series_of("log")
def _series_log(primitive, order, series, params, y):
    return _quotient(series[0], series[0], order)


@series_of("log1p")
def _series_log1p(primitive, order, series, params, y):
    x = series[0]
    return _quotient(x, [1 + x[0], *x[1:]], order)


@series_of("arctan", "arctanh")
def _series_arctan(primitive, order, series, params, y):
    x = series[0]
    squares = [_product(x, x, k) for k in range(order + 1)]
    if primitive.name == "arctanh":
        return _quotient(x, [(1 - x[0]) * (1 + x[0]), *map(_minus, squares[1:])], order)
    return _quotient(x, [1 + squares[0], *squares[1:]], order)


def rules_are_known() -> None:
    """Check the table: every name in it is that of a primitive."""
    unknown = SERIES.keys() - PRIMITIVES.keys()
    if unknown:
        raise KeyError(f"series rules without a primitive: {sorted(unknown)}")


rules_are_known()
