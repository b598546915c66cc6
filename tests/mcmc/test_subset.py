"""Every kernel is restricted Python (contract 7), down to the last function that the loop of a chain reaches."""

from __future__ import annotations

from probad.codegen.kernel_types import Program
from probad.mcmc.kernel import run_iterations
from probad.mcmc.run import ARGUMENTS


def test_the_kernels_are_restricted_python():
    program = Program(run_iterations, ARGUMENTS)
    reached = [f.name for f in program.functions]
    transitions = {"nuts_transition", "hmc_transition", "mams_transition", "metropolis_transition"}
    transitions |= {"elliptical_transition", "riemannian_transition", "manifold_mala_transition"}
    assert transitions | {"leapfrog", "next_integer", "renew_metric", "orthogonalise_rows"} <= set(reached)
    assert not [name for name in reached if "." in name], "a kernel is called with two sets of types"
    assert set(program.intrinsics) == {"evaluate", "evaluate_geometry", "wrap", "shift_right", "rotate_left"}
