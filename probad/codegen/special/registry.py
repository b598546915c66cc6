"""The table of functions that are written as native code, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from probad.codegen.text import Value

ROUNDER = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to a whole number, which is then in the low bits
WRITTEN: dict[str, Callable[..., Value]] = {}
FAMILIES: dict[str, Callable[[int], Callable[..., Value]]] = {}


def written(op: str) -> Callable:
    """Enrol a function of values as the native code of a primitive."""

    def enrol(emit: Callable[..., Value]) -> Callable[..., Value]:
        WRITTEN[op] = emit
        return emit

    return enrol


def family(prefix: str, make: Callable[[int], Callable[..., Value]]) -> None:
    """Enrol functions whose primitives are named by a prefix and a whole number."""
    FAMILIES[prefix] = make


def emitter(op: str) -> Callable[..., Value] | None:
    """What writes the native code of a primitive, if there is something."""
    if op not in WRITTEN:
        prefix = op.rstrip("0123456789")
        if prefix == op or prefix not in FAMILIES:
            return None
        WRITTEN[op] = FAMILIES[prefix](int(op[len(prefix) :]))
    return WRITTEN[op]


def call_written(name: str, emit: Callable[..., Value], values: Sequence[Value], *, inline: bool) -> Value:
    """Call a function that is defined once in the module for each number of lanes."""
    fn, lanes = values[0].fn, values[0].lanes
    name = f"{name}_{lanes}"
    if name not in fn.module.functions:
        inner = fn.module.function(name, values[0].type, [v.type for v in values])
        inner.linkage = "internal"
        inner.attributes = "nounwind willreturn memory(none)"
        inner.ret(emit(*inner.arguments))
    return fn.call(name, values[0].type, values, inline=inline)


def except_for(rare: Value, common: Value, name: str, emit: Callable[..., Value], *values: Value) -> Value:
    """`common`, but where a rare condition holds what `emit` gives: that is called, and only if it holds somewhere.

    Parameters
    ----------
    rare : Value
        A condition for each element.
    common : Value
        What is right elsewhere; it is computed in any case.
    name : str
        The name of the function that is called.
    emit : callable
        Writes its body, from `values`.
    """
    fn = common.fn
    here, there, after = fn.block("here"), fn.block("rare"), fn.block("after")
    fn.go_to(here)
    fn.start(here)
    fn.branch(rare.any(), there, after)
    fn.start(there)
    whole = rare.select(call_written(name, emit, values, inline=False), common)
    fn.go_to(after)
    fn.start(after)
    return fn.write(f"phi {common.type} [ {common.name}, %{here} ], [ {whole.name}, %{there} ]", common.type)


def polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """A polynomial by Estrin's scheme, in which most operations do not wait for each other."""
    terms = [x.like(c) for c in coefficients]
    while len(terms) > 1:
        pairs = [b.fma(x, a) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
        x = x * x
    return terms[0]


def times_polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """X times a polynomial, where the largest term, the linear one, is rounded only with the sum."""
    return x.fma(x.like(coefficients[0]), (x * x) * polynomial(x, coefficients[1:]))


def two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """The rounded sum and its error (Knuth)."""
    total = a.exactly("add", b)
    part = total.exactly("sub", a)
    return total, a.exactly("sub", total.exactly("sub", part)).exactly("add", b.exactly("sub", part))


def fast_two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """The rounded sum and its error, where `a` is the larger one (Dekker)."""
    total = a.exactly("add", b)
    return total, b.exactly("sub", total.exactly("sub", a))


def split(x: Value) -> tuple[Value, Value]:
    """A number as a sum of its first 26 bits and the rest, so that products of such parts are exact."""
    high = x.bits().integer("and", -(1 << 27)).real()
    return high, x.exactly("sub", high)


def exact_square(x: Value) -> tuple[Value, Value]:
    """The rounded square and its error."""
    high, low = split(x)
    square = x.exactly("mul", x)
    return square, ((high * high).exactly("sub", square) + (2.0 * high) * low) + low * low
