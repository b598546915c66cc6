"""Code for loops whose iterations depend on each other: one iteration after another, in registers."""

from __future__ import annotations

import numpy as np

from probad.codegen.places import Place
from probad.ir.graph import CARRIED, COLUMN, ELEMENT, FIXED, LAST, SLOT


def emit(program, loop: int) -> None:
    """Write a loop of the graph.

    Parameters
    ----------
    program : Program
    loop : int
        Its node.
    """
    Recurrence(program, loop).emit()


class Recurrence:
    """The code of one loop."""

    def __init__(self, program, loop: int):
        self.program, self.fn, self.graph = program, program.fn, program.graph
        self.args = self.graph.args[loop]
        self.body, self.n = self.graph.params[loop]["body"], self.graph.params[loop]["n"]
        readers = [
            (self.graph.ops[node], self.graph.params[node]["slot"], node)
            for node in range(loop + 1, len(self.graph))
            if self.graph.ops[node] in (LAST, COLUMN) and self.graph.args[node] == (loop,)
        ]
        self.columns = [(slot, program.schedule.places[node]) for op, slot, node in readers if op == COLUMN]
        self.last = [(slot, node) for op, slot, node in readers if op == LAST]

    def emit(self) -> None:
        """Write the loop."""
        fn, program, body = self.fn, self.program, self.body
        self.fixed = {k: program.scalar(self.args[k]) for k in self.used(FIXED)}
        self.places = {k: program.schedule.place(self.args[k]) for k in self.used(ELEMENT)}
        for place in self.places.values():
            program.address(place.buffer)
        carried = [fn.alloca(1) for _ in body.carries]
        last = {node: fn.alloca(1) for _, node in self.last}
        for carry, register in zip(body.carries, carried, strict=True):
            fn.store(program.number(program.scalar(self.args[carry.start])), register)
        with fn.loop(0, self.n, 1) as loop:
            self.index = loop.index if not body.reverse else loop.index * -1
            self.carried = [fn.load(register) for register in carried]
            self.elements: dict[int, object] = {}
            self.slots: list = []
            for op, operands in zip(body.ops, body.args, strict=True):
                values = [self.operand(x) for x in operands]
                self.slots.append(program.operation(op, values, {}, inline=True))
            for slot, place in self.columns:
                known, computed = self.position(place)
                program.store(place.buffer, known, computed, program.number(self.slots[slot]))
            for slot, node in self.last:
                fn.store(program.number(self.slots[slot]), last[node])
            following = [program.number(self.operand(carry.next)) for carry in body.carries]
            for value, register in zip(following, carried, strict=True):
                fn.store(value, register)
        for _, node in self.last:
            value = fn.load(last[node])
            is_condition = np.asarray(self.graph.value(node)).dtype.kind == "b"
            program.set_scalar(node, value.ne(fn.constant(0.0)) if is_condition else value)

    def used(self, kind: str) -> list[int]:
        """The arguments that the body reads in a way, in order."""
        operands = [x for args in self.body.args for x in args] + [c.next for c in self.body.carries]
        return sorted({k for what, k in operands if what == kind})

    def operand(self, operand):
        """The value of an operand in the present iteration."""
        kind, k = operand
        if kind == SLOT:
            return self.slots[k]
        if kind == CARRIED:
            return self.carried[k]
        if kind == FIXED:
            return self.fixed[k]
        if k not in self.elements:
            place = self.places[k]
            known, computed = self.position(place)
            value = self.program.load(place.buffer, known, computed)
            is_condition = np.asarray(self.graph.value(self.args[k])).dtype.kind == "b"
            self.elements[k] = value.ne(self.fn.constant(0.0)) if is_condition else value
        return self.elements[k]

    def position(self, place: Place):
        """The known and the computed part of where the element of the present iteration is."""
        known = place.offset + ((self.n - 1) * place.strides[0] if self.body.reverse else 0)
        stride = place.strides[0]
        return known, (self.index if stride == 1 else self.index * stride) if stride else None
