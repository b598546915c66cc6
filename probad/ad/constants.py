"""Keep the plain arrays that a tape refers to as they were when the derivative rule will need them.

A small array is copied. A large one is made read-only until the tape is done with it, so that a write in place raises
at the line that does it. Arrays that are read-only already cost nothing.
"""

from __future__ import annotations

import threading

import numpy as np

SMALL = 4096  # bytes: below this a copy is cheaper than anything else

_lock = threading.Lock()
_frozen: dict[int, list] = {}  # id -> [array, number of tapes that hold it]


def protect(a: np.ndarray, held: list) -> np.ndarray:
    """A version of `a` that will not change; what has been made read-only is noted in `held`."""
    if not a.flags.writeable and id(a) not in _frozen:
        return a
    if a.nbytes <= SMALL:
        return np.array(a)
    with _lock:
        owner = a
        while isinstance(owner, np.ndarray):  # a write through the array behind a view counts as well
            if id(owner) in _frozen:
                _frozen[id(owner)][1] += 1
                held.append(id(owner))
            elif owner.flags.writeable:
                owner.flags.writeable = False
                _frozen[id(owner)] = [owner, 1]
                held.append(id(owner))
            owner = owner.base
    return a


def release(held: list) -> None:
    """Make writeable again what no tape holds any more; `held` is emptied."""
    if not held:
        return
    with _lock:
        for key in reversed(held):  # the array behind a view first
            entry = _frozen[key]
            entry[1] -= 1
            if entry[1] == 0:
                del _frozen[key]
                entry[0].flags.writeable = True
        held.clear()
