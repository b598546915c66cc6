"""What may be wrong with a run, said in words with advice."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from probad.errors import SamplingWarning
from probad.output import group_names, summary_statistics

MAX_R_HAT, MIN_ESS_PER_CHAIN, MIN_E_BFMI, MAX_SATURATED = 1.01, 100, 0.3, 0.05


@dataclass(frozen=True)
class Diagnosis:
    """One finding about a run.

    Attributes
    ----------
    kind : str
        ``divergences``, ``r_hat``, ``ess_bulk``, ``ess_tail``, ``e_bfmi``, ``tree_depth``, ``stuck``, ``interrupted``.
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
    groups = group_names(post)
    if "sample_stats" in groups:
        stats = {str(name): np.asarray(post["sample_stats"][name].values) for name in post["sample_stats"].data_vars}
        if int(post["posterior"].attrs.get("interrupted", 0)):
            n = post["posterior"].sizes["draw"]
            found.append(Diagnosis("interrupted", f"The run was interrupted after {n} draws per chain."))
        for check in (_divergences, _tree_depth, _energy):
            found += check(stats, post["sample_stats"].attrs)
    shape = (post["posterior"].sizes["chain"], post["posterior"].sizes["draw"])
    if shape[1] < 4:
        return [*found, Diagnosis("ess_bulk", f"{shape[1]} draws per chain are too few to judge convergence by.")]
    return found + _convergence(summary_statistics(post), *shape)


def warn_about(post, *, stacklevel: int = 3) -> list[Diagnosis]:
    """Issue one `SamplingWarning` per finding, and return them."""
    found = diagnose(post)
    for diagnosis in found:
        warnings.warn(diagnosis.message, SamplingWarning, stacklevel=stacklevel)
    return found


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
    bfmi = np.where(
        variance > 0, np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.where(variance > 0, variance, 1), 0
    )
    low = np.flatnonzero(bfmi < MIN_E_BFMI)
    if not low.size:
        return []
    return [
        Diagnosis(
            "e_bfmi",
            f"E-BFMI is {bfmi[low].min():.2f} in chain{'s' if low.size > 1 else ''} {', '.join(map(str, low))}, below "
            f"{MIN_E_BFMI}: the energies of the chain move too slowly to explore heavy tails. Reparametrise (a "
            "non-centred form, a transformed scale) or use lighter priors.",
        )
    ]


def _convergence(tables, n_chains: int, n_draws: int) -> list[Diagnosis]:
    found = []
    stuck = [name for name, r in tables["r_hat"].items() if np.isnan(r).all()]
    if stuck and n_chains > 1:
        names = ", ".join(stuck[:3])
        found.append(Diagnosis("stuck", f"{names}: constant in the draws, so that convergence cannot be judged."))
    if n_chains > 1:
        name, worst = _worst(tables["r_hat"], np.nanmax)
        if worst > MAX_R_HAT:
            found.append(
                Diagnosis(
                    "r_hat",
                    f"R-hat is {worst:.3f} for {name}, above {MAX_R_HAT}: the chains have not mixed, and their draws "
                    "do not describe one posterior yet. Run longer, or look for several modes with az.plot_trace.",
                )
            )
    for kind, what in (("ess_bulk", "bulk"), ("ess_tail", "tail")):
        name, worst = _worst(tables[kind], np.nanmin)
        least = MIN_ESS_PER_CHAIN * n_chains
        if worst < least:
            found.append(
                Diagnosis(
                    kind,
                    f"The {what} effective sample size is {worst:.0f} for {name}, below {MIN_ESS_PER_CHAIN} per chain: "
                    f"estimates from these {n_chains * n_draws} draws are unreliable. Draw more, or reparametrise.",
                )
            )
            break
    return found


def _worst(table, pick) -> tuple[str, float]:
    """Element with the largest or smallest value over all variables, by name."""
    best_name, best = "", None
    for name, values in table.items():
        if np.isnan(values).all():
            continue
        value = float(pick(values))
        if best is None or pick([value, best]) == value:
            where = np.argwhere(values == value)[0]
            best_name, best = f"{name}[{', '.join(map(str, where))}]" if values.ndim else name, value
    return best_name, (1.0 if pick is np.nanmax else np.inf) if best is None else best
