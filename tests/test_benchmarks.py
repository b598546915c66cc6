"""Every benchmark has the form that the runner expects."""

from __future__ import annotations

import importlib

import pytest

from benchmarks import run


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
