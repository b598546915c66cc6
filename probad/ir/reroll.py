"""Find the loops that a function has run through: straight-line programs that repeat themselves become loops.

A stretch of nodes repeats itself with period p if the operations at i and i - p are the same, and each operand has
moved on by the same amount from one repetition to the next. By how much says what it is: p is a value of the same
iteration or of an earlier one, 0 is the same for all, and everything else is an array that is read element by element.
Only the form of the program is looked at, never the values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probad.ir.graph import CARRIED, COLUMN, ELEMENT, FIXED, LAST, LOOP, SLOT, Body, Carry, Graph, Guard
from probad.ir.sequence import ARRAY, CONSTANT, Sequence, flatten

FEWEST = 4  # iterations
SAVED = 32  # nodes: a loop must be shorter by so many than what it replaces
LAGS = 32  # how far back an iteration may look
NEAR = 512  # a reference from farther away does not count in the search for periods
TRIED = 8  # periods for each length of match
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


@dataclass(frozen=True)
class Region:
    """Positions `start` to ``start + n * period``, which become a loop of n iterations."""

    start: int
    period: int
    n: int

    @property
    def end(self) -> int:
        """The position after the last."""
        return self.start + self.n * self.period


# --- search -----------------------------------------------------------------------------------------------------------
def find_regions(sequence: Sequence, n_nodes: int) -> list[Region]:
    """All loops, in order of position.

    What is found is taken out, and the rest is searched again with references to it as references to arrays, the
    columns of the loop: so that it does not matter how they are read. `sequence` is changed accordingly: the slots of
    the regions, in the order in which they were found, are arrays `n_nodes`, ``n_nodes + 1``, ...
    """
    found: list[Region] = []
    n_columns = 0
    free = np.ones(len(sequence.op), bool)
    while True:
        new = _search(sequence, np.flatnonzero(free))
        if not new:
            return found
        for region in new:
            free[region.start : region.end] = False
        for region in new:
            _refer_to_columns(sequence, region, free, ARRAY + n_nodes + n_columns)
            n_columns += region.period
        found.extend(new)


def _refer_to_columns(sequence: Sequence, region: Region, free, first: int) -> None:
    """Make references from outside to the slots of a region references to arrays."""
    for kind, ref in zip(sequence.kind, sequence.ref, strict=True):
        at = np.flatnonzero((kind > 0) & (kind < CONSTANT) & (ref >= region.start) & (ref < region.end) & free)
        iteration, slot = np.divmod(ref[at] - region.start, region.period)
        kind[at], ref[at] = first + slot, iteration


def _search(sequence: Sequence, free) -> list[Region]:
    """The best loops among the free positions that do not overlap."""
    gaps = np.flatnonzero(np.diff(free) > 1) + 1
    free = np.insert(free, gaps, -1)  # a separator, over which nothing repeats
    if len(free) < FEWEST:
        return []
    op = np.where(free < 0, -1, sequence.op[free])
    kind, ref = sequence.kind[:, free], sequence.ref[:, free]
    is_node = (kind > 0) & (kind < CONSTANT)
    form = _form(op, kind)
    moving = np.where(is_node, ref, 0)
    runs = []
    for period in _periods(form, np.where(is_node, free - ref, 0)):
        for start, length in _runs(form, moving, period):
            runs.append(((length // period - 1) * period, -period, start, length))
    taken, new = np.zeros(len(free), bool), []
    for saved, period, start, length in sorted(runs, reverse=True):
        if saved < SAVED or taken[start : start + length].any():
            continue
        region = _fit(sequence, int(free[start]), -period, length)
        if region is not None:
            offset = region.start - int(free[start])
            taken[start + offset : start + offset + region.n * region.period] = True
            new.append(region)
    return new


def _form(op, kind) -> np.ndarray:
    """A hash of what must be equal in all iterations; nodes that cannot be in a loop have one of their own each."""
    form = op.astype(np.uint64)
    for row in kind:
        form = _mixed(form * np.uint64(0x9E3779B97F4A7C15) + row.astype(np.uint64))
    return np.where(op < 0, _mixed(np.arange(1, len(op) + 1, dtype=np.uint64) << np.uint64(32)), form)


def _mixed(x):
    """Spread the bits of 64-bit numbers: the finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _periods(form, distance) -> list[int]:
    """Periods worth a try: distances between equal forms, of single nodes and of stretches, and their multiples."""
    h = form.copy()
    for row in distance:
        near = np.where(row <= NEAR, row, NEAR + 1)
        h = _mixed(h * np.uint64(0xD1342543DE82EF95) + near.astype(np.uint64))
    n = len(h)
    bits = np.uint64(int(n).bit_length())
    tried: dict[int, None] = {}
    for width in (1, 4, 16, 64):
        if width > 1:
            for _ in range(2):  # twice as long each time
                step = len(h) and width // 4 if _ == 0 else width // 2
                h = _mixed(h[step:] * np.uint64(0xD1342543DE82EF95) + h[: len(h) - step]) if len(h) > step else h[:0]
        if len(h) < FEWEST:
            break
        keys = np.sort((h << bits) | np.arange(len(h), dtype=np.uint64))
        same = (keys[1:] >> bits) == (keys[:-1] >> bits)
        distances = (keys[1:] - keys[:-1])[same].astype(np.int64)
        counts = np.bincount(distances[distances <= n // FEWEST])
        best = np.argsort(counts, kind="stable")[::-1][:TRIED]
        best = [int(p) for p in best if counts[p]]
        tried.update(dict.fromkeys([*best, *(m * p for p in best[:3] for m in (2, 3, 4, 5, 6))]))
    return [p for p in tried if p <= n // FEWEST]


def _runs(form, moving, period: int) -> list[tuple[int, int]]:
    """Stretches (start, length) that repeat themselves, of at least `FEWEST` periods."""
    same = form[period:] == form[:-period]
    regular = same[period:] & same[:-period]
    for row in moving:
        slope = row[period:] - row[:-period]
        regular &= slope[period:] == slope[:-period]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], regular, [False]])))
    starts, ends = edges[::2], edges[1::2]
    long = ends - starts >= (FEWEST - 2) * period
    return list(zip(starts[long].tolist(), (ends - starts + 2 * period)[long].tolist(), strict=True))


# --- what exactly is a loop -------------------------------------------------------------------------------------------
def _fit(sequence: Sequence, start: int, period: int, length: int) -> Region | None:
    """The loop that a run is, or part of it; None if there is none that can be written."""
    start += _phase(sequence, start, period, length % period)
    n = length // period
    for _ in range(3):
        region = Region(start, period, n)
        if n < FEWEST or (n - 1) * period < SAVED or not _repeats(sequence, region):
            return None
        fewer = _expressible(sequence, region)
        if fewer == n:
            return region
        if fewer == 0:  # without the first iteration, which is special
            start, n = start + period, n - 1
        else:
            n = fewer
    return None


def _phase(sequence: Sequence, start: int, period: int, spare: int) -> int:
    """Where an iteration begins: of all places that do not cost an iteration, where fewest values are carried over."""
    if not spare:
        return 0
    places = np.arange(start + period, start + 2 * period)
    reach = np.zeros(period, np.int64)  # for each source by its phase, how far ahead it is read
    for kind, ref in zip(sequence.kind, sequence.ref, strict=True):
        now, later = ref[places], ref[places + period]
        at = np.flatnonzero((kind[places] > 0) & (kind[places] < CONSTANT) & (later - now == period))
        np.maximum.at(reach, (now[at] - start) % period, places[at] - now[at])
    source = np.flatnonzero(reach)
    offsets = np.arange(spare + 1) if spare * len(source) <= 1_000_000 else np.array([0, spare])
    after = (source[:, None] - offsets) % period
    carried = np.minimum((after + reach[source, None]) // period, LAGS).sum(axis=0)
    return int(offsets[np.flatnonzero(carried == carried.min())[-1]])  # the last, so that the loop ends with the run


def _repeats(sequence: Sequence, region: Region) -> bool:
    """Check to the letter what the search has found with hashes."""
    places = slice(region.start, region.end)
    op = sequence.op[places].reshape(region.n, region.period)
    kind = sequence.kind[:, places].reshape(-1, region.n, region.period)
    if (op[0] < 0).any() or (op != op[0]).any() or (kind != kind[:, :1]).any():
        return False
    ref = sequence.ref[:, places].reshape(-1, region.n, region.period)
    moves = (kind[:, 0] > 0) & (kind[:, 0] < CONSTANT)
    steps = np.diff(ref, axis=1)
    return bool((steps == steps[:, :1])[np.broadcast_to(moves[:, None], steps.shape)].all())


def _expressible(sequence: Sequence, region: Region) -> int:
    """How many iterations have operands of a form that a `Body` has: `n` if all, 0 if the first is in the way."""
    start, period, n = region.start, region.period, region.n
    kind = sequence.kind[:, start : start + period]
    first = sequence.ref[:, start : start + period]
    step = sequence.ref[:, start + period : start + 2 * period] - first
    is_node = (kind > 0) & (kind < CONSTANT)
    lag = -((first - start) // period)
    far = is_node & (step == period) & (lag > LAGS)
    other = is_node & (step != period)
    if (first[other] >= start).any():
        return 0
    rises = other & (step > 0)
    room = (start - 1 - first[rises]) // step[rises] + 1  # iterations before it would read from the loop itself
    return int(min(n, lag[far].min(initial=n), room.min(initial=n)))


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
        array = np.where(numbers < 0, -2, self.sequence.array[numbers])
        place = np.where(numbers < 0, numbers, self.sequence.place[numbers])
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
        edges = np.flatnonzero(np.diff(arrays)) + 1
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
                parts.append(self.constants(where) if array == -2 else self.elements(array, where))
        flush()
        if len(parts) == 1:
            return parts[0]
        value = np.concatenate([self.new.value(part) for part in parts])
        return self.add("concatenate", tuple(parts), {"axis": 0}, value, ("concatenate", *parts))

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
        kind = int(self.sequence.kind[k, region.start + slot])
        refs = self.sequence.ref[k, region.start + slot : region.end : region.period]
        first, step = int(refs[0]), int(refs[1] - refs[0])
        same = step == 0 and not (refs != first).any()
        if kind >= ARRAY:
            if same:
                return (FIXED, self.argument(rewriter.element(kind - ARRAY, first)))
            return (ELEMENT, self.argument(rewriter.elements(kind - ARRAY, refs)))
        if kind > CONSTANT:
            return (FIXED, self.argument(first)) if same else (ELEMENT, self.argument(rewriter.constants(refs)))
        if same:
            return (FIXED, self.argument(rewriter.at(first)))
        if step == region.period:
            iteration, source = divmod(first - region.start, region.period)
            if iteration == 0:
                return (SLOT, source)
            if -iteration <= LAGS and -iteration < region.n:
                return (CARRIED, self.carry(source, -iteration))
        return (ELEMENT, self.argument(rewriter.column(*rewriter.positions(refs))))

    def carry(self, slot: int, lag: int) -> int:
        """The value that a slot had some iterations ago."""
        key = (slot, lag)
        if key not in self.carry_of:
            following = (SLOT, slot) if lag == 1 else (CARRIED, self.carry(slot, lag - 1))
            start = self.rewriter.at(self.region.start + slot - lag * self.region.period)
            self.carry_of[key] = len(self.carries)
            self.carries.append(Carry(self.argument(start), following))
        return self.carry_of[key]
