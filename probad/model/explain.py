"""Find out, site by site, why a model's log density is not finite at a point."""

from __future__ import annotations

import contextlib
import linecache
import traceback
from collections.abc import Callable, Mapping

import numpy as np

from probad.ad.box import raw
from probad.ad.origins import History, HistoryTrace, Operation
from probad.errors import ParameterError, ProbadError
from probad.model.effects import FACTOR, SAMPLE, Interpreter, Site
from probad.model.layout import Layout, SiteInfo, Survey, lay_out
from probad.numerics import as_array


class Explain(Interpreter):
    """Run a model at a point and remember the first thing that is wrong."""

    def __init__(self, layout: Layout, z: np.ndarray):
        self.layout = layout
        self.z = z
        self.values: dict[str, np.ndarray] = {}
        self.finding: str | None = None
        self.finite_but_wrong: str | None = None
        self.culprit: str | None = None  # name of the site of the one or the other
        self.of_term = True  # whether what is computed from its parameters is to blame, not they themselves
        self.last = "its start"

    def process(self, site: Site) -> None:
        """Answer with the value of a site, and look at its term."""
        self.last = f"site '{site.name}'"
        before = self.finding or self.finite_but_wrong
        self._look_at(site)
        if (self.finding or self.finite_but_wrong) != before:
            self.culprit = site.name

    def _look_at(self, site: Site) -> None:
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
            broken_rule = self._broken_rule(site)
            self.finding, self.of_term = broken_rule or bad_term, broken_rule is None
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

    def latents(self) -> str:
        """The latent values up to now."""
        return f" Latent values: {self._listed(self.values)}." if self.values else ""

    def _listed(self, names) -> str:
        return ", ".join(f"{name} = {_show(value)}" for name, value in self.values.items() if name in names)

    def background(self, run: Callable[[Interpreter], object]) -> str:
        """Where the finding begins, and on which latent values it depends."""
        follow = Follow(self.layout, self.z, self.culprit, of_term=self.of_term)
        try:
            with follow.trace:
                run(follow)
        except Exception:  # also after the site that matters
            if follow.inputs is None:
                return self.latents()
        where = f"Site '{self.culprit}' ({self.layout.find(self.culprit).where})"
        origin = "" if follow.origin is None else f" It begins with {follow.origin}."
        if not follow.inputs:
            return f"{origin} {where} depends on no latent value."
        return f"{origin} {where} depends on {self._listed(follow.inputs)}."


class Follow(Interpreter):
    """Run a model at a point on values with histories, and keep the history of what enters one site.

    Attributes
    ----------
    inputs : frozenset of str or None
        Names of the latent sites that enter its parameters, or the value of a factor; None if it was not reached.
    origin : Operation or None
        Which operation first gave a NaN or infinity that is in its parameters, its value or its term.
    """

    def __init__(self, layout: Layout, z: np.ndarray, name: str, *, of_term: bool):
        self.layout, self.z, self.name, self.of_term = layout, z, name, of_term
        self.trace = HistoryTrace()
        self.inputs: frozenset[str] | None = None
        self.origin: Operation | None = None

    def process(self, site: Site) -> None:
        """Answer with a value that knows its site."""
        if site.kind == FACTOR:
            self._keep(site, [as_array(site.value)], [])
        elif site.kind == SAMPLE and site.obs is not None:
            site.value = as_array(site.obs)
            self._keep(site, site.dist.given().values(), [site.dist.logp(site.value)])
        elif site.kind == SAMPLE:
            info = self.layout.find(site.name)
            u = self.trace.input(self.z[info.index].reshape(info.unconstrained_shape)[()], site.name)
            bijector = info.bijector_for(site.dist)
            value = bijector.forward(u)
            rest = [value, bijector.log_det(u, value), site.dist.logp(value)] if site.name == self.name else []
            self._keep(site, site.dist.given().values(), rest)
            site.value = self.trace.input(raw(value), site.name)  # what depends on it does not depend on its parents

    def _keep(self, site: Site, arguments, rest) -> None:
        if site.name != self.name or self.inputs is not None:
            return
        histories: list[History] = [self.trace.history(x) for x in arguments]
        self.inputs = frozenset().union(*(h.inputs for h in histories))
        histories += [self.trace.history(x) for x in rest if self.of_term]
        self.origin = next((h.origin for h in histories if h.origin is not None), None)


class Blame(Survey):
    """The layout run from zero, on values with histories: where a parameter that is not finite begins."""

    def __init__(self, coords: Mapping[str, np.ndarray]):
        super().__init__(coords, None)
        self.trace = HistoryTrace()
        self.origin: Operation | None = None

    def _check_distribution(self, site: Site) -> None:
        super()._check_distribution(site)  # which leaves out what has a history
        histories = [self.trace.history(x) for x in site.dist.given().values()]
        self.origin = self.origin or next((h.origin for h in histories if h.origin is not None), None)

    def _latent(self, site: Site, info: SiteInfo) -> None:
        super()._latent(site, info)
        site.value = self.trace.input(raw(site.value), site.name)


def lay_out_or_explain(run: Callable, again: Callable, coords: Mapping[str, np.ndarray]) -> Layout:
    """Lay a model out as `lay_out` does; if a parameter is not finite, a note on the error says where that begins.

    Parameters
    ----------
    run, again : callable
        ``run(interpreter)`` runs the model; the second is for the search.
    coords : mapping
    """
    try:
        return lay_out(run, coords)
    except ParameterError as error:
        blame = Blame(coords)
        with contextlib.suppress(Exception), np.errstate(all="ignore"), blame.trace:
            again(blame)
        if blame.origin is not None:
            error.add_note(f"It begins with {blame.origin}.")
        raise


def explain_point(run: Callable[[Interpreter], object], layout: Layout, z: np.ndarray) -> str | None:
    """Say which site makes the log density at `z` infinite, NaN, wrong or impossible to compute; None if none does."""
    search = Explain(layout, z)
    try:
        run(search)
    except Exception as error:
        if search.finding is None:
            what = f"{type(error).__name__} after {search.last}: {str(error).rstrip('.')}"
            return f"The model raised {what}{_raised(error)}.{search.latents()}"
    if search.finding is None:
        wrong = search.finite_but_wrong
        return wrong and f"The log density is finite here, but it is wrong: {wrong}.{search.background(run)}"
    return f"The log density is not finite here: {search.finding}.{search.background(run)}"


def _raised(error: BaseException) -> str:
    """The line of the user's code that an exception comes from."""
    lines = [
        (frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] not in ("probad", "numpy", "scipy")
    ]
    if not lines:
        return ""
    file, number = lines[-1]
    source = linecache.getline(file, number).strip()
    where = f"{file.replace(chr(92), '/').rpartition('/')[2]}:{number}"
    return f", in {where}" + (f": {source}" if source else "")


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
