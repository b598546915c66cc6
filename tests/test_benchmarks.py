"""Every benchmark has the form that the runner expects."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from benchmarks import bench_ad_vs_fd, figures, run
from probad.codegen.difference_kernels import N_WORK, difference_gradient, extrapolated_gradient
from probad.codegen.differences import formula


@pytest.mark.parametrize("name", run.names())
def test_a_benchmark_keeps_its_form(name):
    benchmark = importlib.import_module(f"benchmarks.bench_{name}")
    assert benchmark.__doc__.strip()
    assert benchmark.cases()
    assert callable(benchmark.run)


def test_the_table_has_a_row_per_case_and_a_column_per_figure():
    lines = run.table({"a": {"seconds": 1.5}, "b": {"seconds": 20.25, "steps": 3}}).splitlines()
    assert [line.split() for line in lines] == [
        ["case", "seconds", "steps"],
        ["a", "1.5", "-"],
        ["b", "20.25", "3"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_an_unknown_benchmark_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run", "nonsense"])
    with pytest.raises(SystemExit):
        run.main()
    assert "there is no benchmark nonsense" in capsys.readouterr().err


def test_some_cases_can_be_chosen(monkeypatch, capsys, tmp_path):
    benchmark = importlib.import_module("benchmarks.bench_start")
    monkeypatch.setattr(benchmark, "cases", lambda: ["one", "two", "three"])
    monkeypatch.setattr(benchmark, "run", lambda case: {"length": len(case)})
    monkeypatch.setattr("sys.argv", ["run", "start", "--only", "tw", "--only", "re", "--json", str(tmp_path / "out")])
    run.main()
    assert json.loads((tmp_path / "out").read_text()) == {"start": {"two": {"length": 3}, "three": {"length": 5}}}
    assert "one" not in capsys.readouterr().out.split("\n", 2)[2]


@pytest.mark.parametrize("method", ["forward-difference", "central", "five-point", "richardson"])
def test_evaluations_are_as_many_as_the_benchmark_counts(method):
    n, calls = 3, []

    def address(ctx, position, out, place):
        calls.append(1)
        out[place] = -sum(x * x for x in position)
        return 0

    kernel = extrapolated_gradient if method == "richardson" else difference_gradient
    numbers, n_points = formula(method, None)
    arrays = [0.1, 0.2, 0.3], [0.0], [0.0] * n, [0.0] * n, numbers.tolist(), [0.0] * N_WORK
    kernel(address, 0, *arrays, n_points, n)
    assert len(calls) == bench_ad_vs_fd.n_evaluations(method, n)


def test_a_case_tells_model_dimension_method_and_step():
    by_dimension, by_step = bench_ad_vs_fd.cases()[0], bench_ad_vs_fd.cases()[-1]
    assert bench_ad_vs_fd._parse(by_dimension) == ("gauss", 2, "reverse", None)
    assert bench_ad_vs_fd._parse(by_step) == ("funnel", 10, "five-point", 1.0)


@pytest.mark.parametrize("model", bench_ad_vs_fd.MODELS)
def test_models_for_differences_take_complex_numbers(model):
    logp, draw = bench_ad_vs_fd.MODELS[model](4)
    z = draw(np.random.default_rng(0))
    assert np.isfinite(logp(z))
    assert logp(z + 0j) == pytest.approx(logp(z), rel=1e-12)


def test_differences_are_measured_and_plotted(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    monkeypatch.setitem(bench_ad_vs_fd.SECONDS, 2, 0.1)
    cases = ["gauss 2, reverse", "gauss 2, central", "gauss 10, central, 1e-02"]
    rows = {case: bench_ad_vs_fd.run(case) for case in cases}
    assert rows[cases[0]]["error"] < 1e-14
    assert rows[cases[1]]["error"] < 1e-8
    assert all(row["ESS / s"] > 0 for row in rows.values())
    bench_ad_vs_fd.conclude(rows)
    assert json.loads((tmp_path / "ad_vs_fd.json").read_text()) == rows
    assert len(list(tmp_path.glob("*.png"))) == 8
