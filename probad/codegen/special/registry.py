"""The table of functions that are written as native code, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from probad.codegen.text import Value

WRITTEN: dict[str, Callable[..., Value]] = {}


def written(op: str) -> Callable:
    """Enrol a function of values as the native code of a primitive."""

    def enrol(emit: Callable[..., Value]) -> Callable[..., Value]:
        WRITTEN[op] = emit
        return emit

    return enrol


def polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """A polynomial by Estrin's scheme, in which most operations do not wait for each other."""
    terms = [x.like(c) for c in coefficients]
    while len(terms) > 1:
        pairs = [b.fma(x, a) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
        x = x * x
    return terms[0]
