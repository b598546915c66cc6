"""Make one call of a whole function a single primitive, with derivative rules of its own.

Custom derivatives, checkpoints and implicit functions are built on it: to the traces the function is one operation,
and what happens inside is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from probad.ad.box import Box
from probad.ad.closures import Hole, carried, replaced
from probad.ad.core import Primitive
from probad.ad.functions import as_operand
from probad.ad.rules import shapes
from probad.errors import ConversionError
from probad.tree import flatten


class Composite(Primitive):
    """A primitive made for one call; it is not enrolled anywhere."""

    __slots__ = ()

    def __init__(self, name: str, impl: Callable, push: Callable, pull: Callable):
        self.name, self.impl, self.push, self.pull = name, impl, push, pull
        self.examples = self.view_fn = self.gather_fn = self.careful_pull = None


class Call:
    """One call of a function, as a function of a list of arrays that gives one array.

    It holds no traced value: those, and the arrays among the arguments, are taken out and passed as arrays.

    Attributes
    ----------
    arrays : list
        What was taken out: traced values from arguments and closure, arrays from the arguments.
    active : list of int
        Which of them are traced.
    """

    __slots__ = ("_holes", "_layout", "_template", "active", "arrays", "name")

    def __init__(self, f: Callable, args: tuple, kwargs: dict):
        found = {id(x): x for x in [*carried((args, kwargs), arrays=True), *carried(f)]}
        old = list(found.values())
        self.name = name_of(f)
        self._holes = [Hole() for _ in old]
        self._template = replaced((f, args, kwargs), old, self._holes) if old else (f, args, kwargs)
        self.arrays = [as_operand(x) for x in old]
        self.active = [k for k, x in enumerate(self.arrays) if type(x) is Box]
        self._layout = None

    def arguments(self, arrays) -> tuple[Callable, tuple, dict]:
        """The function, its arguments and its keyword arguments with `arrays` put in."""
        return replaced(self._template, self._holes, arrays)

    def function(self, *arrays):
        """The function of arrays; the output is packed into one array."""
        f, args, kwargs = self.arguments([guarded(a) for a in arrays])
        return self.pack(f(*args, **kwargs), plain=Box not in map(type, arrays))

    def pack(self, out, *, plain: bool = False):
        """The numbers of an output in one array; the rest, such as integers, is remembered beside it."""
        leaves, rebuild = flatten(out)
        leaves = [as_operand(leaf) for leaf in leaves]
        if plain and Box in map(type, leaves):
            raise ConversionError(
                f"{self.name} uses a traced value that is neither among its arguments nor in its closure, but in a "
                "global or inside an object, and its derivative would be lost. Pass it as an argument."
            )
        moving = [type(x) is Box or x.dtype.kind == "f" for x in leaves]
        rest = [None if m else x for m, x in zip(moving, leaves, strict=True)]
        parts = [x for m, x in zip(moving, leaves, strict=True) if m]
        if plain and self._layout is not None and not all(map(np.array_equal, rest, self._layout[1])):
            raise ConversionError(
                f"{self.name} returns integers that differ between the elements of a batch. Return them as floats."
            )
        self._layout = (rebuild, rest, moving, [x.shape for x in parts])
        return join(parts)

    def unpack(self, y):
        """The output in its own structure, from one array."""
        rebuild, rest, moving, _ = self._layout
        parts = iter(self.cut(y))
        return rebuild([next(parts) if m else x for m, x in zip(moving, rest, strict=True)])

    def cut(self, y) -> list:
        """The arrays that `join` has put into one."""
        sizes = self._layout[3]
        if len(sizes) == 1:
            return [y]
        bounds = np.cumsum([0, *(int(np.prod(s)) for s in sizes)]).tolist()
        windows = zip(bounds[:-1], bounds[1:], sizes, strict=True)
        return [shapes.reshape(y[lo:hi], shape=s) if s else y[lo] for lo, hi, s in windows]


def call_as_one(f: Callable, args: tuple, kwargs: dict, rules_fn: Callable[[Call], tuple[Callable, Callable]]):
    """Call ``f(*args, **kwargs)`` as one primitive; a plain call if nothing is traced.

    Parameters
    ----------
    rules_fn : callable
        Gives the rules `push` and `pull` of the primitive, see `Primitive`, for a `Call`.
    """
    call = Call(f, args, kwargs)
    if not call.active:
        return f(*args, **kwargs)
    arrays, call.arrays = call.arrays, None  # the tape keeps the call: it must not lead back to the tape
    push, pull = rules_fn(call)
    return call.unpack(Composite(call.name, call.function, push, pull)(*arrays))


def once_per_sweep(pull_all: Callable) -> Callable:
    """The rule `pull` from ``pull_all(g, y, values)``, which gives the cotangents of all arguments in a dict.

    A sweep asks for one argument after the other; the answers are kept until they have all been given.
    """
    kept: list = [None]

    def pull(k, g, y, values, params):
        last = kept[0]
        part = last[1].pop(k, None) if last is not None and last[0] is g else None
        if part is None:
            parts = pull_all(g, y, values)
            part = parts.pop(k)
            last = (g, parts)
        kept[0] = last if last[1] else None
        return part

    return pull


def join(parts: list):
    """Arrays in one."""
    if len(parts) == 1:
        return parts[0]
    return shapes.concatenate(*[shapes.reshape(x, shape=(-1,)) for x in parts], axis=0) if parts else np.zeros(0)


def name_of(f: Callable) -> str:
    """What to call a function in a message."""
    return getattr(f, "__name__", type(f).__name__)


class Place:
    """Where an array stands among the arrays of a call; put in their place, it tells which went where."""

    __slots__ = ("position",)

    def __init__(self, position: int):
        self.position = position


def guarded(a):
    """An array that the function may read but not write: its content belongs to the tape."""
    if type(a) is Box:
        return Box(a.value, a.owner, a.node)
    if type(a) is np.ndarray and a.flags.writeable:
        a = a.view()
        a.flags.writeable = False
    return a
