"""What every file in `models/` must be: a model whose density keeps its contract, and whose draws fit its reference."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import probad as pb
from models import MODELS, is_available
from probad.output import import_arviz, summary_statistics
from tests.tolerances import MONTE_CARLO

# Long runs of another program, or of reference draws, have at least so many effective draws.
LEAST_REFERENCE_ESS = 2000


def bound(name):
    """A model called with its data; skips where these are not there."""
    if not is_available(name):
        pytest.skip("the published data are not beside the repository")
    file = MODELS[name]
    return file, getattr(file, name)(**file.data())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_file_keeps_its_form(name):
    file, model = bound(name)
    report = pb.stress(model.density(), n_points=5, seed=1)
    assert "the contract holds" in str(report)
    shapes = {site.name: site.shape for site in model.sites}
    reference = file.reference()
    assert reference
    for variable, (mean, sd) in reference.items():
        assert np.shape(mean) == np.shape(sd) == shapes[variable]
        assert np.isfinite(mean).all()
        assert np.all(np.asarray(sd) > 0)
    assert getattr(file, "REFERENCE_ESS", LEAST_REFERENCE_ESS) >= LEAST_REFERENCE_ESS


@pytest.mark.parametrize("name", MODELS)
def test_data_are_the_same_each_time(name):
    file, _ = bound(name)
    first, second = file.data(), file.data()
    for key in first.keys() - {"coords"}:
        np.testing.assert_array_equal(first[key], second[key])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_draws_agree_with_the_reference(name):
    file, model = bound(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as one that the model runs on the tape
        assert model.density().address != 0
    # a few divergences are no failure here: the comparison says whether they matter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pb.errors.SamplingWarning)
        post = pb.nuts(model, draws=3000, seed=3, progress=False)
    scores = {}
    for variable, (mean, sd) in file.reference().items():
        values = post["posterior"][variable].values
        ess = import_arviz().ess(post, var_names=[variable], method="mean")[variable].values
        error = np.hypot(values.std(axis=(0, 1)) / np.sqrt(ess), sd / np.sqrt(getattr(file, "REFERENCE_ESS", np.inf)))
        scores[variable] = np.abs(values.mean(axis=(0, 1)) - mean) / error
    print({key: np.round(np.max(value), 2) for key, value in scores.items()})
    assert all(np.all(value < MONTE_CARLO) for value in scores.values())
    r_hat = {key: float(np.max(value)) for key, value in summary_statistics(post)["r_hat"].items()}
    assert max(r_hat.values()) < 1.01, r_hat


def test_the_quadrature_of_eight_schools_agrees_with_the_reference_draws(posteriordb):
    _, summary = posteriordb("eight_schools-eight_schools_noncentered")
    reference = MODELS["eight_schools"].reference()
    for key, published in summary.items():
        name, _, index = key.rstrip("]").partition("[")
        mean, sd = reference[name]
        if index:
            mean, sd = mean[int(index) - 1], sd[int(index) - 1]
        assert abs(mean - published["mean"]) < 4.5 * published["mcse_mean"], key
        assert sd == pytest.approx(published["sd"], rel=0.04), key


def test_the_data_of_eight_schools_are_the_published_ones(posteriordb):
    data, _ = posteriordb("eight_schools-eight_schools_noncentered")
    ours = MODELS["eight_schools"].data()
    np.testing.assert_array_equal(ours["y"], data["y"])
    np.testing.assert_array_equal(ours["sigma"], data["sigma"])


@pytest.mark.parametrize("name", [name for name, file in MODELS.items() if hasattr(file, "POSTERIOR")])
def test_a_reference_has_the_moments_of_the_published_draws(name, posteriordb):
    file = MODELS[name]
    _, summary = posteriordb(file.POSTERIOR)
    reference = file.reference()
    for key, published in summary.items():
        variable, _, index = key.rstrip("]").partition("[")
        mean, sd = (x[int(index) - 1] if index else x for x in reference[variable])
        assert (mean, sd) == (published["mean"], published["sd"])
