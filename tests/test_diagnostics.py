"""Each warning fires on a run made to deserve it, and none on a clean one."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

import probad as pb
from probad import dist
from probad.diagnostics import Findings, diagnose, warn_about
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


@pb.model
def centred_funnel():
    tau = pb.sample("tau", dist.LogNormal(0.0, 1.5))
    pb.sample("x", dist.Normal(0.0, tau), shape=2)  # of nine, chains end far from the neck, and diverge elsewhere


def _quiet(model, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        return pb.nuts(model, progress=False, **options)


def test_divergences_of_a_funnel_are_found_at_its_neck():
    runs = [diagnose(_quiet(centred_funnel(), draws=1000, warmup=500, seed=seed)) for seed in (1, 2, 3)]
    found = [d for run in runs for d in run if d.kind == "divergences" and d.parameters[:1] == ("tau",)]
    assert len(found) >= 2, "a chain may fail to see the neck, but not most"
    for message in found:
        assert message.values[0] < 0.3
        assert re.search(
            r"concentrate at small tau \(median .*mean \+ tau \* standard normal \(non-centred\)", str(message)
        )


def test_where_divergences_lie_by_an_oracle():
    """The area under the curve is a count of pairs; the parameter has the label of its coordinate."""
    run = _run()
    theta = run["posterior"]["theta"].values
    diverging = theta[..., 1] > 1.0
    diverging[0, :20] = True
    found = next(d for d in diagnose(_run(diverging=diverging)) if d.kind == "divergences")
    inside, outside = theta[diverging][:, 1], theta[~diverging][:, 1]
    assert found.parameters == ("theta[Deerfield]",)
    np.testing.assert_allclose(found.values, [(inside[:, None] > outside).mean()], rtol=1e-12)
    assert "large theta[Deerfield]" in str(found)
    scattered = next(d for d in diagnose(_run(diverging=_some(0.05))) if d.kind == "divergences")
    assert scattered.parameters == ()
    assert "concentrate" not in str(scattered)


def test_two_modes_far_apart():
    density = pb.LogDensity.from_function(
        lambda z: np.logaddexp(-0.5 * np.sum((z - 20) ** 2), np.log(0.01) - 0.5 * np.sum((z + 20) ** 2)), 1
    )
    start = np.array([[20.0], [20.0], [-20.0], [20.0]])
    found = {d.kind: d for d in diagnose(_quiet(density, draws=500, warmup=300, seed=1, init=start))}
    assert found["r_hat"].values[0] > 1.4  # of ranks, hence bounded
    assert found["chains_apart"].parameters == ("chain 2",)
    assert "Chain 2 stayed where the log density is lower" in str(found["chains_apart"])


def test_a_huge_step_stops_a_chain():
    density = pb.LogDensity.from_function(lambda z: -0.5 * np.sum(z**2), 3)
    found = diagnose(_quiet(density, draws=100, warmup=0, seed=1, step_size=1e3))
    assert "stuck" in found.kinds
    assert next(d for d in found if d.kind == "stuck").parameters == ("chain 0", "chain 1", "chain 2", "chain 3")


def test_a_small_tree_depth_is_reported():
    density = pb.LogDensity.from_function(lambda z: -0.5 * np.sum((z / np.array([1.0, 100.0])) ** 2), 2)
    found = diagnose(_quiet(density, draws=200, warmup=200, seed=1, max_tree_depth=1, metric="unit"))
    depth = next(d for d in found if d.kind == "tree_depth")
    assert depth.values[0] > 0.5
    assert "tree depth of 1" in str(depth)


def test_heavy_tails_lower_the_energy_fraction():
    density = pb.LogDensity.from_function(lambda z: -5.5 * np.log1p(np.sum(z**2)), 10)  # Cauchy
    found = diagnose(_quiet(density, draws=1000, warmup=500, seed=1))
    assert "e_bfmi" in found.kinds


def test_a_clean_gaussian_has_no_finding():
    density = pb.LogDensity.from_function(lambda z: -0.5 * np.sum(z**2), 3)
    found = diagnose(pb.nuts(density, draws=1000, warmup=500, seed=1, progress=False))
    assert found == []
    assert repr(found) == "Nothing speaks against these draws."


def test_low_acceptance_is_reported():
    rate = np.full((N_CHAINS, N_DRAWS), 0.8)
    rate[3] = 0.01
    groups = {"posterior": {"mu": _run()["posterior"]["mu"].values}}
    groups["sample_stats"] = {"lp": _run()["sample_stats"]["lp"].values, "acceptance_rate": rate}
    (found,) = diagnose(to_arviz(groups, coords={}, dims={}, attrs={}))
    assert (found.kind, found.parameters) == ("acceptance", ("chain 3",))
    assert "accepts 1.0% of the proposals" in str(found)


def test_a_parameter_that_stays_in_one_chain():
    theta = np.random.default_rng(1).normal(size=(N_CHAINS, N_DRAWS, 3))
    theta[1, :, 2] = 0.25
    found = next(d for d in diagnose(_run(theta=theta)) if d.kind == "constant")
    assert found.parameters == ("theta[Exeter]",)
    assert "theta[Exeter] has one value in all draws of chain 1," in str(found)


def test_findings_print_as_a_report():
    found = diagnose(_run(theta=_shifted(), diverging=_some(0.01)))
    found = Findings(d for d in found if d.kind in ("divergences", "r_hat"))
    assert isinstance(found, Findings)
    lines = repr(found).splitlines()
    assert lines[0] == "2 findings speak against these draws:"
    assert lines[1].startswith("  divergences: ")
    assert lines[2].startswith("  r_hat: R-hat is")
