"""Time a compiled log density in a loop of machine code, as a sampler calls it."""

from __future__ import annotations

import ctypes
import functools
import time

import numpy as np

TEXT = """
define void @repeat(i64 %n, ptr %f, ptr %ctx, ptr %z, ptr %value, ptr %grad) {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %head ]
  %status = call i32 %f(ptr %ctx, ptr %z, ptr %value, ptr %grad)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %head, label %done
done:
  ret void
}
"""


@functools.cache
def _loop():
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(opt=1)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(TEXT), machine)
    engine.finalize_object()
    kinds = [ctypes.c_int64, *[ctypes.c_void_p] * 5]
    return ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address("repeat")), engine


def seconds_per_call(density, z, *, at_least: float = 0.05, repeats: int = 7) -> float:
    """Least seconds of one value and gradient over some repeats."""
    z = np.ascontiguousarray(z, dtype=float)
    seconds(density, z, 10)  # the first calls are compared with the tape
    n, spent = 1, 0.0
    while spent < at_least / 4:
        n *= 2
        spent = seconds(density, z, n)
    n = max(1, int(n * at_least / 4 / spent))
    return min(seconds(density, z, n) for _ in range(repeats)) / n


def seconds(density, z: np.ndarray, n: int) -> float:
    """Seconds of `n` values and gradients at one point, during which other threads can run."""
    repeat, _ = _loop()
    value, grad = np.empty(1), np.empty(len(z))
    arguments = (density.address, density.ctx, z.ctypes.data, value.ctypes.data, grad.ctypes.data)
    start = time.perf_counter()
    repeat(n, *arguments)
    return time.perf_counter() - start
