"""nutpie, on PyMC's models and on targets whose density and gradient are those that probad samples."""

from __future__ import annotations

import numpy as np
import nutpie

from benchmarks.systems import N_CHAINS, N_DRAWS, N_WARMUP, Draws, SampleFn, timed
from benchmarks.targets import TARGETS


def sample_model(name: str, **options) -> SampleFn:
    """A function of a seed that samples a model of `benchmarks.peers_pymc`, compiled through numba."""
    from benchmarks import peers_pymc
    from models import MODELS

    arguments = MODELS[name].data()
    del arguments["coords"]
    return _sample_fn(nutpie.compile_pymc_model(getattr(peers_pymc, name)(**arguments)), options)


def sample_target(name: str, **options) -> SampleFn:
    """A function of a seed that samples a target; starts are uniform in (-2, 2), as probad's."""
    from nutpie.compiled_pyfunc import from_pyfunc

    import probad as pb

    logp, dim = TARGETS[name]
    density = pb.LogDensity.from_function(logp, dim)
    if not density.address:  # asked for, so that it evaluates by compiled code
        raise RuntimeError(f"{name} cannot be compiled")

    def make_logp():
        own = density.fork()

        def evaluate(z):
            value, slope = own.logp_and_grad(z)
            return float(value), np.asarray(slope)

        return evaluate

    def make_start(seed):
        return np.random.default_rng(seed).uniform(-2.0, 2.0, dim)

    model = from_pyfunc(
        dim,
        make_logp,
        lambda *_: lambda z: {"z": z},
        [np.dtype("float64")],
        [(dim,)],
        ["z"],
        make_initial_point_fn=make_start,
    )
    return _sample_fn(model, options)


def _sample_fn(model, options: dict) -> SampleFn:
    def sample(seed: int, *, plain: bool = False) -> Draws:  # which keeps warm-up in any case
        counts = {"draws": N_DRAWS, "tune": N_WARMUP, "chains": N_CHAINS, "cores": 2, "progress_bar": False}
        post, seconds = timed(lambda: nutpie.sample(model, seed=seed, **counts, **options))
        stats = post["sample_stats"]
        return Draws(
            {name: post["posterior"][name].values for name in post["posterior"].data_vars},
            seconds,
            int(stats["n_steps"].sum()),
            int(post["warmup_sample_stats"]["n_steps"].sum()),
            int(stats["diverging"].sum()),
        )

    return sample
