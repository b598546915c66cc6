"""Eight schools against published reference draws: the main job, at full length."""

from __future__ import annotations

import numpy as np
import pytest

import probad as pb
from models import eight_schools
from probad.output import summary_statistics

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def post():
    model = eight_schools.eight_schools(**eight_schools.data())
    return pb.nuts(model, draws=2000, warmup=1000, chains=4, seed=1, target_accept=0.95, progress=False)


def _errors(post, summary):
    """|mean - reference mean| / reference sd of every reference parameter."""
    errors = {}
    for key, published in summary.items():
        name, _, index = key.rstrip("]").partition("[")
        values = post["posterior"][name].values
        values = values[..., int(index) - 1] if index else values
        errors[key] = abs(values.mean() - published["mean"]) / published["sd"]
    return errors


def test_nuts_reproduces_the_reference_draws(post, posteriordb):
    _, summary = posteriordb("eight_schools-eight_schools_noncentered")
    errors = _errors(post, summary)
    print({k: round(v, 3) for k, v in errors.items()})
    assert len(errors) == 10
    assert max(errors.values()) < 0.1


def test_no_r_hat_above_one_percent(post):
    r_hat = summary_statistics(post)["r_hat"]
    worst = max(float(np.max(v)) for v in r_hat.values())
    print("largest R-hat", worst)
    assert worst <= 1.01


def test_hmc_and_nuts_agree(post):
    model = eight_schools.eight_schools(**eight_schools.data())
    other = pb.hmc(model, draws=2000, warmup=1000, chains=4, seed=2, target_accept=0.95, trajectory_length=1.5,
                   progress=False)  # fmt: skip
    for name in ("mu", "tau", "theta"):
        a, b = post["posterior"][name].values, other["posterior"][name].values
        gap = np.abs(a.mean(axis=(0, 1)) - b.mean(axis=(0, 1))) / a.std(axis=(0, 1))
        assert np.max(gap) < 0.1, name
