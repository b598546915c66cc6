"""The log density of a model over the flat unconstrained vector: what algorithms see of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from probad.ad import is_traced
from probad.density import FunctionDensity, Variable
from probad.errors import DataError, ModelError, ShapeError, explain
from probad.model.effects import FACTOR, SAMPLE, Interpreter, Site
from probad.model.explain import explain_point
from probad.model.layout import Layout, SiteInfo
from probad.model.prior import draw_prior, normal_prior
from probad.model.values import values_at
from probad.numerics import as_array

Run = Callable[[Interpreter], Any]


class Evaluate(Interpreter):
    """Add up the log density at one point.

    This is the path that every gradient takes: it looks sites up and checks that they are those of the layout, and
    leaves all other checks to the layout run.
    """

    def __init__(self, layout: Layout, z):
        self.layout = layout
        self.sites = layout.sites
        self.z = z
        self.terms: list = []
        self.seen: list[str] = []

    def process(self, site: Site) -> None:
        """Answer with the value of a site and keep its term of the log density."""
        if site.kind != SAMPLE:
            if site.kind == FACTOR:
                self.terms.append(_total(as_array(site.value)))
            else:
                self.seen.append(self.layout.find(site.name).name)
            return
        name, dist = site.name, site.dist
        info = self.sites.get(name) or self.layout.find(name)
        self.seen.append(name)
        if site.obs is None:
            if info.index is None:
                raise self.layout.turned(info, "latent")
            u = read(self.z, info)
            if info.is_identity and type(dist) is info.dist_type:
                value = u
            else:
                bijector = info.bijector_for(dist)
                value = bijector.forward(u)
                self.terms.append(_total(bijector.log_det(u, value)))
        else:
            if info.obs is None:
                raise self.layout.turned(info, "observed")
            value = site.obs if type(site.obs) is np.ndarray else as_array(site.obs)
            if value.shape != info.shape:
                raise _moved(info, "data of shape", value.shape, info.shape)
        site.value = value
        logp = dist.logp(value)
        if logp.shape != info.batch_shape:
            raise _moved(info, "a log density of shape", logp.shape, info.batch_shape)
        self.terms.append(logp.sum() if info.batch_shape else logp)

    def total(self):
        """The sum of all terms, once the model has run."""
        layout = self.layout
        if self.seen != layout.order and sorted(self.seen) != sorted(layout.order):
            raise layout.changed(self.seen)
        return reduce(add, self.terms)


class CheckedEvaluate(Evaluate):
    """The first evaluation with traced values, which tells what depends on latent variables."""

    def process(self, site: Site) -> None:
        """Evaluate, and check what the layout run could not."""
        if site.kind == SAMPLE and site.obs is not None:
            obs = as_array(site.obs)
            if is_traced(obs):
                raise ModelError(
                    f"The data of site '{site.name}' are computed from latent variables; obs= takes data alone. For a "
                    "density of a computed value, write pb.factor(name, dist.log_prob(value))."
                )
            if not any(is_traced(p) for p in site.dist.given().values()):
                site.dist.check_value(obs, site.name)
        super().process(site)


class Constrain(Interpreter):
    """Record the values of latent and deterministic sites at one point."""

    def __init__(self, layout: Layout, z: np.ndarray):
        self.layout = layout
        self.z = z
        self.values: dict[str, Any] = {}

    def process(self, site: Site) -> None:
        """Answer with the value of a site, and record it."""
        if site.kind == FACTOR:
            return
        info = self.layout.find(site.name)
        if site.kind == SAMPLE:
            if site.obs is not None:
                site.value = as_array(site.obs)
                return
            site.value = self.answer(site, info)
        value = as_array(site.value)
        if value.shape != info.shape:
            raise _moved(info, "a value of shape", value.shape, info.shape)
        self.values[site.name] = np.array(value)  # the model may go on to write into its own

    def answer(self, site: Site, info: SiteInfo):
        """The value of a latent site."""
        return info.bijector_for(site.dist).forward(read(self.z, info))


class Unconstrain(Constrain):
    """Fill the unconstrained vector from values of the latent variables."""

    def __init__(self, layout: Layout, params: Mapping[str, Any]):
        super().__init__(layout, np.zeros(layout.dim))
        self.params = params

    def answer(self, site: Site, info: SiteInfo):
        """The given value of a latent site, after writing its unconstrained form."""
        name, dist = site.name, site.dist
        value = np.array(self.params[name], dtype=float)[()]
        if value.shape != info.shape:
            raise ShapeError(f"Site '{name}' has shape {info.shape}; got a value of shape {value.shape}.")
        found = dist.support.violation(value)
        if found is not None:
            must = f"A value of {type(dist).__name__} must be {dist.support.describe}"
            raise DataError(explain(must, site=name, index=found[0], value=found[1]))
        z = np.asarray(info.bijector_for(dist).inverse(value))
        if not np.isfinite(z).all():
            raise DataError(
                f"A value of site '{name}' is on the edge of its support ({dist.support.describe}), where the "
                "unconstrained coordinate is infinite. Move it inside."
            )
        self.z[info.index] = z.ravel() if z.ndim else z
        return value


class ModelDensity(FunctionDensity):
    """Log density of a bound model, with the log-determinants of the maps from the unconstrained space.

    Made by ``model.density()``. Each evaluation runs the model, so densities in several threads are independent.

    Parameters
    ----------
    run : callable
        ``run(interpreter)`` runs the model.
    layout : Layout
    """

    def __init__(self, run: Run, layout: Layout) -> None:
        if layout.dim == 0:
            raise ModelError("The model has no latent variable, so there is nothing to infer: every site has obs=.")

        def logp(z):
            evaluation = Evaluate(layout, z)
            run(evaluation)
            return evaluation.total()

        variables = [
            Variable(s.name, s.shape, s.dims, s.kind)
            for s in layout.sites.values()
            if s.kind in ("latent", "deterministic")
        ]
        super().__init__(logp, layout.dim, names=layout.names(), variables=variables)
        self._run = run
        self._layout = layout
        sites = layout.sites.values()
        self._vectorised = all(s.bijector is not None for s in sites if s.kind == "latent") and not any(
            s.kind == "deterministic" for s in sites
        )
        self.observed_data = {s.name: s.obs for s in sites if s.kind == "observed"}
        self.data_dims = {s.name: s.dims for s in sites if s.kind == "observed" and s.dims is not None}

    def __reduce__(self):
        """Travel to another process as the model with its data."""
        return _density_of, (self._run.__self__, self.gradient, self.difference_step)

    def constrain(self, z) -> dict[str, np.ndarray]:
        """Values of latent and deterministic variables; see `LogDensity.constrain`.

        The model is run once per point, natively if there are many, unless it has neither deterministic sites nor
        supports that move.
        """
        z = self._points(z)
        with np.errstate(all="ignore"):
            if self._vectorised:
                return {s.name: _map(s, z) for s in self._layout.sites.values() if s.index is not None}
            shapes = {v.name: v.shape for v in self.variables}
            found = values_at(self._values_at, shapes, z.reshape(-1, self.dim))
        return {name: values.reshape(z.shape[:-1] + shapes[name]) for name, values in found.items()}

    def _values_at(self, z: np.ndarray) -> dict[str, Any]:
        record = Constrain(self._layout, z.copy())
        self._run(record)
        if len(record.values) != len(self.variables):
            raise self._layout.changed([*record.values, *self.observed_data])
        return record.values

    def unconstrain(self, params: Mapping[str, Any]) -> np.ndarray:
        """A flat vector from values of the latent variables; those of deterministic sites are ignored."""
        record = Unconstrain(self._layout, self._match_names(params))
        with np.errstate(all="ignore"):
            self._run(record)
        return record.z

    def normal_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the prior, if all of it is normal; see `probad.model.prior.normal_prior`."""
        return normal_prior(self._run, self._layout)

    def draw_prior(self, rng: np.random.Generator) -> np.ndarray:
        """One draw from the prior as an unconstrained point; see `probad.model.prior.draw_prior`."""
        with np.errstate(all="ignore"):
            return draw_prior(self._run, self._layout, rng)

    def explain(self, z) -> str:
        """Say why log density or gradient is not finite at `z`: the first site, index and value that break a rule."""
        z = self._point(z)
        with np.errstate(all="ignore"):
            found = explain_point(self._run, self._layout, z)
        return found or super().explain(z)


def _density_of(model, gradient, difference_step) -> ModelDensity:
    """The log density of a bound model that has travelled."""
    density = model.density()
    if isinstance(gradient, str) and gradient == "reverse":
        return density
    return density.with_gradient(gradient, difference_step=difference_step)


def check_first_evaluation(run: Run, layout: Layout) -> None:
    """Evaluate once with derivatives and once without, so that mistakes which only one of them meets are heard now.

    Raises
    ------
    ModelError
        If the two disagree: the model draws random numbers or keeps hidden state.
    ProbadError
        Whatever an evaluation with traced values raises.
    """

    def logp(z, kind=CheckedEvaluate):
        evaluation = kind(layout, z)
        run(evaluation)
        return evaluation.total()

    checked = FunctionDensity(logp, layout.dim)
    traced, _ = checked.logp_and_grad(layout.start)
    with np.errstate(all="ignore"):
        plain = float(logp(layout.start.copy(), Evaluate))
    if not (math.isclose(plain, traced, rel_tol=1e-10, abs_tol=1e-10) or (math.isnan(plain) and math.isnan(traced))):
        raise ModelError(
            f"Two evaluations of the model at one point differ: {traced!r} and {plain!r}. It draws random numbers, "
            "uses up an iterator, or changes something outside itself; a model must be a function of its latent values."
        )


def read(z, info: SiteInfo):
    """The unconstrained value of a latent site."""
    u = z[info.index]
    return u.reshape(info.unconstrained_shape) if len(info.unconstrained_shape) > 1 else u


def _map(info: SiteInfo, z: np.ndarray) -> np.ndarray:
    """The constrained value of a latent site at many points."""
    u = z[..., info.index].reshape(z.shape[:-1] + info.unconstrained_shape)
    return np.array(info.bijector.forward(u))


def _total(term):
    return term.sum() if term.shape else term


def _moved(info: SiteInfo, what: str, shape, expected) -> ModelError:
    return ModelError(
        f"Site '{info.name}' ({info.where}) has {what} {shape} here, but {expected} when the model was laid out. "
        "Shapes must not depend on latent values."
    )
