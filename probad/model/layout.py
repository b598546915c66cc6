"""Run a model once with plain numbers, check everything about it, and lay its latent variables out in one vector."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from probad.dist import Bijector, Distribution
from probad.errors import (
    ArgumentError,
    DuplicateSiteError,
    ModelError,
    ParameterError,
    ShapeError,
    did_you_mean,
)
from probad.model.effects import DETERMINISTIC, SAMPLE, Interpreter, Site
from probad.model.shapes import data_shape, latent_shape, named_axes
from probad.numerics import as_array

N_STARTS = 20  # where zero breaks a rule, so many other points are tried before the model is called wrong
RESERVED = ("chain", "draw")  # names of axes that results have already


@dataclass(slots=True)
class SiteInfo:
    """What is known of a site after the layout run.

    Attributes
    ----------
    name : str
    kind : {"latent", "observed", "deterministic", "factor"}
    distribution, support : str
        For people to read.
    shape : tuple of int
        Of the value.
    dims : tuple of str or None
        Names of its axes.
    batch_shape : tuple of int
        Of its log density.
    index : int, slice or None
        Where a latent site reads from the unconstrained vector.
    unconstrained_shape : tuple of int
    bijector : Bijector or None
        From unconstrained to constrained; None if the support moves, so that each evaluation makes its own.
    is_identity : bool
        Whether the bijector does nothing.
    dist_type : type or None
        Class of the distribution.
    obs : array or None
        The data.
    where : str
        The line of the model that declares it.
    """

    name: str
    kind: str
    distribution: str = ""
    support: str = ""
    shape: tuple[int, ...] = ()
    dims: tuple[str, ...] | None = None
    batch_shape: tuple[int, ...] = ()
    index: int | slice | None = None
    unconstrained_shape: tuple[int, ...] = ()
    bijector: Bijector | None = None
    is_identity: bool = False
    dist_type: type | None = None
    obs: Any = None
    where: str = ""

    def bijector_for(self, dist: Distribution) -> Bijector:
        """The map onto the support of the distribution that this site has now."""
        if type(dist) is self.dist_type:
            return self.bijector or dist.support.bijector()
        bijector = dist.support.bijector()
        shape = bijector.unconstrained_shape(self.shape)
        if shape != self.unconstrained_shape:
            raise ModelError(
                f"Latent site '{self.name}' changes its distribution from {self.distribution} to "
                f"{type(dist).__name__}, which needs an unconstrained shape {shape} instead of "
                f"{self.unconstrained_shape}. Give the two variables two names, and declare both on every path."
            )
        return bijector


@dataclass
class Layout:
    """The sites of a model in order, and where its latent variables are in the unconstrained vector."""

    unchanged_by_runs: ClassVar = True

    sites: dict[str, SiteInfo] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    dim: int = 0
    dim_lengths: dict[str, int] = field(default_factory=dict)
    start: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def determined_by(self) -> list[tuple]:
        """What the log density reads of it; see `probad.ir.identity`."""
        sites = self.sites.values()
        return [(s.name, s.kind, s.shape, s.batch_shape, s.index, s.unconstrained_shape, s.bijector, s.is_identity,
                 s.dist_type)
                for s in sites]  # fmt: skip

    def names(self) -> list[str]:
        """One name per unconstrained coordinate: ``mu``, ``theta[0]``, ``x[0,1]``."""
        names = []
        for site in self.sites.values():
            if site.index is None:
                continue
            if site.unconstrained_shape == ():
                names.append(site.name)
            else:
                names += [f"{site.name}[{','.join(map(str, i))}]" for i in np.ndindex(site.unconstrained_shape)]
        return names

    def changed(self, seen: list[str]) -> ModelError:
        """The error for a run that met other sites than the layout run did."""
        for name in seen:
            if seen.count(name) > 1:
                return DuplicateSiteError(f"Site '{name}' is declared twice on one path through the model.")
        missing = next(name for name in self.order if name not in seen)
        site = self.sites[missing]
        return ModelError(
            f"The {site.kind} site '{missing}' ({site.where}) is not declared on every path through the model. Declare "
            "it always, outside of if and while, and let only its use depend on latent values."
        )

    def find(self, name: str) -> SiteInfo:
        """The site of that name; an error if the layout run did not meet it."""
        info = self.sites.get(name)
        if info is None:
            raise ModelError(
                f"Site '{name}' ({_where()}) is not declared on every path through the model: it was absent when the "
                "model was laid out. Declare it always, outside of if and while, and let only its use depend on latent "
                "values."
            )
        return info

    def turned(self, info: SiteInfo, kind: str) -> ModelError:
        """The error for a site that is latent on one path and observed on another."""
        return ModelError(
            f"Site '{info.name}' ({info.where}) is {kind} here, but it was {info.kind} when the model was laid out. "
            "Whether a site has data must not depend on latent values."
        )


def lay_out(run: Callable[[Interpreter], Any], coords: Mapping[str, np.ndarray]) -> Layout:
    """Run the model from zero on the unconstrained space and return its layout.

    A model may be fine although zero, the usual start, breaks a rule (a scale computed as ``abs(x)``). If so other
    points are tried, and the error at zero is raised only if none of them works.
    """
    first_error = None
    for attempt in range(1 + N_STARTS):
        rng = np.random.default_rng(attempt) if attempt else None
        survey = Survey(coords, rng)
        try:
            run(survey)
        except (ParameterError, np.linalg.LinAlgError) as error:
            if not survey.has_latents():
                raise
            first_error = first_error or error
            continue
        survey.check_coords()
        return survey.finished()
    raise first_error


class Survey(Interpreter):
    """The interpreter of the layout run."""

    def __init__(self, coords: Mapping[str, np.ndarray], rng: np.random.Generator | None):
        self.coords = coords
        self.rng = rng
        self.layout = Layout(dim_lengths={name: len(labels) for name, labels in coords.items()})
        self.starts: list[np.ndarray] = []
        self.seen = self.layout.order

    def has_latents(self) -> bool:
        """Tell whether any latent variable has been met."""
        return self.layout.dim > 0

    def finished(self) -> Layout:
        """The layout, with the point it was made at."""
        self.layout.start = np.concatenate([np.zeros(0), *self.starts])
        return self.layout

    def process(self, site: Site) -> None:
        """Check a site, give it its place, and answer with its value."""
        self._check_name(site)
        info = SiteInfo(site.name, site.kind, where=_where())
        if site.kind == SAMPLE:
            self._check_distribution(site)
            if site.obs is None:
                self._latent(site, info)
            else:
                self._observed(site, info)
        else:
            value = _numbers(site)
            info.shape = value.shape
            if site.kind == DETERMINISTIC:
                info.dims = named_axes(site, value.shape, self.layout.dim_lengths, self.coords)
        self._check_dims(info)
        self.layout.sites[site.name] = info
        if info.kind != "factor":
            self.layout.order.append(site.name)

    def _latent(self, site: Site, info: SiteInfo) -> None:
        dist = site.dist
        _describe(info, dist)
        info.kind = "latent"
        if dist.discrete:
            raise ModelError(
                f"Site '{site.name}' is latent and discrete ({info.distribution}), and gradient-based inference cannot "
                "sample it. Pass its data with obs= (is the data argument None?), or sum it out of the density: "
                "pb.factor with probad.numerics.logsumexp over its values."
            )
        info.shape, info.dims = latent_shape(site, self.layout.dim_lengths, self.coords)
        info.batch_shape = info.shape[: len(info.shape) - dist.event_ndim]
        bijector = dist.support.bijector()
        shape = info.unconstrained_shape = bijector.unconstrained_shape(info.shape)
        start, stop = self.layout.dim, self.layout.dim + int(np.prod(shape))
        info.index = start if shape == () else slice(start, stop)
        self.layout.dim = stop
        z = np.zeros(shape) if self.rng is None else self.rng.uniform(-1.0, 1.0, size=shape)
        self.starts.append(z.ravel().copy())
        z = z[()]
        site.value = bijector.forward(z)
        info.is_identity = site.value is z
        info.bijector = bijector if _is_fixed(dist) else None

    def _observed(self, site: Site, info: SiteInfo) -> None:
        dist = site.dist
        _describe(info, dist)
        info.kind = "observed"
        masked = isinstance(site.obs, np.ma.MaskedArray)
        value = as_array(site.obs.astype(float).filled(np.nan) if masked else site.obs)
        if value.dtype.kind not in "buif" or _is_fixed(dist) or np.isnan(value).any():
            # else the support depends on parameters, perhaps on latent ones: checked once it is known which
            dist.check_value(value, site.name)
        info.shape, info.dims = data_shape(site, value.shape, self.layout.dim_lengths, self.coords)
        info.batch_shape = info.shape[: len(info.shape) - dist.event_ndim]
        info.obs = site.value = value

    # --- checks --------------------------------------------------------------------------------------------------
    def _check_name(self, site: Site) -> None:
        name = site.name
        if not isinstance(name, str) or not name:
            raise ModelError(f"The name of a site must be a string that is not empty; got {name!r} in pb.{site.kind}.")
        if "/" in name or name in RESERVED:
            raise ModelError(f"A site cannot be named '{name}': results could not be saved under it. Rename it.")
        if name in self.layout.sites:
            raise DuplicateSiteError(
                f"Two sites are named '{name}': {self.layout.sites[name].where} and {_where()}. In a loop, put the "
                f'index into the name (f"{name}{{i}}") or draw a vector with shape=; give a sub-model that is called '
                "twice a prefix for its names."
            )

    def _check_distribution(self, site: Site) -> None:
        dist = site.dist
        if isinstance(dist, type) and issubclass(dist, Distribution):
            raise ModelError(f"Site '{site.name}' got the class {dist.__name__}; call it: {dist.__name__}(...).")
        if not isinstance(dist, Distribution):
            module = type(dist).__module__.partition(".")[0]
            source = f" from {module}" if module not in ("builtins", "__main__") else ""
            raise ModelError(
                f"Site '{site.name}' needs a distribution of probad.dist, such as dist.Normal(0.0, 1.0); got "
                f"{type(dist).__name__}{source}."
            )
        try:
            dist.validate(site.name)
        except ShapeError as error:
            raise error if site.name in str(error) else ShapeError(f"Site '{site.name}': {error}") from None

    def _check_dims(self, info: SiteInfo) -> None:
        for dim in info.dims or ():
            if dim in RESERVED:
                raise ModelError(
                    f"Site '{info.name}' uses the dimension '{dim}', which results have already. Rename it."
                )

    def check_coords(self) -> None:
        """Refuse names that results could not keep, and coords that look like a misspelt dimension."""
        used = {dim for info in self.layout.sites.values() for dim in info.dims or ()}
        for dim in used & set(self.layout.sites):
            raise ModelError(f"'{dim}' names both a site and a dimension; results need two names. Rename one of them.")
        self.layout.dim_lengths = {dim: n for dim, n in self.layout.dim_lengths.items() if dim in used}
        for name in self.coords:
            if name not in used:
                hint = did_you_mean(name, used - set(self.coords))
                if "Did you mean" in hint:
                    raise ArgumentError(f"coords has labels for '{name}', a dimension that no site uses.{hint}")


def _numbers(site: Site):
    """The value of a deterministic or factor site as an array."""
    value = as_array(site.value)
    if value.dtype.kind not in "buif":
        raise ModelError(f"pb.{site.kind}('{site.name}', ...) takes numbers; got {type(site.value).__name__}.")
    return value


def _describe(info: SiteInfo, dist: Distribution) -> None:
    info.distribution = type(dist).__name__
    info.support = dist.support.describe
    info.dist_type = type(dist)


def _is_fixed(dist: Distribution) -> bool:
    """Tell whether the support is the same for all parameters."""
    return "support" not in vars(dist) and not isinstance(getattr(type(dist), "support", None), property)


def _where() -> str:
    """The line of user code that is calling a primitive."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "probad":
        frame = frame.f_back
    return f"{frame.f_code.co_filename.replace(chr(92), '/').rpartition('/')[2]}:{frame.f_lineno}"
