"""Flatten nested containers into a list of leaves and put them together again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from probad.errors import ArgumentError

Rebuild = Callable[[list], Any]


def flatten(tree: Any) -> tuple[list, Rebuild]:
    """Split a nest of dicts, lists, tuples, named tuples and dataclasses into leaves and a way back.

    ``None`` is an empty nest; anything else that is not a container is a leaf. Dicts keep their order.

    Parameters
    ----------
    tree : object
        The nest.

    Returns
    -------
    leaves : list
        The leaves, depth first.
    rebuild : callable
        ``rebuild(new_leaves)`` returns a nest of the same structure; the wrong number of leaves raises.

    Examples
    --------
    >>> leaves, rebuild = flatten({"a": 1, "b": (2, [3])})
    >>> leaves
    [1, 2, 3]
    >>> rebuild([10, 20, 30])
    {'a': 10, 'b': (20, [30])}
    """
    if hasattr(tree, "shape"):  # a single array, the common case
        return [tree], _only
    leaves: list = []
    build = _walk(tree, leaves)
    n_leaves = len(leaves)

    def rebuild(new_leaves):
        new_leaves = list(new_leaves)
        if len(new_leaves) != n_leaves:
            raise ArgumentError(f"rebuild() got {len(new_leaves)} leaves for a structure with {n_leaves}.")
        return build(iter(new_leaves))

    return leaves, rebuild


def _only(new_leaves):
    (leaf,) = new_leaves
    return leaf


def _walk(tree, leaves: list):
    """Append the leaves of `tree` and return a function that rebuilds it from an iterator of new leaves."""
    if tree is None:
        return lambda new: None
    if isinstance(tree, dict):
        keys, builds, kind = list(tree), [_walk(v, leaves) for v in tree.values()], type(tree)
        if kind is dict:
            return lambda new: {k: build(new) for k, build in zip(keys, builds, strict=True)}
        return lambda new: kind((k, build(new)) for k, build in zip(keys, builds, strict=True))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        builds, kind = [_walk(v, leaves) for v in tree], type(tree)
        return lambda new: kind(*[build(new) for build in builds])
    if isinstance(tree, list | tuple):
        builds, kind = [_walk(v, leaves) for v in tree], type(tree)
        return lambda new: kind([build(new) for build in builds])
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = [f.name for f in dataclasses.fields(tree) if f.init]
        builds = [_walk(getattr(tree, name), leaves) for name in names]
        return lambda new: dataclasses.replace(
            tree, **{name: build(new) for name, build in zip(names, builds, strict=True)}
        )
    leaves.append(tree)
    return next


def map_leaves(fn: Callable, tree: Any) -> Any:
    """Apply `fn` to every leaf and keep the structure.

    Examples
    --------
    >>> map_leaves(abs, {"a": -1, "b": [-2]})
    {'a': 1, 'b': [2]}
    """
    leaves, rebuild = flatten(tree)
    return rebuild([fn(leaf) for leaf in leaves])
