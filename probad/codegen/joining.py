"""When to join the paths of a function: after a few of them, as new ones are met, until one contradicts the others."""

from __future__ import annotations

from collections.abc import Callable

from probad.errors import CaptureError
from probad.ir.capture import explore
from probad.ir.choices import program
from probad.ir.graph import Graph
from probad.ir.join import Joined

# Paths are joined from this many on; if the program is more than a few times as much work as one path, only when there
# may be no more of them.
JOIN_FROM, DEAR = 8, 3.0
LONGEST_WAIT = 16  # new paths that are met until they are joined to the others


class Joining:
    """The paths of one function, and whether they are joined.

    Parameters
    ----------
    fn : callable

    Attributes
    ----------
    is_joined : bool
        Whether code for all paths together is in use; the caller says so.
    why_apart : str
        Why paths are not joined any more; empty if they may be.
    """

    def __init__(self, fn: Callable):
        self._fn = fn
        self.is_joined, self.why_apart = False, ""
        self._points: list[tuple] = []
        self._joined: Joined | None = None
        self._n_missed, self._wait = 0, LONGEST_WAIT // 2

    def meet(self, args: tuple, *, has_room: bool) -> Graph | bool:
        """What to do about a path that no code takes yet.

        Parameters
        ----------
        args : tuple
            Where the function takes it.
        has_room : bool
            Whether there may be one more path alone.

        Returns
        -------
        Graph or bool
            The program of all paths so far, to be compiled; True if this path is to be compiled alone; False if
            neither.
        """
        if not self.why_apart and len(self._points) >= JOIN_FROM:
            try:
                return self._join(args, has_room)
            except CaptureError as error:
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
        """Join no more; returns whether code for all paths together was in use."""
        was_joined, self.is_joined = self.is_joined, False
        self.why_apart, self._joined = why, None
        return was_joined
