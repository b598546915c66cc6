"""Which rule answers which NumPy or SciPy function, and what to say when none does."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType

import numpy as np

from probad.ad.box import Box
from probad.ad.core import PRIMITIVES
from probad.ad.kinds import CONSTANTS, OPERATIONS, PARTIALS, refusals
from probad.errors import InPlaceError, UnsupportedFunctionError
from probad.scipy_special import LOGISTIC, RULES, Late, special

# Ufuncs are looked up by object, filled below; other NumPy functions are enrolled by `implements`.
UFUNCS: dict[np.ufunc, Callable] = {}
FUNCTIONS: dict[Callable, Callable] = {}
METHODS: dict[str, Callable] = {}  # the methods `accumulate` of np.maximum and `at` of np.add

# What to use instead of a function that has no rule.
_COMPLEX = "Its values are complex. "
_OUTSIDE = "Take the value out of the traced function first (return it with has_aux=True)."
_COUNTS = "A histogram has no useful derivative; use pb.stop_gradient(x) if you need its counts."
_SETS = "Use np.unique, or x[np.isin(x, y)]."
_PARTS = _COMPLEX + "Use probad.numerics.rfft and irfft, which keep real and imaginary parts apart, or fft_convolve."
_WHOLE = "It works on whole numbers; use pb.stop_gradient(x) and convert to int."
_HANKEL = _COMPLEX + "Use scipy.special.jv and yv."
_SPHERICAL = "Use np.sqrt(np.pi / (2 * x)) * scipy.special.jv(n + 0.5, x), and likewise yv, iv and kv."
_LEGENDRE = (
    "Use scipy.special.eval_legendre(n, x) or eval_gegenbauer, or give the derivative with pb.custom_derivative."
)
REPLACEMENTS = {
    # NumPy
    "apply_along_axis": "Write the function with array operations and axis=.",
    "apply_over_axes": "Call the function with a tuple of axes.",
    "histogram": _COUNTS,
    "histogram2d": _COUNTS,
    "histogramdd": _COUNTS,
    "histogram_bin_edges": "Use np.linspace between np.min(x) and np.max(x).",
    "intersect1d": _SETS,
    "setdiff1d": _SETS,
    "setxor1d": _SETS,
    "union1d": "Use np.unique(np.concatenate([x, y])).",
    "packbits": _WHOLE,
    "unpackbits": _WHOLE,
    "left_shift": _WHOLE,
    "right_shift": _WHOLE,
    "bitwise_count": _WHOLE,
    "gcd": _WHOLE,
    "lcm": _WHOLE,
    "isnat": "Traced values are never dates.",
    "polydiv": "Use np.convolve for the product; a quotient by a known factor is np.linalg.lstsq.",
    "roots": _COMPLEX + "Use np.linalg.eigvalsh if the polynomial is that of a symmetric matrix.",
    "sort_complex": _COMPLEX + "Use np.sort.",
    "save": _OUTSIDE,
    "savez": _OUTSIDE,
    "savez_compressed": _OUTSIDE,
    "savetxt": _OUTSIDE,
    "eig": _COMPLEX + "Use np.linalg.eigh for a symmetric matrix.",
    "eigvals": _COMPLEX + "Use np.linalg.eigvalsh for a symmetric matrix.",
    **dict.fromkeys(
        (
            "fft",
            "ifft",
            "rfft",
            "irfft",
            "hfft",
            "ihfft",
            "fft2",
            "ifft2",
            "rfft2",
            "irfft2",
            "fftn",
            "ifftn",
            "rfftn",
            "irfftn",
        ),
        _PARTS,
    ),
    # SciPy: Python functions around something that has a rule
    "comb": "Use scipy.special.binom(n, k).",
    "perm": "Use scipy.special.poch(n - k + 1, k).",
    "factorial": "Use scipy.special.gamma(n + 1).",
    "factorial2": "Use scipy.special.gamma.",
    "factorialk": "Use scipy.special.gamma.",
    "logsumexp": "Use probad.numerics.logsumexp.",
    "softmax": "Use probad.numerics.softmax.",
    "log_softmax": "Use probad.numerics.log_softmax.",
    "multigammaln": "Use probad.numerics.multigammaln.",
    "polygamma": "Use probad.numerics.polygamma.",
    "diric": "Use np.sin(n * x / 2) / (n * np.sin(x / 2)).",
    "_lambertw": _COMPLEX + "For x > 0 use scipy.special.wrightomega(np.log(x)).",
    **dict.fromkeys(("spherical_jn", "spherical_yn", "spherical_in", "spherical_kn", "_spherical_bessel"), _SPHERICAL),
    **dict.fromkeys(
        (
            "legendre_p",
            "legendre_p_all",
            "assoc_legendre_p",
            "assoc_legendre_p_all",
            "sph_legendre_p",
            "sph_legendre_p_all",
            "sph_harm_y",
            "sph_harm_y_all",
            "_multiufuncs",
        ),
        _LEGENDRE,
    ),
    **dict.fromkeys(("hankel1", "hankel1e", "hankel2", "hankel2e", "h1vp", "h2vp"), _HANKEL),
    "wofz": _COMPLEX + "For real x use scipy.special.erfcx, or dawsn.",
    "airye": "Use scipy.special.airy, whose four outputs have derivatives.",
    "kelvin": "Use scipy.special.ber, bei, ker and kei, whose derivatives are berp and so on.",
}


DEFAULT_ADVICE = (
    "Write it with operations that have one, give its derivative with pb.custom_derivative, or use pb.stop_gradient(x) "
    "if x counts as a constant there."
)


def implements(*numpy_functions: Callable) -> Callable:
    """Enrol a function as the traced version of one or more NumPy functions."""

    def enrol(fn):
        for function in numpy_functions:
            FUNCTIONS[function] = fn
        return fn

    return enrol


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict):
    """Apply a ufunc, or one of its methods, to arguments of which at least one is traced."""
    if method == "__call__" and not kwargs and ufunc in UFUNCS:
        return UFUNCS[ufunc](*inputs)
    if kwargs:
        kwargs = {k: v for k, v in kwargs.items() if not (k == "dtype" and v in (float, np.float64))}
    if "out" in kwargs:
        raise InPlaceError(
            f"np.{ufunc.__name__} cannot write a traced value into a plain array (out=, or an operator like += on a "
            "NumPy array). Use a = a + b, or start from a traced array: a = np.zeros_like(x)."
        )
    if method == "__call__":
        if ufunc not in UFUNCS:
            special.load()  # whose ufuncs are enrolled then
        if ufunc not in UFUNCS:
            raise unsupported(ufunc)
        if kwargs and not (inspect.isfunction(UFUNCS[ufunc]) and _accepts(UFUNCS[ufunc], kwargs)):
            raise UnsupportedFunctionError(
                f"np.{ufunc.__name__} on a traced value does not take {', '.join(kwargs)}=; use np.where on the result."
            )
        return UFUNCS[ufunc](*inputs, **kwargs)
    if method == "reduce":
        reduced = {np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min}.get(ufunc)
        if reduced is not None:
            kwargs.setdefault("axis", 0)
            return FUNCTIONS[reduced](*inputs, **kwargs)
        if ufunc is np.logaddexp:
            axis = kwargs.get("axis", 0)
            return PRIMITIVES["logsumexp"](*inputs, axis=axis, keepdims=kwargs.get("keepdims", False))
    if method == "accumulate" and ufunc in (np.add, np.multiply):
        return FUNCTIONS[np.cumsum if ufunc is np.add else np.cumprod](*inputs, **{"axis": 0, **kwargs})
    if method == "accumulate" and ufunc in (np.maximum, np.minimum):
        return METHODS["accumulate"](*inputs, sign=1.0 if ufunc is np.maximum else -1.0, **kwargs)
    if method == "at" and ufunc in (np.add, np.subtract):
        target, index, values = inputs
        return METHODS["at"](target, index, values if ufunc is np.add else -values)
    if method == "outer":
        a, b = (x if hasattr(x, "shape") else np.asarray(x) for x in inputs)
        return call_ufunc(ufunc, "__call__", (a[(..., *(None,) * len(b.shape))], b), kwargs)
    raise UnsupportedFunctionError(
        f"np.{ufunc.__name__}.{method} has no derivative rule. Write it with np.{ufunc.__name__} and np.sum."
    )


def call_function(function: Callable, args: tuple, kwargs: dict):
    """Apply a NumPy function that is not a ufunc to arguments of which at least one is traced."""
    rule = FUNCTIONS.get(function)
    if rule is None:
        raise unsupported(function)
    if not kwargs:
        return rule(*args)
    if not _accepts(rule, kwargs):
        extra = [k for k in kwargs if k not in inspect.signature(rule).parameters]
        plain = {k: v for k, v in kwargs.items() if k not in extra}
        meaningful = [k for k in extra if not _is_default(function, k, kwargs[k])]
        if meaningful:
            names = ", ".join(f"{k}=" for k in meaningful)
            raise UnsupportedFunctionError(f"{_name(function)} on a traced value does not take {names}.")
        kwargs = plain
    return rule(*args, **kwargs)


def _accepts(rule, kwargs) -> bool:
    code = rule.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return bool(code.co_flags & inspect.CO_VARKEYWORDS) or all(k in names for k in kwargs)


def _is_default(function, keyword: str, value) -> bool:
    """Whether a keyword that a rule does not know says nothing: NumPy's own defaults, or a float dtype."""
    if keyword == "dtype":
        return value in (None, float, np.float64)
    return value is None or value is np._NoValue or (value is True and keyword == "subok")


def _name(function) -> str:
    module = getattr(function, "__module__", "") or ""
    prefix = (
        "scipy.special" if function.__name__ in special.load().__dict__ and not hasattr(np, function.__name__) else "np"
    )
    if "linalg" in module:
        prefix = "np.linalg"
    if "fft" in module:
        prefix = "np.fft"
    return f"{prefix}.{function.__name__}"


def unsupported(function) -> UnsupportedFunctionError:
    """The error for a function that has no rule, naming what to use instead."""
    name = function.__name__
    advice = REPLACEMENTS.get(name, DEFAULT_ADVICE)
    return UnsupportedFunctionError(f"{_name(function)} has no derivative rule. {advice}")


def _refusing(name: str, rule: Callable) -> Callable:
    """The rule, or one that refuses traced values at once where the derivative would."""
    refused = [k for k, refuses in enumerate(refusals(name)) if refuses]
    if not refused:
        return rule

    def guarded(*inputs):
        for k in refused:
            if type(inputs[k]) is Box:
                PARTIALS[name][k](None)
        return rule(*inputs)

    return guarded


def enrol_ufuncs(module: ModuleType) -> None:
    """Match primitives and piecewise constant functions to the ufuncs of a module that have their name."""
    aliases = {"pow": "power", "abs": "absolute", "mod": "remainder", "true_divide": "divide", "degrees": "rad2deg",
               "radians": "deg2rad"}  # fmt: skip
    for ufunc in list(vars(module).values()):  # dir() names parts of NumPy that are imported when they are looked at
        if isinstance(ufunc, np.ufunc):
            known = aliases.get(ufunc.__name__, ufunc.__name__)
            rule = PRIMITIVES.get(known) or CONSTANTS.get(known)
            if rule is not None:
                UFUNCS.setdefault(ufunc, _refusing(known, rule))


def _replace_late(module: ModuleType) -> None:
    """Have operations call the ufuncs themselves: what they are tells some passes how they behave."""
    for operation in (*PRIMITIVES.values(), *OPERATIONS.values()):
        if isinstance(operation.impl, Late):
            operation.impl = getattr(module, operation.impl.__name__)


def fill_ufuncs() -> None:
    """Enrol the ufuncs of NumPy, and those of SciPy when it is loaded."""
    enrol_ufuncs(np)
    RULES.update({(Box, name): _refusing(name, PRIMITIVES[name]) for name in LOGISTIC})
    special.when_loaded(enrol_ufuncs)
    special.when_loaded(_replace_late)
    for name in ("matmul", "vecdot", "matvec", "vecmat"):
        if isinstance(getattr(np, name, None), np.ufunc):
            UFUNCS[getattr(np, name)] = FUNCTIONS[getattr(np, name)]
    UFUNCS[np.positive] = lambda x: x
    UFUNCS[np.fabs] = PRIMITIVES["absolute"]
    UFUNCS[np.conjugate] = lambda x: x
    UFUNCS[np.float_power] = PRIMITIVES["power"]
