"""Each warning fires on a run made to deserve it, and none on a clean one."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from probad.diagnostics import diagnose, warn_about
from probad.errors import SamplingWarning
from probad.output import import_arviz, to_arviz

N_CHAINS, N_DRAWS = 4, 500


def _run(**changes):
    """An ArviZ object of independent normal draws, with some columns replaced."""
    rng = np.random.default_rng(0)
    shape = (N_CHAINS, N_DRAWS)
    posterior = {"mu": rng.normal(size=shape), "theta": rng.normal(size=(*shape, 3))}
    stats = {
        "lp": rng.normal(size=shape),
        "diverging": np.zeros(shape, bool),
        "energy": rng.normal(size=shape),
        "tree_depth": np.full(shape, 3),
        "reached_max_treedepth": np.zeros(shape, bool),
    }
    attrs = changes.pop("attrs", {})
    for name, values in changes.items():
        (stats if name in stats else posterior)[name] = values
    groups = {"posterior": posterior, "sample_stats": stats}
    dims, coords = {"theta": ("school",)}, {"school": ["Choate", "Deerfield", "Exeter"]}
    return to_arviz(groups, coords=coords, dims=dims, attrs={"target_accept": 0.8, "max_tree_depth": 10, **attrs})


def _shifted():
    x = np.random.default_rng(1).normal(size=(N_CHAINS, N_DRAWS, 3))
    x[0, :, 1] += 1.0
    return x


def _walk():
    return np.cumsum(np.random.default_rng(1).normal(size=(N_CHAINS, N_DRAWS)), axis=1)


def _all_shifted():
    x = np.random.default_rng(1).normal(size=(N_CHAINS, N_DRAWS, 3))
    x[0] += [1.0, 2.0, 3.0]
    return x


def _one_chain_still():
    lp = np.random.default_rng(1).normal(size=(N_CHAINS, N_DRAWS))
    lp[2] = -3.0
    return lp


def _with_nans():
    x = np.random.default_rng(1).normal(size=(N_CHAINS, N_DRAWS, 3))
    x[0, :7, 1] = np.nan
    x[1, 0, 2] = np.inf
    return x


def _heavy():
    """Long swings: the middle of the draws mixes, their tails hardly."""
    rng = np.random.default_rng(3)
    scale = np.repeat(np.exp(rng.normal(size=(N_CHAINS, N_DRAWS // 50))), 50, axis=1)
    return scale**3 * rng.normal(size=(N_CHAINS, N_DRAWS))


def _some(share):
    return np.random.default_rng(1).uniform(size=(N_CHAINS, N_DRAWS)) < share


CASES = {
    "divergences": ({"diverging": _some(0.01)}, "divergences", r"18 of 2000 draws .*non-centred.*it was 0.8"),
    "r_hat": ({"theta": _shifted()}, "r_hat", r"^R-hat is 1\.\d{3} for theta\[Deerfield\], above 1.01"),
    "several": (
        {"theta": _all_shifted()},
        "r_hat",
        r"R-hat is \S+ for theta\[Exeter\] \(\S+ for theta\[Deerfield\], \S+ for",
    ),
    "many": (
        {"theta": _all_shifted(), "mu": _walk()},
        "r_hat",
        r"\(\S+ for theta\[\w+\], \S+ for theta\[\w+\], 1 more\), above",
    ),
    "ess": ({"mu": _walk()}, "ess_bulk", r"bulk effective sample size is \d+ for mu, below 100 per chain"),
    "energy": ({"energy": _walk()}, "e_bfmi", "E-BFMI is 0.0"),
    "depth": ({"reached_max_treedepth": _some(0.2)}, "tree_depth", "used the whole tree depth of 10"),
    "tail": ({"mu": _heavy()}, "ess_tail", r"tail effective sample size is \d+ for mu, below 100 per chain"),
    "interrupted": ({"attrs": {"interrupted": 1}}, "interrupted", r"interrupted after 500 draws per chain\.$"),
    "chains lost": ({"attrs": {"interrupted": 1, "chains": 6}}, "interrupted", "2 of 6 chains had none yet"),
    "stuck": ({"lp": _one_chain_still()}, "stuck", "^Chain 2 never moved.*init="),
    "not finite": ({"theta": _with_nans()}, "not_finite", r"^theta\[Deerfield\] is not finite in 7 of 2000 draws"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_finding_is_made(name):
    changes, kind, words = CASES[name]
    post = _run(**changes)
    found = {d.kind: str(d) for d in diagnose(post)}
    assert kind in found
    assert re.search(words, found[kind])
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        assert warn_about(post) == diagnose(post)
    assert all(w.category is SamplingWarning for w in issued)
    assert [str(w.message) for w in issued] == [str(d) for d in diagnose(post)]
    assert len(set(found)) == len(issued)  # one warning for each problem


def test_a_clean_run_has_none():
    assert diagnose(_run()) == []
    assert diagnose(_run(reached_max_treedepth=_some(0.02))) == []


def test_a_constant_deterministic_is_no_problem():
    shape = (N_CHAINS, N_DRAWS)
    assert diagnose(_run(limit=np.full(shape, 3.0), steps=np.broadcast_to(np.arange(4.0), (*shape, 4)))) == []


def test_elements_that_are_not_finite_do_not_hide_the_others():
    """Nor does ArviZ get to see them: it would write about them to its own log."""
    theta = _with_nans()
    theta[0, :, 0] += 1.0
    kinds = {d.kind: str(d) for d in diagnose(_run(theta=theta))}
    assert "theta[Choate]" in kinds["r_hat"]


def test_one_chain_is_too_few_to_compare(caplog):
    rng = np.random.default_rng(0)
    draws = {"mu": rng.normal(size=(1, 500))}
    groups = {"posterior": draws, "sample_stats": {"lp": draws["mu"]}}
    found = diagnose(to_arviz(groups, coords={}, dims={}, attrs={}))
    assert [d.kind for d in found] == ["too_few_chains"]
    assert "One chain alone" in str(found[0])
    assert caplog.records == []


def test_the_warning_points_at_the_caller():
    with pytest.warns(SamplingWarning) as issued:
        warn_about(_run(diverging=_some(0.01)), stacklevel=2)
    assert issued[0].filename == __file__


def test_diagnoses_survive_a_file(tmp_path):
    path = str(tmp_path / "post.nc")
    post = _run(theta=_shifted(), diverging=_some(0.01), attrs={"interrupted": 1})
    post.to_netcdf(path)
    assert diagnose(import_arviz().from_netcdf(path)) == diagnose(post)


def test_draws_of_an_approximation_are_judged_without_statistics():
    rng = np.random.default_rng(0)
    post = to_arviz({"posterior": {"mu": rng.normal(size=(1, 1000))}}, coords={}, dims={}, attrs={})
    assert diagnose(post) == []


def test_too_few_draws_to_judge():
    post = to_arviz({"posterior": {"mu": np.zeros((2, 2))}}, coords={}, dims={}, attrs={})
    assert [d.kind for d in diagnose(post)] == ["too_few_draws"]
