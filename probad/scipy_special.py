"""The functions of `scipy.special`, imported when the first of them is called.

    from probad.scipy_special import special

SciPy takes longer to import than NumPy and all of probad together, and many models need none of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType


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
