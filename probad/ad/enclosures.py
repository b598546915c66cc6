"""Interval arithmetic on arrays, rounded outwards: for each primitive a rule that encloses its whole range.

Additions, products, quotients and square roots are correctly rounded, so one step outwards is rigorous. For NumPy's
other functions the step is twice the largest error its test suite allows. What has no such bound has no rule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from probad.errors import ArgumentError

ULPS = 8  # NumPy tests its float64 functions to 4 units in the last place
RULES: dict[str, Callable] = {}  # by name of the primitive: rule(*intervals, **params)


class Interval:
    """All arrays between two bounds, both included.

    Attributes
    ----------
    lower, upper : float or ndarray
    """

    __slots__ = ("lower", "upper")

    def __init__(self, lower, upper):
        self.lower, self.upper = lower, upper

    def __repr__(self):
        return f"Interval({self.lower}, {self.upper})"

    shape = property(lambda self: self.lower.shape)
    ndim = property(lambda self: self.lower.ndim)
    size = property(lambda self: self.lower.size)
    dtype = property(lambda self: self.lower.dtype)

    @property
    def width(self):
        """The distance of the bounds, rounded up."""
        return up(self.upper - self.lower)

    def contains(self, x) -> bool:
        """Whether `x` lies between the bounds, everywhere."""
        return bool(np.all((self.lower <= x) & (x <= self.upper)))

    def __contains__(self, x) -> bool:
        return self.contains(x)


def point(x) -> Interval:
    """The interval that holds one array."""
    x = np.asarray(x)
    x = x if x.dtype.kind == "b" else x.astype(float)
    return Interval(x[()], x[()])


def down(x, n: int = 1):
    """`n` floating-point numbers lower."""
    for _ in range(n):
        x = np.nextafter(x, -np.inf)
    return x


def up(x, n: int = 1):
    """`n` floating-point numbers higher."""
    for _ in range(n):
        x = np.nextafter(x, np.inf)
    return x


def encloses(*names: str) -> Callable:
    """Register a rule for the primitives of these names."""

    def register(rule):
        for name in names:
            RULES[name] = rule
        return rule

    return register


def _require(condition, name: str, x: Interval, domain: str) -> None:
    if not np.all(condition):
        raise ArgumentError(
            f"np.{name} needs {domain}, but inside the box its argument may be anything in [{np.min(x.lower):.6g}, "
            f"{np.max(x.upper):.6g}]. Make the box smaller, split it, or write the function so that this is clear."
        )


# --- arithmetic -----------------------------------------------------------------------------------------------------
def _sum_error(a, b, s):
    """The exact error of the floating-point sum s = a + b (Knuth)."""
    back = s - a
    return (a - (s - back)) + (b - back)


@encloses("add")
def add(a: Interval, b: Interval) -> Interval:
    """Bounds move only where a sum is inexact in that direction."""
    lower, upper = a.lower + b.lower, a.upper + b.upper
    lower = np.where(_sum_error(a.lower, b.lower, lower) >= 0, lower, down(lower))[()]
    upper = np.where(_sum_error(a.upper, b.upper, upper) <= 0, upper, up(upper))[()]
    return Interval(lower, upper)


@encloses("negative")
def negative(a: Interval) -> Interval:
    """Exact."""
    return Interval(-a.upper, -a.lower)


@encloses("subtract")
def subtract(a: Interval, b: Interval) -> Interval:
    """The sum with the negative."""
    return add(a, negative(b))


def _extremes(corners, same_sign, opposite_sign) -> Interval:
    """The hull of corner values, rounded outwards but not across zero; 0 times infinity is 0 at a corner."""
    corners = [np.where(np.isnan(c), 0.0, c) for c in corners]
    lower, upper = down(np.minimum.reduce(corners)), up(np.maximum.reduce(corners))
    lower = np.where(same_sign, np.maximum(lower, 0.0), lower)[()]
    upper = np.where(opposite_sign, np.minimum(upper, 0.0), upper)[()]
    return Interval(lower, upper)


def _signs(a: Interval, b: Interval):
    same = ((a.lower >= 0) & (b.lower >= 0)) | ((a.upper <= 0) & (b.upper <= 0))
    opposite = ((a.lower >= 0) & (b.upper <= 0)) | ((a.upper <= 0) & (b.lower >= 0))
    return same, opposite


@encloses("multiply", "scale")
def multiply(a: Interval, b: Interval) -> Interval:
    """The hull of the products of the ends; of one value with itself, its square."""
    if a is b:
        return square(a)
    corners = [x * y for x in (a.lower, a.upper) for y in (b.lower, b.upper)]
    out = _extremes(corners, *_signs(a, b))
    one = _is_one(a) | _is_one(b)  # times 1 or -1 is exact
    lower = np.where(one, np.minimum.reduce(corners), out.lower)[()]
    return Interval(lower, np.where(one, np.maximum.reduce(corners), out.upper)[()])


def _is_one(a: Interval):
    return (a.lower == a.upper) & (np.abs(a.lower) == 1.0)


@encloses("divide")
def divide(a: Interval, b: Interval) -> Interval:
    """The hull of the quotients of the ends, for a divisor that is not zero."""
    _require((b.lower > 0) | (b.upper < 0), "divide", b, "a divisor that cannot be zero")
    corners = [x / y for x in (a.lower, a.upper) for y in (b.lower, b.upper)]
    return _extremes(corners, *_signs(a, b))


@encloses("reciprocal")
def reciprocal(a: Interval) -> Interval:
    """One over it."""
    return divide(point(1.0), a)


@encloses("absolute")
def absolute(a: Interval) -> Interval:
    """Exact."""
    crosses = (a.lower < 0) & (a.upper > 0)
    low, high = np.abs(a.lower), np.abs(a.upper)
    return Interval(np.where(crosses, 0.0, np.minimum(low, high))[()], np.maximum(low, high))


@encloses("square")
def square(a: Interval) -> Interval:
    """Of the absolute value, where it is monotone."""
    a = absolute(a)
    return Interval(np.maximum(down(a.lower * a.lower), 0.0), up(a.upper * a.upper))


def _whole_power(a: Interval, n) -> Interval:
    """For whole n > 0: monotone for odd n, and of the absolute value for even n."""
    even = n % 2 == 0
    m = absolute(a)
    low, high = np.where(even, m.lower, a.lower), np.where(even, m.upper, a.upper)
    lower, upper = down(low**n, ULPS), up(high**n, ULPS)
    lower = np.where(low >= 0, np.maximum(lower, 0.0), lower)[()]
    return Interval(lower, np.where(high <= 0, np.minimum(upper, 0.0), upper)[()])


@encloses("power")
def power(a: Interval, b: Interval) -> Interval:
    """By parity for a whole exponent, else exp(b log a)."""
    n = b.lower
    if np.all(n == b.upper) and np.all(n == np.rint(n)):
        if np.all(n > 0):
            return _whole_power(a, n)
        if np.all(n == 0):
            return point(np.ones(np.broadcast_shapes(a.shape, b.shape)))
        if np.all(n < 0):
            return reciprocal(_whole_power(a, -n))
    if np.all(n == b.upper) and np.all(n > 0) and np.all(a.lower >= 0):
        return Interval(np.maximum(down(a.lower**n, ULPS), 0.0), up(a.upper**n, ULPS))
    return RULES["exp"](multiply(b, RULES["log"](a)))


# --- monotone functions ---------------------------------------------------------------------------------------------
def _monotone(ufunc, *, domain=None, needs: str = "", least=-np.inf, most=np.inf, ulps: int = ULPS, falling=False):
    """A rule for a monotone function; `domain` tests the argument, `least` and `most` bound the values."""

    def rule(a: Interval) -> Interval:
        if domain is not None:
            _require(domain(a), ufunc.__name__, a, needs)
        low, high = (a.upper, a.lower) if falling else (a.lower, a.upper)
        with np.errstate(all="ignore"):
            return Interval(np.maximum(down(ufunc(low), ulps), least), np.minimum(up(ufunc(high), ulps), most))

    RULES[ufunc.__name__] = rule
    return rule


exp = _monotone(np.exp, least=0.0)
_monotone(np.exp2, least=0.0)
_monotone(np.expm1, least=-1.0)
log = _monotone(np.log, domain=lambda a: a.lower > 0, needs="a positive argument")
_monotone(np.log2, domain=lambda a: a.lower > 0, needs="a positive argument")
_monotone(np.log10, domain=lambda a: a.lower > 0, needs="a positive argument")
log1p = _monotone(np.log1p, domain=lambda a: a.lower > -1, needs="an argument above -1")
sqrt = _monotone(np.sqrt, domain=lambda a: a.lower >= 0, needs="an argument that is not negative", least=0.0, ulps=1)
_monotone(np.cbrt)
_monotone(np.sinh)
_monotone(np.tanh, least=-1.0, most=1.0)
_monotone(np.arcsinh)
_monotone(np.arctan)
_monotone(np.arcsin, domain=lambda a: (a.lower >= -1) & (a.upper <= 1), needs="an argument in [-1, 1]")
_monotone(np.arccos, domain=lambda a: (a.lower >= -1) & (a.upper <= 1), needs="an argument in [-1, 1]", falling=True)
_monotone(np.arctanh, domain=lambda a: (a.lower > -1) & (a.upper < 1), needs="an argument in (-1, 1)")
_monotone(np.arccosh, domain=lambda a: a.lower >= 1, needs="an argument of at least 1", least=0.0)
for _ufunc in (np.floor, np.ceil, np.trunc, np.rint, np.sign):
    _monotone(_ufunc, ulps=0)


@encloses("cosh")
def cosh(a: Interval) -> Interval:
    """Of the absolute value, where it is monotone."""
    a = absolute(a)
    with np.errstate(over="ignore"):
        return Interval(np.maximum(down(np.cosh(a.lower), ULPS), 1.0), up(np.cosh(a.upper), ULPS))


@encloses("expit")
def expit(a: Interval) -> Interval:
    """1 / (1 + exp(-x))."""
    y = divide(point(1.0), add(point(1.0), exp(negative(a))))
    return Interval(np.maximum(y.lower, 0.0), np.minimum(y.upper, 1.0))


@encloses("log_expit")
def log_expit(a: Interval) -> Interval:
    """-log(1 + exp(-x))."""
    return negative(log1p(exp(negative(a))))


@encloses("logaddexp")
def logaddexp(a: Interval, b: Interval) -> Interval:
    """log(exp(a - c) + exp(b - c)) + c, with c the larger of the upper bounds."""
    c = point(np.maximum(a.upper, b.upper))
    return add(log(add(exp(subtract(a, c)), exp(subtract(b, c)))), c)


@encloses("hypot")
def hypot(a: Interval, b: Interval) -> Interval:
    """The root of the sum of the squares."""
    return sqrt(add(square(a), square(b)))


# --- periodic functions ---------------------------------------------------------------------------------------------
FAR = 1e6  # beyond, no attempt is made to locate the extremes
SLACK = 1e-9  # and nearer, extremes this close to an end count as inside: the rounding of the phases is far smaller


def _reaches(a: Interval, phase: float):
    """Whether the interval may contain phase + 2 pi k for a whole k."""
    turns = 2 * np.pi
    return np.floor((a.upper - phase) / turns + SLACK) >= np.ceil((a.lower - phase) / turns - SLACK)


def _wave(ufunc, crest: float, a: Interval) -> Interval:
    far = (np.abs(a.lower) > FAR) | (np.abs(a.upper) > FAR)
    ends = ufunc(a.lower), ufunc(a.upper)
    lower = np.where(far | _reaches(a, crest + np.pi), -1.0, down(np.minimum(*ends), ULPS))[()]
    upper = np.where(far | _reaches(a, crest), 1.0, up(np.maximum(*ends), ULPS))[()]
    return Interval(np.maximum(lower, -1.0), np.minimum(upper, 1.0))


@encloses("sin")
def sin(a: Interval) -> Interval:
    """Crests at pi/2 + 2 pi k."""
    return _wave(np.sin, np.pi / 2, a)


@encloses("cos")
def cos(a: Interval) -> Interval:
    """Crests at 2 pi k."""
    return _wave(np.cos, 0.0, a)


@encloses("tan")
def tan(a: Interval) -> Interval:
    """Monotone between two poles."""
    doubled = Interval(2 * a.lower, 2 * a.upper)
    near = (np.abs(a.lower) <= FAR) & (np.abs(a.upper) <= FAR)
    _require(near & ~_reaches(doubled, np.pi), "tan", a, "an argument away from its poles")
    return Interval(down(np.tan(a.lower), ULPS), up(np.tan(a.upper), ULPS))
