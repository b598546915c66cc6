"""Exponentials and logarithms of single numbers, by tables: their results are there in two thirds of the time.

Code for four numbers is busy with them all the time; code for one number mostly waits for the result of one operation
to begin the next. So here chains are short: a table gives the function at the nearest of 64 points for each factor of
two, and a short polynomial the rest, after Tang (1989, 1990). What edges need is compared beside the chain.

Source: Tang, Table-driven implementation of the exponential function in IEEE floating-point arithmetic, ACM TOMS 15
(1989), and of the logarithm function, ACM TOMS 16 (1990).
"""

from __future__ import annotations

import math
from functools import cache

from probad.codegen import coefficients
from probad.codegen.coefficients import EXP_SHORT_TAIL, LOG1P_SQUARE_TAIL, LOG2_PARTS, LOG2_STEP_PARTS
from probad.codegen.special.registry import ROUNDER, polynomial
from probad.codegen.text import Function, Value, literal

STEPS_PER_LOG2 = 92.33248261893153  # 64 / log 2
FIRST_CELL = 0x3FE6800000000000 - (1 << 45)  # the bits of 90 / 128, less half a cell: where the first cell begins
CELL = 46  # the bits below those that tell one of the 64 cells of a factor of two


@cache
def _numbers(name: str) -> tuple[str, int]:
    """A table of rows as LLVM reads it, and how many numbers it has."""
    numbers = [x for row in getattr(coefficients, name) for x in row]
    return ", ".join(f"double {literal(x)}" for x in numbers), len(numbers)


def _row(fn: Function, name: str, index: Value) -> list[Value]:
    """A row of a table."""
    width = len(getattr(coefficients, name)[0])
    row = fn.element(fn.table(name, *_numbers(name)), index.integer("mul", width))
    return [fn.load(fn.element(row, column)) for column in range(width)]


# --- exponentials -----------------------------------------------------------------------------------------------------
def _exp_parts(x: Value, low: Value | None = None) -> tuple[Value, Value, Value]:
    """exp(x + low) for x between -746 and 710 as a b (1 + t): a is a power of 2^(1/64), b of 2; none overflows."""
    shifted = x.fma(x.like(STEPS_PER_LOG2), ROUNDER)
    n = shifted.exactly("sub", ROUNDER)
    r = (-n).fma(x.like(LOG2_STEP_PARTS[0]), x)
    if low is None:
        r = (-n).fma(x.like(LOG2_STEP_PARTS[1]), r)
    else:
        r = r + (-n).fma(x.like(LOG2_STEP_PARTS[1]), low)
    bits = shifted.bits()
    power, missing = _row(x.fn, "EXP_TABLE", bits.integer("and", 63))
    k = bits.integer("shl", 32).integer("ashr", 38)
    half = k.integer("ashr", 1)
    a = (power.bits() + half.integer("shl", 52)).real()
    b = (k - half).integer("add", 1023).integer("shl", 52).real()
    return a, b, (r * r).fma(polynomial(r, EXP_SHORT_TAIL), r + missing)


def exp_of_one(x: Value, low: Value | None) -> Value:
    """exp(x + low) for |low| far below 1; overflow, subnormal results, infinities and nan as in C."""
    x = x.gt(710.0).select(710.0, x)
    x = x.lt(-746.0).select(-746.0, x)
    a, b, t = _exp_parts(x, low)
    return a.fma(t, a) * b


def exp_of_one_below_one(x: Value) -> Value:
    """exp(x) for x <= 0, in fewer steps one after the other."""
    a, b, t = _exp_parts(x.lt(-746.0).select(-746.0, x))
    scale = a * b
    return scale.fma(t, scale)


# --- logarithms -------------------------------------------------------------------------------------------------------
def _cell_of(bits: Value) -> tuple[Value, Value, Value, list[Value]]:
    """For the bits of 2^k m with m between 0.699 and 1.398: k, also as bits of an exponent, and m's cell.

    Of that, the middle and the row of the table.
    """
    beyond = bits.integer("sub", FIRST_CELL)
    k = beyond.integer("ashr", 52)
    cell = beyond.integer("lshr", CELL).integer("and", 63)
    middle = cell.integer("shl", CELL).integer("add", FIRST_CELL + (1 << (CELL - 1))).real()
    return k, k.integer("shl", 52), middle, _row(bits.fn, "LOG_TABLE", cell)


def _sum_of_logs(k: Value, f: Value, row: list[Value]) -> Value:
    """The logarithm of 2^k (c + f) from the row of the table for c."""
    inverse, near_1, high, low = row
    r = f.fma(inverse, near_1)
    whole = (k.integer("add", 0x4338000000000000)).real().exactly("sub", ROUNDER)
    high = whole.fma(r.like(LOG2_PARTS[0]), high)  # exact
    low = whole.fma(r.like(LOG2_PARTS[1]), low)
    total = high.exactly("add", r)
    error = high.exactly("sub", total).exactly("add", r)
    return total + (r * r).fma(polynomial(r, LOG1P_SQUARE_TAIL), low + error)


def log_of_one(x: Value) -> Value:
    """The natural logarithm."""
    tiny = x.lt(2.2250738585072014e-308)
    bits = tiny.select((x * 18014398509481984.0).bits(), x.bits())
    k, shift, middle, row = _cell_of(bits)
    f = (bits - shift).real().exactly("sub", middle)
    out = _sum_of_logs(tiny.select(k.integer("sub", 54), k), f, row)
    edge = x.eq(0.0).select(-math.inf, x.gt(0.0).select(x, math.nan))
    return x.gt(0.0).both(x.lt(math.inf)).select(out, edge)


def log1p_of_one(x: Value) -> Value:
    """The cell is that of 1 + x rounded, but x 2^-k + (2^-k - c) has all digits of x."""
    bits = x.exactly("add", 1.0).bits()
    k, shift, middle, row = _cell_of(bits)
    scale = x.like(1.0).bits() - shift
    f = x.fma(scale.real(), scale.real().exactly("sub", middle))
    large = (bits - shift).real().exactly("sub", middle)  # the same where 1 does not count
    out = _sum_of_logs(k, x.gt(1e300).select(large, f), row)
    edge = x.eq(-1.0).select(-math.inf, x.ge(-1.0).select(x, math.nan))
    return x.gt(-1.0).both(x.lt(math.inf)).both(x.ne(0.0)).select(out, edge)
