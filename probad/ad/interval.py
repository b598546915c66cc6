"""interval: rigorous bounds of a function and of its gradient over a whole box of arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from probad.ad.array_enclosures import sum_
from probad.ad.box import Box
from probad.ad.composite import Composite
from probad.ad.core import LEAKED, Trace
from probad.ad.enclosures import RULES, Interval, add, multiply, point, subtract
from probad.ad.transforms import value_and_grad
from probad.errors import ArgumentError, ConversionError, LeakedValueError, ShapeError, UnsupportedFunctionError
from probad.tree import flatten, map_leaves


def interval(f: Callable, box: tuple[Any, Any]) -> tuple[Interval, Any]:
    """Bounds that no value and no gradient of the scalar function `f` leaves while its argument is inside a box.

    Parameters
    ----------
    f : callable
        Function of one number, array or nest of them that returns a scalar.
    box : tuple
        Lower and upper bounds of the argument, two of its kind.

    Returns
    -------
    value : Interval
    gradient : Interval, or a nest of them
        Where `f` has a kink in the box, all subgradients are enclosed.

    Raises
    ------
    ArgumentError
        If the box is empty, or if somewhere in it an operation may be undefined (a division by zero, a logarithm of a
        negative number).
    UnsupportedFunctionError
        If an operation has no rigorous rule.
    ConversionError
        If `f` branches on a condition that holds in one part of the box only; ``np.where`` may be used instead.

    Notes
    -----
    The bounds are rigorous, rounding included, but not always tight: an argument that occurs twice counts as two. The
    value is also bounded by the mean-value form, f(m) + gradient (x - m) with the midpoint m.
    Source: Moore, Kearfott and Cloud, Introduction to Interval Analysis (2009).

    Examples
    --------
    >>> import numpy as np
    >>> value, gradient = interval(lambda x: np.exp(x) * x, (0.0, 1.0))
    >>> bool(value.lower <= 0 and value.upper >= np.e), bool(gradient.lower <= 1 and gradient.upper >= 2 * np.e)
    (True, True)
    """
    if not isinstance(box, tuple) or len(box) != 2:
        raise ArgumentError("interval needs a box: a tuple (lower, upper).")
    lower, rebuild = flatten(box[0])
    upper, _ = flatten(box[1])
    if len(lower) != len(upper):
        raise ArgumentError(f"The box has {len(lower)} lower and {len(upper)} upper bounds; they must match.")
    sides = [_side(a, b, i) for i, (a, b) in enumerate(zip(lower, upper, strict=True))]
    with IntervalTrace() as trace, np.errstate(all="ignore"):
        y, gradient = value_and_grad(f)(rebuild([trace.box(s) for s in sides]))
        value, gradient = trace.content(y), map_leaves(trace.content, gradient)
        value = _mean_value(f, sides, rebuild, value, flatten(gradient)[0], trace)
    return value, gradient


def _side(a, b, i: int) -> Interval:
    if type(a) is Box or type(b) is Box:
        raise ConversionError("interval takes plain bounds; traced ones have no derivative. Use pb.stop_gradient(x).")
    a, b = np.array(a, dtype=float)[()], np.array(b, dtype=float)[()]
    if a.shape != b.shape:
        raise ShapeError(f"The bounds at position {i} have shapes {a.shape} and {b.shape}; they must be the same.")
    if not np.all(a <= b) or not np.all(np.isfinite(a) & np.isfinite(b)):
        raise ArgumentError(f"The box is empty or not finite at position {i}: lower {a}, upper {b}.")
    return Interval(a, b)


def _mean_value(f, sides, rebuild, value: Interval, gradients: list, trace) -> Interval:
    """Intersect `value` with f(m) + gradient (x - m)."""
    middles = [point(s.lower + 0.5 * (s.upper - s.lower)) for s in sides]
    form = trace.content(f(rebuild([trace.box(m) for m in middles])))
    for side, middle, g in zip(sides, middles, gradients, strict=True):
        form = add(form, sum_(multiply(g, subtract(side, middle)), axis=None, keepdims=False))
    better = Interval(np.fmax(value.lower, form.lower), np.fmin(value.upper, form.upper))
    return better if np.all(better.lower <= better.upper) else value


class IntervalTrace(Trace):
    """Interval arithmetic: the content of each box is an `Interval`."""

    __slots__ = ()
    differentiates = False
    ambiguity = (
        "an interval: the condition holds in one part of the box only. Write np.where(condition, a, b), or split the "
        "box where the condition changes."
    )

    def box(self, content: Interval) -> Box:
        """A traced value that may be anything in an interval."""
        return Box(content, self, True)

    def content(self, x) -> Interval:
        """The interval of a traced or plain value."""
        if type(x) is not Box:
            return point(x)
        if x.view is not None:
            x.view.refresh(x)
        if x.owner is not self:
            raise ConversionError("interval met a value that is traced by something else; it cannot be nested inside.")
        return x.value if type(x.value) is Interval else point(x.value)  # plain where something was written to it

    def process(self, primitive, args, params):
        """Enclose the range of an operation."""
        if not self.alive:
            raise LeakedValueError(LEAKED)
        if isinstance(primitive, Composite):
            return primitive.impl(*args, **params)
        rule = RULES.get(primitive.name)
        if rule is None:
            raise UnsupportedFunctionError(
                f"interval has no rigorous rule for {primitive.name}. Write it with elementary functions."
            )
        with np.errstate(all="ignore"):
            y = rule(*map(self.content, args), **params)
        if np.any(np.isnan(y.lower)) or np.any(np.isnan(y.upper)):
            raise ArgumentError(f"{primitive.name} is not a number somewhere in the box. Make the box smaller.")
        if y.lower.dtype.kind == "b" and np.array_equal(y.lower, y.upper):
            return y.lower  # a condition that is decided
        box = self.box(y)
        if primitive.view_fn is not None and box.shape:
            box.view = primitive.view_fn(primitive, args[0], params, box)
        return box

    def inside(self, box: Box):
        """The lower bound; of a condition, whether it is certain."""
        return self.content(box).lower

    def peeled(self, box: Box):
        """The interval under all levels of differentiation; a snapshot."""
        return self.box(self.content(box))
