"""The base class of all distributions: shapes, checks of parameters and data, and the registry they enrol in.

A distribution is one class: `parameters` with their constraints, a `support`, a bare log density `logp`, a sampler
`_draw`, and whatever else exists in closed form. Constructors and `logp` run once per gradient on traced values, so
they check nothing; `validate` and `check_value` do, once per model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from probad.dist import constraints
from probad.dist.bijectors import Array, Shape
from probad.dist.constraints import Constraint
from probad.errors import (
    ArgumentError,
    DataError,
    ParameterError,
    ShapeError,
    UnsupportedFunctionError,
    explain,
)
from probad.numerics import as_array, is_concrete

DISTRIBUTIONS: dict[str, type[Distribution]] = {}


def unless(outside, x, fill: float):
    """np.where(outside, fill, x), at no cost where nothing is outside, which is nearly always."""
    if outside is np.False_ or outside is False:  # scalars, without a call
        return x
    if is_concrete(outside) and not np.any(outside):
        return x
    return np.where(outside, fill, x)


class Distribution:
    """A probability distribution over numbers, vectors or matrices.

    Parameters broadcast against each other; their common shape is `batch_shape`. One draw has shape
    ``batch_shape + event_shape``.

    Attributes
    ----------
    parameters : dict of str to Constraint
        The parameters in the order of the constructor, and what each must be.
    alternatives : tuple of tuple of str
        Where parameters exclude each other: the sets of parameters that define the distribution.
    support : Constraint
        Where values live; a property where it depends on parameters.
    event_ndim : int
        Number of axes of one draw: 0 for numbers, 1 for vectors, 2 for matrices.
    discrete : bool
        Whether values are integers, so that `logp` is a log probability.
    examples : list of dict
        Parameters with which the distribution enrols in the contract tests.
    """

    parameters: ClassVar[Mapping[str, Constraint]] = {}
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = ()
    support: Constraint = constraints.real
    event_ndim: ClassVar[int] = 0
    discrete: ClassVar[bool] = False
    examples: ClassVar[list[dict]] = []

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if not cls.__name__.startswith("_"):
            DISTRIBUTIONS.setdefault(cls.__name__, cls)

    # --- what a subclass gives ---------------------------------------------------------------------------------------
    def logp(self, value: Array) -> Array:
        """Log density without checks.

        Parameters
        ----------
        value : (..., *event_shape) array or traced value
            Broadcasts with the parameters.

        Returns
        -------
        (...) array or traced value, nats
            One number per batch element; -inf outside the support.
        """
        raise NotImplementedError

    def _draw(self, rng: np.random.Generator, shape: Shape):
        """Draw an array of shape ``shape + event_shape``, where `shape` ends in the batch shape."""
        raise NotImplementedError

    def parameter_constraint(self, name: str) -> Constraint:
        """What a parameter must be; overridden where that depends on another parameter."""
        return self.parameters[name]

    @property
    def event_shape(self) -> Shape:
        """Shape of one draw from one batch element."""
        return ()

    def cdf(self, value: Array) -> Array:
        """Probability of a draw not above `value`."""
        raise self._absent("cdf")

    def icdf(self, probability: Array) -> Array:
        """Quantile: the smallest value whose cdf is at least `probability`; NaN outside [0, 1]."""
        raise self._absent("icdf")

    @property
    def mean(self) -> Array:
        """Expectation, of shape batch + event; NaN or inf where it does not exist."""
        raise self._absent("mean")

    @property
    def variance(self) -> Array:
        """Variance of each entry, of shape batch + event; NaN or inf where it does not exist."""
        raise self._absent("variance")

    def entropy(self) -> Array:
        """Differential entropy (Shannon entropy if discrete), in nats, one number per batch element."""
        raise self._absent("entropy")

    def scipy_twin(self) -> Any:
        """The same distribution as a frozen `scipy.stats` object; None, the default, where there is none."""

    # --- shapes ------------------------------------------------------------------------------------------------------
    def given(self) -> dict[str, Array]:
        """The parameters this distribution was made from, by name."""
        if not self.alternatives:
            return {name: getattr(self, name) for name in self.parameters}
        return {name: value for name in self.parameters if (value := self.__dict__.get(name)) is not None}

    @property
    def batch_shape(self) -> Shape:
        """Common shape of the parameters, without the axes that belong to one draw."""
        shapes = {name: _leading(p.shape, self.parameters[name].event_ndim) for name, p in self.given().items()}
        first, *others = shapes.values()
        if all(shape == first for shape in others):
            return first
        try:
            return np.broadcast_shapes(first, *others)
        except ValueError:
            text = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise ShapeError(f"The parameters of {type(self).__name__} do not broadcast: {text}.") from None

    @property
    def shape(self) -> Shape:
        """Shape of one draw: batch shape, then event shape."""
        return self.batch_shape + self.event_shape

    def check_shape(self, value: Array, site: str | None = None) -> None:
        """Check that a value has the event shape and broadcasts with the parameters.

        Raises
        ------
        ShapeError
            If it does not; the message gives both shapes.
        """
        shape, event = np.shape(value), self.event_shape
        name, at = type(self).__name__, f" at site '{site}'" if site is not None else ""
        if shape[len(shape) - len(event) :] != event:
            raise ShapeError(f"One draw of {name} has shape {event}; got a value of shape {shape}{at}.")
        try:
            np.broadcast_shapes(shape[: len(shape) - len(event)], self.batch_shape)
        except ValueError:
            raise ShapeError(
                f"A value of shape {shape} does not broadcast with {self!r} of batch shape {self.batch_shape}{at}."
            ) from None

    def _full(self, x):
        """Broadcast a moment to the shape of one draw."""
        return x + np.zeros(self.shape)

    def _per_batch(self, x):
        """Broadcast to one number per batch element."""
        return x + np.zeros(self.batch_shape)

    # --- checks ------------------------------------------------------------------------------------------------------
    def validate(self, site: str | None = None) -> None:
        """Check the parameters that are plain numbers; traced ones are left out.

        Raises
        ------
        ParameterError
            Naming class, parameter, constraint, index, value and site.
        ShapeError
            If parameters do not broadcast, or one lacks the axes of a vector or matrix.
        """
        for name, value in self.given().items():
            if is_concrete(value):
                self._check_parameter(name, value, site)
        _ = self.batch_shape

    def _check_parameter(self, name: str, value, site: str | None) -> None:
        what = f"{type(self).__name__}({name}=...)"
        if value.dtype.kind not in "buif":
            raise ParameterError(explain(f"{what} must be a number or an array of numbers", site=site, value=value))
        constraint = self.parameter_constraint(name)
        if value.ndim < constraint.event_ndim:
            raise ShapeError(explain(f"{what} must be {constraint.describe}", site=site, value=f"shape {value.shape}"))
        found = constraint.violation(value)
        if found is not None:
            index, bad = found
            fix = f"If it depends on a latent x, map it there: {constraint.remedy}." if constraint.remedy else None
            problem = f"{what} must be {constraint.describe}"
            raise ParameterError(explain(problem, site=site, index=index, value=bad, fix=fix))

    def check_value(self, value: Array, site: str | None = None) -> None:
        """Check that data can come from this distribution; a traced value is not looked at.

        Raises
        ------
        DataError
            If an element is NaN, or outside the support; the message gives the first such index and value.
        """
        value = as_array(value)
        if not is_concrete(value):
            return
        name = type(self).__name__
        if value.dtype.kind not in "buif":
            raise DataError(explain(f"Data of {name} must be numbers", site=site, value=f"type {value.dtype}"))
        missing = np.isnan(value)
        if missing.any():
            index = tuple(int(i) for i in np.argwhere(missing)[0])
            fix = "Leave missing values out, or make them latent variables of the model."
            raise DataError(explain(f"Data of {name} are missing", site=site, index=index, value="nan", fix=fix))
        found = self.support.violation(value)
        if found is not None:
            index, bad = found
            problem = f"Data of {name} must be {self.support.describe}"
            raise DataError(explain(problem, site=site, index=index, value=bad))

    # --- what users call ---------------------------------------------------------------------------------------------
    def log_prob(self, value: Array) -> Array:
        """Log density of `value`, after a check of parameters and shapes.

        Parameters
        ----------
        value : (..., *event_shape) array_like or traced value

        Returns
        -------
        (...) array or traced value, nats
            One number per batch element; -inf outside the support.

        Raises
        ------
        ParameterError, ShapeError
            If parameters are outside their domain, or shapes do not fit.
        """
        self.validate()
        value = as_array(value)
        self.check_shape(value)
        with np.errstate(all="ignore"):  # -inf outside the support is an answer, not an accident
            return self.logp(value)

    def sample(self, rng: np.random.Generator, shape: int | Shape = ()) -> Array:
        """Draw independent values.

        Parameters
        ----------
        rng : numpy.random.Generator
        shape : int or tuple of int
            How many draws per batch element.

        Returns
        -------
        array of shape ``shape + batch_shape + event_shape``
            Integers for discrete distributions.

        Raises
        ------
        ArgumentError
            If `rng` is not a generator.
        ParameterError
            If a parameter is outside its domain, or too extreme to draw from.
        """
        if not isinstance(rng, np.random.Generator):
            raise ArgumentError(
                f"sample() needs rng, a numpy.random.Generator such as np.random.default_rng(1); got {rng!r}."
            )
        self.validate()
        shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)
        return self.sample_batch(rng, shape + self.batch_shape)

    def sample_batch(self, rng: np.random.Generator, batch_shape: Shape) -> Array:
        """One draw for each element of a batch that the parameters, which are not checked, broadcast to.

        Parameters
        ----------
        rng : numpy.random.Generator
        batch_shape : tuple of int

        Returns
        -------
        array of shape ``batch_shape + event_shape``

        Raises
        ------
        ParameterError
            If a parameter is too extreme to draw from.
        """
        try:
            return as_array(self._draw(rng, batch_shape))
        except ValueError as error:  # NumPy's generators refuse, say, a Poisson rate of 1e19
            raise ParameterError(f"Cannot draw from {self!r}: {error}.") from error

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={_short(v)}' for k, v in self.given().items())})"

    def _absent(self, what: str) -> UnsupportedFunctionError:
        return UnsupportedFunctionError(
            f"{type(self).__name__} has no {what} in closed form. Estimate it from sample(rng, shape)."
        )

    @classmethod
    def _wrong_alternative(cls, given: Mapping[str, Any]) -> ArgumentError:
        """The error for a combination of parameters that defines nothing, or too much."""
        names = [name for name, value in given.items() if value is not None]
        choices = " or ".join(f"{cls.__name__}({', '.join(f'{n}=' for n in names)})" for names in cls.alternatives)
        return ArgumentError(f"Write {choices}; got {', '.join(names) if names else 'none of these'}.")


def _leading(shape: Shape, n_event: int) -> Shape:
    return shape[: len(shape) - n_event] if n_event else shape


def _short(value) -> str:
    """A parameter in a few characters."""
    if not is_concrete(value):
        return f"<traced {value.shape}>" if value.shape else "<traced>"
    if value.size <= 4:
        return repr(value.tolist())
    return f"<array {value.shape}>"
