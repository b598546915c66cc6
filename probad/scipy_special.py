"""The functions of `scipy.special`, imported when the first of them is called.

    from probad.scipy_special import special

SciPy takes longer to import than NumPy and all of probad together, and many models need none of it, or nothing but some
logistic functions: of few numbers these are computed here, to the same bits, until something else needs SciPy.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from types import ModuleType

import numpy as np

FEW = 16  # numbers for which Python is no slower than a NumPy function


def _expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def _log_expit(x: float) -> float:
    return x - math.log1p(math.exp(x)) if x < 0.0 else -math.log1p(math.exp(-x))


# The formulas of SciPy 1.17, with the functions of the same library of C.
LOGISTIC: dict[str, Callable[[float], float]] = {"expit": _expit, "log_expit": _log_expit}


# What the same functions do to traced values, by their type and by name; filled by `probad.ad.dispatch`.
RULES: dict[tuple[type, str], Callable] = {}


def _early(name: str, x):
    """A logistic function of a double, of an array of a few, or of a traced value; None for all else."""
    fn = LOGISTIC[name]
    if isinstance(x, float):  # np.float64 is one
        numbers = [x]
    elif not isinstance(x, np.ndarray):
        rule = RULES.get((type(x), name))
        return None if rule is None else rule(x)
    elif x.dtype == np.float64 and x.size <= FEW:
        numbers = x.ravel().tolist()
    else:
        return None
    try:
        values = np.array([fn(number) for number in numbers])
    except OverflowError:  # where SciPy knows the limit
        return None
    return values.reshape(np.shape(x))[()]


class Late:
    """A function of `scipy.special` that imports it when it is called.

    Attributes
    ----------
    __name__ : str
    """

    def __init__(self, name: str, load: Callable[[], ModuleType]):
        self.__name__ = name
        self._load = load
        self._function: Callable | None = None

    def now(self) -> Callable:
        """The function itself."""
        if self._function is None:
            self._function = getattr(self._load(), self.__name__)
        return self._function

    def __call__(self, *args, **kwargs):
        """Call the function."""
        if self._function is None and self.__name__ in LOGISTIC and len(args) == 1 and not kwargs:
            found = _early(self.__name__, args[0])
            if found is not None:
                return found
        return (self._function or self.now())(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<scipy.special.{self.__name__}>"


class Special:
    """`scipy.special`, whose functions are `Late` until it is loaded, and then its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._module: ModuleType | None = None
        self._waiting: list[Callable[[ModuleType], None]] = []

    def load(self) -> ModuleType:
        """The module; whatever waits for it is done before anybody has it."""
        if self._module is None:
            with self._lock:
                if self._module is None:
                    from scipy import special as module

                    while self._waiting:
                        self._waiting.pop(0)(module)
                    self._module = module
        return self._module

    def when_loaded(self, action: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        """Call `action` with the module once it is loaded: for what is looked up by its functions."""
        with self._lock:
            if self._module is None:
                self._waiting.append(action)
            else:
                action(self._module)
        return action

    def __getattr__(self, name: str):
        if self._module is None:
            return Late(name, self.load)
        found = getattr(self._module, name)
        setattr(self, name, found)  # found at once from now on
        return found


special = Special()
