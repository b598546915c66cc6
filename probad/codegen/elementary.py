"""Native code of elementwise operations: instructions, functions of `probad.codegen.special`, and calls of libraries.

A function that is written as native code is defined once in a module for each number of lanes, and inlined in loops.
What is not is called element by element: from the C library, or from SciPy. `has_code` tells what has neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from probad.codegen.calls import call_by_element, is_in_a_library
from probad.codegen.special import call_written, emitter, written
from probad.codegen.text import Function, Value


def has_code(op: str, n_arguments: int) -> bool:
    """Whether an elementwise operation has native code."""
    return op in DIRECT or emitter(op) is not None or is_in_a_library(op, n_arguments)


def apply(fn: Function, op: str, values: Sequence[Value], *, inline: bool) -> Value:
    """Write an elementwise operation of doubles or vectors.

    Parameters
    ----------
    fn : Function
        Where the code goes.
    op : str
        The name of a primitive.
    values : list of Value
    inline : bool
        Whether a function of several instructions is inlined or called.
    """
    direct = DIRECT.get(op)
    if direct is not None:
        return direct(*values)
    emit = emitter(op)
    if emit is not None:
        return call_written(op, emit, values, inline=inline)
    return call_by_element(op, values)


# --- arithmetic -------------------------------------------------------------------------------------------------------
DIRECT: dict[str, Callable[..., Value]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negative": lambda a: -a,
    "square": lambda a: a * a,
    "reciprocal": lambda a: 1.0 / a,
    "absolute": lambda a: a.abs(),
    "sqrt": lambda a: a.sqrt(),
    "maximum": lambda a, b: a.maximum(b),
    "minimum": lambda a, b: a.minimum(b),
    "fmax": lambda a, b: a.intrinsic("maxnum", b),
    "fmin": lambda a, b: a.intrinsic("minnum", b),
    "floor": lambda a: a.floor(),
    "ceil": lambda a: a.intrinsic("ceil"),
    "trunc": lambda a: a.trunc(),
    "fix": lambda a: a.trunc(),
    "rint": lambda a: a.intrinsic("rint"),
    "copysign": lambda a, b: a.copysign(b),
    "sign": lambda a: a.ne(a).select(a, a.gt(0.0).to_double() - a.lt(0.0).to_double()),
    "signbit": lambda a: a.like(1.0).copysign(a).lt(0.0),
    "isfinite": lambda a: a.is_finite(),
    "isnan": lambda a: a.ne(a),
    "isinf": lambda a: a.abs().eq(math.inf),
    "isneginf": lambda a: a.eq(-math.inf),
    "isposinf": lambda a: a.eq(math.inf),
    "heaviside": lambda a, b: a.ne(a).select(a, a.eq(0.0).select(b, a.gt(0.0).to_double())),
    "deg2rad": lambda a: a * (math.pi / 180),
    "rad2deg": lambda a: a * (180 / math.pi),
}


def _rest(a: Value, b: Value) -> Value:
    """What is left of a division, with the sign of the dividend."""
    return a.fn.write(f"frem {a.type} {a.name}, {b.name}", a.type)


@written("fmod")
def _fmod(a: Value, b: Value) -> Value:
    """With the sign of the dividend, as in C."""
    return _rest(a, b)


@written("floor_divide")
def _floor_divide(a: Value, b: Value) -> Value:
    """By the remainder, as in NumPy: 1 // 0.1 is 9, since 0.1 is more than a tenth."""
    rest = _rest(a, b)
    quotient = (a - rest) / b
    quotient = quotient - rest.ne(0.0).both(rest.lt(0.0).differs(b.lt(0.0))).to_double()
    whole = quotient.floor()
    whole = whole + (quotient - whole).gt(0.5).to_double()
    whole = quotient.eq(0.0).select(a.like(0.0).copysign(a / b), whole)
    return b.eq(0.0).select(a / b, whole)


@written("remainder")
def _remainder(a: Value, b: Value) -> Value:
    """With the sign of the divisor, as in Python."""
    rest = _rest(a, b)
    wrong = rest.ne(0.0).both(rest.lt(0.0).differs(b.lt(0.0)))
    return wrong.select(rest + b, rest.eq(0.0).select(a.like(0.0).copysign(b), rest))
