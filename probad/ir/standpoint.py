"""Where a program stands when it asks about a traced value: all that what comes next can depend on.

Two runs of a function that stand at the same point go on in the same way, whatever happened before, if only their
traced values are read from where each run keeps them. So their paths may be joined there (`probad.ir.join`). The key of
a standpoint is made of the calls in progress with their places in the code, the passes of their loops, and
everything that can be reached from the local variables, but for the traced values themselves, which are listed in the
order in which they were found. Two lists with equal keys correspond to each other, place by place.

Objects of a class with an attribute `unchanged_by_runs` are told by who they are alone.

What cannot be seen makes a key unique to the history of the run: operands on the stack of a frame, functions written in
C in the midst of their work, objects whose state is hidden. What was there before the first question cannot depend on
any answer, and does no harm.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import time
import types
from collections import Counter, deque
from dataclasses import dataclass
from functools import partial
from types import CodeType, FrameType

import numpy as np

from probad.ad.array import Box
from probad.ir.graph import SMALL
from probad.ir.stack import loops_around, stack_at

HIDDEN_CALLERS = frozenset({"map", "filter", "reduce", "sorted", "sort", "min", "max", "sum", "accumulate", "starmap",
                            "vectorize", "apply_along_axis", "fromfunction", "frompyfunc"})  # fmt: skip
INTERNAL = ("probad.ad", "probad.ir", "numpy")  # what a question passes through on its way from the user's code
PLAIN = (int, float, complex, str, bytes, bool, type(None), type(...), np.dtype, range)
SIMPLE = frozenset({int, float, bool, str, bytes, type(None)})
BY_IDENTITY = (type, types.ModuleType, types.BuiltinFunctionType, np.ufunc, CodeType, types.GetSetDescriptorType,
               types.MemberDescriptorType, types.MethodDescriptorType, types.WrapperDescriptorType)  # fmt: skip
CONTAINERS = (list, tuple, deque, dict, set, frozenset)
ITERATORS = frozenset(map(type, (iter([]), iter(()), iter(range(0)), iter(""), enumerate(()), zip(), reversed([]),
                                 map(len, ()), iter({}), iter({}.values()), iter({}.items()))))  # fmt: skip
POINTER = 8  # bytes
ELEMENTS = next(c for c in Box.__iter__.__code__.co_consts if type(c) is CodeType)  # of the generator of elements
GENERATOR = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
STEPWISE = frozenset({"__next__", "__getitem__", "__lt__", "__eq__", "__hash__"})  # what C code calls in a loop
MOST = 1.5  # seconds to look around at the questions of a run
ITERATES = ("FOR_ITER", "SEND", "YIELD_FROM")


@dataclass(frozen=True)
class Question:
    """One question of a captured run.

    Attributes
    ----------
    node : int
        What was asked about.
    answer : hashable
    where : str
        File and line.
    key : bytes
        Of the standpoint.
    live : tuple of int
        The nodes that can be reached from there, in order.
    n_nodes : int
        How many nodes the graph had.
    told_by_identity : dict
        Objects of which the key has the identity, which is theirs as long as they live.
    """

    node: int
    answer: object
    where: str
    key: bytes
    live: tuple[int, ...]
    n_nodes: int
    told_by_identity: dict[int, object]


class Observer:
    """Notes the questions of one run.

    Parameters
    ----------
    root : CodeType
        The code of the frame that has called the function.
    """

    def __init__(self, root: CodeType):
        self.root = root
        self.questions: list[Question] = []
        self.iterators: list = []  # weak references to generators of elements, which lie on stacks
        self.seconds = 0.0  # spent
        self._known = Known()
        self._calls: dict[int, _Call] = {}
        self._keys: set[bytes] = set()
        self._history = b""
        self._anchor: list[tuple[FrameType, int]] | None = None  # calls in progress since before the first question

    def note(self, trace, node: int, answer, where: str, frame: FrameType) -> None:
        """A question is asked in `frame`, or in what it has called."""
        start = time.perf_counter()
        frames, inner = self._frames(frame)
        walk = Walk(trace, self._known)
        walk.parts += [(self._known.identity(f.f_code), f.f_lasti) for f in (*frames, *inner)]
        walk.parts += self._passes(frames)
        n_anchored = self._anchored(frames)
        is_seen = self._is_seen(frames, n_anchored)
        try:
            for f in frames if self.seconds < MOST else ():
                walk.frame(f)
        except RecursionError:
            is_seen = False
        self.iterators = [r for r in self.iterators if r() is not None and r().gi_frame is not None]
        for reference in self.iterators:
            walk.elements(reference())
        n_nodes, live = len(trace.graph), tuple(walk.live)
        if not is_seen or walk.is_hidden:
            walk.parts.append(self._history)
            if self.questions:
                before = self.questions[-1]  # whose standpoint is the only one that leads here
                live = (*before.live, *range(before.n_nodes, n_nodes))
        key = hashlib.blake2b(repr(walk.parts).encode(), digest_size=16).digest()
        if key in self._keys:  # the run stands where it stood before, and yet goes on: something is hidden
            key = hashlib.blake2b(key + self._history, digest_size=16).digest()
        self._keys.add(key)
        answer = answer.item() if np.ndim(answer) == 0 else (answer.dtype.str, answer.shape, answer.tobytes())
        self._history = hashlib.blake2b(key + repr(answer).encode(), digest_size=16).digest()
        self.questions.append(Question(node, answer, where, key, live, n_nodes, self._known.held))
        self.seconds += time.perf_counter() - start

    def _frames(self, frame: FrameType) -> tuple[list[FrameType], list[FrameType]]:
        """The frames from the root to the user's code, and those of the engine that have been called from there."""
        frames = []
        while frame is not None and frame.f_code is not self.root:
            frames.append(frame)
            frame = frame.f_back
        frames.reverse()
        n = len(frames)
        while n and _is_internal(frames[n - 1]):
            n -= 1
        return frames[:n], frames[n:]

    def _passes(self, frames: list[FrameType]) -> list[int]:
        """In which pass each `for` loop in progress is, as far as questions tell.

        Its iterator is on the stack of the frame, where it cannot be seen.
        """
        passes = []
        for frame, called in zip(frames, [*frames[1:], None], strict=True):
            loops = loops_around(frame.f_code, frame.f_lasti)
            if loops:
                call = self._calls.get(id(frame))
                if call is None:
                    call = self._calls[id(frame)] = _Call(frame)
                if called is None or call.waits_for is not called or call.place != frame.f_lasti:
                    call.visit(frame.f_lasti, loops)
                    call.waits_for, call.place = called, frame.f_lasti
                passes += [call.n_passes(loop) for loop in loops]
        return passes

    def _anchored(self, frames: list[FrameType]) -> int:
        """How many frames, from the root on, wait for the same call as at the first question."""
        chain = [(f, f.f_lasti) for f in frames]
        if self._anchor is None:
            self._anchor = chain
            return len(frames)  # nothing can depend on answers yet
        n = 0
        while (
            n + 1 < min(len(chain), len(self._anchor))
            and chain[n] == self._anchor[n]
            and chain[n + 1][0] is self._anchor[n + 1][0]
        ):
            n += 1
        self._anchor = self._anchor[: n + 1]
        return n

    @staticmethod
    def _is_seen(frames: list[FrameType], n_anchored: int) -> bool:
        """Whether nothing is hidden on stacks, or in functions written in C, that may depend on answers."""
        for k, frame in enumerate(frames):
            name, n_hidden = stack_at(frame.f_code, frame.f_lasti)
            if k + 1 < len(frames):  # a list, a sum in the making
                called = frames[k + 1].f_code
                is_stepwise = called.co_flags & GENERATOR or called.co_name in STEPWISE
                if is_stepwise and not name.startswith(ITERATES):
                    return False
            if k < n_anchored:
                continue
            if n_hidden or _is_internal(frame):
                return False
            if k + 1 < len(frames):
                if not is_stepwise and HIDDEN_CALLERS.intersection(frame.f_code.co_names):
                    return False
            elif name.startswith("CALL"):  # such as max(a, b, c), which asks while it holds the largest so far
                return False
        return True


class _Call:
    """How often a call in progress has asked from each place in its loops."""

    def __init__(self, frame: FrameType):
        self.frame = frame  # kept, so that its identity stays its own
        self.waits_for: FrameType | None = None
        self.place = -1
        self._visits: dict[tuple, Counter] = {}  # of each loop, by the places in it that are in no inner loop

    def visit(self, place: int, loops: list[tuple[int, int]]) -> None:
        """A question from a place inside loops; the outermost one is the first."""
        visits = self._visits.setdefault(loops[-1], Counter())
        before = self.n_passes(loops[-1])
        visits[place] += 1
        if self.n_passes(loops[-1]) > before:  # another pass: loops inside begin again
            start, end = loops[-1]
            for inner in [loop for loop in self._visits if start < loop[0] < end]:
                del self._visits[inner]

    def n_passes(self, loop: tuple[int, int]) -> int:
        """The most questions from one place; the same in all runs if one place asks in every pass."""
        return max(self._visits.get(loop, {}).values(), default=0)


class Known:
    """What stays the same during a run: identities of objects, and contents of arrays that cannot be written to."""

    def __init__(self) -> None:
        self.held: dict[int, object] = {}
        self._contents: dict[int, tuple[np.ndarray, bytes]] = {}
        self._tuples: dict[int, tuple[tuple, bytes]] = {}

    def identity(self, x) -> int:
        """Of an object, which is kept."""
        self.held[id(x)] = x
        return id(x)

    def tuple(self, x: tuple) -> bytes | None:
        """A short name for a tuple of plain things, which cannot change; None if it holds others."""
        found = self._tuples.get(id(x))
        if found is None and all(type(e) in PLAIN for e in x):
            found = self._tuples[id(x)] = x, repr(x).encode()
        return None if found is None else found[1]

    def content(self, x: np.ndarray) -> bytes:
        """A short name for the numbers in an array."""
        if id(x) in self._contents:
            return self._contents[id(x)][1]
        name = x.tobytes() if x.nbytes <= SMALL else hashlib.blake2b(x.tobytes(), digest_size=16).digest()
        if x.nbytes > SMALL and x.flags.owndata and not x.flags.writeable:
            self._contents[id(x)] = x, name
        return name


class Walk:
    """What can be reached from local variables: a list of parts that describes it, and the traced values in it.

    Parameters
    ----------
    trace : CaptureTrace
        Whose values are told from the rest.
    known : Known

    Attributes
    ----------
    is_hidden : bool
        Whether something keeps state that cannot be seen.
    """

    def __init__(self, trace, known: Known):
        self.trace, self.known = trace, known
        self.is_hidden = False
        self.parts: list = []
        self.live: list[int] = []
        self._place: dict[int, int] = {}  # of nodes among `live`
        self._seen: dict[int, int] = {}
        self._kept: list = []  # so that identities stay their own

    def frame(self, frame: FrameType) -> None:
        """The local variables of a call, and the global ones that it may read."""
        self.parts.append(self.known.identity(frame.f_code))
        for name, value in sorted(frame.f_locals.items()):
            self.parts.append(name)
            self.value(value)
        self.globals(frame.f_code, frame.f_globals)

    def value(self, x) -> None:
        """Any object."""
        kind = type(x)
        if kind is Box:
            self.traced(x)
        elif kind in PLAIN or isinstance(x, np.generic):
            self.parts.append((kind.__name__, repr(x)))
        elif kind is tuple and (name := self.known.tuple(x)) is not None:
            self.parts.append(name)
        elif isinstance(x, BY_IDENTITY) or getattr(kind, "unchanged_by_runs", False):
            self.parts.append(self.known.identity(x))
            if kind is type and not _is_foreign(x):
                self.of_class(x)
        elif id(x) in self._seen:
            self.parts.append(("again", self._seen[id(x)]))
        else:
            self._seen[id(x)] = len(self._seen)
            self._kept.append(x)
            self.parts.append(kind.__name__)
            self.composed(x, kind)

    def traced(self, box: Box) -> None:
        """A traced value: it is told from others by its node, and from others of the same node by what writes reach."""
        if box.owner is not self.trace:
            self.is_hidden = True
            return
        self.parts.append(("box", self._seen.setdefault(id(box), len(self._seen))))
        self._kept.append(box)
        if box.node is None:
            self.value(np.asarray(box.value))
        else:
            place = self._place.setdefault(box.node, len(self.live))
            if place == len(self.live):
                self.live.append(box.node)
            self.parts += [place, np.shape(box.value)]
        if box.view is not None:
            view = box.view
            self.parts += [view.primitive.name, view.seen == view.base.version]
            self.value(view.params)
            self.value(view.base)

    def composed(self, x, kind: type) -> None:
        """What an object is made of."""
        if kind is types.FunctionType:
            self.function(x)
        elif isinstance(x, np.ndarray):
            self.array(x)
        elif kind is types.MethodType:
            self.all((x.__func__, x.__self__))
        elif kind is partial:
            self.all((x.func, x.args, x.keywords))
        elif kind is slice:
            self.all((x.start, x.stop, x.step))
        elif kind in ITERATORS:
            self.all(x.__reduce__())
        elif kind is types.GeneratorType and x.gi_code is ELEMENTS:
            self.elements(x)
        else:
            self.container(x)
            if kind not in CONTAINERS:
                self.attributes(x, kind)

    def function(self, x) -> None:
        """A function: its code, and what that can reach."""
        self.parts.append(self.known.identity(x.__code__))
        self.all(cell.cell_contents for cell in x.__closure__ or () if cell != _EMPTY)
        self.all(x.__defaults__ or ())
        self.value(x.__kwdefaults__)
        self.value(vars(x))
        self.globals(x.__code__, x.__globals__)

    def globals(self, code: CodeType, known: dict) -> None:
        """The global variables that a function names, unless it belongs to a library."""
        if str(known.get("__name__", "")).partition(".")[0] in LIBRARIES:
            return
        for name in code.co_names:
            if name in known:
                self.parts.append(name)
                self.value(known[name])

    def of_class(self, kind: type) -> None:
        """The attributes that all objects of a class share."""
        if id(kind) not in self._seen:
            self._seen[id(kind)] = len(self._seen)
            for name, value in vars(kind).items():
                if not name.startswith("__"):
                    self.parts.append(name)
                    self.value(value)

    def array(self, x: np.ndarray) -> None:
        """A plain array: its numbers, and with which others it shares memory."""
        self.parts.append((x.shape, x.dtype.str, x.strides))
        if x.dtype.kind == "O":
            self.all(x.ravel())
        else:
            self.parts.append(self.known.content(x))
        if isinstance(x.base, np.ndarray):
            place = x.__array_interface__["data"][0] - x.base.__array_interface__["data"][0]
            self.parts += [self._seen.setdefault(id(x.base), len(self._seen)), place]
            self._kept.append(x.base)

    def elements(self, generator) -> None:
        """Where a generator of the elements of a traced array is."""
        if generator.gi_frame is not None:
            self.parts.append(generator.gi_frame.f_locals.get("i", -1))
            self.value(generator.gi_frame.f_locals["self"])

    def container(self, x) -> None:
        """The elements of a container, also of one of a class derived from it."""
        if isinstance(x, (set, frozenset)):
            self.is_hidden |= not all(type(e) in PLAIN for e in x)
            self.parts.append(sorted(map(repr, x)))
        elif isinstance(x, (int, float, complex, str, bytes)):
            base = next(c for c in type(x).__mro__ if c in PLAIN)
            self.parts.append(base.__repr__(x))
        elif isinstance(x, CONTAINERS):
            self.parts.append((len(x), getattr(x, "maxlen", None)))
            if isinstance(x, dict):
                self.all(x.keys())
                self.all(x.values())
            elif SIMPLE.issuperset(map(type, x)):
                self.parts.append(repr(list(x)))
            else:
                self.all(x)

    def attributes(self, x, kind: type) -> None:
        """The attributes of an object of a class in Python, which has no other state."""
        slots = [s for c in kind.__mro__ for s in c.__dict__.values() if type(s) is types.MemberDescriptorType]
        base = max((c.__basicsize__ for c in kind.__mro__ if c in (*CONTAINERS, *PLAIN)), default=object.__basicsize__)
        has_dict = hasattr(x, "__dict__")
        if not (has_dict or slots) or kind.__basicsize__ > base + POINTER * (len(slots) + 2):
            self.is_hidden = True
        self.value(kind)
        if has_dict:
            self.parts.append(len(vars(x)))
            for name, value in vars(x).items():
                self.parts.append(name)
                self.value(value)
        for slot in slots:
            self.value(getattr(x, slot.__name__, _EMPTY))

    def all(self, values) -> None:
        """Several objects."""
        for value in values:
            self.value(value)


_EMPTY = types.CellType()
LIBRARIES = frozenset({"probad", "numpy", "scipy", "builtins", *sys.stdlib_module_names}) - {"__main__"}


def _is_foreign(kind: type) -> bool:
    """Whether a class belongs to a library, and keeps no state of the function's."""
    return kind.__module__.partition(".")[0] in LIBRARIES


def _is_internal(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    return any(name == module or name.startswith(module + ".") for module in INTERNAL)


def fingerprint(x) -> bytes:
    """A short name for a plain object by all that it is made of."""
    walk = Walk(None, Known())
    walk.value(x)
    if walk.is_hidden:
        walk.parts.append(id(x))
    return hashlib.blake2b(repr(walk.parts).encode(), digest_size=16).digest()
