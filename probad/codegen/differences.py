"""Log densities whose gradient is differences of compiled values, behind one address as any other.

The value is compiled without its gradient (`probad.codegen.compiled`), the loop over the coordinates is a kernel
(`probad.codegen.difference_kernels`), and a short function of the contract's form unpacks what the kernel needs.
"""

from __future__ import annotations

import threading

import numpy as np

from probad.ad.checks import RATIO
from probad.ad.derivative import DIFFERENCES, LEVELS
from probad.codegen.compiled import CompiledDensity, Worker
from probad.codegen.difference_kernels import N_WORK, difference_gradient, extrapolated_gradient
from probad.codegen.dispatch import SIGNATURE
from probad.codegen.kernel import compile_kernel
from probad.codegen.llvm import Native, compile_module
from probad.codegen.places import aligned

ARGUMENTS = ("opaque", "opaque", "floats", "floats", "floats", "floats", "floats", "floats", "int", "int")
KERNEL, ADDRESS, CTX, MOVED, NUMBERS, WORK, N_POINTS, DIM = range(8)  # places in the table of a worker

TEXT = f"""
define i32 @differences(ptr %table, ptr %z, ptr %value, ptr %result) {{
  %kernel = load ptr, ptr %table
  %p_address = getelementptr i64, ptr %table, i64 {ADDRESS}
  %address = load i64, ptr %p_address
  %p_context = getelementptr i64, ptr %table, i64 {CTX}
  %context = load i64, ptr %p_context
  %p_moved = getelementptr i64, ptr %table, i64 {MOVED}
  %moved = load ptr, ptr %p_moved
  %p_numbers = getelementptr i64, ptr %table, i64 {NUMBERS}
  %numbers = load ptr, ptr %p_numbers
  %p_work = getelementptr i64, ptr %table, i64 {WORK}
  %work = load ptr, ptr %p_work
  %p_n = getelementptr i64, ptr %table, i64 {N_POINTS}
  %n = load i64, ptr %p_n
  %p_dim = getelementptr i64, ptr %table, i64 {DIM}
  %dim = load i64, ptr %p_dim
  %wide = call i64 %kernel(i64 %address, i64 %context, ptr %z, ptr %value, ptr %result, ptr %moved, ptr %numbers,
                           ptr %work, i64 %n, i64 %dim)
  %status = trunc i64 %wide to i32
  ret i32 %status
}}
"""

_native: list[Native] = []
_lock = threading.Lock()


def entry() -> int:
    """The address of the function that unpacks a worker's table, the same for all."""
    with _lock:
        if not _native:
            _native.append(compile_module(TEXT))
        return _native[0].address("differences")


def formula(method: str, step: float | None) -> tuple[np.ndarray, int]:
    """The numbers that the kernel of a method reads, and how many points or levels it has."""
    if method == "richardson":
        levels = [RATIO**k for k in range(LEVELS)]
        powers = [RATIO ** (2 * (k + 1)) for k in range(LEVELS)]
        return np.array([step or 0.0, 0.0, *levels, *powers]), LEVELS
    difference = DIFFERENCES[method]
    numbers = [step or 0.0, difference.scale, *difference.offsets, *difference.weights]
    return np.array(numbers, dtype=float), len(difference.offsets)


class DifferenceWorker:
    """A compiled log density and its differences for one thread: an address and a context.

    Parameters
    ----------
    compiled : CompiledDensity
        Of values alone.
    method : str
        ``"richardson"`` or one of `DIFFERENCES`.
    step : float or None
        Absolute; None for one by the size of each coordinate.

    Attributes
    ----------
    address, ctx : int
    """

    def __init__(self, compiled: CompiledDensity, method: str, step: float | None):
        self._values = Worker(compiled)
        self._kernel = compile_kernel(
            extrapolated_gradient if method == "richardson" else difference_gradient, *ARGUMENTS
        )
        numbers, n_points = formula(method, step)
        # threads must not share a line of the cache
        self._moved, self._work, self._numbers = aligned(compiled.dim), aligned(N_WORK), numbers
        self._table = aligned(DIM + 1).view(np.int64)
        self._table[:] = [
            self._kernel.address,
            self._values.address,
            self._values.ctx,
            self._moved.ctypes.data,
            self._numbers.ctypes.data,
            self._work.ctypes.data,
            n_points,
            compiled.dim,
        ]
        self.address, self.ctx = entry(), self._table.ctypes.data
        self._call = SIGNATURE(self.address)

    @property
    def failure(self) -> BaseException | None:
        """The exception behind the last fatal status."""
        return self._values.failure

    @failure.setter
    def failure(self, error: BaseException | None) -> None:
        self._values.failure = error

    def logp_and_grad(self, z: np.ndarray) -> tuple[int, float, np.ndarray]:
        """Status, log density and gradient at a contiguous vector."""
        logp, grad = np.empty(1), np.empty(len(z))
        status = self._call(self.ctx, z.ctypes.data, logp.ctypes.data, grad.ctypes.data)
        return status, float(logp[0]), grad

    def verify(self, z: np.ndarray) -> None:
        """Compare code and tape at a contiguous vector; see `Worker.verify`."""
        self._values.verify(z)
