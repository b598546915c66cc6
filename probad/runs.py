"""Stored runs as users see them: go on with one, or read what it has."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import Executor
from typing import Any

import numpy as np

from probad import output
from probad.ad.derivative import METHODS
from probad.density import LogDensity
from probad.diagnostics import warn_about
from probad.errors import ArgumentError, ProbadError, StoreError
from probad.inference import STARTS, as_density, as_path, run_chains
from probad.mcmc import Algorithm, ChainResult, cut
from probad.model import BoundModel
from probad.store import COMMIT, RUN, Contents, Writer, fingerprint

LARGEST_RUN = 2**36  # bytes of draws that a file may ask for without being confirmed


def resume(
    path: str | os.PathLike,
    model: BoundModel | LogDensity,
    *,
    draws: int | None = None,
    chains: int | None = None,
    cores: int | None = None,
    executor: Executor | None = None,
    gradient: Any = None,
    progress: bool = True,
):
    """Go on with a stored run, exactly as if it had not been interrupted, or make a finished one longer.

    Parameters
    ----------
    path : str or path
        What was given as ``store=`` to `nuts` or another sampler.
    model : BoundModel or LogDensity
        The same model with the same data.
    draws : int, optional
        Draws to keep per chain, those stored included; more than were asked for at first give the draws that asking for
        them at first would have given.
    chains : int, optional
        Chains, those stored included.
    cores, executor, progress
        As for `nuts`.
    gradient : callable, optional
        Needed if the run was started with a function of one's own for the gradient.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        As the sampler returns it.

    Raises
    ------
    StoreError
        If there is no store, it is damaged, was made with another model or other data, or another process writes to it.
    ArgumentError
        If fewer draws or chains are asked for than there are.
    """
    root = as_path("path", path)
    Contents(root)  # whether there is a store at all
    with Writer(root, resumed=True) as writer:
        contents = writer.contents
        density = _density(contents, model, "resume", gradient)
        algorithm = _algorithm(contents)
        counts = _counts(contents, algorithm, draws, chains)
        post = run_chains(
            density,
            algorithm,
            contents.settings["seed"],
            _starts(contents, density, counts["chains"]),
            progress,
            counts={**counts, "cores": cores},
            recorder=writer,
            executor=executor,
            **_groups(contents),
        )
    warn_about(post, stacklevel=3)
    return post


def read_store(path: str | os.PathLike, model: BoundModel | LogDensity | None = None):
    """Read a stored run, finished or not, even while it goes on.

    Parameters
    ----------
    path : str or path
        What was given as ``store=`` to `nuts` or another sampler.
    model : BoundModel or LogDensity, optional
        The same model with the same data. It computes what the store does not hold: constrained values and
        deterministics. Without it, the result has the groups ``sample_stats`` and ``unconstrained_posterior`` only.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        What the sampler returns, or would return if it were interrupted after the last commit.

    Raises
    ------
    StoreError
        If there is no store, it is damaged, has no draws yet, or was made with another model or other data.
    """
    contents = Contents(as_path("path", path))
    density = None if model is None else _density(contents, model, "read_store", None)
    result = _result(contents)
    if density is None:
        return output.unconstrained_to_arviz(contents.names, result)
    return output.chains_to_arviz(density, result, keep_unconstrained=_groups(contents)["keep_unconstrained"])


def _result(contents: Contents) -> ChainResult:
    """What the run has come to."""
    tables = []
    for number, entry in enumerate(contents.entries):
        if entry is not None:
            tables.append(tuple(contents.table(name, number)[0] for name in ("draws", "statistics")))
    n_chains = len(contents.entries)
    settings = {**contents.settings, **contents.facts, "draws": contents.n_draws, "chains": n_chains}
    keep, names = _groups(contents)["keep_warmup"], contents.statistic_names
    try:
        columns = cut(tables, settings, _algorithm(contents), keep_warmup=keep, names=names)
    except KeyboardInterrupt as error:
        raise StoreError(f"{contents.root} has no draws to read yet. {error}") from None
    total = contents.n_draws + contents.n_warmup
    whole = len(tables) == n_chains and all(len(draws) == total for draws, _ in tables)
    return ChainResult(**columns, settings=settings, seconds=contents.seconds, interrupted=not whole)


def _counts(contents: Contents, algorithm: Algorithm, draws, chains) -> dict[str, int]:
    """How many draws, iterations of warm-up and chains there are to be."""
    root, n_warmup = contents.root, contents.n_warmup
    counts = {"draws": contents.n_draws, "chains": len(contents.entries)}
    for name, value in (("draws", draws), ("chains", chains)):
        if value is None:
            continue
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < counts[name]:
            raise ArgumentError(
                f"{name} must be a whole number, at least the {counts[name]} that {root} has; got {value!r}."
            )
        counts[name] = int(value)
    total = (counts["draws"] + n_warmup) * counts["chains"] * 8 * (contents.dim + len(contents.statistic_names))
    if draws is None and total > LARGEST_RUN:
        raise StoreError(
            f"{root / COMMIT}: fields 'draws' and 'chains' and the warm-up in {RUN} ask for {total:.3g} bytes of "
            "memory. If that is meant, say so by draws=."
        )
    boundaries = algorithm.boundaries(contents.dim, n_warmup)
    if contents.met > len(boundaries):
        raise StoreError(f"{root / COMMIT}: field 'met' must be at most {len(boundaries)}; got {contents.met}.")
    if boundaries and counts["chains"] > len(contents.entries):
        raise ArgumentError(
            f"The chains of {type(algorithm).__name__} decide together, so that there can be no more of them later. "
            "Start another run for more chains."
        )
    return {**counts, "warmup": n_warmup}


def _starts(contents: Contents, density: LogDensity, n_chains: int):
    """Where chains start that have not begun; None if that is left to the run."""
    init, name = contents.array("init"), contents.options.get("init")
    if init is None or init.ndim == 1:
        return init
    if n_chains > len(init) and isinstance(name, str) and name in STARTS:
        more = STARTS[name](density, contents.settings["seed"], n_chains)  # each by its own number
        return np.concatenate([init, more[len(init) :]])
    if n_chains > len(init):
        raise ArgumentError(
            f"The run was given a start for each of its {len(init)} chains, so that there is none for more. Start "
            "another run for more chains."
        )
    return init[:n_chains]


def _density(contents: Contents, model, function: str, gradient) -> LogDensity:
    """The log density of a model that turns out to be that of the store."""
    if gradient is None:
        named = contents.options.get("gradient")
        gradient = named if isinstance(model, BoundModel) and named in METHODS else "reverse"
    density = as_density(model, function, gradient)
    values = contents.array("reference")
    if values is None or values.shape != (2, contents.dim + 1):
        raise StoreError(f"{contents.root / RUN}: field 'arrays.reference' is missing or has another shape.")
    if function == "read_store":  # nothing is differentiated
        values = values[:, :1]
    fingerprint.compare(contents.description, values, density, contents.root)
    return density


def _groups(contents: Contents) -> dict[str, bool]:
    """Which groups the result is to have."""
    return {name: contents.options.get(name) is True for name in ("keep_warmup", "keep_unconstrained")}


def _algorithm(contents: Contents) -> Algorithm:
    """The sampler with its options."""
    path, options = contents.root / RUN, dict(contents.sampler)
    name, known = options.pop("name", None), _samplers(Algorithm)
    if not isinstance(name, str) or name not in known:
        raise StoreError(f"{path}: field 'sampler.name' must be one of {', '.join(known)}; got {str(name)[:60]}.")
    fields = {field.name for field in dataclasses.fields(known[name])}
    options |= {n: contents.array(n) for n in contents.arrays if n in fields}
    try:
        return known[name](**options)
    except (ProbadError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: field 'sampler' is wrong: {error}") from error


def _samplers(kind: type) -> dict[str, type]:
    """All samplers by name."""
    found = {}
    for each in kind.__subclasses__():
        found |= {each.__name__: each} if hasattr(each, "code") else {}  # without one it is what samplers share
        found |= _samplers(each)
    return found
