"""When to join the paths of a function: after a few of them, as new ones are met, until one contradicts the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from probad.errors import CaptureError, CompileError
from probad.ir.capture import explore
from probad.ir.choices import program
from probad.ir.graph import Graph
from probad.ir.join import Joined

Code = TypeVar("Code")
# Paths are joined from this many on; if the program is more than a few times as much work as one path, only when there
# may be no more of them.
JOIN_FROM, DEAR = 8, 3.0
APART = "they went on in different ways from where they had met"  # what a comparison with the function itself shows
LONGEST_WAIT = 16  # new paths that are met until they are joined to the others


class Joining(Generic[Code]):
    """The code for the paths of one function, one by one or all together.

    Parameters
    ----------
    fn : callable

    Attributes
    ----------
    codes : list
        What is in use: one for each path, or one for all of them; another list when paths are joined or parted.
    is_joined : bool
        Whether code for all paths together is in use.
    why_apart : str
        Why paths are not joined any more; empty if they may be.
    """

    def __init__(self, fn: Callable):
        self._fn = fn
        self.codes: list[Code] = []
        self.is_joined, self.why_apart = False, ""
        self._alone: list[Code] = []  # what there was before paths were joined
        self._points: list[tuple] = []
        self._joined: Joined | None = None
        self._n_missed, self._wait = 0, LONGEST_WAIT // 2

    def extend(
        self, args: tuple, alone: Callable[[], Code | None], together: Callable[[Graph], Code | None], *, most: int
    ) -> Code | None:
        """Code for a path that none in use takes; None if there is none, or not yet.

        Parameters
        ----------
        args : tuple
            Where the function takes it.
        alone : callable
            Compiles this path alone.
        together : callable
            Compiles the program of all paths so far. What either returns is taken into use, unless it is None.
        most : int
            How many paths alone there may be.

        Raises
        ------
        CaptureError, CompileError, ConversionError
            What `alone` raises.
        """
        what = self._meet(args, most)
        if isinstance(what, Graph):
            try:
                return self._adopt(together(what))
            except CompileError as error:
                self.part(str(error))
                what = self._meet(args, most)
        code = alone() if what else None
        if code is not None:
            self.codes.append(code)
        return code

    def _adopt(self, code: Code | None) -> Code | None:
        """Use code for all paths."""
        if code is not None:
            if not self.is_joined:
                self._alone, self.is_joined = self.codes, True
            self.codes = [code]
        return code

    def _meet(self, args: tuple, most: int) -> Graph | bool:
        """The program of all paths, to be compiled; True if this path is to be compiled alone; False if neither."""
        has_room = len(self._alone if self.is_joined else self.codes) < most
        if not self.why_apart and len(self._points) >= JOIN_FROM:
            try:
                return self._join(args, has_room)
            except CaptureError as error:  # this path contradicts the others
                self.part(str(error))
        if has_room:
            self._points.append(args)
        return has_room

    def _join(self, args: tuple, has_room: bool) -> Graph | bool:
        if self._joined is None:
            self._joined = Joined()
            for point in self._points:
                self._joined.learn(*explore(self._fn, *point))
        joined = self._joined
        joined.learn(*explore(self._fn, *args))
        if not self.is_joined and has_room and joined.total > DEAR * joined.longest:
            self._points.append(args)
            return True
        self._n_missed += 1
        if self._n_missed < self._wait:
            return False
        self._n_missed, self._wait = 0, min(2 * self._wait, LONGEST_WAIT)
        return program(joined)

    def part(self, why: str) -> bool:
        """Go back to single paths, and join no more; returns whether paths were joined."""
        was_joined = self.is_joined
        if was_joined:
            self.codes, self.is_joined = self._alone, False
        self.why_apart, self._joined = why, None
        return was_joined
