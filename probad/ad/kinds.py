"""The kinds of primitives: what a row in `probad.ad.rules` says, and the forward and reverse rules that follow from it.

- `elementwise`: partial derivatives as expressions of output and inputs; both modes follow.
- `linear`: linear in its one argument; forward is the operation itself, reverse its transpose.
- `multilinear`: linear in each argument; forward follows, reverse is one transpose per argument.
- `constant`: piecewise constant; the derivative is zero wherever it exists, so the result is a plain value.

Whatever fits none of them is a `Primitive` with its two rules written next to each other.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import numpy as np

from probad.ad.box import Box, peel
from probad.ad.constants import SMALL
from probad.ad.core import PRIMITIVES, Primitive, ReverseTrace
from probad.errors import UnsupportedFunctionError

# Partial derivatives that need no multiplication.
ONE, MINUS_ONE = "one", "minus one"


class Inverse:
    """The partial derivative ``1 / of(y, *inputs)``: a cotangent is divided by `of`, which saves the product."""

    __slots__ = ("of",)

    def __init__(self, of: Callable):
        self.of = of

    def __call__(self, y, *inputs):
        """The partial derivative itself."""
        return np.float64(1.0) / self.of(y, *inputs)


# For elementwise primitives: where their arguments may lie, for the contract tests and the documentation.
REAL, POSITIVE, UNIT = (-3.0, 3.0), (0.05, 4.0), (0.05, 0.95)
DOMAINS: dict[str, tuple] = {}
PARTIALS: dict[str, tuple] = {}
CONSTANTS: dict[str, Callable] = {}
OPERATIONS: dict[str, Constant] = {}  # what is behind those


class Unary(Primitive):
    """A primitive of one argument, with a short cut for the most common call there is: reverse mode, one level.

    It does what `Primitive.__call__` and `ReverseTrace` do, in half the time. So do the classes below.
    """

    __slots__ = ()

    def __call__(self, a, **params):
        """Apply the operation to a plain or traced value."""
        if type(a) is Box and a.view is None and a.node is not None and type(a.value) in PLAIN:
            owner, value = a.owner, a.value
            if type(owner) is ReverseTrace and owner.alive:
                y, tape = self.impl(value, **params), owner.tape
                tape.append((self, (a.node,), (value,), params, y))
                box = Box(y, owner, len(tape) - 1)
                if self.view_fn is not None and y.shape:
                    box.view = self.view_fn(self, a, params, y)
                return box
        return Primitive.__call__(self, a, **params)


class Binary(Primitive):
    """A primitive of one or two arguments and no parameters, with the short cut."""

    __slots__ = ()

    def __call__(self, a, b=None):
        """Apply the operation to one or two plain or traced values."""
        a_kind, b_kind = type(a), type(b)
        if a_kind is Box:
            owner = a.owner
            if owner.captures and (y := owner.of_numbers(self, a, b)) is not None:
                return y
            if a.view is not None:
                a.view.refresh(a)
            a_node, a_value = a.node, a.value
            if b_kind is Box:
                if b.view is not None:
                    b.view.refresh(b)
                if owner is not b.owner:
                    return Primitive.__call__(self, a, b)
                b_node, b_value = b.node, b.value
            else:
                b_node, b_value = None, b
        elif b_kind is Box:
            owner = b.owner
            if owner.captures and (y := owner.of_numbers(self, a, b)) is not None:
                return y
            if b.view is not None:
                b.view.refresh(b)
            a_node, a_value, b_node, b_value = None, a, b.node, b.value
        else:
            return self.impl(a) if b is None else self.impl(a, b)
        if (
            type(owner) is not ReverseTrace
            or (a_node is None and b_node is None)
            or type(a_value) not in PLAIN
            or not owner.alive
        ):
            if owner.answers:
                return owner.process(self, (a,) if b is None else (a, b), NO_PARAMS)
            return Primitive.__call__(self, a) if b is None else Primitive.__call__(self, a, b)
        tape = owner.tape
        if b is None:
            y = self.impl(a_value)
            tape.append((self, (a_node,), (a_value,), NO_PARAMS, y))
            return Box(y, owner, len(tape) - 1)
        if type(b_value) not in PLAIN:
            return Primitive.__call__(self, a, b)
        if a_kind is np.ndarray:
            if a.dtype is not FLOAT64 and a.dtype.kind in "Oc":
                return Primitive.__call__(self, a, b)
            a_value = a.copy("K") if a.nbytes <= SMALL else owner.keep(a)
        elif b_kind is np.ndarray:
            if b.dtype is not FLOAT64 and b.dtype.kind in "Oc":
                return Primitive.__call__(self, a, b)
            b_value = b.copy("K") if b.nbytes <= SMALL else owner.keep(b)
        y = self.impl(a_value, b_value)
        tape.append((self, (a_node, b_node), (a_value, b_value), NO_PARAMS, y))
        return Box(y, owner, len(tape) - 1)


class Elementwise(Binary):
    """A primitive of one or two arguments that works element by element."""

    __slots__ = ()


PLAIN = frozenset({float, int, np.float64, np.ndarray})
NO_PARAMS: dict = {}
FLOAT64 = np.dtype(np.float64)


def elementwise(impl: Callable, *partials, domain=REAL, name: str | None = None, singular: bool = False) -> Primitive:
    """Register an elementwise operation.

    Parameters
    ----------
    impl : callable
        A ufunc, or a function that behaves like one.
    *partials : callable, ONE or MINUS_ONE
        For each argument ``partial(y, *inputs)``, written in primitives.
    domain : tuple of float or of tuples
        Interval, common or per argument, in which the contract tests draw the arguments; a range for whole numbers.
    name : str, optional
        If not the name of `impl`.
    singular : bool
        Whether a partial can be infinite on the edge of the domain. There a zero cotangent stays zero, so that the
        branch of ``np.where`` that was not taken does not turn the gradient into NaN.
    """
    name = name or impl.__name__
    times = _scaled if singular else operator.mul
    domains = domain if isinstance(domain[0], tuple | range) else (domain,) * len(partials)

    def push(tangents, y, values, params):
        total = None
        with np.errstate(all="ignore"):
            for t, partial in zip(tangents, partials, strict=True):
                if t is None:
                    continue
                if partial is ONE:
                    part = t
                elif partial is MINUS_ONE:
                    part = -t
                else:
                    part = times(t, partial(y, *values))
                total = part if total is None else total + part
        if total is not None and total.shape != y.shape:
            total = PRIMITIVES["broadcast_to"](total, shape=y.shape)
        return total

    def examples(rng):
        def draw(domain, shape):
            whole = isinstance(domain, range)
            return rng.integers(domain.start, domain.stop, shape) if whole else rng.uniform(*domain, shape)

        choices = ((), (2, 3), (3,)) if len(domains) < 3 else ((2,), (), ())
        shapes = [choices[(k + 1) % 3] for k in range(len(domains))]
        scalar = tuple(np.asarray(draw(d, ()))[()] for d in domains)
        broadcast = tuple(draw(d, shape) for d, shape in zip(domains, shapes, strict=True))
        return [(scalar, {}), (broadcast, {})]

    DOMAINS[name], PARTIALS[name] = domains, partials
    kind = Elementwise if len(partials) <= 2 else Primitive
    primitive = kind(name, impl, push, _pull(partials), examples)
    if singular:
        primitive.careful_pull = _careful_pull(partials)
    return primitive


def _pull(partials: tuple) -> Callable:
    """Reverse mode of an elementwise operation, with less to do where there are one or two arguments."""
    n_args, first = len(partials), partials[0]

    def pull_one(k, g, y, values, params):
        return g * first(y, values[0])

    def pull_inverse(k, g, y, values, params):
        return g / first.of(y, values[0])

    def pull(k, g, y, values, params):
        partial = partials[k]
        if partial is ONE:
            out = g
        elif partial is MINUS_ONE:
            out = -g
        elif n_args == 2:
            a, b = values
            out = g / partial.of(y, a, b) if type(partial) is Inverse else g * partial(y, a, b)
        else:
            out = g * partial(y, *values)
        if type(out) is np.float64:  # then so is the argument
            return out
        shape = values[k].shape
        return out if out.shape == shape else unbroadcast(out, shape)

    if n_args == 1 and callable(first):
        return pull_inverse if type(first) is Inverse else pull_one
    return pull


def _careful_pull(partials: tuple) -> Callable:
    """Reverse mode in which zero times infinity is zero."""
    plain = _pull(partials)

    def careful_pull(k, g, y, values, params):
        if not callable(partials[k]):
            return plain(k, g, y, values, params)
        out, shape = _scaled(g, partials[k](y, *values)), values[k].shape
        return out if out.shape == shape else unbroadcast(out, shape)

    return careful_pull


def no_partial(message: str) -> Callable:
    """For an argument without a derivative: the call on a traced value says so, and why."""

    def partial(y, *inputs):
        raise UnsupportedFunctionError(message)

    partial.refuses = True
    return partial


def refusals(name: str) -> list[bool]:
    """For each argument of an elementwise primitive, whether it has no derivative."""
    return [getattr(partial, "refuses", False) for partial in PARTIALS.get(name, ())]


def _scaled(a, partial):
    """The product in which zero times infinity is zero; the full care is taken only where something is not finite."""
    out = a * partial
    kind = type(out)
    if (kind is np.float64 and math.isfinite(out)) or (kind is np.ndarray and math.isfinite(np.vdot(out, out))):
        return out
    return PRIMITIVES["scale"](a, partial)


def unbroadcast(g, shape: tuple):
    """Add up `g` over the axes along which an argument of `shape` was broadcast."""
    sum_, reshape = PRIMITIVES["sum"], PRIMITIVES["reshape"]
    if shape == ():
        if type(g) is np.ndarray:
            return np.add.reduce(g, axis=None)
        return sum_(g, axis=None, keepdims=False)
    extra = len(g.shape) - len(shape)
    axes = tuple(i for i in range(len(g.shape)) if i < extra or (shape[i - extra] == 1 and g.shape[i] != 1))
    if axes:
        g = sum_(g, axis=axes, keepdims=False)
    return g if g.shape == shape else reshape(g, shape=shape)


def linear(name: str, impl: Callable, transpose: Callable, examples: Callable, **hooks) -> Primitive:
    """Register an operation that is linear in its one argument; ``transpose(k, g, y, values, params)``."""

    def push(tangents, y, values, params):
        return primitive(tangents[0], **params)

    primitive = Unary(name, impl, push, transpose, examples, **hooks)
    return primitive


def multilinear(
    name: str, impl: Callable, transpose: Callable, examples: Callable, *, kind: type = Primitive
) -> Primitive:
    """Register an operation that is linear in each argument; ``transpose(k, g, y, values, params)``."""

    def push(tangents, y, values, params):
        total = None
        for k, t in enumerate(tangents):
            if t is not None:
                part = primitive(*values[:k], t, *values[k + 1 :], **params)
                total = part if total is None else total + part
        return total

    primitive = kind(name, impl, push, transpose, examples)
    return primitive


def constant(impl: Callable, name: str | None = None) -> Callable:
    """Register a piecewise constant operation: it sees plain values and gives a plain value."""
    name = name or impl.__name__

    def apply(*args, **params):
        plain = [peel(a) for a in args]
        if Box in map(type, plain):  # batched: the trace that holds the batch deals with it
            top = max((a.owner for a in plain if type(a) is Box), key=lambda owner: owner.level)
            return top.process(operation, plain, params)
        return impl(*plain, **params)

    operation = OPERATIONS[name] = Constant(name, impl, apply)
    CONSTANTS[name] = apply
    return apply


class Constant:
    """A piecewise constant operation as traces that do not differentiate see it."""

    __slots__ = ("apply", "impl", "name")
    view_fn = None

    def __init__(self, name: str, impl: Callable, apply: Callable):
        self.name, self.impl, self.apply = name, impl, apply

    def __call__(self, *args, **params):
        """Apply the operation to plain or batched values."""
        return self.apply(*args, **params)
