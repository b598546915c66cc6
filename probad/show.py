"""`show`: print what a function or a model becomes: its graph, the source of its derivative, and the machine's code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from probad.density import FunctionDensity
from probad.errors import ArgumentError
from probad.model import BoundModel

WHAT = ("graph", "source", "llvm")


def show(
    target: Callable | BoundModel | FunctionDensity,
    *args: Any,
    what: str | tuple[str, ...] = "source",
    gradient: bool = True,
    file: TextIO | None = None,
) -> None:
    """Print what a log density or a function is compiled to.

    Parameters
    ----------
    target : callable, bound model or log density
        Of a function, the scalar result is differentiated by its first argument.
    *args
        For functions: a point at which to look. The path taken there is shown.
    what : {"graph", "source", "llvm"} or several of them
        The operations after all passes, with loops; the same as NumPy source that runs; the text given to LLVM.
    gradient : bool
        Whether to show value and gradient, or the value alone.
    file : text stream, optional
        Where to print; standard output by default.

    Examples
    --------
    >>> show(lambda x: np.sum(np.sin(x)), np.zeros(3))
    def value_and_grad(z0):
        v1 = np.sin(z0)
        v2 = np.sum(v1, axis=None, keepdims=False)
        v3 = np.cos(z0)
        return v2, v3
    """
    from probad.codegen.expand import expand
    from probad.codegen.program import write
    from probad.ir.capture import capture
    from probad.ir.passes import prepare, prepare_gradient
    from probad.ir.source import Source, listing

    wanted = (what,) if isinstance(what, str) else tuple(what)
    for name in wanted:
        if name not in WHAT:
            raise ArgumentError(f"what must be of {', '.join(map(repr, WHAT))}; got {name!r}.")
    fn, args = _function(target, args)
    graph, _ = capture(fn, *args)
    graph = prepare(graph)
    if gradient:
        graph = prepare_gradient(graph)
    out = sys.stdout if file is None else file
    for name in wanted:
        if name == "graph":
            text = listing(graph)
        elif name == "source":
            text = Source(graph, "value_and_grad" if gradient else "value").text
        else:
            text = write(expand(graph), apart=gradient).text
        print(text, file=out)


def _function(target: Any, args: tuple) -> tuple[Callable, tuple]:
    if isinstance(target, BoundModel):
        target = target.density()
    if isinstance(target, FunctionDensity):
        if args:
            raise ArgumentError("A log density is shown at a point of its own; leave the arguments out.")
        return target.function, (0.3 * np.random.default_rng(0).uniform(-1.0, 1.0, target.dim),)
    if not callable(target):
        raise ArgumentError(f"show takes a function, a model or a log density; got {type(target).__name__}.")
    if not args:
        raise ArgumentError("show needs a point to look at: pb.show(fn, x).")
    return getattr(target, "__wrapped__", target), args
