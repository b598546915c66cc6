"""What `sample`, `deterministic` and `factor` do: they send a message to whoever runs the model, and return its answer.

A model is an ordinary function. It is always run by an interpreter, which decides what a sample site is: the log
density reads its value from a vector, the layout run lays the vector out, others draw or record. Between the model and
its interpreter there may be further handlers that look at each message on its way, or change it. They form a stack,
one per thread, so that chains in threads do not meet.

    model body --> innermost handler --> ... --> outermost handler --> interpreter
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from probad.errors import ModelError

SAMPLE, DETERMINISTIC, FACTOR = "sample", "deterministic", "factor"


class Site:
    """One message: a primitive was called in the model.

    Attributes
    ----------
    kind : {"sample", "deterministic", "factor"}
    name : str
    dist : Distribution or None
        Of a sample site.
    obs : array_like or None
        The data of a sample site; None if it is latent.
    shape, dims
        As the user wrote them.
    value : object
        What the primitive returns. For a sample site, the interpreter's answer.
    stop : bool
        Set by a handler that has answered: outer handlers and the interpreter never see the message.
    """

    __slots__ = ("dims", "dist", "kind", "name", "obs", "shape", "stop", "value")

    def __init__(self, kind, name, dist, obs, value, shape, dims):
        self.kind = kind
        self.name = name
        self.dist = dist
        self.obs = obs
        self.value = value
        self.shape = shape
        self.dims = dims
        self.stop = False


class _Running(threading.local):
    stack: list[Handler] | tuple = ()  # the interpreter first, the innermost handler last; empty outside a model


_running = _Running()


class Handler:
    """Something that sees the messages of the model code inside its ``with`` block.

    Subclasses override `process`, which sees a message on its way out, and may set ``site.obs``, ``site.value`` or
    ``site.stop``; or `finish`, which sees it on its way back, with the answer in ``site.value``.

    Examples
    --------
    >>> class Shout(Handler):
    ...     def process(self, site):
    ...         print(site.name.upper())
    """

    def process(self, site: Site) -> None:
        """See a message before the handlers further out do."""

    def finish(self, site: Site) -> None:
        """See the message again, with its answer."""

    def __enter__(self):
        if not _running.stack:
            raise ModelError(f"{type(self).__name__} was entered outside a model. Use it inside a @pb.model function.")
        _running.stack.append(self)
        return self

    def __exit__(self, *exc_info):
        _running.stack.pop()


class Interpreter(Handler):
    """The outermost handler, which gives every message its meaning."""

    def run(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        """Call `function`, and answer its messages and nobody else's: a model run inside a model is on its own."""
        outer = _running.stack
        _running.stack = [self]
        try:
            return function(*args, **kwargs)
        finally:
            _running.stack = outer


def is_running() -> bool:
    """Tell whether a model is being run in this thread."""
    return bool(_running.stack)


def sample(name: str, dist, *, obs=None, shape=None, dims=None) -> Any:
    """Declare a random variable, and get its value.

    Parameters
    ----------
    name : str
        Unique in the model.
    dist : Distribution
        From `probad.dist`.
    obs : array_like, optional
        Data. With it the variable is observed; without it, latent.
    shape : int or tuple of int, optional
        Batch shape: independent draws along these axes. The parameters of `dist` must broadcast to it; the shape of
        one draw (a vector for `MvNormal`) is added behind.
    dims : str or tuple of str, optional
        Names of all axes of the variable, those of one draw included. Lengths come from ``coords=`` of the model
        call; a name without coords takes the length that data, `shape` or `dist` give to its axis.

    Returns
    -------
    array
        The data if observed, else the current value, which ordinary NumPy code may use.

    Raises
    ------
    ModelError
        Outside a model.

    Examples
    --------
    ::

        @pb.model
        def coin(y):
            p = pb.sample("p", dist.Beta(1.0, 1.0))
            pb.sample("y", dist.Bernoulli(p), obs=y)
    """
    return _send(Site(SAMPLE, name, dist, obs, None, shape, dims))


def deterministic(name: str, value, *, dims=None) -> Any:
    """Record a value computed from random variables, to be returned with the draws.

    Parameters
    ----------
    name : str
        Unique in the model.
    value : array_like
    dims : str or tuple of str, optional
        Names of its axes.

    Returns
    -------
    object
        `value`, as it was given.
    """
    return _send(Site(DETERMINISTIC, name, None, None, value, None, dims))


def factor(name: str, logp) -> None:
    """Add a term to the log density: a constraint, a penalty, or a likelihood written by hand.

    Parameters
    ----------
    name : str
        Unique in the model.
    logp : array_like, nats
        An array is summed.
    """
    _send(Site(FACTOR, name, None, None, logp, None, None))


def _send(site: Site):
    """Pass a message out through the stack, and its answer back."""
    stack = _running.stack
    if len(stack) == 1:  # the usual case: nothing between the model and its interpreter
        stack[0].process(site)
        return site.value
    if not stack:
        raise ModelError(_outside(site))
    passed = []
    for handler in reversed(stack):
        handler.process(site)
        passed.append(handler)
        if site.stop:
            break
    for handler in reversed(passed):
        handler.finish(site)
    return site.value


def _outside(site: Site) -> str:
    caller = sys._getframe(3).f_code.co_name
    where = f", in {caller}()" if caller != "<module>" else ""
    return (
        f"pb.{site.kind}({site.name!r}, ...) was called outside a model{where}. Decorate the function with @pb.model, "
        "call it with its data, and pass the result to pb.nuts; a function that a model calls needs no decorator."
    )
