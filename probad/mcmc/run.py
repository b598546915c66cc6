"""Two ways to run the kernels of a chain, with the same draws to the last bit: compiled, or in Python.

Compiled kernels work on the arrays of the workspace and call the density at its address, or through a C function around
`LogDensity.evaluate` if it has none. Without a compiler, or with ``PROBAD_COMPILE=0``, Python runs the same source on
lists.
"""

from __future__ import annotations

import ctypes
import os
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from probad.codegen.kernel import Kernel, Stages, compile_in_stages
from probad.errors import CompileError, ProbadWarning
from probad.mcmc.estimates import note_moments
from probad.mcmc.geometry import Geometry, PythonGeometry
from probad.mcmc.intrinsics import PythonDensity
from probad.mcmc.kernel import run_iterations
from probad.mcmc.low_rank import add_direction, add_projected_moments, find_subspace, refine_scale, take_row
from probad.mcmc.metrics import add_directions, add_eight, drift, kick, whiten_gradient
from probad.mcmc.microcanonical import turn
from probad.mcmc.random import fill_normal, next_integer, uniform
from probad.mcmc.rows import add_row, along_sum, copy_row, inner_product
from probad.mcmc.settings import Algorithm
from probad.mcmc.trajectory import add_leaf
from probad.mcmc.workspace import ALGORITHM, DENSE, FAILED, FORM, ITERATION, STATISTICS, STOP, Workspace

ARGUMENTS = (
    "opaque", "opaque",
    "floats", "floats", "ints", "words", "ints", "floats", "floats", "floats", "floats", "floats",
    "int", "int",
)  # fmt: skip
# Numbers of a diagonal or a dense metric. With more, loops over them take the time, and gain up to seven times by
# optimisation.
LARGE, LARGE_DENSE = 128, 600
# What runs at each step, over all coordinates, and for each draw of a window when the metric is renewed.
INNER = (
    copy_row, add_row, inner_product, along_sum, kick, drift, whiten_gradient, add_eight, add_directions, add_leaf,
    fill_normal, next_integer, uniform, turn,
    note_moments, take_row, find_subspace, add_projected_moments, add_direction, refine_scale,
)  # fmt: skip
# Seconds that code which is not optimised, or in its innermost loops alone, loses at each step: always, and per number.
LOST, LOST_WITH_INNER = (3.5e-7, 2e-8), (1e-7, 1e-9)
C_DENSITY = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)  # the contract of `LogDensity.address`


class Kernels:
    """The machine code of a sampler: `run_iterations` for each algorithm that its chains may run, with that alone.

    Parameters
    ----------
    codes : sequence of int
        Values of `workspace.ALGORITHM`.
    large : bool
        Whether loops over coordinates take the time, so that code in which they are optimised is worth waiting for.
    """

    def __init__(self, codes: Sequence[int], *, large: bool):
        options = {"inner": INNER, "inner_first": large}
        self._stages = {
            code: compile_in_stages(run_iterations, *ARGUMENTS, fixed={("counts", ALGORITHM): code}, **options)
            for code in codes
        }

    def __getitem__(self, code: int) -> Stages:
        """The stages of the kernel of an algorithm, by the value of `workspace.ALGORITHM`."""
        return self._stages[code]

    def first(self) -> Kernel:
        """The kernel that chains begin with; waits until it is compiled."""
        return next(iter(self._stages.values())).kernel()

    def failure(self) -> Exception | None:
        """Why there is no kernel to begin with, if there is none; waits until that is known."""
        try:
            self.first()
        except (ImportError, OSError, CompileError) as error:
            return error
        return None

    @property
    def ready_at(self) -> float:
        """When that was there, by `time.perf_counter`."""
        return next(iter(self._stages.values())).ready_at

    def optimise(self) -> list[Future]:
        """Begin to optimise, and to keep on disk for later processes, whatever has run; futures of the kernels."""
        return [stages.optimise() for stages in self._stages.values() if stages.is_used]


def prepare(algorithm: Algorithm, dim: int) -> Kernels | None:
    """Begin to compile the kernels of a sampler in threads; None if everything is to run in Python.

    Worth calling before anything slow that has to be done anyway, such as compiling a density: the first time on a
    machine it takes half a second, and some milliseconds from then on.
    """
    if os.environ.get("PROBAD_COMPILE") == "0":
        return None
    return Kernels((algorithm.code, *algorithm.codes), large=is_large(dim, algorithm.begins_dense(dim)))


def is_large(dim: int, is_dense: bool) -> bool:
    """Whether loops over the coordinates take most of the time of a step."""
    return dim**2 > LARGE_DENSE if is_dense else dim > LARGE


def compiled_kernels(kernels: Kernels | None) -> Kernels | None:
    """What `prepare` began, once it can be run; None, with a warning that says why, if no compiler works."""
    if kernels is None or (error := kernels.failure()) is None:
        return kernels
    warnings.warn(
        f"The samplers run in Python, some hundred times slower than compiled: {error}", ProbadWarning, stacklevel=2
    )
    return None


class CompiledRun:
    """The kernels as machine code, on the arrays of a workspace.

    Parameters
    ----------
    kernels : Kernels
    density : LogDensity
    space : Workspace
    """

    n_first = 8  # iterations of a first call, which tells how many there is time for; others see how far it has come

    def __init__(self, kernels: Kernels, density, space: Workspace):
        self._space, self._kernels, self._dim = space, kernels, space.rows.shape[1]
        self._callback = None if density.address else _callback(density, space)
        address = density.address or ctypes.cast(self._callback, ctypes.c_void_p).value
        self._before = (address, density.ctx, *(a.ctypes.data for a in space.arrays()))
        self._is_geometry = isinstance(density, Geometry)

    @property
    def done(self) -> int:
        """Number of complete iterations."""
        return int(self._space.counts[ITERATION])

    def advance(self, n: int) -> int:
        """Run up to `n` iterations; a status of `run_iterations`."""
        stages, before = self._kernels[int(self._space.counts[ALGORITHM])], self.done
        if is_large(self._dim, self._is_dense):
            stages.optimise_inner()
        kernel = stages.kernel()
        start = time.perf_counter()
        status = kernel(*self._before, n, self._dim)
        stages.charge(self._lost(before, time.perf_counter() - start))
        return status

    @property
    def _is_dense(self) -> bool:
        """Whether the metric is a matrix by now."""
        return self._space.counts[FORM] == DENSE

    def _lost(self, before: int, seconds: float) -> float:
        """About how many of the seconds of the last iterations optimised code would have saved."""
        if self._is_geometry:
            return 0.5 * seconds  # matrices take most of them
        n_steps = self._space.statistics[before : self.done, STATISTICS.index("n_steps")].sum()
        n_numbers = self._dim**2 if self._is_dense else self._dim
        per_step, per_number = LOST_WITH_INNER if is_large(self._dim, self._is_dense) else LOST
        return n_steps * (per_step + per_number * n_numbers)

    def stop(self) -> None:
        """End the present iteration early; for other threads."""
        self._space.counts[STOP] = 1

    def close(self) -> None:
        """Nothing: the arrays are those of the workspace."""


class PythonRun:
    """The kernels as Python functions, on lists that hold the numbers of a workspace; see `CompiledRun`."""

    n_first = 1

    def __init__(self, density, space: Workspace):
        self._space, self._memory = space, space.to_lists()
        if isinstance(density, Geometry):
            self._address, self._ctx = PythonGeometry(density), 0
        else:
            self._address, self._ctx = PythonDensity(density.evaluate, density.dim), density.ctx
        self._counts = self._memory[2]

    @property
    def done(self) -> int:
        """Number of complete iterations."""
        return self._counts[ITERATION]

    def advance(self, n: int) -> int:
        """Run up to `n` iterations; a status of `run_iterations`."""
        return run_iterations(self._address, self._ctx, *self._memory, n, self._address.dim)

    def stop(self) -> None:
        """End the present iteration early; for other threads."""
        self._counts[STOP] = 1

    def close(self) -> None:
        """Bring the numbers back to the workspace."""
        self._space.take_back(*self._memory)


def _callback(density, space: Workspace):
    """A C function around ``density.evaluate``; an exception is kept in ``density.failure``.

    Kernels hand out places in the workspace only, so that a view of each is made once.
    """
    rows = {space.rows.ctypes.data + k * space.rows.strides[0]: row for k, row in enumerate(space.rows)}
    scalars = {space.scalars.ctypes.data + 8 * k: space.scalars[k : k + 1] for k in range(len(space.scalars))}
    position = np.empty(space.rows.shape[1])  # of its own: the density may write to it

    def call(_, position_address, logp_address, gradient_address) -> int:
        try:
            position[:] = rows[position_address]
            return int(density.evaluate(density.ctx, position, scalars[logp_address], rows[gradient_address]))
        except BaseException as error:  # anything that leaves here would be lost in C
            density.failure = error
            return FAILED

    return C_DENSITY(call)
