"""`@model` makes an ordinary function a model; a call with data makes that a bound model, ready for inference."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from probad.errors import ArgumentError, InPlaceError, ModelError, ProbadError, ShapeError, did_you_mean
from probad.model.data import own
from probad.model.density import ModelDensity, check_first_evaluation
from probad.model.effects import Interpreter, is_running
from probad.model.explain import lay_out_or_explain
from probad.model.layout import SiteInfo
from probad.model.table import site_table


class Model:
    """A function that declares random variables; see `model`.

    Called with data it returns a `BoundModel`. Called inside another model, it is a part of that model: its sites
    become sites of the caller, and it returns what the function returns.
    """

    unchanged_by_runs = True

    def __init__(self, function: Callable) -> None:
        if not callable(function) or isinstance(function, type):
            raise ModelError(f"@pb.model decorates a function; got {function!r}.")
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise ModelError(f"@pb.model decorates a plain function, but {_name(function)} uses yield or async.")
        self.function = function
        self.signature = inspect.signature(function)
        if "coords" in self.signature.parameters:
            raise ModelError(
                f"{_name(function)} has an argument 'coords', a name that every model call keeps for the labels of its "
                "dimensions. Rename the argument."
            )
        functools.update_wrapper(self, function)

    def __call__(self, *args, coords: Mapping[str, Sequence | int] | None = None, **kwargs):
        """Bind data to the model.

        Parameters
        ----------
        *args, **kwargs
            The arguments of the function. Arrays and lists of numbers are copied into read-only arrays: changing
            them afterwards does not change the model.
        coords : dict of str to sequence or int, optional
            Labels along named dimensions, or their number.

        Returns
        -------
        BoundModel
            Or, inside another model, whatever the function returns.

        Raises
        ------
        ArgumentError
            If arguments are missing or unknown.
        ModelError, ShapeError, ParameterError, DataError
            If the model or its data are wrong; found by running it.
        """
        if is_running():
            if coords is not None:
                raise ArgumentError(f"{_name(self)}() got coords inside another model; give them to the outer call.")
            return self.function(*args, **kwargs)
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(self._call_problem(args, kwargs, str(error))) from None
        bound.apply_defaults()
        bound.arguments = {name: own(value, name) for name, value in bound.arguments.items()}
        return BoundModel(self, bound, _own_coords(coords))

    def _call_problem(self, args: tuple, kwargs: dict, reason: str) -> str:
        """What is wrong with a call, and what is accepted."""
        name, parameters = _name(self), self.signature.parameters.values()
        accepts = f"It takes {name}{str(self.signature)[:-1]}{', ' if parameters else ''}coords=None)."
        by_name = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            for given in kwargs:
                if given not in by_name:
                    hint = did_you_mean(given, [*by_name, "coords"]) if by_name else ""
                    hint = hint if "Did you mean" in hint else ""
                    return f"{name}() has no argument '{given}'.{hint} {accepts}"
        positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        filled = {*positional[: len(args)], *kwargs}
        required = [
            p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        missing = [f"'{p}'" for p in required if p not in filled]
        if missing:
            return f"{name}() misses its argument{'s' if len(missing) > 1 else ''} {', '.join(missing)}. {accepts}"
        return f"{name}(): {reason}. {accepts}"

    def determined_by(self) -> tuple:
        """What runs of the model depend on; see `probad.ir.identity`."""
        return (self.function,)

    def __reduce__(self):
        """Travel to another process as the function, by its name or, with cloudpickle, by value.

        Under the name of a decorated function one finds this model, not the function, so that the function takes
        ``NAME.function``, the name under which it is found.
        """
        from probad.ir.identity import find_named  # not needed to import probad

        function = self.function
        name = getattr(self, "__qualname__", "")
        if find_named(getattr(self, "__module__", None), name) is self:
            function.__qualname__ = f"{name}.function"
        return Model, (function,)

    def __repr__(self) -> str:
        return f"<model {_name(self)}{self.signature}>"


class BoundModel:
    """A model with its data: checked, laid out, and ready for inference.

    Printing it shows a table of its sites.

    Attributes
    ----------
    fn : Model
        The model.
    args : dict of str to object
        Its arguments by name, as the model sees them.
    coords : dict of str to array
        Labels of the dimensions that sites use.
    sites : list of SiteInfo
        In the order of their declaration.
    """

    unchanged_by_runs = True

    def __init__(self, fn: Model, bound: inspect.BoundArguments, coords: dict[str, np.ndarray]) -> None:
        self.fn = fn
        self.args = bound.arguments
        self._call = bound.args, bound.kwargs
        self._layout = self._checked(lambda run: lay_out_or_explain(run, self._run, coords), "laying out")
        lengths = self._layout.dim_lengths
        self.coords = {dim: coords.get(dim, np.arange(n)) for dim, n in lengths.items()}
        self.sites: list[SiteInfo] = list(self._layout.sites.values())
        if self._layout.dim:
            self._checked(lambda run: check_first_evaluation(run, self._layout), "differentiating")

    def _run(self, interpreter: Interpreter) -> Any:
        args, kwargs = self._call
        return interpreter.run(self.fn.function, args, kwargs)

    def _checked(self, work: Callable[[Callable], Any], doing: str) -> Any:
        """Do `work` with a way to run the model; errors from user code say where they happened."""
        reached: list[Interpreter] = []

        def run(interpreter):
            reached[:] = [interpreter]
            with np.errstate(all="ignore"):
                return self._run(interpreter)

        try:
            return work(run)
        except Exception as error:
            where = _progress(reached[0].seen) if reached else "before it ran"
            clear = _clearer(error, _name(self.fn), where)
            if clear is not None:
                raise clear from error
            error.add_note(f"While {doing} model '{_name(self.fn)}', {where}.")
            raise

    def density(self) -> ModelDensity:
        """The log density over the unconstrained space.

        Raises
        ------
        ModelError
            If the model has no latent variable.
        """
        density = ModelDensity(self._run, self._layout)
        density.coords = dict(self.coords)
        density.constant_data = self._constant_data()
        return density

    def _constant_data(self) -> dict[str, np.ndarray]:
        """The numeric arguments that are not data of a site."""
        observed = [s.obs for s in self.sites if s.kind == "observed"]
        constant = {}
        for name, value in self.args.items():
            if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray | np.number):
                continue
            array = np.asarray(value)
            seen = any(value is obs or np.may_share_memory(array, obs) for obs in observed)
            if array.dtype.kind in "buif" and name not in self._layout.sites and not seen:
                constant[name] = array
        return constant

    def determined_by(self) -> tuple:
        """What runs of the model depend on; see `probad.ir.identity`."""
        args, kwargs = self._call
        return self.fn, args, kwargs

    def __reduce__(self):
        """Travel to another process as model and data, which is laid out there anew."""
        args, kwargs = self._call
        return functools.partial(self.fn, coords=self.coords, **kwargs), args

    def constrain(self, z) -> dict[str, np.ndarray]:
        """Values of latent and deterministic variables from unconstrained vectors of shape (..., dim)."""
        return self.density().constrain(z)

    def unconstrain(self, params: Mapping[str, Any]) -> np.ndarray:
        """An unconstrained vector of shape (dim,) from values of the latent variables by name."""
        return self.density().unconstrain(params)

    def __repr__(self) -> str:
        return site_table(_name(self.fn), self._layout)


def model(function: Callable | None = None):
    """Decorate a function that declares random variables with `sample`.

    Parameters
    ----------
    function : callable
        A plain function of data. Its code is ordinary Python and NumPy: branches, loops and recursion may depend on
        latent values, but every path must declare the same sites.

    Returns
    -------
    Model

    Examples
    --------
    >>> from probad import dist
    >>> from probad.model import model, sample
    >>> @model
    ... def location(y):
    ...     mu = sample("mu", dist.Normal(0.0, 10.0))
    ...     sample("y", dist.Normal(mu, 1.0), obs=y)
    >>> location([1.0, 3.0])
    location: 1 unconstrained dimension, 2 observations
      site  kind      distribution  support  shape   dims
      mu    latent    Normal        real     scalar
      y     observed  Normal        real     2
    """
    return Model if function is None else Model(function)


def _own_coords(coords) -> dict[str, np.ndarray]:
    """The user's coords as arrays of labels."""
    if coords is None:
        return {}
    if not isinstance(coords, Mapping):
        raise ArgumentError(f"coords is a dict from dimension to labels; got {type(coords).__name__}.")
    owned = {}
    for dim, labels in coords.items():
        if isinstance(labels, int | np.integer) and not isinstance(labels, bool) and labels >= 0:
            labels = np.arange(labels)
        if not isinstance(dim, str) or isinstance(labels, str) or np.ndim(labels) != 1:
            raise ArgumentError(f"coords[{dim!r}] must be a sequence of labels or their number; got {labels!r}.")
        owned[dim] = np.array(labels)
    return owned


def _progress(seen: list[str]) -> str:
    """How far a run has come, for messages."""
    return f"after site '{seen[-1]}'" if seen else "before its first site"


def _clearer(error: Exception, name: str, where: str) -> ProbadError | None:
    """A plainer error for what NumPy says about shapes, read-only data and conditions inside a model."""
    if isinstance(error, ProbadError) or not isinstance(error, ValueError):
        return None
    text = str(error)
    if "read-only" in text:
        return InPlaceError(
            f"Model '{name}' writes into a read-only array {where}. Its data are read-only, so that every evaluation "
            "sees the same. Work on a copy: y = y.copy()."
        )
    if "truth value" in text:
        return ModelError(
            f"Model '{name}' asks {where} whether a whole array is true. Write if np.any(...) or if np.all(...), or "
            "choose element by element with np.where(condition, a, b)."
        )
    if "shape" in text or "broadcast" in text or "mismatch" in text or "dimension" in text:
        return ShapeError(f"Shapes do not fit in model '{name}', {where}: {text.rstrip(' .')}.")
    return None


def _name(function) -> str:
    return getattr(function, "__name__", type(function).__name__)  # a partial or a callable object has no name
