"""checkpoint and checkpointed_loop: compute again in the backward sweep what would be dear to store."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from probad.ad.box import Box
from probad.ad.closures import carried
from probad.ad.composite import Call, Place, call_as_one, guarded, join, name_of, once_per_sweep
from probad.ad.rules import like
from probad.ad.transforms import jvp, vjp
from probad.errors import ArgumentError, GradientError
from probad.tree import flatten, map_leaves

AGREEMENT = 1e-6  # relative: a value computed again may differ by rounding, not by more


def checkpoint(f: Callable) -> Callable:
    """Make a function that leaves only its arguments and its value on the tape.

    The backward sweep calls it again, on a tape of its own that is dropped at once: memory for time. Nests in itself
    and in every mode; traced values that `f` finds in its closure get their derivatives.

    Parameters
    ----------
    f : callable
        Takes and returns numbers, arrays or nests of them. It must give the same value each time it is called, and
        must not write to its arguments.

    Returns
    -------
    callable

    Raises
    ------
    GradientError
        In the sweep, if the second call gives another value: random numbers, or data that have changed.
    ConversionError
        If `f` uses a traced value from a global or from inside an object it cannot look into.

    Examples
    --------
    >>> import numpy as np
    >>> from probad.ad import grad
    >>> layer = checkpoint(lambda x: np.tanh(np.sin(x) * np.exp(x)))
    >>> def f(x):
    ...     for _ in range(3):
    ...         x = layer(x)
    ...     return x
    >>> print(round(grad(f)(0.3), 6))
    2.657969
    """

    @functools.wraps(f)
    def checkpointed(*args, **kwargs):
        return call_as_one(f, args, kwargs, _rules)

    return checkpointed


def checkpointed_loop(
    step_fn: Callable[[Any, int], Any], state: Any, n_steps: int, *, snapshots: int | None = None, block: int = 100
) -> Any:
    """The state after `n_steps` of ``state = step_fn(state, i)``, with few of the states kept for the backward sweep.

    The sweep goes through the steps in blocks, from the last to the first, and computes the state before each block
    again from the nearest one that was kept. Which are kept follows the binomial schedule, the best there is: `s`
    snapshots and `r` forward passes suffice for ``(s + r)! / (s! r!)`` blocks.

    Parameters
    ----------
    step_fn : callable
        ``step_fn(state, i)`` gives the next state; see `checkpoint` for what it may do.
    state : number, array or nest of them
        The state before the first step.
    n_steps : int
        Number of steps.
    snapshots : int, optional
        Most states that are kept at any time, the first included. The default is logarithmic in the number of blocks.
    block : int
        Number of steps whose operations are on the tape at once.

    Returns
    -------
    state
        After the last step.

    Notes
    -----
    A second derivative in reverse mode keeps one state per block.
    Source: Griewank and Walther, ACM Transactions on Mathematical Software 26 (2000) 19.

    Examples
    --------
    >>> from probad.ad import grad
    >>> decay = lambda x: checkpointed_loop(lambda state, i: 0.999 * state, x, 1000)
    >>> print(round(grad(decay)(1.0), 12), round(0.999**1000, 12))
    0.367695424771 0.367695424771
    """
    for name, value, least in (("n_steps", n_steps, 0), ("block", block, 1), ("snapshots", snapshots, 1)):
        if value is not None and value < least:
            raise ArgumentError(f"checkpointed_loop needs {name} >= {least}; got {value}.")
    n_blocks = -(-n_steps // block)
    kept = 2 * max(1, n_blocks).bit_length() if snapshots is None else snapshots

    def steps(step_fn, state, first, last):
        state = map_leaves(guarded, state)
        for i in range(first * block, min(last * block, n_steps)):
            state = step_fn(state, i)
        return state

    def advance(step_fn, state, first, last):
        if not carried((step_fn, state)):
            return steps(step_fn, state, first, last)
        for i in range(first, last):
            state = call_as_one(steps, (step_fn, state, i, i + 1), {}, _rules)
        return state

    def rules(call):
        push, _ = _rules(call)
        return push, once_per_sweep(_Reversal(name_of(step_fn), call, steps, advance, n_blocks, kept))

    return call_as_one(advance, (step_fn, state, 0, n_blocks), {}, rules)


def first_part(n: int, kept: int) -> int:
    """How many of `n` blocks to advance before the next snapshot if `kept` states may be kept, this one included.

    Source: Griewank and Walther (2000), eq. 4, with beta(s, r) = (s + r)! / (s! r!).
    """
    r = 1
    while math.comb(kept + r, r) < n:
        r += 1
    return min(math.comb(kept + r - 1, r - 1), n - math.comb(kept + r - 2, r - 1))


class _Reversal:
    """The backward sweep through a loop: the cotangents of all arguments of the call from that of its output."""

    def __init__(self, name: str, call: Call, steps, advance, n_blocks: int, kept: int):
        self.name, self.call, self.steps, self.advance = name, call, steps, advance
        self.n_blocks, self.kept = n_blocks, kept

    def __call__(self, g, y, values):
        parts = call_as_one(self.whole, (list(values), g, y), {}, _rules)
        return dict(zip(self.call.active, parts, strict=True))

    def whole(self, values, g, y):
        """The cotangents of the active arrays."""
        call = self.call
        _, (step_fn, state, _, _), _ = call.arguments(values)
        totals: list = [None] * len(call.active)
        g = self.stretch(step_fn, state, 0, self.n_blocks, self.kept, values, call.cut(g), y, totals)
        places = flatten(call.arguments([Place(k) for k in range(len(values))])[1][1])[0]
        moving = [place for place, leaf in zip(places, flatten(state)[0], strict=True) if _moves(leaf)]
        of_state = {place.position: part for place, part in zip(moving, g, strict=True) if type(place) is Place}
        return [
            _sum(total, of_state.get(k))
            if k in of_state or total is not None
            else like.zeros(values[k], values[k].shape)
            for k, total in zip(call.active, totals, strict=True)
        ]

    def stretch(self, step_fn, state, first, last, kept, values, g, y, totals):
        """Pull `g` back from the state after block `last` to that before block `first`."""
        if first == last:
            return g
        while last - first > 1:
            middle = first + first_part(last - first, kept)
            snapshot = call_as_one(self.advance, (step_fn, state, first, middle), {}, _rules)
            g = self.stretch(step_fn, snapshot, middle, last, kept - 1, values, g, y, totals)
            del snapshot
            last = middle
        g, of_values = call_as_one(self.block, (state, first, values, g, y), {}, _rules)
        totals[:] = map(_sum, totals, of_values)
        return g

    def block(self, state, i, values, g, y):
        """Pull `g` back through one block, to the state before it and to all active arrays."""
        leaves, rebuild = flatten(state)
        active = self.call.active

        def run(moving, constants):
            moving, arrays = iter(moving), list(values)
            for k, x in zip(active, constants, strict=True):
                arrays[k] = x
            step_fn = self.call.arguments(arrays)[1][0]
            out = self.steps(step_fn, rebuild([next(moving) if _moves(x) else x for x in leaves]), i, i + 1)
            return [x for x in flatten(out)[0] if _moves(x)]

        inputs = [x for x in leaves if _moves(x)], [values[k] for k in active]
        again, pullback = vjp(run, *inputs)
        if i == self.n_blocks - 1:
            _compare(self.name, join(again), y, lambda: join(run(*inputs)))
        return pullback(g)


def _moves(leaf) -> bool:
    """Whether a part of the state has a derivative; integers have none."""
    return type(leaf) is Box or isinstance(leaf, float) or getattr(getattr(leaf, "dtype", None), "kind", "") == "f"


def _sum(a, b):
    return b if a is None else a if b is None else a + b


def _rules(call: Call):
    """Forward mode and the backward sweep call the function again, both as one primitive for the levels outside."""
    active = call.active

    def of_moving(values, positions):
        def f(*moving):
            arrays = list(values)
            for k, x in zip(positions, moving, strict=True):
                arrays[k] = x
            return call.function(*arrays)

        return f

    def push(tangents, y, values, params):
        positions = [k for k, t in enumerate(tangents) if t is not None]

        def along(values, directions):
            return jvp(of_moving(values, positions), [values[k] for k in positions], directions)[1]

        return call_as_one(along, (list(values), [tangents[k] for k in positions]), {}, _rules)

    def pull_all(g, y, values):
        def back(values, g, y):
            again, pullback = vjp(of_moving(values, active), *[values[k] for k in active])
            _compare(call.name, again, y, lambda: call.function(*values))
            return list(pullback(g))

        return dict(zip(active, call_as_one(back, (list(values), g, y), {}, _rules), strict=True))

    return push, once_per_sweep(pull_all)


def _compare(name: str, again, y, plain_fn: Callable) -> None:
    """Refuse a function that gives another value each time. Rounding may differ between the tape and plain NumPy."""
    if Box in map(type, (again, y)) or np.array_equal(again, y, equal_nan=True):
        return
    plain = plain_fn()
    if type(plain) is not Box and not np.allclose(plain, y, rtol=AGREEMENT, atol=0.0, equal_nan=True):
        raise GradientError(
            f"{name} under checkpoint gave another value when the backward sweep called it again. It draws "
            "random numbers or depends on something that has changed since. Pass such things as arguments."
        )
