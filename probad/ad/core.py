"""The core of differentiation: traced values, primitives, the forward trace and the reverse tape.

The idea in one paragraph. A `Box` stands for an array inside a function that is being differentiated. A `Primitive`
called on boxes hands itself to the innermost trace among them; that trace unwraps its own boxes, calls the primitive
again one level further out, and wraps the result: with a tangent (`ForwardTrace`) or with a new place on a tape
(`ReverseTrace`). Derivative rules are written in primitives, so whatever they do is seen by the levels further out,
and every mode nests in every other. Each trace takes a fresh number as its level, so two differentiations are never
confused, and a box whose trace has ended is recognised as a leak.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from probad.ad.advice import advise
from probad.ad.box import Box, is_differentiated, peel, raw
from probad.ad.constants import SMALL, Held, protect
from probad.errors import ConversionError, LeakedValueError

_levels = itertools.count(1)


class Primitive:
    """An elementary operation, its derivative rules, and the examples that enrol it in the contract tests.

    Parameters
    ----------
    name : str
        Unique name.
    impl : callable
        ``impl(*values, **params)`` on plain arrays. Only positional arguments are differentiated.
    push : callable
        ``push(tangents, y, values, params)`` gives the tangent of the output; absent tangents are None.
    pull : callable
        ``pull(k, g, y, values, params)`` gives the cotangent of argument `k` from the output's cotangent `g`.
        `careful_pull`, the same unless set, is used when a sweep has met a number that is not finite.
    examples : callable
        ``examples(rng)`` gives a list of ``(args, params)`` away from points where the operation has no derivative.
    view_fn : callable, optional
        ``view_fn(primitive, base, params, y)`` gives the `View` that links an output to the memory it shares.
    gather_fn : callable, optional
        ``gather_fn([(g, params, shape), ...])`` adds up the cotangents of many calls on one array in one go.
    """

    __slots__ = ("careful_pull", "examples", "gather_fn", "impl", "name", "pull", "push", "view_fn")

    def __init__(self, name: str, impl: Callable, push: Callable, pull: Callable, examples: Callable,
                 view_fn: Callable | None = None, gather_fn: Callable | None = None):  # fmt: skip
        self.name, self.impl, self.push, self.pull, self.examples = name, impl, push, pull, examples
        self.view_fn, self.gather_fn, self.careful_pull = view_fn, gather_fn, None
        if name in PRIMITIVES:
            raise ValueError(f"A primitive named {name!r} is registered already.")
        PRIMITIVES[name] = self

    def __call__(self, *args, **params):
        """Apply the operation to plain or traced values.

        The common case, boxes of one trace around plain values, is settled in one pass; `Trace.process` does the rest.
        """
        if Box not in map(type, args):
            return self.impl(*args, **params)
        top, simple, plain_arrays, values, nodes = None, True, False, [], []
        for a in args:
            kind = type(a)
            if kind is Box:
                if a.view is not None:
                    a.view.refresh(a)
                owner, value = a.owner, a.value
                if top is None:
                    top = owner
                elif owner is not top:
                    simple = False
                    if owner.level > top.level:
                        top = owner
                if type(value) is Box:
                    simple = False
                values.append(value)
                nodes.append(a.node)
            else:
                if kind in _SUSPECT:
                    if kind is not np.ndarray or a.dtype.kind in "Oc":
                        return self(*[_plain(a) for a in args], **params)
                    plain_arrays = True
                values.append(a)
                nodes.append(None)
        if simple and top.alive and top.differentiates:
            if plain_arrays:
                values = [
                    top.keep(v) if v is a and type(v) is np.ndarray else v for v, a in zip(values, args, strict=True)
                ]
            return top.finish(self, args, params, values, nodes, self.impl(*values, **params))
        return top.process(self, args, params)

    def __repr__(self):
        return f"<primitive {self.name}>"


PRIMITIVES: dict[str, Primitive] = {}
LEAKED = (
    "A traced value was used after the differentiation it belongs to had ended. It was kept in a global, a list or an "
    "attribute. Return it from the function instead, for example with has_aux=True."
)


class Trace:
    """One differentiation in progress. Use as a context manager: on exit its boxes are dead.

    A trace that does something else than differentiate, such as batching, says so: a rule that asks for the value
    under the derivatives (`peel`) must not lose what that trace knows. One that `answers` has one value for each box,
    which may be asked for by `concrete`; the others have many, and `ambiguity` says why there is no answer. One that
    `captures` has short cuts for what most of a program is, `of_numbers` and `element`, which give None where they
    do not apply.
    """

    __slots__ = ("alive", "level")
    differentiates = True
    captures = False
    answers = False
    ambiguity = ""

    def __init__(self):
        self.level = next(_levels)
        self.alive = True

    def __enter__(self):
        return self

    def __exit__(self, kind=None, error=None, traceback=None):
        self.alive = False
        if error is not None:
            advise(error)

    def process(self, primitive: Primitive, args, params) -> Box:
        """Apply a primitive one level further out and box the result with what this trace records of it.

        `nodes` holds what this trace knows of each argument; None stands for a constant.
        """
        if not self.alive:
            raise LeakedValueError(LEAKED)
        values, nodes, traced = [], [], False
        for a in args:
            node = None
            kind = type(a)
            if kind is Box:
                if a.view is not None:
                    a.view.refresh(a)
                if a.owner is self:
                    node = a.node
                    a = a.value
                    traced = traced or type(a) is Box
                else:
                    a = Box(a.value, a.owner, a.node)  # a snapshot: later writes in place must not reach this trace
                    traced = True
            elif kind is np.ndarray:
                a = self.keep(a)
            values.append(a)
            nodes.append(node)
        y = primitive(*values, **params) if traced else primitive.impl(*values, **params)
        return self.finish(primitive, args, params, values, nodes, y)

    def finish(self, primitive: Primitive, args, params, values, nodes, y) -> Box:
        """Box an output with what this trace records of it, and with its link to the array it is a view of."""
        constant = nodes[0] is None and all(node is None for node in nodes)
        box = Box(y, self, None if constant else self.record(primitive, nodes, values, params, y))
        if primitive.view_fn is not None and y.shape:
            box.view = primitive.view_fn(primitive, args[0], params, y)
        return box

    def keep(self, a: np.ndarray) -> np.ndarray:
        """A plain array as the derivative rules will see it."""
        return a

    def inside(self, box: Box):
        """The content of one of this trace's boxes, one level further out."""
        return box.value

    def peeled(self, box: Box):
        """`peel` of one of this trace's boxes."""
        return peel(box.value)

    def concrete(self, box: Box, what: str):
        """The plain value of one of this trace's boxes, for a branch, a count or an index."""
        raise ConversionError(f"{what} of {self.ambiguity}")


class ForwardTrace(Trace):
    """Forward mode: each box carries its tangent along."""

    __slots__ = ()

    def record(self, primitive: Primitive, tangents, values, params, y):
        """The tangent of the output."""
        return primitive.push(tangents, y, values, params)


class ReverseTrace(Trace):
    """Reverse mode: operations are written on a tape, which is swept once from the output to the inputs.

    The tape keeps places and values, never boxes of its own level: a box may be written to, its past may not.
    """

    __slots__ = ("held", "tape")

    def __init__(self):
        self.level, self.alive = next(_levels), True
        self.tape: list = []
        self.held: Held | None = None

    def keep(self, a: np.ndarray) -> np.ndarray:
        """Make sure that a plain array on the tape does not change before the sweep."""
        if a.nbytes <= SMALL:
            return a.copy("K")
        if self.held is None:
            self.held = Held()
        return protect(a, self.held)

    def input(self, value) -> Box:
        """Put an independent variable on the tape."""
        self.tape.append(None)
        return Box(value, self, len(self.tape) - 1)

    def record(self, primitive: Primitive, nodes, values, params, y) -> int:
        """The place on the tape of the output."""
        tape = self.tape
        tape.append((primitive, nodes, values, params, y))
        return len(tape) - 1

    @np.errstate(all="ignore")
    def sweep(self, seeds: list[tuple[int, object]], n_inputs: int) -> list:
        """Propagate cotangents from ``seeds`` (node, cotangent) to the first `n_inputs` places; None where zero.

        Zero times infinity must be zero in a derivative: the branch of ``np.where`` that was not taken may have an
        infinite slope. Looking for it at every step is dear, so the first sweep does not, and if its result is not
        finite the sweep is made again with care. Where outer levels are tracing too, care is taken at once.
        """
        for node, g in seeds:
            entry = self.tape[node]
            y = None if entry is None else entry[4]
            if (type(g) is Box or type(y) is Box) and (is_differentiated(g) or is_differentiated(y)):
                return self._sweep(seeds, n_inputs, careful=True)
        cotangents = self._sweep(seeds, n_inputs, careful=False)
        for g in cotangents:
            if g is not None and not _is_finite(g):
                return self._sweep(seeds, n_inputs, careful=True)
        return cotangents

    def _sweep(self, seeds, n_inputs: int, *, careful: bool) -> list:
        tape = self.tape
        cotangents: list = [None] * len(tape)
        gathered: dict[int, tuple[Callable, list]] = {}
        for node, g in seeds:
            _add(cotangents, node, g)
        for i in range(len(tape) - 1, -1, -1):
            if gathered and i in gathered:
                gather_fn, parts = gathered.pop(i)
                _add(cotangents, i, gather_fn(parts))
            g, entry = cotangents[i], tape[i]
            if g is None or entry is None:
                continue
            cotangents[i] = None
            primitive, nodes, values, params, y = entry
            if primitive.gather_fn is not None:  # many reads of one array cost one array of cotangents, not many
                gathered.setdefault(nodes[0], (primitive.gather_fn, []))[1].append((g, params, values[0].shape))
                continue
            pull = primitive.careful_pull if careful and primitive.careful_pull is not None else primitive.pull
            k = 0
            for node in nodes:
                if node is not None:
                    part = pull(k, g, y, values, params)
                    old = cotangents[node]
                    cotangents[node] = part if old is None else old + part
                k += 1
        return cotangents[:n_inputs]


def _add(cotangents: list, node: int, g) -> None:
    """Accumulate without writing in place: a cotangent may be shared between several places."""
    if g is not None:
        old = cotangents[node]
        cotangents[node] = g if old is None else old + g


def _is_finite(g) -> bool:
    """Whether a cotangent has neither NaN nor infinity; one whose square overflows is suspected of it."""
    if type(g) is np.ndarray and g.ndim == 1:  # the common case, without a function call of NumPy's
        return math.isfinite(g.dot(g))
    g = raw(g)
    return math.isfinite(g if type(g) is np.float64 else np.vdot(g, g))


# Types of arguments that may not be what a primitive expects.
_SUSPECT = frozenset({np.ndarray, list, tuple, complex, np.complex128})


def _plain(a):
    """A list as an array, an object array of boxes as one box; complex constants are refused."""
    if type(a) not in _SUSPECT:
        return a
    a = np.asarray(a)
    if a.dtype.kind == "c":
        raise ConversionError("Complex numbers cannot be differentiated. Write real and imaginary parts separately.")
    return PRIMITIVES["stack"](*a.ravel(), axis=0).reshape(a.shape) if a.dtype.kind == "O" else a[()]
