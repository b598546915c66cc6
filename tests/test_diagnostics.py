"""Each warning fires on a run made to deserve it, and none on a clean one."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from probad.diagnostics import diagnose, warn_about
from probad.errors import SamplingWarning
from probad.output import to_arviz

N_CHAINS, N_DRAWS = 4, 500


def _run(**changes):
    """An ArviZ object of independent normal draws, with some columns replaced."""
    rng = np.random.default_rng(0)
    shape = (N_CHAINS, N_DRAWS)
    posterior = {"mu": rng.normal(size=shape), "theta": rng.normal(size=(*shape, 3))}
    stats = {
        "diverging": np.zeros(shape, bool),
        "energy": rng.normal(size=shape),
        "tree_depth": np.full(shape, 3),
        "reached_max_treedepth": np.zeros(shape, bool),
    }
    attrs = changes.pop("attrs", {})
    for name, values in changes.items():
        (stats if name in stats else posterior)[name] = values
    groups = {"posterior": posterior, "sample_stats": stats}
    return to_arviz(groups, coords={}, dims={}, attrs={"target_accept": 0.8, "max_tree_depth": 10, **attrs})


def _shifted():
    x = np.random.default_rng(1).normal(size=(N_CHAINS, N_DRAWS, 3))
    x[0, :, 1] += 1.0
    return x


def _walk():
    return np.cumsum(np.random.default_rng(1).normal(size=(N_CHAINS, N_DRAWS)), axis=1)


def _some(share):
    return np.random.default_rng(1).uniform(size=(N_CHAINS, N_DRAWS)) < share


CASES = {
    "divergences": ({"diverging": _some(0.01)}, "divergences", r"18 of 2000 draws .*non-centred.*it was 0.8"),
    "r_hat": ({"theta": _shifted()}, "r_hat", r"theta\[1\], above 1.01"),
    "ess": ({"mu": _walk()}, "ess_bulk", r"bulk effective sample size is \d+ for mu, below 100 per chain"),
    "energy": ({"energy": _walk()}, "e_bfmi", "E-BFMI is 0.0"),
    "depth": ({"reached_max_treedepth": _some(0.2)}, "tree_depth", "used the whole tree depth of 10"),
    "interrupted": ({"attrs": {"interrupted": 1}}, "interrupted", "interrupted after 500 draws"),
    "stuck": ({"mu": np.ones((N_CHAINS, N_DRAWS))}, "stuck", "mu: constant"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_finding_is_made(name):
    changes, kind, words = CASES[name]
    post = _run(**changes)
    found = {d.kind: str(d) for d in diagnose(post)}
    assert kind in found
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        assert warn_about(post) == diagnose(post)
    assert all(w.category is SamplingWarning for w in issued)
    assert any(re.search(words, str(w.message)) for w in issued)


def test_a_clean_run_has_none():
    assert diagnose(_run()) == []
    assert diagnose(_run(reached_max_treedepth=_some(0.02))) == []


def test_draws_of_an_approximation_are_judged_without_statistics():
    rng = np.random.default_rng(0)
    post = to_arviz({"posterior": {"mu": rng.normal(size=(1, 1000))}}, coords={}, dims={}, attrs={})
    assert diagnose(post) == []


def test_too_few_draws_to_judge():
    post = to_arviz({"posterior": {"mu": np.zeros((2, 2))}}, coords={}, dims={}, attrs={})
    assert "too few" in str(diagnose(post)[0])
