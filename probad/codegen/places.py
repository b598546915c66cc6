"""Where arrays live in memory: buffers, and the strided windows on them that NumPy calls views."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

# Kinds of buffers: arguments and results of the function, constant data, working memory.
ARGUMENT, RESULT, DATA, WORK = "argument", "result", "data", "work"
LANES = 4


@dataclass(eq=False)
class Buffer:
    """A run of doubles.

    Attributes
    ----------
    kind : str
    size : int
        Elements.
    data : (size,) array or None
        What is in it, for constants.
    """

    kind: str
    size: int
    data: np.ndarray | None = field(default=None, repr=False)

    @property
    def padded(self) -> int:
        """Elements set aside: whole vectors may be read at the end."""
        return -(-self.size // LANES) * LANES + LANES


@dataclass(frozen=True)
class Place:
    """A window on a buffer: element (i, j, ...) is at ``offset + i * strides[0] + j * strides[1] + ...``."""

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @classmethod
    def whole(cls, buffer: Buffer, shape: tuple[int, ...]) -> Place:
        """A buffer as an array in C order."""
        return cls(buffer, shape, row_major(shape))

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements follow each other in C order."""
        return all(n == 1 or s == r for n, s, r in zip(self.shape, self.strides, row_major(self.shape), strict=True))

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def index(self, index) -> Place:
        """What NumPy's basic indexing selects."""
        # NumPy itself says so, of an array of the same geometry that has no memory of its own and is never read
        ghost = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), self.shape, self.strides)
        index = _tuple(index)
        chosen = ghost[index if Ellipsis in index else (*index, Ellipsis)]
        offset = chosen.__array_interface__["data"][0] - ghost.__array_interface__["data"][0] if chosen.size else 0
        return replace(self, shape=chosen.shape, strides=chosen.strides, offset=self.offset + offset)

    def transpose(self, axes) -> Place:
        """The axes in another order; None reverses them."""
        order = range(len(self.shape))[::-1] if axes is None else [a % len(self.shape) for a in axes]
        return replace(self, shape=tuple(self.shape[a] for a in order), strides=tuple(self.strides[a] for a in order))

    def flip(self, axis) -> Place:
        """The elements backwards along some axes."""
        axes = range(len(self.shape)) if axis is None else _tuple(axis)
        strides, offset = list(self.strides), self.offset
        for a in {a % len(self.shape) for a in axes}:
            offset += (self.shape[a] - 1) * strides[a]
            strides[a] = -strides[a]
        return replace(self, strides=tuple(strides), offset=offset)

    def broadcast_to(self, shape: tuple[int, ...]) -> Place:
        """The same elements again along new axes and those of length 1."""
        extra = len(shape) - len(self.shape)
        strides = [0] * extra + [
            s if n == m else 0 for n, m, s in zip(self.shape, shape[extra:], self.strides, strict=True)
        ]
        return replace(self, shape=tuple(shape), strides=tuple(strides))

    def reshape(self, shape: tuple[int, ...]) -> Place | None:
        """The elements in another shape, or None if that needs a copy."""
        if self.is_contiguous:
            return replace(self, shape=shape, strides=row_major(shape))
        longer = [(n, s) for n, s in zip(self.shape, self.strides, strict=True) if n != 1]
        if [n for n, _ in longer] == [n for n in shape if n != 1]:  # only axes of length 1 come or go
            rest = iter(longer)
            return replace(self, shape=shape, strides=tuple(0 if n == 1 else next(rest)[1] for n in shape))
        return None


@dataclass(frozen=True)
class Point:
    """Where a pass stands: for each axis a known part and, in a loop, a computed part of the index."""

    known: tuple[int, ...]
    computed: tuple  # of values, None where there is no loop

    def offset(self, place: Place):
        """The known and the computed part of the position of an element in its buffer."""
        known = place.offset + sum(k * s for k, s in zip(self.known, place.strides, strict=True))
        total = None
        for index, stride in zip(self.computed, place.strides, strict=True):
            if index is not None and stride:
                part = index if stride == 1 else index * stride
                total = part if total is None else total + part
        return known, total


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in C order, in elements."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def _tuple(x) -> tuple:
    return x if type(x) is tuple else (x,)


def aligned(n: int) -> np.ndarray:
    """Memory for n doubles that begins at a multiple of 64 bytes, and shares no such piece with anything else."""
    raw = np.empty(n + 16)
    start = (-raw.ctypes.data % 64) // 8
    return raw[start : start + n]
