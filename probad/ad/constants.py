"""Keep the plain arrays that a tape refers to as they were when the derivative rule will need them.

A small array is copied. A large one is made read-only until the tape is done with it, so that a write in place raises
at the line that does it. Large arrays that are read-only already cost nothing.
"""

from __future__ import annotations

import contextlib
import threading

import numpy as np

SMALL = 4096  # bytes: below this a copy is cheaper than anything else

_lock = threading.Lock()
_n_tapes: dict[int, int] = {}  # id of an array that has been made read-only -> number of tapes that refer to it
_waiting: dict[int, list] = {}  # id of such an array -> views of it that no tape refers to any more
_asleep: set[int] = set()  # ids of these views


def protect(a: np.ndarray, held: list) -> np.ndarray:
    """A version of `a` that will not change; arrays that have been made read-only for it are noted in `held`."""
    if a.nbytes <= SMALL:
        return a.copy("K")
    _lock.acquire()  # not `with`, which takes three times as long
    try:
        owner = a
        while owner is not None:  # a write through the array behind a view counts as well
            n = _n_tapes.get(id(owner))
            if n is None:
                if owner.flags.writeable or id(owner) in _asleep:
                    owner.setflags(False)  # by position, which is twice as fast
                    _n_tapes[id(owner)] = 1
                    held.append(owner)
                elif owner is a:  # read-only from the start
                    break
            else:
                _n_tapes[id(owner)] = n + 1
                held.append(owner)
            owner = owner.base if type(owner.base) is np.ndarray else None
    finally:
        _lock.release()
    return a


def release(held: list) -> None:
    """Make writeable again what no tape refers to any more; `held` is emptied."""
    _lock.acquire()
    try:
        while held:
            a = held.pop()  # the owner of the memory before its views
            n = _n_tapes.pop(id(a))
            if n == 1:
                _make_writeable(a)
            else:
                _n_tapes[id(a)] = n - 1
    finally:
        _lock.release()


def _make_writeable(a: np.ndarray) -> None:
    """Make an array writeable, and the views that waited for it; a view waits for an owner that a tape still holds."""
    owner = a.base
    while type(owner) is np.ndarray:
        if id(owner) in _n_tapes:
            _waiting.setdefault(id(owner), []).append(a)
            _asleep.add(id(a))
            return
        owner = owner.base
    with contextlib.suppress(ValueError):  # the user has made the owner read-only meanwhile
        a.setflags(True)
    for view in _waiting.pop(id(a), ()):
        _asleep.discard(id(view))
        if id(view) not in _n_tapes:
            _make_writeable(view)


class Held(list):
    """Arrays that have been made read-only for a tape; they are writeable again when this list is gone."""

    __slots__ = ()
    __del__ = release
