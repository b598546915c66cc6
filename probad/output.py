"""Results in ArviZ's format: the only module that imports ArviZ, and the only one that knows its two generations.

On Python 3.11 ArviZ 0.2x gives an ``InferenceData``, on 3.12 and later ArviZ 1.x a ``DataTree``. Both have the same
groups; what this module returns is whatever ``import arviz`` works with.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np

from probad.convergence import figures
from probad.garbage import without_collection
from probad.version import __version__

FEWEST_DRAWS = 4  # that ArviZ takes figures from
FEW_VALUES = 1_000_000  # draws times coordinates; to copy more takes longer than to compile twice
BLOCK = 50  # elements that are looked at together, so that memory stays small

# Groups whose arrays have no chain and draw axes.
WITHOUT_DRAWS = ("observed_data", "constant_data", "predictions_constant_data")


def import_arviz():
    """ArviZ, imported when it is first needed: it takes a second and more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 0.2x announces 1.x on import; that is not the user's concern here
        import arviz

    return arviz


@cache
def is_classic() -> bool:
    """Whether this ArviZ is of the generation of InferenceData."""
    from importlib import metadata  # slow to import, and of use here only

    return int(metadata.version("arviz").partition(".")[0]) < 1


@cache
def import_parts() -> None:
    """Import what a result will need: worth calling while others compute, since it takes a third of a second.

    Not in a thread of its own: imports change the filters of warnings for a moment, which are those of all threads.
    ArviZ 0.2x itself, which warns on import, is left for later.
    """
    with contextlib.suppress(ImportError), without_collection():  # whoever needs it will say so
        if is_classic():
            import matplotlib.pyplot  # noqa: F401
            import scipy.signal
            import scipy.stats  # noqa: F401
            import xarray

            xarray.DataArray(np.zeros(1), {"x": ["a"]}, ["x"])  # which imports more
        else:
            _tree({"posterior": {"x": np.zeros((1, 1))}}, {}, {})  # xarray imports more when it is first used


def _tree(groups: dict[str, dict[str, np.ndarray]], coords: dict[str, Any], dims: dict[str, list]):
    """A DataTree as ``from_dict`` of ArviZ 1.x makes it, for the import of which a new process would wait 0.1 s."""
    import xarray

    datasets = {}
    for group, arrays in groups.items():
        variables, labels = {}, {}
        leading = [] if group in WITHOUT_DRAWS else ["chain", "draw"]
        for name, values in arrays.items():
            numbers = itertools.count()
            given = [*leading, *dims.get(name, []), *([None] * np.ndim(values))][: np.ndim(values)]
            axes = [f"{name}_dim_{next(numbers)}" if axis is None else axis for axis in given]
            variables[name] = (axes, np.asarray(values))
            labels |= {axis: coords.get(axis, np.arange(n)) for axis, n in zip(axes, np.shape(values), strict=True)}
        attrs = {"creation_library": "probad", "creation_library_version": __version__,
                 "creation_library_language": "Python", "sample_dims": leading}  # fmt: skip
        labels = {axis: values for axis, values in labels.items() if axis not in variables}
        datasets[group] = xarray.Dataset(variables, labels, attrs)
    return xarray.DataTree.from_dict(datasets)


def to_arviz(
    groups: Mapping[str, Mapping[str, np.ndarray]],
    *,
    coords: Mapping[str, Any],
    dims: Mapping[str, tuple[str, ...]],
    attrs: Mapping[str, Any],
):
    """An ArviZ object from arrays by group and name.

    Parameters
    ----------
    groups : mapping of str to mapping of str to array
        ``(chain, draw, ...)`` arrays, without these two axes for observed and constant data. Empty groups are left out.
    coords : mapping
        Labels along dimensions.
    dims : mapping of str to tuple of str
        Names of the axes of each variable, chain and draw left out.
    attrs : mapping
        Stored with every group: strings and numbers as they are, what files cannot hold as text or JSON. None is
        left out.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
    """
    groups = {group: dict(arrays) for group, arrays in groups.items() if arrays}
    names = {name for arrays in groups.values() for name in arrays}
    dims = {name: list(axes) for name, axes in dims.items() if name in names and axes}
    used = {axis for axes in dims.values() for axis in axes}
    coords = {name: _labels(values) for name, values in coords.items() if name in used}
    if is_classic():
        from_dict = import_arviz().from_dict
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ArviZ doubts results with more chains than draws
            result = from_dict(**groups, coords=coords, dims=dims, save_warmup=True)
    else:
        result = _tree(groups, coords, dims)
    stamp = {"inference_library": "probad", "inference_library_version": __version__, "created_at": _now()}
    plain = {name: _storable(value) for name, value in attrs.items() if value is not None}
    for group in groups:
        result[group].attrs.update({**stamp, **plain})
    return result


def density_dims(density) -> dict[str, tuple[str, ...]]:
    """Names of the axes of all variables and data of a density that have names."""
    dims = {v.name: v.dims for v in density.variables if v.dims is not None}
    return {**dims, **density.data_dims}


def posterior(density, draws: np.ndarray) -> dict[str, np.ndarray]:
    """Named values of unconstrained draws, ``(chain, draw, dim)``."""
    return {name: np.asarray(values) for name, values in density.constrain(draws).items()}


def add_unconstrained(result, draws: np.ndarray, names: Sequence[str], attrs: Mapping[str, Any]):
    """Add the group ``unconstrained_posterior``: one variable ``z`` whose axis ``coordinate`` has the names.

    It is made on its own, since a model may have a variable ``z`` with other axes.

    Parameters
    ----------
    result : arviz.InferenceData or xarray.DataTree
    draws : (chain, draw, dim) array, unconstrained
    names : sequence of str, one per coordinate
    attrs : mapping
    """
    group = "unconstrained_posterior"
    alone = to_arviz(
        {"posterior": {"z": draws}},
        coords={"coordinate": list(names)},
        dims={"z": ("coordinate",)},
        attrs=attrs,
    )["posterior"]
    if is_classic():
        result.add_groups({group: alone}, warn_on_custom_groups=False)
    else:
        result[group] = alone
    return result


def chains_to_arviz(density, result, *, keep_unconstrained: bool = False):
    """The ArviZ object of a run of chains, with the warm-up if it was kept.

    Parameters
    ----------
    density : LogDensity
    result : ChainResult
    keep_unconstrained : bool
        Whether to add the group ``unconstrained_posterior``.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
    """
    if result.warmup_draws is not None and result.warmup_draws.shape[1]:
        warmup, draws = _posteriors(density, result.warmup_draws, result.draws)
        groups = {"posterior": draws, "sample_stats": result.stats}
        groups |= {"warmup_posterior": warmup, "warmup_sample_stats": result.warmup_stats}
    else:
        groups = {"posterior": posterior(density, result.draws), "sample_stats": result.stats}
    groups["observed_data"] = density.observed_data
    groups["constant_data"] = density.constant_data
    attrs = _run_attrs(result)
    post = to_arviz(groups, coords=density.coords, dims=density_dims(density), attrs=attrs)
    return add_unconstrained(post, result.draws, density.names, attrs) if keep_unconstrained else post


def _posteriors(density, first: np.ndarray, second: np.ndarray) -> tuple[dict, dict]:
    """Named values of two arrays of draws: together if they are few, since code is compiled to compute them."""
    if first.size + second.size > FEW_VALUES:
        return posterior(density, first), posterior(density, second)
    n, values = first.shape[1], posterior(density, np.concatenate([first, second], axis=1))
    return {name: v[:, :n] for name, v in values.items()}, {name: v[:, n:] for name, v in values.items()}


def unconstrained_to_arviz(names: Sequence[str], result):
    """The ArviZ object of a run of chains whose model is not at hand.

    Parameters
    ----------
    names : sequence of str, one per unconstrained coordinate
    result : ChainResult

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        With the groups ``sample_stats`` and ``unconstrained_posterior``.
    """
    attrs = _run_attrs(result)
    post = to_arviz({"sample_stats": result.stats}, coords={}, dims={}, attrs=attrs)
    return add_unconstrained(post, result.draws, names, attrs)


def _run_attrs(result) -> dict[str, Any]:
    """What is told of a run with each group."""
    return {
        **result.settings,
        "sampling_time": result.seconds,
        "interrupted": int(result.interrupted),
        "tuning_steps": result.settings["warmup"],
    }


def group_names(result) -> list[str]:
    """The groups that an ArviZ object has."""
    groups = result.groups() if callable(result.groups) else result.groups
    return [g.strip("/") for g in groups if g.strip("/")]


def element_name(result, name: str, index: tuple[int, ...]) -> str:
    """Name of one element of a variable of the posterior, by the labels of its axes: ``theta[Choate]``."""
    if not index:
        return name
    variable = result["posterior"][name]
    labels = (variable[axis].values[i] for axis, i in zip(variable.dims[2:], index, strict=True))
    return f"{name}[{', '.join(map(str, labels))}]"


def count_not_finite(result) -> dict[str, np.ndarray]:
    """How many draws of each element of the posterior are not finite, for the variables that have such draws."""
    bad = {str(name): ~np.isfinite(result["posterior"][name].values) for name in result["posterior"].data_vars}
    return {name: where.sum(axis=(0, 1)) for name, where in bad.items() if where.any()}


def summary_statistics(result) -> dict[str, dict[str, np.ndarray]]:
    """Bulk and tail effective sample size and R-hat of every variable of the posterior, by statistic and name.

    Elements that are not finite in all draws count as constant. With one chain there is no R-hat, and of less than
    four draws nothing is known.
    """
    data = result["posterior"]
    bad = count_not_finite(result)
    found: dict[str, dict[str, np.ndarray]] = {"ess_bulk": {}, "ess_tail": {}, "r_hat": {}}
    with ThreadPoolExecutor() as pool:  # for NumPy sorts and transforms without holding other threads up
        for name in map(str, data.data_vars):
            values = np.asarray(data[name].values, float)
            if name in bad:
                values = np.where(bad[name] == 0, values, 0.0)
            n_chains, n, *shape = values.shape
            flat = values.reshape(n_chains, n, -1)
            parts = [flat[..., k : k + BLOCK] for k in range(0, flat.shape[2], BLOCK)] if n >= FEWEST_DRAWS else []
            blocks = list(pool.map(figures, parts))
            for key, table in found.items():
                joined = np.concatenate([block[key] for block in blocks]) if blocks else np.full(shape, np.nan)
                table[name] = joined.reshape(shape)
    if data.sizes["chain"] == 1:
        del found["r_hat"]
    return found


def _labels(values):
    values = np.asarray(values)
    return values.astype(str) if values.dtype.kind == "O" else values


def _storable(value):
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)  # beyond the integers of netCDF
    return value if isinstance(value, str | int | float) else json.dumps(value, default=str)


def _now() -> str:
    return datetime.now(UTC).isoformat()
