"""anomaly_mode: stop at the first derivative that is not finite, and name the line it comes from."""

from __future__ import annotations

import contextlib
import linecache
import math
import sys

import numpy as np

from probad.ad.box import raw
from probad.ad.core import ForwardTrace, ReverseTrace
from probad.ad.transforms import FORWARD, REVERSE
from probad.errors import GradientError


@contextlib.contextmanager
def anomaly_mode():
    """Inside this context the first NaN or infinity in a derivative is an error that says where it arose.

    The error names the operation, the file and line that called it, its arguments and what came out. Each operation
    notes its line, which makes differentiation several times slower; outside the context nothing is noted and nothing
    is slower. A derivative is looked at as it is computed: in forward mode with the operation, in reverse mode in the
    backward sweep, which must run inside the context as the function did. The context holds for its own thread.

    Raises
    ------
    GradientError
        At the first derivative that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from probad.ad import grad
    >>> with anomaly_mode():
    ...     grad(lambda x: np.sqrt(x) * 3.0)(0.0)
    Traceback (most recent call last):
    ...
    probad.errors.GradientError: The derivative of sqrt is not finite: its cotangent for argument 0 is inf...
    """
    tokens = FORWARD.set(WatchfulForwardTrace), REVERSE.set(WatchfulReverseTrace)
    try:
        yield
    finally:
        FORWARD.reset(tokens[0])
        REVERSE.reset(tokens[1])


class WatchfulForwardTrace(ForwardTrace):
    """Forward mode that looks at every tangent."""

    __slots__ = ()

    def record(self, primitive, tangents, values, params, y):
        """The tangent of the output, which must be finite if those of the inputs are."""
        t = primitive.push(tangents, y, values, params)
        if not _finite(t) and all(t is None or _finite(t) for t in tangents):
            raise GradientError(_report(primitive, "its tangent", t, values, y, _origin()))
        return t


class WatchfulReverseTrace(ReverseTrace):
    """Reverse mode that remembers the line of every operation and looks at every cotangent."""

    __slots__ = ("origins",)

    def __init__(self):
        super().__init__()
        self.origins: dict[int, tuple] = {}

    def record(self, primitive, nodes, values, params, y):
        """The place on the tape of the output; its line is noted."""
        node = super().record(primitive, nodes, values, params, y)
        self.origins[node] = _origin()
        return node

    def sweep(self, seeds, n_inputs):
        """Propagate cotangents as `ReverseTrace.sweep` does, carefully and step by step."""
        cotangents: list = [None] * max(len(self.tape), n_inputs)
        for node, g in seeds:
            cotangents[node] = g if cotangents[node] is None else cotangents[node] + g
        with np.errstate(all="ignore"):
            for i in range(len(self.tape) - 1, -1, -1):
                g = cotangents[i]
                if g is not None and self.tape[i] is not None:
                    cotangents[i] = None
                    self._pull(i, g, cotangents)
        return cotangents[:n_inputs]

    def _pull(self, i: int, g, cotangents: list) -> None:
        primitive, nodes, values, params, y = self.tape[i]
        pull = primitive.careful_pull or primitive.pull
        for k, node in enumerate(nodes):
            if node is None:
                continue
            part = pull(k, g, y, values, params)
            if not _finite(part) and _finite(g):
                what = f"its cotangent for argument {k}"
                text = _report(primitive, what, part, values, y, self.origins[i])
                raise GradientError(text if all(map(_finite, values)) else f"{text}. {self._first(i)}")
            cotangents[node] = part if cotangents[node] is None else cotangents[node] + part

    def _first(self, last: int) -> str:
        """Which operation gave the first value that is not finite."""
        for i, entry in enumerate(self.tape[:last]):
            if entry is not None and not _finite(entry[4]):
                return f"Its arguments were not finite before: {_call(entry[0], entry[2], entry[4], self.origins[i])}"
        return "An argument was not finite from the start."


def _finite(x) -> bool:
    x = raw(x)
    return math.isfinite(x) if isinstance(x, float) else bool(np.isfinite(x).all())


def _origin() -> tuple:
    """The file, the line and the function of the operation that is being recorded: the first outside this package."""
    frame = sys._getframe(2)
    innermost = frame
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in ("probad", "numpy", "contextlib"):
            return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back
    return innermost.f_code.co_filename, innermost.f_lineno, innermost.f_code.co_name


def _report(primitive, what: str, derivative, values, y, origin: tuple) -> str:
    bad = raw(derivative)
    first = np.asarray(bad)[tuple(np.argwhere(~np.isfinite(bad))[0])] if np.ndim(bad) else bad
    call = _call(primitive, values, y, origin)
    return f"The derivative of {primitive.name} is not finite: {what} is {first}. {call}"


def _call(primitive, values, y, origin: tuple) -> str:
    file, line, function = origin
    source = linecache.getline(file, line).strip()
    inputs = ", ".join(_short(v) for v in values)
    where = f"in {function}, {file}:{line}" + (f": {source}" if source else "")
    return f"{primitive.name} called with ({inputs}) gave {_short(y)}, {where}"


def _short(x) -> str:
    x = raw(x)
    if np.ndim(x) == 0:
        return f"{x}"
    return np.array2string(np.asarray(x), precision=6, threshold=6, separator=", ")
