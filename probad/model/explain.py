"""Find out, site by site, why a model's log density is not finite at a point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from probad.errors import ProbadError
from probad.model.effects import FACTOR, SAMPLE, Interpreter, Site
from probad.model.layout import Layout, SiteInfo
from probad.numerics import as_array


class Explain(Interpreter):
    """Run a model at a point and remember the first thing that is wrong."""

    def __init__(self, layout: Layout, z: np.ndarray):
        self.layout = layout
        self.z = z
        self.values: dict[str, np.ndarray] = {}
        self.finding: str | None = None
        self.finite_but_wrong: str | None = None
        self.last = "its start"

    def process(self, site: Site) -> None:
        """Answer with the value of a site, and look at its term."""
        self.last = f"site '{site.name}'"
        if site.kind == FACTOR:
            self._look_at_factor(site)
        elif site.kind == SAMPLE:
            info = self.layout.find(site.name)
            site.value = self._latent(site, info) if site.obs is None else as_array(site.obs)
            if self.finding is None:
                self._look_at_term(site)

    def _latent(self, site: Site, info: SiteInfo):
        u = self.z[info.index].reshape(info.unconstrained_shape)[()]
        bijector = info.bijector_for(site.dist)
        value = bijector.forward(u)
        if self.finding is None:
            self.values[site.name] = np.array(value)
            if (index := _first(~np.isfinite(value))) is not None:
                self.finding = (
                    f"the value of latent site '{site.name}'{_at(index)} is {value[index]}, from the unconstrained "
                    f"{_show(u)}"
                )
            elif (index := _first(~np.isfinite(bijector.log_det(u, value)))) is not None:
                self.finding = (
                    f"the map onto the support of site '{site.name}' has no volume{_at(index)}: it is {_show(value)}"
                )
        return value

    def _look_at_term(self, site: Site) -> None:
        if (bad_term := self._bad_term(site)) is not None:
            self.finding = self._broken_rule(site) or bad_term
        elif self.finite_but_wrong is None:  # as with a probability above 1, whose logarithm exists
            self.finite_but_wrong = self._broken_rule(site)

    def _broken_rule(self, site: Site) -> str | None:
        dist = site.dist
        try:
            dist.validate(site.name)
        except ProbadError as error:
            return str(error).removesuffix(".")
        found = dist.support.violation(site.value)
        if found is None:
            return None
        index, bad = found
        return (
            f"site '{site.name}' has the value {bad}{_at(index)}, but {type(dist).__name__} must be "
            f"{dist.support.describe}{self._parameters(site, index)}"
        )

    def _bad_term(self, site: Site) -> str | None:
        logp = np.asarray(site.dist.logp(site.value))
        index = _first(~np.isfinite(logp))
        if index is None:
            return None
        name = type(site.dist).__name__
        return (
            f"{name} has the log density {logp[index]} at site '{site.name}', value "
            f"{_show(np.asarray(site.value)[index])}{_at(index)}{self._parameters(site, index)}"
        )

    def _parameters(self, site: Site, index: tuple) -> str:
        """The parameters that belong to one element of a site."""
        batch, texts = np.shape(site.dist.logp(site.value)), []
        for name, value in site.dist.given().items():
            n_event = site.dist.parameters[name].event_ndim
            full = np.broadcast_to(value, batch + np.shape(value)[np.ndim(value) - n_event :])
            texts.append(f"{name} = {_show(full[index[: len(batch)]])}")
        return f", with {', '.join(texts)}" if texts else ""

    def _look_at_factor(self, site: Site) -> None:
        logp = np.asarray(as_array(site.value))
        index = _first(~np.isfinite(logp))
        if self.finding is None and index is not None:
            self.finding = f"factor '{site.name}'{_at(index)} is {logp[index]}"

    def parents(self) -> str:
        """The latent values up to now."""
        if not self.values:
            return ""
        return " Latent values: " + ", ".join(f"{name} = {_show(value)}" for name, value in self.values.items()) + "."


def explain_point(run: Callable[[Interpreter], object], layout: Layout, z: np.ndarray) -> str | None:
    """Say which site makes the log density at `z` infinite, NaN, wrong or impossible to compute; None if none does."""
    search = Explain(layout, z)
    try:
        run(search)
    except Exception as error:
        if search.finding is None:
            kind = type(error).__name__
            return f"The model raised {kind} after {search.last}: {error}{search.parents()}"
    if search.finding is None:
        wrong = search.finite_but_wrong
        return wrong and f"The log density is finite here, but it is wrong: {wrong}.{search.parents()}"
    return f"The log density is not finite here: {search.finding}.{search.parents()}"


def _first(wrong) -> tuple[int, ...] | None:
    """Index of the first True."""
    wrong = np.asarray(wrong)
    return tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.any() else None


def _at(index: tuple) -> str:
    return f" at index {index[0] if len(index) == 1 else index}" if index else ""


def _show(value) -> str:
    value = np.asarray(value)
    if value.ndim == 0:
        return f"{value.item():.6g}" if value.dtype.kind == "f" else str(value.item())
    return np.array2string(value, precision=4, threshold=8, edgeitems=3).replace("\n", "")
