"""The public functions from end to end: models in, ArviZ objects out, mistakes named."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

import probad as pb
from models import eight_schools
from probad import dist, progress
from probad.ad.derivative import METHODS
from probad.errors import (
    ArgumentError,
    ConvergenceWarning,
    InitializationError,
    OptimizationError,
    SamplingWarning,
    ShapeError,
)
from probad.output import group_names, import_arviz

STATISTICS = {
    "lp", "acceptance_rate", "step_size", "step_size_nom", "tree_depth", "n_steps", "diverging", "energy",
    "energy_error", "max_energy_error", "reached_max_treedepth",
}  # fmt: skip


@pb.model
def regression(x, y=None):
    """A line with an intercept and unknown noise."""
    a = pb.sample("a", dist.Normal(0.0, 10.0))
    b = pb.sample("b", dist.Normal(0.0, 10.0), dims="predictor")
    sigma = pb.sample("sigma", dist.HalfNormal(5.0))
    mean = pb.deterministic("mean", a + x @ b, dims="row")
    pb.sample("y", dist.Normal(mean, sigma), obs=y, dims="row")


def _regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(25, 2))
    y = 1.0 + x @ [2.0, -1.0] + 0.5 * rng.normal(size=25)
    return regression(x, y=y, coords={"predictor": ["age", "size"]})


def _quietly(run, *args, **options):
    """A run too short for the diagnostics, which are not its subject."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        return run(*args, progress=False, **options)


@pytest.fixture(scope="module")
def post():
    return _quietly(pb.nuts, _regression(), draws=150, warmup=150, chains=2, seed=1, keep_warmup=True)


def test_the_result_has_the_groups_names_and_labels(post):
    groups = {"posterior", "sample_stats", "observed_data", "warmup_posterior", "warmup_sample_stats"}
    assert groups <= set(group_names(post))
    assert set(post["posterior"].data_vars) == {"a", "b", "sigma", "mean"}
    assert post["posterior"]["b"].dims == ("chain", "draw", "predictor")
    assert post["posterior"]["predictor"].values.tolist() == ["age", "size"]
    assert post["posterior"]["mean"].sizes["row"] == 25
    assert set(post["sample_stats"].data_vars) == STATISTICS
    assert post["sample_stats"]["diverging"].dtype == bool
    assert post["sample_stats"]["n_steps"].dtype == np.int64
    assert post["observed_data"]["y"].dims == ("row",)
    assert (post["posterior"]["sigma"].values > 0).all()
    assert post["warmup_posterior"].sizes["draw"] == 150


def test_the_attributes_say_how_it_was_made(post):
    attrs = post["posterior"].attrs
    assert attrs["inference_library"] == "probad"
    assert attrs["inference_library_version"] == pb.__version__
    assert (attrs["seed"], attrs["draws"], attrs["target_accept"]) == (1, 150, 0.75)
    assert attrs["sampling_time"] > 0


def test_deterministics_belong_to_their_draws(post):
    data = post["posterior"]
    x = _regression().args["x"]
    expected = data["a"].values[..., None] + np.einsum("cdp,np->cdn", data["b"].values, np.asarray(x))
    np.testing.assert_allclose(data["mean"].values, expected, rtol=1e-10)


def test_the_result_round_trips_netcdf(post, tmp_path):
    az = import_arviz()
    post.to_netcdf(str(tmp_path / "post.nc"))
    loaded = az.from_netcdf(str(tmp_path / "post.nc"))
    for group in group_names(post):
        for name in post[group].data_vars:
            np.testing.assert_array_equal(post[group][name].values, loaded[group][name].values)
        assert loaded[group].attrs["seed"] == 1
    assert set(loaded["sample_stats"].data_vars) == STATISTICS
    assert loaded["posterior"]["predictor"].values.tolist() == ["age", "size"]


def test_arviz_summarises_the_result(post):
    table = import_arviz().summary(post, var_names=["a", "b"])
    assert "b[age]" in table.index


def test_seeds_repeat_runs_and_are_kept():
    def run(seed):
        return _quietly(pb.nuts, _regression(), draws=20, warmup=20, chains=1, seed=seed)

    drawn = run(None)
    again = run(int(drawn["posterior"].attrs["seed"]))
    np.testing.assert_array_equal(drawn["posterior"]["a"].values, again["posterior"]["a"].values)


def test_fit_says_what_it_chose_and_keeps_it(capsys, tmp_path):
    post = pb.fit(_regression(), draws=500, warmup=500, seed=1, progress=True)
    attrs = post["posterior"].attrs
    assert attrs["sampler_choice"] in capsys.readouterr().out
    assert attrs["sampler_choice"].split(",")[0] in ("MAMS", "HMC", "NUTS")
    assert attrs["ess_per_gradient_nuts"] > 0
    assert ("tree_depth" in post["sample_stats"]) == attrs["sampler_choice"].startswith("NUTS")
    same = pb.nuts(_regression(), draws=1000, warmup=500, seed=2, progress=False)
    for name in ("a", "b", "sigma"):
        found, expected = (np.asarray(p["posterior"][name]).mean(axis=(0, 1)) for p in (post, same))
        np.testing.assert_allclose(found, expected, atol=0.03)
    post.to_netcdf(tmp_path / "fit.nc")


def test_hmc_and_nuts_and_vi_meet_at_the_same_posterior():
    """A conjugate model: all three must find mean 2 and standard deviation 0.5."""

    @pb.model
    def conjugate(y):
        mu = pb.sample("mu", dist.Normal(0.0, 1.0))
        pb.sample("y", dist.Normal(mu, 1.0), obs=y)

    model = conjugate(np.array([8 / 3, 8 / 3, 8 / 3]))
    approximation = pb.vi(model, seed=1, progress=False)
    runs = {
        "nuts": pb.nuts(model, draws=800, warmup=300, seed=1, progress=False),
        "hmc": pb.hmc(model, draws=800, warmup=300, seed=1, progress=False),
        "vi": approximation.sample(3000),
    }
    for name, result in runs.items():
        mu = result["posterior"]["mu"].values
        assert mu.mean() == pytest.approx(2.0, abs=0.05), name
        assert mu.std() == pytest.approx(0.5, abs=0.04), name
    assert "tree_depth" not in runs["hmc"]["sample_stats"].data_vars
    assert approximation.log_prob({"mu": 2.0}) == pytest.approx(-np.log(0.5 * np.sqrt(2 * np.pi)), abs=0.02)
    assert approximation.log_prob(np.array([[2.0], [2.5]])).shape == (2,)
    assert approximation.converged
    assert "converged" in repr(approximation)


def test_models_with_control_flow_on_latent_values():
    @pb.model
    def branching(y):
        mu = pb.sample("mu", dist.Normal(0.0, 2.0))
        if mu > 0:
            mean = 2 * mu
        else:
            mean = 0.5 * mu
        scale, n = np.exp(mu), 0
        while scale > 1.0 and n < 5:
            scale, n = scale / 2, n + 1
        pb.factor("penalty", -0.1 * scale**2)
        pb.sample("y", dist.Normal(mean, 1.0), obs=y)

    model = branching(np.array([1.0, 2.0, 0.5]))
    density = model.density()
    for z in (-1.3, 0.4, 1.7):
        h = 1e-6
        numeric = (density.logp([z + h]) - density.logp([z - h])) / (2 * h)
        assert density.logp_and_grad([z])[1][0] == pytest.approx(numeric, abs=1e-6)
    result = _quietly(pb.nuts, model, draws=700, warmup=300, chains=4, seed=1)
    grid = np.linspace(-6, 6, 4001)
    weight = np.array([density.logp([z]) for z in grid])
    weight = np.exp(weight - weight.max())
    truth = (grid * weight).sum() / weight.sum()
    assert result["posterior"]["mu"].values.mean() == pytest.approx(truth, abs=0.06)


def test_starts_in_every_form():
    model = _regression()
    named = {"a": 1.0, "b": [2.0, -1.0], "sigma": 0.5}
    density = model.density()
    flat = density.unconstrain(named)
    for init in (named, flat, np.stack([flat, flat]), "uniform", "prior", "map"):
        _quietly(pb.nuts, model, draws=2, warmup=0, chains=2, seed=1, init=init)
    with pytest.raises(ArgumentError, match="no variable 'beta'"):
        pb.nuts(model, init={"beta": 1.0}, progress=False)
    with pytest.raises(ArgumentError, match="length 4"):
        pb.nuts(model, init=np.zeros(3), progress=False)
    with pytest.raises(ArgumentError, match="uniform"):
        pb.nuts(model, init="mode", progress=False)


def _bell(dim=2):
    return pb.LogDensity.from_function(lambda z: -0.5 * np.sum(z**2), dim)


MISTAKES = {
    "no data": (
        lambda: pb.nuts(regression),
        r"^<model regression\(x, y=None\)> has no data yet\. Call it with them first: "
        r"pb\.nuts\(model\(data, \.\.\.\)\)\.$",
    ),
    "no data for vi": (lambda: pb.vi(regression), r"pb\.vi\(model\(data, \.\.\.\)\)\.$"),
    "no data for hmc": (lambda: pb.hmc(regression), r"pb\.hmc\(model\(data, \.\.\.\)\)\.$"),
    "a function": (
        lambda: pb.nuts(lambda z: z),
        r"^pb\.nuts takes a model called with its data, or a LogDensity; got function\. Decorate a model function with "
        r"@pb\.model, or wrap a log density with pb\.LogDensity\.from_function\(fn, dim\)\.$",
    ),
    "a model before its options": (lambda: pb.nuts(None, draws=0), "got NoneType"),
    "zero draws": (
        lambda: pb.nuts(_regression(), draws=0, progress=False),
        "^draws must be a whole number, at least 1; got 0.$",
    ),
    "draws as a float": (lambda: pb.nuts(_bell(), draws=1e3, progress=False), r"got 1000\.0\.$"),
    "chains as text": (lambda: pb.nuts(_bell(), chains="4"), "chains must be a whole number, at least 1; got '4'"),
    "negative warm-up": (lambda: pb.nuts(_bell(), warmup=-1, progress=False), "warmup must be"),
    "target": (lambda: pb.nuts(_bell(), target_accept=1.0), "target_accept must be between 0 and 1"),
    "depth": (lambda: pb.nuts(_bell(), max_tree_depth=0), "max_tree_depth must be a whole number, from 1 to 20"),
    "starts for other chains": (
        lambda: pb.nuts(_bell(), init=np.zeros((3, 2)), progress=False),
        r"^init must have shape \(2,\) or \(4, 2\), for 4 chains; got \(3, 2\)\.$",
    ),
    "a start of the wrong length": (
        lambda: pb.nuts(_bell(), init=np.zeros(500), progress=False),
        r"last axis has length 2, 'uniform', 'map' or 'prior'; got an array of shape \(500,\)\.$",
    ),
    "a start of no kind": (lambda: pb.nuts(_bell(), init=object(), progress=False), "init must be a dict of values"),
    "a point as text": (lambda: _fitted().log_prob("mode"), "^A point is a dict .*; got 'mode'"),
    "a point with another name": (lambda: _fitted().log_prob({"y": 1.0}), "no variable 'y'"),
    "no chains": (lambda: pb.hmc(_regression(), chains=0, progress=False), "chains must be"),
    "seed": (lambda: pb.nuts(_regression(), seed=-1, progress=False), "seed must be"),
    "metric": (lambda: pb.nuts(_regression(), metric="full", progress=False), "metric must be one of"),
    "family": (
        lambda: pb.vi(_regression(), family="flow", progress=False),
        "^family must be one of 'mean-field'; got 'flow'.$",
    ),
    "family of no kind": (lambda: pb.vi(_bell(), family=None, progress=False), "family must be one of .*; got None"),
    "vi starts": (lambda: pb.vi(_regression(), init=np.zeros((2, 4)), progress=False), "one start"),
    "approximate draws": (lambda: _fitted().sample(0), "^n must be a whole number, at least 1; got 0.$"),
    "seed of the draws": (lambda: _fitted().sample(10, seed=1.5), "seed must be"),
}


@functools.cache
def _fitted():
    return pb.vi(_bell(), seed=1, n_samples=2, progress=False)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name):
    call, words = MISTAKES[name]
    with pytest.raises(ArgumentError, match=words):
        call()


def test_a_start_that_is_not_finite_names_the_site():
    @pb.model
    def impossible(y):
        p = pb.sample("p", dist.Beta(1.0, 1.0))
        pb.factor("wall", np.where(p > 2.0, 0.0, -np.inf))
        pb.sample("y", dist.Bernoulli(p), obs=y)

    with pytest.raises(InitializationError, match="'wall'"):
        pb.nuts(impossible(np.array([0, 1])), draws=10, warmup=10, chains=1, seed=0, progress=False)


def test_a_point_of_the_wrong_shape():
    with pytest.raises(ShapeError, match="length 2"):
        _fitted().log_prob(np.zeros(3))


def test_a_fit_that_is_too_short_warns():
    with pytest.warns(ConvergenceWarning, match="had not converged after 50 steps"):
        pb.vi(_regression(), steps=50, seed=1, progress=False)


def test_a_fit_that_leaves_draws_out_warns():
    """A support that ends without a bijector to say so: the ELBO does not exist, and the fit must not hide it."""

    def logp(z):
        return -0.5 * np.sum(z**2) if z[0] > -2 else -np.inf

    with pytest.warns(ConvergenceWarning) as issued:
        pb.vi(pb.LogDensity.from_function(logp, 1), steps=500, seed=1, progress=False)
    assert any(re.search(r"^\d+\.\d% of the last draws had no finite log density", str(w.message)) for w in issued)
    assert all(w.filename == __file__ for w in issued)


def test_a_fit_that_fails_hands_over_the_approximation_before():
    density = pb.LogDensity.from_function(lambda z: 10 * z[0] if z[0] < 1 else -np.inf, 1)
    with pytest.raises(OptimizationError, match=r"^Step \d+: ") as caught:
        pb.vi(density, seed=0, step_size=5.0, progress=False)
    kept = caught.value.result
    assert np.isfinite(kept.log_prob(np.zeros(1)))
    assert kept.sample(10)["posterior"].sizes["draw"] == 10
    assert not kept.converged


def test_an_approximation_can_be_drawn_from_again():
    a, b, c = (_fitted().sample(5, seed=seed)["posterior"]["x"].values for seed in (7, 7, 8))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    assert repr(_fitted()).startswith("<mean-field approximation, 2 coordinates: ELBO 1.83")
    assert repr(_fitted()).endswith(", converged>")


def test_progress_of_whole_runs_goes_to_standard_error(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    silent = _quietly(pb.nuts, _bell(), draws=20, warmup=20, chains=np.int64(2), seed=1)
    assert capsys.readouterr() == ("", "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        shown = pb.nuts(_bell(), draws=20, warmup=20, chains=np.int64(2), seed=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("probad: chain 0: 40/40, chain 1: 40/40")
    np.testing.assert_array_equal(shown["posterior"]["x"].values, silent["posterior"]["x"].values)


INTERRUPTED = """
import os, signal, sys, threading, warnings
import numpy as np
import probad as pb

def stop(): os.kill(os.getpid(), signal.SIGINT)

n = [0]
def logp(z):
    n[0] += 1
    if n[0] == {calls}:
        threading.Timer(0.05, stop).start()  # the signal comes while the run goes on
    return -0.5 * np.sum(z**2)

density = pb.LogDensity.from_function(logp, 2, gradient=lambda z: -z)  # not compiled: Python is called
with warnings.catch_warnings(record=True) as issued:
    warnings.simplefilter("always")
    {run}
print([str(w.message) for w in issued][0])
"""


@pytest.mark.parametrize(
    ("calls", "run", "words"),
    [
        (
            3000,
            "post = pb.nuts(density, draws=10**6, warmup=100, chains=2, seed=1); "
            "assert post['posterior'].sizes['draw']",
            "The run was interrupted after",
        ),
        (
            500,
            "approx = pb.vi(density, steps=10**7, step_size=1e-9, seed=1); assert len(approx.elbo); approx.sample(5)",
            "The fit was interrupted after",
        ),
    ],
)
def test_a_signal_from_the_keyboard_ends_a_run_with_what_there_is(calls, run, words):
    code = INTERRUPTED.format(calls=calls, run=run)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout


def test_an_interrupt_of_the_diagnostics_leaves_the_draws(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("probad.inference.warn_about", interrupted)
    density = pb.LogDensity.from_function(lambda z: -np.sum(z**2), 2)
    with pytest.warns(SamplingWarning, match=r"pb\.diagnose\(post\) does it again") as issued:
        post = pb.nuts(density, draws=20, warmup=20, chains=2, seed=1, progress=False)
    assert post["posterior"].sizes["draw"] == 20
    assert issued[0].filename == __file__


def test_an_interrupt_through_the_public_function():
    calls = {"left": 1500}

    def logp(z):
        calls["left"] -= 1
        if calls["left"] == 0:
            raise KeyboardInterrupt
        return -0.5 * np.sum(z**2)

    density = pb.LogDensity.from_function(logp, 2, gradient=lambda z: -z)  # not compiled: Python is called
    with pytest.warns(SamplingWarning) as issued:
        result = pb.nuts(density, draws=5000, warmup=50, chains=1, seed=1, progress=False)
    assert 0 < result["posterior"].sizes["draw"] < 5000
    assert any("interrupted after" in str(w.message) for w in issued)
    assert all(w.filename == __file__ for w in issued)


def test_importing_is_light():
    """Nothing heavy is imported beyond what NumPy brings itself."""
    code = "import sys, json, probad; print(json.dumps([m for m in sys.modules if '.' not in m]))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"arviz", "matplotlib", "rich", "pandas", "xarray", "llvmlite", "scipy"}
    assert heavy & set(json.loads(out.stdout)) == set()


def test_the_model_of_the_example_has_the_reference_posterior():
    """A short run; the long one, against the published draws, is in tests/statistical."""
    model = eight_schools.eight_schools(**eight_schools.data())
    result = _quietly(pb.nuts, model, draws=400, warmup=300, chains=2, seed=3, target_accept=0.9)
    for name, (mean, sd) in eight_schools.reference().items():
        error = np.abs(result["posterior"][name].values.mean(axis=(0, 1)) - mean) / sd
        assert np.max(error) < 0.25, name


@pytest.mark.parametrize("gradient", [m for m in METHODS if m != "reverse"])
def test_gradients_by_other_methods(gradient):
    model = _regression()
    density = model.density()
    z = np.linspace(-0.5, 0.5, density.dim)
    expected = density.logp_and_grad(z)[1]
    got = density.with_gradient(gradient).logp_and_grad(z)[1]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)
    post = _quietly(pb.nuts, model, draws=20, warmup=20, chains=1, seed=1, gradient=gradient)
    assert np.isfinite(post["posterior"]["a"].values).all()


def test_a_gradient_of_no_kind():
    with pytest.raises(ArgumentError, match=r"gradient must be one of 'reverse', .*; got 'magic'"):
        pb.nuts(_regression(), gradient="magic", progress=False)

    class Own(pb.LogDensity):
        def logp_and_grad(self, z):
            return -0.5 * float(z @ z), -z

    with pytest.raises(ArgumentError, match="Own has a gradient of its own"):
        pb.nuts(Own(2), gradient="central", progress=False)
