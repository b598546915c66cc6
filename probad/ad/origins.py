"""Which inputs a value depends on, and which operation first gave the NaN or infinity in it.

Each box carries a `History`: the names of the inputs it was computed from, and, if it is not finite, the operation with
which that began. A branch of ``np.where`` that was not taken leaves nothing behind, since what it gave is not in the
result.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from probad.ad.anomaly import _finite, _origin
from probad.ad.box import Box, raw
from probad.ad.core import Primitive, Trace


@dataclass(frozen=True)
class Operation:
    """A call of a primitive whose result was not finite although no traced argument was to blame.

    Attributes
    ----------
    name : str
        Of the primitive.
    values : tuple of array
        Its arguments.
    result : array
    place : tuple of str, int and str
        File, line and function of the code that called it.
    """

    name: str
    values: tuple
    result: np.ndarray
    place: tuple[str, int, str]

    def __str__(self) -> str:
        """``log(-1) = nan at index 3, in growth, model.py:12: rate = np.log(x)``."""
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(self.result))[0])
        at = f" at index {index[0] if len(index) == 1 else index}" if index else ""
        arguments = ", ".join(_element(v, np.shape(self.result), index) for v in self.values)
        file, line, function = self.place
        source = linecache.getline(file, line).strip()
        where = f"in {function}, {file.replace(chr(92), '/').rpartition('/')[2]}:{line}"
        text = f"{self.name}({arguments}) = {_number(self.result[index])}{at}, {where}"
        return f"{text}: {source}" if source else text


@dataclass(frozen=True)
class History:
    """What a value was computed from.

    Attributes
    ----------
    inputs : frozenset of str
        Names of inputs.
    origin : Operation or None
        The first operation whose result was not finite; None if the value is finite, or was given like that.
    """

    inputs: frozenset[str]
    origin: Operation | None = None


class HistoryTrace(Trace):
    """Computes as plain NumPy does, and keeps the history of each value."""

    __slots__ = ()

    def input(self, value, name: str) -> Box:
        """An input with its name."""
        return Box(value, self, History(frozenset([name])))

    def record(self, primitive: Primitive, nodes, values, params, y) -> History:
        """The history of an output."""
        known = [node for node in nodes if node is not None]
        inputs = frozenset().union(*(node.inputs for node in known))
        if _finite(y):
            return History(inputs)
        found = next((node.origin for node in known if node.origin is not None), None)
        return History(inputs, found or Operation(primitive.name, tuple(values), np.asarray(y), _origin()))

    def history(self, x) -> History:
        """The history of any value; nothing is known of plain ones."""
        mine = type(x) is Box and x.owner is self and x.node is not None
        return x.node if mine else History(frozenset())


def origin_of(f: Callable, x: np.ndarray) -> Operation | None:
    """The operation with which the value of ``f(x)`` became NaN or infinite.

    Parameters
    ----------
    f : callable
        Of one array.
    x : array

    Returns
    -------
    Operation or None
        None if the value is finite, or `f` hides what it does.

    Examples
    --------
    >>> import numpy as np
    >>> print(origin_of(lambda x: np.sum(np.log(x) * 2.0), np.array([1.0, -3.0])).name)
    log
    """
    with HistoryTrace() as trace, np.errstate(all="ignore"):
        y = f(trace.input(x, "x"))
        return trace.history(y).origin


def _element(value, shape: tuple[int, ...], index: tuple[int, ...]) -> str:
    """What of an argument belongs to one element of the result, or its shape where that is not known."""
    value = np.asarray(raw(value))
    if value.ndim == 0:
        return _number(value[()])
    if value.ndim <= len(shape) and all(a in (1, b) for a, b in zip(value.shape[::-1], shape[::-1], strict=False)):
        return _number(np.broadcast_to(value, shape)[index])
    bad = np.argwhere(~np.isfinite(value)) if value.dtype.kind == "f" else ()
    if len(bad):
        first = tuple(int(i) for i in bad[0])
        return f"<array {value.shape} with {_number(value[first])}>"
    if value.size and value.size <= 4:
        return np.array2string(value, precision=6, separator=", ").replace("\n", "")
    return f"<array {value.shape}>"


def _number(x) -> str:
    return f"{x:.6g}" if np.asarray(x).dtype.kind == "f" else str(x)
