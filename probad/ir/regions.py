"""Search a program for stretches that repeat themselves and can be written as loops."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from probad.ir.graph import CARRIED, ELEMENT, FIXED, SLOT
from probad.ir.sequence import ARRAY, CONSTANT, Sequence

FEWEST = 4  # iterations
SAVED = 32  # nodes: a loop must be shorter by so many than what it replaces
LAGS = 32  # how far back an iteration may look
NEAR = 512  # a reference from farther away does not count in the search for periods
TRIED = 8  # periods for each length of match


@dataclass(frozen=True)
class Region:
    """Positions `start` to ``start + n * period``, which become a loop of n iterations.

    Attributes
    ----------
    early : int
        So many iterations at the beginning read values from before the loop wherever they are, the others where the
        form of the program has them.
    starts : dict
        For ``(slot, lag)``, if `early` is not 0: the kind and reference of the value that the slot had, as it were,
        so many iterations before the first one.
    """

    start: int
    period: int
    n: int
    early: int = 0
    starts: dict = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The position after the last."""
        return self.start + self.n * self.period


# --- search -----------------------------------------------------------------------------------------------------------
def find_regions(sequence: Sequence, n_nodes: int) -> list[Region]:
    """All loops, in the order in which they were found.

    What is found is taken out, and the rest is searched again with references to it as references to arrays, the
    columns of the loop: so that it does not matter how they are read. `sequence` is changed accordingly: the slots of
    the regions, one region after the other, are arrays `n_nodes`, ``n_nodes + 1``, ...
    """
    found: list[Region] = []
    if np.count_nonzero(sequence.op >= 0) <= SAVED:
        return found
    firsts: list[int] = []
    n_arrays = n_nodes
    free = np.ones(len(sequence.op), bool)
    while new := _search(sequence, np.flatnonzero(free)):
        for region in new:
            free[region.start : region.end] = False
        for region in new:
            _refer_to_columns(sequence, region, free, n_arrays)
            firsts.append(n_arrays)
            n_arrays += region.period
        found.extend(new)
    for k in sorted(range(len(found)), key=lambda k: found[k].start):  # in order: places in arrays have changed before
        first = firsts[k]
        for _ in range(LAGS):
            region = _with_iteration_before(sequence, found[k], free)
            if region is None:
                break
            found[k] = region
            free[region.start : region.start + region.period] = False
            sequence.ref[(sequence.kind >= ARRAY + first) & (sequence.kind < ARRAY + first + region.period)] += 1
    return found


def _refer_to_columns(sequence: Sequence, region: Region, free, first: int) -> None:
    """Make references from outside to the slots of a region references to arrays `first`, ``first + 1``, ..."""
    for slot in range(region.period):
        sequence.element_type[first + slot] = sequence.type(region.start + slot)
    for kind, ref in zip(sequence.kind, sequence.ref, strict=True):
        at = np.flatnonzero((kind > 0) & (kind < CONSTANT) & (ref >= region.start) & (ref < region.end) & free)
        iteration, slot = np.divmod(ref[at] - region.start, region.period)
        kind[at], ref[at] = ARRAY + first + slot, iteration


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
    for period in periods(form, np.where(is_node, free - ref, 0)):
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


def periods(form, distance) -> list[int]:
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
            for step in (width // 4, width // 2):  # twice as long each time
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


# --- forms of operands ------------------------------------------------------------------------------------------------
def form(sequence: Sequence, region: Region, slot: int, k: int) -> tuple:
    """What an operand of a region is.

    Returns
    -------
    tuple
        ``(SLOT, slot)``; ``(CARRIED, slot, lag)``; ``(FIXED,)``, a position that is the same in all iterations; or
        ``(ELEMENT,)``, which is everything else, constants that are the same and all that is read from arrays included.
    """
    start = region.start + region.early * region.period
    kind, first, later = (x[k, start + slot] for x in (sequence.kind, sequence.ref, sequence.ref[:, region.period :]))
    if kind > CONSTANT:
        return (ELEMENT,)
    if first == later:
        return (FIXED,)
    if later - first == region.period:
        iteration, source = divmod(int(first) - start, region.period)
        if iteration == 0:
            return (SLOT, source)
        if -iteration <= LAGS and -iteration < region.n - region.early:
            return (CARRIED, source, -iteration)
    return (ELEMENT,)


def _with_iteration_before(sequence: Sequence, region: Region, free) -> Region | None:
    """The region and the nodes right before it, if they are one more iteration.

    It may read anything in place of values of the iterations before, which are not there.
    """
    start, period, new = region.start, region.period, region.start - region.period
    if new < 0 or not free[new:start].all() or (sequence.op[new:start] != sequence.op[start : start + period]).any():
        return None
    kinds, refs = sequence.kind, sequence.ref
    operands = {
        (slot, k): form(sequence, region, slot, k)
        for slot in range(period)
        for k in range(len(kinds))
        if kinds[k, start + slot]
    }
    carried = {f[1:] for f in operands.values() if f[0] == CARRIED}
    starts: dict[tuple[int, int], tuple[int, int]] = {}
    for source, farthest in {slot: max(lag for s, lag in carried if s == slot) for slot, _ in carried}.items():
        now = [start_of(sequence, region, source, lag) for lag in range(1, farthest + 1)]
        if now[0] != (sequence.type(start + source), new + source):
            return None
        starts.update({(source, lag): now[lag] for lag in range(1, farthest)})
    for (slot, k), (what, *details) in operands.items():
        kind, ref = int(kinds[k, new + slot]), int(refs[k, new + slot])
        if what == CARRIED:
            if starts.setdefault(tuple(details), (kind, ref)) != (kind, ref):
                return None
            if _type(sequence, kind) != sequence.type(start + details[0]):
                return None
            continue
        if kind != kinds[k, start + slot]:
            return None
        if what == SLOT and ref != refs[k, start + slot] - period:
            return None
        if what == FIXED and ref != refs[k, start + slot]:
            return None
        if what != SLOT and kind < CONSTANT and max(ref, refs[k, start + slot : region.end : period].max()) >= new:
            return None
    if any(kind < CONSTANT and ref >= new for kind, ref in starts.values()):
        return None
    return Region(new, period, region.n + 1, region.early + 1, starts)


def start_of(sequence: Sequence, region: Region, slot: int, lag: int) -> tuple[int, int]:
    """Kind and reference of the value that a slot had, as it were, some iterations before the first one."""
    regular = sequence.type(region.start + slot), region.start + slot - lag * region.period
    return region.starts.get((slot, lag), regular)


def _type(sequence: Sequence, kind: int) -> int:
    return sequence.element_type[kind - ARRAY] if kind >= ARRAY else kind % CONSTANT
