"""What the benchmarks compare: probad's algorithms with their options, and the peers that are installed.

A system gives, for a model of `models/` or a target of `benchmarks.targets`, a function of a seed that samples it with
4 chains of 1000 warm-up iterations and 1000 draws on two threads, by default settings, and tells what that took. With
``plain=True`` it keeps nothing of warm-up, as users do who do not count its gradients.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

N_CHAINS, N_WARMUP, N_DRAWS = 4, 1000, 1000
N_THREADS = 2
BLOCK = 50  # coordinates whose figures are taken together


@dataclass(frozen=True)
class Draws:
    """One run: draws of shape (chain, draw, ...) by variable, and its cost."""

    values: dict[str, np.ndarray]
    seconds: float
    n_gradients: int
    n_warmup_gradients: int  # 0 of a plain run
    n_divergent: int


SampleFn = Callable[..., Draws]  # of a seed, and of `plain` by name


@dataclass(frozen=True)
class System:
    """One way to sample: functions of this module's form in `module`, with options."""

    module: str
    package: str
    options: dict
    compiles_in_first_run: bool = False  # so that its time tells nothing about sampling

    def is_installed(self) -> bool:
        """Whether its package is here, and has the function it needs."""
        if importlib.util.find_spec(self.package) is None:
            return False
        function = self.options.get("function")
        return self.package != "probad" or hasattr(importlib.import_module("probad"), function)

    def sample_model(self, name: str) -> SampleFn:
        """A function of a seed that samples a model of `models/`."""
        return importlib.import_module(self.module).sample_model(name, **self.options)

    def sample_target(self, name: str) -> SampleFn:
        """A function of a seed that samples a target; its draws are of one variable ``z``."""
        return importlib.import_module(self.module).sample_target(name, **self.options)


def _probad(function: str, **options) -> System:
    return System("benchmarks.systems", "probad", {"function": function, **options}, compiles_in_first_run=True)


SYSTEMS: dict[str, System] = {
    "probad fit": _probad("fit"),
    "probad nuts": _probad("nuts"),
    "probad nuts, diag": _probad("nuts", metric="diag"),
    "probad nuts, low-rank": _probad("nuts", metric="low-rank"),
    "probad nuts, Stan's warm-up": _probad("nuts", metric="diag", adaptation="stan", target_accept=0.8),
    "probad hmc, random length": _probad("hmc", jitter=1.0),
    "probad mams": _probad("mams"),
    "nutpie": System("benchmarks.peers_nutpie", "nutpie", {}),
    "nutpie, low-rank": System("benchmarks.peers_nutpie", "nutpie", {"adaptation": "low_rank"}),
    "numpyro": System("benchmarks.peers_numpyro", "numpyro", {}, compiles_in_first_run=True),
}


def installed(names: list[str] | None = None) -> list[str]:
    """Names of the systems, or of some of them, that can run here."""
    return [name for name in names or SYSTEMS if SYSTEMS[name].is_installed()]


# --- probad ----------------------------------------------------------------------------------------------------------
def sample_model(name: str, *, function: str, **options) -> SampleFn:
    """See `System.sample_model`."""
    from models import MODELS

    file = MODELS[name]
    return _sample_fn(getattr(file, name)(**file.data()), function, options)


def sample_target(name: str, *, function: str, **options) -> SampleFn:
    """See `System.sample_target`."""
    import probad as pb
    from benchmarks.targets import TARGETS

    logp, dim = TARGETS[name]
    density = pb.LogDensity.from_function(logp, dim)
    return _sample_fn(density, function, {**options, "keep_unconstrained": True})


def _sample_fn(model, function: str, options: dict) -> SampleFn:
    import probad as pb

    counts = {"draws": N_DRAWS, "warmup": N_WARMUP, "chains": N_CHAINS, "progress": False}

    def sample(seed: int, *, plain: bool = False) -> Draws:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pb.errors.SamplingWarning)
            post = getattr(pb, function)(model, seed=seed, keep_warmup=not plain, **counts, **options)
        group = "unconstrained_posterior" if "keep_unconstrained" in options else "posterior"
        return Draws(
            {name: post[group][name].values for name in post[group].data_vars},
            float(post["posterior"].attrs["sampling_time"]),
            int(post["sample_stats"]["n_steps"].sum()),
            0 if plain else int(post["warmup_sample_stats"]["n_steps"].sum()),
            int(post["sample_stats"]["diverging"].sum()),
        )

    return sample


# --- figures ---------------------------------------------------------------------------------------------------------
def least_ess(values: dict[str, np.ndarray]) -> float:
    """The smallest bulk effective sample size of all entries of all variables; see `_of_all`."""
    from probad.convergence import bulk_effective_sample_size

    return float(np.min(_of_all(bulk_effective_sample_size, values)))


def largest_r_hat(values: dict[str, np.ndarray]) -> float:
    """The largest R-hat of all entries of all variables; see `_of_all`."""
    from probad.convergence import r_hat

    return float(np.max(_of_all(r_hat, values)))


def _of_all(figure: Callable[[np.ndarray], np.ndarray], values: dict[str, np.ndarray]) -> np.ndarray:
    """A figure of all draws, by probad's functions for all systems: they are ArviZ's, whose import takes a second."""
    flat = [np.reshape(x, (*x.shape[:2], -1)) for x in map(np.asarray, values.values())]
    blocks = [x[..., k : k + BLOCK] for x in flat for k in range(0, x.shape[2], BLOCK)]
    with ThreadPoolExecutor(N_THREADS) as pool:
        return np.concatenate(list(pool.map(figure, blocks)))


def timed(call: Callable[[], object]) -> tuple[object, float]:
    """What a call returns, and its seconds."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
