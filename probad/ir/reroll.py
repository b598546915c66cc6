"""Find the loops that a function has run through: straight-line programs that repeat themselves become loops.

A stretch of nodes repeats itself with period p if the operations at i and i - p are the same, and each operand has
moved on by the same amount from one repetition to the next. By how much says what it is: p is a value of the same
iteration or of an earlier one, 0 is the same for all, and everything else is an array that is read element by element.
Only the form of the program is looked at, never the values.
"""

from __future__ import annotations

import numpy as np

from probad.ir.graph import CARRIED, COLUMN, ELEMENT, FIXED, LAST, LOOP, SLOT, Body, Carry, Graph, Guard
from probad.ir.regions import FEWEST, Region, find_regions, form, start_of
from probad.ir.sequence import ARRAY, CONSTANT, Sequence, flatten

SHORT = 4  # elements: fewer are put into an array one by one


def reroll(graph: Graph) -> Graph:
    """The same program with its repetitions written as loops.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Graph
        Without nodes that nothing needs. For each `loop` node, ``params["seen"]`` is the (n, slots) array of the
        values that were seen.
    """
    sequence = flatten(graph)
    regions = find_regions(sequence, len(graph))
    return Rewriter(graph, sequence, regions).run()


# --- the new graph ----------------------------------------------------------------------------------------------------
class Rewriter:
    """The graph with loops, written from the old one."""

    def __init__(self, graph: Graph, sequence: Sequence, regions: list[Region]):
        self.old, self.sequence, self.regions = graph, sequence, regions
        self.new = Graph(constants=list(graph.constants), _places=dict(graph._places))
        self.number = [0] * len(sequence.node)  # in the new graph, of nodes outside the loops
        self.loops: list[int] = [0] * len(regions)
        self.loop_of = np.full(len(sequence.node), -1)
        for k, region in enumerate(regions):
            self.loop_of[region.start : region.end] = k
        periods = [region.period for region in regions]
        self.first_column = len(graph) + np.cumsum([0, *periods])  # the arrays that stand for slots
        self.made: dict[tuple, int] = {}

    def run(self) -> Graph:
        """Write everything."""
        at, n = 0, len(self.sequence.node)
        order = iter([*sorted(range(len(self.regions)), key=lambda k: self.regions[k].start), None])
        while True:
            k = next(order)
            end = n if k is None else self.regions[k].start
            for position in range(at, end):
                self.straight(position)
            if k is None:
                break
            self.loop(k)
            at = self.regions[k].end
        new = self.new
        new.inputs = [self.operand(node) for node in self.old.inputs]
        new.outputs = [self.operand(node) for node in self.old.outputs]
        self.guards()
        return new

    # --- values of the old graph in the new one -----------------------------------------------------------------------
    def add(self, op: str, args: tuple, params: dict, value, key: tuple) -> int:
        """A node that is made once."""
        if key not in self.made:
            self.made[key] = self.new.add(op, args, params, value)
        return self.made[key]

    def operand(self, number: int) -> int:
        """Any value of the old graph."""
        if number < 0:
            return number
        if self.sequence.array[number] >= 0:
            return self.element(int(self.sequence.array[number]), int(self.sequence.place[number]))
        return self.at(int(self.sequence.position[number]))

    def reference(self, kind: int, ref: int) -> int:
        """What an operand refers to."""
        if kind >= ARRAY:
            return self.element(kind - ARRAY, ref)
        return ref if kind > CONSTANT else self.at(ref)

    def at(self, position: int) -> int:
        """The value of a position."""
        k = int(self.loop_of[position])
        if k < 0:
            return self.number[position]
        iteration, slot = divmod(position - self.regions[k].start, self.regions[k].period)
        return self.element(int(self.first_column[k]) + slot, iteration)

    def slot(self, array: int) -> tuple[int, int]:
        """Which loop and slot an array stands for."""
        k = int(np.searchsorted(self.first_column, array, side="right")) - 1
        return k, array - int(self.first_column[k])

    def array(self, array: int) -> int:
        """An array of the old graph, flattened, or the column of a slot."""
        if array >= len(self.old):
            k, slot = self.slot(array)
            region, old = self.regions[k], self.old
            key = (COLUMN, array)
            if key in self.made:
                return self.made[key]
            nodes = self.sequence.node[region.start + slot : region.end : region.period]
            values = np.array([old.values[node] for node in nodes.tolist()])
            return self.add(COLUMN, (self.loops[k],), {"slot": slot}, values, key)
        number = self.at(int(self.sequence.position[array]))
        value = self.new.values[number]
        if value.ndim == 1:
            return number
        return self.add("reshape", (number,), {"shape": (value.size,)}, value.reshape(-1), ("flat", array))

    def element(self, array: int, place: int) -> int:
        """One element of an array."""
        if array >= len(self.old):
            k, slot = self.slot(array)
            region = self.regions[k]
            if place == region.n - 1:
                node = self.sequence.node[region.end - region.period + slot]
                key = (LAST, array)
                return self.add(LAST, (self.loops[k],), {"slot": slot}, self.old.values[node], key)
        number = self.array(array)
        value = self.new.values[number][place]
        return self.add("index", (number,), {"index": place}, value, ("index", number, place))

    def elements(self, array: int, places) -> int:
        """Several elements of an array, as an array: a slice where the places are in arithmetic progression."""
        if array == -2:
            return self.constants(places)
        number = self.array(array)
        value = self.new.values[number]
        n, first = len(places), int(places[0])
        step = int(places[1]) - first if n > 1 else 1
        if step == 0 or (np.diff(places) != step).any():
            index, key = np.array(places), places.tobytes()
        else:
            end = first + n * step
            index = slice(first, end if end >= 0 else None, step)
            key = (first, n, step)
            if key == (0, len(value), 1):
                return number
        return self.add("index", (number,), {"index": index}, value[index], ("index", number, key))

    # --- arrays of values from everywhere -----------------------------------------------------------------------------
    def sources(self, numbers) -> tuple[np.ndarray, np.ndarray]:
        """For values of the old graph, which array they are in (-1 for none, -2 for constants) and where."""
        nodes = np.maximum(numbers, 0)
        array = np.where(numbers < 0, -2, self.sequence.array[nodes])
        place = np.where(numbers < 0, numbers, self.sequence.place[nodes])
        rest = np.flatnonzero(array == -1)
        array[rest], place[rest] = self.positions(self.sequence.position[numbers[rest]])
        return array, place

    def positions(self, positions) -> tuple[np.ndarray, np.ndarray]:
        """The same for positions."""
        k = self.loop_of[positions]
        if not self.regions:
            return k, positions
        starts, periods = np.array([(r.start, r.period) for r in self.regions]).T
        iteration, slot = np.divmod(positions - starts[k], periods[k])
        return np.where(k < 0, -1, self.first_column[k] + slot), np.where(k < 0, positions, iteration)

    def column(self, arrays, places) -> int:
        """An array of values from wherever they are, put together from as few parts as possible."""
        parts = self.parts(arrays, places)
        if len(parts) == 1:
            return parts[0]
        value = np.concatenate([self.new.value(part) for part in parts])
        return self.add("concatenate", tuple(parts), {"axis": 0}, value, ("concatenate", *parts))

    def parts(self, arrays, places) -> list[int]:
        """Arrays that make up a column."""
        edges = np.flatnonzero(np.diff(arrays)) + 1
        if len(edges) > len(arrays) // 4:
            start, width, n = interleaved(arrays)
            if n >= FEWEST and n > 2 * width:
                end = start + n * width
                before = self.parts(arrays[:start], places[:start]) if start else []
                after = self.parts(arrays[end:], places[end:]) if end < len(arrays) else []
                return [*before, self.table(arrays[start : start + width], places[start:end]), *after]
        parts: list[int] = []
        singles: list[int] = []

        def flush():
            if singles:
                value = np.array([self.new.value(number) for number in singles])
                key = ("stack", *singles)
                parts.append(self.add("stack", tuple(singles), {"axis": 0}, value, key))
                singles.clear()

        for start, end in zip([0, *edges.tolist()], [*edges.tolist(), len(arrays)], strict=True):
            array, where = int(arrays[start]), places[start:end]
            if array == -1:
                singles.extend(self.number[p] for p in where.tolist())
            elif end - start < SHORT and len(arrays) > end - start:
                singles.extend(p if array == -2 else self.element(array, p) for p in where.tolist())
            else:
                flush()
                parts.append(self.elements(array, where))
        flush()
        return parts

    def table(self, arrays, places) -> int:
        """The elements of several arrays in turn."""
        width = len(arrays)
        columns = tuple([self.elements(int(a), places[k::width]) for k, a in enumerate(arrays)])
        value = np.stack([self.new.value(column) for column in columns], axis=1)
        table = self.add("stack", columns, {"axis": 1}, value, ("table", *columns))
        return self.add("reshape", (table,), {"shape": (value.size,)}, value.ravel(), ("flat table", table))

    def constants(self, numbers) -> int:
        """An array of scalar constants."""
        key = ("constants", numbers.tobytes())
        if key not in self.made:
            self.made[key] = self.new.constant(np.array([self.new.constants[-k - 1] for k in numbers.tolist()]))
        return self.made[key]

    # --- nodes --------------------------------------------------------------------------------------------------------
    def straight(self, position: int) -> None:
        """A node outside of the loops."""
        old, node = self.old, int(self.sequence.node[position])
        op, args, params, value = old.ops[node], old.args[node], old.params[node], old.values[node]
        if op == "stack" and len(args) >= SHORT and np.ndim(value) == 1:
            numbers = np.array(args)
            types = {np.asarray(old.value(a)).dtype for a in args}
            if len(types) == 1:
                self.number[position] = self.column(*self.sources(numbers))
                return
        self.number[position] = self.new.add(op, tuple([self.operand(a) for a in args]), params, value)

    def loop(self, k: int) -> None:
        """A loop."""
        writer = BodyWriter(self, self.regions[k])
        region = self.regions[k]
        values = self.old.values
        seen = np.array([values[node] for node in self.sequence.node[region.start : region.end].tolist()], float)
        params = {"body": writer.body(), "n": region.n, "seen": seen.reshape(region.n, region.period)}
        self.loops[k] = self.new.add(LOOP, tuple(writer.args), params, np.float64(np.nan))

    def guards(self) -> None:
        """The guards; those on one slot become one."""
        inside: dict[int, list[tuple[int, Guard]]] = {}
        for guard in self.old.guards:
            if guard.node >= 0 and self.sequence.array[guard.node] < 0:
                (array,), (place,) = self.positions(self.sequence.position[[guard.node]])
                if array >= 0:
                    inside.setdefault(int(array), []).append((int(place), guard))
                    continue
            self.new.guards.append(Guard(self.operand(guard.node), guard.expected, guard.where))
        for array, guards in inside.items():
            where = guards[0][1].where
            by_place = dict(guards)  # asked twice, answered once
            places = np.array(sorted(by_place))
            expected = np.array([by_place[p].expected for p in places.tolist()])
            if len(places) == 1:
                self.new.guards.append(Guard(self.element(array, int(places[0])), expected[0], where))
            else:
                self.new.guards.append(Guard(self.elements(array, places), expected, where))


def interleaved(arrays) -> tuple[int, int, int]:
    """The longest stretch that repeats a sequence of arrays: its start, the length of the sequence, and how often."""
    order = np.argsort(arrays, kind="stable")
    distance = np.diff(order)[np.diff(arrays[order]) == 0]
    if not distance.size:
        return 0, 1, 0
    width = int(np.argmax(np.bincount(distance)))
    same = (arrays[width:] == arrays[:-width]) & (arrays[width:] != -1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]])))
    if not edges.size:
        return 0, 1, 0
    k = int(np.argmax(edges[1::2] - edges[::2]))
    return int(edges[2 * k]), width, int(edges[2 * k + 1] - edges[2 * k]) // width + 1


class BodyWriter:
    """One iteration of a region as a `Body`, and the arguments of the loop."""

    def __init__(self, rewriter: Rewriter, region: Region):
        self.rewriter, self.region, self.sequence = rewriter, region, rewriter.sequence
        self.args: list[int] = []
        self.argument_of: dict[int, int] = {}
        self.carries: list[Carry] = []
        self.carry_of: dict[tuple[int, int], int] = {}

    def body(self) -> Body:
        """Write it."""
        start, period = self.region.start, self.region.period
        old = self.rewriter.old
        ops, args = [], []
        for slot in range(period):
            node = int(self.sequence.node[start + slot])
            ops.append(old.ops[node])
            args.append(tuple([self.operand(slot, k) for k in range(len(old.args[node]))]))
        return Body(tuple(ops), tuple(args), tuple(self.carries))

    def argument(self, number: int) -> int:
        """The place of a value of the new graph among the arguments."""
        if number not in self.argument_of:
            self.argument_of[number] = len(self.args)
            self.args.append(number)
        return self.argument_of[number]

    def operand(self, slot: int, k: int):
        """An operand of the body."""
        region, rewriter = self.region, self.rewriter
        what, *details = form(self.sequence, region, slot, k)
        if what == SLOT:
            return (SLOT, *details)
        if what == CARRIED:
            return (CARRIED, self.carry(*details))
        kind = int(self.sequence.kind[k, region.start + slot])
        refs = self.sequence.ref[k, region.start + slot : region.end : region.period]
        first = int(refs[0])
        if not (refs != first).any():
            return (FIXED, self.argument(rewriter.reference(kind, first)))
        if kind >= ARRAY:
            number = rewriter.elements(kind - ARRAY, refs)
        elif kind > CONSTANT:
            number = rewriter.constants(refs)
        else:
            number = rewriter.column(*rewriter.positions(refs))
        return (ELEMENT, self.argument(number))

    def carry(self, slot: int, lag: int) -> int:
        """The value that a slot had some iterations ago."""
        key = (slot, lag)
        if key not in self.carry_of:
            following = (SLOT, slot) if lag == 1 else (CARRIED, self.carry(slot, lag - 1))
            start = self.rewriter.reference(*start_of(self.sequence, self.region, slot, lag))
            self.carry_of[key] = len(self.carries)
            self.carries.append(Carry(self.argument(start), following))
        return self.carry_of[key]
