"""Native code of elementwise operations: branch-free functions of one double or of four, and calls of libraries.

A function that is written here is defined once in a module for each number of lanes, and inlined in loops. What is not
is called element by element: from the C library, or from SciPy. `has_code` tells what has neither.

Sources: the reductions are those of Cody and Waite (1980) and of fdlibm; the coefficients are made by
``scripts/make_coefficients.py``. Accuracies are listed in the documentation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

from probad.codegen import pointers
from probad.codegen.coefficients import ATANH_TAIL, EXP_TAIL, LOG1P_TAIL, LOG2_PARTS
from probad.codegen.llvm import c_address
from probad.codegen.text import LANES, Function, Value
from probad.errors import CompileError

LOG2_E, ROUNDER = 1.4426950408889634, 6755399441055744.0  # 1.5 * 2^52: adding it rounds to a whole number
WRITTEN: dict[str, Callable[..., Value]] = {}
# Functions of the C library, by the names of primitives.
LIBM = {"sin": "sin", "cos": "cos", "tan": "tan", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
        "arctan2": "atan2", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "exp2": "exp2", "log2": "log2",
        "log10": "log10", "cbrt": "cbrt", "hypot": "hypot", "power": "pow", "fmod": "fmod", "erf": "erf",
        "erfc": "erfc", "gammaln": "lgamma"}  # fmt: skip


def has_code(op: str, n_arguments: int) -> bool:
    """Whether an elementwise operation has native code."""
    return (
        op in DIRECT
        or op in WRITTEN
        or (op in LIBM and c_address(LIBM[op]) != 0)
        or pointers.special(op, n_arguments) is not None
    )


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
    if op in WRITTEN:
        lanes = values[0].lanes
        name = f"{op}_{lanes}"
        if name not in fn.module.functions:
            inner = fn.module.function(name, values[0].type, [v.type for v in values])
            inner.linkage = "internal"
            inner.attributes = "nounwind willreturn memory(none)"
            inner.ret(WRITTEN[op](*inner.arguments))
        return fn.call(name, values[0].type, values, inline=inline)
    return _element_by_element(fn, op, values)


def _element_by_element(fn: Function, op: str, values: Sequence[Value]) -> Value:
    """Call a function of a library, once for each lane."""
    name, flag = LIBM.get(op), False
    if name is None:
        found = pointers.special(op, len(values))
        if found is None:
            raise CompileError(f"{op} has no native code that a loop could use.")
        address, flag = found
        name = f"scipy_{op}"
        fn.module.symbols[name] = address
    else:
        fn.module.symbols[name] = c_address(name)
    types = ["double"] * len(values) + ["i32"] * flag
    fn.module.declare(f"declare double @{name}({', '.join(types)})")
    last = [fn.status(0)] if flag else []
    if values[0].lanes == 1:
        return fn.call(name, "double", [*values, *last])
    return fn.vector([fn.call(name, "double", [*(v.lane(j) for v in values), *last]) for j in range(LANES)])


def _written(op: str) -> Callable:
    def enrol(emit: Callable[..., Value]) -> Callable[..., Value]:
        WRITTEN[op] = emit
        return emit

    return enrol


def _polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """A polynomial by Estrin's scheme, in which most operations do not wait for each other."""
    terms = [x.like(c) for c in coefficients]
    while len(terms) > 1:
        pairs = [b.fma(x, a) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
        x = x * x
    return terms[0]


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
    "floor_divide": lambda a, b: (a / b).floor(),
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


@_written("remainder")
def _remainder(a: Value, b: Value) -> Value:
    """With the sign of the divisor, as in Python."""
    rest = a.fn.write(f"frem {a.type} {a.name}, {b.name}", a.type)
    wrong = rest.ne(0.0).both((rest * b).lt(0.0))
    return wrong.select(rest + b, rest.eq(0.0).select(a.like(0.0).copysign(b), rest))


# --- exponentials -----------------------------------------------------------------------------------------------------
def _reduced(x: Value) -> tuple[Value, Value, Value]:
    """For exp: the whole number n nearest to x / log 2 as bits and as a double, and r = x - n log 2."""
    shifted = (x * LOG2_E).exactly("add", ROUNDER)
    n = shifted.exactly("sub", ROUNDER)
    r = (-n).fma(x.like(LOG2_PARTS[0]), x)
    r = (-n).fma(x.like(LOG2_PARTS[1]), r)
    return shifted.bits(), n, r


def _power_of_two(shifted: Value) -> tuple[Value, Value]:
    """2^n as a product of two powers that do not overflow; n is in the low bits."""
    low = shifted.integer("shl", 32).integer("ashr", 32)
    half = low.integer("ashr", 1)
    rest = low.fn.write(f"sub {low.type} {low.name}, {half.name}", low.type)
    return tuple(p.integer("add", 1023).integer("shl", 52).real() for p in (half, rest))


def _tail(r: Value) -> Value:
    """exp(r) - 1 for small r."""
    return (r * r).fma(_polynomial(r, EXP_TAIL), r)


@_written("exp")
def _exp(x: Value) -> Value:
    x = x.gt(710.0).select(710.0, x)
    x = x.lt(-746.0).select(-746.0, x)
    shifted, _, r = _reduced(x)
    a, b = _power_of_two(shifted)
    return ((_tail(r) + 1.0) * a) * b


def _exp_below_one(x: Value) -> Value:
    """exp(x) for x <= 0, in fewer steps one after the other."""
    x = x.lt(-746.0).select(-746.0, x)
    shifted, _, r = _reduced(x)
    a, b = _power_of_two(shifted)
    return (_tail(r) + 1.0) * (a * b)


@_written("expm1")
def _expm1(x: Value) -> Value:
    """2^n (exp(r) - 1) + (2^n - 1), where the second difference is exact."""
    bounded = x.gt(709.0).select(709.0, x)
    bounded = bounded.lt(-50.0).select(-50.0, bounded)
    shifted, _, r = _reduced(bounded)
    a, b = _power_of_two(shifted)
    scale = a * b
    out = scale.fma(_tail(r), scale - 1.0)
    return x.gt(709.0).select(_exp(x), x.eq(0.0).select(x, out))


@_written("tanh")
def _tanh(x: Value) -> Value:
    t = _expm1(x.abs() * -2.0)
    return (-t / (t + 2.0)).copysign(x)


@_written("sinh")
def _sinh(x: Value) -> Value:
    t = _expm1(x.abs())
    half = _exp(x.abs() * 0.5)
    out = x.abs().gt(700.0).select((half * 0.5) * half, (t + t / (t + 1.0)) * 0.5)
    return out.copysign(x)


@_written("cosh")
def _cosh(x: Value) -> Value:
    e = _exp(x.abs())
    half = _exp(x.abs() * 0.5)
    return x.abs().gt(700.0).select((half * 0.5) * half, (e + 1.0 / e) * 0.5)


# --- logarithms -------------------------------------------------------------------------------------------------------
def _log_parts(x: Value) -> tuple[Value, Value]:
    """Positive x as 2^k (1 + f) with 1 + f between the square roots of 1/2 and of 2: k and f."""
    tiny = x.lt(2.2250738585072014e-308)
    bits = tiny.select(x * 18014398509481984.0, x).bits()
    exponent = bits.integer("sub", 0x3FE6A09E667F3BCD).integer("ashr", 52)  # from the bits of the root of 1/2 on
    back = exponent.integer("shl", 52)
    mantissa = bits.fn.write(f"sub {bits.type} {bits.name}, {back.name}", bits.type).real()
    # the exponent as a double: by the bits of a large number whose low bits it becomes
    k = exponent.integer("add", 0x4338000000000000).real().exactly("sub", ROUNDER)
    return tiny.select(k - 54.0, k), mantissa.exactly("sub", 1.0)


def _log_of(k: Value, f: Value, low: Value) -> Value:
    """K log 2 + log(1 + f) + low."""
    s = f / (f + 2.0)
    z = s * s
    half_square = (f * 0.5) * f
    rest = z * _polynomial(z, ATANH_TAIL)
    small = s * (half_square + rest) + k.fma(k.like(LOG2_PARTS[1]), low)
    return k.fma(k.like(LOG2_PARTS[0]), f - (half_square - small))


@_written("log")
def _log(x: Value) -> Value:
    k, f = _log_parts(x)
    out = _log_of(k, f, x.like(0.0))
    out = x.eq(math.inf).select(x, out)
    out = x.eq(0.0).select(-math.inf, out)
    return x.ge(0.0).select(out, math.nan)


@_written("log1p")
def _log1p(x: Value) -> Value:
    """log(u) + c / u for u = 1 + x rounded, with the error c of the rounding."""
    u = x.exactly("add", 1.0)
    error = x.exactly("sub", u.exactly("sub", 1.0))
    large = x.exactly("sub", u).exactly("add", 1.0)  # the same where x is large
    error = x.abs().gt(1.0).select(large, error)
    k, f = _log_parts(u)
    out = _log_of(k, f, error / u)
    out = x.eq(math.inf).select(x, out)
    out = x.eq(-1.0).select(-math.inf, out)
    out = x.eq(0.0).select(x, out)  # with its sign
    return x.ge(-1.0).select(out, math.nan)


def _log1p_of_part(e: Value) -> Value:
    """log(1 + e) for e between 0 and 1: without a division, for which others would wait."""
    return e * _polynomial(e, LOG1P_TAIL)


# --- logistic ---------------------------------------------------------------------------------------------------------
@_written("expit")
def _expit(x: Value) -> Value:
    e = _exp_below_one(-x.abs())
    return x.ge(0.0).select(1.0, e) / (e + 1.0)


@_written("log_expit")
def _log_expit(x: Value) -> Value:
    return -((-x).maximum(0.0) + _log1p_of_part(_exp_below_one(-x.abs())))


@_written("logit")
def _logit(x: Value) -> Value:
    near = _log1p((x * 2.0 - 1.0) / (1.0 - x))
    return x.lt(0.3).select(_log(x / (1.0 - x)), near)


@_written("logaddexp")
def _logaddexp(a: Value, b: Value) -> Value:
    out = a.maximum(b) + _log1p_of_part(_exp_below_one(-(a - b).abs()))
    return a.eq(b).select(a + math.log(2), out)  # also of infinities, which have no difference


@_written("logaddexp2")
def _logaddexp2(a: Value, b: Value) -> Value:
    out = a.maximum(b) + _log1p_of_part(_exp_below_one((a - b).abs() * -math.log(2))) * LOG2_E
    return a.eq(b).select(a + 1.0, out)


# --- entropies --------------------------------------------------------------------------------------------------------
@_written("xlogy")
def _xlogy(a: Value, b: Value) -> Value:
    return a.eq(0.0).both(b.eq(b)).select(0.0, a * _log(b))


@_written("xlog1py")
def _xlog1py(a: Value, b: Value) -> Value:
    return a.eq(0.0).both(b.eq(b)).select(0.0, a * _log1p(b))


@_written("entr")
def _entr(x: Value) -> Value:
    out = x.eq(0.0).select(0.0, -x * _log(x))
    return x.lt(0.0).select(-math.inf, out)


@cache
def available() -> tuple[str, ...]:
    """The operations that are written here."""
    return (*DIRECT, *WRITTEN)
