"""The order of the passes: from what was captured to what code is made of."""

from __future__ import annotations

from probad.ir.adjoint import adjoint
from probad.ir.distribute import distribute
from probad.ir.elements import resolve_elements
from probad.ir.graph import Graph
from probad.ir.powers import spell_powers
from probad.ir.reroll import reroll
from probad.ir.simplify import simplify


def prepare(graph: Graph) -> Graph:
    """A captured graph with its loops found and its algebra simplified."""
    return simplify(distribute(reroll(resolve_elements(spell_powers(graph)))))


def prepare_gradient(graph: Graph, *, careful: bool = False) -> Graph:
    """The graph of value and gradient of a prepared graph; `careful` as for `probad.ir.adjoint.adjoint`."""
    return simplify(distribute(adjoint(graph, careful=careful)))
