"""The survey's tables and its graph, printed; and what the table says of arrays, constants and nests."""

from __future__ import annotations

import numpy as np
import pytest

from probad.ad import grad, graph, jvp, trace_table
from probad.errors import ArgumentError


def _survey(x1, x2):
    """Y = ln x1 + x1 x2 - sin x2 in the order of the survey's Tables 2 and 3."""
    v1, v2, v3 = np.log(x1), x1 * x2, np.sin(x2)
    v4 = v1 + v2
    return v4 - v3


def test_tables_2_and_3():
    """All values, tangents (along x1) and adjoints of the survey, to the three digits it prints."""
    table = trace_table(_survey, 2.0, 5.0)
    expected = {
        "v-1": (2, 1, 5.5), "v0": (5, 0, 1.716), "v1": (0.693, 0.5, 1), "v2": (10, 5, 1), "v3": (-0.959, 0, -1),
        "v4": (10.693, 5.5, 1), "v5": (11.652, 5.5, 1),
    }  # fmt: skip
    assert [row.name for row in table.rows] == list(expected)
    for name, (value, tangent, adjoint) in expected.items():
        row = table[name]
        assert (row.value, row.tangent, row.adjoint) == pytest.approx((value, tangent, adjoint), abs=5e-4)
    assert table.outputs == ["v5"]
    assert len(table) == 7


TABLE = """
variable           value  tangent  adjoint
------------------------------------------
v-1 = x1               2        1      5.5
v0 = x2                5        0  1.71634
v1 = log(v-1)   0.693147      0.5        1
v2 = v-1 * v0         10        5        1
v3 = sin(v0)   -0.958924        0       -1
v4 = v1 + v2     10.6931      5.5        1
v5 = v4 - v3     11.6521      5.5        1
output: v5
"""


def test_the_table_prints():
    assert str(trace_table(_survey, 2.0, 5.0)) == TABLE.strip()


def test_figure_4_the_graph():
    """The edges of the survey's Figure 4, in both languages."""
    edges = {(0, 2), (0, 3), (1, 3), (1, 4), (2, 5), (3, 5), (5, 6), (4, 6)}
    dot = graph(_survey, 2.0, 5.0)
    assert dot.startswith("digraph f {")
    assert {line.strip() for line in dot.splitlines() if "->" in line} == {f"n{a} -> n{b};" for a, b in edges} | {
        "n6 -> f;"
    }
    assert 'n0 [label="v-1 = x1", shape=box];' in dot
    mermaid = graph(_survey, 2.0, 5.0, format="mermaid")
    assert {line.strip() for line in mermaid.splitlines() if "-->" in line} == {f"n{a} --> n{b}" for a, b in edges} | {
        'n6 --> f(["f"])'
    }
    with pytest.raises(ArgumentError, match="mermaid"):
        graph(_survey, 2.0, 5.0, format="png")


def test_another_direction():
    table = trace_table(_survey, 2.0, 5.0, direction=(0.0, 1.0))
    assert table["v5"].tangent == pytest.approx(2.0 - np.cos(5.0))
    with pytest.raises(ArgumentError, match="directions"):
        trace_table(_survey, 2.0, 5.0, direction=(1.0,))


def test_arrays_nests_indices_and_constants():
    c = np.array([1.0, 2.0, 3.0])

    def f(p):
        s = np.sum(p["x"] * c) - p["x"][1] ** 2 + p["x"][1:, None][0, 0] / 4
        return {"s": s, "t": -p["y"], "k": 7.0}

    p = {"x": np.array([0.5, 1.5, 2.5]), "y": 2.0}
    table = trace_table(f, p)
    total = lambda p: sum(f(p).values())
    np.testing.assert_allclose(table["v-1"].adjoint, grad(total)(p)["x"])
    assert table["v0"].adjoint == -1.0
    direction = {"x": np.ones(3), "y": 0.0}
    assert table[table.outputs[0]].tangent == pytest.approx(jvp(f, (p,), (direction,))[1]["s"])
    assert table.outputs[2] == "7"
    text = str(table)
    for part in ("v-1 * [1., 2., 3.]", "sum(v1)", "v-1[1]", "v-1[1:, None]", "v3 ** 2", "/ 4", "-v0"):
        assert part in text, part


def test_what_does_not_matter_has_adjoint_zero():
    def f(x):
        np.exp(x)
        return 3.0 * x

    table = trace_table(f, 2.0)
    assert (table["v1"].operation, table["v1"].adjoint) == ("exp", 0.0)
    assert table["v2"].expression == "3 * v0"
    with pytest.raises(KeyError):
        table["v9"]
