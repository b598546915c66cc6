"""Exception and warning types, each documented as a help page, and the one format of their messages.

Every message answers four questions: what went wrong, where (site, argument, index), with which value, and
what to do about it. `explain` puts the answers in that order.
"""

from __future__ import annotations


def explain(problem: str, *, site: str | None = None, index=None, value=None, fix: str | None = None) -> str:
    """Compose an error message.

    Parameters
    ----------
    problem : str
        What is wrong, as a clause without a final stop: ``"Normal(scale=...) must be > 0"``.
    site : str, optional
        Name of the sample site concerned.
    index : int or tuple of int, optional
        Position of the first offending element; an empty tuple (a scalar) is left out.
    value : object, optional
        The offending value.
    fix : str, optional
        The way out, as a sentence.

    Returns
    -------
    str

    Examples
    --------
    >>> explain("Normal(scale=...) must be > 0", site="tau", index=(2,), value=-1.0, fix="Use np.exp.")
    "Normal(scale=...) must be > 0; got -1.0 at index 2 at site 'tau'. Use np.exp."
    """
    text = problem
    if value is not None:
        text += f"; got {value!s}"
    if index is not None and index != ():
        first = index[0] if isinstance(index, tuple) and len(index) == 1 else index
        text += f" at index {first}"
    if site is not None:
        text += f" at site '{site}'"
    text += "."
    return f"{text} {fix}" if fix else text


def did_you_mean(name: str, known) -> str:
    """End a message about an unknown name with the closest known one, or with all of them if they are few.

    Examples
    --------
    >>> did_you_mean("sigm", ["mu", "sigma"])
    " Did you mean 'sigma'?"
    >>> did_you_mean("x", ["mu", "sigma"])
    ' Known: mu, sigma.'
    """
    from difflib import get_close_matches  # only where something is wrong already: it is slow to import

    known = [str(k) for k in known]
    by_lower = {k.lower(): k for k in known}
    close = get_close_matches(str(name).lower(), by_lower, n=1)
    if close:
        return f" Did you mean '{by_lower[close[0]]}'?"
    return f" Known: {', '.join(known)}." if 0 < len(known) <= 20 else ""


class ProbadError(Exception):
    """Base of every error raised by probad: ``except pb.errors.ProbadError`` catches them all."""


class ArgumentError(ProbadError, ValueError):
    """An option of a public function has a value that makes no sense, such as ``pb.nuts(model, draws=0)``.

    The message names the option, the value and the range that is allowed.
    """


class ParameterError(ProbadError, ValueError):
    """A distribution got a parameter outside its domain, such as ``Normal(0.0, -1.0)``.

    Scales must be positive, probabilities between 0 and 1, and so on. If the parameter is computed from a
    latent value, map it into the domain: ``np.exp(x)`` for a scale, ``scipy.special.expit(x)`` for a probability.
    """


class DataError(ProbadError, ValueError):
    """Observed data cannot come from the distribution: a NaN, a negative count, a category that does not exist.

    The message names the site, the index and the value of the first such element.
    """


class ShapeError(ProbadError, ValueError):
    """Shapes of a distribution, its data, ``shape=`` and ``dims=`` do not fit each other.

    The usual cause is an ``(n, 1)`` array met by an ``(n,)`` array, which would broadcast to ``(n, n)``.
    """


class ModelError(ProbadError, ValueError):
    """The structure of a model is wrong: a primitive used outside a model, or sites that change between runs.

    A model must declare the same latent sites on every path; only their use may depend on latent values.
    """


class DuplicateSiteError(ModelError):
    """Two sites of one model have the same name.

    In a loop, put the index into the name (``pb.sample(f"x{i}", ...)``) or, better, draw the whole vector at once
    with ``shape=`` or ``dims=``. A sub-model that is called twice needs a different prefix for its names.
    """


class InitializationError(ProbadError, RuntimeError):
    """No starting point with a finite log density and gradient was found.

    The message names the first site whose contribution is not finite, with its value. Typical cures: a prior
    whose support matches the likelihood, data on a sensible scale, or an explicit ``init=``.
    """


class OptimizationError(ProbadError, RuntimeError):
    """An optimisation went where the log density is not finite and did not come back.

    The message names the step and the first site whose contribution is not finite. `result` holds what had been
    reached before (after `vi` an approximation), or None.
    """

    result = None


class DensityError(ProbadError, RuntimeError):
    """A log density broke its contract: wrong shapes, a wrong gradient, hidden state, an exception inside."""


class GradientError(ProbadError, ArithmeticError):
    """A derivative disagrees with differences of the function itself.

    Either a derivative rule is wrong, or the function is not smooth at the point, or it is not a function: it
    depends on hidden state or random numbers.
    """


class ConvergenceError(ProbadError, ArithmeticError):
    """An iteration, such as that of ``fixed_point`` or ``root``, did not arrive.

    The message names the residual that is left. Typical cures: a better start, more steps, a looser tolerance, or
    for a fixed point a map that is a contraction (mix it: ``0.5 * (x + f(x))``).
    """


class UnsupportedFunctionError(ProbadError, TypeError):
    """A function without a derivative rule was called on a traced value.

    Inside a differentiated function the inputs are traced values, which NumPy functions and SciPy ufuncs accept.
    The message names the replacement where there is one.
    """


class ConversionError(ProbadError, TypeError):
    """A traced value was about to become a plain number, which would silently cut the derivative.

    ``float(x)``, ``math.exp(x)``, ``rng.normal(x)`` and ``np.asarray(x, dtype=float)`` do that. Use the NumPy
    function instead (``np.exp(x)``), or ``pb.stop_gradient(x)`` if the derivative is not wanted.
    """


class LeakedValueError(ProbadError, RuntimeError):
    """A traced value outlived the function whose derivative was being taken.

    It was stored in a global, a list or an attribute, and used after the derivative was finished. Return what
    you need from the function instead (``value_and_grad``, ``has_aux=True``).
    """


class InPlaceError(ProbadError, ValueError):
    """A write in place that derivatives cannot follow, such as ``array[0] = x`` into a plain NumPy array.

    Start from a traced array (``np.zeros_like(x)``) and assign into that, or collect the pieces in a list and
    ``np.stack`` them.
    """


class CaptureError(ProbadError, RuntimeError):
    """A function cannot be captured for compilation; the message says what it met.

    Nothing is lost but speed: ``pb.grad`` and the samplers go on without compiled code.
    """


class GraphError(ProbadError, AssertionError):
    """A pass of the compiler has made a graph that breaks a rule: a mistake in probad, never in the captured function.

    Set ``PROBAD_COMPILE=0`` to go on without compiled code, and report the function.
    """


class StaleTraceError(ProbadError, RuntimeError):
    """A compiled function disagrees with the Python function it was made from.

    The function depends on something that changed after it was compiled: a global variable, an array in its closure, a
    random generator, an attribute. Pass what changes as an argument, or compile anew.
    """


class CompileError(ProbadError, RuntimeError):
    """Something cannot be made into native code.

    For a kernel the message names file and line: kernels are plain functions over arrays and numbers, with ``while``,
    ``for ... in range``, ``if``, arithmetic, `math` functions and calls of each other. ``PROBAD_COMPILE=0`` in the
    environment runs everything in Python.
    """


class StoreError(ProbadError, RuntimeError):
    """A stored run cannot be written, read or continued; the message names file and field.

    A store whose checksums do not fit was damaged: the message says where. One that was made with another model or
    other data is not continued: the message names the difference. What was committed is never changed by an error.
    """


class ProbadWarning(UserWarning):
    """Base of every warning issued by probad."""


class SamplingWarning(ProbadWarning):
    """A run ended, but its draws should not be trusted yet: divergences, high R-hat, few effective draws."""


class ConvergenceWarning(ProbadWarning):
    """An optimisation stopped before it had converged; its result may be far from the optimum."""


class CompileWarning(ProbadWarning):
    """A function runs without compiled code; the message says why, and what it costs."""
