"""The seam between models and algorithms: a log density over one flat unconstrained vector.

A sampler or an optimiser sees nothing of a model but a `LogDensity`. To write one by hand, subclass it and give
`logp_and_grad`; everything else has a default. `probad.stress` tells whether the result keeps the contract.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from probad import native
from probad.ad import anomaly_mode, derivative, is_traced, value_and_grad
from probad.ad.derivative import METHODS
from probad.ad.origins import origin_of
from probad.errors import ArgumentError, GradientError, ParameterError, ShapeError, did_you_mean
from probad.numerics import as_array

OK, NOT_FINITE, FATAL = 0, 1, 2  # what evaluate() returns: the C side of the contract uses the same numbers
OUTSIDE = (np.linalg.LinAlgError, ParameterError)  # a matrix not positive definite, a scale below 0: not an accident


@dataclass(frozen=True)
class Variable:
    """What `LogDensity.constrain` returns under one name.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dims : tuple of str or None
        Names of the axes, None if they have none.
    kind : {"latent", "deterministic"}
    """

    name: str
    shape: tuple[int, ...] = ()
    dims: tuple[str, ...] | None = None
    kind: str = "latent"


class LogDensity:
    """Log density of a distribution over ``dim`` unconstrained real numbers.

    Subclasses give `logp_and_grad`. One object is used by one thread at a time; `fork` makes one for another thread.

    Parameters
    ----------
    dim : int, >= 1
        Number of unconstrained coordinates.
    names : sequence of str, optional
        One name per coordinate; ``x[0]``, ``x[1]``, ... by default.
    variables : sequence of Variable, optional
        What `constrain` returns. By default one scalar per name, or one vector ``x`` if there are no names.

    Attributes
    ----------
    coords : dict of str to sequence
        Labels along named dimensions.
    observed_data, constant_data : dict of str to array
        The data behind the density, to be stored with results.
    data_dims : dict of str to tuple of str
        Names of the axes of those data that have any.
    address, ctx : int
        A C function with the contract of `evaluate`, and its first argument; 0 if there is none.
    gradient : str or callable
        How the gradient is made, if there is a choice.
    failure : BaseException or None
        The exception behind the last fatal `evaluate`.
    """

    address: int = 0
    ctx: int = 0
    gradient: str | Callable = "reverse"
    failure: BaseException | None = None
    unchanged_by_runs = True  # evaluating leaves it as it is; see `probad.ir.standpoint`

    def __init__(
        self, dim: int, *, names: Sequence[str] | None = None, variables: Sequence[Variable] | None = None
    ) -> None:
        if isinstance(dim, bool) or not isinstance(dim, int | np.integer) or dim < 1:
            raise ArgumentError(f"A log density needs dim, a whole number of at least 1; got {dim!r}.")
        self.dim = int(dim)
        self.names = [f"x[{i}]" for i in range(dim)] if names is None else [str(name) for name in names]
        if len(self.names) != dim or len(set(self.names)) != dim:
            raise ArgumentError(f"names must hold {dim} different names, one per coordinate; got {self.names}.")
        if variables is None:
            variables = [Variable("x", (self.dim,))] if names is None else [Variable(name) for name in self.names]
        self.variables: list[Variable] = list(variables)
        self.coords: dict[str, Any] = {}
        self.observed_data: dict[str, np.ndarray] = {}
        self.constant_data: dict[str, np.ndarray] = {}
        self.data_dims: dict[str, tuple[str, ...]] = {}

    # --- the density --------------------------------------------------------------------------------------------------
    def logp(self, z) -> float:
        """Log density at `z`, up to a constant.

        Parameters
        ----------
        z : (dim,) array_like, unconstrained

        Returns
        -------
        float, nats; -inf outside the support
        """
        return self.logp_and_grad(z)[0]

    def logp_and_grad(self, z) -> tuple[float, np.ndarray]:
        """Log density at `z` and its gradient, an array of shape (dim,) that the caller may keep and write to."""
        raise NotImplementedError(f"{type(self).__name__} must define logp_and_grad(z).")

    def evaluate(self, ctx: int, position: np.ndarray, logp_out: np.ndarray, grad_out: np.ndarray) -> int:
        """Write log density and gradient into arrays: the twin in Python of the C function at `address`.

        Parameters
        ----------
        ctx : int
            Not used here.
        position : (dim,) array, unconstrained
        logp_out : (1,) array
        grad_out : (dim,) array

        Returns
        -------
        int
            0 if both are finite; 1 if not, as outside the support; 2 if an exception was raised, which is kept in
            `failure` for the caller to raise again. Without a finite position the density is not asked.
        """
        if not np.isfinite(position).all():
            logp_out[0] = -math.inf
            return NOT_FINITE
        try:
            logp, grad = self.logp_and_grad(position)
            logp_out[0] = logp
            grad_out[:] = grad
        except Exception as error:
            self.failure = error
            logp_out[0] = math.nan
            return FATAL
        return OK if math.isfinite(logp_out[0]) and np.isfinite(grad_out).all() else NOT_FINITE

    def verify(self, z) -> None:
        """Compare compiled code, if there is any, with the function that it was made from, at `z`.

        Algorithms ask for it when they have ended: what was noticed by no comparison on the way is noticed then.

        Raises
        ------
        StaleTraceError
            If the function has changed since it was captured.
        """

    def fork(self) -> LogDensity:
        """An independent density for another thread; what never changes is shared."""
        twin = copy.copy(self)
        twin.failure = None
        return twin

    # --- between unconstrained vectors and named values -----------------------------------------------------------
    def constrain(self, z) -> dict[str, np.ndarray]:
        """Values by name.

        Parameters
        ----------
        z : (..., dim) array_like, unconstrained
            One point, or draws along leading axes such as (chain, draw).

        Returns
        -------
        dict of str to array
            Each of the shape of the leading axes followed by that of the variable.
        """
        z = self._points(z)
        values, start = {}, 0
        for variable in self.variables:
            stop = start + math.prod(variable.shape)
            values[variable.name] = z[..., start:stop].reshape(z.shape[:-1] + variable.shape)
            start = stop
        return values

    def unconstrain(self, params: Mapping[str, Any]) -> np.ndarray:
        """The inverse of `constrain` at one point: a flat vector from values by name."""
        params = self._match_names(params)
        parts = []
        for variable in self.variables:
            value = np.asarray(params[variable.name], dtype=float)
            if value.shape != variable.shape:
                raise ShapeError(f"'{variable.name}' has shape {variable.shape}; got a value of shape {value.shape}.")
            parts.append(value.ravel())
        return np.concatenate(parts)

    def explain(self, z) -> str:
        """Say why log density or gradient is not finite at `z`."""
        z = self._point(z)
        logp, grad = self.logp_and_grad(z)
        bad = [i for i in range(self.dim) if not math.isfinite(grad[i])]
        if not math.isfinite(logp):
            return f"The log density is {logp} here."
        if bad:
            return (
                f"The log density is {logp:.6g} here, but its derivative by '{self.names[bad[0]]}' is {grad[bad[0]]}."
            )
        return f"The log density is {logp:.6g} here, and its gradient is finite."

    # --- arguments -----------------------------------------------------------------------------------------------
    def _point(self, z) -> np.ndarray:
        """One point as an array of its own: what the density does to it stays inside."""
        z = np.array(z, dtype=float)
        if z.shape != (self.dim,):
            raise ShapeError(f"The density takes a vector of shape ({self.dim},); got shape {z.shape}.")
        return z

    def _points(self, z) -> np.ndarray:
        z = np.asarray(z, dtype=float)
        if z.ndim == 0 or z.shape[-1] != self.dim:
            raise ShapeError(f"The last axis of z must have length {self.dim}; got shape {z.shape}.")
        return z

    def _match_names(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Check that `params` names every latent variable, and nothing unknown."""
        if not isinstance(params, Mapping):
            raise ArgumentError(f"Parameters are given as a dict of name to value; got {type(params).__name__}.")
        known = [v.name for v in self.variables]
        for name in params:
            if name not in known:
                raise ArgumentError(f"There is no variable '{name}'.{did_you_mean(name, known)}")
        for v in self.variables:
            if v.kind == "latent" and v.name not in params:
                raise ArgumentError(f"A value for '{v.name}' of shape {v.shape} is missing.")
        return params

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.dim} unconstrained coordinates>"

    @staticmethod
    def from_function(
        fn: Callable[[Any], Any],
        dim: int,
        *,
        names: Sequence[str] | None = None,
        gradient: str | Callable[[np.ndarray], np.ndarray] = "reverse",
        difference_step: float | None = None,
    ) -> FunctionDensity:
        """Wrap a function of one flat vector, written in NumPy.

        Parameters
        ----------
        fn : callable
            ``fn(z)`` gives the log density in nats, up to a constant.
        dim : int
            Length of `z`.
        names : sequence of str, optional
            One name per coordinate.
        gradient : str or callable
            How to differentiate `fn`: ``"reverse"``, ``"forward"``, ``"central"``, ``"forward-difference"``,
            ``"five-point"``, ``"richardson"`` or ``"complex"``, see `probad.derivative`; by compiled code where there
            is any, but for ``"complex"``. Or a function: ``gradient(z)`` is called for an array of shape (dim,). With
            a callable, or with differences, `fn` may be any code: what cannot be traced sees plain numbers only.
        difference_step : float, optional
            Absolute step of differences; for ``"richardson"`` the largest. By default it balances truncation against
            rounding, for each coordinate by its size.

        Examples
        --------
        >>> density = LogDensity.from_function(lambda z: -0.5 * np.sum(z**2), 2, names=["a", "b"])
        >>> density.logp_and_grad([1.0, 2.0])
        (-2.5, array([-1., -2.]))
        """
        return FunctionDensity(fn, dim, names=names, gradient=gradient, difference_step=difference_step)


class FunctionDensity(LogDensity):
    """A log density given as a function of one flat vector; see `LogDensity.from_function`."""

    _failure: BaseException | None = None

    def __init__(
        self,
        fn: Callable[[Any], Any],
        dim: int,
        *,
        names: Sequence[str] | None = None,
        variables: Sequence[Variable] | None = None,
        gradient: str | Callable[[np.ndarray], np.ndarray] = "reverse",
        difference_step: float | None = None,
    ) -> None:
        super().__init__(dim, names=names, variables=variables)
        if not callable(fn):
            raise ArgumentError(f"A log density is made from a function of one vector; got {type(fn).__name__}.")
        self._fn = fn
        self._both_fn = value_and_grad(self._scalar)
        self._differentiate_by(gradient, difference_step)

    def _differentiate_by(self, gradient, difference_step) -> None:
        """Set what depends on how the gradient is made."""
        self.gradient, self.difference_step = gradient, _checked_step(gradient, difference_step)
        self._gradient_fn = self._find_gradient(gradient)
        self._worker: native.Worker | native.DifferenceWorker | None = None
        self._native: native.NativeDensity | None = None
        if isinstance(gradient, str) and gradient in native.METHODS:
            by_tape = (self._by_tape, self._value_by_tape)
            options = {"gradient": gradient, "step": self.difference_step}
            self._native = native.NativeDensity(self._scalar, *by_tape, self.dim, **options)

    def _find_gradient(self, gradient) -> Callable[[np.ndarray], np.ndarray] | None:
        """The function that gives the gradient; None for reverse mode, which gives the value as well."""
        if callable(gradient):
            return gradient
        if gradient not in METHODS:
            known = ", ".join(map(repr, METHODS))
            raise ArgumentError(f"gradient must be one of {known}, or a function of one vector; got {gradient!r}.")
        if gradient == "reverse":
            return None
        return partial(derivative, self._scalar, method=gradient, step=self.difference_step)

    def with_gradient(
        self, gradient: str | Callable[[np.ndarray], np.ndarray], *, difference_step: float | None = None
    ) -> FunctionDensity:
        """The same log density with another way to its gradient; see `LogDensity.from_function`."""
        twin = copy.copy(self)
        twin._differentiate_by(gradient, difference_step)
        return twin

    def __copy__(self) -> FunctionDensity:
        """A density that shares all with this one: what `__reduce__` makes would be made anew."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __reduce__(self):
        """Travel to another process as the function, which is compiled there anew."""
        gradient = {"gradient": self.gradient, "difference_step": self.difference_step}
        make = partial(FunctionDensity, names=self.names, variables=self.variables, **gradient)
        kept = ("coords", "observed_data", "constant_data", "data_dims")
        return make, (self._fn, self.dim), {name: getattr(self, name) for name in kept}

    @property
    def function(self) -> Callable[[Any], Any]:
        """The log density as a function of one vector, plain or traced."""
        return self._scalar

    def determined_by(self) -> tuple:
        """What the log density is a function of; see `probad.ir.identity`."""
        return (self._fn,)

    # --- native code: made when an algorithm first asks for the address -----------------------------------------------
    @property
    def address(self) -> int:
        """Address of native code for log density and gradient; 0 if there is none."""
        return 0 if self._find_worker() is None else self._worker.address

    @property
    def ctx(self) -> int:
        """The first argument of the compiled code, of this object's own."""
        return 0 if self._find_worker() is None else self._worker.ctx

    @property
    def failure(self) -> BaseException | None:
        """The exception behind the last fatal evaluation."""
        return self._failure if self._worker is None else self._worker.failure or self._failure

    @failure.setter
    def failure(self, error: BaseException | None) -> None:
        self._failure = error
        if self._worker is not None:
            self._worker.failure = None

    def _find_worker(self) -> native.Worker | native.DifferenceWorker | None:
        if self._worker is None and self._native is not None:
            self._worker = self._native.worker()
        return self._worker

    def fork(self) -> FunctionDensity:
        """An independent density for another thread; compiled code is shared."""
        twin = copy.copy(self)
        twin._worker = None if self._worker is None else self._native.worker()
        twin.failure = None
        return twin

    def _scalar(self, z):
        logp = self._fn(z)
        if not hasattr(logp, "shape"):
            logp = as_array(logp)
        if logp.shape != ():
            raise ShapeError(f"A log density returns one number; got an array of shape {logp.shape}. Sum it.")
        return logp

    def logp(self, z):
        """Log density at `z`; a traced `z` gives a traced value."""
        return self._scalar(z) if is_traced(z) else self._value_by_tape(self._point(z))

    def _value_by_tape(self, z: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            try:
                return float(self._scalar(z))
            except OUTSIDE:
                return -math.inf

    def logp_and_grad(self, z) -> tuple[float, np.ndarray]:
        """Log density at `z` and its gradient: by compiled code once `address` has been asked for, else by the tape."""
        z = self._point(z)
        if self._worker is not None:
            status, logp, grad = self._worker.logp_and_grad(z)
            if status == FATAL:
                raise self._worker.failure
            return logp, grad
        return self._by_tape(z)

    def verify(self, z) -> None:
        """Compare compiled code, if there is any, with the function at `z`; see `LogDensity.verify`."""
        if self._worker is not None:
            self._worker.verify(self._point(z))

    def _by_tape(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(all="ignore"):
            try:
                if self._gradient_fn is None:
                    logp, grad = self._both_fn(z)
                    return float(logp), grad
                logp = float(self._scalar(z.copy()))
                grad = np.array(self._gradient_fn(z), dtype=float)
            except OUTSIDE:
                return -math.inf, np.full(self.dim, math.nan)
        if grad.shape != (self.dim,):
            raise ShapeError(f"The gradient must have shape ({self.dim},); gradient(z) gave shape {grad.shape}.")
        return logp, grad

    def explain(self, z) -> str:
        """Say why log density or gradient is not finite at `z`."""
        try:
            with np.errstate(all="ignore"):
                self._scalar(self._point(z))
        except OUTSIDE as error:
            return f"The log density is -inf here: {type(error).__name__}: {error}"
        return f"{super().explain(z)}{self._origin(self._point(z))}"

    def _origin(self, z: np.ndarray) -> str:
        """Where a log density or gradient that is not finite begins, as a sentence; nothing if that is not known."""
        with contextlib.suppress(Exception), np.errstate(all="ignore"):  # not every function can be traced
            logp, grad = self._by_tape(z)
            if not math.isfinite(logp):
                origin = origin_of(self._scalar, z)
                return "" if origin is None else f" It begins with {origin}."
            if self.gradient == "reverse" and not np.isfinite(grad).all():
                try:
                    with anomaly_mode():
                        self._both_fn(z)
                except GradientError as error:
                    return f" {str(error).rstrip('.')}."
        return ""


def _checked_step(gradient, step) -> float | None:
    """The step of differences, if there is one."""
    if step is None:
        return None
    if not isinstance(gradient, str) or gradient not in (*native.BY_VALUES, "complex"):
        raise ArgumentError(
            f"difference_step is for gradients by differences, such as gradient='central'; got gradient={gradient!r} "
            f"with difference_step={step!r}."
        )
    if isinstance(step, bool) or not isinstance(step, int | float | np.number) or not 0 < step < math.inf:
        raise ArgumentError(f"difference_step must be a finite number > 0; got {step!r}.")
    return float(step)
