"""When compiled code is compared with the tape: closely at first, then for a small part of the time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

FIRST = 3  # comparisons of a new program that are made whatever they cost
SHARE = 0.05  # of the time that passes may go into those after them


class Comparisons:
    """The comparisons of a program with the tape, which all its threads make together."""

    def __init__(self):
        self.begin()

    def begin(self) -> None:
        """The program is new: look closely."""
        self._n, self._due_at = 0, -math.inf

    @property
    def is_close(self) -> bool:
        """Whether the program is so new that each call is compared."""
        return self._n < FIRST

    @property
    def is_due(self) -> bool:
        """Whether there is time for one."""
        return self.is_close or time.perf_counter() >= self._due_at

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Make one, of which the cost tells when the next is due."""
        self._due_at = math.inf  # other threads need none meanwhile, unless the program is new
        start = time.thread_time()
        try:
            yield
        finally:
            self._n += 1
            self._due_at = time.perf_counter() + (time.thread_time() - start) / SHARE
