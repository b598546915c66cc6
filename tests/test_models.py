"""What every file in `models/` must be: a model whose density keeps its contract, with data and a reference."""

from __future__ import annotations

import numpy as np
import pytest

import probad as pb
from models import MODELS


@pytest.mark.parametrize("name", MODELS)
def test_a_model_file_keeps_its_form(name):
    file = MODELS[name]
    model = getattr(file, name)(**file.data())
    report = pb.stress(model.density(), n_points=5, seed=1)
    assert "the contract holds" in str(report)
    known = {site.name for site in model.sites}
    reference = file.reference()
    assert reference
    for variable, (mean, sd) in reference.items():
        assert variable in known
        assert np.isfinite(mean).all()
        assert np.all(np.asarray(sd) > 0)


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
