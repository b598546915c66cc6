"""Programs for other processors: the same results without AVX2 and FMA, and code for another kind altogether."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from benchmarks import gradients
from probad.codegen import llvm
from probad.codegen.compiled import Trace
from probad.ir.capture import capture
from probad.ir.passes import prepare, prepare_gradient

CASES = {
    "eight schools": gradients.eight_schools,
    "groups": gradients.radon,
    "logistic": lambda: gradients.logistic(200, 5)[:2],
    "loop": lambda: gradients.stochastic_volatility(60),
    "matrix": lambda: gradients.gaussian_process(12),
}


def run(graph, z):
    trace = Trace.of(graph, apart=True)
    context = trace.context()
    value, grad = np.empty(1), np.empty(len(z))
    assert context.run(z.ctypes.data, value.ctypes.data, grad.ctypes.data) == 0
    return value[0], grad


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of another kind")
@pytest.mark.parametrize("name", CASES)
def test_results_do_not_depend_on_the_processor(name, monkeypatch):
    fn, z = CASES[name]()
    graph = prepare_gradient(prepare(capture(fn, z)[0]))
    value, grad = run(graph, z)
    for processor in ("x86-64", "x86-64-v2", "x86-64-v3"):
        monkeypatch.setenv("PROBAD_CPU", processor)
        other, other_grad = run(graph, z)
        np.testing.assert_allclose(other, value, rtol=1e-12)
        np.testing.assert_allclose(other_grad, grad, rtol=1e-12, atol=1e-12 * (1 + np.max(np.abs(grad))))


@pytest.mark.parametrize("name", CASES)
def test_code_for_aarch64(name):
    fn, z = CASES[name]()
    text = Trace.of(prepare_gradient(prepare(capture(fn, z)[0])), apart=True).text.text
    target = llvm.Target("aarch64-unknown-linux-gnu", "generic", "")
    try:
        assembly = llvm.assembly(text, target=target)
    except llvm.CompileError as error:
        pytest.skip(f"this build of LLVM knows one kind of processor only: {error}")
    assert "fmla" in assembly or "fmul" in assembly
