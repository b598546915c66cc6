"""What may be wrong with a run, said in words with advice."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from probad.convergence import ranks
from probad.errors import SamplingWarning
from probad.output import count_not_finite, element_name, group_names, summary_statistics

MAX_R_HAT, MIN_ESS_PER_CHAIN, MIN_E_BFMI, MAX_SATURATED = 1.01, 100, 0.3, 0.05
MIN_DRAWS = 4  # fewer cannot be split into two halves with a variance
N_NAMED = 3  # how many parameters a message names
MIN_DIVERGENT = 5  # fewer divergences have no pattern
MIN_SHIFT, MIN_Z = 0.2, 4.0  # of the area under the curve from one half, and that in its standard errors
MIN_ACCEPTANCE = 0.05  # below it next to all proposals of a chain were rejected
MIN_RANGE_DRAWS = 20  # fewer have no 5 % and 95 % quantiles
MOST_AT_ONCE = 200_000  # values of parameters that are looked at after an interrupt, when the user waits


@dataclass(frozen=True)
class Diagnosis:
    """One finding about a run.

    Attributes
    ----------
    kind : str
        ``interrupted``, ``divergences``, ``tree_depth``, ``e_bfmi``, ``stuck``, ``acceptance``, ``chains_apart``,
        ``constant``, ``not_finite``, ``r_hat``, ``ess_bulk``, ``ess_tail``, ``too_few_draws`` or ``too_few_chains``.
    message : str
        What was found, and what to do about it.
    parameters : tuple of str
        Whom it concerns, with index: ``theta[Choate]``; or the chains, as ``chain 2``; the worst first. Empty if it is
        the run as a whole.
    values : tuple of float
        One for each parameter (R-hat, effective sample size, ...), or one for the run.
    """

    kind: str
    message: str
    parameters: tuple[str, ...] = ()
    values: tuple[float, ...] = ()

    def __str__(self) -> str:
        return self.message


class Findings(list):
    """What speaks against the draws of a run: a list of `Diagnosis` that prints as a report."""

    def __repr__(self) -> str:
        if not self:
            return "Nothing speaks against these draws."
        plural = "s" if len(self) > 1 else ""
        lines = "\n".join(f"  {d.kind}: {d.message}" for d in self)
        return f"{len(self)} finding{plural} speak{'' if plural else 's'} against these draws:\n{lines}"

    @property
    def kinds(self) -> list[str]:
        """The kind of each finding."""
        return [d.kind for d in self]


def diagnose(post) -> Findings:
    """Everything that speaks against trusting the draws of an ArviZ object.

    Parameters
    ----------
    post : arviz.InferenceData or xarray.DataTree
        With a posterior, and sample_stats if it comes from a sampler.

    Returns
    -------
    Findings
        A list of `Diagnosis` that prints as a report; empty if nothing was found.
    """
    return _findings(post, whole=True)


def _findings(post, *, whole: bool) -> Findings:
    """What speaks against the draws; without the parameters, of which there may be thousands, unless it is `whole`."""
    found = Findings()
    sampled = "sample_stats" in group_names(post)
    n_chains, n_draws = post["posterior"].sizes["chain"], post["posterior"].sizes["draw"]
    if sampled:
        stats = {str(name): np.asarray(post["sample_stats"][name].values) for name in post["sample_stats"].data_vars}
        attrs = post["sample_stats"].attrs
        found += _interrupted(stats, attrs, whole)
        found += _divergences(stats, attrs, post if whole else None)
        for check in (_tree_depth, _energy, _stuck, _acceptance, _apart):
            found += check(stats, attrs)
    if not whole:
        return found
    found += _not_finite(post, n_chains * n_draws)
    if n_draws < MIN_DRAWS:
        message = f"{n_draws} draws per chain are too few to judge convergence by. Draw more."
        return Findings([*found, Diagnosis("too_few_draws", message)])
    if sampled and n_chains == 1:
        message = "One chain alone cannot show whether others would agree with it. Run at least chains=2, better 4."
        found.append(Diagnosis("too_few_chains", message))
    found += _constant(post)
    found += _convergence(post, summary_statistics(post), n_chains, n_draws)
    return found


def warn_about(post, *, stacklevel: int = 3) -> Findings:
    """Issue one `SamplingWarning` per finding, and return them.

    After an interrupt the user waits: then of large posteriors the parameters are left to `diagnose`.
    """
    data = post["posterior"]
    interrupted = "sample_stats" in group_names(post) and int(post["sample_stats"].attrs.get("interrupted", 0))
    few = sum(data[name].size for name in data.data_vars) <= MOST_AT_ONCE
    found = _findings(post, whole=few or not interrupted)
    for diagnosis in found:
        warnings.warn(diagnosis.message, SamplingWarning, stacklevel=stacklevel)
    return found


def _interrupted(stats, attrs, whole: bool) -> list[Diagnosis]:
    if not int(attrs.get("interrupted", 0)):
        return []
    n_chains, n_draws = next(iter(stats.values())).shape
    asked = int(attrs.get("chains", n_chains))
    lost = f"; {asked - n_chains} of {asked} chains had none yet and are left out" if asked > n_chains else ""
    left = "" if whole else " The parameters were not looked at, which takes a while: pb.diagnose(post) does it."
    return [Diagnosis("interrupted", f"The run was interrupted after {n_draws} draws per chain{lost}.{left}")]


def _divergences(stats, attrs, post) -> list[Diagnosis]:
    if "diverging" not in stats or not stats["diverging"].any():
        return []
    diverging = stats["diverging"].astype(bool)
    n, total = int(diverging.sum()), diverging.size
    target = attrs.get("target_accept")
    accept = f"raise target_accept (it was {target:g})" if target is not None else "raise target_accept"
    where = [] if post is None else _concentrations(post, diverging)
    narrow = [c for c in where if c.positive and c.area < 0.5]
    if narrow:
        way_out = (
            f"If {narrow[0].name} is the scale of hierarchical effects, write them as mean + {narrow[0].name} * "
            f"standard normal (non-centred); else {accept}."
        )
    else:
        way_out = f"Write hierarchical effects as mean + scale * standard normal (non-centred), or {accept}."
    pattern = f" They concentrate at {'; '.join(map(str, where))}." if where else ""
    return [
        Diagnosis(
            "divergences",
            f"{n} of {total} draws ({n / total:.1%}) ended in a divergence: the sampler could not follow the density "
            f"into a narrow region, so the draws may miss it.{pattern} {way_out}",
            tuple(c.name for c in where),
            tuple(c.area for c in where) or (float(n),),
        )
    ]


@dataclass(frozen=True)
class _Concentration:
    """Where along one parameter divergent draws lie: `area` is the chance that one exceeds another draw."""

    name: str
    area: float
    inside: float
    outside: float
    positive: bool

    def __str__(self) -> str:
        side = "small" if self.area < 0.5 else "large"
        return f"{side} {self.name} (median {self.inside:.2g}, elsewhere {self.outside:.2g})"


def _concentrations(post, diverging: np.ndarray) -> list[_Concentration]:
    """The parameters along which divergent draws differ most from the others, by ranks (Mann and Whitney 1947).

    Ranks are the same on the constrained and the unconstrained scale.
    """
    data, where = post["posterior"], diverging.ravel()
    n_in, n_out = int(where.sum()), int((~where).sum())
    if n_in < MIN_DIVERGENT or n_out < MIN_DIVERGENT:
        return []
    error = np.sqrt((n_in + n_out + 1) / (12 * n_in * n_out))
    found = []
    for variable in map(str, data.data_vars):
        values = np.asarray(data[variable].values)
        if values.shape[:2] != diverging.shape or values.dtype.kind not in "fiu":
            continue
        for index in np.ndindex(values.shape[2:]):
            x = values[(slice(None), slice(None), *index)].ravel()
            if not np.isfinite(x).all() or np.ptp(x) == 0:
                continue
            area = float((ranks(x[None])[0][where].mean() - (n_in + 1) / 2) / n_out)
            if abs(area - 0.5) > max(MIN_SHIFT, MIN_Z * error):
                inside, outside = float(np.median(x[where])), float(np.median(x[~where]))
                name = element_name(post, variable, index)
                found.append(_Concentration(name, area, inside, outside, bool(x.min() > 0)))
    return sorted(found, key=lambda c: -abs(c.area - 0.5))[:N_NAMED]


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
            values=(share,),
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
            tuple(f"chain {c}" for c in low),
            tuple(map(float, bfmi[low])),
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
            tuple(f"chain {c}" for c in stuck),
            tuple(float(lp[c, 0]) for c in stuck),
        )
    ]


def _acceptance(stats, attrs) -> list[Diagnosis]:
    """Chains that moved, but next to never."""
    rate, lp = stats.get("acceptance_rate"), stats.get("lp")
    if rate is None or lp is None or rate.shape[1] < MIN_DRAWS:
        return []
    mean = rate.mean(axis=1)
    low = np.flatnonzero((mean < MIN_ACCEPTANCE) & (np.ptp(lp, axis=1) > 0))
    if not low.size:
        return []
    verb = "accept" if low.size > 1 else "accepts"
    return [
        Diagnosis(
            "acceptance",
            f"{_chains(low).capitalize()} {verb} {mean[low].min():.1%} of the proposals: the step size does not suit "
            "the posterior there. Warm up longer, give a smaller step_size=, or start elsewhere (init=).",
            tuple(f"chain {c}" for c in low),
            tuple(map(float, mean[low])),
        )
    ]


def _apart(stats, attrs) -> list[Diagnosis]:
    """Chains whose log densities lie wholly below those of the others, by their 5 % and 95 % quantiles."""
    lp = stats.get("lp")
    if lp is None or lp.shape[0] < 2 or lp.shape[1] < MIN_RANGE_DRAWS or not np.isfinite(lp).all():
        return []
    moving = np.flatnonzero(np.ptp(lp, axis=1) > 0)
    low, middle, high = np.quantile(lp, (0.05, 0.5, 0.95), axis=1)
    order = moving[np.argsort(middle[moving])]
    for k in range(1, len(order)):
        below, above = order[:k], order[k:]
        if high[below].max() < low[above].min():
            break
    else:
        return []
    below = np.sort(below)
    return [
        Diagnosis(
            "chains_apart",
            f"{_chains(below).capitalize()} stayed where the log density is lower (median "
            f"{np.median(middle[below]):.4g}, that of the others {np.median(middle[above]):.4g}): another mode, or a "
            "place it cannot leave. Start all chains from plausible values (init=), warm up longer, or order what can "
            "be exchanged in the model.",
            tuple(f"chain {c}" for c in below),
            tuple(float(middle[c]) for c in below),
        )
    ]


def _constant(post) -> list[Diagnosis]:
    """Elements with one value throughout a chain, but not throughout the run: constants of the model are no problem."""
    found = []
    for variable in map(str, post["posterior"].data_vars):
        values = np.asarray(post["posterior"][variable].values)
        if values.dtype.kind != "f":  # counts and flags may well stay
            continue
        still = values.min(axis=1) == values.max(axis=1)  # (chain, ...); not where there are NaNs
        differs = values.min(axis=(0, 1)) != values.max(axis=(0, 1))
        for index in map(tuple, np.argwhere(still.any(axis=0) & differs)):
            element = values[(slice(None), slice(None), *index)]
            moving = element[~still[(slice(None), *index)]]
            if np.isfinite(element).all() and (not moving.size or np.unique(moving).size > moving.size / 10):
                found.append((element_name(post, variable, index), np.flatnonzero(still[(slice(None), *index)])))
    if not found:
        return []
    name, chains = found[0]
    more = f" ({len(found) - 1} more such elements)" if len(found) > 1 else ""
    return [
        Diagnosis(
            "constant",
            f"{name} has one value in all draws of {_chains(chains)}{more}, and others elsewhere: the sampler does not "
            "move it. Look whether the log density depends on it smoothly, or start elsewhere (init=).",
            tuple(name for name, _ in found),
            tuple(float(len(chains)) for _, chains in found),
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
                (element_name(post, name, worst),),
                (float(counts[worst]),),
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
                    *_named(post, worst),
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
                    *_named(post, worst),
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


def _named(post, worst) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names and values of all elements that break a rule."""
    return tuple(element_name(post, n, i) for _, n, i in worst), tuple(v for v, _, _ in worst)


def _chains(numbers) -> str:
    return f"chain{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
