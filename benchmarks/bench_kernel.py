"""What the samplers' own machine code costs: its compilation, and a leapfrog step outside the density.

Compilation is timed in fresh processes with a cache of their own, cold and again, in milliseconds: up to the first call
that can be made ("ready"), with the import of the compiler, and without it ("load"); "optimised" is when the fast code
is there too, which the first process on a machine makes after its result, and keeps. Steps are timed in nanoseconds
over runs of a standard normal density in machine code, whose own cost is subtracted; "nuts" has trees of its own
choice, "hmc" trajectories of 32 steps.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import probad as pb

ROOT = Path(__file__).parents[1]
N_PROCESSES = 5
N_REPEATS = 5
N_CALLS = 100_000

COMPILE = """
import json, sys, time
from probad.mcmc import NUTS, prepare
start = time.perf_counter()
import llvmlite.binding
llvmlite.binding.get_process_triple()  # loads the library, which the import leaves to the first call
imported = time.perf_counter()
kernels = prepare(NUTS(), 10)
kernels.first()
end = time.perf_counter()
for future in kernels.optimise():
    future.result()
fast = time.perf_counter()
times = {"ready": end - start, "load": end - imported, "optimised": fast - imported}
print(json.dumps({name: 1e3 * seconds for name, seconds in times.items()}))
"""

DENSITY = """
define i32 @normal(ptr %ctx, ptr noalias %z, ptr noalias %logp, ptr noalias %grad) nounwind {
entry:
  %n = ptrtoint ptr %ctx to i64
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i1, %loop]
  %sum = phi double [0.0, %entry], [%sum1, %loop]
  %p = getelementptr inbounds double, ptr %z, i64 %i
  %q = getelementptr inbounds double, ptr %grad, i64 %i
  %x = load double, ptr %p
  %g = fneg double %x
  store double %g, ptr %q
  %product = fmul double %x, %g
  %sum1 = fadd reassoc double %sum, %product
  %i1 = add nuw i64 %i, 1
  %more = icmp ult i64 %i1, %n
  br i1 %more, label %loop, label %done
done:
  %half = fmul double %sum1, 0.5
  store double %half, ptr %logp
  ret i32 0
}
define void @repeat(ptr %density, i64 %times, ptr %ctx, ptr %z, ptr %logp, ptr %grad) nounwind {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i1, %loop]
  %status = call i32 %density(ptr %ctx, ptr %z, ptr %logp, ptr %grad)
  %i1 = add nuw i64 %i, 1
  %more = icmp ult i64 %i1, %times
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


class NativeNormal(pb.LogDensity):
    """A standard normal distribution in machine code; its context is its dimension."""

    def __init__(self, dim: int, engine):
        super().__init__(dim)
        self.address, self.ctx, self.engine = engine.get_function_address("normal"), dim, engine

    def logp_and_grad(self, z):
        """Only for the starting points."""
        z = np.asarray(z, dtype=float)
        return float(-0.5 * z @ z), -z

    def nanoseconds(self) -> float:
        """Time of one evaluation."""
        arrays = np.ones(self.dim), np.ones(1), np.ones(self.dim)
        kinds = [ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 4]
        repeat = ctypes.CFUNCTYPE(None, *kinds)(self.engine.get_function_address("repeat"))
        addresses = [a.ctypes.data for a in arrays]
        times = []
        for _ in range(N_REPEATS):
            start = time.perf_counter()
            repeat(self.address, N_CALLS, self.ctx, *addresses)
            times.append(time.perf_counter() - start)
        return 1e9 * min(times) / N_CALLS


def _engine():
    """The density above as machine code, made with LLVM directly."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    features = binding.get_host_cpu_features().flatten()
    machine = binding.Target.from_default_triple().create_target_machine(opt=2, features=features)
    module = binding.parse_assembly(DENSITY)
    builder = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def cases() -> list[str]:
    """Names of the cases."""
    return ["compile, cold", "compile, again", "steps, D = 10", "steps, D = 100", "steps, D = 1000"]


def run(case: str) -> dict[str, float]:
    """Time one case."""
    kind, _, detail = case.partition(", ")
    return _compile(detail == "again") if kind == "compile" else _steps(int(detail.rpartition(" ")[2]))


def _compile(again: bool) -> dict[str, float]:
    found = []
    for _ in range(N_PROCESSES):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "PROBAD_CACHE_DIR": folder}
            for _ in range(2 if again else 1):
                out = subprocess.run(
                    [sys.executable, "-c", COMPILE],
                    cwd=ROOT,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                )
            found.append(json.loads(out.stdout))
    return {f"{key} ms": statistics.median(row[key] for row in found) for key in found[0]}


def _steps(dim: int) -> dict[str, float]:
    density = NativeNormal(dim, _engine())
    own = density.nanoseconds()
    options = {"draws": max(2000, 1_000_000 // dim), "warmup": 300, "chains": 1, "cores": 1, "seed": 1}
    figures = {"density ns": own}
    for name, sampler, more in (("nuts", pb.nuts, {}), ("hmc", pb.hmc, {"n_steps": 32})):
        times = []
        for _ in range(N_REPEATS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", pb.errors.SamplingWarning)
                post = sampler(density, **options, **more, keep_warmup=True, progress=False)
            n_steps = sum(int(post[group]["n_steps"].sum()) for group in ("sample_stats", "warmup_sample_stats"))
            times.append(1e9 * float(post["posterior"].attrs["sampling_time"]) / n_steps)
        figures[f"{name} ns"] = min(times) - own
    return figures
