"""What tells one model with its data from another: names, shapes, data, and the log density at two points.

A run is continued with the model it was made with. The fingerprint holds what must agree, in pieces small enough to
name the one that does not.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from probad.errors import StoreError
from probad.store.files import digest

SCALES = (0.1, 1.0)  # of the two points
TOLERANCE = 1e-9  # relative; machines differ by less, models by more


def take(density) -> tuple[dict[str, Any], np.ndarray]:
    """The fingerprint of a log density.

    Parameters
    ----------
    density : LogDensity

    Returns
    -------
    description : dict
        JSON content: names, variables, checksums of data and labels.
    values : (2, 1 + dim) array
        Log density and gradient at two fixed points.
    """
    variables = [[v.name, list(v.shape), None if v.dims is None else list(v.dims), v.kind] for v in density.variables]
    description = {
        "dim": density.dim,
        "names": list(density.names),
        "variables": variables,
        "observed_data": {name: _describe(values) for name, values in density.observed_data.items()},
        "constant_data": {name: _describe(values) for name, values in density.constant_data.items()},
        "coords": {name: _describe(values) for name, values in density.coords.items()},
    }
    return description, evaluate(density)


def points(dim: int) -> np.ndarray:
    """The two points, (2, dim), unconstrained."""
    rng = np.random.default_rng(20240229)
    return np.stack([scale * rng.uniform(-1.0, 1.0, dim) for scale in SCALES])


def evaluate(density) -> np.ndarray:
    """Log density and gradient at the two points, (2, 1 + dim)."""
    found = [density.logp_and_grad(z) for z in points(density.dim)]
    return np.stack([np.concatenate([[logp], grad]) for logp, grad in found])


def _describe(values) -> dict[str, Any]:
    array = np.asarray(values)
    plain = array.astype(str) if array.dtype.kind == "O" else array
    kind = "text" if plain.dtype.kind in "US" else plain.dtype.name
    content = "\0".join(plain.ravel().tolist()).encode() if plain.dtype.kind == "U" else np.ascontiguousarray(plain)
    return {"shape": list(array.shape), "dtype": kind, "sha256": digest(content)}


def compare(stored: dict[str, Any], values: np.ndarray, density, root: Path) -> None:
    """Raise an error that names the first difference between a stored fingerprint and a log density.

    Parameters
    ----------
    stored : dict
    values : (2, 1 + dim) or (2, 1) array
        Log density and gradient at the points, or without the gradient.
    density : LogDensity
    root : Path
        Of the store, for messages.
    """

    def differ(text: str) -> StoreError:
        return StoreError(
            f"{root} was made with another model or other data: {text} A run goes on with what it was started with; "
            "for another model start a new store."
        )

    found, now = take(density)
    _compare_variables(stored, found, differ)
    for kind, what in (("observed_data", "data"), ("constant_data", "argument"), ("coords", "labels of dimension")):
        before, after = stored.get(kind), found[kind]
        if not isinstance(before, dict):
            raise differ(f"there is no field '{kind}' in its fingerprint.")
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                raise differ(_difference(f"{what} '{name}'", before.get(name), after.get(name)))
    for k, (a, b) in enumerate(zip(values, now[:, : values.shape[1]], strict=True)):
        _compare_values(a, b, k, density.names, differ)


def _compare_variables(stored: dict[str, Any], found: dict[str, Any], differ) -> None:
    """Names, shapes and dimensions."""
    before, after = stored.get("variables"), found["variables"]
    if isinstance(before, list) and all(isinstance(v, list) and len(v) == 4 and isinstance(v[0], str) for v in before):
        a, b = {v[0]: v[1:] for v in before}, {v[0]: v[1:] for v in after}
        for name in a.keys() | b.keys():
            if name not in b:
                raise differ(f"it has a variable '{name}', which the model has not.")
            if name not in a:
                raise differ(f"it has no variable '{name}', which the model has.")
        for name, (shape, dims, kind) in a.items():
            if shape != b[name][0]:
                raise differ(f"variable '{name}' has shape {shape} there and {b[name][0]} in the model.")
            if [dims, kind] != b[name][1:]:
                raise differ(f"variable '{name}' is {kind} over {dims} there, {b[name][2]} over {b[name][1]} here.")
    if before != after:
        raise differ("its variables are others, or in another order.")
    if stored.get("dim") != found["dim"]:
        raise differ(f"it has {stored.get('dim')} unconstrained coordinates, the model {found['dim']}.")
    if stored.get("names") != found["names"]:
        raise differ("its coordinates have other names, or another order.")


def _difference(what: str, before, after) -> str:
    if before is None or after is None:
        return f"there is no {what} {'there' if before is None else 'here'}."
    if isinstance(before, dict):
        for key, word in (("shape", "shape"), ("dtype", "type")):
            if before.get(key) != after[key]:
                return f"{what} has {word} {before.get(key)} there and {after[key]} here."
    return f"{what} has other values."


def _compare_values(a: np.ndarray, b: np.ndarray, k: int, names: list[str], differ) -> None:
    """Log density and gradient at one of the points."""
    with np.errstate(invalid="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        close = np.abs(a - b) <= TOLERANCE * np.array([1 + abs(b[0]), *[1 + _largest(b[1:])] * (len(b) - 1)])
    bad = np.flatnonzero(~(same | close))
    if not bad.size:
        return
    i = int(bad[0])
    what = "log density" if i == 0 else f"derivative by '{names[i - 1]}'"
    raise differ(
        f"the {what} at fixed point {k + 1} is {a[i]:.12g} there and {b[i]:.12g} here, though names and data agree."
    )


def _largest(gradient: np.ndarray) -> float:
    finite = np.abs(gradient[np.isfinite(gradient)])
    return float(finite.max()) if finite.size else math.inf
