"""What may be wrong with a run, said in words with advice."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from probad.errors import SamplingWarning
from probad.output import count_not_finite, element_name, group_names, summary_statistics

MAX_R_HAT, MIN_ESS_PER_CHAIN, MIN_E_BFMI, MAX_SATURATED = 1.01, 100, 0.3, 0.05
MIN_DRAWS = 4  # fewer cannot be split into two halves with a variance
N_NAMED = 3  # how many parameters a message names


@dataclass(frozen=True)
class Diagnosis:
    """One finding about a run.

    Attributes
    ----------
    kind : str
        ``interrupted``, ``divergences``, ``tree_depth``, ``e_bfmi``, ``stuck``, ``not_finite``, ``r_hat``,
        ``ess_bulk``, ``ess_tail``, ``too_few_draws`` or ``too_few_chains``.
    message : str
        What was found, and what to do about it.
    """

    kind: str
    message: str

    def __str__(self) -> str:
        return self.message


def diagnose(post) -> list[Diagnosis]:
    """Everything that speaks against trusting the draws of an ArviZ object.

    Parameters
    ----------
    post : arviz.InferenceData or xarray.DataTree
        With a posterior, and sample_stats if it comes from a sampler.

    Returns
    -------
    list of Diagnosis
        Empty if nothing was found.
    """
    found: list[Diagnosis] = []
    sampled = "sample_stats" in group_names(post)
    n_chains, n_draws = post["posterior"].sizes["chain"], post["posterior"].sizes["draw"]
    if sampled:
        stats = {str(name): np.asarray(post["sample_stats"][name].values) for name in post["sample_stats"].data_vars}
        attrs = post["sample_stats"].attrs
        for check in (_interrupted, _divergences, _tree_depth, _energy, _stuck):
            found += check(stats, attrs)
    found += _not_finite(post, n_chains * n_draws)
    if n_draws < MIN_DRAWS:
        message = f"{n_draws} draws per chain are too few to judge convergence by. Draw more."
        return [*found, Diagnosis("too_few_draws", message)]
    if sampled and n_chains == 1:
        message = "One chain alone cannot show whether others would agree with it. Run at least chains=2, better 4."
        found.append(Diagnosis("too_few_chains", message))
    return found + _convergence(post, summary_statistics(post), n_chains, n_draws)


def warn_about(post, *, stacklevel: int = 3) -> list[Diagnosis]:
    """Issue one `SamplingWarning` per finding, and return them."""
    found = diagnose(post)
    for diagnosis in found:
        warnings.warn(diagnosis.message, SamplingWarning, stacklevel=stacklevel)
    return found


def _interrupted(stats, attrs) -> list[Diagnosis]:
    if not int(attrs.get("interrupted", 0)):
        return []
    n_chains, n_draws = next(iter(stats.values())).shape
    asked = int(attrs.get("chains", n_chains))
    lost = f"; {asked - n_chains} of {asked} chains had none yet and are left out" if asked > n_chains else ""
    return [Diagnosis("interrupted", f"The run was interrupted after {n_draws} draws per chain{lost}.")]


def _divergences(stats, attrs) -> list[Diagnosis]:
    if "diverging" not in stats or not stats["diverging"].any():
        return []
    n, total = int(stats["diverging"].sum()), stats["diverging"].size
    target = attrs.get("target_accept")
    accept = f"raise target_accept (it was {target:g})" if target is not None else "raise target_accept"
    return [
        Diagnosis(
            "divergences",
            f"{n} of {total} draws ({n / total:.1%}) ended in a divergence: the sampler could not follow the density "
            f"into a narrow region, so the draws may miss it. Write hierarchical effects as mean + scale * standard "
            f"normal (non-centred), or {accept}.",
        )
    ]


def _tree_depth(stats, attrs) -> list[Diagnosis]:
    if "reached_max_treedepth" not in stats:
        return []
    share = float(stats["reached_max_treedepth"].mean())
    if share <= MAX_SATURATED:
        return []
    depth = attrs.get("max_tree_depth", int(stats["tree_depth"].max()))
    return [
        Diagnosis(
            "tree_depth",
            f"{share:.0%} of the draws used the whole tree depth of {depth}: the draws are right but dear. Put the "
            f"parameters on a common scale, warm up longer, or raise max_tree_depth.",
        )
    ]


def _energy(stats, attrs) -> list[Diagnosis]:
    """Energy fraction of missing information (Betancourt 2016, arXiv:1604.00695)."""
    energy = stats.get("energy")
    if energy is None or energy.shape[1] < 20:
        return []
    variance = energy.var(axis=1)
    moving = variance > 0
    bfmi = np.where(moving, np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.where(moving, variance, 1), 0)
    low = np.flatnonzero(bfmi < MIN_E_BFMI)
    if not low.size:
        return []
    return [
        Diagnosis(
            "e_bfmi",
            f"E-BFMI is {bfmi[low].min():.2f} in {_chains(low)}, below {MIN_E_BFMI}: the energies of the chain move "
            "too slowly to explore heavy tails. Reparametrise (a non-centred form, a transformed scale) or use lighter "
            "priors.",
        )
    ]


def _stuck(stats, attrs) -> list[Diagnosis]:
    """Chains that never moved: their log density has one value. Deterministic sites may well be constant."""
    lp = stats.get("lp")
    if lp is None or lp.shape[1] < MIN_DRAWS:
        return []
    stuck = np.flatnonzero(np.ptp(lp, axis=1) == 0)
    if not stuck.size:
        return []
    return [
        Diagnosis(
            "stuck",
            f"{_chains(stuck).capitalize()} never moved: all proposals were rejected. Warm up longer, start elsewhere "
            "(init=), or let pb.stress look for a wrong gradient.",
        )
    ]


def _not_finite(post, total: int) -> list[Diagnosis]:
    found = []
    for name, counts in count_not_finite(post).items():
        worst = np.unravel_index(np.argmax(counts), counts.shape)
        found.append(
            Diagnosis(
                "not_finite",
                f"{element_name(post, name, worst)} is not finite in {counts[worst]} of {total} draws, so nothing is "
                "said about its convergence. Guard the operation that makes it, for instance by np.where.",
            )
        )
    return found


def _convergence(post, tables, n_chains: int, n_draws: int) -> list[Diagnosis]:
    found = []
    if "r_hat" in tables:
        worst = _beyond(tables["r_hat"], lambda r: r > MAX_R_HAT, largest=True)
        if worst:
            found.append(
                Diagnosis(
                    "r_hat",
                    f"R-hat is {_listed(post, worst, '.3f')}, above {MAX_R_HAT}: the chains have not mixed, and their "
                    "draws do not describe one posterior yet. Run longer, or look for several modes in trace plots.",
                )
            )
    least = MIN_ESS_PER_CHAIN * n_chains
    for kind, what in (("ess_bulk", "bulk"), ("ess_tail", "tail")):
        worst = _beyond(tables[kind], lambda n: n < least, largest=False)
        if worst:
            found.append(
                Diagnosis(
                    kind,
                    f"The {what} effective sample size is {_listed(post, worst, '.0f')}, below {MIN_ESS_PER_CHAIN} per "
                    f"chain: estimates from these {n_chains * n_draws} draws are unreliable. Draw more, or "
                    "reparametrise.",
                )
            )
            break
    return found


def _beyond(table, is_bad_fn, *, largest: bool) -> list[tuple[float, str, tuple[int, ...]]]:
    """Value, variable and index of the elements that break a rule, the worst first."""
    with np.errstate(invalid="ignore"):
        found = [
            (float(values[index]), name, tuple(map(int, index)))
            for name, values in table.items()
            for index in map(tuple, np.argwhere(is_bad_fn(values)))
        ]
    return sorted(found, key=lambda item: -item[0] if largest else item[0])


def _listed(post, worst, form: str) -> str:
    """The worst value with its name, two more behind it, and how many there are besides."""
    (value, name, index), *others = worst
    text = f"{value:{form}} for {element_name(post, name, index)}"
    if others:
        parts = [f"{v:{form}} for {element_name(post, n, i)}" for v, n, i in others[: N_NAMED - 1]]
        if len(worst) > N_NAMED:
            parts.append(f"{len(worst) - N_NAMED} more")
        text += f" ({', '.join(parts)})"
    return text


def _chains(numbers) -> str:
    return f"chain{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
