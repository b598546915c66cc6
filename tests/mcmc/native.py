"""A log density in machine code, for tests of the call by address: a standard normal, by hand in LLVM text."""

from __future__ import annotations

import ctypes

import numpy as np

from probad.codegen.llvm import compile_module
from probad.density import LogDensity

# %ctx points to two integers: the dimension, and how often the density is to be computed over and over per call
TEXT = """
define i32 @normal(ptr %ctx, ptr %z, ptr %logp, ptr %grad) {
entry:
  %n = load i64, ptr %ctx
  %times_at = getelementptr i64, ptr %ctx, i64 1
  %times = load volatile i64, ptr %times_at
  br label %again
again:
  %k = phi i64 [0, %entry], [%k1, %repeat]
  br label %loop
loop:
  %i = phi i64 [0, %again], [%i1, %loop]
  %sum = phi double [0.0, %again], [%sum1, %loop]
  %p = getelementptr double, ptr %z, i64 %i
  %q = getelementptr double, ptr %grad, i64 %i
  %x = load double, ptr %p
  %g = fneg double %x
  store volatile double %g, ptr %q
  %square = fmul double %x, %x
  %sum1 = fadd double %sum, %square
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %n
  br i1 %more, label %loop, label %repeat
repeat:
  %k1 = add i64 %k, 1
  %once_more = icmp ult i64 %k1, %times
  br i1 %once_more, label %again, label %done
done:
  %half = fmul double %sum1, -0.5
  store double %half, ptr %logp
  %outside = fcmp oge double %sum1, 1.0e6
  %status = zext i1 %outside to i32
  ret i32 %status
}
"""


class NativeNormal(LogDensity):
    """A standard normal at an address; its context is its own in every fork."""

    def __init__(self, dim: int, times: int = 1):
        super().__init__(dim)
        self.native = compile_module(TEXT)
        self.address = self.native.address("normal")
        self.times = times
        self.own = np.array([dim, times])
        self.ctx = self.own.ctypes.data

    def fork(self):
        return NativeNormal(self.dim, self.times)

    def evaluate(self, ctx, position, logp_out, grad_out):
        function = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)(self.address)
        return function(ctx, *(a.ctypes.data for a in (position, logp_out, grad_out)))

    def logp_and_grad(self, z):
        z, logp, grad = np.array(z, dtype=float), np.empty(1), np.empty(self.dim)
        self.evaluate(self.ctx, z, logp, grad)
        return float(logp[0]), grad
