"""The traced value, and the questions that may be asked of it without disturbing derivatives."""

from __future__ import annotations

import numpy as np


class Box:
    """A traced array.

    `value` is the array as the next level out sees it (a NumPy value or another box), `node` what its owner, a trace,
    knows of it: the tangent in forward mode, the place on the tape in reverse mode, None for a constant. `view` and
    `version` keep NumPy's aliasing true (see `probad.ad.views`). The NumPy behaviour of this class is added in
    `probad.ad.array`.
    """

    __slots__ = ("node", "owner", "value", "version", "view")

    def __init__(self, value, owner, node):
        self.value = value
        self.owner = owner
        self.node = node
        self.view = None
        self.version = 0


def is_differentiated(x) -> bool:
    """Whether a level of differentiation follows `x`."""
    while type(x) is Box:
        if x.owner.differentiates:
            return True
        x = x.owner.inside(x)
    return False


def is_foreign(x) -> bool:
    """Tell whether `x` is an array of another module, such as CuPy's: it answers NumPy's functions, and stays there."""
    kind = type(x)
    return kind not in _NATIVE and hasattr(kind, "__array_function__") and not issubclass(kind, np.ndarray)


_NATIVE = frozenset({np.ndarray, np.float64, float, int, Box})  # the common answers, quickly


def is_traced(x) -> bool:
    """Tell whether `x` is a traced value."""
    return type(x) is Box


def peel(x):
    """The value under all levels of differentiation: a plain NumPy value unless it is batched (`probad.ad.batch`).

    Derivatives do not pass through it. What is computed from it is right for each element of a batch.
    """
    while type(x) is Box:
        if x.view is not None:
            x.view.refresh(x)
        if not x.owner.differentiates:
            return x.owner.peeled(x)
        x = x.value
    return x


def raw(x):
    """The NumPy array at the very bottom, with the axes of all batches in front: for messages and for `holds`."""
    while type(x) is Box:
        if x.view is not None:
            x.view.refresh(x)
        x = x.owner.inside(x)
    return x


def holds(condition) -> bool:
    """Whether a condition is true of all elements, those of all batches included.

    It is for rules that have a short cut where the condition holds, and a general form that is always right.
    """
    plain = peel(condition)
    if type(plain) is Box and plain.owner.answers:
        return bool(np.all(plain.owner.concrete(plain, "a short cut")))
    return bool(np.all(raw(condition)))
