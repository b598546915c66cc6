"""Find the traced values a function carries in its closure, and make the function again with others in their place."""

from __future__ import annotations

import copy
import dataclasses
import functools
import types
from collections.abc import Iterable

import numpy as np

from probad.ad.box import Box
from probad.tree import flatten

# How many objects are looked at: a closure may lead to anything. What is missed is recognised later, as a leak.
LIMIT = 10_000
ATOMS = (str, bytes, int, float, complex, type(None), type, types.ModuleType, types.BuiltinFunctionType)


class Hole:
    """The place of a value that has been taken out."""

    __slots__ = ()


def carried(x, *, arrays: bool = False) -> list:
    """The traced values that `x` leads to: a function through its closure, a container or an object through its parts.

    Parameters
    ----------
    x : object
        A function, a nest of containers, or an object.
    arrays : bool
        Whether to list the numeric arrays in containers as well. Those in closures are left where they are.

    Returns
    -------
    list of Box, Hole or ndarray
        Each once.
    """
    found, seen = {}, {}
    waiting = [(x, arrays)]
    while waiting and len(seen) < LIMIT:
        x, arrays = waiting.pop()
        if id(x) in seen or isinstance(x, ATOMS):
            continue
        seen[id(x)] = x  # kept, so that its number is not given to another object
        if type(x) in (Box, Hole) or (arrays and isinstance(x, np.ndarray) and x.dtype.kind in "fiub"):
            found[id(x)] = x
            continue
        arrays = arrays and (isinstance(x, list | tuple | dict) or dataclasses.is_dataclass(x))
        waiting += [(part, arrays) for part in reversed(_inside(x))]
    return list(found.values())


def replaced(x, old: Iterable, new: Iterable):
    """The same object with the values `new` in place of `old`; what does not lead to one of them is not copied."""
    return _replace(x, {id(a): b for a, b in zip(old, new, strict=True)}, {})


def _inside(x) -> list:
    """The objects directly inside `x`."""
    if isinstance(x, types.FunctionType):
        parts = [c.cell_contents for c in x.__closure__ or () if _filled(c)]
        return [*parts, *(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()]
    if isinstance(x, functools.partial):
        return [x.func, *x.args, *x.keywords.values()]
    if isinstance(x, types.MethodType):
        return [x.__func__, x.__self__]
    if isinstance(x, np.ndarray):
        return list(x.ravel()) if x.dtype.kind == "O" else []
    leaves, _ = flatten(x)
    if len(leaves) != 1 or leaves[0] is not x:
        return leaves
    return list(vars(x).values()) if _is_plain_object(x) else []


def _filled(cell) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _is_plain_object(x) -> bool:
    return hasattr(x, "__dict__") and not hasattr(x, "shape") and type(x).__module__ not in ("builtins", "threading")


def _leads_to(x, new: dict) -> bool:
    seen, waiting = {}, [x]
    while waiting and len(seen) < LIMIT:
        x = waiting.pop()
        if id(x) in new:
            return True
        if id(x) not in seen and not isinstance(x, ATOMS):
            seen[id(x)] = x
            waiting += _inside(x)
    return False


def _replace(x, new: dict, made: dict):
    if id(x) in new:
        return new[id(x)]
    if id(x) in made:
        return made[id(x)]
    if isinstance(x, ATOMS) or not _leads_to(x, new):
        return x
    if isinstance(x, types.FunctionType):
        return _replace_function(x, new, made)
    if isinstance(x, functools.partial):
        args = [_replace(a, new, made) for a in x.args]
        keywords = {k: _replace(v, new, made) for k, v in x.keywords.items()}
        return functools.partial(_replace(x.func, new, made), *args, **keywords)
    if isinstance(x, types.MethodType):
        return types.MethodType(_replace(x.__func__, new, made), _replace(x.__self__, new, made))
    if isinstance(x, np.ndarray):
        out = np.empty(x.shape, dtype=object)
        for i in np.ndindex(x.shape):
            out[i] = _replace(x[i], new, made)
        return out
    leaves, rebuild = flatten(x)
    if len(leaves) != 1 or leaves[0] is not x:
        return rebuild([_replace(leaf, new, made) for leaf in leaves])
    twin = made[id(x)] = copy.copy(x)
    for name, part in vars(x).items():
        twin.__dict__[name] = _replace(part, new, made)
    return twin


def _replace_function(f, new: dict, made: dict):
    """A function with new cells; made before they are filled, for it may call itself."""
    cells = [types.CellType() if _filled(c) and _leads_to(c.cell_contents, new) else c for c in f.__closure__ or ()]
    defaults = f.__defaults__ and tuple(_replace(v, new, made) for v in f.__defaults__)
    twin = types.FunctionType(f.__code__, f.__globals__, f.__name__, defaults, tuple(cells))
    made[id(f)] = twin
    twin.__dict__.update(f.__dict__)
    twin.__qualname__ = f.__qualname__
    if f.__kwdefaults__:
        twin.__kwdefaults__ = {k: _replace(v, new, made) for k, v in f.__kwdefaults__.items()}
    for cell, old in zip(cells, f.__closure__ or (), strict=True):
        if cell is not old:
            cell.cell_contents = _replace(old.cell_contents, new, made)
    return twin
